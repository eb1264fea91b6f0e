//! A host in a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fantascope::change::VersionId;
use fantascope::database::Database;
use fantascope::guest::{Admitted, Kind, Sandbox, Settings};
use fantascope::limits::Limits;
use fantascope::projection::{Projections, Resources, Status, Upcasters, sandboxed};
use fantascope::read_model::{Query, ReadModel};
use fantascope::store::Store;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use crate::guests::guest;

/// How often appends of other processes are looked for, in tests.
const POLL: Duration = Duration::from_millis(5);

/// A folder with a store and read models in it.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) limits: Limits,
}

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
        Self { folder: tempfile::tempdir().unwrap(), limits }
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
        Database::at(&format!("sqlite:{}", self.path("store.sqlite").display())).await.unwrap()
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.database().await, &self.limits).await.unwrap()
    }

    /// A connection past the host, which may write.
    pub(crate) async fn raw(&self) -> SqliteConnection {
        SqliteConnection::connect(&format!("sqlite:{}", self.path("store.sqlite").display())).await.unwrap()
    }

    /// Runs `guests`, upcasters among them or not.
    pub(crate) async fn start(&self, guests: &[&str]) -> Host {
        let sandbox = self.sandbox();
        let admitted: Vec<Admitted> = guests.iter().map(|name| sandbox.admit(&guest(name)).unwrap()).collect();
        let upcasters = admitted.iter().filter_map(|admitted| match &admitted.kind {
            Kind::Upcaster(plugin) => Some(plugin.clone()),
            Kind::Projection(_) => None,
        });
        let upcasters = Upcasters::new(upcasters.collect()).unwrap();
        let database = self.database().await;
        let store = Store::open(&database, &self.limits).await.unwrap();
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
        host.projections.caught_up().await;
        host.projections.drain().await;
        host
    }

    /// All tables of read models, with every row and its bytes, as SQL literals.
    pub(crate) async fn dump(&self) -> Vec<String> {
        let mut connection = self.raw().await;
        let tables: Vec<(String,)> = sqlx::query_as(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '%\\_\\_%' ESCAPE '\\' ORDER BY name",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let mut dump = Vec::new();
        for (table,) in tables {
            let columns: Vec<(String, i64)> = sqlx::query_as("SELECT name, pk FROM pragma_table_info(?)")
                .bind(table.clone())
                .fetch_all(&mut connection)
                .await
                .unwrap();
            let mut key: Vec<&(String, i64)> = columns.iter().filter(|(_, key)| *key > 0).collect();
            key.sort_by_key(|(_, key)| key);
            let key: Vec<String> = key.into_iter().map(|(name, _)| format!("\"{name}\"")).collect();
            let cells: Vec<String> = columns.iter().map(|(name, _)| format!("quote(\"{name}\")")).collect();
            let sql = format!("SELECT {} FROM \"{table}\" ORDER BY {}", cells.join(" || ', ' || "), key.join(", "));
            let rows: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
            dump.extend(rows.into_iter().map(|(row,)| format!("{table}: {row}")));
        }
        dump
    }
}

impl Host {
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
