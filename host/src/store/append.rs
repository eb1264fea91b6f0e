//! Appending: optimistic concurrency, idempotence, all or nothing; and the one task that
//! writes, which looks up and commits whatever waits in one transaction.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::Store;
use super::head::Head;
use super::import::{self, ImportFault};
use super::insert::{NewRow, insert};
use super::known::Known;
use super::redo::{self, Redo};
use crate::database::{Database, Dialect, Durability, Error as DatabaseError, Outage, is_lost, is_passing, is_taken};
use crate::event::{Checkpoint, ImportedEvent, Invalid, NewEvent, Position, StoredEvent, Timestamp};

/// Appends that go into one transaction, and so share one sync to disk.
const APPENDS_PER_COMMIT: usize = 64;

/// How often a transaction is tried again that another one stood in the way of.
const TRIES: u32 = 20;

/// How often one is tried again over which a connection was lost before anything was done.
const TRIES_LOST: u32 = 2;

/// How long those who appended wait at the most until it is known how far all can be read.
const LOOK_MAX: std::time::Duration = std::time::Duration::from_secs(1);

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
    #[error("the event store is away, and nothing was done: {0}")]
    Away(String),
    #[error(
        "the event store was lost while it committed ({reason}): the append may be done, or not. Repeat it with the same event ids, which is safe whatever came of it"
    )]
    Unknown { reason: String, event_ids: Vec<Uuid> },
    #[error("the event store is closed")]
    Closed,
}

impl Error {
    /// Whether the database is away: the same may work when it is back.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Away(_) | Self::Unknown { .. } => true,
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
    /// The id of each event: the one that was given, or a new one.
    event_ids: Vec<Uuid>,
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
            event_ids: events.iter().map(|event| event.event_id.unwrap_or_else(Uuid::now_v7)).collect(),
            events,
            at: Timestamp::now(),
            since: Instant::now(),
        };
        let (reply, answer) = oneshot::channel();
        self.appends.send(Request::Append { append, reply }).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

/// The one task that writes events.
#[derive(Debug)]
pub(super) struct Appender {
    database: Database,
    head: Arc<Head>,
    outage: Outage,
}

/// Why nothing was written, as far as is known.
#[derive(Debug)]
enum Failure {
    /// For certain, nothing was.
    Before(sqlx::Error),
    /// The database was lost while it committed.
    Unknown(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(fault: sqlx::Error) -> Self {
        Self::Before(fault)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Before(fault) | Self::Unknown(fault)) = self;
        fault.fmt(f)
    }
}

/// What is to come of a request, once all is written.
#[derive(Debug)]
enum Outcome {
    /// The rows that it adds.
    Append(Result<Writes, Error>),
    Import(Result<Range<usize>, ImportFault>),
}

/// What a transaction has written.
#[derive(Debug)]
struct Written {
    /// Of each request.
    outcomes: Vec<Outcome>,
    /// Of each event.
    positions: Vec<Position>,
    /// The last event.
    last: Option<Checkpoint>,
}

/// What an append comes to.
#[derive(Debug)]
enum Writes {
    /// The rows that it adds, and the version of its aggregate after them.
    New { rows: Range<usize>, aggregate_version: u64 },
    /// It was written before.
    Repeated(Appended),
}

impl Appender {
    pub(super) fn new(database: Database, head: Arc<Head>) -> Self {
        Self { database, head, outage: Outage::of("events can't be appended") }
    }

    pub(super) async fn run(self, mut requests: mpsc::Receiver<Request>) {
        let mut waiting = Vec::with_capacity(APPENDS_PER_COMMIT);
        while requests.recv_many(&mut waiting, APPENDS_PER_COMMIT).await > 0 {
            while !waiting.is_empty() {
                // One that repeats what another of them adds must see it written first.
                let later = import::split_off_repetitions(&mut waiting);
                self.commit(std::mem::replace(&mut waiting, later)).await;
            }
        }
    }

    /// Commits `requests` together. If that fails each one is tried for itself, so that one
    /// which the database does not take does not take its neighbours along; but not if the
    /// database is away, for then none is to blame.
    async fn commit(&self, requests: Vec<Request>) {
        match self.write(&requests).await {
            Ok(written) => self.answer(requests, written).await,
            Err(failure) if requests.len() == 1 || failure.is_outage() => {
                requests.into_iter().for_each(|request| request.fail(&failure));
            }
            Err(_) => {
                for request in requests {
                    let one = [request];
                    let written = self.write(&one).await;
                    let [request] = one;
                    match written {
                        Ok(written) => self.answer(vec![request], written).await,
                        Err(failure) => request.fail(&failure),
                    }
                }
            }
        }
    }

    /// Lets everybody know of what is committed.
    async fn answer(&self, requests: Vec<Request>, written: Written) {
        let Written { outcomes, positions, last } = written;
        match (self.database.dialect(), last) {
            (_, None) => {}
            (Dialect::Sqlite, Some(last)) => self.head.reached(last),
            // An earlier position may still be on its way, from another appender. That this is
            // looked up is of no interest to those who wait here; it is looked up again.
            (_, Some(_)) => drop(tokio::time::timeout(LOOK_MAX, self.head.refresh()).await),
        }
        for (request, outcome) in requests.into_iter().zip(outcomes) {
            request.answer(outcome, &positions);
        }
    }

