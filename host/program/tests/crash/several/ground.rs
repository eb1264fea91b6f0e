//! A database on a server, with several hosts on it.

use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, PgConnection};
use tokio::runtime::Runtime;

use crate::dice::Dice;
use crate::host::{HANGS, compiled};
use crate::server::{Address, Body, Request, Server};

/// Of hosts here: the shortest there is.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
}

/// A session of a program that is no host.
#[derive(Debug)]
pub(crate) enum Session {
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
}

/// A database of its own, and what hosts on it need.
pub(crate) struct Ground {
    pub(crate) kind: Kind,
    pub(crate) dice: Dice,
    pub(crate) runtime: Runtime,
    /// Where databases are made, and the one that was.
    server: String,
    name: String,
    folder: tempfile::TempDir,
    session: Mutex<Session>,
}

/// A host and where it listens.
pub(crate) struct Host {
    pub(crate) name: &'static str,
    pub(crate) server: Server,
    pub(crate) address: Address,
}

/// A version in the database: how far it is, and who folds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) label: String,
    pub(crate) position: i64,
    pub(crate) host: String,
}

impl Kind {
    pub(crate) fn is_soak() -> bool {
        std::env::var_os("FANTASCOPE_SOAK").is_some()
    }

    fn server(self) -> &'static str {
        match self {
            Self::Postgres => "FANTASCOPE_TEST_POSTGRES",
            Self::MariaDb => "FANTASCOPE_TEST_MARIADB",
        }
    }
}

impl Session {
    pub(crate) async fn open(kind: Kind, url: &str) -> sqlx::Result<Self> {
        Ok(match kind {
            Kind::Postgres => Self::Postgres(PgConnection::connect(url).await?),
            Kind::MariaDb => Self::MariaDb(MySqlConnection::connect(url).await?),
        })
    }

    pub(crate) async fn run(&mut self, sql: &str) -> sqlx::Result<()> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Postgres(session) => sql.execute(session).await.map(|_| ()),
            Self::MariaDb(session) => sql.execute(session).await.map(|_| ()),
        }
    }

    /// The rows of a statement that gives one text each.
    pub(crate) async fn texts(&mut self, sql: &str) -> sqlx::Result<Vec<String>> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Postgres(session) => sqlx::query_scalar(sql).fetch_all(session).await,
            Self::MariaDb(session) => sqlx::query_scalar(sql).fetch_all(session).await,
        }
    }

    /// The rows of a statement that gives one number each.
    pub(crate) async fn numbers(&mut self, sql: &str) -> sqlx::Result<Vec<i64>> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Postgres(session) => sqlx::query_scalar(sql).fetch_all(session).await,
            Self::MariaDb(session) => sqlx::query_scalar(sql).fetch_all(session).await,
        }
    }
}

impl Ground {
    /// A fresh database, if a server is given.
    pub(crate) fn of(kind: Kind) -> Option<Self> {
        let Ok(server) = std::env::var(kind.server()) else {
            println!("skipped: {} is not set", kind.server());
            return None;
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let name = format!("crash_{}", uuid::Uuid::now_v7().simple());
        runtime.block_on(async {
            let mut administrator = Session::open(kind, &server).await.expect("a server");
            administrator.run(&format!("CREATE DATABASE {name}")).await.expect("a database");
        });
        let session = runtime.block_on(Session::open(kind, &url(&server, &name))).expect("a session");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("plugins")).expect("a folder for plugins");
        let (dice, session) = (Dice::new(), Mutex::new(session));
        println!("{kind:?}, {dice}");
        Some(Self { kind, dice, runtime, server, name, folder, session })
    }

    pub(crate) fn url(&self) -> String {
        url(&self.server, &self.name)
    }

    /// A host on this database; `fault` is what is broken in it, if anything.
    pub(crate) fn start(&self, name: &'static str, fault: &str) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fantascope"));
        command
            .current_dir(self.folder.path())
            .env("FANTASCOPE__STORE__URL", self.url())
            .env("FANTASCOPE__PLUGINS__DIR", self.folder.path().join("plugins"))
            .env("FANTASCOPE__PLUGINS__CACHE", compiled())
            .env("FANTASCOPE__HOSTS__NAME", name)
            .env("FANTASCOPE__HOSTS__LEASE_MS", LEASE.as_millis().to_string())
            .env("FANTASCOPE__DEPLOY__PROMOTE", "manual")
            .env("FANTASCOPE_FAULT", fault)
            .env("TMPDIR", self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Server::start(command)
    }

    /// The same, once it listens.
    pub(crate) fn host(&self, name: &'static str, fault: &str) -> Host {
        let mut server = self.start(name, fault);
        let address = server.address();
        Host { name, server, address }
    }

    pub(crate) fn run(&self, sql: &str) {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        self.runtime.block_on(session.run(sql)).unwrap_or_else(|fault| panic!("{sql}: {fault}"));
    }

    pub(crate) fn texts(&self, sql: &str) -> Vec<String> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        self.runtime.block_on(session.texts(sql)).unwrap_or_else(|fault| panic!("{sql}: {fault}"))
    }

