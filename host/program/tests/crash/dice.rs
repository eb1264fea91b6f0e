//! Chance that can be had again.

use fantascope::event::Timestamp;

/// SplitMix64, from a seed that is named when a test fails.
#[derive(Debug)]
pub(crate) struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// From `FANTASCOPE_SEED`, or from where and when this is.
    pub(crate) fn new() -> Self {
        let now = u64::from(std::process::id()) ^ Timestamp::now().0.unsigned_abs();
        let seed = std::env::var("FANTASCOPE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(now);
        Self { seed, state: seed }
    }

    /// Dice of their own for somebody who plays at the same time.
    pub(crate) fn others(&mut self) -> Self {
        let seed = self.below(1 << 48) as u64;
        Self { seed, state: seed }
    }

    /// From 0 to 1.
    pub(crate) fn roll(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 up to, but not, `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.roll() * end as f64) as usize
    }

    /// So many times out of a hundred.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What makes the dice fall the same way again.
impl std::fmt::Display for Dice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FANTASCOPE_SEED={}", self.seed)
    }
}
