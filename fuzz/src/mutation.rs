//! Changes inputs at random: enough to stay near the seeds and to leave them.

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// Bytes of an input at most.
const LENGTH_MAX: usize = 8 * 1024;
/// Changes of one input at most.
const CHANGES_MAX: u32 = 8;
/// Inputs that are kept to be changed further, beside the seeds.
const KEPT_MAX: usize = 256;
/// Bytes that mean something to a codec.
const TELLING: &[u8] =
    b"\0\x01\x18\x1b\x3b\x40\x5f\x7f\x80\x9b\x9f\xa0\xbb\xbf\xc1\xf6\xf9\xfb\xff\"{}[],:\\u-.e0 9\n";

/// A source of inputs. The same seed gives the same inputs.
#[derive(Debug)]
pub struct Mutation {
    random: StdRng,
    seeds: Vec<Vec<u8>>,
    kept: Vec<Vec<u8>>,
}

impl Mutation {
    /// From these inputs, of which there is at least one.
    pub fn new(seeds: Vec<Vec<u8>>, seed: u64) -> Self {
        assert!(!seeds.is_empty(), "there is something to change");
        Self { random: StdRng::seed_from_u64(seed), seeds, kept: Vec::new() }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.any_known();
        for _ in 0..self.random.random_range(1..=CHANGES_MAX) {
            self.change(&mut input);
        }
        input.truncate(LENGTH_MAX);
        if self.random.random_ratio(1, 8) {
            self.keep(input.clone());
        }
        input
    }

    fn any_known(&mut self) -> Vec<u8> {
        let at = self.random.random_range(0..self.seeds.len() + self.kept.len());
        self.seeds.get(at).unwrap_or_else(|| &self.kept[at - self.seeds.len()]).clone()
    }

    fn keep(&mut self, input: Vec<u8>) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push(input);
        } else {
            let at = self.random.random_range(0..KEPT_MAX);
            self.kept[at] = input;
        }
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let from = self.random.random_range(0..=input.len());
        let to = (from + self.random.random_range(0..=16)).min(input.len());
        match self.random.random_range(0..8) {
            0 => input[from..to].iter_mut().for_each(|byte| *byte = !*byte),
            1 => self.random.fill_bytes(&mut input[from..to]),
            2 => drop(input.drain(from..to)),
            3 => drop(input.splice(from..from, input[from..to].to_vec().repeat(3))),
            4 => input.truncate(from),
            5 => {
                let other = self.any_known();
                let part = other.get(from..).unwrap_or_default();
                drop(input.splice(from..to, part[..part.len().min(64)].to_vec()));
            }
            6 => {
                let telling = TELLING[self.random.random_range(0..TELLING.len())];
                drop(input.splice(from..to.min(from + 1), [telling]));
            }
            _ => {
                let telling = TELLING[self.random.random_range(0..TELLING.len())];
                let many = self.random.random_range(1..200);
                drop(input.splice(from..from, vec![telling; many]));
            }
        }
    }
}
