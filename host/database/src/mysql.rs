//! MySQL and MariaDB: sessions as this program wants them, and what a server must be.

use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, MySqlPool};
use tokio::time::Instant;

use super::insist::{Losses, TRY_MAX};
use super::{Connections, Error};

const OLDEST_MARIADB: [u32; 2] = [10, 11];
const OLDEST_MYSQL: [u32; 2] = [8, 0];
const OLDEST_NAME: &str = "MariaDB 10.11 or MySQL 8.0";

/// Connections that look how far events can be read, and are kept for it as long as that takes.
const LOOKING: u32 = 1;

/// How many times longer than one that writes a session of MySQL may be idle that reads.
const READING_IDLE: u32 = 6;

/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 256;

/// Pools of one server's database. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    pub(super) readers: MySqlPool,
    pub(super) writers: MySqlPool,
    pub(super) flavour: Flavour,
    /// `max_allowed_packet` as it was when the database was opened.
    pub(super) packet_bytes_max: usize,
    pub(super) losses: Losses,
    pub(super) wait_max: Duration,
}

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    MySql,
    MariaDb,
}

impl Flavour {
    /// The collation under which texts are equal only if their bytes are: also in the spaces
    /// at their ends, which others of this family do not see.
    #[must_use]
    pub fn exact_collation(self) -> &'static str {
        match self {
            Self::MySql => "utf8mb4_0900_bin",
            Self::MariaDb => "utf8mb4_nopad_bin",
        }
    }
}

impl Pools {
    /// Looks the server over, and makes pools, which connect when they are asked.
    pub(super) async fn open(
        database: &str,
        options: &MySqlConnectOptions,
        connections: &Connections,
    ) -> Result<Self, Error> {
        let options = options.clone().statement_cache_capacity(STATEMENTS).disable_statement_logging();
        let open = |fault| Error::open(database, fault);
        let mut connection = connect(&options, connections.wait_max).await.map_err(open)?;
        let (flavour, packet_bytes_max) = check(database, &mut connection).await?;
        drop(connection.close().await);
        let losses = Losses::of(database);
        let wait_max = connections.wait_max;
        let pool = |max: u32, idle_max: Duration| {
            let (settings, losses) = (settings(flavour, connections, idle_max), losses.clone());
            let pool = match flavour {
                // The server ends sessions that are idle for longer.
                Flavour::MySql => MySqlPoolOptions::new().idle_timeout(idle_max / 2),
                Flavour::MariaDb => MySqlPoolOptions::new(),
            };
            pool.max_connections(max)
                .acquire_timeout(wait_max.min(TRY_MAX))
                .test_before_acquire(false)
                .before_acquire(move |connection, of| {
                    let losses = losses.clone();
                    Box::pin(async move {
                        let is_fit = !losses.cast_doubt(of.idle_for) || connection.ping().await.is_ok();
                        if !is_fit {
                            losses.note();
                        }
                        Ok(is_fit)
                    })
                })
                .after_connect(move |connection, _| {
                    let settings = settings.clone();
                    Box::pin(async move { connection.execute(AssertSqlSafe(settings)).await.map(|_| ()) })
                })
                .connect_lazy_with(options.clone())
        };
        let idle_max = connections.idle_transaction_max;
        let reading_idle_max = match flavour {
            // Else those who look now and then, taking turns with connections, would find some ended.
            Flavour::MySql => idle_max * READING_IDLE,
            Flavour::MariaDb => idle_max,
        };
        let readers = pool(connections.readers() + LOOKING, reading_idle_max);
        let writers = pool(connections.writers(), idle_max);
        Ok(Self { readers, writers, flavour, packet_bytes_max, losses, wait_max })
    }

    /// What `attempt` gives, tried until `deadline` as long as connections are lost over it.
    pub(super) async fn insist<T, F>(&self, deadline: Instant, attempt: impl Fn() -> F) -> sqlx::Result<T>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        let options = self.readers.connect_options();
        let probe = async || connect(&options, TRY_MAX).await?.close().await;
        self.losses.insist(deadline, attempt, probe).await
    }
}

/// What every session begins with, whose transactions are left alone for `idle_max` at the most.
fn settings(flavour: Flavour, connections: &Connections, idle_max: Duration) -> String {
    let wait = connections.lock_wait_max.as_secs().max(1);
    let idle = idle_max.as_secs().max(1);
    // A transaction that its owner leaves alone, for it is stopped or cut off, would keep
    // others from taking its work over. MySQL knows no such bound, but ends idle sessions.
    let idle = match flavour {
        Flavour::MariaDb => format!("idle_transaction_timeout = {idle}"),
        Flavour::MySql => format!("wait_timeout = {idle}"),
    };
    format!(
        "SET SESSION sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_ZERO_DATE,\
         NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO', SESSION innodb_lock_wait_timeout = {wait}, \
         SESSION lock_wait_timeout = {wait}, SESSION group_concat_max_len = 1048576, SESSION {idle}; \
         SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
    )
}

async fn connect(options: &MySqlConnectOptions, wait: Duration) -> sqlx::Result<MySqlConnection> {
    tokio::time::timeout(wait, options.connect()).await.map_err(|_| sqlx::Error::PoolTimedOut)?
}

/// Whose server it is, and how many bytes a statement may have.
async fn check(database: &str, connection: &mut MySqlConnection) -> Result<(Flavour, usize), Error> {
    let sql = "SELECT version(), @@global.read_only, @@max_allowed_packet";
    let (found, read_only, packet_bytes_max): (String, bool, u64) =
        sqlx::query_as(sql).fetch_one(connection).await.map_err(|fault| Error::open(database, fault))?;
    let database = database.to_owned();
    let flavour = if found.contains("MariaDB") { Flavour::MariaDb } else { Flavour::MySql };
    let oldest = if flavour == Flavour::MariaDb { OLDEST_MARIADB } else { OLDEST_MYSQL };
    if version(&found) < oldest {
        return Err(Error::TooOld { database, found, needed: OLDEST_NAME });
    }
    if read_only {
        return Err(Error::ReadOnly { database });
    }
    Ok((flavour, usize::try_from(packet_bytes_max).unwrap_or(usize::MAX)))
}

/// The first two numbers of a version.
fn version(text: &str) -> [u32; 2] {
    let mut parts = text.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(version("10.11.19-MariaDB-0+deb12u1"), [10, 11]);
        assert_eq!(version("8.0.36"), [8, 0]);
        assert!(version("5.7.44-log") < OLDEST_MYSQL && version("10.6.1-MariaDB") < OLDEST_MARIADB);
    }
}
