//! Flags of the stream to the daemon.

use super::UplinkSettings;
use crate::flags::FlagErrors;
use http::uri::Authority;
use std::path::PathBuf;

/// The daemon that the agent reports to, and how it authenticates.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct UplinkArgs {
    /// Host and port of the daemon to report to: its --agents-listen, with a host name that its certificate contains.
    #[arg(long, value_name = "HOST:PORT", env = "ENDPOINTLAG_DAEMON")]
    daemon: Option<String>,

    /// PEM file with the CA certificates for the daemon's certificate. By default the CAs of the system.
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_DAEMON_CA_FILE")]
    daemon_ca_file: Option<PathBuf>,

    /// File with the token for the daemon: a projected ServiceAccount token of this pod, with the audience endpointlag.
    #[arg(
        long,
        value_name = "FILE",
        env = "ENDPOINTLAG_TOKEN_FILE",
        default_value = "/var/run/secrets/endpointlag/token"
    )]
    token_file: PathBuf,

    /// Name of this node, as in spec.nodeName of the pod.
    #[arg(long, value_name = "NAME", env = "ENDPOINTLAG_NODE_NAME")]
    node_name: Option<String>,
}

// === impl UplinkArgs ===

impl UplinkArgs {
    /// Checks these flags. `None` if no daemon is given, or if the flags are not clear.
    pub(crate) fn settings(&self, errors: &mut FlagErrors) -> Option<UplinkSettings> {
        let text = self.daemon.as_deref()?;
        let daemon = match text.parse::<Authority>() {
            Ok(daemon) if daemon.port_u16().is_some() && !text.contains('@') => Some(daemon),
            _ => {
                errors.add("--daemon", format!("{text:?}: write it like endpointlag.monitoring.svc:10912"));
                None
            }
        };
        let node = self.node_name.clone().filter(|name| !name.is_empty());
        if node.is_none() {
            errors.add("--node-name", "is missing, but --daemon is given".to_owned());
        }
        let (ca_file, token_file) = (self.daemon_ca_file.clone(), self.token_file.clone());
        Some(UplinkSettings { daemon: daemon?, ca_file, token_file, node: node? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        uplink: UplinkArgs,
    }

    fn settings(args: &[&str]) -> Result<Option<UplinkSettings>, Vec<String>> {
        let cli = Cli::try_parse_from([&["agent"], args].concat()).expect("known flags");
        let mut errors = FlagErrors::default();
        let settings = cli.uplink.settings(&mut errors);
        if errors.0.is_empty() { Ok(settings) } else { Err(errors.0) }
    }

    #[test]
    fn a_daemon_is_told_as_one_node() {
        assert!(settings(&[]).expect("valid").is_none());
        let told = settings(&["--daemon=[fd00::1]:10912", "--node-name=node-a"]).expect("valid").expect("told");
        assert_eq!((told.daemon.host(), told.daemon.port_u16(), &*told.node), ("[fd00::1]", Some(10_912), "node-a"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        let flags = |errors: Vec<String>| -> Vec<String> {
            errors.iter().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
        };
        assert_eq!(flags(settings(&["--daemon=endpointlag:10912"]).expect_err("no node")), ["--node-name"]);
        for daemon in ["endpointlag", "https://endpointlag:10912", "me@endpointlag:1", ""] {
            let daemon = format!("--daemon={daemon}");
            assert_eq!(flags(settings(&[&daemon, "--node-name=a"]).expect_err("no port")), ["--daemon"]);
        }
    }
}
