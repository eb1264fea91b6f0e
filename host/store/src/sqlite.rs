//! SQLite: one writer, so the order of positions is the order of commits.
//!
//! A row fetched through sqlx costs microseconds: a message between threads, a value object
//! per cell. So a whole page is made one text by SQL itself, its fields divided by U+001E,
//! which neither valid JSON nor any name contains, and is cut into columns here.

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::Error;
use super::columns::{Columns, Fields};
use super::expected::Expected;
use super::head::Look;
use super::insert::{COLUMN_COUNT, COLUMNS, NewRow, Placed};
use super::premises::Premises;
use database::{Dialect, Session, pieces, query};
use model::event::{Batch, Checkpoint, Position};

/// Rows of one INSERT. 12 values each keep it far below SQLite's 32,766 parameters.
const ROWS_PER_STATEMENT: usize = 128;

/// Divides fields and rows. JSON allows no control character but white space, and
/// appends refuse names that contain one.
const SEPARATOR: u8 = 0x1e;

/// Fields of a row, in the order of the SELECT.
const FIELDS: usize = 13;

/// The last event, and what stands where `known` was found before.
pub(super) async fn look(session: &mut dyn Session, known: Checkpoint) -> sqlx::Result<Look> {
    let last = query(
        "SELECT position, event_id, (SELECT event_id FROM events WHERE position = ?) AS at_known FROM events \
         ORDER BY position DESC LIMIT 1",
    );
    let Some(row) = last.bind(known.position.to_sql()).optional(session).await? else {
        return Ok(Look { safe: Checkpoint::START, in_flight: false, at_known: None });
    };
    let safe = Checkpoint::behind(Position::from_sql(row.get("position")?), row.get("event_id")?);
    Ok(Look { safe, in_flight: false, at_known: row.get("at_known")? })
}

/// Binds the values of `$rows`.
macro_rules! bound {
    ($query:expr, $rows:expr) => {{
        let mut query = $query;
        for row in $rows {
            query = query
                .bind(row.event_id)
                .bind(row.event_type.to_owned())
                .bind(row.event_version)
                .bind(row.aggregate_type.to_owned())
                .bind(row.aggregate_id.to_owned())
                .bind(row.version_as_sql())
                .bind(row.event_timestamp.0)
                .bind(row.user_id.map(str::to_owned))
                .bind(row.correlation_id.map(str::to_owned))
                .bind(row.causation_id.map(str::to_owned))
                .bind(row.metadata.map(str::to_owned))
                .bind(row.event_data.to_owned());
        }
        query
    }};
}

