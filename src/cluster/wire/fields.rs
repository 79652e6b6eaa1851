//! The fields of an encoded message, one after the other, without copying.
//!
//! Most of a pod is never used. Skipping a field costs a few instructions, and the fields that are read are not copied.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use std::str::{self, Utf8Error};

/// Iterates over the fields of a message. After an error it returns nothing.
#[derive(Clone, Debug)]
pub struct Fields<'a>(&'a [u8]);

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number, a boolean or an enum value.
    Number(u64),
    /// A string, bytes or another message.
    Bytes(&'a [u8]),
    /// A type that no field in use has: a fixed-width number, or a group.
    Other,
}

/// The bytes are not a message.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MessageError {
    /// The bytes are not a sequence of fields.
    #[error(transparent)]
    Protobuf(#[from] prost::DecodeError),
    /// A string is not valid UTF-8.
    #[error("a text is not valid UTF-8")]
    NotText(#[from] Utf8Error),
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// Of an encoded message.
    pub fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn read(&mut self) -> Result<(u32, Value<'a>), MessageError> {
        let (tag, wire_type) = decode_key(&mut self.0)?;
        let value = match wire_type {
            WireType::Varint => Value::Number(decode_varint(&mut self.0)?),
            WireType::LengthDelimited => {
                let mut whole = self.0;
                let length = usize::try_from(decode_varint(&mut self.0)?).unwrap_or(usize::MAX);
                if let Some((bytes, rest)) = self.0.split_at_checked(length) {
                    self.0 = rest;
                    Value::Bytes(bytes)
                } else {
                    // Longer than the message. The library reports this error.
                    skip_field(wire_type, tag, &mut whole, DecodeContext::default())?;
                    Value::Other
                }
            }
            _ => {
                skip_field(wire_type, tag, &mut self.0, DecodeContext::default())?;
                Value::Other
            }
        };
        Ok((tag, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), MessageError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        if let Some((tag, bytes, rest)) = short(self.0) {
            self.0 = rest;
            return Some(Ok((tag, Value::Bytes(bytes))));
        }
        let field = self.read();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// The first field of a message, if it has the usual form: a number below sixteen and less than 16 KB of data. The third value is
/// the rest of the message.
#[inline]
fn short(message: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (&[key, low], rest) = message.split_first_chunk()?;
    // Length-delimited, with a key of one byte.
    if key & 0x87 != 2 || key < 0x08 {
        return None;
    }
    let (length, rest) = match (low, rest) {
        (0..0x80, rest) => (usize::from(low), rest),
        (_, [high @ 0..0x80, rest @ ..]) => (usize::from(low & 0x7f) | usize::from(*high) << 7, rest),
        _ => return None,
    };
    let (bytes, rest) = rest.split_at_checked(length)?;
    Some((u32::from(key >> 3), bytes, rest))
}

/// The string in a field.
///
/// # Errors
/// If it is not UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, MessageError> {
    Ok(str::from_utf8(bytes)?)
}

/// Key and value of a map entry, if both are strings.
///
/// # Errors
/// If the bytes are not a message.
pub fn entry(message: &[u8]) -> Result<(&[u8], &[u8]), MessageError> {
    let (mut key, mut value) = (&[][..], &[][..]);
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(bytes)) => key = bytes,
            (2, Value::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::wire;
    use proptest::prelude::*;
    use prost::Message;

    #[test]
    fn fields_come_in_order_and_unknown_ones_are_stepped_over() {
        // Field 1 holds 300, field 2 "ab", field 3 a fixed width of four bytes, field 4 a group with a number in it.
        let message = [0x08, 0xac, 0x02, 0x12, 2, b'a', b'b', 0x1d, 1, 2, 3, 4, 0x23, 0x08, 1, 0x24];
        let fields: Vec<_> = Fields::of(&message).map(|field| field.expect("whole")).collect();
        let expected = [(1, Value::Number(300)), (2, Value::Bytes(b"ab")), (3, Value::Other), (4, Value::Other)];
        assert_eq!(fields, expected);
    }

    proptest! {
        #[test]
        fn what_one_reader_takes_for_a_message_the_other_does(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            /// A message without known fields.
            #[derive(Clone, PartialEq, prost::Message)]
            struct Blank {}
            let ours = Fields::of(&bytes).collect::<Result<Vec<_>, _>>();
            prop_assert_eq!(ours.is_ok(), Blank::decode(&*bytes).is_ok());
        }

        #[test]
        fn fields_of_every_length_come_out_whole(
            lengths in prop::collection::vec(prop_oneof![0..300usize, 16_300..16_500usize, Just(40_000)], 0..6),
        ) {
            let items: Vec<_> = (0_u8..).zip(lengths).map(|(fill, length)| vec![fill; length].into()).collect();
            let list = wire::List { metadata: None, items: items.clone() }.encode_to_vec();
            let fields = Fields::of(&list).collect::<Result<Vec<_>, _>>();
            let expected = items.iter().map(|item| (2, Value::Bytes(item))).collect();
            prop_assert_eq!(fields, Ok(expected));
        }

        #[test]
        fn entries_of_maps_are_read_as_they_were_written(key in ".*", value in ".*") {
            let mut meta = wire::ObjectMeta::default();
            meta.labels.insert(key.clone(), value.clone());
            let bytes = meta.encode_to_vec();
            let field = Fields::of(&bytes).next().expect("a field").expect("whole");
            let (11, Value::Bytes(message)) = field else { panic!("{field:?}") };
            prop_assert_eq!(entry(message), Ok((key.as_bytes(), value.as_bytes())));
        }
    }
}
