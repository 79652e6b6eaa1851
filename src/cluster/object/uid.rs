//! Identity.

use std::fmt;

/// Identity of an object over all time.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Uid {
    /// What API servers assign.
    Uuid([u8; 16]),
    /// Anything else, kept as it came.
    Other(Box<str>),
}

// === impl Uid ===

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        let canonical = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            });
        if !canonical {
            return Self::Other(text.into());
        }
        let mut bytes = [0; 16];
        let digits = text.bytes().filter(|byte| *byte != b'-');
        for (at, digit) in digits.enumerate() {
            let value = if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 };
            bytes[at / 2] = bytes[at / 2] << 4 | value;
        }
        Self::Uuid(bytes)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(text) => f.write_str(text),
            Self::Uuid(bytes) => {
                for (at, byte) in bytes.iter().enumerate() {
                    if matches!(at, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_survive_the_round_trip() {
        for text in ["0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "not-a-uuid", "0F1E2D3C-4B5A-6978-8796-A5B4C3D2E1F0"] {
            assert_eq!(Uid::from(text).to_string(), text);
        }
        assert!(matches!(Uid::from("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"), Uid::Uuid(_)));
    }
}
