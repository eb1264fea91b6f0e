//! Connections and transactions, whatever the database.

use std::sync::Arc;

use sqlx::mysql::MySqlConnection;
use sqlx::pool::PoolConnection;
use sqlx::{MySql, PgConnection, Postgres, Sqlite, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use super::pooled::{MySqlTransaction, Tracked};
use super::sqlite::Room;
use super::{Cause, Dialect, Durability};

/// Something that statements can be run on.
pub trait Session: Send {
    /// The connection beneath.
    fn link(&mut self) -> Link<'_>;

    /// Whose SQL it speaks.
    fn dialect(&self) -> Dialect;

    /// What was asked over the link is answered, or failed with `fault`. Without that word a
    /// connection of MySQL is not used again.
    fn answered(&mut self, fault: Option<&sqlx::Error>);
}

/// A connection of one of the databases.
#[derive(Debug)]
pub enum Link<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
    MySql(&'c mut MySqlConnection),
}

/// A connection for reading; it goes back to its pool when dropped.
#[derive(Debug)]
pub struct Connection(pub(super) Pooled);

#[derive(Debug)]
pub(super) enum Pooled {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(Tracked<Postgres>),
    MySql(Tracked<MySql>),
}

impl Session for Connection {
    fn link(&mut self) -> Link<'_> {
        match &mut self.0 {
            Pooled::Sqlite(connection) => Link::Sqlite(connection),
            Pooled::Postgres(connection) => Link::Postgres(connection.use_freely()),
            Pooled::MySql(connection) => Link::MySql(connection.ask()),
        }
    }

    fn dialect(&self) -> Dialect {
        match &self.0 {
            Pooled::Sqlite(_) => Dialect::Sqlite,
            Pooled::Postgres(_) => Dialect::Postgres,
            Pooled::MySql(_) => Dialect::MySql,
        }
    }

    fn answered(&mut self, fault: Option<&sqlx::Error>) {
        match &mut self.0 {
            Pooled::Sqlite(_) => {}
            Pooled::Postgres(connection) => connection.answered(fault),
            Pooled::MySql(connection) => connection.answered(fault),
        }
    }
}

impl Connection {
    /// The connection beneath, for an answer that must be read to its end: whatever the database,
    /// it is not used again unless that is [`answered`](Session::answered).
    pub fn ask(&mut self) -> Link<'_> {
        match &mut self.0 {
            Pooled::Sqlite(connection) => Link::Sqlite(connection),
            Pooled::Postgres(connection) => Link::Postgres(connection.ask()),
            Pooled::MySql(connection) => Link::MySql(connection.ask()),
        }
    }

    /// Gives it back at once on PostgreSQL, where each connection is a process of the server, so
    /// that whoever asks next need not open another one: what is dropped is back a little later.
    pub async fn release(self) {
        if let Pooled::Postgres(connection) = self.0 {
            connection.release().await;
        }
    }
}

/// A transaction. Dropped without [`Transaction::commit`] nothing of it is done.
#[derive(Debug)]
pub struct Transaction(pub(super) Begun);

#[derive(Debug)]
pub(super) enum Begun {
    /// One that writes, with the turn to do so.
    Sqlite(SqliteWriting),
    SqliteSnapshot(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
    MySql(MySqlTransaction),
}

/// The connections with which a file is written, one of each durability. Whoever holds them
/// has the turn to write, in the order of asking: without it writers of this process would
/// meet in SQLite's busy handler, which sleeps instead of queueing.
#[derive(Debug, Default)]
pub(super) struct Writers {
    full: Option<SqliteConnection>,
    normal: Option<SqliteConnection>,
}

impl Writers {
    pub(super) fn all(self) -> impl Iterator<Item = SqliteConnection> {
        [self.full, self.normal].into_iter().flatten()
    }

    fn of(&mut self, durability: Durability) -> &mut Option<SqliteConnection> {
        match durability {
            Durability::Full => &mut self.full,
            Durability::Normal => &mut self.normal,
        }
    }
}

/// A transaction of SQLite that writes. If it is not committed its connection is closed: SQLite
/// ends a transaction by itself when the disk is full, and sqlx would not know of it.
#[derive(Debug)]
pub(super) struct SqliteWriting {
    connection: SqliteConnection,
    durability: Durability,
    room: Room,
    turn: OwnedMutexGuard<Writers>,
}

impl SqliteWriting {
    /// Waits for the turn, and takes the connection that is there or one from `open`.
    pub(super) async fn turn<F>(
        writers: &Arc<Mutex<Writers>>,
        durability: Durability,
        room: Room,
        open: impl FnOnce() -> F,
    ) -> sqlx::Result<Self>
    where
        F: Future<Output = sqlx::Result<SqliteConnection>>,
    {
        let mut turn = Arc::clone(writers).lock_owned().await;
        let connection = match turn.of(durability).take() {
            Some(connection) => Ok(connection),
            None => open().await,
        };
        let connection = connection.inspect_err(|fault| room.note(fault))?;
        Ok(Self { connection, durability, room, turn })
    }

