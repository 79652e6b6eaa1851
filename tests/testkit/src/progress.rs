//! What a person should see while tests run.

use std::io::{self, Write};

/// Writes a line to the real standard error: what is printed by the print macros, libtest keeps back until a test has
/// failed. A closed standard error is no reason to fail.
pub fn say(topic: &str, line: &str) {
    let _ = writeln!(io::stderr(), "{topic}: {line}");
}
