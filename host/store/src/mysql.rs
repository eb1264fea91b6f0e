//! MySQL and MariaDB: many appenders at once, none of which waits for another or for the reader.
//!
//! Before an appender draws a position, a trigger takes a share lock for its transaction, on one
//! of many gates: the one whose turn it is by the clock of the server. The reader looks which
//! gates are free in one statement that waits for nobody and leaves nothing locked. Once each
//! gate was free at some moment after the last committed position was looked at, whoever drew
//! a position up to there has ended. As the turn moves on, a gate is free sooner or later
//! however many append; the clock decides how soon, never what is seen. `redo` says when it
//! has been kept, too.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Row as _};
use time::PrimitiveDateTime;
use tokio_stream::StreamExt as _;
use uuid::Uuid;

use super::Error;
use super::columns::{Columns, Fields};
use super::expected::Expected;
use super::head::Look;
use super::insert::{COLUMN_COUNT, COLUMNS, NewRow, Placed};
use super::premises::{Base, Premises};
use super::redo::{self, Redo};
use database::{Connection, Database, Dialect, Flavour, Session, date_time, micros, pieces_within, query};
use model::event::{Checkpoint, Position};

/// Rows of one INSERT.
const ROWS_PER_STATEMENT: usize = 256;

/// How many gates there are, and for how long it is the turn of each; as in the trigger.
pub(super) const GATES: i64 = 1_000;
const TURN: Duration = Duration::from_millis(5);

/// How long is waited for others to bring what was seen to disk.
const SYNC_MAX: Duration = Duration::from_millis(10);

/// What nobody has looked at for so long is looked at from the beginning: the server may have
/// ended the connection.
const FORGOTTEN: Duration = Duration::from_secs(2);

/// What was seen of the gates.
#[derive(Debug, Default)]
pub(super) struct Gates {
    awaited: Option<Awaited>,
    /// Whether appenders were in flight of late.
    is_busy: bool,
}

/// A position that is waited for.
#[derive(Debug)]
struct Awaited {
    at: Checkpoint,
    /// Where all of it was seen: a server that begins anew gives positions out again, and
    /// nothing that was seen before it did holds then.
    connection: Connection,
    /// The redo log when it was seen.
    redo: Redo,
    /// The gates that were not free yet since it was seen.
    closed: HashSet<i64>,
    /// Whose turn it was then, and when that was.
    turn: i64,
    since: Instant,
    /// When it was looked last.
    looked: Instant,
}

impl Gates {
    /// Up to where a statement that begins now may read, where `known` is what was found before;
    /// and what stands there now, where that was looked at.
    pub(super) async fn look(&mut self, database: &Database, known: Checkpoint) -> sqlx::Result<Look> {
        let as_known = known.last_event.map(|(_, event_id)| event_id);
        let awaited = self.awaited.take().filter(|awaited| awaited.looked.elapsed() < FORGOTTEN);
        let (mut awaited, at_known) = match awaited.filter(|awaited| awaited.at.position > known.position) {
            Some(awaited) => (awaited, as_known),
            None => match Awaited::beyond(known, database).await? {
                (Some(awaited), at_known) => (awaited, at_known),
                (None, at_known) => {
                    self.is_busy = false;
                    return Ok(Look { safe: known, in_flight: false, at_known });
                }
            },
        };
        if awaited.is_over(self.is_busy, database.flavour()).await? {
            return Ok(Look { safe: awaited.at, in_flight: false, at_known });
        }
        self.is_busy = true;
        self.awaited = Some(awaited);
        Ok(Look { safe: known, in_flight: true, at_known })
    }
}

impl Awaited {
    /// The last committed event, if it is beyond `known`; and the one that stands there.
    async fn beyond(known: Checkpoint, database: &Database) -> sqlx::Result<(Option<Self>, Option<Uuid>)> {
        let mut connection = database.read().await?;
        let last = query(
            "SELECT position, event_id, (SELECT k.event_id FROM events k WHERE k.position = ?) AS at_known, \
             CAST(FLOOR(UNIX_TIMESTAMP(SYSDATE(6)) * 200) % 1000 AS SIGNED) AS turn FROM events \
             ORDER BY position DESC LIMIT 1",
        );
        let Some(row) = last.bind(known.position.to_sql()).optional(&mut connection).await? else {
            return Ok((None, None));
        };
        let at = Checkpoint::behind(Position::from_sql(row.get("position")?), row.get("event_id")?);
        let at_known = row.get("at_known")?;
        if at.position <= known.position {
            return Ok((None, at_known));
        }
        let (closed, turn, since) = ((0..GATES).collect(), row.get("turn")?, Instant::now());
        let redo = Redo::look(&mut connection, database.flavour()).await?;
        Ok((Some(Self { at, connection, redo, closed, turn, since, looked: since }), at_known))
    }

