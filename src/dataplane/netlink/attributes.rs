//! Attributes of a netlink message: length, type and value, in sequence or nested.

use std::str;

/// The bits of the type field that are not flags.
const TYPE: u16 = 0x3fff;

/// Length and type.
const HEADER: usize = 4;

/// Bytes that are not valid netlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bytes of the kernel's that are no netlink message")]
pub struct Malformed;

/// One attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    /// Its type. The meaning depends on where the attribute is.
    pub(crate) kind: u16,
    /// Its value, which may contain attributes.
    pub(crate) value: &'a [u8],
}

/// Iterates over attributes. Ends after the first malformed one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a>(&'a [u8]);

// === impl Attributes ===

impl<'a> Attributes<'a> {
    /// The attributes in `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        // The padding after the last attribute may be missing, or it may be all that is left.
        if self.0.len() < HEADER {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        let Some(value) = bytes.get(HEADER..length) else { return Some(Err(Malformed)) };
        self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Attribute { kind: u16::from_ne_bytes([bytes[2], bytes[3]]) & TYPE, value }))
    }
}

// === impl Attribute ===

impl<'a> Attribute<'a> {
    /// The attributes inside.
    pub(crate) fn nested(self) -> Attributes<'a> {
        Attributes(self.value)
    }

    /// A NUL-terminated text.
    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        let [text @ .., 0] = self.value else { return Err(Malformed) };
        str::from_utf8(text).map_err(|_| Malformed)
    }

    /// A number of 32 bits, in network order, like all numbers of nf_tables.
    pub(crate) fn u32(self) -> Result<u32, Malformed> {
        self.value.try_into().map(u32::from_be_bytes).map_err(|_| Malformed)
    }

    /// A number of 64 bits in network order.
    pub(crate) fn u64(self) -> Result<u64, Malformed> {
        self.value.try_into().map(u64::from_be_bytes).map_err(|_| Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padding_is_no_attribute() {
        let bytes = [[6, 0, 1, 0xc0, b'a', 0, 0, 0], [8, 0, 2, 0, 0, 0, 1, 2]].concat();
        let read: Vec<_> = Attributes::new(&bytes).map(|it| it.expect("an attribute")).collect();
        assert_eq!((read.len(), read[0].kind, read[0].text()), (2, 1, Ok("a")));
        assert_eq!((read[1].kind, read[1].u32()), (2, Ok(0x102)));
        assert_eq!((read[0].u32(), read[1].text()), (Err(Malformed), Err(Malformed)));
    }

    #[test]
    fn a_length_that_lies_is_malformed_and_ends_the_walk() {
        for length in [0, 3, 9, 0xff] {
            let mut walk = Attributes(&[length, 0, 1, 0, 1, 2, 3, 4]);
            assert!(matches!(walk.next(), Some(Err(Malformed))), "{length}");
            assert!(walk.next().is_none());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_walked(bytes: Vec<u8>) {
            for attribute in Attributes::new(&bytes).flatten() {
                let _ = (attribute.text(), attribute.u32(), attribute.u64(), attribute.nested().count());
            }
        }
    }
}
