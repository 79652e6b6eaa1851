//! The messages between an agent and the daemon: protobuf, on one bidirectional gRPC stream.
//!
//! ```text
//! agent ── Hello ───────────────► daemon    who it is, and which events have been acknowledged
//!       ◄─────────────── Probe ──           several: the first comparisons of the clocks
//!       ── Reply ───────────────►
//!       ◄───────────── Welcome ──           after which event to continue, and whether to send the state
//!       ── Batch ───────────────►           then, whenever there is something to send: events,
//!       ◄─────────────── Probe ──             a comparison that is later than all of them,
//!       ── Reply ───────────────►
//!       ◄──────── Acknowledged ──             which events need not be sent again
//! ```
//!
//! While nothing happens, the daemon sends a probe from time to time. A field never gets another meaning: agents and daemon are
//! not replaced at the same moment.

mod convert;

use bytes::Bytes;

/// The path of the stream: package, service and method.
pub(crate) const PATH: &str = "/endpointlag.agents.v1.Agents/Follow";

/// The audience of an agent's token. Tokens for the API server are not accepted, so that none needs to be sent to the daemon.
pub const AUDIENCE: &str = "endpointlag";

/// The longest event that is sent, in bytes. A frontend of 10,000 IPv6 endpoints takes a quarter of that.
pub(crate) const MAX_EVENT: usize = 1 << 20;

/// The longest message: one event of the maximum length, and the fields around it.
pub(crate) const MAX_MESSAGE: usize = MAX_EVENT + (64 << 10);

/// From the agent.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AgentMessage {
    #[prost(oneof = "FromAgent", tags = "1, 2, 3")]
    pub(crate) kind: Option<FromAgent>,
}

/// The kinds of message from an agent.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum FromAgent {
    #[prost(message, tag = "1")]
    Hello(Hello),
    #[prost(message, tag = "2")]
    Batch(Batch),
    #[prost(message, tag = "3")]
    Reply(Reply),
}

/// From the daemon.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DaemonMessage {
    #[prost(oneof = "FromDaemon", tags = "1, 2, 3")]
    pub(crate) kind: Option<FromDaemon>,
}

/// The kinds of message from the daemon.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum FromDaemon {
    #[prost(message, tag = "1")]
    Welcome(Welcome),
    #[prost(message, tag = "2")]
    Probe(Probe),
    #[prost(message, tag = "3")]
    Acknowledged(Acknowledged),
}

/// The first message of an agent.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Hello {
    /// The node that the agent says it is on.
    #[prost(string, tag = "1")]
    pub(crate) node: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    /// Distinguishes the runs of an agent: the event numbers start again in each run.
    #[prost(fixed64, tag = "3")]
    pub(crate) epoch: u64,
    /// The last event that any daemon acknowledged to it; 0 if none.
    #[prost(uint64, tag = "4")]
    pub(crate) acknowledged: u64,
}

/// The answer to a [`Hello`].
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Welcome {
    /// The last event that need not be sent again.
    #[prost(uint64, tag = "1")]
    pub(crate) acknowledged: u64,
    /// The daemon does not know what the node's kernel does now: the agent sends it as events, after all others.
    #[prost(bool, tag = "2")]
    pub(crate) wants_state: bool,
}

/// Asks for the time on the agent's clock.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Probe {
    /// The reply repeats it.
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
}

/// The agent's clock, in nanoseconds of CLOCK_MONOTONIC_RAW.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Reply {
    /// The number of the probe.
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    /// When the probe arrived.
    #[prost(uint64, tag = "2")]
    pub(crate) received: u64,
    /// When this reply was sent.
    #[prost(uint64, tag = "3")]
    pub(crate) replied: u64,
}

/// What happened on the node. The agent sends the next batch only after this one is acknowledged.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Batch {
    /// Ascending. A missing number is a lost event.
    #[prost(message, repeated, tag = "1")]
    pub(crate) events: Vec<NumberedEvent>,
    /// The data planes of the node now, once they are known.
    #[prost(message, optional, tag = "2")]
    pub(crate) planes: Option<PlanesMessage>,
}

/// An event, and its number in this run of the agent.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NumberedEvent {
    /// From 1.
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
    /// An [`EventMessage`], encoded separately: one that the daemon does not understand does not affect the others.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) event: Bytes,
}

