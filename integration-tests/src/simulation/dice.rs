//! The only source of chance in a simulated run: a seeded generator written out here, so that a seed means the same
//! run on every machine and with every version of every library.

/// A generator of the SplitMix64 family.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Dice that fall the same way for the same seed.
    pub(super) fn new(seed: u64) -> Dice {
        Dice(mix(seed ^ 0x5bd1_e995_9e37_79b9))
    }

    /// 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.bits() % (end.max(1) as u64)) as usize
    }

    /// A number from `first` to `last`.
    pub(super) fn between(&mut self, first: i64, last: i64) -> i64 {
        first + (self.bits() % ((last - first).max(0) as u64 + 1)) as i64
    }

    /// True this many times of a thousand.
    pub(super) fn permille(&mut self, times: u64) -> bool {
        self.bits() % 1000 < times
    }

    /// One of these.
    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A hash of numbers: what is told without being drawn.
pub(super) fn hash(parts: &[u64]) -> u64 {
    parts
        .iter()
        .fold(0x2545_f491_4f6c_dd1d, |state, part| mix(state ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_throws() {
        let throws = |seed| {
            let mut dice = Dice::new(seed);
            (0..8).map(|_| dice.below(100)).collect::<Vec<_>>()
        };
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
    }

    #[test]
    fn bounds_are_kept() {
        let mut dice = Dice::new(1);
        let seen: std::collections::BTreeSet<i64> = (0..200).map(|_| dice.between(-1, 2)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [-1, 0, 1, 2]);
        assert_eq!(dice.below(0), 0);
    }
}
