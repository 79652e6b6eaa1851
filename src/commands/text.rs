//! Numbers and durations, as people write them, and whether to colour them.

use anstream::{AutoStream, ColorChoice};
use std::{io, time::Duration};

/// A duration with about three digits, in a suitable unit; `-` if there is none.
pub(crate) fn short(duration: Option<Duration>) -> String {
    match duration {
        None => "-".to_owned(),
        // From here on the value would be rounded up to 1000.0 ms. 1.00 s is narrower.
        Some(duration) if duration < Duration::from_micros(999_950) => {
            format!("{:.1} ms", duration.as_secs_f64() * 1e3)
        }
        Some(duration) => format!("{:.2} s", duration.as_secs_f64()),
    }
}

/// A duration as in a flag, such as `10m`: in whole seconds if it is longer than one, otherwise in milliseconds.
pub(super) fn round(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), u64::from(duration.subsec_millis()));
    let round = if seconds > 0 { Duration::from_secs(seconds) } else { Duration::from_millis(millis) };
    humantime::format_duration(round).to_string()
}

/// Until when a command goes on.
pub(super) fn until(lasting: Option<Duration>) -> String {
    match lasting {
        Some(lasting) => format!("for {}", round(lasting)),
        None => "until Ctrl-C".to_owned(),
    }
}

/// A number of things, such as `1 change` or `2 changes`.
pub(super) fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// Whether to print colours: standard output is a terminal that has them, and `NO_COLOR` is not set.
pub(super) fn has_colours() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_suitable_unit() {
        let shown = [0, 23_456, 999_949, 999_950, 75_000_000].map(|micros| short(Some(Duration::from_micros(micros))));
        assert_eq!(short(None), "-");
        assert_eq!(shown, ["0.0 ms", "23.5 ms", "999.9 ms", "1.00 s", "75.00 s"]);
        let rounded = [156_460, 5_000_000, 600_250_000].map(|micros| round(Duration::from_micros(micros)));
        assert_eq!(rounded, ["156ms", "5s", "10m"]);
    }
}
