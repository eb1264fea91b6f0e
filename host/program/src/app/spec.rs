//! `spec`: folds a handful of events in the sandbox and shows the rows. It is the
//! other end of the given/then tests of plugins.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::host::sandbox;
use crate::config::Config;
use deployment::catalogue::admit;
use guest::{Fault, Fold as _, GuestProjection, Kind};
use model::change::{Column, Keys, Operation, Rows, TableDefinition};
use model::event::{Batch, EventType, StoredEvent, objects};

#[derive(Deserialize)]
struct Given {
    #[serde(deserialize_with = "objects")]
    events: Vec<StoredEvent>,
}

/// Folds the events on standard input with the plugin at `path`, and writes what
/// came of it to standard output.
///
/// # Errors
/// If the plugin is not admitted, or the input is not what it should be. An event
/// that the plugin refuses is an answer, not an error.
pub fn spec(path: &Path, config: &Config) -> anyhow::Result<()> {
    let mut input = String::new();
    std::io::stdin().lock().read_to_string(&mut input)?;
    let given: Given = serde_json::from_str(&input).context("standard input must hold {\"events\": […]}")?;
    let batch = batch_of(&given.events);
    let entry = admit(path, &sandbox(config)?);
    let admitted = entry.outcome.map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))?;
    let answer = match admitted.kind {
        Kind::Projection(plugin) => match fold(&mut plugin.start()?, &plugin.manifest.tables, &batch) {
            Ok(tables) => json!({ "tables": tables }),
            Err(fault) => failure(&batch, &fault),
        },
        Kind::Upcaster(plugin) => match plugin.start()?.upcast(batch.clone()) {
            Ok(upcasted) => json!({ "events": upcasted_events(&batch, &upcasted) }),
            Err(fault) => failure(&batch, &fault),
        },
    };
    let mut stdout = std::io::stdout().lock();
    serde_json::to_writer(&mut stdout, &answer)?;
    Ok(stdout.flush()?)
}

fn fold(
    guest: &mut GuestProjection,
    tables: &[TableDefinition],
    batch: &Batch,
) -> Result<BTreeMap<String, Vec<Value>>, Fault> {
    let keys = guest.load(batch)?;
    let none: Vec<Rows> = tables.iter().zip(&keys).map(|(table, keys)| Rows::none(table, keys.count)).collect();
    let changes = guest.apply(&none)?;
    let rows = tables.iter().zip(&keys).zip(&changes).map(|((table, keys), changes)| {
        (table.name.to_string(), rows_put(table, keys, &changes.operations, &changes.columns))
    });
    Ok(rows.collect())
}

/// The rows that were put, sorted by key.
fn rows_put(table: &TableDefinition, keys: &Keys, operations: &[Operation], values: &[Column]) -> Vec<Value> {
    let mut rows = Vec::new();
    let puts = operations.iter().enumerate().filter(|&(_, &operation)| operation == Operation::Put);
    for (put, (key_row, _)) in puts.enumerate() {
        let mut row = Map::new();
        for (definition, column) in table.key().iter().zip(&keys.columns) {
            row.insert(definition.name.to_string(), column.to_json(definition.of_type, key_row));
        }
        let sort_key = Value::Object(row.clone()).to_string();
        for (definition, column) in table.values().iter().zip(values) {
            row.insert(definition.name.to_string(), column.to_json(definition.of_type, put));
        }
        rows.push((sort_key, Value::Object(row)));
    }
    rows.sort_by(|(left, _), (right, _)| left.cmp(right));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn upcasted_events(batch: &Batch, upcasted: &model::change::Upcasted) -> Vec<Value> {
    let mut events = Vec::new();
    let mut made = 0;
    for (row, &count) in upcasted.counts.iter().enumerate() {
        for index in 0..count {
            let known = &upcasted.types[upcasted.type_codes[made] as usize];
            let data: Value = serde_json::from_str(upcasted.data.get(made)).unwrap_or(Value::Null);
            events.push(json!({
                "position": batch.positions[row],
                "index": index,
                "event_type": &*known.name,
                "event_version": known.version,
                "event_data": data,
            }));
            made += 1;
        }
    }
    events
}

fn failure(batch: &Batch, fault: &Fault) -> Value {
    let row = fault.event().map(|event| event as usize).filter(|&row| row < batch.len());
    let (path, message) = match fault {
        Fault::Refused { path, message, .. } => (path.clone(), message.clone()),
        other => (None, other.to_string()),
    };
    json!({ "failure": {
        "position": row.map(|row| batch.positions[row]),
        "event_id": row.map(|row| batch.event_id(row)),
        "event_type": row.map(|row| batch.event_type(row).name.to_string()),
        "event_version": row.map(|row| batch.event_type(row).version),
        "path": path,
        "message": message,
    }})
}

fn batch_of(events: &[StoredEvent]) -> Batch {
    let mut batch = Batch::default();
    for event in events {
        batch.positions.push(event.position.0);
        batch.indexes.push(0);
        batch.ids.extend_from_slice(event.event_id.as_bytes());
        let known = EventType { name: Arc::from(event.event_type.as_str()), version: event.event_version };
        batch.type_codes.push(code(&mut batch.types, known));
        batch.aggregate_type_codes.push(code(&mut batch.aggregate_types, event.aggregate_type.clone()));
        batch.aggregate_ids.push(&event.aggregate_id);
        batch.aggregate_versions.push(event.aggregate_version);
        batch.timestamps.push(event.event_timestamp.0);
        batch.user_ids.push(event.user_id.as_deref().unwrap_or_default());
        batch.correlation_ids.push(event.correlation_id.as_deref().unwrap_or_default());
        batch.causation_ids.push(event.causation_id.as_deref().unwrap_or_default());
        batch.metadata.push(event.metadata.get());
        batch.data.push(event.event_data.get());
    }
    batch
}

fn code<T: PartialEq>(entries: &mut Vec<T>, wanted: T) -> u32 {
    let code = entries.iter().position(|known| *known == wanted).unwrap_or_else(|| {
        entries.push(wanted);
        entries.len() - 1
    });
    u32::try_from(code).unwrap_or(u32::MAX)
}
