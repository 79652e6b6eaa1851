//! Short forms of sets of backends, to compare sets on two machines.

use super::Backend;
use core::net::IpAddr;
use fnv::FnvHasher;
use std::hash::Hasher;

/// A set of backends in eight bytes. Two different sets have different fingerprints, with a probability of 1 - 2^-64. Agents send it, so it
/// is the same in all versions and on all machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

// === impl Fingerprint ===

impl Fingerprint {
    /// The number to send. Zero is the empty set.
    pub fn number(self) -> u64 {
        self.0
    }

    /// From a number that was sent.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The set with this backend, which was not in it.
    #[must_use]
    pub fn with(self, backend: &Backend) -> Self {
        Self(self.0.wrapping_add(mix(backend)))
    }

    /// The set without this backend, which was in it.
    #[must_use]
    pub fn without(self, backend: &Backend) -> Self {
        Self(self.0.wrapping_sub(mix(backend)))
    }
}

impl<'a> FromIterator<&'a Backend> for Fingerprint {
    fn from_iter<I: IntoIterator<Item = &'a Backend>>(backends: I) -> Self {
        backends.into_iter().fold(Self::default(), |set, backend| set.with(backend))
    }
}

/// Sums of these must not collide, so the bits are spread by the last step of SplitMix64.
fn mix(backend: &Backend) -> u64 {
    let mut hasher = FnvHasher::default();
    match backend.address {
        IpAddr::V4(address) => hasher.write(&address.octets()),
        IpAddr::V6(address) => hasher.write(&address.octets()),
    }
    hasher.write(&backend.port.to_be_bytes());
    let mut bits = hasher.finish();
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::btree_set, prelude::*};

    fn backend(number: u16) -> Backend {
        Backend { address: [10, 244, (number >> 8) as u8, number as u8].into(), port: 8080 }
    }

    #[test]
    fn it_is_the_same_in_all_versions() {
        let set: Fingerprint = [backend(7), backend(8)].iter().collect();
        assert_eq!(set.number(), 6_928_123_396_642_396_760);
    }

    proptest! {
        #[test]
        fn only_equal_sets_have_the_same(one in btree_set(0u16..2_000, 0..50), other in btree_set(0u16..2_000, 0..50)) {
            let of = |set: &std::collections::BTreeSet<u16>| -> Fingerprint {
                let all: Vec<_> = set.iter().copied().map(backend).collect();
                all.iter().collect()
            };
            prop_assert_eq!(of(&one) == of(&other), one == other);
            let mut moved = of(&one);
            for gone in one.difference(&other) {
                moved = moved.without(&backend(*gone));
            }
            for come in other.difference(&one) {
                moved = moved.with(&backend(*come));
            }
            prop_assert_eq!(moved, of(&other), "in any order");
        }
    }
}
