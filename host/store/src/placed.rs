//! Writing events at positions of their own: a copy of another store, which has no other writer.

use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, PgConnection, SqliteConnection};
use uuid::Uuid;

use super::insert::{COLUMN_COUNT, COLUMNS, EVENT_BYTES};
use database::{Database, Dialect, Link, PgInstant, Session, date_time, pieces, pieces_within, query};
use model::event::Batch;

/// Rows of one INSERT. 13 values each keep it far below SQLite's 32,766 parameters.
const ROWS_PER_STATEMENT: usize = 128;

/// Writes `events` where they stood, inside the caller's transaction on `database`.
pub(super) async fn insert(database: &Database, session: &mut dyn Session, events: &Batch) -> sqlx::Result<()> {
    let inserted = match session.link() {
        Link::Sqlite(connection) => insert_into_sqlite(connection, events).await,
        Link::Postgres(connection) => insert_into_postgres(connection, events).await,
        Link::MySql(connection) => {
            // The connection is used again.
            sqlx::raw_sql("SET @fantascope_keep_positions = 1").execute(&mut *connection).await?;
            let inserted = insert_into_mysql(connection, events, database.statement_bytes_max()).await;
            sqlx::raw_sql("SET @fantascope_keep_positions = NULL").execute(connection).await?;
            inserted
        }
    };
    session.answered(inserted.as_ref().err());
    inserted
}

/// Lets positions go on after the last one that was written. MySQL and SQLite do so by themselves.
pub(super) async fn go_on(session: &mut dyn Session) -> sqlx::Result<()> {
    if session.dialect() == Dialect::Postgres {
        let sequence = "SELECT setval('events_position_seq', last) AS next FROM (SELECT greatest(max(position), \
                        pg_sequence_last_value('events_position_seq')) AS last FROM events) t WHERE last IS NOT NULL";
        query(sequence).all(session).await?;
    }
    Ok(())
}

fn optional(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn statement(dialect: Dialect, rows: usize) -> String {
    let row = format!("({})", dialect.places(1, COLUMN_COUNT + 1));
    format!("INSERT INTO events (position, {COLUMNS}) VALUES {}", vec![row; rows].join(","))
}

/// Binds the values of a piece of `$events`; `$instant` makes the one of a time.
macro_rules! bound {
    ($dialect:expr, $events:ident, $piece:ident, $instant:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe(statement($dialect, $piece.len())));
        for row in $piece {
            let event_type = $events.event_type(row);
            query = query
                .bind($events.position(row).to_sql())
                .bind($events.event_id(row))
                .bind(event_type.name.to_string())
                .bind(event_type.version)
                .bind(aggregate_type($events, row).to_owned())
                .bind($events.aggregate_ids.get(row).to_owned())
                .bind($events.aggregate_versions[row].cast_signed())
                .bind($instant($events.timestamps[row])?)
                .bind(optional($events.user_ids.get(row)).map(str::to_owned))
                .bind(optional($events.correlation_ids.get(row)).map(str::to_owned))
                .bind(optional($events.causation_ids.get(row)).map(str::to_owned))
                .bind(optional($events.metadata.get(row)).map(str::to_owned))
                .bind($events.data.get(row).to_owned());
        }
        query
    }};
}

async fn insert_into_sqlite(connection: &mut SqliteConnection, events: &Batch) -> sqlx::Result<()> {
    for piece in pieces(events.len(), ROWS_PER_STATEMENT) {
        bound!(Dialect::Sqlite, events, piece, Ok::<i64, sqlx::Error>).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn insert_into_mysql(connection: &mut MySqlConnection, events: &Batch, bytes_max: usize) -> sqlx::Result<()> {
    let texts = [&events.aggregate_ids, &events.user_ids, &events.correlation_ids, &events.causation_ids];
    let bytes = |row: usize| {
        let names = events.event_type(row).name.len() + aggregate_type(events, row).len();
        let texts = texts.into_iter().chain([&events.metadata, &events.data]).map(|texts| texts.get(row).len());
        EVENT_BYTES + names + texts.sum::<usize>()
    };
    for piece in pieces_within(events.len(), ROWS_PER_STATEMENT, bytes_max, bytes) {
        bound!(Dialect::MySql, events, piece, date_time).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn insert_into_postgres(connection: &mut PgConnection, events: &Batch) -> sqlx::Result<()> {
    let rows = 0..events.len();
    let types = || rows.clone().map(|row| events.event_type(row));
    let optional = |texts: &'_ model::event::Texts| -> Vec<Option<String>> {
        texts.iter().map(|text| optional(text).map(str::to_owned)).collect()
    };
    let sql = format!(
        "INSERT INTO events (position, {COLUMNS}) OVERRIDING SYSTEM VALUE SELECT position, event_id, event_type, \
         event_version, aggregate_type, aggregate_id, aggregate_version, event_timestamp, user_id, correlation_id, \
         causation_id, metadata::json, event_data::json \
         FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], \
         $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[]) AS u(position, {COLUMNS})"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(rows.clone().map(|row| events.position(row).to_sql()).collect::<Vec<i64>>())
        .bind(rows.clone().map(|row| events.event_id(row)).collect::<Vec<Uuid>>())
        .bind(types().map(|of| of.name.to_string()).collect::<Vec<String>>())
        .bind(types().map(|of| i64::from(of.version)).collect::<Vec<i64>>())
        .bind(rows.clone().map(|row| aggregate_type(events, row)).collect::<Vec<&str>>())
        .bind(events.aggregate_ids.iter().collect::<Vec<&str>>())
        .bind(events.aggregate_versions.iter().map(|version| version.cast_signed()).collect::<Vec<i64>>())
        .bind(events.timestamps.iter().map(|&at| PgInstant(at)).collect::<Vec<PgInstant>>())
        .bind(optional(&events.user_ids))
        .bind(optional(&events.correlation_ids))
        .bind(optional(&events.causation_ids))
        .bind(optional(&events.metadata))
        .bind(events.data.iter().collect::<Vec<&str>>())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) fn aggregate_type(events: &Batch, row: usize) -> &str {
    &events.aggregate_types[events.aggregate_type_codes[row] as usize]
}
