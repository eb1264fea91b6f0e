//! PostgreSQL: sessions as this program wants them, and what a server must be.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::time::Instant;

use super::identity::Identity;
use super::insist::{Losses, TRY_MAX};
use super::{Connections, Error};

/// As `server_version_num` counts.
const OLDEST: i64 = 150_000;
const OLDEST_NAME: &str = "15";

/// Listeners of one host: one for appends, and one for what other hosts change.
const LISTENERS: u32 = 2;

/// The server takes messages, and keeps values, of so many bytes (`MaxAllocSize`).
pub(super) const MESSAGE_BYTES_MAX: usize = 0x3fff_ffff;

/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 256;

/// Pools of one server's database. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    pub(super) readers: PgPool,
    pub(super) writers: PgPool,
    /// Connections that listen, and are never given back.
    pub(super) listeners: PgPool,
    pub(super) losses: Losses,
    pub(super) wait_max: Duration,
}

impl Pools {
    /// Looks the server over, and makes pools, which connect when they are asked.
    pub(super) async fn open(
        database: &str,
        options: &PgConnectOptions,
        connections: &Connections,
        identity: &Identity,
    ) -> Result<Self, Error> {
        // A transaction that its owner leaves alone, for it is stopped or cut off, would keep
        // others from taking its work over; and nobody waits for a lock for ever.
        let idle = connections.idle_transaction_max.as_millis().to_string();
        let wait = connections.lock_wait_max.as_millis().to_string();
        let options = options
            .clone()
            .statement_cache_capacity(STATEMENTS)
            .options([
                ("idle_in_transaction_session_timeout", idle),
                ("lock_timeout", wait),
                ("timezone", "UTC".into()),
                // As long as the planner has no figures of a table it takes bitmaps, and sorts then.
                ("enable_bitmapscan", "off".into()),
            ])
            .disable_statement_logging();
        let mut connection =
            connect(&options, connections.wait_max).await.map_err(|fault| Error::open(database, fault))?;
        check(database, &mut connection).await?;
        drop(connection.close().await);
        let losses = Losses::of(database);
        let wait_max = connections.wait_max;
        let pool = |max: u32| {
            let (losses, identity) = (losses.clone(), identity.clone());
            PgPoolOptions::new()
                .max_connections(max)
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
                    let identity = identity.clone();
                    Box::pin(async move { identity.look(connection).await })
                })
                .connect_lazy_with(options.clone())
        };
        let (readers, writers) = (pool(connections.readers()), pool(connections.writers()));
        Ok(Self { readers, writers, listeners: pool(LISTENERS), losses, wait_max })
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

async fn connect(options: &PgConnectOptions, wait: Duration) -> sqlx::Result<PgConnection> {
    tokio::time::timeout(wait, options.connect()).await.map_err(|_| sqlx::Error::PoolTimedOut)?
}

async fn check(database: &str, connection: &mut PgConnection) -> Result<(), Error> {
    let (number, found, encoding, standby, read_only): (String, String, String, bool, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num'), current_setting('server_version'), \
         current_setting('server_encoding'), pg_is_in_recovery(), current_setting('transaction_read_only')",
    )
    .fetch_one(connection)
    .await
    .map_err(|fault| Error::open(database, fault))?;
    let database = database.to_owned();
    if is_too_old(&number) {
        return Err(Error::TooOld { database, found, needed: OLDEST_NAME });
    }
    if standby || read_only == "on" {
        return Err(Error::ReadOnly { database });
    }
    if encoding != "UTF8" {
        return Err(Error::Encoding { database, found: encoding });
    }
    Ok(())
}

fn is_too_old(number: &str) -> bool {
    number.parse::<i64>().unwrap_or(0) < OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_servers_that_are_too_old() {
        for (number, refused) in [("140019", true), ("150000", false), ("180001", false), ("", true)] {
            assert_eq!(is_too_old(number), refused, "{number}");
        }
        let fault = Error::TooOld { database: "a".into(), found: "14.19".into(), needed: OLDEST_NAME };
        assert_eq!(fault.to_string(), "`a` is a server of version 14.19: this program needs 15 or later");
    }
}
