//! One copy of each value, because labels and ports repeat over thousands of pods.

use std::{collections::HashSet, hash::Hash, sync::Arc};

/// Shares values, and forgets those that are no longer used.
#[derive(Debug)]
pub(super) struct Interner<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// The size for the next sweep: twice the size after the last one, so that sweeping stays cheap per value.
    sweep_at: usize,
}

/// A smaller size is not worth a sweep.
const SMALL: usize = 1024;

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Self { values: HashSet::new(), sweep_at: SMALL }
    }
}

impl<T: ?Sized + Eq + Hash> Interner<T>
where
    Arc<T>: for<'a> From<&'a T>,
{
    /// The shared copy of `value`.
    pub(super) fn intern(&mut self, value: &T) -> Arc<T> {
        if let Some(known) = self.values.get(value) {
            return known.clone();
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = SMALL.max(self.values.len() * 2);
        }
        let new: Arc<T> = value.into();
        self.values.insert(new.clone());
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shared_while_held_and_forgotten_after() {
        let mut interner = Interner::<str>::default();
        let kept = interner.intern("kept");
        assert!(Arc::ptr_eq(&kept, &interner.intern("kept")));
        for number in 0..100 * SMALL {
            interner.intern(&number.to_string());
        }
        assert!(interner.values.len() <= 2 * SMALL, "{} values", interner.values.len());
        assert!(Arc::ptr_eq(&kept, &interner.intern("kept")));
    }
}
