//! What one rule does for Services, read from its expressions.
//!
//! A rule is a small program: expressions load packet fields and constants into registers, compare them, look them up, and decide
//! where the packet goes. Here the program runs with what is known without a packet.

use super::{
    netlink::attributes::{Attribute, Attributes, Malformed},
    observation::{Backend, Frontend, Protocol},
};
use crate::model::Family;
use std::net::IpAddr;

/// The 32-bit words that registers refer to.
const PLACES: usize = 16;

/// A constant, at most as long as a full register.
type Constant = ([u8; 16], usize);

/// What one rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule<'a> {
    /// The only frontend whose packets match, if the rule has no other condition.
    pub(crate) frontend: Option<Frontend>,
    /// Where it sends them.
    pub(crate) action: Action<'a>,
}

/// Where a rule sends packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action<'a> {
    /// Through another chain.
    Chain(&'a str),
    /// Through the chains that a map of verdicts names, or to the endpoints in a map.
    Map(&'a str),
    /// To an endpoint.
    Backend(Backend),
    /// To an endpoint that could not be read.
    Unread,
}

/// What is known about a register.
#[derive(Clone, Copy, Debug)]
enum Content<'a> {
    Unknown,
    Constant(Constant),
    Destination,
    Protocol,
    DestinationPort,
    /// The result of a lookup in this map.
    Found(&'a str),
}

/// The state while a rule runs.
#[derive(Debug)]
struct Run<'a> {
    family: Family,
    registers: [Content<'a>; PLACES],
    destination: Option<IpAddr>,
    protocol: Option<Protocol>,
    port: Option<u16>,
    /// The rule has conditions other than a frontend's.
    asks_more: bool,
    action: Option<Action<'a>>,
}

// === impl Rule ===

impl<'a> Rule<'a> {
    /// Reads a rule's expressions; `None` if it sends packets nowhere that is relevant here.
    ///
    /// # Errors
    /// They are malformed.
    pub(crate) fn read(family: Family, expressions: Attributes<'a>) -> Result<Option<Self>, Malformed> {
        let mut run = Run {
            family,
            registers: [Content::Unknown; PLACES],
            destination: None,
            protocol: None,
            port: None,
            asks_more: false,
            action: None,
        };
        for expression in expressions {
            let [name, data] = values(expression?.nested(), [1, 2])?;
            let name = name.ok_or(Malformed)?.text()?;
            run.step(name, data.map_or(Attributes::new(&[]), Attribute::nested))?;
        }
        let Some(action) = run.action else { return Ok(None) };
        let frontend = match (run.destination, run.protocol, run.port) {
            (Some(address), Some(protocol), Some(port)) if !run.asks_more => Some(Frontend { address, protocol, port }),
            _ => None,
        };
        Ok(Some(Self { frontend, action }))
    }
}

// === impl Run ===

impl<'a> Run<'a> {
    fn step(&mut self, name: &str, data: Attributes<'a>) -> Result<(), Malformed> {
        match name {
            "immediate" => {
                let [register, value] = values(data, [1, 2])?;
                match value.map(read_data).transpose()? {
                    Some(Data::Chain(chain)) => self.action = Some(Action::Chain(chain)),
                    Some(Data::Value(value)) => self.load(register, constant(value)?)?,
                    Some(Data::Verdict) | None => {}
                }
            }
            "payload" => {
                let [register, base, offset, length] = values(data, [1, 2, 3, 4])?;
                let field = [base, offset, length].map(|it| it.and_then(|it| it.u32().ok()).unwrap_or(u32::MAX));
                let content = match (self.family, field) {
                    (Family::V4, [1, 16, 4]) | (Family::V6, [1, 24, 16]) => Content::Destination,
                    (Family::V4, [1, 9, 1]) | (Family::V6, [1, 6, 1]) => Content::Protocol,
                    (_, [2, 2, 2]) => Content::DestinationPort,
                    _ => Content::Unknown,
                };
                self.load(register, content)?;
            }
            "meta" => {
                const L4_PROTOCOL: u32 = 16;
                let [register, key] = values(data, [1, 2])?;
                let is_protocol = key.map(Attribute::u32).transpose()? == Some(L4_PROTOCOL);
                self.load(register, if is_protocol { Content::Protocol } else { Content::Unknown })?;
            }
            "cmp" => self.compare(data)?,
            "lookup" => {
                let [set, register] = values(data, [1, 3])?;
                let set = set.ok_or(Malformed)?.text()?;
                match register.map(Attribute::u32).transpose()? {
                    // The verdict register.
                    Some(0) => self.action = Some(Action::Map(set)),
                    Some(_) => self.load(register, Content::Found(set))?,
                    None => self.asks_more = true,
                }
            }
            "nat" => self.translate(data)?,
            "target" => {
                let [name, revision, info] = values(data, [1, 2, 3])?;
                if name.ok_or(Malformed)?.text()? == "DNAT" {
                    let endpoint = target(self.family, revision.ok_or(Malformed)?.u32()?, info);
                    self.action = Some(endpoint.map_or(Action::Unread, Action::Backend));
                }
            }
            "match" => {
                let [name, info] = values(data, [1, 3])?;
                match name.ok_or(Malformed)?.text()? {
                    "comment" => {}
                    name @ ("tcp" | "udp" | "sctp") => match info.and_then(|info| matched_port(name, info.value)) {
                        Some(port) => self.port = Some(port),
                        None => self.asks_more = true,
                    },
                    _ => self.asks_more = true,
                }
            }
            "counter" => {}
            // Any other expression may write any register, and may stop a packet or let it continue.
            _ => {
                self.asks_more = true;
                self.registers = [Content::Unknown; PLACES];
            }
        }
        Ok(())
    }

    fn load(&mut self, register: Option<Attribute<'_>>, content: Content<'a>) -> Result<(), Malformed> {
        // A register is written. Without one, `meta set` reads a register.
        let Some(register) = register else { return Ok(()) };
        if let Some(place) = place(register.u32()?) {
            self.registers[place] = content;
        }
        Ok(())
    }

    fn content(&self, register: Option<Attribute<'_>>) -> Result<Content<'a>, Malformed> {
        let place = register.map(Attribute::u32).transpose()?.and_then(place);
        Ok(place.map_or(Content::Unknown, |place| self.registers[place]))
    }

    fn compare(&mut self, data: Attributes<'a>) -> Result<(), Malformed> {
        const EQUAL: u32 = 0;
        let [register, operation, value] = values(data, [1, 2, 3])?;
        let content = self.content(register)?;
        let Data::Value(value) = read_data(value.ok_or(Malformed)?)? else { return Err(Malformed) };
        let equal = operation.ok_or(Malformed)?.u32()? == EQUAL;
        let understood = match content {
            Content::Destination if equal => {
                self.destination = address(self.family, value);
                self.destination.is_some()
            }
            Content::Protocol if equal => {
                self.protocol = value.first().copied().and_then(Protocol::from_number);
                self.protocol.is_some()
            }
            Content::DestinationPort if equal => {
                self.port = port(value);
                self.port.is_some()
            }
            _ => false,
        };
        self.asks_more |= !understood;
        Ok(())
    }

    fn translate(&mut self, data: Attributes<'a>) -> Result<(), Malformed> {
        const DESTINATION: u32 = 1;
        let [kind, address_register, port_register] = values(data, [1, 3, 5])?;
        if kind.ok_or(Malformed)?.u32()? != DESTINATION {
            return Ok(());
        }
        let action = match (self.content(address_register)?, self.content(port_register)?) {
            (Content::Constant(address), Content::Constant(port)) => {
                self.endpoint(address, port).map_or(Action::Unread, Action::Backend)
            }
            // The port follows the address in the result of the map.
            (Content::Found(map), _) => Action::Map(map),
            _ => Action::Unread,
        };
        self.action = Some(action);
        Ok(())
    }

    fn endpoint(&self, (bytes, length): Constant, (port_bytes, port_length): Constant) -> Option<Backend> {
        let address = address(self.family, bytes.get(..length)?)?;
        Some(Backend { address, port: port(port_bytes.get(..port_length)?)? })
    }
}

/// The contents of a data attribute: a constant or a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data<'a> {
    /// A constant, or an element of a map.
    Value(&'a [u8]),
    /// A verdict that leads to a chain.
    Chain(&'a str),
    /// Another verdict.
    Verdict,
}

/// Reads `struct nft_data`.
pub(crate) fn read_data(attribute: Attribute<'_>) -> Result<Data<'_>, Malformed> {
    let [value, verdict] = values(attribute.nested(), [1, 2])?;
    match (value, verdict) {
        (Some(value), _) => Ok(Data::Value(value.value)),
        (None, Some(verdict)) => {
            let [chain] = values(verdict.nested(), [2])?;
            Ok(chain.map(Attribute::text).transpose()?.map_or(Data::Verdict, Data::Chain))
        }
        (None, None) => Err(Malformed),
    }
}

/// The first attribute of each kind.
pub(crate) fn values<'a, const N: usize>(
    attributes: Attributes<'a>,
    kinds: [u16; N],
) -> Result<[Option<Attribute<'a>>; N], Malformed> {
    let mut found = [None; N];
    for attribute in attributes {
        let attribute = attribute?;
        if let Some(at) = kinds.iter().position(|kind| *kind == attribute.kind)
            && found[at].is_none()
        {
            found[at] = Some(attribute);
        }
    }
    Ok(found)
}

/// An address of the family.
pub(crate) fn address(family: Family, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        Family::V4 => <[u8; 4]>::try_from(bytes).ok().map(Into::into),
        Family::V6 => <[u8; 16]>::try_from(bytes).ok().map(Into::into),
    }
}

/// A port in network order, possibly padded.
pub(crate) fn port(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().copied().map(u16::from_be_bytes)
}

/// Where a register begins. There are four of 128 bits, from 1, and sixteen of 32 bits, from 8, in the same memory.
fn place(register: u32) -> Option<usize> {
    match register {
        1..=4 => Some((register as usize - 1) * 4),
        8..=23 => Some(register as usize - 8),
        _ => None,
    }
}

fn constant<'a>(value: &[u8]) -> Result<Content<'a>, Malformed> {
    let mut bytes = [0; 16];
    bytes.get_mut(..value.len()).ok_or(Malformed)?.copy_from_slice(value);
    Ok(Content::Constant((bytes, value.len())))
}

/// The only destination port that the iptables match for TCP, UDP or SCTP accepts, if it has no other condition: `struct xt_tcp`,
/// `struct xt_udp` and `struct xt_sctp_info` of the kernel.
fn matched_port(name: &str, info: &[u8]) -> Option<u16> {
    let port = |at: usize| info.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes);
    if name == "sctp" {
        // The destination ports come first. Behind the list of chunks: which conditions there are, and which of them are inverted.
        const DESTINATION_PORTS: u32 = 2;
        let flags = |at: usize| info.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
        let asks_more = flags(284)? != DESTINATION_PORTS || flags(288)? != 0 || port(0)? != port(2)?;
        return if asks_more { None } else { port(0) };
    }
    let rest = if name == "tcp" { info.get(8..12)? } else { info.get(8..9)? };
    let asks_more = port(0)? != 0 || port(2)? != u16::MAX || port(4)? != port(6)? || rest.iter().any(|byte| *byte != 0);
    if asks_more { None } else { port(4) }
}

/// Where the iptables target DNAT sends packets: `struct nf_nat_range2` of the kernel, or the structure used before it.
fn target(family: Family, revision: u32, info: Option<Attribute<'_>>) -> Option<Backend> {
    let info = info?.value;
    let (address_at, port_at) = match revision {
        0 => (8, 16),
        1 | 2 => (4, 36),
        _ => return None,
    };
    let length = if family == Family::V4 { 4 } else { 16 };
    let address = address(family, info.get(address_at..address_at + length)?)?;
    Some(Backend { address, port: port(info.get(port_at..)?)? })
}

#[cfg(test)]
mod tests;
