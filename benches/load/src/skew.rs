//! The partition keys of a load's records: all equally often, or few of them most of the time (`--skew`).

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use rand::rngs::SmallRng;

/// How often each key comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Skew {
    /// All equally often.
    Uniform,
    /// The key of rank k comes in proportion to 1 / k^S, by Zipf's law; S is from 0 to 10.
    Zipf(f64),
}

// No NaN gets past the parser.
impl Eq for Skew {}

impl FromStr for Skew {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected uniform, or zipf:S with S from 0 to 10, such as zipf:1.1";
        match text.split_once(':') {
            None if text == "uniform" => Ok(Self::Uniform),
            Some(("zipf", exponent)) => {
                let exponent: f64 = exponent.parse().map_err(|_| expected)?;
                if (0.0..=10.0).contains(&exponent) { Ok(Self::Zipf(exponent)) } else { Err(expected.into()) }
            }
            _ => Err(expected.into()),
        }
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => formatter.write_str("uniform"),
            Self::Zipf(exponent) => write!(formatter, "zipf {exponent}"),
        }
    }
}

/// Keys to draw from, in constant time (Walker's alias method).
#[derive(Debug)]
pub struct Keys {
    count: u32,
    /// For each key, how likely it is kept when it is met, and which one is taken otherwise. Empty: all the same.
    aliases: Vec<(f64, u32)>,
}

impl Keys {
    /// `count` is at least 1.
    pub fn new(count: u32, skew: Skew) -> Self {
        let aliases = match skew {
            Skew::Uniform => Vec::new(),
            Skew::Zipf(exponent) => {
                aliases(&(1..=count).map(|rank| f64::from(rank).powf(-exponent)).collect::<Vec<_>>())
            }
        };
        Self { count, aliases }
    }

    /// The next key's number, below `count`; 0 is the most frequent one.
    pub fn draw(&self, random: &mut SmallRng) -> u32 {
        let met = random.random_range(0..self.count);
        match self.aliases.get(met as usize) {
            None => met,
            Some((kept, other)) => {
                if random.random::<f64>() < *kept {
                    met
                } else {
                    *other
                }
            }
        }
    }
}

/// Fills up keys that are rarer than the mean with keys that are more frequent, so that each place holds at most
/// two.
fn aliases(weights: &[f64]) -> Vec<(f64, u32)> {
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    let mut shares: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
    let mut table: Vec<(f64, u32)> = (0..).zip(weights).map(|(key, _)| (1.0, key)).collect();
    let (mut rare, mut frequent): (Vec<u32>, Vec<u32>) = (0..)
        .zip(&shares)
        .map(|(key, _)| key)
        .take(shares.len())
        .partition(|key: &u32| shares[*key as usize] < 1.0);
    while let (Some(low), Some(high)) = (rare.pop(), frequent.last().copied()) {
        table[low as usize] = (shares[low as usize], high);
        shares[high as usize] -= 1.0 - shares[low as usize];
        if shares[high as usize] < 1.0 {
            rare.extend(frequent.pop());
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn skews_are_read() {
        assert_eq!("uniform".parse(), Ok(Skew::Uniform));
        assert_eq!("zipf:1.1".parse(), Ok(Skew::Zipf(1.1)));
        for text in ["", "zipf", "zipf:", "zipf:-1", "zipf:11", "zipf:NaN", "pareto:1", "uniform:1"] {
            assert!(text.parse::<Skew>().is_err(), "{text}");
        }
    }

    #[test]
    fn keys_come_as_often_as_configured() {
        let count = 1_000;
        for (skew, weight) in [
            (Skew::Uniform, (|_| 1.0) as fn(f64) -> f64),
            (Skew::Zipf(1.0), |rank| 1.0 / rank),
            (Skew::Zipf(2.0), |rank| 1.0 / (rank * rank)),
        ] {
            let (keys, mut random) = (Keys::new(count, skew), SmallRng::seed_from_u64(7));
            let mut seen = vec![0_u32; count as usize];
            let draws = 400_000;
            for _ in 0..draws {
                seen[keys.draw(&mut random) as usize] += 1;
            }
            let sum: f64 = (1..=count).map(|rank| weight(f64::from(rank))).sum();
            for rank in [1, 2, 10, 100, 1_000] {
                let expected = f64::from(draws) * weight(f64::from(rank)) / sum;
                let got = f64::from(seen[rank as usize - 1]);
                let tolerance = 6.0 * expected.sqrt() + 1.0;
                assert!((got - expected).abs() < tolerance, "{skew}, rank {rank}: {got}, not {expected}");
            }
        }
        let only = Keys::new(1, Skew::Zipf(1.0));
        assert_eq!(only.draw(&mut SmallRng::seed_from_u64(1)), 0);
    }
}
