//! The order list as a careful developer would write it by hand, with sqlx: typed
//! events, prepared statements, WAL, one statement an event. Once with a
//! transaction per page of 500 events, once with one per event.

use std::time::Instant;

use serde::Deserialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::home::Home;

const PAGE: i64 = 500;

const TABLES: &str = "CREATE TABLE orders (id TEXT PRIMARY KEY, customer TEXT NOT NULL, status TEXT NOT NULL, total_cents INTEGER NOT NULL, \
                      paid_cents INTEGER NOT NULL, currency TEXT NOT NULL, items INTEGER NOT NULL, carrier TEXT, tracking TEXT, cancel_reason TEXT, \
                      placed_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) WITHOUT ROWID; \
                      CREATE TABLE checkpoint (position INTEGER NOT NULL); INSERT INTO checkpoint VALUES (0)";

#[derive(Deserialize)]
pub(crate) struct Placed {
    pub(crate) customer: String,
    pub(crate) currency: String,
    pub(crate) total_cents: i64,
    pub(crate) lines: Vec<Line>,
}

#[derive(Deserialize)]
pub(crate) struct Line {
    pub(crate) quantity: i64,
}

#[derive(Deserialize)]
pub(crate) struct Paid {
    pub(crate) amount_cents: i64,
}

#[derive(Deserialize)]
pub(crate) struct Shipped {
    pub(crate) carrier: String,
    pub(crate) tracking: String,
}

type Row = (i64, String, String, i64, String);

/// Seconds for all events, with a transaction per page; no secondary indexes.
pub(crate) async fn per_page(store: &str, home: &Home, events: u64) -> anyhow::Result<f64> {
    let (mut reader, mut writer) = (reader(store).await?, writer(home).await?);
    let began = Instant::now();
    let mut position = 0;
    while position < i64::try_from(events)? {
        let rows = page(&mut reader, position).await?;
        let mut transaction = writer.begin().await?;
        for row in &rows {
            apply(&mut transaction, row).await?;
            position = row.0;
        }
        move_checkpoint(&mut transaction, position).await?;
        transaction.commit().await?;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// Seconds for the first `events` events, with a transaction per event.
pub(crate) async fn per_event(store: &str, home: &Home, events: u64) -> anyhow::Result<f64> {
    let (mut reader, mut writer) = (reader(store).await?, writer(home).await?);
    let began = Instant::now();
    let mut position = 0;
    while position < i64::try_from(events)? {
        for row in page(&mut reader, position).await? {
            let mut transaction = writer.begin().await?;
            apply(&mut transaction, &row).await?;
            position = row.0;
            move_checkpoint(&mut transaction, position).await?;
            transaction.commit().await?;
        }
    }
    Ok(began.elapsed().as_secs_f64())
}

async fn reader(store: &str) -> anyhow::Result<SqliteConnection> {
    Ok(SqliteConnectOptions::new().filename(store.trim_start_matches("sqlite:")).read_only(true).connect().await?)
}

async fn writer(home: &Home) -> anyhow::Result<SqliteConnection> {
    let url = home.fresh("by-hand").await?;
    let options = SqliteConnectOptions::new()
        .filename(url.trim_start_matches("sqlite:"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    let mut connection = options.connect().await?;
    sqlx::raw_sql(TABLES).execute(&mut connection).await?;
    Ok(connection)
}

async fn page(reader: &mut SqliteConnection, after: i64) -> anyhow::Result<Vec<Row>> {
    Ok(sqlx::query_as(
        "SELECT position, event_type, aggregate_id, event_timestamp, event_data FROM events WHERE position > ? ORDER BY position LIMIT ?",
    )
    .bind(after)
    .bind(PAGE)
    .fetch_all(reader)
    .await?)
}

async fn apply(connection: &mut SqliteConnection, (_, event_type, id, at, data): &Row) -> anyhow::Result<()> {
    match event_type.as_str() {
        "OrderPlaced" => {
            let placed: Placed = serde_json::from_str(data)?;
            sqlx::query("INSERT INTO orders VALUES (?, ?, 'placed', ?, 0, ?, ?, NULL, NULL, NULL, ?, ?)")
                .bind(id)
                .bind(placed.customer)
                .bind(placed.total_cents)
                .bind(placed.currency)
                .bind(placed.lines.iter().map(|line| line.quantity).sum::<i64>())
                .bind(at)
                .bind(at)
                .execute(connection)
                .await?;
        }
        "OrderPaid" => {
            let paid: Paid = serde_json::from_str(data)?;
            sqlx::query("UPDATE orders SET status = 'paid', paid_cents = paid_cents + ?, updated_at = ? WHERE id = ?")
                .bind(paid.amount_cents)
                .bind(at)
                .bind(id)
                .execute(connection)
                .await?;
        }
        _ => {
            let shipped: Shipped = serde_json::from_str(data)?;
            sqlx::query("UPDATE orders SET status = 'shipped', carrier = ?, tracking = ?, updated_at = ? WHERE id = ?")
                .bind(shipped.carrier)
                .bind(shipped.tracking)
                .bind(at)
                .bind(id)
                .execute(connection)
                .await?;
        }
    }
    Ok(())
}

async fn move_checkpoint(connection: &mut SqliteConnection, position: i64) -> anyhow::Result<()> {
    sqlx::query("UPDATE checkpoint SET position = ?").bind(position).execute(connection).await?;
    Ok(())
}