/// The answer to a [`Batch`].
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Acknowledged {
    /// The last event that need not be sent again.
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
}

/// Something that happened.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EventMessage {
    #[prost(oneof = "EventKind", tags = "1, 2, 3")]
    kind: Option<EventKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum EventKind {
    #[prost(message, tag = "1")]
    Changed(ChangedMessage),
    #[prost(message, tag = "2")]
    Gap(GapMessage),
    #[prost(message, tag = "3")]
    State(StateMessage),
}

#[derive(Clone, PartialEq, prost::Message)]
struct StateMessage {
    #[prost(message, repeated, tag = "1")]
    frontends: Vec<FrontendState>,
    #[prost(bool, tag = "2")]
    is_last: bool,
}

/// The backends of a frontend, as a fingerprint.
#[derive(Clone, PartialEq, prost::Message)]
struct FrontendState {
    /// 4 or 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    address: Vec<u8>,
    /// The IP protocol number.
    #[prost(uint32, tag = "2")]
    protocol: u32,
    #[prost(uint32, tag = "3")]
    port: u32,
    #[prost(fixed64, tag = "4")]
    fingerprint: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ChangedMessage {
    /// 4 or 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    address: Vec<u8>,
    /// The IP protocol number.
    #[prost(uint32, tag = "2")]
    protocol: u32,
    #[prost(uint32, tag = "3")]
    port: u32,
    #[prost(message, repeated, tag = "4")]
    added: Vec<EndpointMessage>,
    #[prost(message, repeated, tag = "5")]
    removed: Vec<EndpointMessage>,
    #[prost(oneof = "WhenKind", tags = "6, 7")]
    when: Option<WhenKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum WhenKind {
    #[prost(message, tag = "6")]
    Commit(CommitMessage),
    #[prost(message, tag = "7")]
    Gap(GapMessage),
}

#[derive(Clone, PartialEq, prost::Message)]
struct EndpointMessage {
    /// 4 or 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    address: Vec<u8>,
    #[prost(uint32, tag = "2")]
    port: u32,
}

/// Times are nanoseconds of CLOCK_MONOTONIC_RAW of the node.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct CommitMessage {
    #[prost(uint64, tag = "1")]
    first: u64,
    #[prost(uint64, tag = "2")]
    end: u64,
    #[prost(uint32, tag = "3")]
    messages: u32,
    #[prost(uint32, tag = "4")]
    generation: u32,
}

/// Times are nanoseconds of CLOCK_MONOTONIC_RAW of the node.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct GapMessage {
    #[prost(uint64, tag = "1")]
    since: u64,
    #[prost(uint64, tag = "2")]
    until: u64,
    #[prost(enumeration = "LossNumber", tag = "3")]
    loss: i32,
}

/// For IPv4 and IPv6: which rules decide and which are left over. Also what was found where there are no rules.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PlanesMessage {
    #[prost(enumeration = "ModeNumber", tag = "1")]
    ipv4: i32,
    #[prost(enumeration = "ModeNumber", tag = "2")]
    ipv4_behind: i32,
    #[prost(enumeration = "ModeNumber", tag = "3")]
    ipv6: i32,
    #[prost(enumeration = "ModeNumber", tag = "4")]
    ipv6_behind: i32,
    #[prost(enumeration = "UnseenNumber", repeated, tag = "5")]
    unseen: Vec<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
enum LossNumber {
    Unknown = 0,
    SocketOverrun = 1,
    QueueOverflow = 2,
    MissedGeneration = 3,
    Malformed = 4,
    NotRunning = 5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
enum ModeNumber {
    None = 0,
    Nftables = 1,
    Iptables = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
enum UnseenNumber {
    Unknown = 0,
    IptablesLegacy = 1,
    Ipvs = 2,
    Cilium = 3,
    CalicoEbpf = 4,
}

impl From<FromAgent> for AgentMessage {
    fn from(kind: FromAgent) -> Self {
        Self { kind: Some(kind) }
    }
}

impl From<FromDaemon> for DaemonMessage {
    fn from(kind: FromDaemon) -> Self {
        Self { kind: Some(kind) }
    }
}
