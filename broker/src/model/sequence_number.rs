//! Sequence numbers: a record's ordinal in the form that clients see.
//!
//! 186 bits, always 56 decimal digits, in the layout that real clients take apart:
//!
//! ```text
//! bits 184–187  2                          bits 72–79  0; 1 marks a place just after a record
//! bits 148–183  shard creation, seconds    bits 36–71  put time, seconds
//! bits 144–147  shard index & 15           bits  4–35  shard index
//! bits  80–143  ordinal < 2^63             bits  0–3   2 (version)
//! ```
//!
//! Numbers of one shard order as its ordinals do, and those of a shard created in a later second are higher.

use std::fmt;

/// The ordinal in the EndingSequenceNumber of a closed shard, above that of any record.
pub const ORDINAL_MAX: u64 = (1 << 63) - 1;

/// Decimal digits of every sequence number.
pub const DIGITS: usize = 56;

/// Limbs are worth this; three of them hold 57 digits.
const LIMB: u64 = 10_000_000_000_000_000_000;
const LIMB_DIGITS: usize = 19;
/// The step from one ordinal to the next, 2^80, as limbs from the lowest up.
const STEP: [u64; 2] = [((1u128 << 80) % LIMB as u128) as u64, ((1u128 << 80) / LIMB as u128) as u64];

const SECONDS_BITS: u64 = 36;
const SECONDS_MASK: u64 = (1 << SECONDS_BITS) - 1;

/// A sequence number taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceNumber {
    /// Creation second of the shard, below 2^36.
    pub created_s: u64,
    /// Index of the shard.
    pub shard: u32,
    /// Ordinal of the record, at most [`ORDINAL_MAX`]; 0 stands before the first record.
    pub ordinal: u64,
    /// Second in which the record arrived, below 2^36.
    pub time_s: u64,
    /// Whether this is the place between that record and the next.
    pub after: bool,
}

impl SequenceNumber {
    /// The StartingSequenceNumber of a shard.
    pub fn starting(created_s: u64, shard: u32) -> Self {
        Self { created_s, shard, ordinal: 0, time_s: created_s, after: false }
    }

    /// The EndingSequenceNumber of a shard that was closed in the second `closed_s`.
    pub fn ending(created_s: u64, shard: u32, closed_s: u64) -> Self {
        Self { created_s, shard, ordinal: ORDINAL_MAX, time_s: closed_s, after: false }
    }

    /// Reads the 56 digits. `None` for anything that no shard of this layout ever gave out.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != DIGITS || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (high, rest) = text.split_at(DIGITS - 2 * LIMB_DIGITS);
        let (middle, low) = rest.split_at(LIMB_DIGITS);
        let words = binary([low.parse().ok()?, middle.parse().ok()?, high.parse().ok()?])?;
        let bits = |from: u64, count: u64| {
            let pair = u128::from(words[(from / 64) as usize])
                | words.get((from / 64) as usize + 1).map_or(0, |word| u128::from(*word) << 64);
            (pair >> (from % 64)) as u64 & ((1u64 << (count - 1) << 1).wrapping_sub(1))
        };
        let number = Self {
            created_s: bits(148, SECONDS_BITS),
            shard: bits(4, 32) as u32,
            ordinal: bits(80, 64),
            time_s: bits(36, SECONDS_BITS),
            after: bits(72, 8) == 1,
        };
        let sound = bits(184, 8) == 2
            && bits(0, 4) == 2
            && bits(144, 4) == u64::from(number.shard & 15)
            && bits(72, 8) <= 1
            && number.ordinal <= ORDINAL_MAX;
        sound.then_some(number)
    }

    /// The 192-bit number, lowest word first.
    fn words(&self) -> [u64; 3] {
        assert!(self.ordinal <= ORDINAL_MAX, "ordinals end below 2^63");
        let (created_s, time_s) = (self.created_s & SECONDS_MASK, self.time_s & SECONDS_MASK);
        let shard = u64::from(self.shard);
        let low = 2 | (shard << 4) | (time_s << 36);
        let middle = (time_s >> 28) | (u64::from(self.after) << 8) | (self.ordinal << 16);
        let high = (self.ordinal >> 48) | ((shard & 15) << 16) | (created_s << 20) | (2 << 56);
        [low, middle, high]
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(str::from_utf8(&digits(decimal(self.words()))).expect("digits are ASCII"))
    }
}

