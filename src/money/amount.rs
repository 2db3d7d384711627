//! An amount of money, and the currency it is in.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;
use std::sync::Arc;

/// Decimals that are kept: a price per million tokens may have six, and a token costs a millionth of it.
const DECIMALS: usize = 12;

/// 10¹², the parts of one unit of the currency.
const PARTS: u128 = 1_000_000_000_000;

/// An amount, in whole 10⁻¹² units of a currency that is said elsewhere.
///
/// Sums stop at the largest amount, 3.4·10²⁶ units: no bill comes near it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(u128);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many 10⁻¹² units.
    pub const fn of_parts(parts: u128) -> Self {
        Self(parts)
    }

    /// The 10⁻¹² units of it.
    pub const fn parts(self) -> u128 {
        self.0
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// What is left after `less`; nothing if that is more.
    pub const fn minus(self, less: Self) -> Self {
        Self(self.0.saturating_sub(less.0))
    }

    /// This amount for each of `part` things, as it would be for `whole` of them, rounded down.
    ///
    /// `None` if there was nothing to learn from.
    pub fn scaled(self, whole: u64, part: u64) -> Option<Self> {
        let mean = self.0.checked_div(u128::from(part))?;
        let rest = self.0 % u128::from(part);
        let whole = u128::from(whole);
        // Divided before it is multiplied, so that nothing overflows; the remainder keeps it exact.
        let rest = rest.saturating_mul(whole) / u128::from(part);
        Some(Self(mean.saturating_mul(whole).saturating_add(rest)))
    }

    /// For people: cents from one unit on, else as many decimals as tell something, rounded up.
    pub fn rounded(self) -> Rounded {
        Rounded(self)
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, more: Self) {
        *self = *self + more;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::ZERO, Add::add)
    }
}

/// The exact decimal number: at least two decimals, no zeros behind them.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:0DECIMALS$}", self.0 % PARTS);
        let kept = decimals.trim_end_matches('0').len().max(2);
        f.pad(&format!("{}.{}", self.0 / PARTS, &decimals[..kept]))
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As its exact decimal number in text: a JSON number would be read as a float, which can't hold it.
impl serde::Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that is no amount of money.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotMoney {
    /// It isn't a plain decimal number.
    NotANumber,
    /// It is less than nothing.
    Negative,
    /// It has more decimals than are kept.
    TooFine,
    /// It is more than anything costs.
    TooMuch,
}

impl fmt::Display for NotMoney {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "not an amount such as 5 or 0.25",
            Self::Negative => "an amount can't be negative",
            Self::TooFine => "an amount has at most 12 decimals",
            Self::TooMuch => "an amount has at most 12 digits before the point",
        })
    }
}

impl std::error::Error for NotMoney {}

/// Reads a plain decimal number, digit by digit, so that nothing is rounded.
impl FromStr for Money {
    type Err = NotMoney;

    fn from_str(text: &str) -> Result<Self, NotMoney> {
        if text.starts_with('-') {
            return Err(NotMoney::Negative);
        }
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) {
            return Err(NotMoney::NotANumber);
        }
        let decimals = decimals.trim_end_matches('0');
        if decimals.len() > DECIMALS {
            return Err(NotMoney::TooFine);
        }
        let whole = whole.trim_start_matches('0');
        if whole.len() > DECIMALS {
            return Err(NotMoney::TooMuch);
        }
        let digits = format!("{whole}{decimals:0<DECIMALS$}");
        digits.parse().map(Self).map_err(|_| NotMoney::TooMuch)
    }
}

/// An amount as people read it: `4.13`, `0.0421`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rounded(Money);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Cents are enough from one unit on.
        const CENT: u128 = PARTS / 100;
        /// Below one unit, a hundredth of a cent: what a few cheap calls cost.
        const FINEST: u128 = PARTS / 10_000;
        let Self(money) = self;
        let (step, decimals) = if money.0 >= PARTS || money.is_zero() { (CENT, 2) } else { (FINEST, 4) };
        let steps = money.0.div_ceil(step);
        let steps_in_one = PARTS / step;
        f.pad(&format!("{}.{:0decimals$}", steps / steps_in_one, steps % steps_in_one))
    }
}

