//! SQLite: one file, one writer at a time.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

use super::fault::is_unwritable;
use super::session::{SqliteWriting, Writers};
use super::{Durability, Error, Outage};

/// Older libraries can corrupt a database when the WAL is reset.
const OLDEST_LIBRARY: &str = "3.51.3";

/// "Fans", so that a file of another program is not taken for one of ours.
const APPLICATION_ID: i64 = 0x4661_6e73;

/// Other processes that write to the same file are waited for this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A value, and a row, may have so many bytes (`SQLITE_MAX_LENGTH`).
pub(super) const VALUE_BYTES_MAX: usize = 1_000_000_000;

/// So much must be left on a disk that was full, before it is said to take anything again.
const ROOM_BYTES: usize = 1 << 20;

/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 512;

/// A database file. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Sqlite {
    pub(super) path: PathBuf,
    pub(super) readers: SqlitePool,
    writers: Arc<Mutex<Writers>>,
    /// Whether nothing can be written.
    pub(super) outage: Arc<Outage>,
}

impl Sqlite {
    /// Opens the file at `path`, or makes it.
    pub(super) async fn open(path: PathBuf, readers: u32) -> Result<Self, Error> {
        let open = |source| Error::open(&path.display().to_string(), source);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| open(sqlx::Error::Io(source)))?;
        }
        // Pages of events are read once, and rows that are read again are kept by those who
        // need them: a larger cache of each connection would only take memory.
        let options = options(&path).read_only(true).pragma("cache_size", "-4096");
        let readers = SqlitePoolOptions::new().max_connections(readers).connect_lazy_with(options);
        let outage = Arc::new(Outage::of(format!("database `{}`", path.display())));
        let database = Self { path: path.clone(), readers, writers: Arc::default(), outage };
        let mut connection = database.connect(Durability::Full).await.map_err(open)?;
        database.check(&mut connection).await?;
        connection.close().await.map_err(open)?;
        Ok(database)
    }

    async fn check(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
        let database = self.path.display().to_string();
        let open = |source| Error::open(&database, source);
        let version: String =
            sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut *connection).await.map_err(open)?;
        if numbers(&version) < numbers(OLDEST_LIBRARY) {
            return Err(Error::Library { found: version, needed: OLDEST_LIBRARY });
        }
        let id: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(open)?;
        let tables: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await.map_err(open)?;
        if id == APPLICATION_ID {
            return Ok(());
        }
        if id != 0 || tables != 0 {
            return Err(Error::Foreign { database: database.clone(), sign: String::new() });
        }
        let statement = format!("PRAGMA application_id = {APPLICATION_ID}");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(connection).await.map_err(open)?;
        Ok(())
    }

    /// A connection that writes.
    pub(super) async fn connect(&self, durability: Durability) -> sqlx::Result<SqliteConnection> {
        let synchronous = match durability {
            Durability::Full => SqliteSynchronous::Full,
            Durability::Normal => SqliteSynchronous::Normal,
        };
        options(&self.path)
            .create_if_missing(true)
            .synchronous(synchronous)
            .pragma("cache_size", "-8192")
            .pragma("wal_autocheckpoint", "4000")
            .connect()
            .await
    }

    /// Closes all connections. SQLite brings its log of writes into the file, and deletes it,
    /// when the last connection of all processes closes, if that is one that may write.
    pub(super) async fn close(&self) -> sqlx::Result<()> {
        self.readers.close().await;
        let writers = std::mem::take(&mut *self.writers.lock().await);
        let last = self.connect(Durability::Full).await?;
        for connection in writers.all() {
            connection.close().await?;
        }
        last.close().await
    }

    /// Waits for the turn to write.
    pub(super) async fn turn(&self, durability: Durability) -> sqlx::Result<SqliteWriting> {
        let room = Room { outage: Arc::clone(&self.outage), path: self.path.clone() };
        SqliteWriting::turn(&self.writers, durability, room, || self.connect(durability)).await
    }
}

/// Whether there is room for what is written. A full disk takes a small transaction now and then,
/// which says nothing.
#[derive(Clone, Debug)]
pub(super) struct Room {
    outage: Arc<Outage>,
    path: PathBuf,
}

impl Room {
    /// Something that writes failed with `fault`.
    pub(super) fn note(&self, fault: &sqlx::Error) {
        if is_unwritable(fault) {
            self.outage.failed(fault);
        }
    }

    /// The same as [`Room::committed`], which nobody waits for.
    pub(super) fn committed_meanwhile(&self) {
        if self.outage.lasts() {
            let room = self.clone();
            tokio::spawn(async move { room.committed().await });
        }
    }

    /// A transaction was committed. After a failure it is looked whether more would be, too.
    pub(super) async fn committed(&self) {
        if !self.outage.lasts() {
            return;
        }
        let path = self.path.clone();
        let looked = tokio::task::spawn_blocking(move || look_for_room(&path)).await;
        match looked.map_err(std::io::Error::other).flatten() {
            Ok(()) => self.outage.is_well(),
            Err(fault) => tracing::debug!("`{}` still has no room: {fault}", self.path.display()),
        }
    }
}

/// Writes a file beside the database, to disk, and takes it away.
fn look_for_room(database: &Path) -> std::io::Result<()> {
    let mut path = database.as_os_str().to_owned();
    path.push("-room");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&path)?;
        file.write_all(&vec![0; ROOM_BYTES])?;
        file.sync_all()
    };
    let written = write();
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging()
}

/// The first three numbers of a version.
fn numbers(version: &str) -> [u32; 3] {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_libraries_that_corrupt() {
        for (version, safe) in [("3.51.2", false), ("3.51.3", true), ("3.52.0", true), ("4.0", true), ("3.6.20", false)]
        {
            assert_eq!(numbers(version) >= numbers(OLDEST_LIBRARY), safe, "{version}");
        }
    }
}
