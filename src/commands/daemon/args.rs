//! Flags for the daemon whose figures a command uses.

use crate::{cluster::is_label, flags::FlagErrors};
use http::Uri;
use std::path::PathBuf;

/// Which daemon's figures to use.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// Daemon whose figures to use: auto looks for one in the cluster, and reaches it through the API server as kubectl port-forward
    /// does; none measures here; or its URL, such as http://localhost:10911.
    #[arg(long, value_name = "auto|none|URL", env = "ENDPOINTLAG_DAEMON", default_value = "auto")]
    daemon: String,

    /// Namespace in which auto looks for a daemon. Default: all.
    #[arg(long, value_name = "NAMESPACE", env = "ENDPOINTLAG_DAEMON_NAMESPACE")]
    daemon_namespace: Option<String>,

    /// PEM file with the authority of the daemon's certificate. Default: those of the system.
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_DAEMON_CA_FILE")]
    daemon_ca_file: Option<PathBuf>,

    /// File with a token for a daemon that runs with --auth kubernetes.
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_DAEMON_TOKEN_FILE")]
    daemon_token_file: Option<PathBuf>,
}

/// Which daemon.
#[derive(Clone, Debug)]
pub enum Choice {
    /// None, for this reason.
    None(&'static str),
    /// One that is found in the cluster, if there is one.
    Auto {
        /// Where to look; `None` for all namespaces.
        namespace: Option<String>,
        /// How to prove who one is.
        access: Access,
    },
    /// The one at this address.
    At(Uri, Access),
}

/// How a daemon and a command trust each other.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The authority of its certificate.
    pub authority: Option<PathBuf>,
    /// A token for it.
    pub token: Option<PathBuf>,
}

// === impl Args ===

impl Args {
    /// Checks these flags.
    pub(crate) fn choice(&self, errors: &mut FlagErrors) -> Option<Choice> {
        let access = Access { authority: self.daemon_ca_file.clone(), token: self.daemon_token_file.clone() };
        if let Some(name) = self.daemon_namespace.as_deref().filter(|name| !is_label(name)) {
            errors.add("--daemon-namespace", format!("{name:?} is not a valid namespace name"));
        }
        match &*self.daemon {
            "none" => Some(Choice::None("--daemon none")),
            "auto" => Some(Choice::Auto { namespace: self.daemon_namespace.clone(), access }),
            url => {
                let say = |error: http::uri::InvalidUri| format!("{error}; write it like http://localhost:10911");
                let url: Uri = errors.parse("--daemon", url, say)?;
                if url.scheme().is_none() {
                    let error = format!("{url} has no scheme; write it like http://localhost:10911, or auto or none");
                    errors.add("--daemon", error);
                }
                Some(Choice::At(url, access))
            }
        }
    }
}
