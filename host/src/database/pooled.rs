//! Connections of MySQL, out of a pool, as whoever went away before an answer leaves them.
//!
//! Their driver loses track of what the server is saying if it is dropped while it reads: the
//! next one to ask would wait for ever, or take what is left for its own answer. The drivers of
//! PostgreSQL and SQLite do not.

use sqlx::mysql::MySqlConnection;
use sqlx::pool::PoolConnection;
use sqlx::{MySql, MySqlPool};
use tokio::runtime::Handle;

/// A connection that is closed when it is dropped, if what it was asked last is not answered.
#[derive(Debug)]
pub(super) struct MySqlPooled {
    connection: PoolConnection<MySql>,
    is_asked: bool,
}

impl MySqlPooled {
    pub(super) async fn acquire(pool: &MySqlPool) -> sqlx::Result<Self> {
        Ok(Self { connection: pool.acquire().await?, is_asked: false })
    }

    pub(super) fn ask(&mut self) -> &mut MySqlConnection {
        self.is_asked = true;
        &mut self.connection
    }

    pub(super) fn answered(&mut self, fault: Option<&sqlx::Error>) {
        // What the server has against a statement is an answer.
        self.is_asked = fault.is_some_and(|fault| fault.as_database_error().is_none());
    }

    async fn run(&mut self, sql: &'static str) -> sqlx::Result<()> {
        let done = sqlx::raw_sql(sql).execute(self.ask()).await;
        self.answered(done.as_ref().err());
        done.map(|_| ())
    }
}

impl Drop for MySqlPooled {
    fn drop(&mut self) {
        if self.is_asked {
            self.connection.close_on_drop();
        }
    }
}

/// A transaction that is rolled back when it is dropped, unless it was committed.
#[derive(Debug)]
pub(super) struct MySqlTransaction {
    /// None once it is over.
    connection: Option<MySqlPooled>,
}

impl MySqlTransaction {
    /// Begins it by the statements `begin`.
    pub(super) async fn begin(pool: &MySqlPool, begin: &'static str) -> sqlx::Result<Self> {
        // From here on it is this one's to undo.
        let mut transaction = Self { connection: Some(MySqlPooled::acquire(pool).await?) };
        transaction.connection().run(begin).await?;
        Ok(transaction)
    }

    #[expect(clippy::expect_used, reason = "only the end of it takes it out")]
    pub(super) fn connection(&mut self) -> &mut MySqlPooled {
        self.connection.as_mut().expect("a transaction that is not over has a connection")
    }

    pub(super) async fn commit(mut self) -> sqlx::Result<()> {
        self.connection().run("COMMIT").await?;
        drop(self.connection.take());
        Ok(())
    }
}

impl Drop for MySqlTransaction {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        match Handle::try_current() {
            Ok(runtime) if !connection.is_asked => {
                // If that fails the connection is closed, which comes to the same.
                runtime.spawn(async move { drop(connection.run("ROLLBACK").await) });
            }
            _ => connection.is_asked = true,
        }
    }
}
