//! Progress that a person should see while tests run.

use std::io::{self, Write};

/// Writes a line to the real standard error. libtest holds back the output of the print macros until a test has
/// failed. If standard error is closed, that is no failure.
pub fn say(topic: &str, line: &str) {
    let _ = writeln!(io::stderr(), "{topic}: {line}");
}
