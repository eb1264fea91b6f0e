//! Appending: optimistic concurrency, idempotence, all or nothing; and the one
//! task that writes, which commits whatever waits in one transaction.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::import::{self, ImportFault};
use super::insert::{NewRow, insert};
use super::{Store, query};
use crate::database::{Database, Durability};
use crate::event::{ImportedEvent, Invalid, NewEvent, Position, StoredEvent, Timestamp};

/// Appends that go into one transaction, and so share one sync to disk.
const APPENDS_PER_COMMIT: usize = 64;

/// What the caller believes the aggregate's version to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it is.
    Any,
    /// Exactly this; 0 for an aggregate that has no events yet.
    Version(u64),
}

/// What an append did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Appended {
    /// One per event, in order.
    pub positions: Vec<Position>,
    /// One per event, in order.
    pub event_ids: Vec<Uuid>,
    /// The aggregate's version after the last of these events.
    pub aggregate_version: u64,
    /// Whether these very events had been appended before, so that nothing was written now.
    pub repeated: bool,
}

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
    #[error("the event store failed: {0}")]
    Database(#[source] sqlx::Error),
    #[error("the event store is closed")]
    Closed,
}

impl From<sqlx::Error> for Error {
    fn from(source: sqlx::Error) -> Self {
        Self::Database(source)
    }
}

/// Something for the writer to do.
#[derive(Debug)]
pub(super) enum Request {
    Append { append: Append, reply: oneshot::Sender<Result<Appended, Error>> },
    Import { events: Arc<Vec<ImportedEvent>>, reply: oneshot::Sender<Result<usize, ImportFault>> },
}

#[derive(Debug)]
pub(super) struct Append {
    aggregate_type: String,
    aggregate_id: String,
    expected: Expected,
    events: Vec<NewEvent>,
    at: Timestamp,
}