pub(super) async fn insert(connection: &mut SqliteConnection, rows: &[NewRow<'_>]) -> sqlx::Result<Vec<Position>> {
    let mut positions = Vec::with_capacity(rows.len());
    for piece in pieces(rows.len(), ROWS_PER_STATEMENT) {
        let sql = format!("INSERT INTO events ({COLUMNS}) VALUES {}", places(piece.len()));
        let query = bound!(sqlx::query(AssertSqlSafe(sql)), &rows[piece.clone()]);
        // Nobody else writes meanwhile, so they stand one after the other.
        let last = query.execute(&mut *connection).await?.last_insert_rowid().cast_unsigned();
        positions.extend((last + 1 - piece.len() as u64..=last).map(Position));
    }
    Ok(positions)
}

/// Inserts `rows`, which are of one aggregate, if the `premises` hold; that ids are new is seen to by
/// a trigger. Gives their positions and versions.
pub(super) async fn insert_if(
    connection: &mut SqliteConnection,
    rows: &[NewRow<'_>],
    premises: &Premises,
) -> sqlx::Result<Vec<Placed>> {
    let [((of_type, id), base)] = premises.aggregates.as_slice() else { return Ok(Vec::new()) };
    // As a subquery in FROM the greatest version would be looked for among all of the aggregate.
    let sql = format!(
        "INSERT INTO events ({COLUMNS}) SELECT column1, column2, column3, column4, column5, \
         column6 + CASE WHEN ?3 IS NULL THEN base ELSE 0 END, column7, column8, column9, column10, column11, column12 \
         FROM (SELECT coalesce((SELECT max(aggregate_version) FROM events \
         WHERE aggregate_type = ?1 AND aggregate_id = ?2), 0) AS base) CROSS JOIN (VALUES {}) \
         WHERE ?3 IS NULL OR base = ?3 RETURNING position, aggregate_version",
        numbered_places(4, rows.len())
    );
    let query = sqlx::query_as(AssertSqlSafe(sql)).bind(of_type.clone()).bind(id.clone()).bind(base.as_sql());
    let placed = bound!(query, rows).fetch_all(connection).await?;
    Ok(placed.into_iter().map(Placed::from_sql).collect())
}

/// Places of `rows`, from number `first` on: numbered ones and others must not be mixed, for sqlx
/// counts the others by themselves.
fn numbered_places(first: usize, rows: usize) -> String {
    let place = |number: usize| format!("?{number}");
    let row = |row: usize| (0..COLUMN_COUNT).map(|column| place(first + row * COLUMN_COUNT + column)).collect();
    let rows = (0..rows).map(row).map(|row: Vec<String>| format!("({})", row.join(",")));
    rows.collect::<Vec<String>>().join(",")
}

fn places(rows: usize) -> String {
    vec![format!("({})", Dialect::Sqlite.places(1, COLUMN_COUNT)); rows].join(",")
}

/// All events after `after`, up to `up_to`; none if one of `expected` is not in its place.
pub(super) async fn page(
    connection: &mut SqliteConnection,
    after: Position,
    up_to: Position,
    expected: &Expected,
) -> Result<Batch, Error> {
    let page = sqlx::query_as(
        "SELECT group_concat(concat_ws(char(30), position, hex(event_id), event_type, event_version, aggregate_type, \
                aggregate_id, aggregate_version, event_timestamp, ifnull(user_id, ''), ifnull(correlation_id, ''), \
                ifnull(causation_id, ''), ifnull(metadata, ''), event_data), char(30)) \
         FROM (SELECT * FROM events WHERE position > ? AND position <= ? \
               AND (? = 0 OR EXISTS (SELECT 1 FROM events WHERE position = ? AND event_id = ?)) \
               AND (? = 0 OR EXISTS (SELECT 1 FROM events WHERE position = ? AND event_id = ?)) ORDER BY position)",
    );
    let page = page.bind(after.to_sql()).bind(up_to.to_sql());
    let page = expected
        .both()
        .into_iter()
        .fold(page, |page, (position, event_id)| page.bind(position.to_sql()).bind(position.to_sql()).bind(event_id));
    let (packed,): (Option<String>,) = page.fetch_one(connection).await?;
    packed.map_or(Ok(Batch::default()), |packed| unpack(&packed))
}

/// The fields of a page, one after the other.
struct Packed<'a> {
    packed: &'a str,
    ends: memchr::Memchr<'a>,
    start: usize,
    position: u64,
}

impl<'a> Packed<'a> {
    fn next(&mut self) -> &'a str {
        let end = self.ends.next().unwrap_or(self.packed.len());
        let field = self.packed.get(self.start..end).unwrap_or_default();
        self.start = end + 1;
        field
    }

    fn number<T: std::str::FromStr>(&mut self, name: &str) -> Result<T, Error> {
        let text = self.next();
        text.parse().map_err(|_| self.corrupt(format!("`{name}` reads `{text}`")))
    }

    fn corrupt(&self, reason: String) -> Error {
        Error::Corrupt { position: Position(self.position), reason }
    }
}

fn unpack(packed: &str) -> Result<Batch, Error> {
    let mut columns = Columns::default();
    let mut fields = Packed { packed, ends: memchr::memchr_iter(SEPARATOR, packed.as_bytes()), start: 0, position: 0 };
    while fields.start <= packed.len() {
        fields.position = fields.number("position")?;
        let id = fields.next();
        let event_id = unhex(id).ok_or_else(|| fields.corrupt(format!("`event_id` reads `{id}`")))?;
        let row = Fields {
            position: fields.position,
            event_id,
            event_type: fields.next().as_bytes(),
            event_version: fields.number("event_version")?,
            aggregate_type: fields.next().as_bytes(),
            aggregate_id: fields.next().as_bytes(),
            aggregate_version: fields.number("aggregate_version")?,
            event_timestamp: fields.number("event_timestamp")?,
            user_id: fields.next().as_bytes(),
            correlation_id: fields.next().as_bytes(),
            causation_id: fields.next().as_bytes(),
            metadata: fields.next().as_bytes(),
            event_data: fields.next().as_bytes(),
        };
        if !row.event_data.starts_with(b"{") {
            return Err(
                fields.corrupt(format!("{FIELDS} fields were expected, and the payload last; a name contains U+001E?"))
            );
        }
        columns.push(&row)?;
    }
    columns.into_batch()
}

