//! Messages in the form that the kernel sends, for tests.

use super::netlink::message::kind;

/// An attribute.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from(((4 + value.len()) as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An attribute of attributes.
pub(crate) fn nested(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | 0x8000, &attributes.concat())
}

/// An attribute that holds a text.
pub(crate) fn text(kind: u16, text: &str) -> Vec<u8> {
    attribute(kind, &[text.as_bytes(), b"\0"].concat())
}

/// A message with its headers.
pub(crate) fn message(kind: u8, family: u8, generation: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut bytes = Vec::from((20 + attributes.len() as u32).to_ne_bytes());
    bytes.extend([kind, 10, 0, 0]);
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend((generation as u16).to_be_bytes());
    bytes.extend(attributes);
    bytes
}

/// The end of a commit.
pub(crate) fn new_generation(generation: u32) -> Vec<u8> {
    message(kind::NEW_GENERATION, 0, generation, &[attribute(1, &generation.to_be_bytes())])
}

/// An expression of a rule.
pub(crate) fn expression(name: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    nested(1, &[text(1, name), nested(2, attributes)])
}

/// A number as nf_tables writes it.
pub(crate) fn number(kind: u16, number: u32) -> Vec<u8> {
    attribute(kind, &number.to_be_bytes())
}

/// `struct nft_data` with a constant.
pub(crate) fn constant(kind: u16, value: &[u8]) -> Vec<u8> {
    nested(kind, &[attribute(1, value)])
}

/// `struct nft_data` with a verdict that goes to a chain.
pub(crate) fn goto(kind: u16, chain: &str) -> Vec<u8> {
    nested(kind, &[nested(2, &[number(1, -4i32 as u32), text(2, chain)])])
}

/// `goto chain`.
pub(crate) fn jump(chain: &str) -> Vec<Vec<u8>> {
    vec![expression("immediate", &[number(1, 0), goto(2, chain)])]
}

/// `meta l4proto tcp dnat to address:port`.
pub(crate) fn dnat(address: &[u8], port: u16) -> Vec<Vec<u8>> {
    vec![
        expression("meta", &[number(1, 1), number(2, 16)]),
        expression("cmp", &[number(1, 1), number(2, 0), constant(3, &[6])]),
        expression("immediate", &[number(1, 1), constant(2, address)]),
        expression("immediate", &[number(1, 2), constant(2, &port.to_be_bytes())]),
        expression("nat", &[number(1, 1), number(2, 2), number(3, 1), number(5, 2)]),
    ]
}

/// `dnat ip addr . port to numgen random mod N map @map`.
pub(crate) fn dnat_map(map: &str) -> Vec<Vec<u8>> {
    vec![
        expression("numgen", &[number(1, 1), number(2, 2), number(3, 1)]),
        expression("lookup", &[text(1, map), number(2, 1), number(3, 1)]),
        expression("nat", &[number(1, 1), number(2, 2), number(3, 1), number(5, 9)]),
    ]
}

/// `numgen random mod N vmap @map`.
pub(crate) fn vmap(map: &str) -> Vec<Vec<u8>> {
    vec![
        expression("numgen", &[number(1, 1), number(2, 2), number(3, 1)]),
        expression("lookup", &[text(1, map), number(2, 1), number(3, 0)]),
    ]
}

/// `ip daddr address meta l4proto protocol th dport port goto chain`, as iptables writes it.
pub(crate) fn service(address: [u8; 4], protocol: u8, port: u16, chain: &str) -> Vec<Vec<u8>> {
    let mut rule = vec![
        expression("payload", &[number(1, 1), number(2, 1), number(3, 16), number(4, 4)]),
        expression("cmp", &[number(1, 1), number(2, 0), constant(3, &address)]),
        expression("meta", &[number(1, 1), number(2, 16)]),
        expression("cmp", &[number(1, 1), number(2, 0), constant(3, &[protocol])]),
        expression("payload", &[number(1, 1), number(2, 2), number(3, 2), number(4, 2)]),
        expression("cmp", &[number(1, 1), number(2, 0), constant(3, &port.to_be_bytes())]),
        expression("counter", &[]),
    ];
    rule.extend(jump(chain));
    rule
}

/// A new rule, or the deletion of one.
pub(crate) fn rule(kind: u8, table: &str, chain: &str, handle: u64, expressions: &[Vec<u8>]) -> Vec<u8> {
    let handle = attribute(3, &handle.to_be_bytes());
    message(kind, 2, 0, &[text(1, table), text(2, chain), handle, nested(4, expressions)])
}

/// Elements, new or deleted. Each has a key and data.
pub(crate) fn elements(kind: u8, table: &str, map: &str, elements: &[[Vec<u8>; 2]]) -> Vec<u8> {
    let elements: Vec<_> = elements.iter().map(|parts| nested(1, parts)).collect();
    message(kind, 2, 0, &[text(1, table), text(2, map), nested(3, &elements)])
}

/// A table, new or deleted.
pub(crate) fn table(kind: u8, name: &str, handle: u64) -> Vec<u8> {
    message(kind, 2, 0, &[text(1, name), attribute(4, &handle.to_be_bytes())])
}

/// The message, with another generation.
pub(crate) fn of_generation(mut message: Vec<u8>, generation: u32) -> Vec<u8> {
    message[18..20].copy_from_slice(&(generation as u16).to_be_bytes());
    message
}
