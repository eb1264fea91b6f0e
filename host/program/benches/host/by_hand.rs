//! The order list as a careful developer would write it by hand for a server: typed events,
//! prepared statements, pages of 500, one statement an event, a transaction per page.

use std::time::Instant;

use sqlx::{AssertSqlSafe, Connection as _};
use time::OffsetDateTime;

use crate::home::Home;
use crate::loops::{Paid, Placed, Shipped};
use crate::servers::Kind;

/// Position, type, aggregate, time, payload.
type Row = (i64, String, String, OffsetDateTime, String);

const TABLES: [&str; 3] = [
    "CREATE TABLE orders (id VARCHAR(200) PRIMARY KEY, customer VARCHAR(200) NOT NULL, status VARCHAR(20) NOT NULL, \
     total_cents BIGINT NOT NULL, paid_cents BIGINT NOT NULL, currency VARCHAR(10) NOT NULL, items BIGINT NOT NULL, \
     carrier VARCHAR(50), tracking VARCHAR(50), cancel_reason VARCHAR(50), placed_at TIMESTAMP(6) NOT NULL, \
     updated_at TIMESTAMP(6) NOT NULL)",
    "CREATE TABLE checkpoint (position BIGINT NOT NULL)",
    "INSERT INTO checkpoint VALUES (0)",
];

/// A loop over a connection of one kind, whose statements have the places that `$place` gives.
macro_rules! hand_loop {
    ($name:ident, $connection:ty, $payload:literal, $place:expr) => {
        async fn $name(store: &str, rows: &str, events: i64) -> anyhow::Result<f64> {
            let mut reader = <$connection>::connect(store).await?;
            let mut writer = <$connection>::connect(rows).await?;
            for statement in TABLES {
                sqlx::raw_sql(statement).execute(&mut writer).await?;
            }
            let place: fn(usize) -> String = $place;
            let sql = |text: &str| {
                let mut parts = text.split('?');
                let first = parts.next().unwrap_or_default().to_owned();
                (1..).zip(parts).fold(first, |sql, (number, part)| sql + &place(number) + part)
            };
            let page = sql(concat!(
                "SELECT position, event_type, aggregate_id, event_timestamp, ",
                $payload,
                " FROM events WHERE position > ? ORDER BY position LIMIT 500"
            ));
            let insert = sql("INSERT INTO orders VALUES (?, ?, 'placed', ?, 0, ?, ?, NULL, NULL, NULL, ?, ?)");
            let pay =
                sql("UPDATE orders SET status = 'paid', paid_cents = paid_cents + ?, updated_at = ? WHERE id = ?");
            let ship =
                sql("UPDATE orders SET status = 'shipped', carrier = ?, tracking = ?, updated_at = ? WHERE id = ?");
            let checkpoint = sql("UPDATE checkpoint SET position = ?");
            let began = Instant::now();
            let mut position = 0;
            while position < events {
                let page: Vec<Row> =
                    sqlx::query_as(AssertSqlSafe(page.clone())).bind(position).fetch_all(&mut reader).await?;
                let mut transaction = writer.begin().await?;
                for (at_position, event_type, id, at, data) in page {
                    let query = match event_type.as_str() {
                        "OrderPlaced" => {
                            let placed: Placed = serde_json::from_str(&data)?;
                            sqlx::query(AssertSqlSafe(insert.clone()))
                                .bind(id)
                                .bind(placed.customer)
                                .bind(placed.total_cents)
                                .bind(placed.currency)
                                .bind(placed.lines.iter().map(|line| line.quantity).sum::<i64>())
                                .bind(at)
                                .bind(at)
                        }
                        "OrderPaid" => {
                            let paid: Paid = serde_json::from_str(&data)?;
                            sqlx::query(AssertSqlSafe(pay.clone())).bind(paid.amount_cents).bind(at).bind(id)
                        }
                        _ => {
                            let shipped: Shipped = serde_json::from_str(&data)?;
                            let query = sqlx::query(AssertSqlSafe(ship.clone())).bind(shipped.carrier);
                            query.bind(shipped.tracking).bind(at).bind(id)
                        }
                    };
                    query.execute(&mut *transaction).await?;
                    position = at_position;
                }
                sqlx::query(AssertSqlSafe(checkpoint.clone())).bind(position).execute(&mut *transaction).await?;
                transaction.commit().await?;
            }
            Ok(began.elapsed().as_secs_f64())
        }
    };
}

hand_loop!(on_postgres, sqlx::PgConnection, "event_data::text", |number| format!("${number}"));
hand_loop!(on_mariadb, sqlx::MySqlConnection, "event_data", |_| "?".to_owned());

/// Seconds for the first `events` events of the store at `store`; no secondary indexes.
pub(crate) async fn per_page(kind: Kind, store: &str, home: &Home, events: u64) -> anyhow::Result<f64> {
    let rows = home.fresh("by_hand").await?;
    let events = i64::try_from(events)?;
    match kind {
        Kind::Postgres => on_postgres(store, &rows, events).await,
        Kind::MariaDb => on_mariadb(store, &rows, events).await,
    }
}

/// Seconds in which PostgreSQL gives out all events, as fast as it can.
pub(crate) async fn copied_out(store: &str) -> anyhow::Result<f64> {
    use tokio_stream::StreamExt as _;
    let mut connection = sqlx::PgConnection::connect(store).await?;
    let began = Instant::now();
    let mut bytes = 0;
    let mut stream = connection.copy_out_raw("COPY events TO STDOUT").await?;
    while let Some(chunk) = stream.next().await {
        bytes += chunk?.len();
    }
    anyhow::ensure!(bytes > 0, "nothing was copied");
    Ok(began.elapsed().as_secs_f64())
}
