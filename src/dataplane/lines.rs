//! Reports as lines of JSON, for people, tests and programs.

use super::{
    effective::EffectiveSets,
    observation::{Backend, FamilyPlane, Frontend, Gap, Report, When},
};
use serde::Serialize;
use std::io::{self, Write};

/// Why a line was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write a line")]
pub struct WriteError(#[source] io::Error);

/// One line. Times are nanoseconds of CLOCK_MONOTONIC_RAW of the node.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    /// Where all connections go.
    State { at_ns: u64, frontends: Vec<State<'a>> },
    /// A change with a commit of its own.
    Change {
        #[serde(flatten)]
        change: Change<'a>,
        first_ns: u64,
        commit_ns: u64,
        messages: u32,
        generation: u32,
    },
    /// A change that was found after a gap.
    Censored {
        #[serde(flatten)]
        change: Change<'a>,
        #[serde(flatten)]
        gap: GapTimes,
    },
    /// A time in which changes were missed.
    Gap {
        #[serde(flatten)]
        gap: GapTimes,
        loss: &'static str,
    },
    /// Which data planes exist.
    Planes { ipv4: Plane, ipv6: Plane, unseen: Vec<&'static str> },
}

#[derive(Debug, Serialize)]
struct State<'a> {
    frontend: Name,
    #[serde(serialize_with = "as_text")]
    endpoints: &'a [Backend],
}

#[derive(Debug, Serialize)]
struct Change<'a> {
    frontend: Name,
    #[serde(serialize_with = "as_text")]
    added: &'a [Backend],
    #[serde(serialize_with = "as_text")]
    removed: &'a [Backend],
}

#[derive(Debug, Serialize)]
struct Name {
    address: String,
    protocol: &'static str,
    port: u16,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct GapTimes {
    since_ns: u64,
    until_ns: u64,
}

#[derive(Debug, Serialize)]
struct Plane {
    decides: Option<&'static str>,
    behind: Option<&'static str>,
}

/// Writes a report as one line.
///
/// # Errors
/// The line cannot be written.
pub(crate) fn write(mut out: impl Write, report: &Report) -> Result<(), WriteError> {
    let mut line = serde_json::to_vec(&Line::of(report)).map_err(|error| WriteError(error.into()))?;
    line.push(b'\n');
    out.write_all(&line).and_then(|()| out.flush()).map_err(WriteError)
}

// === impl Line ===

impl<'a> Line<'a> {
    fn of(report: &'a Report) -> Self {
        match report {
            Report::State { at, sets } => Self::State { at_ns: at.as_nanos(), frontends: states(sets) },
            Report::Changed(observation) => {
                let change = Change {
                    frontend: observation.change.frontend.into(),
                    added: &observation.change.added,
                    removed: &observation.change.removed,
                };
                match observation.when {
                    When::Commit(commit) => Self::Change {
                        change,
                        first_ns: commit.first.as_nanos(),
                        commit_ns: commit.end.as_nanos(),
                        messages: commit.messages,
                        generation: commit.generation,
                    },
                    When::Gap(gap) => Self::Censored { change, gap: gap.into() },
                }
            }
            Report::Gap(gap) => Self::Gap { gap: (*gap).into(), loss: gap.loss.as_str() },
            Report::Planes(planes) => {
                let [ipv4, ipv6] = planes.families.map(Into::into);
                Self::Planes { ipv4, ipv6, unseen: planes.unseen.iter().map(|it| it.as_str()).collect() }
            }
        }
    }
}

impl From<Frontend> for Name {
    fn from(frontend: Frontend) -> Self {
        Self { address: frontend.address.to_string(), protocol: frontend.protocol.as_str(), port: frontend.port }
    }
}

impl From<Gap> for GapTimes {
    fn from(gap: Gap) -> Self {
        Self { since_ns: gap.since.as_nanos(), until_ns: gap.until.as_nanos() }
    }
}

impl From<FamilyPlane> for Plane {
    fn from(plane: FamilyPlane) -> Self {
        Self { decides: plane.decides.map(|it| it.as_str()), behind: plane.behind.map(|it| it.as_str()) }
    }
}

/// All sets, ordered by frontend.
fn states(sets: &EffectiveSets) -> Vec<State<'_>> {
    let mut sets: Vec<_> = sets.iter().collect();
    sets.sort_unstable_by_key(|(frontend, _)| **frontend);
    sets.into_iter().map(|(frontend, endpoints)| State { frontend: (*frontend).into(), endpoints }).collect()
}

fn as_text<S: serde::Serializer>(endpoints: &[Backend], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(endpoints.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dataplane::observation::{Commit, Loss, Mode, Observation, Planes, Protocol, SetChange, Unseen},
        model::Stamp,
    };
    use std::net::Ipv4Addr;

    fn line(report: &Report) -> String {
        let mut out = Vec::new();
        write(&mut out, report).expect("a line");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn each_report_is_a_line() {
        let address = Ipv4Addr::new(10, 96, 0, 10).into();
        let frontend = Frontend { address, protocol: Protocol::Udp, port: 53 };
        let endpoint = |host| Backend { address: Ipv4Addr::new(10, 244, 0, host).into(), port: 8053 };
        let change = SetChange { frontend, added: vec![endpoint(1)], removed: vec![] };
        let at = Stamp::from_nanos;
        let gap = Gap { since: at(1), until: at(2), loss: Loss::SocketOverrun };
        let commit = Commit { first: at(3), end: at(4), messages: 5, generation: 6 };
        let planes = Planes {
            families: [FamilyPlane { decides: Some(Mode::Nftables), behind: None }, FamilyPlane::default()],
            unseen: vec![Unseen::Ipvs],
        };
        let told = [
            Report::State { at: at(7), sets: [(frontend, vec![endpoint(1)])].into_iter().collect() },
            Report::Changed(Observation { change: change.clone(), when: When::Commit(commit) }),
            Report::Gap(gap),
            Report::Changed(Observation { change, when: When::Gap(gap) }),
            Report::Planes(planes),
        ];
        let name = r#""frontend":{"address":"10.96.0.10","protocol":"UDP","port":53}"#;
        assert_eq!(
            told.each_ref().map(line).concat(),
            format!(
                r#"{{"type":"state","at_ns":7,"frontends":[{{{name},"endpoints":["10.244.0.1:8053"]}}]}}
{{"type":"change",{name},"added":["10.244.0.1:8053"],"removed":[],"first_ns":3,"commit_ns":4,"messages":5,"generation":6}}
{{"type":"gap","since_ns":1,"until_ns":2,"loss":"socket_overrun"}}
{{"type":"censored",{name},"added":["10.244.0.1:8053"],"removed":[],"since_ns":1,"until_ns":2}}
{{"type":"planes","ipv4":{{"decides":"nftables","behind":null}},"ipv6":{{"decides":null,"behind":null}},"unseen":["ipvs"]}}
"#
            )
        );
    }
}
