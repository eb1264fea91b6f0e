//! A database: opened, looked over, and ready to give connections.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Connections;
use super::fault::is_lost;
use super::identity::Identity;
use super::pooled::{MySqlTransaction, Tracked};
use super::session::{Begun, Connection, Direct, Link, Pooled, Session as _, Transaction, Writer};
use super::{Address, Dialect, Error, Flavour, Outage, mysql, postgres, sqlite};

/// How long is waited for what is still read from a file that is to be closed.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Whether a commit outlives a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Synced to disk before the commit returns: for events.
    Full,
    /// Never torn, but the last commits may be gone after a power failure: for
    /// read models, which are folded again from the checkpoint that went with them.
    /// MySQL has no such choice by session.
    Normal,
}

/// A database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    name: Arc<str>,
    pub(super) engine: Engine,
    identity: Identity,
}

#[derive(Clone, Debug)]
pub(super) enum Engine {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Pools),
    MySql(mysql::Pools),
}

/// How a pool of connections stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    pub name: &'static str,
    /// Connections that are open; those that nobody uses; and how many there may be.
    pub open: u32,
    pub idle: usize,
    pub max: u32,
}

impl PoolStatus {
    fn of<DB: sqlx::Database>(name: &'static str, pool: &sqlx::Pool<DB>) -> Self {
        Self { name, open: pool.size(), idle: pool.num_idle(), max: pool.options().get_max_connections() }
    }
}

impl Database {
    /// Opens the database at `address`; a file is made where there is none.
    ///
    /// # Errors
    /// If it can't be reached, or is not fit for use; nothing was written then.
    pub async fn open(address: &Address, connections: &Connections) -> Result<Self, Error> {
        let name: Arc<str> = address.to_string().into();
        let server = Identity::of_server(&name);
        let (engine, identity) = match address {
            Address::Sqlite(path) => {
                let file = sqlite::Sqlite::open(path.clone(), connections.max).await?;
                let identity = Identity::of_file(&name, path);
                (Engine::Sqlite(file), identity.map_err(|fault| Error::open(&name, fault.into()))?)
            }
            Address::Postgres(options) => {
                (Engine::Postgres(postgres::Pools::open(&name, options, connections, &server).await?), server)
            }
            Address::MySql(options) => (Engine::MySql(mysql::Pools::open(&name, options, connections).await?), server),
        };
        Ok(Self { name, engine, identity })
    }

    /// Opens the database at `url`, with connections as by default.
    ///
    /// # Errors
    /// As [`Database::open`], and if `url` is none.
    pub async fn at(url: &str) -> Result<Self, Error> {
        let address = Address::parse(url, None).map_err(Error::Url)?;
        Self::open(&address, &Connections::default()).await
    }

    /// # Errors
    /// If it is not the database any more that was opened: it was dropped, restored or replaced.
    pub fn expect_same(&self) -> sqlx::Result<()> {
        self.identity.expect()
    }

