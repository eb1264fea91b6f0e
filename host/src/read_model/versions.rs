//! Versions of projections: made, found again, shown under the stable names.

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use uuid::Uuid;

use super::commit::Checkpoint;
use super::ddl::{create_indexes, create_table, physical_table, point_view, quote, stable_view};
use super::{Error, ReadModel};
use crate::change::{Digest, Manifest, Name, TableDefinition, VersionId};
use crate::database::Durability;
use crate::event::{Position, Timestamp};

/// A version that is ready to be folded.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub id: VersionId,
    /// Where to go on.
    pub checkpoint: Checkpoint,
    /// The fence: commits bear it, and only the latest owner's is good.
    pub epoch: i64,
    /// Whether the stable names show it.
    pub live: bool,
}

/// What is stored about a version.
#[derive(Clone, Debug)]
pub struct VersionRecord {
    pub id: VersionId,
    pub digest: String,
    pub tables: Vec<TableDefinition>,
    pub created_at: Timestamp,
    /// Whether the stable names show it.
    pub live: bool,
    pub checkpoint: Checkpoint,
    pub checkpoint_at: Timestamp,
}

impl ReadModel {
    /// Finds the version that `manifest` declares, or makes it; takes it over from
    /// whoever held it. The first version of a projection is live at once.
    ///
    /// # Errors
    /// [`Error::TablesChanged`] if it was built with other tables;
    /// [`Error::NameTaken`] if a stable name belongs to something else.
    pub async fn prepare(&self, manifest: &Manifest, digest: Digest) -> Result<Prepared, Error> {
        let _turn = self.database.turn_to_write().await;
        let mut connection = self.database.writer(Durability::Full).await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let id = match latest_generation(&mut transaction, &manifest.name, manifest.version).await? {
            Some((generation, tables)) => {
                let id = VersionId { projection: manifest.name.clone(), version: manifest.version, generation };
                expect_tables(&id, &tables, &manifest.tables)?;
                note_digest(&mut transaction, &id, digest).await?;
                id
            }
            None => create(&mut transaction, manifest, digest).await?,
        };
        let live = match live_version(&mut transaction, &manifest.name).await? {
            Some(live) => live == id,
            None => {
                show(&mut transaction, &id, &manifest.tables).await?;
                true
            }
        };
        let (checkpoint, epoch) = take_over(&mut transaction, &id).await?;
        transaction.commit().await?;
        connection.close().await?;
        Ok(Prepared { id, checkpoint, epoch, live })
    }

    /// Makes those indexes of `id` that are missing. They are made when a version has
    /// caught up, for keeping them while it is folded from the first event costs
    /// several times as much as making them once.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn finish_indexes(&self, id: &VersionId, tables: &[TableDefinition]) -> Result<(), Error> {
        let mut connection = self.database.writer(Durability::Full).await?;
        // SQLite sorts in as much memory as its page cache may take.
        sqlx::query("PRAGMA cache_size = -8192").execute(&mut connection).await?;
        for statement in tables.iter().flat_map(|table| create_indexes(id, table)) {
            let _turn = self.database.turn_to_write().await;
            sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
        }
        connection.close().await?;
        Ok(())
    }

    /// Lets the stable names show `id`, all at once, if they show a lower version now.
    /// Says whether they did.
    ///
    /// # Errors
    /// If the database fails, or a name is taken.
    pub async fn promote_if_higher(&self, id: &VersionId, tables: &[TableDefinition]) -> Result<bool, Error> {
        let _turn = self.database.turn_to_write().await;
        let mut connection = self.database.writer(Durability::Full).await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let lower = live_version(&mut transaction, &id.projection)
            .await?
            .is_none_or(|live| (live.version, live.generation) < (id.version, id.generation));
        if lower {
            show(&mut transaction, id, tables).await?;
        }
        transaction.commit().await?;
        connection.close().await?;
        Ok(lower)
    }

    /// Every version that was ever built, by name and version.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn versions(&self) -> Result<Vec<VersionRecord>, Error> {
        type Row = (String, i64, i64, String, String, i64, bool, i64, Option<Vec<u8>>, Option<i64>, i64);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT v.projection, v.version, v.generation, v.digest, v.tables, v.created_at, \
                    EXISTS (SELECT 1 FROM fantascope_live l WHERE (l.projection, l.version, l.generation) = (v.projection, v.version, v.generation)), \
                    c.position, c.event_id, c.event_position, c.updated_at \
             FROM fantascope_versions v JOIN fantascope_checkpoints c USING (projection, version, generation) \
             ORDER BY v.projection, v.version, v.generation",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter()
            .map(
                |(
                    projection,
                    version,
                    generation,
                    digest,
                    tables,
                    created_at,
                    live,
                    position,
                    event_id,
                    event_position,
                    updated_at,
                )| {
                    let id = version_id(&projection, version, generation)?;
                    let tables = decode_tables(&id, &tables)?;
                    let checkpoint = checkpoint(position, event_id, event_position);
                    let (created_at, checkpoint_at) = (Timestamp(created_at), Timestamp(updated_at));
                    Ok(VersionRecord { id, digest, tables, created_at, live, checkpoint, checkpoint_at })
                },
            )
            .collect()
    }
}

