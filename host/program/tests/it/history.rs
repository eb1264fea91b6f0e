//! Histories of events, made by hand or as the demo makes them.

use std::collections::HashMap;
use std::sync::Arc;

use fantascope::demo;
use fantascope::event::{ImportedEvent, Timestamp};
use fantascope::store::Store;
use serde_json::{Value, json};

/// Events in order, each a line of JSON as it is imported.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) lines: Vec<String>,
    versions: HashMap<(String, String), u64>,
}

impl History {
    /// Adds an event of schema version 1. Its id tells its number, from 1; a second
    /// lies between two events.
    pub(crate) fn add(&mut self, aggregate: &str, event_type: &str, data: &Value) {
        self.add_version(aggregate, event_type, 1, data);
    }

    /// `aggregate` is `TYPE/ID`.
    pub(crate) fn add_version(&mut self, aggregate: &str, event_type: &str, event_version: u32, data: &Value) {
        let number = self.lines.len() + 1;
        let (kind, id) = aggregate.split_once('/').unwrap();
        let version = self.versions.entry((kind.to_owned(), id.to_owned())).or_default();
        *version += 1;
        let (hour, minute, second) = (number / 3_600, number / 60 % 60, number % 60);
        let event = json!({
            "event_id": event_id(number),
            "event_type": event_type,
            "event_version": event_version,
            "aggregate_type": kind,
            "aggregate_id": id,
            "aggregate_version": *version,
            "event_timestamp": format!("2026-01-31T{hour:02}:{minute:02}:{second:02}Z"),
            "event_data": data,
        });
        self.lines.push(event.to_string());
    }

    /// Of the given types, one event each, every one of an aggregate of its own.
    pub(crate) fn of_types(types: &[&str]) -> Self {
        let mut history = Self::default();
        for (number, event_type) in types.iter().enumerate() {
            history.add(&format!("Thing/t-{}", number + 1), event_type, &json!({}));
        }
        history
    }

    /// The lines of a file.
    pub(crate) fn of_text(text: &str) -> Self {
        Self { lines: text.lines().map(str::to_owned).collect(), versions: HashMap::new() }
    }

    pub(crate) async fn import(&self, store: &Store) {
        let events =
            self.lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}")));
        for part in events.collect::<Vec<ImportedEvent>>().chunks(5_000) {
            store.import(Arc::new(part.to_vec())).await.unwrap();
        }
    }
}

/// The id of event `number` of a [`History`].
pub(crate) fn event_id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// The first `part` events, or a few more, of a history of `events` events of orders and
/// families, old schemas among them. Always the same.
pub(crate) async fn import_demo(store: &Store, part: u64, events: u64) {
    let plan = demo::Plan::ending_at(7, events, Timestamp::parse("2026-01-31T12:00:00Z").unwrap());
    let mut history = demo::History::new(plan);
    let mut imported = Vec::new();
    while (imported.len() as u64) < part {
        imported.extend(history.next_append().into_imported());
    }
    for chunk in imported.chunks(5_000) {
        store.import(Arc::new(chunk.to_vec())).await.unwrap();
    }
}
