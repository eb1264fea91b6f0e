//! Writing events: many rows a statement.

use uuid::Uuid;

use super::premises::Premises;
use super::{mysql, postgres, sqlite};
use database::{Database, Link, Session};
use model::event::{Position, StoredEvent, Timestamp};

/// An event as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewRow<'a> {
    pub(super) event_id: Uuid,
    pub(super) event_type: &'a str,
    pub(super) event_version: u32,
    pub(super) aggregate_type: &'a str,
    pub(super) aggregate_id: &'a str,
    pub(super) aggregate_version: u64,
    pub(super) event_timestamp: Timestamp,
    pub(super) user_id: Option<&'a str>,
    pub(super) correlation_id: Option<&'a str>,
    pub(super) causation_id: Option<&'a str>,
    pub(super) metadata: Option<&'a str>,
    pub(super) event_data: &'a str,
}

/// Where an event stands that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) position: Position,
    pub(super) aggregate_version: u64,
}

impl Placed {
    /// From the position and the version that a database gives.
    pub(super) fn from_sql((position, version): (i64, i64)) -> Self {
        Self { position: Position::from_sql(position), aggregate_version: version.cast_unsigned() }
    }
}

/// The columns of a row, in the order in which they are written.
pub(super) const COLUMNS: &str = "event_id, event_type, event_version, aggregate_type, aggregate_id, aggregate_version, \
                                  event_timestamp, user_id, correlation_id, causation_id, metadata, event_data";
pub(super) const COLUMN_COUNT: usize = 12;

/// What an event takes in a statement at the most, beside its texts.
pub(super) const EVENT_BYTES: usize = 256;

impl NewRow<'_> {
    /// Whether `stored` is this event. When it happened and its place in the aggregate
    /// are not looked at, for an append may leave them to the store.
    pub(super) fn is_stored_as(&self, stored: &StoredEvent) -> bool {
        self.event_id == stored.event_id
            && self.event_type == stored.event_type
            && self.event_version == stored.event_version
            && self.aggregate_type == stored.aggregate_type
            && self.aggregate_id == stored.aggregate_id
            && self.user_id == stored.user_id.as_deref()
            && self.correlation_id == stored.correlation_id.as_deref()
            && self.causation_id == stored.causation_id.as_deref()
            && self.metadata.unwrap_or("{}") == stored.metadata.get()
            && self.event_data == stored.event_data.get()
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.event_data.len() + self.metadata.map_or(0, str::len)
    }

    /// How many bytes it takes in a statement, or some more.
    pub(super) fn bytes(&self) -> usize {
        let optional = [self.user_id, self.correlation_id, self.causation_id, self.metadata];
        let names = self.event_type.len() + self.aggregate_type.len() + self.aggregate_id.len();
        EVENT_BYTES + names + self.event_data.len() + optional.into_iter().flatten().map(str::len).sum::<usize>()
    }

    pub(super) fn version_as_sql(&self) -> i64 {
        i64::try_from(self.aggregate_version).unwrap_or(i64::MAX)
    }
}

/// Writes `rows` in order, inside the caller's transaction on `database`, and gives their positions.
pub(super) async fn insert(
    database: &Database,
    session: &mut dyn Session,
    rows: &[NewRow<'_>],
) -> sqlx::Result<Vec<Position>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let positions = match session.link() {
        Link::Sqlite(connection) => sqlite::insert(connection, rows).await,
        Link::Postgres(connection) => postgres::insert(connection, rows).await,
        Link::MySql(connection) => mysql::insert(connection, rows, database.statement_bytes_max()).await,
    };
    session.answered(positions.as_ref().err());
    positions
}

/// Writes `rows`, which are some, in order, by one statement; or nothing, if the `premises` do not
/// hold.
pub(super) async fn insert_if(
    session: &mut dyn Session,
    rows: &[NewRow<'_>],
    premises: &Premises,
) -> sqlx::Result<Option<Vec<Placed>>> {
    let placed = match session.link() {
        Link::Sqlite(connection) => sqlite::insert_if(connection, rows, premises).await,
        Link::Postgres(connection) => postgres::insert_if(connection, rows, premises).await,
        Link::MySql(connection) => mysql::insert_if(connection, rows, premises).await,
    };
    session.answered(placed.as_ref().err());
    Ok(Some(placed?).filter(|placed| !placed.is_empty()))
}
