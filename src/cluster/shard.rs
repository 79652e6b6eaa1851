//! The share of a cluster that one daemon measures, if several daemons divide its namespaces.

use ring::digest::{SHA256, digest};
use std::{fmt, num::ParseIntError, str::FromStr};

/// One of several daemons. Each measures a part of the namespaces, selected by a hash of their names.
///
/// A namespace is never divided, because a Service, its pods and its slices are in the same namespace. The shard of a namespace
/// depends only on its name and on the number of shards. It is the same in every version of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    of: u32,
}

/// A text that is not a shard.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ShardError {
    /// The text has no slash.
    #[error("write it like 0/3, which is the first of three")]
    NoSlash,
    /// A part of the text is not a number.
    #[error("{0}; write it like 0/3, which is the first of three")]
    Number(#[from] ParseIntError),
    /// The index must be at least 0 and less than the number of shards.
    #[error("there is no such shard: the last of {of} is {}", last(*of))]
    NotOneOfThem {
        /// How many shards there are.
        of: u32,
    },
}

fn last(of: u32) -> String {
    of.checked_sub(1).map_or_else(|| "none".to_owned(), |last| format!("{last}/{of}"))
}

// === impl Shard ===

impl Shard {
    /// The whole cluster.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Whether this shard measures the namespace.
    pub fn holds(self, namespace: &str) -> bool {
        if self.of == 1 {
            return true;
        }
        let hash = digest(&SHA256, namespace.as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_ref() else { unreachable!("SHA-256 has 32 bytes") };
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) % u64::from(self.of) == u64::from(self.index)
    }

    /// Whether there is more than one shard.
    pub fn is_part(self) -> bool {
        self.of > 1
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (index, of) = text.split_once('/').ok_or(ShardError::NoSlash)?;
        let (index, of) = (index.trim().parse()?, of.trim().parse()?);
        if index >= of { Err(ShardError::NotOneOfThem { of }) } else { Ok(Self { index, of }) }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_namespace_falls_to_one_shard_and_to_all_alike() {
        let shards: Vec<_> = (0..7).map(|index| Shard { index, of: 7 }).collect();
        let mut held = [0; 7];
        for namespace in (0..7_000).map(|number| format!("team-{number}")) {
            let holders: Vec<_> = shards.iter().filter(|shard| shard.holds(&namespace)).collect();
            assert_eq!(holders.len(), 1, "{namespace} falls to {holders:?}");
            held[holders[0].index as usize] += 1;
        }
        assert!(held.iter().all(|held| (900..1_100).contains(held)), "{held:?}");
    }

    /// A different result would change the shard of namespaces, so that every daemon loses its measurements at the next update.
    #[test]
    fn where_a_namespace_falls_never_changes() {
        let of_ten = |namespace: &str| (0..10).find(|index| Shard { index: *index, of: 10 }.holds(namespace));
        assert_eq!(["default", "kube-system", "shop"].map(of_ten), [Some(9), Some(9), Some(5)]);
    }

    #[test]
    fn a_shard_is_written_as_index_and_number() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, of: 3 }));
        assert_eq!("0/1".parse(), Ok(Shard::WHOLE));
        assert_eq!("3/3".parse::<Shard>(), Err(ShardError::NotOneOfThem { of: 3 }));
        assert_eq!("0/0".parse::<Shard>(), Err(ShardError::NotOneOfThem { of: 0 }));
        assert_eq!("3".parse::<Shard>(), Err(ShardError::NoSlash));
        assert!(matches!("-1/3".parse::<Shard>(), Err(ShardError::Number(_))));
    }
}
