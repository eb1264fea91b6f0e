//! Connections out of a pool, as whoever went away before an answer leaves them.
//!
//! The driver of MySQL loses track of what the server is saying if it is dropped while it reads:
//! the next one to ask would wait for ever, or take what is left for its own answer. So does that
//! of PostgreSQL, but only while rows are copied out. That of SQLite does not.

use sqlx::pool::PoolConnection;
use sqlx::{MySql, MySqlPool};
use tokio::runtime::Handle;

use super::identity::Identity;

/// A connection that is closed when it is dropped, if what it was asked last is not answered.
#[derive(Debug)]
pub(super) struct Tracked<DB: sqlx::Database> {
    connection: PoolConnection<DB>,
    is_asked: bool,
    /// Is told what the server says of its database.
    identity: Identity,
}

impl<DB: sqlx::Database> Tracked<DB> {
    pub(super) fn new(connection: PoolConnection<DB>, identity: &Identity) -> Self {
        Self { connection, is_asked: false, identity: identity.clone() }
    }

    /// The connection, for something that the driver does not lose track of.
    pub(super) fn use_freely(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }

    /// The connection, for anything.
    pub(super) fn ask(&mut self) -> &mut DB::Connection {
        self.is_asked = true;
        &mut self.connection
    }

    pub(super) fn answered(&mut self, fault: Option<&sqlx::Error>) {
        fault.into_iter().for_each(|fault| self.identity.note(fault));
        // What the server has against a statement is an answer.
        self.is_asked = fault.is_some_and(|fault| fault.as_database_error().is_none());
    }

    /// Gives it back at once, rather than a little later, unless it is to be closed.
    pub(super) async fn release(mut self) {
        if !self.is_asked {
            self.connection.return_to_pool().await;
        }
    }
}

impl Tracked<MySql> {
    async fn run(&mut self, sql: &'static str) -> sqlx::Result<()> {
        let done = sqlx::raw_sql(sql).execute(self.ask()).await;
        self.answered(done.as_ref().err());
        done.map(|_| ())
    }
}

impl<DB: sqlx::Database> Drop for Tracked<DB> {
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
    connection: Option<Tracked<MySql>>,
}

impl MySqlTransaction {
    /// Begins it by the statements `begin`.
    pub(super) async fn begin(pool: &MySqlPool, begin: &'static str, identity: &Identity) -> sqlx::Result<Self> {
        // From here on it is this one's to undo.
        let mut transaction = Self { connection: Some(Tracked::new(pool.acquire().await?, identity)) };
        transaction.connection().run(begin).await?;
        Ok(transaction)
    }

    #[expect(clippy::expect_used, reason = "only the end of it takes it out")]
    pub(super) fn connection(&mut self) -> &mut Tracked<MySql> {
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