fn unhex(hex: &str) -> Option<[u8; 16]> {
    let digits: &[u8; 32] = hex.as_bytes().try_into().ok()?;
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "7\u{1e}000102030405060708090A0B0C0D0E0F\u{1e}OrderPlaced\u{1e}2\u{1e}Order\u{1e}o-1\u{1e}1\u{1e}-5\u{1e}ann\u{1e}\u{1e}\u{1e}\u{1e}{\"a\": 1}";

    /// What SQLite does to append one event to an aggregate that has so many, in hundreds of the
    /// instructions of its machine.
    async fn work_behind(events: u64) -> usize {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};

        use sqlx::Connection as _;

        let mut connection = SqliteConnection::connect("sqlite::memory:").await.expect("a database");
        let schema = include_str!("../../../migrations/sqlite/store/0001_events.sql");
        sqlx::raw_sql(schema).execute(&mut connection).await.expect("tables");
        let row = |version| NewRow {
            event_id: uuid::Uuid::from_u128(u128::from(version)),
            event_type: "Counted",
            event_version: 1,
            aggregate_type: "Counter",
            aggregate_id: "c",
            aggregate_version: version,
            event_timestamp: model::event::Timestamp(0),
            user_id: None,
            correlation_id: None,
            causation_id: None,
            metadata: None,
            event_data: "{}",
        };
        let rows: Vec<NewRow<'_>> = (1..=events).map(row).collect();
        insert(&mut connection, &rows).await.expect("events");
        let done = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&done);
        connection.lock_handle().await.expect("a connection").set_progress_handler(100, move || {
            count.fetch_add(1, Ordering::Relaxed);
            true
        });
        let base = crate::premises::Base::At(events);
        let aggregates = vec![(("Counter".to_owned(), "c".to_owned()), base)];
        let premises = Premises { aggregates, new_ids: Vec::new() };
        let placed = insert_if(&mut connection, &[row(events + 1)], &premises).await.expect("an answer");
        assert_eq!(placed.len(), 1, "it is appended");
        done.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn an_append_is_as_much_work_however_many_events_its_aggregate_has() {
        let (few, many) = (work_behind(10).await, work_behind(10_000).await);
        assert!((1..=few + 3).contains(&many), "{many} hundreds of instructions behind 10,000 events, {few} behind 10");
    }

    #[test]
    fn cuts_a_page_into_columns() {
        let second = ROW.replacen('7', "9", 1);
        let batch = unpack(&format!("{ROW}\u{1e}{second}")).expect("a page");
        assert_eq!(batch.positions, [7, 9]);
        assert_eq!(batch.event_id(1).to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(batch.event_type(1).to_string(), "OrderPlaced v2");
        assert_eq!((batch.types.len(), batch.aggregate_types.len()), (1, 1));
        assert_eq!((batch.timestamps[0], batch.user_ids.get(0), batch.correlation_ids.get(1)), (-5, "ann", ""));
        assert_eq!(batch.data.get(1), "{\"a\": 1}");
    }

    #[test]
    fn names_the_position_of_what_it_cannot_read() {
        let check = |packed: &str, expected: &str| {
            let fault = unpack(packed).expect_err(expected).to_string();
            assert!(fault.contains(expected), "{fault} should say {expected}");
        };
        check(&ROW.replace("ann", "a\u{1e}nn"), "position 7 holds what no append");
        check(&ROW.replace("000102", "00"), "`event_id` reads");
        check(&format!("{ROW}\u{1e}{ROW}"), "not in order");
    }
}
