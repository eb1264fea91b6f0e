//! A host in a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fantascope::change::VersionId;
use fantascope::database::{Database, Dialect, Durability, Link, Row, Session as _, query};
use fantascope::guest::{Admitted, Kind, Sandbox, Settings};
use fantascope::limits::Limits;
use fantascope::projection::{Projections, Resources, Status, Upcasters, sandboxed};
use fantascope::read_model::{Query, ReadModel};
use fantascope::store::Store;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::guests::guest;

/// How often appends of other processes are looked for, in tests.
const POLL: Duration = Duration::from_millis(5);

/// In which database tests are run that do not say so: `sqlite`, `postgres` or `mariadb`.
const DATABASE: &str = "FANTASCOPE_TEST_DATABASE";

/// A folder with a store and read models, in it or in a database of their own.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) limits: Limits,
    url: String,
}

/// A database, past the host.
pub(crate) struct Raw(pub(crate) Database);

/// A running host.
pub(crate) struct Host {
    pub(crate) store: Store,
    pub(crate) read_model: ReadModel,
    pub(crate) projections: Projections,
    ids: Vec<VersionId>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let kind = std::env::var(DATABASE).unwrap_or_else(|_| "sqlite".to_owned());
        Self::of_kind(&kind, limits).unwrap_or_else(|| panic!("{DATABASE} is {kind}, but no such server is given"))
    }

    /// One in a file, whatever the others are in.
    pub(crate) fn on_file() -> Self {
        Self::of_kind("sqlite", Limits::default()).unwrap()
    }

    /// One in a file below `path`.
    pub(crate) fn in_folder(path: &Path, limits: Limits) -> Self {
        let folder = tempfile::tempdir_in(path).unwrap();
        let url = format!("sqlite:{}", folder.path().join("store.sqlite").display());
        Self { folder, limits, url }
    }

    /// One in a database of its own; none if no such server is given.
    pub(crate) fn of_kind(kind: &str, limits: Limits) -> Option<Self> {
        match kind {
            "postgres" => Some(Self::on_server(&std::env::var("FANTASCOPE_TEST_POSTGRES").ok()?, limits)),
            "mariadb" => Some(Self::on_server(&std::env::var("FANTASCOPE_TEST_MARIADB").ok()?, limits)),
            _ => Some(Self::in_folder(&std::env::temp_dir(), limits)),
        }
    }

    /// One in a database of its own on the server whose administration is at `server`.
    pub(crate) fn on_server(server: &str, limits: Limits) -> Self {
        let name = format!("t_{}", uuid::Uuid::now_v7().simple());
        let url = if server.starts_with("postgres") {
            format!("{server}?options[search_path]={name}")
        } else {
            format!("{}/{name}", server.rsplit_once('/').unwrap().0)
        };
        Self { folder: tempfile::tempdir().unwrap(), limits, url }
    }

    /// One in the database at `url`, which is there.
    pub(crate) fn in_database(url: &str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), limits: Limits::default(), url: url.to_owned() }
    }

    /// Another folder on the same database.
    pub(crate) fn beside(&self) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), limits: self.limits.clone(), url: self.url.clone() }
    }

    /// Where the database is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// A sandbox whose compiled code all tests share: it depends on nothing else.
    pub(crate) fn sandbox(&self) -> Sandbox {
        self.sandbox_with_cache(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"))
    }

    pub(crate) fn sandbox_with_cache(&self, cache: &Path) -> Sandbox {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_fantascope"));
        Sandbox::new(Settings { program, cache: cache.to_owned(), limits: self.limits.clone() }).unwrap()
    }

    pub(crate) async fn database(&self) -> Database {
        self.make_database().await;
        Database::at(&self.url).await.unwrap()
    }

    /// Makes the schema or database, if there is a server to make it in.
    async fn make_database(&self) {
        if let Some((server, name)) = self.url.split_once("?options[search_path]=") {
            Raw(Database::at(server).await.unwrap()).run(&format!("CREATE SCHEMA IF NOT EXISTS {name}")).await.unwrap();
        } else if let Some((server, name)) = self.url.rsplit_once('/').filter(|(start, _)| start.starts_with("mysql")) {
            let server = Database::at(&format!("{server}/mysql")).await.unwrap();
            Raw(server).run(&format!("CREATE DATABASE IF NOT EXISTS {name}")).await.unwrap();
        }
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.database().await, &self.limits).await.unwrap()
    }

    /// The database past the host.
    pub(crate) async fn raw(&self) -> Raw {
        Raw(self.database().await)
    }

    /// Runs `guests`, upcasters among them or not.
    pub(crate) async fn start(&self, guests: &[&str]) -> Host {
        self.start_over(None, guests).await
    }

    /// The same, over a store that is somewhere else.
    pub(crate) async fn start_over(&self, store: Option<Store>, guests: &[&str]) -> Host {
        let sandbox = self.sandbox();
        let admitted: Vec<Admitted> = guests.iter().map(|name| sandbox.admit(&guest(name)).unwrap()).collect();
        let upcasters = admitted.iter().filter_map(|admitted| match &admitted.kind {
            Kind::Upcaster(plugin) => Some((admitted.digest, plugin.clone())),
            Kind::Projection(_) => None,
        });
        let upcasters = Upcasters::new(upcasters.collect()).unwrap();
        let database = self.database().await;
        let store = match store {
            Some(store) => store,
            None => Store::open(&database, &self.limits).await.unwrap(),
        };
        let read_model = ReadModel::open(&database).await.unwrap();
        let projections = Projections::new(Resources {
            store: store.clone(),
            read_model: read_model.clone(),
            upcasters,
            limits: self.limits.clone(),
            poll: POLL,
        });
        let mut ids = Vec::new();
        for Admitted { digest, kind, .. } in admitted {
            if let Kind::Projection(plugin) = kind {
                let manifest = Arc::clone(&plugin.manifest);
                ids.push(projections.start(manifest, digest, sandboxed(plugin)).await.unwrap());
            }
        }
        Host { store, read_model, projections, ids }
    }

    /// Runs `guests` until each has caught up or failed, and stops them.
    pub(crate) async fn run(&self, guests: &[&str]) -> Host {
        let host = self.start(guests).await;
        host.caught_up().await;
        host.projections.drain().await;
        host
    }

    /// All rows of all read models, as the host gives them.
    pub(crate) async fn dump(&self) -> Vec<String> {
        let read_model = ReadModel::open(&self.database().await).await.unwrap();
        let mut dump = Vec::new();
        for version in read_model.versions().await.unwrap() {
            for table in &version.tables {
                let query = Query { limit: 1_000_000, ..Query::default() };
                let found = read_model.query(&version.id, table, &query).await.unwrap();
                let name = format!("{} {}", version.id.label(), table.name);
                dump.extend(found.rows.into_iter().map(|row| format!("{name}: {}", Value::Object(row))));
            }
        }
        dump
    }
}