    pub(super) async fn begin(mut self) -> sqlx::Result<Self> {
        // A deferred transaction that writes later fails at once if another process writes.
        let begun = sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await;
        begun.inspect_err(|fault| self.room.note(fault))?;
        Ok(self)
    }

    async fn commit(mut self) -> sqlx::Result<()> {
        let committed = sqlx::query("COMMIT").execute(&mut self.connection).await;
        committed.inspect_err(|fault| self.room.note(fault))?;
        self.room.committed().await;
        self.give_back();
        Ok(())
    }

    /// The connection is fit for the next one.
    fn give_back(mut self) {
        *self.turn.of(self.durability) = Some(self.connection);
    }
}

/// A connection on which each statement is a transaction of its own, and outlives a power failure.
/// On SQLite it has the turn to write.
#[derive(Debug)]
pub struct Writer {
    pub(super) direct: Direct,
    /// When it was last known to work.
    pub(super) used: Instant,
}

#[derive(Debug)]
pub(super) enum Direct {
    Sqlite(SqliteWriting),
    Postgres(Tracked<Postgres>),
    MySql(Tracked<MySql>),
}

impl Session for Writer {
    fn link(&mut self) -> Link<'_> {
        match &mut self.direct {
            Direct::Sqlite(writing) => Link::Sqlite(&mut writing.connection),
            Direct::Postgres(connection) => Link::Postgres(connection.ask()),
            Direct::MySql(connection) => Link::MySql(connection.ask()),
        }
    }

    fn dialect(&self) -> Dialect {
        match &self.direct {
            Direct::Sqlite(_) => Dialect::Sqlite,
            Direct::Postgres(_) => Dialect::Postgres,
            Direct::MySql(_) => Dialect::MySql,
        }
    }

    fn answered(&mut self, fault: Option<&sqlx::Error>) {
        match &mut self.direct {
            Direct::Sqlite(writing) => fault.into_iter().for_each(|fault| writing.room.note(fault)),
            Direct::Postgres(connection) => connection.answered(fault),
            Direct::MySql(connection) => connection.answered(fault),
        }
    }
}

impl Writer {
    /// The statement has come to its end, in `fault` or not. What is fit for the next one is given
    /// back if it is of a file, which has one turn to write for all; else it can be kept.
    #[must_use]
    pub fn end(mut self, fault: Option<&sqlx::Error>) -> Option<Self> {
        let is_fit = fault.is_none_or(|fault| Cause::of(fault) == Cause::Refused);
        match self.direct {
            Direct::Sqlite(writing) => {
                if fault.is_none() {
                    writing.room.committed_meanwhile();
                }
                if is_fit {
                    writing.give_back();
                }
                None
            }
            _ => {
                self.used = Instant::now();
                is_fit.then_some(self)
            }
        }
    }
}

impl Session for Transaction {
    fn link(&mut self) -> Link<'_> {
        match &mut self.0 {
            Begun::Sqlite(writing) => Link::Sqlite(&mut writing.connection),
            Begun::SqliteSnapshot(transaction) => Link::Sqlite(transaction),
            Begun::Postgres(transaction) => Link::Postgres(transaction),
            Begun::MySql(transaction) => Link::MySql(transaction.connection().ask()),
        }
    }

    fn dialect(&self) -> Dialect {
        match &self.0 {
            Begun::Sqlite(_) | Begun::SqliteSnapshot(_) => Dialect::Sqlite,
            Begun::Postgres(_) => Dialect::Postgres,
            Begun::MySql(_) => Dialect::MySql,
        }
    }

    fn answered(&mut self, fault: Option<&sqlx::Error>) {
        match (&mut self.0, fault) {
            (Begun::MySql(transaction), fault) => transaction.connection().answered(fault),
            (Begun::Sqlite(writing), Some(fault)) => writing.room.note(fault),
            _ => {}
        }
    }
}

impl Transaction {
    /// Makes it so, all at once.
    ///
    /// # Errors
    /// If the database fails: then it may have been done, or not.
    pub async fn commit(self) -> sqlx::Result<()> {
        match self.0 {
            Begun::Sqlite(writing) => writing.commit().await,
            Begun::SqliteSnapshot(transaction) => transaction.commit().await,
            Begun::Postgres(transaction) => transaction.commit().await,
            Begun::MySql(transaction) => transaction.commit().await,
        }
    }
}
