//! What can go wrong with the event store.

use std::sync::Arc;

use uuid::Uuid;

use database::{Cause, Error as DatabaseError, is_lost};
use model::event::{Invalid, Position};

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "aggregate {aggregate_type}/{aggregate_id} is at version {actual}, expected {expected}: read it again and decide anew"
    )]
    Conflict { aggregate_type: String, aggregate_id: String, expected: u64, actual: u64 },
    #[error(
        "event id {event_id} is taken by another event, at position {position}: an id can be repeated only with the same content"
    )]
    IdReused { event_id: Uuid, position: Position },
    #[error("event id {event_id} occurs twice in this append")]
    IdTwice { event_id: Uuid },
    #[error("event {index}: {source}")]
    Invalid { index: usize, source: Invalid },
    #[error(transparent)]
    Aggregate(Invalid),
    #[error("no events to append")]
    Nothing,
    #[error("{count} events in one append, more than limits.append_events_max ({max}) allows")]
    TooMany { count: usize, max: usize },
    #[error("position {position} holds what no append of this program writes: {reason}")]
    Corrupt { position: Position, reason: String },
    #[error(
        "the event store was restored or replaced: position {position} held event {expected}, now it holds {}",
        found.map_or_else(|| "none".to_owned(), |found| format!("event {found}"))
    )]
    HistoryChanged { position: Position, expected: Uuid, found: Option<Uuid> },
    #[error("the event store was restored or replaced, and ends at position {head} now")]
    Restored { head: Position },
    #[error(transparent)]
    Unfit(#[from] DatabaseError),
    #[error("the event store failed: {0}")]
    Database(#[source] sqlx::Error),
    #[error("nothing was appended, for {cause}: {fault}")]
    NotAppended { cause: Cause, fault: Arc<sqlx::Error> },
    #[error(
        "the event store was lost while it committed ({fault}): the append may be done, or not. Repeat it with the same event ids, which is safe whatever came of it"
    )]
    Unknown { fault: Arc<sqlx::Error>, event_ids: Vec<Uuid> },
    #[error("the event store is closed")]
    Closed,
}

impl Error {
    /// Whether the database is away: the same may work when it is back.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::NotAppended { cause, .. } => *cause == Cause::Away,
            Self::Unknown { .. } => true,
            Self::Database(fault) => is_lost(fault),
            _ => false,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(source: sqlx::Error) -> Self {
        Self::Database(source)
    }
}
