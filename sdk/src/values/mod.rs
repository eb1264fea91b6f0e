//! The values that cells hold, beside the plain ones of Rust.

mod bytes;
mod decimal;
mod json;
mod plain;
mod timestamp;
mod uuid;

pub use bytes::Bytes;
pub use decimal::Decimal;
pub use json::Json;
pub use timestamp::Timestamp;
pub use uuid::Uuid;

use std::fmt;

/// Why a text is not the value that it was to be read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// For example `a decimal such as 12.50`.
    expected: &'static str,
    text: String,
}

impl ParseError {
    fn new(expected: &'static str, text: &str) -> Self {
        Self { expected, text: text.to_owned() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not {}", self.text, self.expected)
    }
}

impl std::error::Error for ParseError {}

/// Reads from JSON as a text and writes to JSON as a text, by `FromStr` and `Display`.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(<$type>::EXPECTED)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                from.deserialize_str(Text)
            }
        }
    };
}
use serde_as_text;
