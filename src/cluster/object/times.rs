//! The times in a pod. They are read of few pods, and after all else: only of those that become ready or unready.

use super::ObjectError;
use crate::{
    cluster::wire::fields::{Fields, MessageError, Value},
    model::{PodTimes, Probe, Probes, WholeSecond},
};
use std::time::Duration;

/// What the API server would have set. Its own defaults are always there.
const DEFAULT_PERIOD: Duration = Duration::from_secs(10);

/// The times of an encoded `v1` Pod. Its spec is read only `with_spec`. Field numbers are those of
/// [`messages::Pod`](crate::simulator::messages::Pod).
///
/// # Errors
/// If the bytes are not a pod.
pub fn decode_times(message: &[u8], with_spec: bool) -> Result<PodTimes, ObjectError> {
    let mut times = PodTimes::default();
    read(message, with_spec, &mut times).map_err(|source| ObjectError::Undecodable { kind: "Pod", source })?;
    Ok(times)
}

fn read(message: &[u8], with_spec: bool, times: &mut PodTimes) -> Result<(), MessageError> {
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(metadata)) => {
                for field in Fields::of(metadata) {
                    if let (8, Value::Bytes(time)) = field? {
                        times.created = whole_second(time)?;
                    }
                }
            }
            (2, Value::Bytes(spec)) if with_spec => read_spec(spec, times)?,
            (3, Value::Bytes(status)) => read_status(status, times)?,
            _ => {}
        }
    }
    Ok(())
}

fn read_status(message: &[u8], times: &mut PodTimes) -> Result<(), MessageError> {
    for field in Fields::of(message) {
        match field? {
            (2, Value::Bytes(condition)) => read_condition(condition, times)?,
            (8, Value::Bytes(status)) => {
                let (started, restarts) = container(status)?;
                times.containers.add(started, restarts);
            }
            (10, Value::Bytes(status)) => {
                let (_, restarts) = container(status)?;
                times.init_restarts = times.init_restarts.saturating_add(restarts);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Of several conditions of one type the first counts, as for [`Pod::ready`](crate::model::Pod::ready).
fn read_condition(message: &[u8], times: &mut PodTimes) -> Result<(), MessageError> {
    let (mut kind, mut status, mut changed) = (&[][..], &[][..], None);
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(bytes)) => kind = bytes,
            (2, Value::Bytes(bytes)) => status = bytes,
            (4, Value::Bytes(time)) => changed = whole_second(time)?,
            _ => {}
        }
    }
    let since = changed.filter(|_| status == b"True");
    let (time, value) = match kind {
        b"PodScheduled" => (&mut times.scheduled, since),
        b"Initialized" => (&mut times.initialized, since),
        b"ContainersReady" => (&mut times.containers_ready, since),
        b"Ready" => (&mut times.ready_changed, changed),
        b"PodReadyToStartContainers" => (&mut times.sandbox_changed, changed),
        b"AllContainersRestarting" => (&mut times.all_restarting_changed, changed),
        _ => return Ok(()),
    };
    *time = time.or(value);
    Ok(())
}

/// When a container started, if it runs, and how often it was restarted.
fn container(status: &[u8]) -> Result<(Option<WholeSecond>, u64), MessageError> {
    let (mut started, mut restarts) = (None, 0);
    for field in Fields::of(status) {
        match field? {
            (2, Value::Bytes(state)) => started = started_at(state)?,
            (5, Value::Number(number)) => restarts = u64::try_from(number.cast_signed()).unwrap_or_default(),
            _ => {}
        }
    }
    Ok((started, restarts))
}

/// `running.startedAt` of a container's state.
fn started_at(state: &[u8]) -> Result<Option<WholeSecond>, MessageError> {
    let mut started = None;
    for field in Fields::of(state) {
        let (2, Value::Bytes(running)) = field? else { continue };
        for field in Fields::of(running) {
            if let (1, Value::Bytes(time)) = field? {
                started = whole_second(time)?;
            }
        }
    }
    Ok(started)
}

/// A `Time`. An empty one is the zero time of Go, which is none.
fn whole_second(message: &[u8]) -> Result<Option<WholeSecond>, MessageError> {
    let mut second = None;
    for field in Fields::of(message) {
        if let (1, Value::Number(seconds)) = field? {
            second = Some(WholeSecond::new(seconds.cast_signed()));
        }
    }
    Ok(second)
}

fn read_spec(message: &[u8], times: &mut PodTimes) -> Result<(), MessageError> {
    for field in Fields::of(message) {
        match field? {
            (2, Value::Bytes(container)) => times.probes.extend(probes(container, true)?),
            // Ready waits only for those that keep running.
            (20, Value::Bytes(container)) => times.probes.extend(probes(container, false)?),
            (28, Value::Bytes(_)) => times.has_gates = true,
            _ => {}
        }
    }
    Ok(())
}

/// The probes of a container, if it has any and keeps running: as an ordinary container always does.
fn probes(container: &[u8], mut keeps_running: bool) -> Result<Option<Probes>, MessageError> {
    let mut probes = Probes::default();
    for field in Fields::of(container) {
        match field? {
            (11, Value::Bytes(message)) => probes.readiness = Some(probe(message)?),
            (22, Value::Bytes(message)) => probes.startup = Some(probe(message)?),
            (24, Value::Bytes(policy)) => keeps_running |= policy == b"Always",
            _ => {}
        }
    }
    Ok(Some(probes).filter(|probes| keeps_running && *probes != Probes::default()))
}

fn probe(message: &[u8]) -> Result<Probe, MessageError> {
    let mut probe = Probe { initial_delay: Duration::ZERO, period: DEFAULT_PERIOD, successes: 1 };
    // An int32 is encoded as its 64-bit extension. The API server allows no negative one.
    let number = |value: u64| u32::try_from(value).unwrap_or_default();
    for field in Fields::of(message) {
        match field? {
            (2, Value::Number(seconds)) => probe.initial_delay = Duration::from_secs(number(seconds).into()),
            (4, Value::Number(seconds)) => probe.period = Duration::from_secs(number(seconds).into()),
            (5, Value::Number(times)) => probe.successes = number(times),
            _ => {}
        }
    }
    Ok(probe)
}

#[cfg(test)]
mod tests;