impl Store {
    /// Appends `events` to an aggregate, all or none. Repeating an append with the
    /// same event ids and content writes nothing and gives the first answer.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the aggregate is not at `expected`;
    /// [`Error::IdReused`] if an event id is taken by another event;
    /// [`Error::Invalid`] and others if the events are not fit to be stored.
    pub async fn append(
        &self,
        aggregate_type: &str,
        aggregate_id: &str,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, Error> {
        use crate::event::check_name;
        check_name("aggregate_type", aggregate_type).map_err(Error::Aggregate)?;
        check_name("aggregate_id", aggregate_id).map_err(Error::Aggregate)?;
        if events.is_empty() {
            return Err(Error::Nothing);
        }
        if events.len() > self.limits.append_events_max {
            return Err(Error::TooMany { count: events.len(), max: self.limits.append_events_max });
        }
        for (index, event) in events.iter().enumerate() {
            event.check(&self.limits).map_err(|source| Error::Invalid { index, source })?;
        }
        let append = Append {
            aggregate_type: aggregate_type.to_owned(),
            aggregate_id: aggregate_id.to_owned(),
            expected,
            events,
            at: Timestamp::now(),
        };
        let (reply, answer) = oneshot::channel();
        self.appends.send(Request::Append { append, reply }).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

/// The one task that writes events.
pub(super) struct Appender {
    database: Database,
    connection: SqliteConnection,
    head: Arc<watch::Sender<Position>>,
}

/// Answers are held back until the transaction that they belong to is committed.
enum Answer {
    Append(oneshot::Sender<Result<Appended, Error>>, Result<Appended, Error>),
    Import(oneshot::Sender<Result<usize, ImportFault>>, Result<usize, ImportFault>),
}

impl Appender {
    pub(super) async fn open(database: Database, head: Arc<watch::Sender<Position>>) -> sqlx::Result<Self> {
        let connection = database.writer(Durability::Full).await?;
        Ok(Self { database, connection, head })
    }

    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut waiting = Vec::with_capacity(APPENDS_PER_COMMIT);
        while requests.recv_many(&mut waiting, APPENDS_PER_COMMIT).await > 0 {
            self.commit(&mut waiting).await;
        }
    }

    async fn commit(&mut self, requests: &mut Vec<Request>) {
        let _turn = self.database.turn_to_write().await;
        let mut answers = Vec::with_capacity(requests.len());
        match self.write(requests, &mut answers).await {
            Ok(last) => {
                self.head.send_if_modified(|head| {
                    let grown = last > *head;
                    *head = last.max(*head);
                    grown
                });
                for answer in answers {
                    answer.send();
                }
            }
            Err(fault) => {
                // Nothing of this transaction is in the store; every caller learns why.
                let text = fault.to_string();
                answers.into_iter().for_each(|answer| answer.fail(&text));
                requests.drain(..).for_each(|request| request.fail(&text));
                self.reopen().await;
            }
        }
    }

    /// Takes a new connection, for SQLite ends a transaction by itself when the disk is
    /// full, and the old connection would believe for ever that it is within it. If even
    /// that fails, so does the next commit, and it is tried again.
    async fn reopen(&mut self) {
        if let Ok(connection) = self.database.writer(Durability::Full).await {
            let old = std::mem::replace(&mut self.connection, connection);
            // Whatever it says, it is gone.
            drop(old.close().await);
        }
    }

    async fn write(&mut self, requests: &mut Vec<Request>, answers: &mut Vec<Answer>) -> sqlx::Result<Position> {
        let mut last = Position::START;
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        for request in requests.drain(..) {
            // A refused append leaves nothing behind, and does not take its neighbours along.
            let mut part = transaction.begin().await?;
            let (answer, keep) = match request {
                Request::Append { append, reply } => {
                    let outcome = append.write(&mut part).await;
                    let keep = outcome.as_ref().ok().and_then(|done| done.positions.last().copied());
                    (Answer::Append(reply, outcome), keep)
                }
                Request::Import { events, reply } => {
                    let outcome = import::write(&mut part, &events).await;
                    let (keep, outcome) = match outcome {
                        Ok((added, last)) => (Some(last), Ok(added)),
                        Err(fault) => (None, Err(fault)),
                    };
                    (Answer::Import(reply, outcome), keep)
                }
            };
            answers.push(answer);
            if let Some(position) = keep {
                part.commit().await?;
                last = last.max(position);
            } else {
                part.rollback().await?;
            }
        }
        transaction.commit().await?;
        Ok(last)
    }
}

impl Answer {
    fn send(self) {
        // A caller that has gone away needs no answer.
        match self {
            Self::Append(reply, outcome) => drop(reply.send(outcome)),
            Self::Import(reply, outcome) => drop(reply.send(outcome)),
        }
    }

    fn fail(self, fault: &str) {
        match self {
            Self::Append(reply, _) => drop(reply.send(Err(Error::Database(sqlx::Error::Protocol(fault.to_owned()))))),
            Self::Import(reply, _) => drop(reply.send(Err(ImportFault::failed(fault)))),
        }
    }
}

impl Request {
    fn fail(self, fault: &str) {
        match self {
            Self::Append { reply, .. } => {
                drop(reply.send(Err(Error::Database(sqlx::Error::Protocol(fault.to_owned())))))
            }
            Self::Import { reply, .. } => drop(reply.send(Err(ImportFault::failed(fault)))),
        }
    }
}

impl Append {
    async fn write(&self, connection: &mut SqliteConnection) -> Result<Appended, Error> {
        let actual = current_version(connection, &self.aggregate_type, &self.aggregate_id).await?;
        let conflict = match self.expected {
            Expected::Version(expected) if expected != actual => Some(expected),
            _ => None,
        };
        if let Some(repeated) = self.earlier_answer(connection).await? {
            return Ok(repeated);
        }
        if let Some(expected) = conflict {
            let (aggregate_type, aggregate_id) = (self.aggregate_type.clone(), self.aggregate_id.clone());
            return Err(Error::Conflict { aggregate_type, aggregate_id, expected, actual });
        }
        let event_ids: Vec<Uuid> =
            self.events.iter().map(|event| event.event_id.unwrap_or_else(Uuid::now_v7)).collect();
        let rows: Vec<NewRow<'_>> = self
            .events
            .iter()
            .zip(&event_ids)
            .zip(actual + 1..)
            .map(|((event, &event_id), aggregate_version)| self.row(event, event_id, aggregate_version))
            .collect();
        let last = insert(connection, &rows).await?;
        let count = self.events.len() as u64;
        let positions = (last.0 + 1 - count..=last.0).map(Position).collect();
        Ok(Appended { positions, event_ids, aggregate_version: actual + count, repeated: false })
    }

    fn row<'a>(&'a self, event: &'a NewEvent, event_id: Uuid, aggregate_version: u64) -> NewRow<'a> {
        NewRow {
            event_id,
            event_type: &event.event_type,
            event_version: event.event_version,
            aggregate_type: &self.aggregate_type,
            aggregate_id: &self.aggregate_id,
            aggregate_version,
            event_timestamp: event.event_timestamp.unwrap_or(self.at),
            user_id: event.user_id.as_deref(),
            correlation_id: event.correlation_id.as_deref(),
            causation_id: event.causation_id.as_deref(),
            metadata: event.metadata.as_deref().map(serde_json::value::RawValue::get),
            event_data: event.event_data.get(),
        }
    }

    /// The answer that this append got before, if it is a repetition.
    async fn earlier_answer(&self, connection: &mut SqliteConnection) -> Result<Option<Appended>, Error> {
        let ids: Vec<Uuid> = self.events.iter().filter_map(|event| event.event_id).collect();
        if ids.is_empty() {
            return Ok(None);
        }
        let stored = query::by_ids(connection, &ids).await?;
        let Some(first) = stored.first() else { return self.refuse_twins(&ids) };
        let same = stored.len() == self.events.len()
            && self.events.iter().zip(&stored).all(|(event, stored)| self.is_same(event, stored));
        if !same {
            let position = first.position;
            return Err(Error::IdReused { event_id: first.event_id, position });
        }
        Ok(Some(Appended {
            positions: stored.iter().map(|event| event.position).collect(),
            event_ids: stored.iter().map(|event| event.event_id).collect(),
            aggregate_version: stored.last().map_or(0, |event| event.aggregate_version),
            repeated: true,
        }))
    }

    /// One list must not hold the same id twice.
    fn refuse_twins(&self, ids: &[Uuid]) -> Result<Option<Appended>, Error> {
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::IdTwice { event_id: pair[0] }),
            None => Ok(None),
        }
    }

    fn is_same(&self, event: &NewEvent, stored: &StoredEvent) -> bool {
        event.event_id.is_some_and(|event_id| self.row(event, event_id, stored.aggregate_version).is_stored_as(stored))
            && event.event_timestamp.is_none_or(|at| at == stored.event_timestamp)
    }
}

async fn current_version(
    connection: &mut SqliteConnection,
    aggregate_type: &str,
    aggregate_id: &str,
) -> sqlx::Result<u64> {
    let (version,): (i64,) = sqlx::query_as(
        "SELECT coalesce(max(aggregate_version), 0) FROM events WHERE aggregate_type = ? AND aggregate_id = ?",
    )
    .bind(aggregate_type.to_owned())
    .bind(aggregate_id.to_owned())
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(version).unwrap_or(0))
}
