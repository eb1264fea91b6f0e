//! Structs out of JSON objects alone.
//!
//! Serde takes an array of a struct's fields, in their order, for the struct. Nobody who sends
//! one means it, and what it means would change with the order of the fields.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// What is decoded out of a JSON object.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// Decodes an array of objects: for `#[serde(deserialize_with)]`.
///
/// # Errors
/// If it is no array, or one of its elements is no object or not of this type.
pub fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(decoded)| decoded).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NewEvent;

    #[test]
    fn takes_objects_and_no_arrays() {
        let decode = |json: &str| serde_json::from_str::<Object<NewEvent>>(json);
        let event = r#"{ "event_type": "A", "event_data": { "n": 1e400 } }"#;
        assert_eq!(decode(event).expect("an event").0.event_data.get(), r#"{ "n": 1e400 }"#);
        // Its fields in their order.
        let array = r#"[null, "A", 1, null, null, null, null, null, {}]"#;
        assert!(serde_json::from_str::<NewEvent>(array).is_ok(), "serde takes it by itself");
        let fault = decode(array).expect_err("no object").to_string();
        assert!(fault.contains("invalid type: sequence, expected a JSON object"), "{fault}");
        let fault = decode(r#"{ "event_type": "A", "data": {} }"#).expect_err("a field that is none").to_string();
        assert!(fault.contains("unknown field `data`"), "{fault}");
    }
}
