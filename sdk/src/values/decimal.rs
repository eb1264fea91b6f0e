use std::fmt;
use std::str::FromStr;

use super::{ParseError, serde_as_text};
use crate::column::{ColumnType, Scalar, carrier};
use crate::error::Result;

/// A decimal number of up to 38 digits, kept as its text, such as `-12.50`: a
/// column of type `decimal`. In JSON it is a text.
///
/// It is for carrying and showing amounts; reckon in whole cents.
///
/// ```
/// # use fantascope_sdk::prelude::*;
/// assert_eq!(Decimal::from_minor(-5, 2).to_string(), "-0.05");
/// assert_eq!("12.50".parse::<Decimal>()?.to_string(), "12.50");
/// assert!("12,50".parse::<Decimal>().is_err());
/// # Ok::<(), fantascope_sdk::Error>(())
/// ```
// No equality: 1.0 and 1.00 are two texts but one number.
#[derive(Debug, Clone)]
pub struct Decimal(String);

/// As many as every database takes.
const DIGITS_MAX: usize = 38;

impl Decimal {
    const EXPECTED: &str = "a decimal such as \"12.50\", of at most 38 digits";

    /// `minor` units of which 10^`scale` make a whole: `(1250, 2)` is `12.50`.
    ///
    /// # Panics
    /// When `scale` is above 18.
    #[must_use]
    pub fn from_minor(minor: i64, scale: u32) -> Self {
        assert!(scale <= 18, "a decimal has a scale of at most 18 here");
        if scale == 0 {
            return Self(minor.to_string());
        }
        let unit = 10_u64.pow(scale);
        let sign = if minor < 0 { "-" } else { "" };
        let (whole, rest) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
        Self(format!("{sign}{whole}.{rest:0width$}", width = scale as usize))
    }

    /// The number's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Decimal {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let count = digits.bytes().filter(u8::is_ascii_digit).count();
        if are_digits(whole) && are_digits(fraction) && count <= DIGITS_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new(Self::EXPECTED, text))
        }
    }
}

impl From<i64> for Decimal {
    fn from(whole: i64) -> Self {
        Self(whole.to_string())
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(Decimal);

impl Scalar for Decimal {
    type Carrier = carrier::Texts;
    const TYPE: ColumnType = ColumnType::Decimal;

    fn to_cell(&self) -> &str {
        &self.0
    }

    fn of_cell(cell: &str) -> Result<Self> {
        Ok(cell.parse()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_digits_with_an_optional_sign_and_point() {
        for text in ["0", "-12.50", "007", &"9".repeat(38)] {
            assert_eq!(text.parse::<Decimal>().expect(text).as_str(), text);
        }
        for text in ["", "-", "+1", ".5", "1.", "1e3", "1.2.3", "NaN", &"9".repeat(39)] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }

    #[test]
    fn is_made_of_minor_units() {
        let text = |minor, scale| Decimal::from_minor(minor, scale).to_string();
        assert_eq!(text(1250, 2), "12.50");
        assert_eq!(text(-5, 2), "-0.05");
        assert_eq!(text(7, 0), "7");
        assert_eq!(text(i64::MIN, 2), "-92233720368547758.08");
    }
}
