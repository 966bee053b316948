//! Decimal numbers of up to 38 significant digits, between 1E-130 and 9.99…E+125 in magnitude, as DynamoDB has them.
//!
//! A stored number is bytes that compare as the numbers do, and equal numbers have equal bytes: a sign (0 negative, 1
//! zero, 2 positive), the exponent, and the digits in pairs. In a negative number exponent and digits are complemented,
//! and a byte above all pairs ends it.

use crate::codec::Damaged;

/// Significant digits of a number.
pub const DIGITS_MAX: usize = 38;

/// A number is 0.d₁d₂… times ten to the power of its exponent, where d₁ is not 0.
const EXPONENTS: std::ops::RangeInclusive<i64> = -129..=126;

const END_OF_NEGATIVE: u8 = 0xff;

/// The reason why a text or a result is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// The text has another form.
    NotANumber,
    /// More than [`DIGITS_MAX`] significant digits.
    TooManyDigits,
    /// The magnitude is above 9.99…E+125.
    Overflow,
    /// The magnitude is below 1E-130, and not 0.
    Underflow,
}

/// A number taken apart. Zero has no digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    exponent: i16,
    digits: [u8; DIGITS_MAX],
    length: u8,
}

impl Decimal {
    /// Makes a number of digits whose first one stands for ten to the power of `exponent - 1`.
    fn new(
        is_negative: bool,
        exponent: i64,
        digits: impl DoubleEndedIterator<Item = u8> + Clone,
    ) -> Result<Self, NumberError> {
        let zeros_in_front = digits.clone().take_while(|digit| *digit == 0).count();
        let zeros_behind = digits.clone().rev().take_while(|digit| *digit == 0).count();
        let significant = digits.clone().count().saturating_sub(zeros_in_front + zeros_behind);
        let mut number = Self {
            is_negative,
            exponent: 0,
            digits: [0; DIGITS_MAX],
            length: significant.min(DIGITS_MAX) as u8,
        };
        if significant == 0 {
            return Ok(Self { is_negative: false, length: 0, ..number });
        }
        let exponent = exponent.saturating_sub(zeros_in_front as i64);
        if significant > DIGITS_MAX {
            return Err(NumberError::TooManyDigits);
        }
        if exponent > *EXPONENTS.end() {
            return Err(NumberError::Overflow);
        }
        if exponent < *EXPONENTS.start() {
            return Err(NumberError::Underflow);
        }
        number.exponent = exponent as i16;
        for (place, digit) in number.digits.iter_mut().zip(digits.skip(zeros_in_front).take(significant)) {
            *place = digit;
        }
        Ok(number)
    }

