//! Messages of nf_tables, to and from datagrams: the headers before their attributes.

use super::attributes::{Attributes, Malformed};

/// Length of both headers, of netlink and of netfilter.
const HEADERS: usize = 20;

/// Length of the netlink header alone.
const NETLINK_HEADER: usize = 16;

/// The netfilter subsystem of the messages, in the upper byte of their type.
const SUBSYSTEM: u8 = 10;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;

/// What a message of nf_tables is about: `enum nf_tables_msg_types` of the kernel.
pub(crate) mod kind {
    pub(crate) const NEW_TABLE: u8 = 0;
    pub(crate) const GET_TABLE: u8 = 1;
    pub(crate) const DEL_TABLE: u8 = 2;
    pub(crate) const DEL_CHAIN: u8 = 5;
    pub(crate) const NEW_RULE: u8 = 6;
    pub(crate) const GET_RULE: u8 = 7;
    pub(crate) const DEL_RULE: u8 = 8;
    pub(crate) const GET_SET: u8 = 10;
    pub(crate) const DEL_SET: u8 = 11;
    pub(crate) const NEW_ELEMENTS: u8 = 12;
    pub(crate) const GET_ELEMENTS: u8 = 13;
    pub(crate) const DEL_ELEMENTS: u8 = 14;
    pub(crate) const NEW_GENERATION: u8 = 15;
    pub(crate) const GET_GENERATION: u8 = 16;
}

/// A message of nf_tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// One of [`kind`].
    pub(crate) kind: u8,
    /// The kernel's number of an address family, such as 2 for IPv4.
    pub(crate) family: u8,
    /// Lower 16 bits of the generation of the rules that it belongs to.
    pub(crate) generation: u16,
    /// Whether it is part of an answer that a commit interrupted.
    pub(crate) interrupted: bool,
    /// The message with its headers.
    pub(crate) whole: &'a [u8],
    attributes: &'a [u8],
}

/// One of the messages in a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    /// A message of nf_tables.
    Message(Message<'a>),
    /// End of an answer in several parts. `interrupted` as for a message.
    Done { interrupted: bool, error: i32 },
    /// The answer is an error, or zero for no error.
    Error(i32),
    /// A message of something else.
    Other,
}

/// Iterates over the messages of a datagram. Ends after the first malformed one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a>(&'a [u8]);

// === impl Parts ===

impl<'a> Parts<'a> {
    /// The messages in `datagram`.
    pub(crate) fn new(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        let Some((length, part)) = read(bytes) else { return Some(Err(Malformed)) };
        self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(part))
    }
}

/// The message at the start of `bytes`, and its length.
fn read(bytes: &[u8]) -> Option<(usize, Part<'_>)> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let bytes = bytes.get(..length)?;
    let half = |at: usize| Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let code = || Some(i32::from_ne_bytes(*bytes.get(NETLINK_HEADER..)?.first_chunk()?));
    let (kind, flags) = (half(4)?, half(6)?);
    let interrupted = flags & NLM_F_DUMP_INTR != 0;
    let part = match (kind, kind.to_be_bytes()) {
        (NLMSG_ERROR, _) => Part::Error(code()?),
        (NLMSG_DONE, _) => Part::Done { interrupted, error: code()? },
        (_, [SUBSYSTEM, kind]) => {
            let attributes = bytes.get(HEADERS..)?;
            let generation = u16::from_be_bytes([bytes[18], bytes[19]]);
            Part::Message(Message { kind, family: bytes[16], generation, interrupted, whole: bytes, attributes })
        }
        _ if length >= NETLINK_HEADER => Part::Other,
        _ => return None,
    };
    Some((length, part))
}

// === impl Message ===

impl<'a> Message<'a> {
    /// Its attributes.
    pub(crate) fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.attributes)
    }

    /// The generation in a message of [`kind::NEW_GENERATION`].
    pub(crate) fn new_generation(&self) -> Result<u32, Malformed> {
        for attribute in self.attributes() {
            let attribute = attribute?;
            if attribute.kind == 1 {
                return attribute.u32();
            }
        }
        Err(Malformed)
    }
}

/// A request for everything of one kind, or for one answer if not `whole`, with texts as attributes.
pub(crate) fn request(kind: u8, family: u8, whole: bool, sequence: u32, texts: &[(u16, &str)]) -> Vec<u8> {
    let flags = if whole { NLM_F_REQUEST | NLM_F_DUMP } else { NLM_F_REQUEST };
    let mut bytes = vec![0; 4];
    bytes.extend(u16::from_be_bytes([SUBSYSTEM, kind]).to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend([family, 0, 0, 0]);
    for (kind, text) in texts {
        // Names in nf_tables are at most 255 bytes long.
        let length = (4 + text.len() + 1) as u16;
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(text.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_asked_for_can_be_read() {
        let datagram =
            [request(kind::GET_RULE, 2, true, 7, &[(1, "nat")]), request(kind::GET_GENERATION, 0, false, 8, &[])]
                .concat();
        let parts: Vec<_> = Parts::new(&datagram).map(|it| it.expect("a message")).collect();
        let [Part::Message(first), Part::Message(second)] = parts[..] else { panic!("{parts:?}") };
        assert_eq!((first.kind, first.family), (kind::GET_RULE, 2));
        let table = first.attributes().next().expect("an attribute").expect("well formed");
        assert_eq!((table.kind, table.text()), (1, Ok("nat")));
        assert_eq!((second.kind, second.attributes().count()), (kind::GET_GENERATION, 0));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_walked(bytes: Vec<u8>) {
            for part in Parts::new(&bytes) {
                if let Ok(Part::Message(message)) = part {
                    let _ = (message.new_generation(), message.attributes().count());
                }
            }
        }
    }
}
