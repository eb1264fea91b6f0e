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
use super::insert::{COLUMN_COUNT, COLUMNS, NewRow, Placed};
use super::lookup::Aggregate;
use super::premises::Premises;
use super::tuples::{Malformed, Tuple, Tuples};
use database::{PgInstant, Session, query};
use model::event::{Checkpoint, Position, Timestamp};

/// Where an append is made known of.
pub(super) const CHANNEL: &str = "fantascope_events";

/// Rows to insert travel as arrays, one for each of their columns.
const ARRAYS: &str = "$1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[], \
                      $8::text[], $9::text[], $10::text[], $11::text[], $12::text[]";

/// What is inserted of each.
const VALUES: &str = "event_id, event_type, event_version, aggregate_type, aggregate_id, aggregate_version, \
                      event_timestamp, user_id, correlation_id, causation_id, metadata::json, event_data::json";

/// Binds the arrays of `$rows`.
macro_rules! bound {
    ($query:expr, $rows:ident) => {{
        let optional =
            |of: for<'a> fn(&NewRow<'a>) -> Option<&'a str>| -> Vec<Option<&str>> { $rows.iter().map(of).collect() };
        let texts = |of: for<'a> fn(&NewRow<'a>) -> &'a str| -> Vec<&str> { $rows.iter().map(of).collect() };
        $query
            .bind($rows.iter().map(|row| row.event_id).collect::<Vec<Uuid>>())
            .bind(texts(|row| row.event_type))
            .bind($rows.iter().map(|row| i64::from(row.event_version)).collect::<Vec<i64>>())
            .bind(texts(|row| row.aggregate_type))
            .bind(texts(|row| row.aggregate_id))
            .bind($rows.iter().map(NewRow::version_as_sql).collect::<Vec<i64>>())
            .bind($rows.iter().map(|row| PgInstant(row.event_timestamp.0)).collect::<Vec<PgInstant>>())
            .bind(optional(|row| row.user_id))
            .bind(optional(|row| row.correlation_id))
            .bind(optional(|row| row.causation_id))
            .bind(optional(|row| row.metadata))
            .bind(texts(|row| row.event_data))
    }};
}

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
    let session_of = |row: &database::Row| {
        let since =
            row.get::<Option<i64>>("since")?.map(|since| format!(", in a transaction since {}", Timestamp(since)));
        Ok(format!("{}{}", row.get::<String>("session")?, since.unwrap_or_default()))
    };
    rows.all(session).await?.iter().map(session_of).collect()
}

pub(super) async fn insert(connection: &mut PgConnection, rows: &[NewRow<'_>]) -> sqlx::Result<Vec<Position>> {
    // Rows are inserted, and so numbered, in the order of the arrays.
    let sql = format!(
        "INSERT INTO events ({COLUMNS}) SELECT {VALUES} FROM unnest({ARRAYS}) WITH ORDINALITY AS u({COLUMNS}, n) \
         ORDER BY n RETURNING position"
    );
    let positions = bound!(sqlx::query_scalar(sqlx::AssertSqlSafe(sql)), rows).fetch_all(connection).await?;
    Ok(positions.into_iter().map(Position::from_sql).collect())
}

/// Inserts `rows` if the `premises` hold. Gives their positions and versions.
pub(super) async fn insert_if(
    connection: &mut PgConnection,
    rows: &[NewRow<'_>],
    premises: &Premises,
) -> sqlx::Result<Vec<Placed>> {
    // What is not correlated is looked up once, before the first row. Each look is for one row of
    // an index: of `= ANY` a plan that is made while the table is small reads all of it, and is kept.
    let values = VALUES.replace(
        "aggregate_version,",
        &format!("aggregate_version + CASE WHEN is_counted THEN ({}) ELSE 0 END,", version_of("u")),
    );
    let sql = format!(
        "INSERT INTO events ({COLUMNS}) SELECT {values} \
         FROM unnest({ARRAYS}, $13::boolean[]) WITH ORDINALITY AS u({COLUMNS}, is_counted, n) \
         WHERE NOT EXISTS (SELECT 1 FROM unnest($14::text[], $15::text[], $16::bigint[]) AS \
         a(aggregate_type, aggregate_id, expected) WHERE expected <> ({})) \
         AND NOT EXISTS (SELECT 1 FROM unnest($17::uuid[]) AS g(event_id) \
         WHERE (SELECT e.position FROM events e WHERE e.event_id = g.event_id) IS NOT NULL) \
         ORDER BY n RETURNING position, aggregate_version",
        version_of("a")
    );
    let of = |part: for<'a> fn(&'a Aggregate) -> &'a str| -> Vec<&str> {
        premises.aggregates.iter().map(|(aggregate, _)| part(aggregate)).collect()
    };
    let placed = bound!(sqlx::query_as(sqlx::AssertSqlSafe(sql)), rows)
        .bind(premises.counted(rows))
        .bind(of(|(of_type, _)| of_type))
        .bind(of(|(_, id)| id))
        .bind(premises.aggregates.iter().map(|(_, base)| base.as_sql()).collect::<Vec<Option<i64>>>())
        .bind(&premises.new_ids)
        .fetch_all(connection)
        .await?;
    Ok(placed.into_iter().map(Placed::from_sql).collect())
}

/// The version of the aggregate that `row` speaks of.
fn version_of(row: &str) -> String {
    format!(
        "SELECT coalesce(max(e.aggregate_version), 0) FROM events e \
         WHERE e.aggregate_type = {row}.aggregate_type AND e.aggregate_id = {row}.aggregate_id"
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
        event_version: u64::from_be_bytes(row.array()?),
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
