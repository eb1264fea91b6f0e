//! Appending: optimistic concurrency, idempotence, all or nothing.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::appender::Failure;
use super::import::{self, ImportFault};
use super::insert::{NewRow, Placed};
use super::known::Known;
use super::{Error, Store};
use model::event::{ImportedEvent, NewEvent, Position, StoredEvent, Timestamp};

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
    pub(super) expected: Expected,
    events: Vec<NewEvent>,
    /// The id of each event: the one that was given, or a new one.
    event_ids: Vec<Uuid>,
    /// Whether the database was lost over it, so that it may be done already.
    is_in_doubt: bool,
    at: Timestamp,
    /// When it was asked for.
    since: Instant,
}

impl Store {
    /// Appends `events` to an aggregate, all or none. Repeating an append with the
    /// same event ids and content writes nothing and gives the first answer.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the aggregate is not at `expected`;
    /// [`Error::IdReused`] if an event id is taken by another event;
    /// [`Error::Unknown`] if the database was lost while it committed;
    /// [`Error::Invalid`] and others if the events are not fit to be stored.
    pub async fn append(
        &self,
        aggregate_type: &str,
        aggregate_id: &str,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, Error> {
        use model::event::check_name;
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
            event_ids: events.iter().map(|event| event.event_id.unwrap_or_else(Uuid::now_v7)).collect(),
            events,
            is_in_doubt: false,
            at: Timestamp::now(),
            since: Instant::now(),
        };
        let event_ids = append.event_ids.clone();
        let (reply, answer) = oneshot::channel();
        self.appends.send(Request::Append { append, reply }).await.map_err(|_| Error::Closed)?;
        // Whoever was to answer has panicked, with this in hand.
        let unknown = |_| Error::Unknown { fault: Arc::new(sqlx::Error::WorkerCrashed), event_ids };
        answer.await.map_err(unknown)?
    }
}

/// What is to come of a request, once all is written.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The rows that it adds.
    Append(Result<Writes, Error>),
    Import(Result<Range<usize>, ImportFault>),
}

/// What an append comes to.
#[derive(Debug)]
pub(super) enum Writes {
    /// The rows that it adds.
    New(Range<usize>),
    /// It was written before.
    Repeated(Appended),
}

impl Request {
    /// What becomes of it, given what is `known`; what it adds goes into `rows`.
    pub(super) fn decide<'a>(&'a self, known: &mut Known, rows: &mut Vec<NewRow<'a>>) -> Outcome {
        match self {
            Self::Append { append, .. } => Outcome::Append(append.decide(known, rows)),
            Self::Import { events, .. } => Outcome::Import(import::decide(events, known, rows)),
        }
    }

    pub(super) fn answer(self, outcome: Outcome, placed: &[Placed]) {
        // A caller that has gone away needs no answer.
        match (self, outcome) {
            (Self::Append { append, reply }, Outcome::Append(outcome)) => {
                drop(reply.send(outcome.map(|writes| match writes {
                    Writes::Repeated(answer) => answer,
                    Writes::New(rows) => Appended {
                        positions: placed[rows.clone()].iter().map(|row| row.position).collect(),
                        event_ids: append.event_ids,
                        aggregate_version: placed[rows].last().map_or(0, |row| row.aggregate_version),
                        repeated: false,
                    },
                })));
            }
            (Self::Import { reply, .. }, Outcome::Import(outcome)) => {
                drop(reply.send(outcome.map(|rows| rows.len())));
            }
            _ => unreachable!("outcomes are in the order of the requests"),
        }
    }

    /// The database was lost while this was written. Says whether it can be found out by trying
    /// again: of an import it would not be known how many events it had added.
    pub(super) fn doubt(&mut self) -> bool {
        let Self::Append { append, .. } = self else { return false };
        append.is_in_doubt = true;
        true
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Append { append, .. } if append.is_in_doubt())
    }

    /// When it was asked for; none of an import, which may take its time.
    pub(super) fn since(&self) -> Option<Instant> {
        match self {
            Self::Append { append, .. } => Some(append.since),
            Self::Import { .. } => None,
        }
    }

    pub(super) fn fail(self, failure: &Failure) {
        let (cause, fault) = (failure.cause(), Arc::clone(failure.fault()));
        match (self, failure) {
            (Self::Append { append, reply }, Failure::Unknown(_)) => {
                drop(reply.send(Err(Error::Unknown { fault, event_ids: append.event_ids })));
            }
            (Self::Append { reply, .. }, Failure::Before(_)) => {
                drop(reply.send(Err(Error::NotAppended { cause, fault })));
            }
            (Self::Import { reply, .. }, _) => {
                drop(reply.send(Err(ImportFault::failed(&format!("{cause} ({fault})")))));
            }
        }
    }
}