/// Writes the sequence numbers of records of one shard that arrived in the same second. Fastest for ordinals one
/// after the other: then the number before is added to instead of being built anew.
#[derive(Clone, Debug)]
pub struct SequenceNumbers {
    first: [u64; 3],
    last: [u64; 3],
    last_ordinal: u64,
}

impl SequenceNumbers {
    /// For the shard `shard`, created in `created_s`, and records of the second `time_s`.
    pub fn new(created_s: u64, shard: u32, time_s: u64) -> Self {
        let number = SequenceNumber { created_s, shard, ordinal: 0, time_s, after: false };
        let first = decimal(number.words());
        Self { first, last: first, last_ordinal: 0 }
    }

    /// Appends the 56 digits of the record `ordinal`, which is at most [`ORDINAL_MAX`].
    pub fn format(&mut self, ordinal: u64, out: &mut Vec<u8>) {
        self.last = if ordinal == self.last_ordinal.wrapping_add(1) {
            add_steps(self.last, 1)
        } else {
            add_steps(self.first, ordinal)
        };
        self.last_ordinal = ordinal;
        out.extend_from_slice(&digits(self.last));
    }
}

/// `limbs` and `count` times 2^80.
fn add_steps(limbs: [u64; 3], count: u64) -> [u64; 3] {
    let low = u128::from(limbs[0]) + u128::from(STEP[0]) * u128::from(count);
    let (low, carry) = split(low);
    let middle = u128::from(limbs[1]) + u128::from(STEP[1]) * u128::from(count) + u128::from(carry);
    let (middle, carry) = split(middle);
    [low, middle, limbs[2] + carry]
}

/// A sum as its limb and its carry. A sum of two limbs needs no division.
fn split(sum: u128) -> (u64, u64) {
    let limb = u128::from(LIMB);
    match sum {
        sum if sum < limb => (sum as u64, 0),
        sum if sum < 2 * limb => ((sum - limb) as u64, 1),
        sum => ((sum % limb) as u64, (sum / limb) as u64),
    }
}

/// From words of 2^64 to limbs of 10^19, both lowest first. The number is below 2^188.
fn decimal(words: [u64; 3]) -> [u64; 3] {
    let mut limbs = [0; 3];
    for word in words.iter().rev() {
        let mut carry = u128::from(*word);
        for limb in &mut limbs {
            carry += u128::from(*limb) << 64;
            *limb = (carry % u128::from(LIMB)) as u64;
            carry /= u128::from(LIMB);
        }
    }
    limbs
}

/// From limbs to words; `None` when the number is 2^192 or more.
fn binary(limbs: [u64; 3]) -> Option<[u64; 3]> {
    let mut words = [0; 3];
    for limb in limbs.iter().rev() {
        let mut carry = u128::from(*limb);
        for word in &mut words {
            carry += u128::from(*word) * u128::from(LIMB);
            *word = carry as u64;
            carry >>= 64;
        }
        if carry > 0 {
            return None;
        }
    }
    Some(words)
}

/// The digits of limbs that have 56 of them.
fn digits(limbs: [u64; 3]) -> [u8; DIGITS] {
    let mut out = [b'0'; DIGITS];
    let mut end = DIGITS;
    for limb in limbs {
        let start = end.saturating_sub(LIMB_DIGITS);
        let mut rest = limb;
        for pair in out[start..end].rchunks_mut(2) {
            let two = (rest % 100) as usize * 2;
            rest /= 100;
            pair.copy_from_slice(&PAIRS[two + 2 - pair.len()..two + 2]);
        }
        assert_eq!(rest, 0, "a sequence number has 56 digits");
        end = start;
    }
    out
}

