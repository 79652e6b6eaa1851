//! The messages on one stream.

use super::UplinkError;
use crate::{
    VERSION,
    dataplane::{
        clock,
        messages::{AgentMessage, DaemonMessage, FromAgent, FromDaemon, Hello, Probe, Reply},
        outbox::Outbox,
    },
};
use futures::channel::mpsc::Sender;
use rand::RngExt;
use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};
use tokio::time::Instant;
use tonic::Streaming;

/// Bytes of events in one batch: some hundreds of changes.
const BATCH: usize = 32 << 10;

/// How long an event may wait for others in the same batch. Many nodes see the same change at the same moment: so each waits for a
/// random time up to this.
const GATHER: Duration = Duration::from_secs(1);

/// How long the daemon may be silent. It sends a probe about every ten seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// An open stream.
pub(super) struct Conversation {
    outbox: Arc<Outbox>,
    outbound: Sender<AgentMessage>,
    inbound: Streaming<DaemonMessage>,
    /// When the next batch is due. `None` if there is nothing to send, or if one is in flight.
    due: Option<Instant>,
    /// Whether a batch is in flight.
    telling: bool,
}

// === impl Conversation ===

impl Conversation {
    pub(super) fn new(outbox: Arc<Outbox>, outbound: Sender<AgentMessage>, inbound: Streaming<DaemonMessage>) -> Self {
        Self { outbox, outbound, inbound, due: None, telling: false }
    }

    /// Runs until the daemon's welcome.
    pub(super) async fn begin(&mut self, node: &str, epoch: u64) -> Result<(), UplinkError> {
        let acknowledged = self.outbox.acknowledged();
        let hello = Hello { node: node.to_owned(), version: VERSION.to_owned(), epoch, acknowledged };
        self.say(FromAgent::Hello(hello))?;
        loop {
            match self.hear().await? {
                FromDaemon::Probe(probe) => self.reply(probe)?,
                FromDaemon::Welcome(welcome) => {
                    self.outbox.acknowledge(welcome.acknowledged);
                    if welcome.wants_state {
                        self.outbox.want_state();
                    }
                    // The data planes are sent at once, whatever was sent before.
                    self.due = Some(Instant::now());
                    return Ok(());
                }
                FromDaemon::Acknowledged(_) => return Err(UplinkError::Unexpected),
            }
        }
    }

    /// Sends what there is, until the stream ends.
    pub(super) async fn go_on(&mut self) -> Result<Infallible, UplinkError> {
        loop {
            let outbox = self.outbox.clone();
            let due = self.due;
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                message = self.hear() => match message? {
                    FromDaemon::Probe(probe) => self.reply(probe)?,
                    FromDaemon::Acknowledged(acknowledged) => {
                        self.telling = false;
                        self.outbox.acknowledge(acknowledged.sequence);
                        if !self.outbox.is_empty() {
                            self.plan();
                        }
                    }
                    FromDaemon::Welcome(_) => return Err(UplinkError::Unexpected),
                },
                () = outbox.news(), if !self.telling && self.due.is_none() => self.plan(),
                () = due => self.tell()?,
            }
        }
    }

    /// Decides when to send what there is. A full batch does not wait longer.
    fn plan(&mut self) {
        self.due = match self.outbox.waiting_bytes() {
            BATCH.. => Some(Instant::now()),
            _ => Some(Instant::now() + GATHER.mul_f64(rand::rng().random())),
        };
    }

    fn tell(&mut self) -> Result<(), UplinkError> {
        self.due = None;
        if let Some(batch) = self.outbox.batch(BATCH) {
            self.telling = true;
            self.say(FromAgent::Batch(batch))?;
        }
        Ok(())
    }

    fn reply(&mut self, Probe { number }: Probe) -> Result<(), UplinkError> {
        let received = clock::now().as_nanos();
        let reply = Reply { number, received, replied: clock::now().as_nanos() };
        self.say(FromAgent::Reply(reply))
    }

    fn say(&mut self, message: FromAgent) -> Result<(), UplinkError> {
        self.outbound.try_send(message.into()).map_err(|_| UplinkError::Ended)
    }

    async fn hear(&mut self) -> Result<FromDaemon, UplinkError> {
        let message = tokio::time::timeout(SILENCE, self.inbound.message()).await.map_err(|_| UplinkError::Silent)?;
        match message? {
            Some(message) => message.kind.ok_or(UplinkError::Unexpected),
            None => Err(UplinkError::Ended),
        }
    }
}
