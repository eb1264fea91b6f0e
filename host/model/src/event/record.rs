//! The contract's record of an event: as it is appended, imported and read.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Position, Timestamp};
use crate::limits::{JSON_DEPTH_MAX, Limits};

/// The longest name or id, in bytes: what every supported database can index.
const NAME_BYTES_MAX: usize = 200;

/// An event that is to be appended to an aggregate.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEvent {
    /// A UUID of the caller's choice makes the append idempotent; else the store picks one (v7).
    #[serde(default)]
    pub event_id: Option<Uuid>,
    /// What happened, in the past tense: `OrderPlaced`.
    pub event_type: String,
    /// Schema version of the type, from 1.
    #[serde(default = "first_version")]
    #[schema(default = 1, minimum = 1)]
    pub event_version: u32,
    /// When it happened; now, unless given.
    #[serde(default)]
    pub event_timestamp: Option<Timestamp>,
    /// Who did it.
    #[serde(default)]
    pub user_id: Option<String>,
    /// What belongs together bears the same.
    #[serde(default)]
    pub correlation_id: Option<String>,
    /// The event or command that caused it.
    #[serde(default)]
    pub causation_id: Option<String>,
    /// A JSON object of whatever else should be known.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Box<RawValue>>,
    /// The payload, a JSON object. Kept byte for byte.
    #[schema(value_type = Object)]
    pub event_data: Box<RawValue>,
}

/// An event of another store, as a line of a file: it has an identity and a place
/// in its aggregate already.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedEvent {
    /// Where it stood in the store that it came from; it gets a new one here.
    #[serde(default)]
    pub position: Option<u64>,
    pub event_id: Uuid,
    pub event_type: String,
    #[serde(default = "first_version")]
    pub event_version: u32,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub aggregate_version: u64,
    pub event_timestamp: Timestamp,
    #[serde(default)]
    pub user_id: Option<String>,
    #[serde(default)]
    pub correlation_id: Option<String>,
    #[serde(default)]
    pub causation_id: Option<String>,
    #[serde(default)]
    pub metadata: Option<Box<RawValue>>,
    pub event_data: Box<RawValue>,
}

/// An event of the store.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StoredEvent {
    /// Its place in the order of all events.
    pub position: Position,
    pub event_id: Uuid,
    pub event_type: String,
    pub event_version: u32,
    pub aggregate_type: String,
    pub aggregate_id: String,
    /// Its place in its aggregate, from 1.
    pub aggregate_version: u64,
    pub event_timestamp: Timestamp,
    pub user_id: Option<String>,
    pub correlation_id: Option<String>,
    pub causation_id: Option<String>,
    #[schema(value_type = Object)]
    pub metadata: Box<RawValue>,
    #[schema(value_type = Object)]
    pub event_data: Box<RawValue>,
}

fn first_version() -> u32 {
    1
}

