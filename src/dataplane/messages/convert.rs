//! Conversion between the messages and their contents.

use super::{
    ChangedMessage, CommitMessage, EndpointMessage, EventKind, EventMessage, FrontendState, GapMessage, LossNumber,
    ModeNumber, PlanesMessage, StateMessage, UnseenNumber, WhenKind,
};
use crate::{
    dataplane::{
        Backend, Commit, Event, FamilyPlane, Frontend, Gap, Loss, Mode, Observation, Planes, Protocol, SetChange,
        StatePart, Unseen, When,
    },
    model::{Fingerprint, Stamp},
};
use bytes::Bytes;
use prost::Message;
use std::net::IpAddr;

/// A message that cannot be understood here: damaged, or of a later version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It is not protobuf, or not of this kind.
    #[error("not a message of this kind")]
    Encoding(#[from] prost::DecodeError),
    /// A required part is missing.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// An address is neither IPv4 nor IPv6.
    #[error("an address of {0} bytes")]
    Address(usize),
    /// A number has no known meaning.
    #[error("{1} is no {0}")]
    Number(&'static str, i64),
}

// === impl EventMessage ===

impl EventMessage {
    /// Reads an event.
    ///
    /// # Errors
    /// If it is not a known event.
    pub(crate) fn read(bytes: &Bytes) -> Result<Event, Unreadable> {
        match Self::decode(bytes.as_ref())?.kind.ok_or(Unreadable::Missing("kind"))? {
            EventKind::Changed(changed) => Ok(Event::Changed(changed.read()?)),
            EventKind::Gap(gap) => Ok(Event::Gap(gap.read()?)),
            EventKind::State(state) => Ok(Event::State(state.read()?)),
        }
    }
}

impl From<&Event> for EventMessage {
    fn from(event: &Event) -> Self {
        Self {
            kind: Some(match event {
                Event::Changed(observation) => EventKind::Changed(observation.into()),
                Event::Gap(gap) => EventKind::Gap((*gap).into()),
                Event::State(state) => EventKind::State(state.into()),
            }),
        }
    }
}

// === impl StateMessage ===

impl StateMessage {
    fn read(self) -> Result<StatePart, Unreadable> {
        let read = |it: FrontendState| {
            Ok((frontend(&it.address, it.protocol, it.port)?, Fingerprint::from_number(it.fingerprint)))
        };
        let frontends = self.frontends.into_iter().map(read).collect::<Result<_, Unreadable>>()?;
        Ok(StatePart { frontends, is_last: self.is_last })
    }
}

impl From<&StatePart> for StateMessage {
    fn from(StatePart { frontends, is_last }: &StatePart) -> Self {
        let frontends = frontends.iter().map(|(frontend, fingerprint)| FrontendState {
            address: octets(frontend.address),
            protocol: frontend.protocol.number().into(),
            port: frontend.port.into(),
            fingerprint: fingerprint.number(),
        });
        Self { frontends: frontends.collect(), is_last: *is_last }
    }
}

/// Reads a frontend.
fn frontend(octets: &[u8], protocol: u32, number: u32) -> Result<Frontend, Unreadable> {
    let known = u8::try_from(protocol).ok().and_then(Protocol::from_number);
    let protocol = known.ok_or(Unreadable::Number("protocol", protocol.into()))?;
    Ok(Frontend { address: address(octets)?, protocol, port: port(number)? })
}

// === impl ChangedMessage ===

impl ChangedMessage {
    fn read(self) -> Result<Observation, Unreadable> {
        let frontend = frontend(&self.address, self.protocol, self.port)?;
        let endpoints =
            |all: Vec<EndpointMessage>| all.into_iter().map(EndpointMessage::read).collect::<Result<_, _>>();
        let change = SetChange { frontend, added: endpoints(self.added)?, removed: endpoints(self.removed)? };
        let when = match self.when.ok_or(Unreadable::Missing("time"))? {
            WhenKind::Commit(commit) => When::Commit(commit.into()),
            WhenKind::Gap(gap) => When::Gap(gap.read()?),
        };
        Ok(Observation { change, when })
    }
}

impl From<&Observation> for ChangedMessage {
    fn from(Observation { change, when }: &Observation) -> Self {
        let endpoints = |all: &[Backend]| all.iter().map(EndpointMessage::from).collect();
        Self {
            address: octets(change.frontend.address),
            protocol: change.frontend.protocol.number().into(),
            port: change.frontend.port.into(),
            added: endpoints(&change.added),
            removed: endpoints(&change.removed),
            when: Some(match when {
                When::Commit(commit) => WhenKind::Commit((*commit).into()),
                When::Gap(gap) => WhenKind::Gap((*gap).into()),
            }),
        }
    }
}

// === impl EndpointMessage ===

impl EndpointMessage {
    fn read(self) -> Result<Backend, Unreadable> {
        Ok(Backend { address: address(&self.address)?, port: port(self.port)? })
    }
}

impl From<&Backend> for EndpointMessage {
    fn from(endpoint: &Backend) -> Self {
        Self { address: octets(endpoint.address), port: endpoint.port.into() }
    }
}

// === impl CommitMessage ===

impl From<CommitMessage> for Commit {
    fn from(CommitMessage { first, end, messages, generation }: CommitMessage) -> Self {
        Self { first: Stamp::from_nanos(first), end: Stamp::from_nanos(end), messages, generation }
    }
}

impl From<Commit> for CommitMessage {
    fn from(Commit { first, end, messages, generation }: Commit) -> Self {
        Self { first: first.as_nanos(), end: end.as_nanos(), messages, generation }
    }
}

// === impl GapMessage ===

impl GapMessage {
    fn read(self) -> Result<Gap, Unreadable> {
        let loss = match self.loss() {
            LossNumber::SocketOverrun => Loss::SocketOverrun,
            LossNumber::QueueOverflow => Loss::QueueOverflow,
            LossNumber::MissedGeneration => Loss::MissedGeneration,
            LossNumber::Malformed => Loss::Malformed,
            LossNumber::NotRunning => Loss::NotRunning,
            LossNumber::Unknown => return Err(Unreadable::Number("loss", self.loss.into())),
        };
        Ok(Gap { since: Stamp::from_nanos(self.since), until: Stamp::from_nanos(self.until), loss })
    }
}

impl From<Gap> for GapMessage {
    fn from(gap: Gap) -> Self {
        let loss = match gap.loss {
            Loss::SocketOverrun => LossNumber::SocketOverrun,
            Loss::QueueOverflow => LossNumber::QueueOverflow,
            Loss::MissedGeneration => LossNumber::MissedGeneration,
            Loss::Malformed => LossNumber::Malformed,
            Loss::NotRunning => LossNumber::NotRunning,
        };
        Self { since: gap.since.as_nanos(), until: gap.until.as_nanos(), loss: loss.into() }
    }
}

// === impl PlanesMessage ===

impl From<&Planes> for PlanesMessage {
    fn from(Planes { families: [ipv4, ipv6], unseen }: &Planes) -> Self {
        let number = |mode: Option<Mode>| -> i32 {
            match mode {
                None => ModeNumber::None,
                Some(Mode::Nftables) => ModeNumber::Nftables,
                Some(Mode::Iptables) => ModeNumber::Iptables,
            }
            .into()
        };
        let unseen = unseen.iter().map(|unseen| match unseen {
            Unseen::IptablesLegacy => UnseenNumber::IptablesLegacy,
            Unseen::Ipvs => UnseenNumber::Ipvs,
            Unseen::Cilium => UnseenNumber::Cilium,
            Unseen::CalicoEbpf => UnseenNumber::CalicoEbpf,
        });
        Self {
            ipv4: number(ipv4.decides),
            ipv4_behind: number(ipv4.behind),
            ipv6: number(ipv6.decides),
            ipv6_behind: number(ipv6.behind),
            unseen: unseen.map(i32::from).collect(),
        }
    }
}

impl From<&PlanesMessage> for Planes {
    /// Values of a later version that this version does not know are left out.
    fn from(message: &PlanesMessage) -> Self {
        let mode = |number: ModeNumber| match number {
            ModeNumber::None => None,
            ModeNumber::Nftables => Some(Mode::Nftables),
            ModeNumber::Iptables => Some(Mode::Iptables),
        };
        let unseen = message.unseen().filter_map(|number| match number {
            UnseenNumber::Unknown => None,
            UnseenNumber::IptablesLegacy => Some(Unseen::IptablesLegacy),
            UnseenNumber::Ipvs => Some(Unseen::Ipvs),
            UnseenNumber::Cilium => Some(Unseen::Cilium),
            UnseenNumber::CalicoEbpf => Some(Unseen::CalicoEbpf),
        });
        Self {
            families: [
                FamilyPlane { decides: mode(message.ipv4()), behind: mode(message.ipv4_behind()) },
                FamilyPlane { decides: mode(message.ipv6()), behind: mode(message.ipv6_behind()) },
            ],
            unseen: unseen.collect(),
        }
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}

fn address(bytes: &[u8]) -> Result<IpAddr, Unreadable> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).map_err(|_| Unreadable::Address(bytes.len()))
}

