use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::column::{ColumnType, Scalar, carrier};
use crate::error::Result;

/// One JSON value, kept as its text: a column of type `json`. In the payload of an
/// event it takes any value, byte for byte and without looking into it.
#[derive(Clone)]
pub struct Json(Box<RawValue>);

impl Json {
    /// The JSON of a value.
    ///
    /// # Errors
    /// When the value can't be put in JSON, such as a map whose keys aren't texts.
    pub fn of(value: &impl Serialize) -> Result<Self> {
        Ok(Self(serde_json::value::to_raw_value(value)?))
    }

    /// The value's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The value as a type.
    ///
    /// # Errors
    /// When it is of another shape; the error says where.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        crate::json::decode(self.as_str())
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        let text = RawValue::from_string(value.to_string());
        Self(text.expect("the text of a JSON value is JSON"))
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Deserialize::deserialize(from).map(Self)
    }
}

impl Scalar for Json {
    type Carrier = carrier::Texts;
    const TYPE: ColumnType = ColumnType::Json;

    fn to_cell(&self) -> &str {
        self.as_str()
    }

    fn of_cell(cell: &str) -> Result<Self> {
        Ok(Self(RawValue::from_string(cell.to_owned())?))
    }
}