    pub(crate) fn numbers(&self, sql: &str) -> Vec<i64> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        self.runtime.block_on(session.numbers(sql)).unwrap_or_else(|fault| panic!("{sql}: {fault}"))
    }

    /// The last position that there is.
    pub(crate) fn head(&self) -> i64 {
        self.numbers("SELECT coalesce(max(position), 0) FROM events")[0]
    }

    pub(crate) fn units(&self) -> Vec<Unit> {
        let rows = self.texts(
            "SELECT concat(c.projection, '@', c.version, ' ', c.position, ' ', coalesce(h.name, '-')) \
             FROM fantascope_checkpoints c JOIN fantascope_versions v ON v.projection = c.projection \
                AND v.version = c.version AND v.generation = c.generation AND v.state <> 'retired' \
             LEFT JOIN fantascope_hosts h ON h.host = c.owner ORDER BY c.projection, c.version",
        );
        let unit = |row: String| {
            let mut parts = row.split(' ').map(str::to_owned);
            let mut next = || parts.next().expect("a part");
            Unit { label: next(), position: next().parse().expect("a position"), host: next() }
        };
        rows.into_iter().map(unit).collect()
    }

    /// Waits until the versions are folded by these hosts, all of which fold some.
    pub(crate) fn shared_by(&self, hosts: &[&str]) -> Duration {
        self.until(&format!("shared by {hosts:?}"), || {
            let units = self.units();
            units.iter().all(|unit| hosts.contains(&unit.host.as_str()))
                && hosts.iter().all(|host| units.iter().any(|unit| unit.host == *host))
        })
    }

    /// Waits until all versions have come to `position`.
    pub(crate) fn all_at(&self, position: i64) -> Duration {
        self.until(&format!("folded up to {position}"), || self.units().iter().all(|unit| unit.position >= position))
    }

    /// Waits until it is so, and says how long that took.
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < HANGS, "not {what}: {:?}, {}", self.units(), self.dice);
            std::thread::sleep(Duration::from_millis(5));
        }
        began.elapsed()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let force = if self.kind == Kind::Postgres { " WITH (FORCE)" } else { "" };
        let sql = format!("DROP DATABASE {}{force}", self.name);
        let dropped = self.runtime.block_on(async { Session::open(self.kind, &self.server).await?.run(&sql).await });
        if let Err(fault) = dropped {
            println!("{} is left behind: {fault}", self.name);
        }
    }
}

impl Host {
    /// Uploads a plugin, and waits for the answer.
    pub(crate) fn deploy(&self, file: &str, bytes: Vec<u8>) {
        let path = format!("/v1/plugins/{file}.wasm?promote=manual");
        self.ask(&Request { kind: "deploy", path, body: Body::Component(bytes), events: 0 });
    }

    /// Deploys a version of `slides` by the command that waits until it is built.
    pub(crate) fn deploy_and_wait(&self, bytes: &[u8]) -> Output {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("slides.wasm");
        std::fs::write(&file, bytes).expect("a plugin");
        let mut command = Command::new(env!("CARGO_BIN_EXE_fantascope"));
        command.current_dir(&folder).args(["--server", self.address.url(), "plugin", "deploy", "--wait"]).arg(&file);
        command.output().expect("it runs")
    }

    pub(crate) fn ask(&self, request: &Request) {
        let answer = self.address.ask(request).unwrap_or_else(|| panic!("no answer to {request:?}"));
        assert!(answer.status < 300, "{request:?}: {answer:?}");
    }
}

/// Where the database `name` is on a server.
fn url(server: &str, name: &str) -> String {
    let (start, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{start}/{name}")
}

/// The shortest, the one in the middle, and the longest, in milliseconds.
pub(crate) fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |index: usize| times.get(index).map_or(0, Duration::as_millis);
    let last = times.len().saturating_sub(1);
    format!("{} times: {} / {} / {} ms (least, median, most)", times.len(), at(0), at(last / 2), at(last))
}