/// A currency, by its three letters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Currency(Arc<str>);

impl Currency {
    /// The one of these letters, if they are three capitals as ISO 4217 has them.
    pub fn new(letters: &str) -> Option<Self> {
        let is_code = letters.len() == 3 && letters.bytes().all(|byte| byte.is_ascii_uppercase());
        is_code.then(|| Self(letters.into()))
    }

    /// Its letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// US dollars, which nearly every provider bills in.
impl Default for Currency {
    fn default() -> Self {
        Self("USD".into())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl serde::Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn decimals_are_read_and_written_exactly() {
        for (text, parts, written) in [
            ("5", 5_000_000_000_000, "5.00"),
            ("0.15", 150_000_000_000, "0.15"),
            ("0.1", 100_000_000_000, "0.10"),
            ("007.50", 7_500_000_000_000, "7.50"),
            ("0.000000000001", 1, "0.000000000001"),
            ("0.0000000000010", 1, "0.000000000001"),
            ("0", 0, "0.00"),
            ("999999999999", 999_999_999_999_000_000_000_000, "999999999999.00"),
        ] {
            assert_eq!((money(text).parts(), money(text).to_string()), (parts, written.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_its_reason() {
        for (text, why) in [
            ("", NotMoney::NotANumber),
            (".5", NotMoney::NotANumber),
            ("5.", NotMoney::NotANumber),
            ("1e3", NotMoney::NotANumber),
            ("1,5", NotMoney::NotANumber),
            ("5 USD", NotMoney::NotANumber),
            ("-1", NotMoney::Negative),
            ("0.0000000000001", NotMoney::TooFine),
            ("1000000000000", NotMoney::TooMuch),
        ] {
            assert_eq!(text.parse::<Money>(), Err(why), "{text}");
        }
    }

    #[test]
    fn people_read_cents_or_what_is_left_of_them_and_never_too_little() {
        for (text, read) in [
            ("0", "0.00"),
            ("4.1300001", "4.14"),
            ("4.13", "4.13"),
            ("1", "1.00"),
            ("0.99999", "1.0000"),
            ("0.04211", "0.0422"),
            ("0.000000001", "0.0001"),
        ] {
            assert_eq!(money(text).rounded().to_string(), read, "{text}");
        }
    }

    #[test]
    fn a_mean_is_scaled_without_drift() {
        assert_eq!(money("1").scaled(3, 1), Some(money("3")));
        assert_eq!(money("1").scaled(3, 3), Some(money("1")), "a third three times is whole again");
        assert_eq!(money("1").scaled(10, 0), None);
        assert_eq!(Money::of_parts(u128::MAX).scaled(u64::MAX, 1), Some(Money::of_parts(u128::MAX)));
    }

    #[test]
    fn currencies_have_three_capitals() {
        assert_eq!(Currency::new("EUR").unwrap().to_string(), "EUR");
        assert_eq!([Currency::new("eur"), Currency::new("EURO"), Currency::new("€")], [None, None, None]);
        assert_eq!(Currency::default().as_str(), "USD");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(parts in 0_u128..1_000_000_000_000_000_000_000_000) {
            let written = Money::of_parts(parts).to_string();
            prop_assert_eq!(written.parse(), Ok(Money::of_parts(parts)));
        }

        #[test]
        fn a_rounded_amount_is_never_less(parts in 0_u128..1_000_000_000_000_000_000) {
            let amount = Money::of_parts(parts);
            let read: Money = amount.rounded().to_string().parse().unwrap();
            prop_assert!(read >= amount && read.minus(amount) < money("0.01"));
        }
    }
}
