//! The exchange with one agent, from its first message to the end of its stream.

use super::{
    agents::{Admitted, Agents},
    offset::Exchange,
    refusal::Refusal,
    visit::Visit,
};
use crate::{
    dataplane::{
        self,
        messages::{
            Acknowledged, AgentMessage, Batch, DaemonMessage, FromAgent, FromDaemon, Hello, Probe, Reply, Welcome,
        },
    },
    model::Stamp,
};
use futures::channel::mpsc::Sender;
use rand::RngExt;
use std::{error::Error as _, future::pending, sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::Instant};
use tonic::{Status, Streaming};

/// Number of clock comparisons before the first event.
const GREETINGS: usize = 4;

/// How often the clocks are compared once more before a batch is taken, while the comparison is much less exact than earlier ones.
const REPEATS: usize = 3;

/// Time between clock comparisons while the agent sends nothing, plus or minus a fifth.
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// How long an agent may take to answer.
const ANSWER: Duration = Duration::from_secs(15);

/// How long a token is trusted, plus or minus a tenth. Then the agent must connect again, with a valid token.
const TRUSTED: Duration = Duration::from_secs(3600);

/// Length of the longest name that Kubernetes allows, in bytes.
const LONGEST_NAME: usize = 253;

/// Messages that may wait for the agent. At most two are sent before the agent answers.
pub(super) const OUTBOUND: usize = 4;

/// The session of an agent.
pub(super) struct Session {
    pub(super) agents: Arc<Agents>,
    /// The node that its token names.
    pub(super) node: Arc<str>,
    pub(super) inbound: Streaming<AgentMessage>,
    pub(super) outbound: Sender<Result<DaemonMessage, Status>>,
    pub(super) visit: Arc<Visit>,
    /// The probe that has no answer yet.
    pub(super) probe: Option<Asked>,
    /// Number of probes that were sent.
    pub(super) probes: u64,
}

/// A probe that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    number: u64,
    /// When it was sent, on the daemon's raw clock.
    at: Stamp,
    /// The deadline for the reply.
    until: Instant,
}

/// Why a session ended normally.
#[derive(Debug)]
enum Farewell {
    /// The agent closed the stream.
    Left,
    /// Another stream of the same node has connected.
    Replaced,
    /// The token was shown too long ago.
    Aged,
}

/// The next event of the session.
#[derive(Debug)]
enum Next {
    Message(FromAgent),
    Farewell(Farewell),
    /// No message came before the reply to a probe, or the next probe, was due.
    Due,
}

// === impl Session ===

impl Session {
    /// Runs until either end stops.
    pub(super) async fn run(mut self) {
        let ended = self.converse().await;
        let status = match &ended {
            Ok(Farewell::Left | Farewell::Aged) => None,
            Ok(Farewell::Replaced) => Some(Status::aborted("another agent has connected for this node")),
            Err(refusal) => {
                self.agents.refuse(refusal, &self.node);
                Some(refusal.status())
            }
        };
        tracing::debug!(node = &*self.node, ?ended, "a stream of an agent has ended");
        if let Some(status) = status {
            // If the agent reads nothing more, it does not get the status.
            let _ = self.outbound.try_send(Err(status));
        }
        self.visit.end();
    }

    async fn converse(&mut self) -> Result<Farewell, Refusal> {
        let Some(hello) = self.hello().await? else { return Ok(Farewell::Left) };
        let (admitted, mut replaced) = self.admit(hello).await?;
        for _ in 0..GREETINGS {
            self.probe()?;
            match self.next(&mut replaced, None).await? {
                Next::Message(FromAgent::Reply(reply)) => self.compare(&admitted, reply)?,
                Next::Message(_) => return Err(Refusal::Malformed("not the reply to a probe")),
                Next::Farewell(farewell) => return Ok(farewell),
                Next::Due => return Err(Refusal::Silent),
            }
        }
        self.say(FromDaemon::Welcome(Welcome { acknowledged: admitted.taken, wants_state: admitted.wants_state }))?;
        self.visit.enter();
        self.follow(&admitted, &mut replaced).await
    }

