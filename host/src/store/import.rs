//! Importing events that have an identity and a place in their aggregate already.
//! Repeating an import adds nothing.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::SqliteConnection;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::append::Request;
use super::insert::{NewRow, insert};
use super::{Store, query};
use crate::event::{ImportedEvent, Position, StoredEvent};

/// Why events can't be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ImportFault {
    /// Which of the given events is to blame, from 0; none if the store failed.
    pub index: Option<usize>,
    /// What is wrong with it, for people.
    pub reason: String,
}

impl ImportFault {
    pub(super) fn failed(reason: &str) -> Self {
        Self { index: None, reason: format!("the event store failed: {reason}") }
    }

    fn at(index: usize, reason: String) -> Self {
        Self { index: Some(index), reason }
    }
}

impl From<sqlx::Error> for ImportFault {
    fn from(source: sqlx::Error) -> Self {
        Self::failed(&source.to_string())
    }
}

impl Store {
    /// Adds those of `events` that are not here yet, in one transaction, and says how many.
    ///
    /// # Errors
    /// The event that contradicts what is stored: its id belongs to another event,
    /// its place is taken, or there is a gap before it. Then none is added.
    pub async fn import(&self, events: Arc<Vec<ImportedEvent>>) -> Result<usize, ImportFault> {
        let (reply, answer) = oneshot::channel();
        let closed = |_| ImportFault::failed("it is closed");
        self.appends.send(Request::Import { events, reply }).await.map_err(|_| ImportFault::failed("it is closed"))?;
        answer.await.map_err(closed)?
    }

    /// Whether `import` would take `events` after those that came before them;
    /// `ahead` holds the versions that the aggregates will have by then.
    ///
    /// # Errors
    /// As [`Store::import`].
    pub async fn check_import(
        &self,
        events: &[ImportedEvent],
        ahead: &mut VersionsAhead,
    ) -> Result<usize, ImportFault> {
        let mut connection = self.readers.acquire().await?;
        missing(&mut connection, events, ahead).await.map(|rows| rows.len())
    }
}

/// Versions that aggregates will have once the events that were checked are in.
pub type VersionsAhead = HashMap<(String, String), u64>;

/// Adds what is missing; gives how many, and the last position.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    events: &[ImportedEvent],
) -> Result<(usize, Position), ImportFault> {
    let missing = missing(connection, events, &mut VersionsAhead::new()).await?;
    if missing.is_empty() {
        return Ok((0, Position::START));
    }
    let rows: Vec<NewRow<'_>> = missing.iter().map(|&index| row(&events[index])).collect();
    Ok((rows.len(), insert(connection, &rows).await?))
}

/// Indexes of the events that are not in the store, each checked to fit where it goes.
async fn missing(
    connection: &mut SqliteConnection,
    events: &[ImportedEvent],
    ahead: &mut VersionsAhead,
) -> Result<Vec<usize>, ImportFault> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let stored = query::by_ids(connection, &ids).await?;
    let stored: HashMap<Uuid, StoredEvent> = stored.into_iter().map(|event| (event.event_id, event)).collect();
    read_versions(connection, events, ahead).await?;
    let mut missing = Vec::with_capacity(events.len());
    let mut seen = std::collections::HashSet::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        if let Some(stored) = stored.get(&event.event_id) {
            if !is_same(event, stored) {
                let (id, position) = (event.event_id, stored.position);
                return Err(ImportFault::at(
                    index,
                    format!("event id {id} is taken by another event, at position {position}"),
                ));
            }
            continue;
        }
        if !seen.insert(event.event_id) {
            return Err(ImportFault::at(index, format!("event id {} occurs twice", event.event_id)));
        }
        let version = ahead.entry((event.aggregate_type.clone(), event.aggregate_id.clone())).or_default();
        if event.aggregate_version != *version + 1 {
            let (aggregate_type, aggregate_id) = (&event.aggregate_type, &event.aggregate_id);
            let (given, expected) = (event.aggregate_version, *version + 1);
            return Err(ImportFault::at(
                index,
                format!(
                    "aggregate {aggregate_type}/{aggregate_id} continues with version {expected}, this event has {given}"
                ),
            ));
        }
        *version += 1;
        missing.push(index);
    }
    Ok(missing)
}

/// Adds to `ahead` the stored versions of those aggregates that it does not know yet.
async fn read_versions(
    connection: &mut SqliteConnection,
    events: &[ImportedEvent],
    ahead: &mut VersionsAhead,
) -> sqlx::Result<()> {
    let mut unknown: Vec<(&str, &str)> = events
        .iter()
        .filter(|event| !ahead.contains_key(&(event.aggregate_type.clone(), event.aggregate_id.clone())))
        .map(|event| (event.aggregate_type.as_str(), event.aggregate_id.as_str()))
        .collect();
    unknown.sort_unstable();
    unknown.dedup();
    let wanted = serde_json::to_string(&unknown).map_err(|fault| sqlx::Error::Encode(fault.into()))?;
    let versions: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT value ->> 0, value ->> 1, \
                (SELECT coalesce(max(aggregate_version), 0) FROM events \
                 WHERE aggregate_type = value ->> 0 AND aggregate_id = value ->> 1) \
         FROM json_each(?)",
    )
    .bind(wanted)
    .fetch_all(connection)
    .await?;
    for (aggregate_type, aggregate_id, version) in versions {
        ahead.insert((aggregate_type, aggregate_id), u64::try_from(version).unwrap_or(0));
    }
    Ok(())
}

fn row(event: &ImportedEvent) -> NewRow<'_> {
    NewRow {
        event_id: event.event_id,
        event_type: &event.event_type,
        event_version: event.event_version,
        aggregate_type: &event.aggregate_type,
        aggregate_id: &event.aggregate_id,
        aggregate_version: event.aggregate_version,
        event_timestamp: event.event_timestamp,
        user_id: event.user_id.as_deref(),
        correlation_id: event.correlation_id.as_deref(),
        causation_id: event.causation_id.as_deref(),
        metadata: event.metadata.as_deref().map(serde_json::value::RawValue::get),
        event_data: event.event_data.get(),
    }
}

fn is_same(event: &ImportedEvent, stored: &StoredEvent) -> bool {
    row(event).is_stored_as(stored)
        && event.aggregate_version == stored.aggregate_version
        && event.event_timestamp == stored.event_timestamp
}
