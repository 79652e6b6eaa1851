//! Addresses and their families, parsed as in the EndpointSlice controller.

use crate::model::Family;
use std::net::IpAddr;

/// The family with this name in the API.
pub(super) fn parse_family(text: &str) -> Option<Family> {
    match text {
        "IPv4" => Some(Family::V4),
        "IPv6" => Some(Family::V6),
        _ => None,
    }
}

/// The family of an address, if the text is an address.
pub(super) fn family_of_address(text: &str) -> Option<Family> {
    Some(match parse_address(text)? {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    })
}

/// Parses an address as `ParseIPSloppy` of k8s.io/utils does, which accepts numbers with leading zeros. API servers before 1.36
/// accept such addresses and keep them. An IPv4 address in IPv6 notation counts as IPv4, as in `To4`.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().or_else(|_| without_leading_zeros(text).parse()).ok()?;
    Some(address.to_canonical())
}

/// The same address without leading zeros in its decimal and hexadecimal numbers.
fn without_leading_zeros(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut in_number = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let goes_on = characters.peek().is_some_and(char::is_ascii_hexdigit);
        if character == '0' && !in_number && goes_on {
            continue;
        }
        in_number = character.is_ascii_hexdigit();
        plain.push(character);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn addresses_are_read_as_the_controller_reads_them() {
        let cases = [
            ("10.2.0.7", Some("10.2.0.7")),
            ("10.02.0.7", Some("10.2.0.7")),
            ("010.000.00.0007", Some("10.0.0.7")),
            ("::ffff:10.3.0.7", Some("10.3.0.7")),
            ("::ffff:010.03.0.7", Some("10.3.0.7")),
            ("::ffff:a03:7", Some("10.3.0.7")),
            ("::10.3.0.7", Some("::a03:7")),
            ("fd00::00001", Some("fd00::1")),
            ("0000:0::0", Some("::")),
            ("10.3.0", None),
            ("10.3.0.256", None),
            ("10.3.0.0x7", None),
            ("10.3.0.7 ", None),
            ("fd00::1%eth0", None),
            ("fd00::1::2", None),
            ("fd00:10.3.0.7::", None),
            ("0", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_address(text).map(|address| address.to_string()).as_deref(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn zeros_before_a_number_change_nothing(octets: [u8; 4], groups: [u16; 8], zeros in 0..4_usize) {
            let zeros = "0".repeat(zeros);
            let text = octets.map(|octet| format!("{zeros}{octet}")).join(".");
            prop_assert_eq!(parse_address(&text), Some(IpAddr::from(octets)));
            let text = groups.map(|group| format!("{zeros}{group:x}")).join(":");
            prop_assert_eq!(parse_address(&text), Some(IpAddr::from(groups).to_canonical()));
        }

        #[test]
        fn what_is_written_properly_is_read(v4: Ipv4Addr, v6: Ipv6Addr) {
            prop_assert_eq!(parse_address(&v4.to_string()), Some(v4.into()));
            prop_assert_eq!(parse_address(&v6.to_string()), Some(IpAddr::from(v6).to_canonical()));
        }

        #[test]
        fn arbitrary_text_is_no_panic(text in ".*") {
            let _ = parse_address(&text);
        }
    }
}