    /// Writes `requests`, or nothing of them. What other transactions did meanwhile is looked
    /// at anew: an aggregate may have gone on, an id may be taken.
    async fn write(&self, requests: &[Request]) -> Result<Written, Failure> {
        let (mut tries, mut losses) = (0, 0);
        loop {
            match self.write_once(requests).await {
                Err(Failure::Before(fault)) if (is_taken(&fault) || is_passing(&fault)) && tries < TRIES => tries += 1,
                Err(Failure::Before(fault)) if is_lost(&fault) && losses < TRIES_LOST => losses += 1,
                Err(failure) => {
                    if failure.is_outage() {
                        self.outage.failed(&failure);
                    }
                    return Err(failure);
                }
                written => {
                    self.outage.is_well();
                    return written;
                }
            }
        }
    }

    async fn write_once(&self, requests: &[Request]) -> Result<Written, Failure> {
        // Nobody waits for longer, however many came before.
        let oldest = requests.iter().filter_map(Request::since).min().unwrap_or_else(Instant::now);
        let deadline = oldest + self.database.wait_max();
        let mut transaction = self.database.begin_by(Durability::Full, deadline).await?;
        let mut known = Known::look_up(&mut transaction, self.database.flavour(), requests).await?;
        let mut rows = Vec::new();
        let outcomes: Vec<Outcome> = requests.iter().map(|request| request.decide(&mut known, &mut rows)).collect();
        let positions = insert(&mut transaction, &rows).await?;
        if rows.is_empty()
            && self.database.dialect() == Dialect::MySql
            && !Redo::look(&mut transaction, self.database.flavour()).await?.is_on_disk()
        {
            // A commit without anything in it would not wait for the disk, and what others have
            // written, as a repetition tells of its events, must outlive the answer.
            redo::write(&mut transaction).await?;
        }
        let committed = transaction.commit().await;
        committed.map_err(|fault| if is_lost(&fault) { Failure::Unknown(fault) } else { Failure::Before(fault) })?;
        let last = positions.last().zip(rows.last());
        let last = last.map(|(&position, row)| Checkpoint::behind(position, row.event_id));
        Ok(Written { outcomes, positions, last })
    }
}

impl Failure {
    /// Whether it is the database that is to blame.
    fn is_outage(&self) -> bool {
        match self {
            Self::Before(fault) => is_lost(fault),
            Self::Unknown(_) => true,
        }
    }
}

impl Request {
    /// What becomes of it, given what is `known`; what it adds goes into `rows`.
    fn decide<'a>(&'a self, known: &mut Known, rows: &mut Vec<NewRow<'a>>) -> Outcome {
        match self {
            Self::Append { append, .. } => Outcome::Append(append.decide(known, rows)),
            Self::Import { events, .. } => Outcome::Import(import::decide(events, known, rows)),
        }
    }

    fn answer(self, outcome: Outcome, positions: &[Position]) {
        // A caller that has gone away needs no answer.
        match (self, outcome) {
            (Self::Append { append, reply }, Outcome::Append(outcome)) => {
                drop(reply.send(outcome.map(|writes| match writes {
                    Writes::Repeated(answer) => answer,
                    Writes::New { rows, aggregate_version } => Appended {
                        positions: positions[rows].to_vec(),
                        event_ids: append.event_ids,
                        aggregate_version,
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

    /// When it was asked for; none of an import, which may take its time.
    fn since(&self) -> Option<Instant> {
        match self {
            Self::Append { append, .. } => Some(append.since),
            Self::Import { .. } => None,
        }
    }

    fn fail(self, failure: &Failure) {
        match (self, failure) {
            (Self::Append { append, reply }, Failure::Unknown(fault)) => {
                drop(reply.send(Err(Error::Unknown { reason: fault.to_string(), event_ids: append.event_ids })));
            }
            (Self::Append { reply, .. }, Failure::Before(fault)) => {
                let fault = fault.to_string();
                drop(reply.send(Err(if failure.is_outage() {
                    Error::Away(fault)
                } else {
                    Error::Database(sqlx::Error::Protocol(fault))
                })));
            }
            (Self::Import { reply, .. }, failure) => drop(reply.send(Err(ImportFault::failed(&failure.to_string())))),
        }
    }
}

impl Append {
    /// The aggregate that it goes to.
    pub(super) fn aggregate(&self) -> (String, String) {
        (self.aggregate_type.clone(), self.aggregate_id.clone())
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
        Ok(Writes::New { rows: first..rows.len(), aggregate_version: *version })
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
        let mut stored: Vec<&StoredEvent> = self.given_ids().filter_map(|id| known.stored(id)).collect();
        stored.sort_unstable_by_key(|event| event.position);
        stored.dedup_by_key(|event| event.position);
        let Some(first) = stored.first() else { return self.refuse_twins() };
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
    fn refuse_twins(&self) -> Result<Option<Appended>, Error> {
        let mut sorted: Vec<Uuid> = self.given_ids().collect();
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
