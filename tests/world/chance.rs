//! Numbers that look like chance and can be had again: every run prints its seed, and `E2E_SEED` repeats it.

/// A sequence of numbers (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl From<u64> for Chance {
    fn from(seed: u64) -> Self {
        Self(seed)
    }
}

impl Chance {
    /// The sequence of `E2E_SEED`, or one that differs from run to run. The seed is printed.
    pub fn seeded() -> Self {
        let chosen = std::env::var("E2E_SEED").ok().and_then(|text| text.parse().ok());
        let seed = chosen.unwrap_or_else(|| jiff::Timestamp::now().as_microsecond().unsigned_abs());
        println!("E2E_SEED={seed}");
        Self(seed)
    }

    /// A sequence of its own for one of many.
    pub fn fork(&self, number: u64) -> Self {
        let mut forked = Self(self.0 ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        forked.next();
        forked
    }

    /// The next number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