async fn latest_generation(
    connection: &mut SqliteConnection,
    projection: &Name,
    version: u32,
) -> Result<Option<(u32, String)>, Error> {
    let found: Option<(i64, String)> = sqlx::query_as(
        "SELECT generation, tables FROM fantascope_versions WHERE projection = ? AND version = ? ORDER BY generation DESC LIMIT 1",
    )
    .bind(projection.to_string())
    .bind(version)
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|(generation, tables)| (u32::try_from(generation).unwrap_or(1), tables)))
}

fn expect_tables(id: &VersionId, stored: &str, declared: &[TableDefinition]) -> Result<(), Error> {
    let stored = decode_tables(id, stored)?;
    match difference(&stored, declared) {
        None => Ok(()),
        Some(difference) => Err(Error::TablesChanged { id: id.clone(), difference }),
    }
}

/// What sets `declared` apart from `stored`, for people.
fn difference(stored: &[TableDefinition], declared: &[TableDefinition]) -> Option<String> {
    let lacking = |some: &[TableDefinition], others: &[TableDefinition]| {
        some.iter().find(|table| !others.iter().any(|other| other.name == table.name)).map(|table| table.name.clone())
    };
    if let Some(gone) = lacking(stored, declared) {
        return Some(format!("table `{gone}` is gone"));
    }
    if let Some(new) = lacking(declared, stored) {
        return Some(format!("table `{new}` is new"));
    }
    for table in declared {
        let Some(old) = stored.iter().find(|old| old.name == table.name) else { continue };
        let name = &table.name;
        let changed = |column: &crate::change::ColumnDefinition| !old.columns.contains(column);
        if let Some(column) = table.columns.iter().find(|column| changed(column)) {
            return Some(format!("column `{}` of table `{name}` is new or of another type", column.name));
        }
        if old != table {
            return Some(format!("table `{name}` has other columns, another key or other indexes"));
        }
    }
    (stored != declared).then(|| "the tables are in another order".to_owned())
}

async fn note_digest(connection: &mut SqliteConnection, id: &VersionId, digest: Digest) -> sqlx::Result<()> {
    sqlx::query("UPDATE fantascope_versions SET digest = ? WHERE projection = ? AND version = ? AND generation = ?")
        .bind(digest.to_string())
        .bind(id.projection.to_string())
        .bind(id.version)
        .bind(id.generation)
        .execute(connection)
        .await
        .map(|_| ())
}

