//! Flags of `node`.

use super::kernel::Limits;
use crate::{
    flags::FlagErrors,
    logging::{self, LogFilter, LogFormat},
};

/// Bytes of datagrams that wait to be read. A full sync of kube-proxy is 13 KB for each Service in mode iptables.
const QUEUE: usize = 128 << 20;

/// How the data plane of a node is watched.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Format of the observations on standard output.
    #[arg(long, value_name = "FORMAT", env = "ENDPOINTLAG_OUTPUT", default_value = "json")]
    output: Output,

    /// Size of the socket buffer for notifications of the kernel, in bytes. If it overflows, observations have a gap.
    #[arg(long, value_name = "BYTES", env = "ENDPOINTLAG_RECEIVE_BUFFER", default_value_t = 32 << 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(4096..=1 << 30))]
    receive_buffer: u32,

    #[command(flatten)]
    logging: logging::Args,
}

/// How observations look.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// One JSON object on each line.
    Json,
}

/// The user's settings for `node`, checked.
#[derive(Debug)]
pub struct NodeSettings {
    /// How observations look.
    pub output: Output,
    /// The limits of the buffers.
    pub limits: Limits,
    /// Which lines are logged.
    pub log: LogFilter,
}

// === impl Args ===

impl Args {
    /// The format of log lines.
    pub fn log_format(&self) -> LogFormat {
        self.logging.format()
    }

    /// Checks all flags.
    ///
    /// # Errors
    /// One line for each wrong flag.
    pub fn settings(&self) -> Result<NodeSettings, FlagErrors> {
        let mut errors = FlagErrors::default();
        let log = self.logging.filter(&mut errors);
        let limits = Limits { receive_buffer: self.receive_buffer as usize, queue: QUEUE };
        errors.or(log.map(|log| NodeSettings { output: self.output, limits, log }))
    }
}
