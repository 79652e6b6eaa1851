//! Why an agent is refused, or disconnected.

use tonic::{Code, Status};

/// Why a stream is refused or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// No TLS, TLS that is not understood, or no TLS in time.
    #[error("no TLS connection: {0}")]
    Tls(String),
    /// A request that an agent never makes.
    #[error("only agents of endpointlag are served here")]
    NoAgent,
    /// The request has no token.
    #[error("a bearer token is needed")]
    NoToken,
    /// The API server does not accept the token.
    #[error("the token is not accepted: {0}")]
    BadToken(String),
    /// The token belongs to another ServiceAccount.
    #[error("the token is that of {user}, and not of {expected}")]
    ForeignAccount {
        /// The account of the token.
        user: String,
        /// The expected account.
        expected: String,
    },
    /// The token names no node.
    #[error("the token names no node: it has to be one that Kubernetes 1.30 or later has made for a pod")]
    NoNode,
    /// The agent says that it is on another node than its token.
    #[error("the token is that of a pod on node {token}, and the agent says it is on {agent:?}")]
    OtherNode {
        /// The node that the token names.
        token: String,
        /// The node that the agent names.
        agent: String,
    },
    /// The API server could not be asked.
    #[error("the API server cannot be asked whose the token is: {0}")]
    Unanswered(String),
    /// There are too many agents.
    #[error("too many agents")]
    TooMany,
    /// The expected message did not come in time.
    #[error("nothing was heard for too long")]
    Silent,
    /// The message is invalid.
    #[error("a message that an agent does not send now: {0}")]
    Malformed(&'static str),
}

// === impl Refusal ===

impl Refusal {
    /// The names of the reasons in metrics.
    pub(super) const REASONS: [&str; 11] = [
        "tls",
        "no_agent",
        "no_token",
        "bad_token",
        "foreign_account",
        "no_node",
        "other_node",
        "unanswered",
        "too_many",
        "silent",
        "malformed",
    ];

    /// Its index in [`REASONS`](Self::REASONS).
    pub(super) fn index(&self) -> usize {
        match self {
            Self::Tls(_) => 0,
            Self::NoAgent => 1,
            Self::NoToken => 2,
            Self::BadToken(_) => 3,
            Self::ForeignAccount { .. } => 4,
            Self::NoNode => 5,
            Self::OtherNode { .. } => 6,
            Self::Unanswered(_) => 7,
            Self::TooMany => 8,
            Self::Silent => 9,
            Self::Malformed(_) => 10,
        }
    }

    /// The status that is sent to the agent.
    pub(super) fn status(&self) -> Status {
        let code = match self {
            Self::Tls(_) | Self::Unanswered(_) => Code::Unavailable,
            Self::NoAgent => Code::Unimplemented,
            Self::NoToken | Self::BadToken(_) => Code::Unauthenticated,
            Self::ForeignAccount { .. } | Self::NoNode | Self::OtherNode { .. } => Code::PermissionDenied,
            Self::TooMany => Code::ResourceExhausted,
            Self::Silent => Code::DeadlineExceeded,
            Self::Malformed(_) => Code::InvalidArgument,
        };
        Status::new(code, self.to_string())
    }
}
