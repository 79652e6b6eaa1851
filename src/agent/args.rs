//! Flags of an agent.

use super::AgentSettings;
use crate::{dataplane::UplinkArgs, flags::FlagErrors};
use std::net::AddrParseError;

/// The daemon to report to, and the port of the agent.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    uplink: UplinkArgs,

    /// Address and port of the agent's own /metrics, /healthz and /readyz. Used with --daemon.
    #[arg(long, value_name = "ADDRESS", env = "ENDPOINTLAG_LISTEN", default_value = "0.0.0.0:10913")]
    listen: String,
}

// === impl Args ===

impl Args {
    /// Checks these flags. `None` if no daemon is given, or if a flag is wrong.
    pub(crate) fn settings(&self, errors: &mut FlagErrors) -> Option<AgentSettings> {
        let say = |error: AddrParseError| format!("{error}; write it like 0.0.0.0:10913");
        let listen = errors.parse("--listen", &self.listen, say);
        let uplink = self.uplink.settings(errors);
        Some(AgentSettings { listen: listen?, uplink: uplink? })
    }
}
