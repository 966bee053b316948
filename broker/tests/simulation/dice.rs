//! Choices that follow from a seed.

/// A stream of choices. Each part of a run has its own, so that one part's choices do not move another's.
#[derive(Clone, Debug)]
pub struct Dice(u64);

/// One step of splitmix64: every bit of the result depends on every bit of the input.
pub fn mix(input: u64) -> u64 {
    let mut bits = input.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

impl Dice {
    /// The stream of one part of a run.
    pub fn new(seed: u64, part: &str) -> Self {
        Self(part.bytes().fold(mix(seed), |state, byte| mix(state ^ u64::from(byte))))
    }

    /// From 0 to `bound`, which it never is.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0) % bound
    }

    /// From `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of them.
    pub fn pick<'list, T>(&mut self, list: &'list [T]) -> &'list T {
        &list[self.below(list.len() as u64) as usize]
    }
}