impl Append {
    /// The aggregate that it goes to.
    pub(super) fn aggregate(&self) -> (String, String) {
        (self.aggregate_type.clone(), self.aggregate_id.clone())
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Which of its events may be stored already: those whose ids its caller gave, or all.
    pub(super) fn ids_to_find(&self) -> impl Iterator<Item = Uuid> {
        let all = self.events.iter().zip(&self.event_ids);
        all.filter(|(event, _)| self.is_in_doubt || event.event_id.is_some()).map(|(_, &event_id)| event_id)
    }

    /// The ids that its caller gave.
    pub(super) fn given_ids(&self) -> impl Iterator<Item = Uuid> {
        self.events.iter().filter_map(|event| event.event_id)
    }

    fn decide<'a>(&'a self, known: &mut Known, rows: &mut Vec<NewRow<'a>>) -> Result<Writes, Error> {
        if let Some(repeated) = self.earlier_answer(known)? {
            return Ok(Writes::Repeated(repeated));
        }
        let version = known.version(&self.aggregate_type, &self.aggregate_id);
        let actual = *version;
        if let Expected::Version(expected) = self.expected
            && expected != actual
        {
            let (aggregate_type, aggregate_id) = self.aggregate();
            return Err(Error::Conflict { aggregate_type, aggregate_id, expected, actual });
        }
        let first = rows.len();
        for ((event, &event_id), aggregate_version) in self.events.iter().zip(&self.event_ids).zip(actual + 1..) {
            rows.push(self.row(event, event_id, aggregate_version));
        }
        *version += self.events.len() as u64;
        Ok(Writes::New(first..rows.len()))
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
    fn earlier_answer(&self, known: &Known) -> Result<Option<Appended>, Error> {
        let mut stored: Vec<&StoredEvent> = self.ids_to_find().filter_map(|id| known.stored(id)).collect();
        stored.sort_unstable_by_key(|event| event.position);
        stored.dedup_by_key(|event| event.position);
        let Some(first) = stored.first() else { return self.refuse_twins() };
        let same = stored.len() == self.events.len()
            && self.events.iter().zip(&self.event_ids).zip(&stored).all(|(event, stored)| self.is_same(event, stored));
        if !same {
            let position = first.position;
            return Err(Error::IdReused { event_id: first.event_id, position });
        }
        Ok(Some(Appended {
            positions: stored.iter().map(|event| event.position).collect(),
            event_ids: stored.iter().map(|event| event.event_id).collect(),
            aggregate_version: stored.last().map_or(0, |event| event.aggregate_version),
            // What bears ids of this host was written just now, by the try that was lost.
            repeated: self.given_ids().count() == self.events.len(),
        }))
    }

    /// One list must not hold the same id twice.
    fn refuse_twins(&self) -> Result<Option<Appended>, Error> {
        let mut sorted: Vec<Uuid> = self.given_ids().collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::IdTwice { event_id: pair[0] }),
            None => Ok(None),
        }
    }

    fn is_same(&self, (event, &event_id): (&NewEvent, &Uuid), stored: &StoredEvent) -> bool {
        self.row(event, event_id, stored.aggregate_version).is_stored_as(stored)
            && event.event_timestamp.is_none_or(|at| at == stored.event_timestamp)
    }
}