fn port(number: u32) -> Result<u16, Unreadable> {
    u16::try_from(number).map_err(|_| Unreadable::Number("port", number.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*, sample::select};

    fn some_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
    }

    fn some_endpoints() -> impl Strategy<Value = Vec<Backend>> {
        vec((some_address(), any::<u16>()).prop_map(|(address, port)| Backend { address, port }), 0..4)
    }

    fn some_gap() -> impl Strategy<Value = Gap> {
        let times = any::<(u64, u64)>();
        (times, select(Loss::ALL.to_vec())).prop_map(|((since, until), loss)| Gap {
            since: Stamp::from_nanos(since),
            until: Stamp::from_nanos(until),
            loss,
        })
    }

    fn some_frontend() -> impl Strategy<Value = Frontend> {
        let protocol = select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
        let parts = (some_address(), protocol, any::<u16>());
        parts.prop_map(|(address, protocol, port)| Frontend { address, protocol, port })
    }

    fn some_event() -> impl Strategy<Value = Event> {
        let commit = any::<(u64, u64, u32, u32)>().prop_map(|(first, end, messages, generation)| {
            let (first, end) = (Stamp::from_nanos(first), Stamp::from_nanos(end));
            When::Commit(Commit { first, end, messages, generation })
        });
        let when = prop_oneof![commit, some_gap().prop_map(When::Gap)];
        let changed =
            (some_frontend(), some_endpoints(), some_endpoints(), when).prop_map(|(frontend, added, removed, when)| {
                Event::Changed(Observation { change: SetChange { frontend, added, removed }, when })
            });
        let fingerprint = any::<u64>().prop_map(Fingerprint::from_number);
        let state = (vec((some_frontend(), fingerprint), 0..4), any::<bool>());
        let state = state.prop_map(|(frontends, is_last)| Event::State(StatePart { frontends, is_last }));
        prop_oneof![changed, some_gap().prop_map(Event::Gap), state]
    }

    fn some_planes() -> impl Strategy<Value = Planes> {
        let mode = || select(vec![None, Some(Mode::Nftables), Some(Mode::Iptables)]);
        let family = (mode(), mode()).prop_map(|(decides, behind)| FamilyPlane { decides, behind });
        let unseen = vec![Unseen::IptablesLegacy, Unseen::Ipvs, Unseen::Cilium, Unseen::CalicoEbpf];
        ([family.clone(), family], vec(select(unseen), 0..3)).prop_map(|(families, unseen)| Planes { families, unseen })
    }

    proptest! {
        #[test]
        fn an_event_is_read_as_it_was_written(event in some_event()) {
            let bytes = Bytes::from(EventMessage::from(&event).encode_to_vec());
            prop_assert_eq!(EventMessage::read(&bytes), Ok(event));
        }

        #[test]
        fn planes_are_read_as_they_were_written(planes in some_planes()) {
            prop_assert_eq!(Planes::from(&PlanesMessage::from(&planes)), planes);
        }

        /// Any bytes are either read or refused.
        #[test]
        fn no_bytes_do_harm(bytes in vec(any::<u8>(), 0..64)) {
            let _ = EventMessage::read(&Bytes::from(bytes));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let read = |message: ChangedMessage| {
            let message = EventMessage { kind: Some(EventKind::Changed(message)) };
            EventMessage::read(&Bytes::from(message.encode_to_vec())).expect_err("refused")
        };
        let message =
            ChangedMessage { address: vec![10, 96, 0, 1], protocol: 6, port: 80, ..ChangedMessage::default() };
        assert_eq!(read(message.clone()), Unreadable::Missing("time"));
        assert_eq!(read(ChangedMessage { protocol: 1, ..message.clone() }), Unreadable::Number("protocol", 1));
        assert_eq!(read(ChangedMessage { port: 65_536, ..message.clone() }), Unreadable::Number("port", 65_536));
        assert_eq!(read(ChangedMessage { address: vec![1; 5], ..message }), Unreadable::Address(5));
        assert_eq!(EventMessage::read(&Bytes::new()), Err(Unreadable::Missing("kind")));
        let gap = EventMessage { kind: Some(EventKind::Gap(GapMessage { since: 1, until: 2, loss: 99 })) };
        assert_eq!(EventMessage::read(&Bytes::from(gap.encode_to_vec())), Err(Unreadable::Number("loss", 99)));
    }
}