async fn create(connection: &mut SqliteConnection, manifest: &Manifest, digest: Digest) -> Result<VersionId, Error> {
    let id = VersionId { projection: manifest.name.clone(), version: manifest.version, generation: 1 };
    let tables = serde_json::to_string(&manifest.tables)
        .map_err(|fault| Error::Unreadable { id: id.clone(), reason: fault.to_string() })?;
    let now = Timestamp::now();
    sqlx::query("INSERT INTO fantascope_versions (projection, version, generation, digest, tables, created_at) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(id.projection.to_string())
        .bind(id.version)
        .bind(id.generation)
        .bind(digest.to_string())
        .bind(tables)
        .bind(now.0)
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO fantascope_checkpoints (projection, version, generation, partition, position, epoch, updated_at) VALUES (?, ?, ?, 0, 0, 0, ?)")
        .bind(id.projection.to_string())
        .bind(id.version)
        .bind(id.generation)
        .bind(now.0)
        .execute(&mut *connection)
        .await?;
    for table in &manifest.tables {
        refuse_taken(connection, &id.projection, &physical_table(&id, &table.name)).await?;
        sqlx::query(AssertSqlSafe(create_table(&id, table))).execute(&mut *connection).await?;
    }
    Ok(id)
}

async fn live_version(connection: &mut SqliteConnection, projection: &Name) -> Result<Option<VersionId>, Error> {
    let live: Option<(i64, i64)> =
        sqlx::query_as("SELECT version, generation FROM fantascope_live WHERE projection = ?")
            .bind(projection.to_string())
            .fetch_optional(connection)
            .await?;
    live.map(|(version, generation)| version_id(projection.as_str(), version, generation)).transpose()
}

async fn show(connection: &mut SqliteConnection, id: &VersionId, tables: &[TableDefinition]) -> Result<(), Error> {
    if let Some(before) = live_version(connection, &id.projection).await? {
        for table in stored_tables(connection, &before).await? {
            let drop = format!("DROP VIEW IF EXISTS {}", quote(&stable_view(&id.projection, &table.name)));
            sqlx::query(AssertSqlSafe(drop)).execute(&mut *connection).await?;
        }
    }
    for table in tables {
        refuse_taken(connection, &id.projection, &stable_view(&id.projection, &table.name)).await?;
        for statement in point_view(id, &table.name) {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
    }
    sqlx::query(
        "INSERT INTO fantascope_live (projection, version, generation, since) VALUES (?, ?, ?, ?) \
         ON CONFLICT (projection) DO UPDATE SET version = excluded.version, generation = excluded.generation, since = excluded.since",
    )
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .bind(Timestamp::now().0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Two projections may not meet under one name: `a` with table `b_c`, `a_b` with table `c`.
async fn refuse_taken(connection: &mut SqliteConnection, projection: &Name, name: &str) -> Result<(), Error> {
    let (taken,): (bool,) = sqlx::query_as("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ? COLLATE NOCASE)")
        .bind(name.to_owned())
        .fetch_one(connection)
        .await?;
    if taken { Err(Error::NameTaken { projection: projection.clone(), view: name.to_owned() }) } else { Ok(()) }
}

async fn stored_tables(connection: &mut SqliteConnection, id: &VersionId) -> Result<Vec<TableDefinition>, Error> {
    let (tables,): (String,) = sqlx::query_as(
        "SELECT tables FROM fantascope_versions WHERE projection = ? AND version = ? AND generation = ?",
    )
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .fetch_one(connection)
    .await?;
    decode_tables(id, &tables)
}

async fn take_over(connection: &mut SqliteConnection, id: &VersionId) -> sqlx::Result<(Checkpoint, i64)> {
    let (position, event_id, event_position, epoch): (i64, Option<Vec<u8>>, Option<i64>, i64) = sqlx::query_as(
        "UPDATE fantascope_checkpoints SET epoch = epoch + 1 \
         WHERE projection = ? AND version = ? AND generation = ? AND partition = 0 \
         RETURNING position, event_id, event_position, epoch",
    )
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .fetch_one(connection)
    .await?;
    Ok((checkpoint(position, event_id, event_position), epoch))
}

fn checkpoint(position: i64, event_id: Option<Vec<u8>>, event_position: Option<i64>) -> Checkpoint {
    let last_event =
        event_position.map(Position::from_sql).zip(event_id.and_then(|bytes| Uuid::from_slice(&bytes).ok()));
    Checkpoint { position: Position::from_sql(position), last_event }
}

fn version_id(projection: &str, version: i64, generation: i64) -> Result<VersionId, Error> {
    let decode = |reason: String| sqlx::Error::Decode(reason.into());
    Ok(VersionId {
        projection: projection.parse().map_err(decode)?,
        version: u32::try_from(version).unwrap_or(u32::MAX),
        generation: u32::try_from(generation).unwrap_or(u32::MAX),
    })
}

fn decode_tables(id: &VersionId, json: &str) -> Result<Vec<TableDefinition>, Error> {
    serde_json::from_str(json).map_err(|fault| Error::Unreadable { id: id.clone(), reason: fault.to_string() })
}