impl Raw {
    pub(crate) fn dialect(&self) -> Dialect {
        self.0.dialect()
    }

    /// Runs a statement, and gives how many rows it wrote.
    pub(crate) async fn run(&self, sql: &str) -> sqlx::Result<u64> {
        let mut transaction = self.0.begin(Durability::Full).await?;
        let written = match transaction.link() {
            // Which does not prepare all that it can do.
            Link::MySql(session) => {
                let written = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(session).await;
                transaction.answered(written.as_ref().err());
                written?.rows_affected()
            }
            _ => query(sql.to_owned()).execute(&mut transaction).await?,
        };
        transaction.commit().await?;
        Ok(written)
    }

    /// What MySQL says to a statement that it does not prepare.
    pub(crate) async fn told(&self, sql: &str) -> Vec<Row> {
        let mut session = self.0.read().await.unwrap();
        let Link::MySql(link) = session.link() else { panic!("for MySQL") };
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(link).await.unwrap();
        session.answered(None);
        rows.into_iter().map(Row::MySql).collect()
    }

    pub(crate) async fn rows(&self, sql: &str) -> Vec<Row> {
        query(sql.to_owned()).all(&mut self.0.read().await.unwrap()).await.unwrap()
    }
}

impl Host {
    /// Waits until each version has folded all that is committed by now, or rests. That the head
    /// has come to the last event is waited for: on MySQL that takes as long as it takes.
    pub(crate) async fn caught_up(&self) {
        let events = Raw(self.store.database().clone());
        let last: i64 = events.rows("SELECT coalesce(max(position), 0) FROM events").await[0].at(0).unwrap();
        while self.store.refresh_head().await.unwrap().0 < last.cast_unsigned() {
            tokio::time::sleep(POLL).await;
        }
        self.projections.caught_up().await;
    }

    pub(crate) fn status(&self, projection: &str) -> Status {
        let statuses = self.projections.board().statuses(self.store.head());
        statuses.into_iter().find(|status| status.projection == projection).unwrap()
    }

    /// All rows of a table, by key.
    pub(crate) async fn rows(&self, projection: &str, table: &str) -> Vec<Value> {
        let (id, definition) = self.projections.board().table(projection, table, |_, live| live).unwrap();
        let query = Query { limit: 1_000_000, ..Query::default() };
        let found = self.read_model.query(&id, &definition, &query).await.unwrap();
        found.rows.into_iter().map(Value::Object).collect()
    }

    /// The checkpoint as it is in the database, which is all that counts after a crash.
    pub(crate) async fn checkpoint(&self, projection: &str) -> u64 {
        let id = self.ids.iter().find(|id| id.projection.as_str() == projection).unwrap();
        let versions = self.read_model.versions().await.unwrap();
        versions.iter().find(|version| version.id == *id).unwrap().position().0
    }
}