    /// Whether `other` is the same handle: what is in both can be asked for by one statement.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.name, &other.name)
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose SQL it speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.engine {
            Engine::Sqlite(_) => Dialect::Sqlite,
            Engine::Postgres(_) => Dialect::Postgres,
            Engine::MySql(_) => Dialect::MySql,
        }
    }

    /// Whose server it is, of those that speak as MySQL does.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        match &self.engine {
            Engine::MySql(pools) => pools.flavour,
            _ => Flavour::MySql,
        }
    }

    /// A connection for reading. What it reads is committed, and each statement sees anew.
    ///
    /// # Errors
    /// If none becomes free in time, or the server is away.
    pub async fn read(&self) -> sqlx::Result<Connection> {
        self.of_the_same(async {
            Ok(Connection(match &self.engine {
                Engine::Sqlite(file) => Pooled::Sqlite(file.readers.acquire().await?),
                Engine::Postgres(pools) => {
                    let connection = pools.insist(self.deadline(), || pools.readers.acquire()).await?;
                    Pooled::Postgres(Tracked::new(connection, &self.identity))
                }
                Engine::MySql(pools) => {
                    let connection = pools.insist(self.deadline(), || pools.readers.acquire()).await?;
                    Pooled::MySql(Tracked::new(connection, &self.identity))
                }
            }))
        })
        .await
    }

    /// What `acquire` gives, unless the database is not the one any more that was opened.
    async fn of_the_same<T>(&self, acquire: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        match &self.engine {
            Engine::Sqlite(file) => self.identity.expect_file(&file.path)?,
            _ => self.identity.expect()?,
        }
        let acquired = acquire.await.inspect_err(|fault| self.identity.note(fault));
        // A connection that was made for it may have found another database.
        self.identity.expect()?;
        acquired
    }

    /// Takes `table` for a sign of what database it is: a table that is made once and never again.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn remember(&self, table: &'static str) -> sqlx::Result<()> {
        let mut connection = self.read().await?;
        match connection.link() {
            Link::Postgres(connection) => self.identity.remember(Some(connection), table).await,
            _ => self.identity.remember(None, table).await,
        }
    }

    /// Begins a transaction that writes. On SQLite it waits for the turn to write, and has it
    /// alone; elsewhere several write at once.
    ///
    /// # Errors
    /// As [`Database::read`].
    pub async fn begin(&self, durability: Durability) -> sqlx::Result<Transaction> {
        self.begin_by(durability, self.deadline()).await
    }

    /// The same, waiting for a connection no longer than until `deadline`. A file is waited for
    /// as long as it takes: others in this process have their turn before.
    ///
    /// # Errors
    /// As [`Database::read`].
    pub async fn begin_by(&self, durability: Durability, deadline: Instant) -> sqlx::Result<Transaction> {
        self.of_the_same(async {
            Ok(Transaction(match &self.engine {
                Engine::Sqlite(file) => Begun::Sqlite(file.turn(durability).await?.begin().await?),
                Engine::Postgres(pools) => {
                    let begin = match durability {
                        Durability::Full => "BEGIN",
                        Durability::Normal => "BEGIN; SET LOCAL synchronous_commit = off",
                    };
                    Begun::Postgres(pools.insist(deadline, || pools.writers.begin_with(begin)).await?)
                }
                Engine::MySql(pools) => {
                    let begin = || MySqlTransaction::begin(&pools.writers, "BEGIN", &self.identity);
                    Begun::MySql(pools.insist(deadline, begin).await?)
                }
            }))
        })
        .await
    }

    /// A connection on which each statement is a transaction of its own. On SQLite it is waited for
    /// as by [`Database::begin_by`].
    ///
    /// # Errors
    /// As [`Database::read`].
    pub async fn writer(&self, deadline: Instant) -> sqlx::Result<Writer> {
        self.of_the_same(async {
            let direct = match &self.engine {
                Engine::Sqlite(file) => Direct::Sqlite(file.turn(Durability::Full).await?),
                Engine::Postgres(pools) => {
                    let connection = pools.insist(deadline, || pools.writers.acquire()).await?;
                    Direct::Postgres(Tracked::new(connection, &self.identity))
                }
                Engine::MySql(pools) => {
                    let connection = pools.insist(deadline, || pools.writers.acquire()).await?;
                    Direct::MySql(Tracked::new(connection, &self.identity))
                }
            };
            Ok(Writer { direct, used: Instant::now() })
        })
        .await
    }

    /// Whether `writer` is believed to work still, and on the same database.
    #[must_use]
    pub fn trusts(&self, writer: &Writer) -> bool {
        match &self.engine {
            _ if self.identity.expect().is_err() => false,
            Engine::Sqlite(_) => true,
            Engine::Postgres(pools) => !pools.losses.cast_doubt(writer.used.elapsed()),
            Engine::MySql(pools) => !pools.losses.cast_doubt(writer.used.elapsed()),
        }
    }

    /// So many bytes a statement may have at the most, its values included, and so each row.
    #[must_use]
    pub fn statement_bytes_max(&self) -> usize {
        match &self.engine {
            Engine::Sqlite(_) => sqlite::VALUE_BYTES_MAX,
            Engine::Postgres(_) => postgres::MESSAGE_BYTES_MAX,
            Engine::MySql(pools) => pools.packet_bytes_max,
        }
    }

    /// How many transactions may write at once, in this process.
    #[must_use]
    pub fn writers(&self) -> u32 {
        match &self.engine {
            Engine::Sqlite(_) => 1,
            Engine::Postgres(pools) => pools.writers.options().get_max_connections(),
            Engine::MySql(pools) => pools.writers.options().get_max_connections(),
        }
    }

    /// How its pools of connections stand, for people. Of a file the turn to write is no pool.
    pub fn pools(&self) -> impl Iterator<Item = PoolStatus> {
        let pools = match &self.engine {
            Engine::Sqlite(file) => [Some(PoolStatus::of("readers", &file.readers)), None],
            Engine::Postgres(pools) => {
                [Some(PoolStatus::of("readers", &pools.readers)), Some(PoolStatus::of("writers", &pools.writers))]
            }
            Engine::MySql(pools) => {
                [Some(PoolStatus::of("readers", &pools.readers)), Some(PoolStatus::of("writers", &pools.writers))]
            }
        };
        pools.into_iter().flatten()
    }

    /// How long anything that begins now waits for a connection.
    #[must_use]
    pub fn wait_max(&self) -> Duration {
        match &self.engine {
            Engine::Sqlite(_) => Connections::default().wait_max,
            Engine::Postgres(pools) => pools.wait_max,
            Engine::MySql(pools) => pools.wait_max,
        }
    }

    /// Whether it is away, or takes nothing that is written; as far as this process has noticed.
    #[must_use]
    pub fn outage(&self) -> &Outage {
        match &self.engine {
            Engine::Sqlite(file) => &file.outage,
            Engine::Postgres(pools) => &pools.losses.outage,
            Engine::MySql(pools) => &pools.losses.outage,
        }
    }

    /// Changes whenever it was noticed that a connection was lost; never of a file.
    #[must_use]
    pub fn losses(&self) -> watch::Receiver<u64> {
        match &self.engine {
            Engine::Sqlite(_) => watch::channel(0).1,
            Engine::Postgres(pools) => pools.losses.watch(),
            Engine::MySql(pools) => pools.losses.watch(),
        }
    }

    /// Whoever met `fault` while using a connection says so, for others may be lost too.
    pub fn note(&self, fault: &sqlx::Error) {
        self.identity.note(fault);
        match &self.engine {
            Engine::Postgres(pools) if is_lost(fault) => pools.losses.note(),
            Engine::MySql(pools) if is_lost(fault) => pools.losses.note(),
            _ => {}
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.wait_max()
    }

    /// Begins to look at the database as it stands now, whatever is committed meanwhile.
    ///
    /// # Errors
    /// As [`Database::read`].
    pub async fn snapshot(&self) -> sqlx::Result<Transaction> {
        self.identity.expect()?;
        Ok(Transaction(match &self.engine {
            Engine::Sqlite(file) => {
                let mut transaction = file.readers.begin().await?;
                // What a transaction sees is fixed by the first read in it, not by its beginning.
                sqlx::query("SELECT 1 FROM sqlite_schema LIMIT 1").fetch_optional(&mut *transaction).await?;
                Begun::SqliteSnapshot(transaction)
            }
            Engine::Postgres(pools) => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1";
                // What a transaction sees is fixed by the first statement in it.
                Begun::Postgres(pools.insist(self.deadline(), || pools.readers.begin_with(begin)).await?)
            }
            Engine::MySql(pools) => {
                // Only the next transaction of the session is like that.
                let begin = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
                             START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
                let begin = || MySqlTransaction::begin(&pools.readers, begin, &self.identity);
                Begun::MySql(pools.insist(self.deadline(), begin).await?)
            }
        }))
    }

    /// Closes a file, so that there is nothing beside it that belongs to it, unless another
    /// process has it open. Connections to servers end with the process.
    pub async fn close(&self) {
        let Engine::Sqlite(file) = &self.engine else { return };
        // Another file in its place is none of ours.
        if self.identity.expect_file(&file.path).is_err() {
            return;
        }
        let closed = tokio::time::timeout(CLOSE_MAX, file.close()).await;
        if let Err(fault) = closed.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
            tracing::warn!("`{}-wal` may hold the last writes to `{0}`: copy both ({fault})", self.name);
        }
    }

    /// Listens to the notifications of `channel`, where the database has such.
    ///
    /// # Errors
    /// If the server is away.
    pub async fn listen(&self, channel: &str) -> sqlx::Result<Option<PgListener>> {
        let Engine::Postgres(pools) = &self.engine else { return Ok(None) };
        self.identity.expect()?;
        let mut listener = PgListener::connect_with(&pools.listeners).await?;
        listener.listen(channel).await?;
        Ok(Some(listener))
    }
}
