//! Importing events that have an identity and a place in their aggregate already.
//! Repeating an import adds nothing.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::Store;
use super::append::Request;
use super::insert::NewRow;
use super::known::Known;
use model::event::{ImportedEvent, StoredEvent};

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
        let mut connection = self.database.read().await?;
        let mut known = Known::look_ahead(&mut connection, self.database.flavour(), events, ahead).await?;
        let mut rows = Vec::new();
        let missing = decide(events, &mut known, &mut rows)?;
        *ahead = known.into_versions();
        Ok(missing.len())
    }
}

/// Versions that aggregates will have once the events that were checked are in.
pub type VersionsAhead = HashMap<(String, String), u64>;

/// Puts those of `events` that are not in the store into `rows`, each checked to fit where it
/// goes; or nothing.
pub(super) fn decide<'a>(
    events: &'a [ImportedEvent],
    known: &mut Known,
    rows: &mut Vec<NewRow<'a>>,
) -> Result<Range<usize>, ImportFault> {
    let first = rows.len();
    let mut seen = HashSet::with_capacity(events.len());
    let mut added: Vec<&ImportedEvent> = Vec::new();
    let mut fault = None;
    for (index, event) in events.iter().enumerate() {
        match fits(event, known, &mut seen) {
            Ok(true) => added.push(event),
            Ok(false) => {}
            Err(reason) => {
                fault = Some(ImportFault::at(index, reason));
                break;
            }
        }
    }
    if let Some(fault) = fault {
        // The others that are decided upon with it go on from where the aggregates are.
        for event in added {
            *known.version(&event.aggregate_type, &event.aggregate_id) -= 1;
        }
        return Err(fault);
    }
    rows.extend(added.into_iter().map(row));
    Ok(first..rows.len())
}

/// Whether `event` is to be added; or why it can't be.
fn fits(event: &ImportedEvent, known: &mut Known, seen: &mut HashSet<Uuid>) -> Result<bool, String> {
    let id = event.event_id;
    if let Some(stored) = known.stored(id) {
        return if is_same(event, stored) {
            Ok(false)
        } else {
            Err(format!("event id {id} is taken by another event, at position {}", stored.position))
        };
    }
    if !seen.insert(id) {
        return Err(format!("event id {id} occurs twice"));
    }
    let version = known.version(&event.aggregate_type, &event.aggregate_id);
    if event.aggregate_version != *version + 1 {
        let (aggregate_type, aggregate_id) = (&event.aggregate_type, &event.aggregate_id);
        let (given, expected) = (event.aggregate_version, *version + 1);
        return Err(format!(
            "aggregate {aggregate_type}/{aggregate_id} continues with version {expected}, this event has {given}"
        ));
    }
    *version += 1;
    Ok(true)
}

/// Takes out of `requests` those that name an event which an earlier one of them names too,
/// and what comes after them.
pub(super) fn split_off_repetitions(requests: &mut Vec<Request>) -> Vec<Request> {
    let mut named = HashSet::new();
    let is_new = |request: &Request| match request {
        Request::Append { append, .. } => {
            let ids: HashSet<Uuid> = append.given_ids().collect();
            let is_new = named.is_disjoint(&ids);
            named.extend(ids);
            is_new
        }
        Request::Import { events, .. } => {
            let ids: HashSet<Uuid> = events.iter().map(|event| event.event_id).collect();
            let is_new = named.is_disjoint(&ids);
            named.extend(ids);
            is_new
        }
    };
    let repeated = requests.iter().map(is_new).position(|is_new| !is_new);
    requests.split_off(repeated.unwrap_or(requests.len()))
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
