//! All rules at once: asked for in many requests, and whole only if no commit came between them.

use super::{
    attributes::Malformed,
    message::{Message, Part, Parts, kind, request},
    socket::{Received, Socket, SocketError},
};
use crate::dataplane::{
    clock,
    follower::Dump,
    rule::values,
    ruleset::{Ruleset, family, watched},
};
use rustix::io::Errno;
use std::time::Duration;

/// How long the kernel may take for one answer. It answers while the request is made.
const ANSWER: Duration = Duration::from_secs(5);

/// Set in the flags of a set that is a map: NFT_SET_MAP.
const IS_MAP: u32 = 0x8;

/// Why the rules could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// A commit came in between. The next try may succeed.
    #[error("the rules changed while they were read")]
    Torn,
    /// The kernel does not speak with us.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// It did not answer.
    #[error("the kernel did not answer within {ANSWER:?}")]
    NoAnswer,
    /// It answered something else.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Asks for rules.
#[derive(Debug)]
pub(crate) struct Dumper {
    socket: Socket,
    sequence: u32,
}

// === impl Dumper ===

impl Dumper {
    /// Opens its socket.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(crate) fn open() -> Result<Self, SocketError> {
        Ok(Self { socket: Socket::asking(ANSWER)?, sequence: 0 })
    }

    /// The present generation.
    ///
    /// # Errors
    /// The kernel does not say.
    pub(crate) fn generation(&mut self) -> Result<u32, DumpError> {
        let mut generation = None;
        self.ask(kind::GET_GENERATION, 0, false, &[], |message| {
            generation = Some(message.new_generation()?);
            Ok(())
        })?;
        Ok(generation.ok_or(Malformed)?)
    }

    /// Reads all rules for Services.
    ///
    /// # Errors
    /// There was a commit meanwhile, or the kernel does not answer.
    pub(crate) fn dump(&mut self) -> Result<Dump, DumpError> {
        let generation = self.generation()?;
        let mut rules = Ruleset::new();
        let mut tables = Vec::new();
        self.ask_for_all(generation, kind::GET_TABLE, 0, &[], |message| {
            let [name] = values(message.attributes(), [1])?;
            let name = name.ok_or(Malformed)?.text()?;
            if watched(name).is_some() && family(message.family).is_some() {
                rules.apply(message)?;
                tables.push((message.family, name.to_owned()));
            }
            Ok(())
        })?;
        for (family, table) in &tables {
            let of_table = [(1, &**table)];
            self.ask_for_all(generation, kind::GET_RULE, *family, &of_table, |message| rules.apply(message))?;
            let mut maps = Vec::new();
            self.ask_for_all(generation, kind::GET_SET, *family, &of_table, |message| {
                let [name, flags] = values(message.attributes(), [2, 3])?;
                if flags.is_some_and(|flags| flags.u32().is_ok_and(|flags| flags & IS_MAP != 0)) {
                    maps.push(name.ok_or(Malformed)?.text()?.to_owned());
                }
                Ok(())
            })?;
            for map in &maps {
                let of_map = [(1, &**table), (2, &**map)];
                self.ask_for_all(generation, kind::GET_ELEMENTS, *family, &of_map, |message| rules.apply(message))?;
            }
        }
        // Answers to requests for elements do not say that they were interrupted.
        if self.generation()? != generation {
            return Err(DumpError::Torn);
        }
        rules.commit();
        Ok(Dump { generation, rules, at: clock::now() })
    }

    /// Asks for all of a kind, as of one generation.
    fn ask_for_all(
        &mut self,
        generation: u32,
        kind: u8,
        family: u8,
        texts: &[(u16, &str)],
        mut take: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), DumpError> {
        let mut torn = false;
        self.ask(kind, family, true, texts, |message| {
            torn |= message.generation != generation as u16;
            take(message)
        })?;
        if torn { Err(DumpError::Torn) } else { Ok(()) }
    }

    fn ask(
        &mut self,
        kind: u8,
        family: u8,
        whole: bool,
        texts: &[(u16, &str)],
        mut take: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), DumpError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send(&request(kind, family, whole, self.sequence, texts))?;
        let mut interrupted = false;
        let mut failure = Ok(());
        loop {
            let datagram = match self.socket.receive()? {
                Received::Datagram(datagram) => datagram,
                Received::Nothing => return Err(DumpError::NoAnswer),
                Received::Truncated | Received::Overrun => return Err(DumpError::Torn),
            };
            for part in Parts::new(datagram) {
                match part? {
                    // An answer that was not read to its end would be taken for the next one, so it is, whatever it says.
                    Part::Message(message) => {
                        interrupted |= message.interrupted;
                        failure = failure.and_then(|()| take(&message));
                        if !whole {
                            return Ok(failure?);
                        }
                    }
                    Part::Done { interrupted: at_end, error } => {
                        failure?;
                        let torn = interrupted || at_end || error != 0;
                        return if torn { Err(DumpError::Torn) } else { Ok(()) };
                    }
                    // What was asked for is gone.
                    Part::Error(error) if -error == Errno::NOENT.raw_os_error() => return Err(DumpError::Torn),
                    Part::Error(error) => {
                        let error = Errno::from_raw_os_error(-error);
                        return Err(SocketError::of("read the rules of nf_tables", error).into());
                    }
                    Part::Other => {}
                }
            }
        }
    }
}
