//! Escapes text from outside, so that it stays on one line of the log. Text from an API server, an object or a client must not
//! end the line, or move the cursor of a terminal.

use std::fmt::{self, Write};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FormatFields,
        format::{DefaultFields, Writer},
    },
};

/// Formats the fields of a line, including its message, so that none of them can leave the line.
#[derive(Debug, Default)]
pub(super) struct EscapedFields(DefaultFields);

/// Writes text with its special characters escaped.
struct Escaping<'a>(&'a mut dyn Write);

/// Text for a single line. Control characters, line separators and marks for the direction of writing are escaped.
pub fn on_one_line(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    // Writing to a String cannot fail.
    let _ = Escaping(&mut escaped).write_str(text);
    escaped
}

fn is_special(char: char) -> bool {
    char.is_control() || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

// === impl EscapedFields ===

impl<'writer> FormatFields<'writer> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        // This writer has no colours. Their codes would be escaped as well.
        self.0.format_fields(Writer::new(&mut Escaping(&mut writer)), fields)
    }
}

// === impl Escaping ===

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(is_special) {
            let mut chars = part.chars();
            match chars.next_back() {
                Some(last) if is_special(last) => {
                    self.0.write_str(chars.as_str())?;
                    write!(self.0, "{}", last.escape_default())?;
                }
                _ => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_line() {
        assert_eq!(on_one_line("plain, ünïcödé"), "plain, ünïcödé");
        assert_eq!(on_one_line("a\nb\r\n\tc"), "a\\nb\\r\\n\\tc");
        assert_eq!(on_one_line("\u{1b}[2J\u{7f}\u{9b}1m"), "\\u{1b}[2J\\u{7f}\\u{9b}1m");
        assert_eq!(on_one_line("a\u{2028}b\u{202e}c"), "a\\u{2028}b\\u{202e}c");
    }
}