/// "00", "01", … "99".
const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut number = 0;
    while number < 100 {
        pairs[number * 2] = b'0' + (number / 10) as u8;
        pairs[number * 2 + 1] = b'0' + (number % 10) as u8;
        number += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A number that AWS gave out.
    const RECORDED: &str = "49546986683135544286507457936321625675700192471156785154";

    #[test]
    fn a_recorded_number_is_read_and_written() {
        let number = SequenceNumber::parse(RECORDED).unwrap();
        let expected = SequenceNumber {
            created_s: 1_421_279_230,
            shard: 0,
            ordinal: 469,
            time_s: 1_421_279_386,
            after: false,
        };
        assert_eq!(number, expected);
        assert_eq!(number.to_string(), RECORDED);
    }

    #[test]
    fn a_shard_begins_below_and_ends_above_its_records() {
        let starting = SequenceNumber::starting(1_700_000_000, 3).to_string();
        let ending = SequenceNumber::ending(1_700_000_000, 3, 1_700_000_500).to_string();
        let mut records = SequenceNumbers::new(1_700_000_000, 3, 1_700_000_100);
        let mut record = Vec::new();
        records.format(1, &mut record);
        assert!(starting.as_bytes() < record.as_slice());
        assert!(record.as_slice() < ending.as_bytes());
        assert_eq!(SequenceNumber::parse(&ending).unwrap().ordinal, ORDINAL_MAX);
        let child = SequenceNumber::starting(1_700_000_001, 4).to_string();
        assert!(ending < child);
    }

    #[test]
    fn a_place_after_a_record_lies_before_the_next() {
        let record = SequenceNumber { ordinal: 7, ..SequenceNumber::starting(1_700_000_000, 3) };
        let after = SequenceNumber { after: true, time_s: SECONDS_MASK, ..record };
        let next = SequenceNumber { ordinal: 8, ..record };
        assert!(record.to_string() < after.to_string());
        assert!(after.to_string() < next.to_string());
        assert_eq!(SequenceNumber::parse(&after.to_string()), Some(after));
    }

    #[test]
    fn numbers_that_no_shard_gave_out_are_refused() {
        let changed = |bit: u32| {
            let mut words = binary_of(RECORDED);
            words[(bit / 64) as usize] ^= 1 << (bit % 64);
            String::from_utf8(digits(decimal(words)).to_vec()).unwrap()
        };
        // Version, the marker beside the put time, the highest bit of the ordinal, the index's low bits.
        for bit in [0, 1, 73, 79, 143, 144, 147, 4] {
            assert_eq!(SequenceNumber::parse(&changed(bit)), None, "bit {bit}");
        }
        let longer = format!("{RECORDED}0");
        let nines = "9".repeat(DIGITS);
        for text in ["", "0", "1", &RECORDED[1..], &longer, &nines, &RECORDED.replace('4', "x")] {
            assert_eq!(SequenceNumber::parse(text), None, "{text}");
        }
    }

    fn binary_of(text: &str) -> [u64; 3] {
        let limbs = [&text[37..], &text[18..37], &text[..18]].map(|limb| limb.parse().unwrap());
        binary(limbs).unwrap()
    }

    fn any_number() -> impl Strategy<Value = SequenceNumber> {
        (0..=SECONDS_MASK, any::<u32>(), 0..=ORDINAL_MAX, 0..=SECONDS_MASK, any::<bool>()).prop_map(
            |(created_s, shard, ordinal, time_s, after)| SequenceNumber {
                created_s,
                shard,
                ordinal,
                time_s,
                after,
            },
        )
    }

    proptest! {
        #[test]
        fn written_numbers_are_read_back(number in any_number()) {
            prop_assert_eq!(SequenceNumber::parse(&number.to_string()), Some(number));
        }

        #[test]
        fn numbers_order_as_shard_age_and_ordinal(left in any_number(), ordinal in 0..=ORDINAL_MAX, created_s in 0..=SECONDS_MASK) {
            let right = SequenceNumber { ordinal, ..left };
            prop_assert_eq!(left.to_string().cmp(&right.to_string()), left.ordinal.cmp(&right.ordinal));
            let younger = SequenceNumber { created_s, ..left };
            prop_assert_eq!(left.to_string().cmp(&younger.to_string()), left.created_s.cmp(&younger.created_s));
        }

        #[test]
        fn the_writer_of_many_agrees_with_the_writer_of_one(number in any_number(), jump in 1..9_000_000_000u64) {
            let number = SequenceNumber { after: false, ordinal: number.ordinal / 4, ..number };
            let mut writer = SequenceNumbers::new(number.created_s, number.shard, number.time_s);
            for ordinal in [number.ordinal, number.ordinal + 1, number.ordinal + 2, number.ordinal + jump, 0, 1] {
                let mut out = Vec::new();
                writer.format(ordinal, &mut out);
                let expected = SequenceNumber { ordinal, ..number }.to_string();
                prop_assert_eq!(out, expected.into_bytes());
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9]{0,60}") {
            let _ = SequenceNumber::parse(&text);
        }
    }
}