    /// Reads a number as JSON and Java write it: `-12.50`, `.5`, `1E3`.
    ///
    /// # Errors
    /// [`NumberError`] when it is none, or out of range.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let (is_negative, unsigned) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (mantissa, power) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&unsigned[..at], parse_power(&unsigned[at + 1..])?),
            None => (unsigned, 0),
        };
        let point = mantissa.iter().position(|byte| *byte == b'.');
        let (whole, fraction) = match point {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &[][..]),
        };
        let is_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
        if !is_digits || whole.len() + fraction.len() == 0 {
            return Err(NumberError::NotANumber);
        }
        let digits = whole.iter().chain(fraction).map(|byte| byte - b'0');
        Self::new(is_negative, power.saturating_add(whole.len() as i64), digits)
    }

    /// The number with the other sign.
    #[must_use]
    pub fn negated(self) -> Self {
        Self { is_negative: !self.is_negative && self.length > 0, ..self }
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..usize::from(self.length)]
    }

    /// Adds two numbers exactly.
    ///
    /// # Errors
    /// [`NumberError`] when the sum is out of range or has too many digits.
    pub fn plus(self, other: Self) -> Result<Self, NumberError> {
        const PLACES: usize = 300;
        let top = i64::from(self.exponent.max(other.exponent)) + 1;
        let mut places = [0_i16; PLACES];
        let mut end = 1;
        for number in [&self, &other] {
            let first = (top - i64::from(number.exponent)) as usize;
            for (place, digit) in places[first.min(PLACES)..].iter_mut().zip(number.digits()) {
                *place += if number.is_negative { -i16::from(*digit) } else { i16::from(*digit) };
            }
            end = end.max(first + number.digits().len());
        }
        let places = &mut places[..end.min(PLACES)];
        let is_negative = places.iter().find(|place| **place != 0).is_some_and(|place| *place < 0);
        let mut carry = 0;
        for place in places.iter_mut().rev() {
            let sum = if is_negative { -*place } else { *place } + carry;
            *place = sum.rem_euclid(10);
            carry = sum.div_euclid(10);
        }
        assert_eq!(carry, 0, "the first place takes the carry");
        Self::new(is_negative, top, places.iter().map(|place| *place as u8))
    }

    /// Appends the stored form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if self.length == 0 {
            return out.push(1);
        }
        let exponent = (i64::from(self.exponent) - EXPONENTS.start()) as u8;
        let pairs = self.digits().chunks(2).map(|pair| pair[0] * 10 + pair.get(1).unwrap_or(&0) + 1);
        if self.is_negative {
            out.extend([0, !exponent]);
            out.extend(pairs.map(|pair| 101 - pair));
            out.push(END_OF_NEGATIVE);
        } else {
            out.extend([2, exponent]);
            out.extend(pairs);
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Damaged`] when no number is stored like this.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let (is_negative, exponent, pairs) = match bytes {
            [1] => return Self::new(false, 0, [].into_iter()).map_err(|_| Damaged),
            [0, exponent, pairs @ .., END_OF_NEGATIVE] => (true, !exponent, pairs),
            [2, exponent, pairs @ ..] => (false, *exponent, pairs),
            _ => return Err(Damaged),
        };
        let mut digits = [0; DIGITS_MAX];
        if pairs.is_empty()
            || pairs.len() * 2 > DIGITS_MAX
            || pairs.iter().any(|pair| !(1..=100).contains(pair))
        {
            return Err(Damaged);
        }
        for (places, pair) in digits.chunks_mut(2).zip(pairs) {
            let pair = if is_negative { 100 - pair } else { pair - 1 };
            places[0] = pair / 10;
            places[1] = pair % 10;
        }
        let length = pairs.len() * 2;
        if digits[0] == 0 || digits[length - 2..length] == [0, 0] {
            return Err(Damaged);
        }
        let exponent = i64::from(exponent) + EXPONENTS.start();
        Self::new(is_negative, exponent, digits[..length].iter().copied()).map_err(|_| Damaged)
    }

    /// Appends the number without an exponent: `1000`, `-0.05`.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.length == 0 {
            return out.push(b'0');
        }
        if self.is_negative {
            out.push(b'-');
        }
        let digits = self.digits();
        let whole = usize::try_from(self.exponent).unwrap_or(0);
        if whole == 0 {
            out.push(b'0');
        }
        out.extend((0..whole).map(|place| b'0' + digits.get(place).unwrap_or(&0)));
        if digits.len() > whole {
            out.push(b'.');
            out.extend((self.exponent..0).map(|_| b'0'));
            out.extend(digits[whole..].iter().map(|digit| b'0' + digit));
        }
    }

    /// The number as text without an exponent.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8(out).expect("digits are ASCII")
    }

    /// The part before the decimal point, when it fits.
    pub fn integer_part(&self) -> Option<i64> {
        let text = self.text();
        text.split('.').next().and_then(|whole| whole.parse().ok())
    }

    /// Bytes that DynamoDB counts: two digits a byte, one for the number and one for a sign.
    pub fn size(&self) -> usize {
        usize::from(self.length).div_ceil(2) + 1 + usize::from(self.is_negative)
    }
}

fn parse_power(text: &[u8]) -> Result<i64, NumberError> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::NotANumber);
    }
    let power = digits
        .iter()
        .fold(0_i64, |power, byte| power.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    Ok(if is_negative { -power } else { power })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    fn stored(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        number(text).encode(&mut out);
        out
    }

    #[test]
    fn numbers_are_normalised() {
        for (text, expected) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("0E999", "0"),
            ("1.50", "1.5"),
            ("1E3", "1000"),
            ("+12", "12"),
            ("0012.0400", "12.04"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-0.05", "-0.05"),
            ("1234e-6", "0.001234"),
            ("0.238698", "0.238698"),
            ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
            ("100000000000000000000000000000000000000000", "100000000000000000000000000000000000000000"),
        ] {
            assert_eq!(number(text).text(), expected, "{text}");
        }
        assert_eq!(number("1E125").text().len(), 126);
        assert_eq!(number("9.9999999999999999999999999999999999999E+125").text().len(), 126);
        assert_eq!(number("-1E-130").text().len(), 133);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "", "-", ".", "a", "1a", "1e", "1e+", "e5", "1.2.3", " 1", "1 ", "0x1", "NaN", "Infinity", "--1",
            "1e1.5", "١",
        ] {
            assert_eq!(Decimal::parse(text), Err(NumberError::NotANumber), "{text}");
        }
        for (text, expected) in [
            ("123456789012345678901234567890123456789", NumberError::TooManyDigits),
            ("1.00000000000000000000000000000000000001", NumberError::TooManyDigits),
            ("1E126", NumberError::Overflow),
            ("-1E126", NumberError::Overflow),
            ("1E99999999999999999999999", NumberError::Overflow),
            ("1E-131", NumberError::Underflow),
            ("1E-99999999999999999999999", NumberError::Underflow),
        ] {
            assert_eq!(Decimal::parse(text), Err(expected), "{text}");
        }
        assert_eq!(Decimal::parse(&"9".repeat(1_000_000)), Err(NumberError::TooManyDigits));
    }

    #[test]
    fn sums_are_exact() {
        for (one, other, expected) in [
            ("1", "2", "3"),
            ("0.1", "0.2", "0.3"),
            ("999", "1", "1000"),
            ("-5", "5", "0"),
            ("5", "-7.5", "-2.5"),
            ("0", "0", "0"),
            (
                "0",
                "1E-130",
                "0.0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001",
            ),
            ("1E37", "1", "10000000000000000000000000000000000001"),
        ] {
            assert_eq!(number(one).plus(number(other)).unwrap().text(), expected, "{one} + {other}");
            assert_eq!(number(other).plus(number(one)).unwrap().text(), expected, "{other} + {one}");
        }
        assert_eq!(number("1E38").plus(number("1")), Err(NumberError::TooManyDigits));
        assert_eq!(number("1E125").plus(number("1E-130")), Err(NumberError::TooManyDigits));
        let most = number("9.9999999999999999999999999999999999999E125");
        assert_eq!(most.plus(most), Err(NumberError::TooManyDigits));
        assert_eq!(number("9E125").plus(number("9E125")), Err(NumberError::Overflow));
    }

    #[test]
    fn bytes_compare_as_numbers() {
        let order = [
            "-9E125", "-1E125", "-1000", "-12.5", "-12.34", "-12", "-1", "-0.1234", "-0.12", "-1E-130", "0",
            "1E-130", "0.12", "0.1234", "1", "9", "10", "12", "12.34", "12.5", "1000", "1E125", "9E125",
        ];
        for pair in order.windows(2) {
            assert!(stored(pair[0]) < stored(pair[1]), "{pair:?}");
        }
        assert_eq!(stored("1.5000"), stored("1.5"));
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for bytes in [
            &[][..],
            &[0],
            &[2],
            &[3, 1],
            &[1, 1],
            &[2, 5],
            &[2, 5, 1],
            &[2, 5, 5],
            &[2, 5, 11, 1],
            &[2, 5, 102],
            &[0, 5, 3],
        ] {
            assert_eq!(Decimal::decode(bytes), Err(Damaged), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_behave_as_those_of_the_machine(one in -1_000_000_000_i64..1_000_000_000, other in any::<i32>(), shift in 0_i64..60) {
            let other = i64::from(other) << (shift % 30);
            let (left, right) = (number(&one.to_string()), number(&other.to_string()));
            prop_assert_eq!(left.plus(right).unwrap().text(), (one + other).to_string());
            prop_assert_eq!(left.integer_part(), Some(one));
            prop_assert_eq!(stored(&one.to_string()).cmp(&stored(&other.to_string())), one.cmp(&other));
            prop_assert_eq!(Decimal::decode(&stored(&other.to_string())), Ok(right));
        }

        #[test]
        fn any_bytes_are_one_number_or_none(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            if let Ok(number) = Decimal::decode(&bytes) {
                let mut out = Vec::new();
                number.encode(&mut out);
                prop_assert_eq!(out, bytes);
                prop_assert_eq!(Decimal::parse(&number.text()), Ok(number));
            }
        }
    }
}
