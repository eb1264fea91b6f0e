//! Writing events: many rows a statement.

use sqlx::{AssertSqlSafe, SqliteConnection};
use uuid::Uuid;

use crate::database::pieces;
use crate::event::{Position, StoredEvent, Timestamp};

/// Rows of one INSERT. 12 values each keep it far below SQLite's 32,766 parameters.
const ROWS_PER_STATEMENT: usize = 128;

/// An event as it is written.
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
}

/// Writes `rows` in order, inside the caller's transaction, and gives the last position.
pub(super) async fn insert(connection: &mut SqliteConnection, rows: &[NewRow<'_>]) -> sqlx::Result<Position> {
    let mut last = Position::START;
    for piece in pieces(rows.len(), ROWS_PER_STATEMENT) {
        let mut query = sqlx::query(AssertSqlSafe(statement(piece.len())));
        for row in &rows[piece] {
            query = query
                .bind(row.event_id.as_bytes().to_vec())
                .bind(row.event_type.to_owned())
                .bind(row.event_version)
                .bind(row.aggregate_type.to_owned())
                .bind(row.aggregate_id.to_owned())
                .bind(i64::try_from(row.aggregate_version).unwrap_or(i64::MAX))
                .bind(row.event_timestamp.0)
                .bind(row.user_id.map(str::to_owned))
                .bind(row.correlation_id.map(str::to_owned))
                .bind(row.causation_id.map(str::to_owned))
                .bind(row.metadata.map(str::to_owned))
                .bind(row.event_data.to_owned());
        }
        last = Position::from_sql(query.execute(&mut *connection).await?.last_insert_rowid());
    }
    Ok(last)
}

fn statement(rows: usize) -> String {
    let mut sql = String::from(
        "INSERT INTO events (event_id, event_type, event_version, aggregate_type, aggregate_id, aggregate_version, \
         event_timestamp, user_id, correlation_id, causation_id, metadata, event_data) VALUES ",
    );
    for row in 0..rows {
        sql.push_str(if row == 0 { "(?,?,?,?,?,?,?,?,?,?,?,?)" } else { ",(?,?,?,?,?,?,?,?,?,?,?,?)" });
    }
    sql
}