/// What is wrong with an event that somebody wants to append.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("`{field}` must not be empty")]
    Empty { field: &'static str },
    #[error("`{field}` has {bytes} bytes, at most {NAME_BYTES_MAX} are allowed")]
    TooLong { field: &'static str, bytes: usize },
    #[error("`{field}` contains a control character")]
    Control { field: &'static str },
    #[error("`{field}` counts from 1")]
    Zero { field: &'static str },
    #[error("`{field}` must be a JSON object")]
    NotAnObject { field: &'static str },
    #[error("`{field}` has {bytes} bytes, more than limits.event_bytes_max ({max}) allows")]
    TooLarge { field: &'static str, bytes: usize, max: usize },
    #[error("`{field}` is nested more than {JSON_DEPTH_MAX} levels deep, which not every database can hold")]
    TooDeep { field: &'static str },
}

impl Invalid {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "event_too_large",
            Self::TooDeep { .. } => "event_too_deep",
            _ => "invalid_event",
        }
    }
}

impl NewEvent {
    /// Whether the store takes it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, limits: &Limits) -> Result<(), Invalid> {
        check_name("event_type", &self.event_type)?;
        check_version("event_version", u64::from(self.event_version))?;
        check_optional_names(&self.user_id, &self.correlation_id, &self.causation_id)?;
        check_payloads(self.metadata.as_deref(), &self.event_data, limits)
    }
}

impl ImportedEvent {
    /// Whether the store takes it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, limits: &Limits) -> Result<(), Invalid> {
        check_name("event_type", &self.event_type)?;
        check_version("event_version", u64::from(self.event_version))?;
        check_name("aggregate_type", &self.aggregate_type)?;
        check_name("aggregate_id", &self.aggregate_id)?;
        check_version("aggregate_version", self.aggregate_version)?;
        check_optional_names(&self.user_id, &self.correlation_id, &self.causation_id)?;
        check_payloads(self.metadata.as_deref(), &self.event_data, limits)
    }
}

/// Whether `value` can be a name or an id.
pub fn check_name(field: &'static str, value: &str) -> Result<(), Invalid> {
    if value.is_empty() {
        return Err(Invalid::Empty { field });
    }
    if value.len() > NAME_BYTES_MAX {
        return Err(Invalid::TooLong { field, bytes: value.len() });
    }
    if value.chars().any(char::is_control) {
        return Err(Invalid::Control { field });
    }
    Ok(())
}

fn check_version(field: &'static str, version: u64) -> Result<(), Invalid> {
    if version == 0 { Err(Invalid::Zero { field }) } else { Ok(()) }
}

fn check_optional_names(
    user: &Option<String>,
    correlation: &Option<String>,
    causation: &Option<String>,
) -> Result<(), Invalid> {
    for (field, value) in [("user_id", user), ("correlation_id", correlation), ("causation_id", causation)] {
        if let Some(value) = value {
            check_name(field, value)?;
        }
    }
    Ok(())
}

fn check_payloads(metadata: Option<&RawValue>, data: &RawValue, limits: &Limits) -> Result<(), Invalid> {
    if let Some(metadata) = metadata {
        check_payload("metadata", metadata.get(), limits)?;
    }
    check_payload("event_data", data.get(), limits)
}

fn check_payload(field: &'static str, json: &str, limits: &Limits) -> Result<(), Invalid> {
    if !json.starts_with('{') {
        return Err(Invalid::NotAnObject { field });
    }
    if json.len() > limits.event_bytes_max {
        return Err(Invalid::TooLarge { field, bytes: json.len(), max: limits.event_bytes_max });
    }
    if json_depth(json) > JSON_DEPTH_MAX {
        return Err(Invalid::TooDeep { field });
    }
    Ok(())
}

/// How deep a valid JSON text is nested: 0 for a scalar, 1 for `{}`.
#[must_use]
pub fn json_depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &str) -> NewEvent {
        serde_json::from_str(&format!(r#"{{"event_type":"A","event_data":{data}}}"#)).expect("an event")
    }

    #[test]
    fn measures_depth_outside_strings() {
        for (json, depth) in [("1", 0), ("{}", 1), (r#"{"a":[{"b":1}]}"#, 3), (r#"{"a":"[[[\"[["}"#, 1)] {
            assert_eq!(json_depth(json), depth, "{json}");
        }
    }

    #[test]
    fn refuses_what_a_database_could_not_hold() {
        let limits = Limits { event_bytes_max: 100, ..Limits::default() };
        let nested = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        let deep_limits = Limits::default();
        assert_eq!(event(&nested(31)).check(&deep_limits), Ok(()));
        assert_eq!(event(&nested(32)).check(&deep_limits), Err(Invalid::TooDeep { field: "event_data" }));
        assert_eq!(event("[]").check(&limits), Err(Invalid::NotAnObject { field: "event_data" }));
        let large = event(&format!(r#"{{"a":"{}"}}"#, "x".repeat(100)));
        assert_eq!(large.check(&limits), Err(Invalid::TooLarge { field: "event_data", bytes: 108, max: 100 }));
    }

    #[test]
    fn refuses_names_that_are_empty_long_or_unprintable() {
        let limits = Limits::default();
        let with_type = |event_type: &str| NewEvent { event_type: event_type.to_owned(), ..event("{}") };
        assert_eq!(with_type("").check(&limits), Err(Invalid::Empty { field: "event_type" }));
        assert_eq!(with_type("a\nb").check(&limits), Err(Invalid::Control { field: "event_type" }));
        let long = "x".repeat(201);
        assert_eq!(with_type(&long).check(&limits), Err(Invalid::TooLong { field: "event_type", bytes: 201 }));
    }

    #[test]
    fn keeps_the_text_of_the_payload() {
        let data = "{ \"b\" :1,  \"a\":1e400 }";
        assert_eq!(event(data).event_data.get(), data);
    }
}
