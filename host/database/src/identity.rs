//! Whether it still is the database that was opened.
//!
//! A database that is dropped and made anew, from a dump for example, is for a while less than it
//! will be: tables without their rows, rows without their keys and triggers. Whoever works on it
//! then spoils it. A process that has opened it before can't tell when that is over, so it does
//! not touch it any more.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use sqlx::PgConnection;

use super::fault::mysql_number;

/// A database that is not touched any more.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` was dropped, restored or replaced while this program ran, which does not touch it any more: start it anew once all of it is there"
)]
pub(super) struct Replaced(Arc<str>);

/// What it is known by. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    name: Arc<str>,
    /// Tables that are made once; on PostgreSQL with the numbers of the database and of the table.
    tables: Mutex<Vec<(&'static str, Option<Numbers>)>>,
    /// Of SQLite: the numbers of the device and of the file on it.
    file: Option<(u64, u64)>,
    /// It is another one.
    replaced: OnceLock<()>,
}

/// Numbers that PostgreSQL gives once: those of a database, and of a table in it.
type Numbers = (i64, Option<i64>);

impl Identity {
    pub(super) fn of_server(name: &Arc<str>) -> Self {
        Self(Arc::new(Inner { name: Arc::clone(name), ..Inner::default() }))
    }

    /// That of the file at `path`, which is there.
    pub(super) fn of_file(name: &str, path: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        let file = Some((metadata.dev(), metadata.ino()));
        Ok(Self(Arc::new(Inner { name: name.into(), file, ..Inner::default() })))
    }

    /// Remembers `table`, which is there now; and on PostgreSQL which one it is.
    pub(super) async fn remember(
        &self,
        connection: Option<&mut PgConnection>,
        table: &'static str,
    ) -> sqlx::Result<()> {
        let numbers = match connection {
            Some(connection) => Some(numbers(connection, table).await?),
            None => None,
        };
        self.tables().push((table, numbers));
        Ok(())
    }

    /// Looks over a new connection to PostgreSQL.
    pub(super) async fn look(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let known = self.tables().clone();
        for (table, expected) in known {
            if Some(numbers(connection, table).await?) != expected {
                self.is_gone(&format!("the table `{table}` is gone, or another one"));
            }
        }
        Ok(())
    }

    /// What `fault` says of the database: the server has none of that name, or one of its tables
    /// is missing.
    pub(super) fn note(&self, fault: &sqlx::Error) {
        let Some(fault) = fault.as_database_error() else { return };
        let (code, number) = (fault.code(), mysql_number(fault));
        // "relation "events" does not exist", "Table 'shop.events' doesn't exist"
        let names = |table: &str| {
            [format!("\"{table}\""), format!(".{table}'")].iter().any(|name| fault.message().contains(name))
        };
        let is_missing = match number {
            Some(number) => number == 1146,
            None => code.as_deref() == Some("42P01"),
        };
        let is_dropped = code.as_deref() == Some("3D000") || number == Some(1049);
        if is_dropped || (is_missing && self.tables().iter().any(|(table, _)| names(table))) {
            self.is_gone(fault.message());
        }
    }

    fn tables(&self) -> MutexGuard<'_, Vec<(&'static str, Option<Numbers>)>> {
        // Each change is one call to the list.
        self.0.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is gone, or another one.
    fn is_gone(&self, sign: &str) {
        if self.0.replaced.set(()).is_ok() {
            tracing::error!("{} ({sign})", Replaced(Arc::clone(&self.0.name)));
        }
    }

    /// # Errors
    /// If it is another database than the one that was opened.
    pub(super) fn expect(&self) -> sqlx::Result<()> {
        match self.0.replaced.get() {
            Some(()) => Err(sqlx::Error::Configuration(Replaced(Arc::clone(&self.0.name)).into())),
            None => Ok(()),
        }
    }

    /// The same for a file, after a look whether it is still at `path`.
    ///
    /// # Errors
    /// As [`Identity::expect`].
    pub(super) fn expect_file(&self, path: &Path) -> sqlx::Result<()> {
        let found = std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
        match found {
            Ok(found) if Some(found) == self.0.file => {}
            Ok(_) => self.is_gone("another file is at its path"),
            Err(fault) => self.is_gone(&fault.to_string()),
        }
        self.expect()
    }
}

async fn numbers(connection: &mut PgConnection, table: &'static str) -> sqlx::Result<Numbers> {
    sqlx::query_as(
        "SELECT (SELECT d.oid::bigint FROM pg_database d WHERE d.datname = current_database()), \
         to_regclass($1)::oid::bigint",
    )
    .bind(table)
    .fetch_one(connection)
    .await
}
