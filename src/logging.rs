//! The log of the daemon, on standard error. Each event is one line, and data from outside cannot forge a line.

mod args;
mod escape;
mod filter;
mod panic;

pub use self::{
    args::Args,
    escape::on_one_line,
    filter::{LogFilter, LogFilterError},
};

use self::escape::EscapedFields;
use clap::ValueEnum;
use std::io::{self, IsTerminal, Write as _};
use tracing::Subscriber;
use tracing_subscriber::{
    filter::Targets,
    fmt::{Layer, MakeWriter},
    layer::SubscriberExt,
    registry::Registry,
    util::SubscriberInitExt,
};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object on each line.
    Json,
}

// === impl LogFormat ===

impl LogFormat {
    /// Starts logging. Call it only once in a process.
    pub fn start(self, filter: LogFilter) {
        self.subscriber(filter.targets(), io::stderr, io::stderr().is_terminal()).init();
    }

    /// Writes one line with the reason why the process ends, in this format, whether or not logging has started.
    pub fn say_fatal(self, error: &str) {
        match self {
            // If standard error cannot be written, there is no other place to report it.
            Self::Text => _ = writeln!(io::stderr(), "endpointlag: {}", on_one_line(error)),
            Self::Json => {
                let lines = self.subscriber(LogFilter::default().targets(), io::stderr, false);
                tracing::subscriber::with_default(lines, || tracing::error!("{error}"));
            }
        }
    }

    /// Tells the user of a command something, whatever the level of the log is.
    pub fn say(self, text: &str) {
        match self {
            // If standard error cannot be written, there is no other place to report it.
            Self::Text => _ = writeln!(io::stderr(), "{text}"),
            Self::Json => {
                let lines = self.subscriber(LogFilter::default().targets(), io::stderr, false);
                tracing::subscriber::with_default(lines, || tracing::info!("{text}"));
            }
        }
    }

    fn subscriber<W>(self, filter: Targets, writer: W, colours: bool) -> Box<dyn Subscriber + Send + Sync>
    where
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        // A line that cannot be written is not reported: the report would go to standard error too, and panic.
        let lines = Layer::<Registry>::default().with_writer(writer).log_internal_errors(false);
        match self {
            Self::Text => {
                let lines = lines.with_ansi(colours).fmt_fields(EscapedFields::default());
                Box::new(Registry::default().with(lines).with(filter))
            }
            Self::Json => Box::new(Registry::default().with(lines.json()).with(filter)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn logged(format: LogFormat, log: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let subscriber = format.subscriber(LogFilter::default().targets(), Written(written.clone()), true);
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(std::mem::take(&mut written.lock().expect("no panic"))).expect("text")
    }

    #[derive(Clone)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("outer\nERROR forged")]
    struct Outer(#[source] io::Error);

    /// The message, a text, a Display value, a Debug value, an error and its source.
    #[test]
    fn nothing_from_outside_forges_a_line() {
        let evil = "x\n2026-01-01T00:00:00Z ERROR forged \u{1b}[2K\rgone";
        let error = Outer(io::Error::other(evil));
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, || {
                let source: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(text = evil, shown = %evil, debugged = ?Some(evil), source, "{evil}");
            });
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(text.ends_with('\n') && !text.contains('\r'), "{text}");
            assert!(!text.contains("\u{1b}[2K"), "{text:?}");
            assert!(text.matches("forged").count() >= 5, "{text}");
        }
    }

    #[test]
    fn what_is_below_the_level_is_not_logged() {
        assert_eq!(logged(LogFormat::Json, || tracing::debug!("quiet")), "");
        assert!(logged(LogFormat::Text, || tracing::info!("loud")).contains("loud"));
    }
}