    /// Whether all that was drawn up to there has ended, and the server keeps what it shows.
    async fn is_over(&mut self, is_busy: bool, flavour: Flavour) -> sqlx::Result<bool> {
        self.looked = Instant::now();
        // Looking locks what is free, for a moment. That is not to bother those who come to the
        // gate whose turn it is now, which they all want.
        let passed = self.since.elapsed().as_micros() / TURN.as_micros();
        let turn = (self.turn + i64::try_from(passed).unwrap_or_default()) % GATES;
        let spared = if is_busy { turn } else { -1 };
        if !self.closed.is_empty() {
            let free = query(
                "SELECT GROUP_CONCAT(slot) AS free FROM fantascope_gates WHERE slot < ? OR slot > ? \
                 FOR UPDATE SKIP LOCKED",
            );
            let free: Option<String> = free.bind(spared).bind(spared).one(&mut self.connection).await?.get("free")?;
            for slot in free.unwrap_or_default().split(',').filter_map(|slot| slot.parse().ok()) {
                self.closed.remove(&slot);
            }
        }
        Ok(self.closed.is_empty() && self.is_kept(flavour).await?)
    }

    async fn is_kept(&mut self, flavour: Flavour) -> sqlx::Result<bool> {
        if self.redo.is_on_disk() || Redo::look(&mut self.connection, flavour).await?.has_on_disk(self.redo) {
            return Ok(true);
        }
        // Who committed brings it there, most likely at this moment. What was written since by
        // somebody who does not commit may stay for a second.
        if self.since.elapsed() < SYNC_MAX {
            return Ok(false);
        }
        redo::write(&mut self.connection).await?;
        Ok(true)
    }
}

/// The sessions that may have appended and not committed, the oldest first.
pub(super) async fn holders(session: &mut dyn Session, flavour: Flavour) -> sqlx::Result<Vec<String>> {
    // MySQL says who holds which lock. MariaDB tells only of locks that somebody waits for:
    // there it is most likely the oldest of those transactions that have written something, of a
    // session that stands in this database.
    let sql = match flavour {
        Flavour::MySql => {
            "SELECT CAST(h.processlist_id AS CHAR) AS session, h.processlist_user AS name, h.processlist_host AS host, \
                    h.processlist_command AS command, CAST(min(t.trx_started) AS CHAR) AS since \
             FROM performance_schema.data_locks l JOIN performance_schema.threads h ON h.thread_id = l.thread_id \
             LEFT JOIN information_schema.innodb_trx t ON t.trx_id = l.engine_transaction_id \
             WHERE l.object_schema = database() AND l.object_name = 'fantascope_gates' AND l.lock_type = 'RECORD' \
                AND l.lock_status = 'GRANTED' AND l.lock_mode LIKE 'S%' GROUP BY 1, 2, 3, 4 ORDER BY 5 LIMIT 5"
        }
        Flavour::MariaDb => {
            "SELECT CAST(p.id AS CHAR) AS session, p.user AS name, p.host AS host, p.command AS command, \
                    CAST(t.trx_started AS CHAR) AS since \
             FROM information_schema.innodb_trx t \
             JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id \
             WHERE t.trx_rows_modified > 0 ORDER BY p.db <=> database() DESC, t.trx_started LIMIT 5"
        }
    };
    let session_of = |row: &database::Row| {
        let text = |column: &str| row.get::<Option<String>>(column).map(Option::unwrap_or_default);
        Ok(format!(
            "session {} of user {} from {} ({}), in a transaction since {} by the server's clock",
            text("session")?,
            text("name")?,
            text("host")?,
            text("command")?.to_lowercase(),
            text("since")?
        ))
    };
    query(sql).all(session).await?.iter().map(session_of).collect()
}

/// Binds the values of `$rows`; of the first one, with what its aggregate must be at if that is given.
macro_rules! bound {
    ($query:expr, $rows:expr, $base:expr) => {{
        let (mut query, mut base) = ($query, $base);
        for row in $rows {
            query = query
                .bind(row.event_id)
                .bind(row.event_type.to_owned())
                .bind(row.event_version)
                .bind(row.aggregate_type.to_owned())
                .bind(row.aggregate_id.to_owned());
            query = match base.take() {
                None => query.bind(row.version_as_sql()),
                Some(base) => query
                    .bind(base)
                    .bind(row.version_as_sql())
                    .bind(row.aggregate_type.to_owned())
                    .bind(row.aggregate_id.to_owned()),
            };
            query = query
                .bind(date_time(row.event_timestamp.0)?)
                .bind(row.user_id.map(str::to_owned))
                .bind(row.correlation_id.map(str::to_owned))
                .bind(row.causation_id.map(str::to_owned))
                .bind(row.metadata.map(str::to_owned))
                .bind(row.event_data.to_owned());
        }
        query
    }};
}

