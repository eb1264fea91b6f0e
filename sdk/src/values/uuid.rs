use std::fmt;
use std::str::FromStr;

use super::{ParseError, serde_as_text};
use crate::column::{ColumnType, KeyColumn, Scalar, carrier};
use crate::error::{Error, Result};

/// A UUID: a column of type `uuid`. In JSON and in print it is 32 hexadecimal
/// digits in five groups with hyphens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid([u8; 16]);

impl Uuid {
    const EXPECTED: &str = "a UUID such as \"01920000-0000-7000-8000-000000000001\"";

    /// The UUID of 16 bytes, the most significant first.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes, the most significant first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text.as_bytes()).ok_or_else(|| ParseError::new(Self::EXPECTED, text))
    }
}

fn parse(text: &[u8]) -> Option<Uuid> {
    if text.len() != 36 || [8, 13, 18, 23].iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut digits = text.iter().filter(|byte| **byte != b'-');
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        *byte = digit(*digits.next()?)? << 4 | digit(*digits.next()?)?;
    }
    Some(Uuid(bytes))
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

serde_as_text!(Uuid);

impl Scalar for Uuid {
    type Carrier = carrier::Blobs;
    const TYPE: ColumnType = ColumnType::Uuid;

    fn to_cell(&self) -> &[u8] {
        &self.0
    }

    fn of_cell(cell: &[u8]) -> Result<Self> {
        let bytes = cell.try_into().map_err(|_| Error::new(format_args!("a UUID has 16 bytes, not {}", cell.len())))?;
        Ok(Self(bytes))
    }
}

impl KeyColumn for Uuid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        let text = "01920abc-def0-7123-8456-789abcdef012";
        assert_eq!(text.parse::<Uuid>().expect("a UUID").to_string(), text);
        let upper = text.to_uppercase().parse::<Uuid>().expect("a UUID");
        assert_eq!(upper.to_string(), text);
        for text in ["", "01920abc", &text.replace('-', ""), &text.replace('a', "g")] {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
        assert!("01920abc-def0-7123-8456-789abcde-012".parse::<Uuid>().is_err());
    }
}
