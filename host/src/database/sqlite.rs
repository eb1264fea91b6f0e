//! SQLite: one file, one writer at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr as _, SqliteConnection, SqlitePool};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Older libraries can corrupt a database when the WAL is reset (fixed in 3.51.3).
const OLDEST_LIBRARY: (u32, u32, u32) = (3, 51, 3);

/// "Fans", so that a file of another program is not taken for one of ours.
const APPLICATION_ID: i64 = 0x4661_6e73;

/// Other processes that write to the same file are waited for this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// What can go wrong with a database as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("`{url}` is not a database this version can use: it takes `sqlite:PATH`")]
    Url { url: String },
    #[error("the SQLite library is {found}, but only {}.{}.{} and later keep a database safe", OLDEST_LIBRARY.0, OLDEST_LIBRARY.1, OLDEST_LIBRARY.2)]
    Library { found: String },
    #[error("`{}` is a database of another program", path.display())]
    Foreign { path: PathBuf },
    #[error("`{}` was written by a newer version of fantascope: run that version, or restore an older copy", path.display())]
    Newer { path: PathBuf },
    #[error("cannot open `{}`: {source}", path.display())]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("cannot migrate `{}`: {source}", path.display())]
    Migrate { path: PathBuf, source: sqlx::migrate::MigrateError },
}

/// Whether a commit outlives a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Synced to disk before the commit returns: for events.
    Full,
    /// Never torn, but the last commits may be gone after a power failure: for
    /// read models, which are folded again from the checkpoint that went with them.
    Normal,
}

/// A database file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    path: PathBuf,
    /// Whoever writes holds it, in the order of asking. Without it writers of this
    /// process would meet in SQLite's busy handler, which sleeps instead of queueing.
    turn: Arc<Mutex<()>>,
}

impl Database {
    /// Opens the file that `url` names, or makes it.
    ///
    /// # Errors
    /// If the URL, the file or the library is not fit for use.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let path = path_of(url).ok_or_else(|| Error::Url { url: url.to_owned() })?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|source| Error::Open { path: path.clone(), source: sqlx::Error::Io(source) })?;
        }
        let database = Self { path, turn: Arc::default() };
        database.check().await?;
        Ok(database)
    }

    /// Whether `url` names a file that is there already.
    #[must_use]
    pub fn exists(url: &str) -> bool {
        path_of(url).is_some_and(|path| path.exists())
    }

    async fn check(&self) -> Result<(), Error> {
        let open = |source| Error::Open { path: self.path.clone(), source };
        let mut connection = self.writer(Durability::Full).await.map_err(open)?;
        let (version,): (String,) =
            sqlx::query_as("SELECT sqlite_version()").fetch_one(&mut connection).await.map_err(open)?;
        if !is_at_least(&version, OLDEST_LIBRARY) {
            return Err(Error::Library { found: version });
        }
        let (id,): (i64,) = sqlx::query_as("PRAGMA application_id").fetch_one(&mut connection).await.map_err(open)?;
        let (tables,): (i64,) =
            sqlx::query_as("SELECT count(*) FROM sqlite_schema").fetch_one(&mut connection).await.map_err(open)?;
        if id != APPLICATION_ID && (id != 0 || tables != 0) {
            return Err(Error::Foreign { path: self.path.clone() });
        }
        if id != APPLICATION_ID {
            let statement = format!("PRAGMA application_id = {APPLICATION_ID}");
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.map_err(open)?;
        }
        connection.close().await.map_err(open)
    }

    /// Brings the tables of one concern up to date. `migrations` are (number, name, SQL).
    ///
    /// # Errors
    /// If one fails, or the database has one that is not known here.
    pub async fn migrate(
        &self,
        table: &'static str,
        migrations: &[(i64, &'static str, &'static str)],
    ) -> Result<(), Error> {
        let open = |source| Error::Open { path: self.path.clone(), source };
        let migration = |&(number, name, sql): &(i64, &'static str, &'static str)| {
            Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        };
        let mut migrator = Migrator::with_migrations(migrations.iter().map(migration).collect());
        migrator.dangerous_set_table_name(table);
        let _turn = self.turn_to_write().await;
        let mut connection = self.writer(Durability::Full).await.map_err(open)?;
        migrator.run(&mut connection).await.map_err(|source| match source {
            sqlx::migrate::MigrateError::VersionMissing(_) => Error::Newer { path: self.path.clone() },
            source => Error::Migrate { path: self.path.clone(), source },
        })?;
        connection.close().await.map_err(open)
    }

    /// A connection that writes. Hold the turn (`turn_to_write`) while a transaction is open.
    ///
    /// # Errors
    /// If the file can't be opened.
    pub async fn writer(&self, durability: Durability) -> sqlx::Result<SqliteConnection> {
        let synchronous = match durability {
            Durability::Full => SqliteSynchronous::Full,
            Durability::Normal => SqliteSynchronous::Normal,
        };
        self.options()
            .create_if_missing(true)
            .synchronous(synchronous)
            .pragma("cache_size", "-8192")
            .pragma("wal_autocheckpoint", "4000")
            .connect()
            .await
    }

    /// A pool of at most `size` connections that can only read.
    #[must_use]
    pub fn readers(&self, size: u32) -> SqlitePool {
        // Pages of events are read once, and rows that are read again are kept by those who
        // need them: a larger cache of each connection would only take memory.
        let options = self.options().read_only(true).pragma("cache_size", "-4096");
        SqlitePoolOptions::new().max_connections(size).connect_lazy_with(options)
    }

    /// Waits for the turn to write and keeps it until dropped.
    pub async fn turn_to_write(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(256)
            .disable_statement_logging()
    }
}

fn path_of(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("sqlite:")?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    (!path.is_empty() && path != ":memory:").then(|| PathBuf::from(path))
}

fn is_at_least(version: &str, oldest: (u32, u32, u32)) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next()) >= oldest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_libraries_that_corrupt() {
        for (version, safe) in [("3.51.2", false), ("3.51.3", true), ("3.52.0", true), ("4.0", true), ("3.6.20", false)]
        {
            assert_eq!(is_at_least(version, OLDEST_LIBRARY), safe, "{version}");
        }
    }

    #[test]
    fn reads_urls() {
        for (url, path) in [
            ("sqlite:a.db", Some("a.db")),
            ("sqlite:///tmp/a.db", Some("/tmp/a.db")),
            ("postgres://x", None),
            ("sqlite:", None),
            ("sqlite::memory:", None),
        ] {
            assert_eq!(path_of(url), path.map(PathBuf::from), "{url}");
        }
    }
}