/// Writes `rows` by statements of `bytes_max` at the most.
pub(super) async fn insert(
    connection: &mut MySqlConnection,
    rows: &[NewRow<'_>],
    bytes_max: usize,
) -> sqlx::Result<Vec<Position>> {
    let mut positions = Vec::with_capacity(rows.len());
    for piece in pieces_within(rows.len(), ROWS_PER_STATEMENT, bytes_max, |row| rows[row].bytes()) {
        let row = format!("({})", Dialect::MySql.places(1, COLUMN_COUNT));
        let sql = format!("INSERT INTO events ({COLUMNS}) VALUES {}", vec![row; piece.len()].join(","));
        let query = bound!(sqlx::query(AssertSqlSafe(sql)), &rows[piece.clone()], None::<i64>);
        // Rows of one such statement are numbered one after the other, and the first is told.
        let first = query.execute(&mut *connection).await?.last_insert_id();
        positions.extend((first..first + piece.len() as u64).map(Position));
    }
    Ok(positions)
}

/// Inserts `rows`, which are of one aggregate, if the `premises` hold: else the first of them has no
/// version, or one has an id that is taken, which the table refuses.
pub(super) async fn insert_if(
    connection: &mut MySqlConnection,
    rows: &[NewRow<'_>],
    premises: &Premises,
) -> sqlx::Result<Vec<Placed>> {
    let [(_, Base::At(base))] = premises.aggregates.as_slice() else { return Ok(Vec::new()) };
    // MySQL reads a table that it inserts into by way of a derived table alone.
    let version = "(SELECT CASE WHEN base = ? THEN ? END FROM (SELECT coalesce(max(aggregate_version), 0) AS base \
                   FROM events WHERE aggregate_type = ? AND aggregate_id = ?) t)";
    let places = Dialect::MySql.places(1, COLUMN_COUNT);
    let first = format!("?,?,?,?,?,{version},{}", Dialect::MySql.places(1, COLUMN_COUNT - 6));
    let next = format!(",({places})").repeat(rows.len() - 1);
    let sql = format!("INSERT INTO events ({COLUMNS}) VALUES ({first}){next}");
    let query = bound!(sqlx::query(AssertSqlSafe(sql)), rows, Some(base.cast_signed()));
    let first = query.execute(connection).await?.last_insert_id();
    let place = |(position, row): (u64, &NewRow<'_>)| Placed {
        position: Position(position),
        aggregate_version: row.aggregate_version,
    };
    Ok((first..).zip(rows).map(place).collect())
}

/// The events after `after`, up to `up_to`, as far as `columns` take them; none if one of
/// `expected` is not in its place.
pub(super) async fn page(
    connection: &mut MySqlConnection,
    after: Position,
    up_to: Position,
    expected: &Expected,
    columns: &mut Columns,
) -> Result<(), Error> {
    let page = sqlx::query(
        "SELECT position, event_id, event_type, event_version, aggregate_type, aggregate_id, aggregate_version, \
         event_timestamp, user_id, correlation_id, causation_id, metadata, event_data \
         FROM events WHERE position > ? AND position <= ? \
         AND (? = 0 OR EXISTS (SELECT 1 FROM events a WHERE a.position = ? AND a.event_id = ?)) \
         AND (? = 0 OR EXISTS (SELECT 1 FROM events b WHERE b.position = ? AND b.event_id = ?)) ORDER BY position",
    );
    let page = page.bind(after.to_sql()).bind(up_to.to_sql());
    let page = expected
        .both()
        .into_iter()
        .fold(page, |page, (position, event_id)| page.bind(position.to_sql()).bind(position.to_sql()).bind(event_id));
    let mut rows = page.fetch(connection);
    while let Some(row) = rows.next().await {
        if !columns.push_within(&fields(&row?)?)? {
            break;
        }
    }
    Ok(())
}

fn fields(row: &MySqlRow) -> Result<Fields<'_>, Error> {
    let number = |index: usize| row.try_get::<i64, _>(index).map(i64::cast_unsigned);
    let text = |index: usize| row.try_get::<Option<&str>, _>(index).map(|text| text.unwrap_or_default().as_bytes());
    let position = number(0)?;
    let event_id = row.try_get::<&[u8], _>(1)?.try_into();
    let corrupt = |reason: &str| Error::Corrupt { position: Position(position), reason: reason.to_owned() };
    Ok(Fields {
        position,
        event_id: event_id.map_err(|_| corrupt("`event_id` is not of 16 bytes"))?,
        event_type: text(2)?,
        event_version: number(3)?,
        aggregate_type: text(4)?,
        aggregate_id: text(5)?,
        aggregate_version: number(6)?,
        event_timestamp: micros(row.try_get::<PrimitiveDateTime, _>(7)?),
        user_id: text(8)?,
        correlation_id: text(9)?,
        causation_id: text(10)?,
        metadata: text(11)?,
        event_data: text(12)?,
    })
}
