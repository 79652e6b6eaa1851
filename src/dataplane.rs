//! What one node does with connections of Services, and when this changed.
//!
//! ```text
//! kernel ──────────────► follower ──► ruleset ──► table ──► effective ──► reports
//! socket, stamps, queue, commits:     both modes  rules,    sets:         observations, gaps,
//! dumps                  complete?    and both    elements  compared      data planes
//!                                     families
//! ```
//!
//! kube-proxy writes a Service into the kernel in many ways, and sometimes rewrites it without a change. So no kernel message
//! counts as a change. All rules are modelled (`table`, in a `graph`: what leads from a frontend to its endpoints; `nftables` and
//! `iptables` know how kube-proxy writes it), and the sets of endpoints are compared at each commit.
//!
//! [`Reader`] is the interface of every data plane; [`KernelReader`] is the one of kube-proxy. The model is pure:
//! `effective`, `follower`, `graph`, `iptables`, `lines`, `nftables`, `rule`, `ruleset` and `table` use no I/O and no clock.
//!
//! The reports of a reader go into the [`Outbox`], and the [`Uplink`] sends them from there to a daemon.

mod args;
pub(crate) mod clock;
mod effective;
#[cfg(test)]
mod encode;
mod event;
mod fingerprints;
mod follower;
mod graph;
mod iptables;
mod kernel;
mod lines;
pub(crate) mod messages;
mod netlink;
mod nftables;
mod observation;
mod outbox;
pub(crate) mod print;
mod queue;
mod reader;
mod ring;
mod rule;
mod ruleset;
mod table;
mod unseen;
mod uplink;

pub use self::{
    args::{Args, NodeSettings, Output},
    effective::EffectiveSets,
    event::{Event, StatePart},
    follower::Counts,
    kernel::{KernelReader, Limits},
    lines::WriteError,
    messages::AUDIENCE,
    netlink::{attributes::Malformed, dump::DumpError, socket::SocketError},
    observation::{
        Backend, Commit, FamilyPlane, Frontend, Gap, Loss, Mode, Observation, Planes, Protocol, Report, SetChange,
        Unseen, When,
    },
    outbox::{Outbox, OutboxCounts},
    print::{PrintError, print},
    reader::{FakeReader, ReadError, Reader},
    ring::Lost,
    uplink::{Uplink, UplinkArgs, UplinkHealth, UplinkSettings, UplinkState},
};
