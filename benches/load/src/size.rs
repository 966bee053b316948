//! How large the records of a load are: a fixed size, or one drawn for each record. Read from `--size`.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::record::HEADER_BYTES;

/// Bytes of the largest record that the Kinesis protocol takes, its key apart.
pub const RECORD_BYTES_MAX: usize = (10 << 20) - 256;
/// A drawn size is cut off at the record size that streams have by default.
const DRAWN_BYTES_MAX: usize = (1 << 20) - 256;

/// Bytes of a record's data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// All the same.
    Fixed(usize),
    /// Any from the first to the second, both inclusive, equally likely.
    Uniform(usize, usize),
    /// The logarithm is distributed normally; from [`HEADER_BYTES`] to 1 MiB.
    Lognormal {
        /// Half of the records are smaller.
        median: usize,
        /// Standard deviation of the natural logarithm: 0 to 3.
        sigma: f64,
    },
}

// No NaN gets past the parser.
impl Eq for Size {}

impl Size {
    /// The size of the next record.
    pub fn draw(self, random: &mut SmallRng) -> usize {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::Uniform(least, most) => random.random_range(least..=most),
            Self::Lognormal { median, sigma } => {
                let (first, second): (f64, f64) = (random.random(), random.random());
                let normal = (-2.0 * (1.0 - first).ln()).sqrt() * (TAU * second).cos();
                ((median as f64 * (sigma * normal).exp()) as usize).clamp(HEADER_BYTES, DRAWN_BYTES_MAX)
            }
        }
    }

    /// No record is larger.
    pub fn most(self) -> usize {
        match self {
            Self::Fixed(bytes) | Self::Uniform(_, bytes) => bytes,
            Self::Lognormal { .. } => DRAWN_BYTES_MAX,
        }
    }

    /// Mean of the distribution, its cut ends apart.
    pub fn mean(self) -> f64 {
        match self {
            Self::Fixed(bytes) => bytes as f64,
            Self::Uniform(least, most) => (least + most) as f64 / 2.0,
            Self::Lognormal { median, sigma } => median as f64 * (sigma * sigma / 2.0).exp(),
        }
    }

    fn checked(self) -> Result<Self, String> {
        let (least, most) = match self {
            Self::Fixed(bytes) => (bytes, bytes),
            Self::Uniform(least, most) => (least, most),
            Self::Lognormal { median, .. } => (median, median),
        };
        if least < HEADER_BYTES {
            return Err(format!("a record has at least {HEADER_BYTES} bytes: those by which it is verified"));
        }
        if most > RECORD_BYTES_MAX {
            return Err(format!("a record has at most {RECORD_BYTES_MAX} bytes"));
        }
        if least > most {
            return Err(format!("{least} is more than {most}"));
        }
        Ok(self)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = if let Some(bounds) = text.strip_prefix("uniform:") {
            let (least, most) =
                bounds.split_once('-').ok_or("expected uniform:LEAST-MOST, such as uniform:100-2000")?;
            Self::Uniform(bytes(least)?, bytes(most)?)
        } else if let Some(shape) = text.strip_prefix("lognormal:") {
            let expected = "expected lognormal:MEDIAN:SIGMA, such as lognormal:1KiB:0.5";
            let (median, sigma) = shape.split_once(':').ok_or(expected)?;
            let sigma: f64 = sigma.parse().map_err(|_| expected)?;
            if !(0.0..=3.0).contains(&sigma) {
                return Err("SIGMA is from 0 to 3".into());
            }
            Self::Lognormal { median: bytes(median)?, sigma }
        } else {
            Self::Fixed(bytes(text)?)
        };
        size.checked()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(bytes) => write!(formatter, "{bytes} bytes"),
            Self::Uniform(least, most) => write!(formatter, "uniform, {least} to {most} bytes"),
            Self::Lognormal { median, sigma } => {
                write!(formatter, "lognormal, median {median} bytes, sigma {sigma}")
            }
        }
    }
}

/// A number of bytes: `1000`, `1KiB`, `1MiB`, `1kB`, `1MB`.
fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        other => return Err(format!("{other:?} is no unit: B, KiB, MiB, kB or MB")),
    };
    let number: usize =
        digits.parse().map_err(|_| format!("{text:?} is no number of bytes, such as 1KiB"))?;
    number.checked_mul(unit).ok_or_else(|| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, size) in [
            ("1KiB", Size::Fixed(1024)),
            ("100", Size::Fixed(100)),
            ("1MB", Size::Fixed(1_000_000)),
            ("uniform:100-2000", Size::Uniform(100, 2000)),
            ("uniform:64B-2KiB", Size::Uniform(64, 2048)),
            ("lognormal:1KiB:0.5", Size::Lognormal { median: 1024, sigma: 0.5 }),
        ] {
            assert_eq!(text.parse(), Ok(size), "{text}");
        }
        for text in
            ["", "1 KiB", "-1", "1GiB", "10", "11MiB", "uniform:9", "uniform:200-100", "uniform:1-100"]
        {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in
            ["lognormal:1KiB", "lognormal:1KiB:x", "lognormal:1KiB:4", "lognormal:1KiB:NaN", "lognormal:8:1"]
        {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_distributed_as_configured() {
        let mut random = SmallRng::seed_from_u64(1);
        let mut drawn = |size: Size| -> Vec<usize> {
            let mut sizes: Vec<usize> = (0..20_000).map(|_| size.draw(&mut random)).collect();
            sizes.sort_unstable();
            sizes
        };
        assert!(drawn(Size::Fixed(512)).iter().all(|bytes| *bytes == 512));
        let uniform = drawn(Size::Uniform(100, 199));
        assert_eq!((uniform[0], uniform[19_999]), (100, 199));
        assert!((148..=151).contains(&uniform[10_000]), "{}", uniform[10_000]);
        let lognormal = drawn(Size::Lognormal { median: 1000, sigma: 0.5 });
        assert!((980..=1020).contains(&lognormal[10_000]), "{}", lognormal[10_000]);
        // One standard deviation up: a factor of e^0.5.
        assert!((1600..=1700).contains(&lognormal[16_827]), "{}", lognormal[16_827]);
        let wide = drawn(Size::Lognormal { median: 1000, sigma: 3.0 });
        assert_eq!((wide[0], wide[19_999]), (HEADER_BYTES, DRAWN_BYTES_MAX));
    }
}
