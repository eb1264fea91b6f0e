//! The events that a case is given.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::values::{Timestamp, Uuid};
use crate::wire;

/// What is said of the events that are given next.
#[derive(Clone)]
struct Circumstances {
    aggregate_type: String,
    timestamp: Timestamp,
    user_id: String,
    correlation_id: String,
    causation_id: String,
    metadata: Value,
}

/// An event in the JSON form of the contract.
#[derive(Serialize)]
struct Given {
    position: u64,
    event_id: Uuid,
    event_type: String,
    event_version: u32,
    aggregate_type: String,
    aggregate_id: String,
    aggregate_version: u64,
    event_timestamp: Timestamp,
    #[serde(skip_serializing_if = "String::is_empty")]
    user_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    correlation_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    causation_id: String,
    metadata: Value,
    event_data: Box<RawValue>,
}

/// The events of a case, in their order.
pub(super) struct Events {
    next: Circumstances,
    given: Vec<Given>,
    /// The version of each aggregate, by type and id.
    versions: HashMap<(String, String), u64>,
}

/// When all given events happen that aren't said to happen at another time.
const TIMESTAMP: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

impl Events {
    pub(super) fn new() -> Self {
        Self {
            next: Circumstances {
                aggregate_type: "aggregate".to_owned(),
                timestamp: TIMESTAMP,
                user_id: String::new(),
                correlation_id: String::new(),
                causation_id: String::new(),
                metadata: Value::Object(serde_json::Map::new()),
            },
            given: Vec::new(),
            versions: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.given.len()
    }

    /// Adds an event.
    #[track_caller]
    pub(super) fn give(&mut self, aggregate_id: &str, name: &str, version: u32, data: Vec<u8>) {
        let next = self.next.clone();
        let aggregate = (next.aggregate_type.clone(), aggregate_id.to_owned());
        let aggregate_version = self.versions.entry(aggregate).or_default();
        *aggregate_version += 1;
        let position = self.given.len() as u64 + 1;
        let data = String::from_utf8(data).expect("JSON is UTF-8");
        self.given.push(Given {
            position,
            event_id: event_id(position),
            event_type: name.to_owned(),
            event_version: version,
            aggregate_type: next.aggregate_type,
            aggregate_id: aggregate_id.to_owned(),
            aggregate_version: *aggregate_version,
            event_timestamp: next.timestamp,
            user_id: next.user_id,
            correlation_id: next.correlation_id,
            causation_id: next.causation_id,
            metadata: next.metadata,
            event_data: RawValue::from_string(data).expect("an event is given as JSON"),
        });
    }

    /// All of them, for the host.
    pub(super) fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Case<'a> {
            events: &'a [Given],
        }
        let case = Case { events: &self.given };
        serde_json::to_string(&case).expect("events can be put in JSON")
    }

    /// All of them in batches of a size.
    pub(super) fn batches(&self, size: usize) -> impl Iterator<Item = wire::Events> {
        self.given.chunks(size.max(1)).map(batch)
    }
}

/// An id that tells its position, for whoever reads it in an error.
fn event_id(position: u64) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&[0x01, 0x92]);
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    bytes[10..].copy_from_slice(&position.to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

/// Events as columns, as the host makes them of its store.
fn batch(given: &[Given]) -> wire::Events {
    let mut types: Vec<wire::EventType> = Vec::new();
    let mut type_codes = Vec::new();
    let mut aggregate_types = wire::CodedTexts { entries: Vec::new(), codes: Vec::new() };
    for event in given {
        let is_type = |known: &wire::EventType| known.name == event.event_type && known.version == event.event_version;
        let code = types.iter().position(is_type).unwrap_or_else(|| {
            types.push(wire::EventType { name: event.event_type.clone(), version: event.event_version });
            types.len() - 1
        });
        type_codes.push(wire::offset(code));
        let known = &mut aggregate_types.entries;
        let code = known.iter().position(|name| *name == event.aggregate_type);
        let code = code.unwrap_or_else(|| {
            known.push(event.aggregate_type.clone());
            known.len() - 1
        });
        aggregate_types.codes.push(wire::offset(code));
    }
    let metadata: Vec<String> = given.iter().map(|e| e.metadata.to_string()).collect();
    wire::Events {
        positions: given.iter().map(|event| event.position).collect(),
        indexes: vec![0; given.len()],
        ids: given.iter().flat_map(|e| *e.event_id.as_bytes()).collect(),
        types,
        type_codes,
        aggregate_types,
        aggregate_ids: texts(given.iter().map(|event| event.aggregate_id.as_str())),
        aggregate_versions: given.iter().map(|e| e.aggregate_version).collect(),
        timestamps: given.iter().map(|e| e.event_timestamp.as_micros()).collect(),
        user_ids: texts(given.iter().map(|event| event.user_id.as_str())),
        correlation_ids: texts(given.iter().map(|event| event.correlation_id.as_str())),
        causation_ids: texts(given.iter().map(|event| event.causation_id.as_str())),
        metadata: texts(metadata.iter().map(String::as_str)),
        data: texts(given.iter().map(|event| event.event_data.get())),
    }
}

fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> wire::Texts {
    let mut column = wire::Texts::with_capacity(0, 0);
    texts.for_each(|text| column.push(text));
    column
}

/// Setters that both kinds of spec have.
macro_rules! circumstances {
    () => {
        /// The events that follow happen to aggregates of this type. It is `aggregate`
        /// before.
        pub fn aggregate_type(mut self, aggregate_type: &str) -> Self {
            self.events.set_aggregate_type(aggregate_type);
            self
        }

        /// The events that follow happen at this time, in RFC 3339. It is
        /// `2026-01-01T00:00:00Z` before.
        ///
        /// # Panics
        /// When it is not a time.
        #[track_caller]
        pub fn at(mut self, time: &str) -> Self {
            self.events.set_timestamp(time);
            self
        }

        /// The events that follow are done by this user; by nobody, if empty.
        pub fn by(mut self, user_id: &str) -> Self {
            self.events.set_user_id(user_id);
            self
        }

        /// The events that follow have this correlation id; none, if empty.
        pub fn correlation_id(mut self, id: &str) -> Self {
            self.events.set_correlation_id(id);
            self
        }

        /// The events that follow have this causation id; none, if empty.
        pub fn causation_id(mut self, id: &str) -> Self {
            self.events.set_causation_id(id);
            self
        }

        /// The events that follow have this metadata: an object of
        /// [`json!`](crate::spec::json).
        pub fn metadata(mut self, metadata: ::serde_json::Value) -> Self {
            self.events.set_metadata(metadata);
            self
        }
    };
}
pub(super) use circumstances;

impl Events {
    pub(super) fn set_aggregate_type(&mut self, aggregate_type: &str) {
        self.next.aggregate_type = aggregate_type.to_owned();
    }

    #[track_caller]
    pub(super) fn set_timestamp(&mut self, time: &str) {
        self.next.timestamp = match time.parse() {
            Ok(timestamp) => timestamp,
            Err(error) => panic!("{error}"),
        };
    }

    pub(super) fn set_user_id(&mut self, id: &str) {
        self.next.user_id = id.to_owned();
    }

    pub(super) fn set_correlation_id(&mut self, id: &str) {
        self.next.correlation_id = id.to_owned();
    }

    pub(super) fn set_causation_id(&mut self, id: &str) {
        self.next.causation_id = id.to_owned();
    }

    pub(super) fn set_metadata(&mut self, metadata: Value) {
        self.next.metadata = metadata;
    }
}
