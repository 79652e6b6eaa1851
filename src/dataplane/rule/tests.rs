use super::*;
use crate::dataplane::encode::{self, attribute, constant, expression, number, text};
use proptest::prelude::*;

fn read(family: Family, expressions: &[Vec<u8>]) -> Option<Rule<'static>> {
    Rule::read(family, Attributes::new(expressions.concat().leak())).expect("a rule")
}

fn endpoint(address: impl Into<IpAddr>, port: u16) -> Action<'static> {
    Action::Backend(Backend { address: address.into(), port })
}

#[test]
fn what_kube_proxy_writes_in_mode_nftables() {
    let action = |expressions: &[Vec<u8>]| read(Family::V4, expressions).map(|rule| rule.action);
    assert_eq!(action(&encode::dnat(&[10, 244, 0, 1], 8080)), Some(endpoint([10, 244, 0, 1], 8080)));
    assert_eq!(action(&encode::dnat_map("__map3")), Some(Action::Map("__map3")));
    assert_eq!(action(&encode::vmap("__map4")), Some(Action::Map("__map4")));
    assert_eq!(action(&encode::jump("services")), Some(Action::Chain("services")));
    let mut six = [0; 16];
    six[15] = 1;
    let rule = read(Family::V6, &encode::dnat(&six, 8080)).expect("a rule");
    assert_eq!(rule.action, endpoint(six, 8080));
    // Masquerading is not an endpoint. An endpoint from another source is not read as "no endpoint".
    let source = expression("nat", &[number(1, 0), number(3, 1), number(5, 2)]);
    assert_eq!(action(&[source]), None);
    let unread = expression("nat", &[number(1, 1), number(3, 1), number(5, 2)]);
    assert_eq!(action(&[unread]), Some(Action::Unread));
}

#[test]
fn a_frontend_is_asked_for_by_nothing_else() {
    let rule = read(Family::V4, &encode::service([10, 96, 0, 1], 17, 53, "KUBE-SVC-A")).expect("a rule");
    let frontend = Frontend { address: [10, 96, 0, 1].into(), protocol: Protocol::Udp, port: 53 };
    assert_eq!((rule.frontend, rule.action), (Some(frontend), Action::Chain("KUBE-SVC-A")));
    let more = [
        expression("payload", &[number(1, 1), number(2, 1), number(3, 12), number(4, 4)]),
        expression("cmp", &[number(1, 1), number(2, 1), constant(3, &[10, 244, 0, 0])]),
    ];
    let rule = [&more, &*encode::service([10, 96, 0, 1], 17, 53, "KUBE-MARK-MASQ")].concat();
    assert_eq!(read(Family::V4, &rule).expect("a rule").frontend, None);
}

fn target_of(revision: u32, info: &[u8]) -> Option<Rule<'static>> {
    let target = expression("target", &[text(1, "DNAT"), number(2, revision), attribute(3, info)]);
    read(Family::V4, &[target])
}

#[test]
fn each_revision_of_the_target_dnat() {
    let at = |length: usize, address: usize, port: usize| {
        let mut info = vec![0; length];
        info[address..address + 4].copy_from_slice(&[10, 244, 0, 7]);
        info[port..port + 2].copy_from_slice(&8080u16.to_be_bytes());
        info
    };
    for (revision, info) in [(0, at(20, 8, 16)), (1, at(40, 4, 36)), (2, at(48, 4, 36))] {
        let action = target_of(revision, &info).map(|rule| rule.action);
        assert_eq!(action, Some(endpoint([10, 244, 0, 7], 8080)), "{revision}");
    }
    for (revision, info) in [(2, at(20, 8, 16)), (3, at(48, 4, 36))] {
        assert_eq!(target_of(revision, &info).map(|rule| rule.action), Some(Action::Unread), "{revision}");
    }
}

#[test]
fn a_port_that_an_extension_matches() {
    let mut tcp = [0u8; 12];
    tcp[2..4].copy_from_slice(&u16::MAX.to_ne_bytes());
    tcp[4..6].copy_from_slice(&80u16.to_ne_bytes());
    tcp[6..8].copy_from_slice(&80u16.to_ne_bytes());
    assert_eq!(matched_port("tcp", &tcp), Some(80));
    assert_eq!(matched_port("udp", &tcp[..9]), Some(80));
    for changed in [0, 6, 11] {
        let mut other = tcp;
        other[changed] ^= 1;
        assert_eq!(matched_port("tcp", &other), None, "{changed}");
    }
}

#[test]
fn a_port_that_the_extension_for_sctp_matches() {
    let mut sctp = [0u8; 292];
    for at in [0, 2] {
        sctp[at..at + 2].copy_from_slice(&80u16.to_ne_bytes());
    }
    sctp[284..288].copy_from_slice(&2u32.to_ne_bytes());
    assert_eq!(matched_port("sctp", &sctp), Some(80));
    // A range, a condition of the source or of chunks, and an inverted one.
    for (changed, by) in [(2, 1), (284, 1), (284, 4), (288, 2)] {
        let mut other = sctp;
        other[changed] ^= by;
        assert_eq!(matched_port("sctp", &other), None, "{changed}");
    }
    assert_eq!(matched_port("sctp", &sctp[..291]), None, "cut off");
}

proptest! {
    #[test]
    fn any_bytes_can_be_read(bytes: Vec<u8>) {
        let _ = Rule::read(Family::V4, Attributes::new(&bytes));
    }

    /// Rules with one wrong byte. They reach deeper into the code than random bytes.
    #[test]
    fn any_rule_can_be_read(at in 0usize..400, with: u8, six: bool) {
        let mut bytes = [encode::service([10, 96, 0, 1], 6, 80, "A"), encode::dnat(&[1, 2, 3, 4], 5), encode::vmap("m")].concat().concat();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = with;
        }
        let _ = Rule::read(if six { Family::V6 } else { Family::V4 }, Attributes::new(&bytes));
    }
}
