//! A dump of all rules: it takes many requests, and is whole only if no commit came between them.

use super::{
    attributes::{Attribute, Malformed},
    message::{Message, Part, Parts, kind, request},
    socket::{Received, Socket, SocketError},
};
use crate::dataplane::{
    clock,
    follower::Dump,
    observation::Mode,
    rule::values,
    ruleset::{Ruleset, family, watched},
};
use rustix::io::Errno;
use std::{collections::HashMap, mem, ops::Range, time::Duration};

/// How long the kernel may take for one answer. It answers during the request.
const ANSWER: Duration = Duration::from_secs(5);

/// Flags of a set: NFT_SET_ANONYMOUS, NFT_SET_CONSTANT and NFT_SET_MAP.
const IS_ANONYMOUS: u32 = 0x1;
const IS_CONSTANT: u32 = 0x2;
const IS_MAP: u32 = 0x8;

/// Why the rules could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// A commit happened meanwhile. The next try may succeed.
    #[error("the rules changed while they were read")]
    Torn,
    /// The kernel refuses to communicate.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The kernel did not answer.
    #[error("the kernel did not answer within {ANSWER:?}")]
    NoAnswer,
    /// The kernel's answer is malformed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Requests the rules.
#[derive(Debug)]
pub(crate) struct Dumper {
    socket: Socket,
    sequence: u32,
    constants: Constants,
}

/// Answers of a torn dump that are valid for the next one too: the elements of anonymous maps, which never change while the map
/// exists. Reading 10,000 maps takes seconds, and kube-proxy may commit several times during that.
#[derive(Debug, Default)]
struct Constants {
    /// All answers, one after the other: one allocation, which is returned to the system as a whole.
    bytes: Vec<u8>,
    at: HashMap<Constant, Range<usize>>,
}

/// Identifies a map among all that ever exist: family, mode of the table, and the kernel's number for the map.
type Constant = (u8, Mode, u64);

/// A map whose elements must be requested.
#[derive(Debug)]
struct Map {
    name: String,
    /// Set if its elements never change.
    constant: Option<Constant>,
}

// === impl Dumper ===

impl Dumper {
    /// Opens its socket.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(crate) fn open() -> Result<Self, SocketError> {
        Ok(Self { socket: Socket::asking(ANSWER)?, sequence: 0, constants: Constants::default() })
    }

    /// Opens another socket: the rest of an old answer must not be taken for a new one.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(crate) fn reopen(&mut self) -> Result<(), SocketError> {
        self.socket = Socket::asking(ANSWER)?;
        Ok(())
    }

    /// The current generation.
    ///
    /// # Errors
    /// The kernel does not report it.
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
            if let Some(mode) = watched(name)
                && family(message.family).is_some()
            {
                rules.apply(message)?;
                tables.push((message.family, mode, name.to_owned()));
            }
            Ok(())
        })?;
        for (family, mode, table) in &tables {
            let of_table = [(1, &**table)];
            self.ask_for_all(generation, kind::GET_RULE, *family, &of_table, |message| rules.apply(message))?;
            let mut maps = Vec::new();
            self.ask_for_all(generation, kind::GET_SET, *family, &of_table, |message| {
                let [name, flags, handle] = values(message.attributes(), [2, 3, 16])?;
                let flags = flags.map_or(Ok(0), Attribute::u32)?;
                if flags & IS_MAP != 0 {
                    let name = name.ok_or(Malformed)?.text()?.to_owned();
                    let is_constant = flags & IS_ANONYMOUS != 0 && flags & IS_CONSTANT != 0;
                    let handle = handle.filter(|_| is_constant).map(Attribute::u64).transpose()?;
                    maps.push(Map { name, constant: handle.map(|handle| (*family, *mode, handle)) });
                }
                Ok(())
            })?;
            for map in maps {
                self.read_elements(generation, *family, table, map, &mut rules)?;
            }
        }
        // Answers to requests for elements do not show that they were interrupted.
        if self.generation()? != generation {
            return Err(DumpError::Torn);
        }
        self.constants = Constants::default();
        rules.commit();
        Ok(Dump { generation, rules, at: clock::now() })
    }

    fn read_elements(
        &mut self,
        generation: u32,
        family: u8,
        table: &str,
        map: Map,
        rules: &mut Ruleset,
    ) -> Result<(), DumpError> {
        let of_map = [(1, table), (2, &*map.name)];
        let Some(constant) = map.constant else {
            return self.ask_for_all(generation, kind::GET_ELEMENTS, family, &of_map, |message| rules.apply(message));
        };
        let mut constants = mem::take(&mut self.constants);
        if !constants.at.contains_key(&constant) {
            let begin = constants.bytes.len();
            let asked = self.ask_for_all(generation, kind::GET_ELEMENTS, family, &of_map, |message| {
                constants.bytes.extend_from_slice(message.whole);
                constants.bytes.resize(constants.bytes.len().next_multiple_of(4), 0);
                Ok(())
            });
            if let Err(error) = asked {
                constants.bytes.truncate(begin);
                self.constants = constants;
                return Err(error);
            }
            constants.at.insert(constant, begin..constants.bytes.len());
        }
        self.constants = constants;
        let Constants { bytes, at } = &self.constants;
        for part in Parts::new(&bytes[at[&constant].clone()]) {
            if let Part::Message(message) = part? {
                rules.apply(&message)?;
            }
        }
        Ok(())
    }

    /// Requests everything of one kind. All of it must have the same generation.
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
                Received::Interrupted => continue,
                Received::Nothing => return Err(DumpError::NoAnswer),
                Received::Truncated | Received::Overrun => return Err(DumpError::Torn),
            };
            for part in Parts::new(datagram) {
                match part? {
                    // Read each answer to its end, even after an error: its rest would be taken for the next one.
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
                    // The requested object no longer exists.
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
