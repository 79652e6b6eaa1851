//! Flags of the agents' port.

use super::{CollectorSettings, identity::AccountError};
use crate::flags::FlagErrors;
use std::net::AddrParseError;

/// The port of the node agents, and which agents may use it.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// Address and port for the agents on the nodes, such as 0.0.0.0:10912. An agent reports when the kernel of its node changes
    /// the endpoints of a Service. Requires --tls-cert-file, and permission to create TokenReviews.
    #[arg(long, value_name = "ADDRESS", env = "ENDPOINTLAG_AGENTS_LISTEN")]
    agents_listen: Option<String>,

    /// ServiceAccount of the agents. Pods of other ServiceAccounts are refused.
    #[arg(
        long,
        value_name = "NAMESPACE/NAME",
        env = "ENDPOINTLAG_AGENTS_SERVICE_ACCOUNT",
        default_value = "endpointlag/endpointlag-agent"
    )]
    agents_service_account: String,
}

// === impl Args ===

impl Args {
    /// Checks these flags. `has_certificate` says whether the daemon has a certificate.
    pub(crate) fn settings(&self, has_certificate: bool, errors: &mut FlagErrors) -> Option<CollectorSettings> {
        let account = errors
            .parse("--agents-service-account", &self.agents_service_account, |error: AccountError| error.to_string());
        let say = |error: AddrParseError| format!("{error}; write it like 0.0.0.0:10912");
        let listen = errors.parse("--agents-listen", self.agents_listen.as_deref()?, say);
        if !has_certificate {
            let needs = "agents show a token, and have to know to whom: give --tls-cert-file and --tls-key-file too";
            errors.add("--agents-listen", needs.to_owned());
        }
        Some(CollectorSettings { listen: listen?, account: account? })
    }
}