    /// Takes batches. Each one is taken after a comparison of the clocks that is later than all of its events.
    async fn follow(&mut self, admitted: &Admitted, replaced: &mut oneshot::Receiver<()>) -> Result<Farewell, Refusal> {
        let trusted_until = Instant::now() + around(TRUSTED, 0.1);
        let mut next_probe = Instant::now() + around(PROBE_EVERY, 0.2);
        let mut told: Option<Batch> = None;
        let mut repeats = 0;
        loop {
            match self.next(replaced, Some(next_probe)).await? {
                Next::Message(FromAgent::Batch(batch)) => {
                    if told.replace(batch).is_some() {
                        return Err(Refusal::Malformed("a batch before the one before was acknowledged"));
                    }
                    if self.probe.is_none() {
                        self.probe()?;
                    }
                }
                Next::Message(FromAgent::Reply(reply)) => {
                    self.compare(admitted, reply)?;
                    next_probe = Instant::now() + around(PROBE_EVERY, 0.2);
                    if told.is_some() && repeats < REPEATS && admitted.is_rough() {
                        repeats += 1;
                        self.probe()?;
                    } else if let Some(batch) = told.take() {
                        repeats = 0;
                        let room = self.agents.room(Admitted::events_of(&batch)).await;
                        let mut room = room.ok_or(Refusal::Malformed("too many events in one batch"))?;
                        let Some(sequence) = admitted.take(batch, &mut room) else { return Ok(Farewell::Replaced) };
                        drop(room);
                        self.say(FromDaemon::Acknowledged(Acknowledged { sequence }))?;
                    }
                }
                Next::Message(FromAgent::Hello(_)) => return Err(Refusal::Malformed("a second hello")),
                Next::Farewell(farewell) => return Ok(farewell),
                Next::Due if self.probe.is_some() => return Err(Refusal::Silent),
                Next::Due => self.probe()?,
            }
            // Not during a batch, because the agent would send it again.
            if told.is_none() && Instant::now() >= trusted_until {
                return Ok(Farewell::Aged);
            }
        }
    }

    async fn admit(&self, hello: Hello) -> Result<(Admitted, oneshot::Receiver<()>), Refusal> {
        // It has started, and events were lost.
        let mut room = self.agents.room(2).await.ok_or(Refusal::TooMany)?;
        self.agents.admit(&self.node, hello, &mut room)
    }

    /// The first message. Its node must be the one that the token names.
    async fn hello(&mut self) -> Result<Option<Hello>, Refusal> {
        let message = tokio::time::timeout(ANSWER, self.inbound.message()).await.map_err(|_| Refusal::Silent)?;
        let hello = match read(message)? {
            Some(FromAgent::Hello(hello)) => hello,
            Some(_) => return Err(Refusal::Malformed("no hello")),
            None => return Ok(None),
        };
        if hello.node.len() > LONGEST_NAME || hello.version.len() > LONGEST_NAME {
            return Err(Refusal::Malformed("a name that is too long"));
        }
        if hello.node != *self.node {
            return Err(Refusal::OtherNode { token: self.node.to_string(), agent: hello.node });
        }
        Ok(Some(hello))
    }

    /// Waits for a message, until the reply to a probe or the next probe is due.
    async fn next(
        &mut self,
        replaced: &mut oneshot::Receiver<()>,
        next_probe: Option<Instant>,
    ) -> Result<Next, Refusal> {
        let due = self.probe.map(|probe| probe.until).or(next_probe);
        let due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            // The sender was dropped.
            _ = replaced => Ok(Next::Farewell(Farewell::Replaced)),
            message = self.inbound.message() => {
                Ok(read(message)?.map_or(Next::Farewell(Farewell::Left), Next::Message))
            }
            () = due => Ok(Next::Due),
        }
    }

    fn probe(&mut self) -> Result<(), Refusal> {
        self.probes += 1;
        let number = self.probes;
        self.probe = Some(Asked { number, at: dataplane::clock::now(), until: Instant::now() + ANSWER });
        self.say(FromDaemon::Probe(Probe { number }))
    }

    fn compare(&mut self, admitted: &Admitted, reply: Reply) -> Result<(), Refusal> {
        let heard = dataplane::clock::now();
        let asked = self.probe.take_if(|asked| asked.number == reply.number);
        let asked = asked.ok_or(Refusal::Malformed("a reply to no probe"))?.at;
        let (received, replied) = (Stamp::from_nanos(reply.received), Stamp::from_nanos(reply.replied));
        admitted.heard();
        admitted.compare(Exchange { asked, received, replied, heard })
    }

    fn say(&mut self, message: FromDaemon) -> Result<(), Refusal> {
        self.outbound.try_send(Ok(message.into())).map_err(|_| Refusal::Silent)
    }
}

/// The contents of a message; `None` at the end of the stream. A broken connection counts as an end.
fn read(message: Result<Option<AgentMessage>, Status>) -> Result<Option<FromAgent>, Refusal> {
    match message {
        Ok(Some(message)) => message.kind.map(Some).ok_or(Refusal::Malformed("of no kind that is known")),
        Ok(None) => Ok(None),
        // The source is what broke the connection.
        Err(status) if status.source().is_some() => Ok(None),
        Err(_) => Err(Refusal::Malformed("no protobuf, or too long")),
    }
}

/// About this long: agents that connected at the same time should not come back at the same time.
fn around(time: Duration, share: f64) -> Duration {
    time.mul_f64(rand::rng().random_range(1.0 - share..1.0 + share))
}
