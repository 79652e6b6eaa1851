//! Identity.

use std::fmt;

/// Identity of an object. It is never reused.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Uid {
    /// The format of API servers.
    Uuid([u8; 16]),
    /// Anything else, unchanged.
    Other(Box<str>),
}

/// The values of hexadecimal digits, in lower case; 255 for all other bytes.
const DIGITS: [u8; 256] = {
    let mut digits = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

// === impl Uid ===

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self::canonical(text.as_bytes()).unwrap_or_else(|| Self::Other(text.into()))
    }
}

impl Uid {
    /// A UUID in the format of API servers. Other formats would not be printed as they were.
    fn canonical(text: &[u8]) -> Option<Self> {
        let text: &[u8; 36] = text.try_into().ok()?;
        let mut bytes = [0; 16];
        // Some bytes follow a hyphen. Each byte is two digits.
        let (mut at, mut wrong) = (0, 0);
        for (index, byte) in bytes.iter_mut().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                wrong |= text[at] ^ b'-';
                at += 1;
            }
            let (high, low) = (DIGITS[usize::from(text[at])], DIGITS[usize::from(text[at + 1])]);
            // No digit is over 15.
            wrong |= (high | low) & 0xf0;
            *byte = high << 4 | low & 0x0f;
            at += 2;
        }
        (wrong == 0).then_some(Self::Uuid(bytes))
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
        for text in [
            "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
            "not-a-uuid",
            "0F1E2D3C-4B5A-6978-8796-A5B4C3D2E1F0",
            "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1fg",
            "0f1e2d3c-4b5a-697838796-a5b4c3d2e1f0",
        ] {
            assert_eq!(Uid::from(text).to_string(), text);
        }
        assert!(matches!(Uid::from("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"), Uid::Uuid(_)));
    }
}
