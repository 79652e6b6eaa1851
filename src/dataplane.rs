//! What one node does with connections of Services, and when that changed.
//!
//! ```text
//! kernel ──────────────► follower ──► ruleset ──► table ──► effective ──► reports
//! socket, stamps, queue, commits:     both modes  rules,    sets:         observations, gaps,
//! dumps                  complete?    and both    elements  compared      data planes
//!                                     families
//! ```
//!
//! kube-proxy writes a Service into the kernel in many ways, and rewrites it now and then without a change. So no message of the
//! kernel is taken for a change. All rules are modelled (`table`: what leads from a frontend to its endpoints, as `nftables` and
//! `iptables` know kube-proxy to write it), and at each commit the sets of endpoints are compared.
//!
//! [`Reader`] is what any data plane looks like from outside; [`KernelReader`] is that of kube-proxy. All but `kernel`, `queue`,
//! `unseen`, `clock` and the socket in `netlink` is pure.
//!
//! What a reader reports goes into the [`Outbox`], and from there the [`Uplink`] tells a daemon.

mod args;
pub(crate) mod clock;
mod effective;
#[cfg(test)]
mod encode;
mod event;
mod follower;
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
    event::Event,
    follower::Counts,
    kernel::{KernelReader, Limits},
    lines::WriteError,
    messages::AUDIENCE,
    netlink::{attributes::Malformed, dump::DumpError, socket::SocketError},
    observation::{
        Commit, Endpoint, FamilyPlane, Frontend, Gap, Loss, Mode, Observation, Planes, Protocol, Report, SetChange,
        Unseen, When,
    },
    outbox::{Outbox, OutboxCounts},
    print::{PrintError, print},
    reader::{FakeReader, ReadError, Reader},
    ring::Lost,
    uplink::{Uplink, UplinkArgs, UplinkHealth, UplinkSettings, UplinkState},
};
