//! PostgreSQL: many appenders at once, none of which waits for another or for the reader.
//!
//! Before an appender draws a position, a trigger takes a lock for its transaction that bears
//! the last position drawn so far, shared, so that it waits for nobody. The head is the lesser
//! of the last position drawn, which is looked at first, and the least of these locks. Whoever
//! draws a position up to there has committed before that, and a statement that begins after it
//! sees what it wrote.

use sqlx::PgConnection;
use tokio_stream::StreamExt as _;
use uuid::Uuid;

use super::Error;
use super::columns::{Columns, Fields};
use super::expected::Expected;
use super::head::Look;
use super::insert::{COLUMN_COUNT, COLUMNS, NewRow};
use super::tuples::{Malformed, Tuple, Tuples};
use crate::database::{PgInstant, Session, query};
use crate::event::{Checkpoint, Position, Timestamp};

/// Where an append is made known of.
pub(super) const CHANNEL: &str = "fantascope_events";

/// Of a row that is copied out: the position goes before what was inserted.
const FIELDS: i16 = COLUMN_COUNT as i16 + 1;

/// Up to where a statement that begins now may read, and what stands where `known` was found
/// before.
pub(super) async fn look(session: &mut dyn Session, known: Checkpoint) -> sqlx::Result<Look> {
    let look = query(
        "SELECT t.safe, t.appenders, e.position, e.event_id, \
         (SELECT k.event_id FROM events k WHERE k.position = ?) AS at_known \
         FROM fantascope_tail() t LEFT JOIN LATERAL \
            (SELECT position, event_id FROM events WHERE position <= t.safe ORDER BY position DESC LIMIT 1) e ON true",
    );
    let row = look.bind(known.position.to_sql()).one(session).await?;
    let last = row.get::<Option<i64>>("position")?.map(Position::from_sql).zip(row.get("event_id")?);
    let safe = last.map_or(Checkpoint::START, |(position, event_id)| Checkpoint::behind(position, event_id));
    // The function sees what is committed while it runs, and the statement around it what was
    // committed before: the difference is to be looked at soon.
    let in_flight = row.get::<i64>("appenders")? > 0 || safe.position < Position::from_sql(row.get("safe")?);
    Ok(Look { safe, in_flight, at_known: row.get("at_known")? })
}

/// The sessions that have appended and not committed, the oldest first.
pub(super) async fn holders(session: &mut dyn Session) -> sqlx::Result<Vec<String>> {
    let rows = query(
        "SELECT coalesce('session ' || pid, 'prepared transaction ' || coalesce(prepared, 'without a name')) \
                || coalesce(' of user ' || usename, '') || coalesce(' (' || nullif(application_name, '') || ')', '') \
                || coalesce(' from ' || host(client_addr), '') || coalesce(', ' || state, '') AS session, \
                (extract(epoch FROM xact_start) * 1000000)::bigint AS since FROM fantascope_holders() LIMIT 5",
    );
    let session_of = |row: &crate::database::Row| {
        let since =
            row.get::<Option<i64>>("since")?.map(|since| format!(", in a transaction since {}", Timestamp(since)));
        Ok(format!("{}{}", row.get::<String>("session")?, since.unwrap_or_default()))
    };
    rows.all(session).await?.iter().map(session_of).collect()
}

pub(super) async fn insert(connection: &mut PgConnection, rows: &[NewRow<'_>]) -> sqlx::Result<Vec<Position>> {
    let sql = statement();
    let optional =
        |of: for<'a> fn(&NewRow<'a>) -> Option<&'a str>| -> Vec<Option<&str>> { rows.iter().map(of).collect() };
    let texts = |of: for<'a> fn(&NewRow<'a>) -> &'a str| -> Vec<&str> { rows.iter().map(of).collect() };
    let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(rows.iter().map(|row| row.event_id).collect::<Vec<Uuid>>())
        .bind(texts(|row| row.event_type))
        .bind(rows.iter().map(|row| i64::from(row.event_version)).collect::<Vec<i64>>())
        .bind(texts(|row| row.aggregate_type))
        .bind(texts(|row| row.aggregate_id))
        .bind(rows.iter().map(NewRow::version_as_sql).collect::<Vec<i64>>())
        .bind(rows.iter().map(|row| PgInstant(row.event_timestamp.0)).collect::<Vec<PgInstant>>())
        .bind(optional(|row| row.user_id))
        .bind(optional(|row| row.correlation_id))
        .bind(optional(|row| row.causation_id))
        .bind(optional(|row| row.metadata))
        .bind(texts(|row| row.event_data));
    let positions: Vec<i64> = query.fetch_all(connection).await?;
    Ok(positions.into_iter().map(Position::from_sql).collect())
}

/// Rows are inserted, and so numbered, in the order of the arrays.
fn statement() -> String {
    format!(
        "INSERT INTO events ({COLUMNS}) SELECT event_id, event_type, event_version, aggregate_type, aggregate_id, \
         aggregate_version, event_timestamp, user_id, correlation_id, causation_id, metadata::json, event_data::json \
         FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[], \
         $8::text[], $9::text[], $10::text[], $11::text[], $12::text[]) WITH ORDINALITY AS u({COLUMNS}, n) \
         ORDER BY n RETURNING position"
    )
}

/// The events after `after`, up to `up_to`, as far as `columns` take them; none if one of
/// `expected` is not in its place. Where `columns` take no more, the answer is not read to its
/// end.
///
/// They are copied out: through rows of the driver a client spends twice as much on them.
pub(super) async fn page(
    connection: &mut PgConnection,
    after: Position,
    up_to: Position,
    expected: &Expected,
    columns: &mut Columns,
) -> Result<(), Error> {
    // Which takes no arguments.
    let stands = |(position, event_id): (Position, Uuid)| match position {
        Position::START => String::new(),
        position => {
            let position = position.to_sql();
            format!(" AND EXISTS (SELECT 1 FROM events WHERE position = {position} AND event_id = '{event_id}')")
        }
    };
    let [one, other] = expected.both().map(stands);
    let statement = format!(
        "COPY (SELECT position, {COLUMNS} FROM events WHERE position > {} AND position <= {}{one}{other} \
         ORDER BY position) TO STDOUT (FORMAT binary)",
        after.to_sql(),
        up_to.to_sql()
    );
    let mut messages = connection.copy_out_raw(&statement).await?;
    let mut tuples = Tuples::default();
    while let Some(message) = messages.next().await {
        let message = message?;
        let Some(row) = tuples.next(&message, FIELDS).map_err(malformed)? else { continue };
        if !columns.push_within(&fields(row).map_err(malformed)?)? {
            break;
        }
    }
    Ok(())
}

fn malformed(fault: Malformed) -> sqlx::Error {
    sqlx::Error::Decode(fault.into())
}

/// The fields as they came, in the binary form of each type: that of `json` is its text.
fn fields(mut row: Tuple<'_>) -> Result<Fields<'_>, Malformed> {
    Ok(Fields {
        position: u64::from_be_bytes(row.array()?),
        event_id: row.array()?,
        event_type: row.bytes()?,
        event_version: u32::try_from(u64::from_be_bytes(row.array()?)).unwrap_or(u32::MAX),
        aggregate_type: row.bytes()?,
        aggregate_id: row.bytes()?,
        aggregate_version: u64::from_be_bytes(row.array()?),
        event_timestamp: PgInstant::from_be_bytes(row.array()?).0,
        user_id: row.bytes()?,
        correlation_id: row.bytes()?,
        causation_id: row.bytes()?,
        metadata: row.bytes()?,
        event_data: row.bytes()?,
    })
}
