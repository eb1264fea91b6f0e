//! Versions of projections: made, taken over, shown under the stable names, retired.

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::commit::Checkpoint;
use super::ddl::{as_of_view, create_indexes, create_table, physical_table, point_view, quote, stable_view};
use super::difference::difference;
use super::operations::{end_running, note};
use super::plugins::forget_unused_plugins;
use super::record::{checkpoint_of, record, records};
use super::writing::Writing;
use super::{Error, NewOperation, Outcome, Promote, ReadModel, State};
use crate::change::{Digest, Manifest, Name, TableDefinition, VersionId};
use crate::database::Durability;
use crate::event::{Position, Timestamp};

/// A partition of a version that is ready to be folded.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub id: VersionId,
    /// Which of its partitions, from 0.
    pub partition: u32,
    /// The component that is about to fold it.
    pub digest: Digest,
    /// Where to go on.
    pub checkpoint: Checkpoint,
    /// The fence: commits bear it, and only the latest owner's is good.
    pub epoch: i64,
}

/// A version that is to be built.
#[derive(Clone, Debug)]
pub struct NewVersion {
    pub digest: Digest,
    pub promote: Promote,
    /// The end of the backfill: the head of the store now.
    pub until: Position,
    /// For a build of the past: its last position.
    pub as_of: Option<Position>,
    /// How many partitions are folded at once.
    pub partitions: u32,
    /// The set of upcasters to read the history with.
    pub upcasters: u32,
}

impl NewVersion {
    /// A version without ado: one partition, promoted by hand.
    #[must_use]
    pub fn plain(digest: Digest) -> Self {
        Self { digest, promote: Promote::Manual, until: Position::START, as_of: None, partitions: 1, upcasters: 0 }
    }
}

impl ReadModel {
    /// Finds the version that `manifest` declares, or makes it; takes it over from
    /// whoever held it. The first version of a projection is live at once.
    ///
    /// # Errors
    /// [`Error::TablesChanged`] if it was built with other tables;
    /// [`Error::NameTaken`] if a stable name belongs to something else.
    pub async fn prepare(&self, manifest: &Manifest, digest: Digest) -> Result<Prepared, Error> {
        let known = self.versions_of(manifest.name.as_str()).await?;
        let latest = known.into_iter().rfind(|known| {
            known.id.version == manifest.version && known.state != State::Retired && known.as_of.is_none()
        });
        let id = match latest {
            Some(known) => {
                expect_tables(&known.id, &known.tables, &manifest.tables)?;
                known.id
            }
            None => {
                let operation =
                    NewOperation { operation: "deploy", actor: "host".to_owned(), ..NewOperation::default() };
                self.create(manifest, &NewVersion::plain(digest), operation).await?.0
            }
        };
        self.take_over(&id, 0, digest).await
    }

    /// Makes the tables of a new version, or of a new generation of one that is there.
    /// The first version of a projection is live at once. Gives its name and the number
    /// of the operation, which runs until the version has caught up.
    ///
    /// # Errors
    /// [`Error::NameTaken`] if a name belongs to something else.
    pub async fn create(
        &self,
        manifest: &Manifest,
        new: &NewVersion,
        operation: NewOperation,
    ) -> Result<(VersionId, i64), Error> {
        let mut writing = self.begin().await?;
        let generation = next_generation(writing.connection(), &manifest.name, manifest.version).await?;
        let id = VersionId { projection: manifest.name.clone(), version: manifest.version, generation };
        insert(writing.connection(), &id, manifest, new).await?;
        for table in &manifest.tables {
            refuse_taken(writing.connection(), &id.projection, &physical_table(&id, &table.name)).await?;
            sqlx::query(AssertSqlSafe(create_table(&id, table))).execute(writing.connection()).await?;
        }
        match new.as_of {
            Some(position) => {
                for table in &manifest.tables {
                    let view = as_of_view(&id, &table.name, position);
                    refuse_taken(writing.connection(), &id.projection, &view.name).await?;
                    sqlx::query(AssertSqlSafe(view.statement)).execute(writing.connection()).await?;
                }
            }
            None => match live_version(writing.connection(), &id.projection).await? {
                None => show(&mut writing, &id, &manifest.tables).await?,
                Some(live) => expect_names_free(writing.connection(), &live, &manifest.tables).await?,
            },
        }
        let operation = NewOperation {
            subject: id.projection.to_string(),
            version: Some(id.version),
            generation: Some(generation),
            to: Some(new.digest),
            ..operation
        };
        let number = note(&mut writing, &operation, Outcome::Running).await?;
        writing.commit().await?;
        Ok((id, number))
    }

    /// Takes a partition of a version over from whoever held it: their commits fail from now on.
    ///
    /// # Errors
    /// [`Error::UnknownVersion`] if it is not there.
    pub async fn take_over(&self, id: &VersionId, partition: u32, digest: Digest) -> Result<Prepared, Error> {
        let mut writing = self.begin().await?;
        let row = sqlx::query(
            "UPDATE fantascope_checkpoints SET epoch = epoch + 1 \
             WHERE projection = ? AND version = ? AND generation = ? AND partition = ? \
             RETURNING position, event_id, event_position, epoch",
        )
        .bind(id.projection.to_string())
        .bind(id.version)
        .bind(id.generation)
        .bind(partition)
        .fetch_optional(writing.connection())
        .await?
        .ok_or_else(|| Error::UnknownVersion { id: id.clone() })?;
        let epoch = sqlx::Row::try_get(&row, "epoch")?;
        writing.commit().await?;
        Ok(Prepared { id: id.clone(), partition, digest, checkpoint: checkpoint_of(&row)?, epoch })
    }

    /// Makes those indexes of `id` that are missing. They are made when a version has
    /// caught up, for keeping them while it is folded from the first event costs
    /// several times as much as making them once.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn finish_indexes(&self, id: &VersionId, tables: &[TableDefinition]) -> Result<(), Error> {
        let statements: Vec<String> = tables.iter().flat_map(|table| create_indexes(id, table)).collect();
        if statements.is_empty() {
            return Ok(());
        }
        let mut connection = self.database.writer(Durability::Full).await?;
        // SQLite sorts in as much memory as its page cache may take.
        sqlx::query("PRAGMA cache_size = -8192").execute(&mut connection).await?;
        for statement in statements {
            let _turn = self.database.turn_to_write().await;
            sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
        }
        sqlx::Connection::close(connection).await?;
        Ok(())
    }

    /// Notes that `id` has caught up, or has reached the end of its build. Says whether
    /// that is new.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn finish_build(&self, id: &VersionId) -> Result<bool, Error> {
        let mut writing = self.begin().await?;
        let before = record(writing.connection(), id).await?;
        if before.state != State::Building {
            return Ok(false);
        }
        set_state(writing.connection(), id, State::Ready).await?;
        end_running(writing.connection(), id, Outcome::Done, before.position()).await?;
        writing.commit().await?;
        Ok(true)
    }

    /// Lets the stable names show `id`, all at once.
    ///
    /// # Errors
    /// If the database fails, or a name is taken.
    pub async fn promote(&self, id: &VersionId, operation: NewOperation) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        let green = record(writing.connection(), id).await?;
        if green.state == State::Retired {
            return Err(Error::UnknownVersion { id: id.clone() });
        }
        let from = match live_version(writing.connection(), &id.projection).await? {
            Some(live) => Some(record(writing.connection(), &live).await?.digest),
            None => None,
        };
        show(&mut writing, id, &green.tables).await?;
        #[cfg(feature = "fault-injection")]
        if super::fault::switches_apart() {
            writing = super::fault::commit_halfway(self, writing).await?;
        }
        point_live(writing.connection(), id).await?;
        let operation = NewOperation { from, to: Some(green.digest), position: Some(green.position()), ..operation };
        note(&mut writing, &operation, Outcome::Done).await?;
        writing.commit().await
    }

    /// Lets `digest` run `id` from now on.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn swap(&self, id: &VersionId, digest: Digest, operation: NewOperation) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        let before = record(writing.connection(), id).await?;
        update(writing.connection(), id, "digest = ?", &digest.to_string()).await?;
        let operation = NewOperation {
            from: Some(before.digest),
            to: Some(digest),
            position: Some(before.position()),
            ..operation
        };
        note(&mut writing, &operation, Outcome::Done).await?;
        writing.commit().await
    }

    /// Pauses versions, or lets them go on; all of them at once.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_paused(&self, ids: &[VersionId], paused: bool, operation: &NewOperation) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        for id in ids {
            update(writing.connection(), id, "paused = ?", if paused { "1" } else { "0" }).await?;
            let operation =
                NewOperation { version: Some(id.version), generation: Some(id.generation), ..operation.clone() };
            note(&mut writing, &operation, Outcome::Done).await?;
        }
        writing.commit().await
    }

    /// `id` is not to take over by itself any more.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn hold_back(&self, id: &VersionId) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        update(writing.connection(), id, "promote = nullif(?, '')", "").await?;
        writing.commit().await
    }

    /// Takes the stable names of `id`, which is live, away: no version is live then.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn remove_live(&self, id: &VersionId, operation: NewOperation) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        let live = record(writing.connection(), id).await?;
        for table in &live.tables {
            let drop = format!("DROP VIEW IF EXISTS {}", quote(&stable_view(&id.projection, &table.name)));
            sqlx::query(AssertSqlSafe(drop)).execute(writing.connection()).await?;
        }
        sqlx::query("DELETE FROM fantascope_live WHERE projection = ?")
            .bind(id.projection.to_string())
            .execute(writing.connection())
            .await?;
        note(&mut writing, &operation, Outcome::Done).await?;
        writing.commit().await
    }

    /// Drops the tables of `id`, which must not be live.
    ///
    /// # Errors
    /// [`Error::Live`] if it is.
    pub async fn retire(&self, id: &VersionId, operation: NewOperation) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        let gone = record(writing.connection(), id).await?;
        if gone.live {
            return Err(Error::Live { id: id.clone() });
        }
        if gone.state == State::Retired {
            return Ok(());
        }
        for table in &gone.tables {
            if let Some(position) = gone.as_of {
                let view = as_of_view(id, &table.name, position).name;
                let drop = format!("DROP VIEW IF EXISTS {}", quote(&view));
                sqlx::query(AssertSqlSafe(drop)).execute(writing.connection()).await?;
            }
            let drop = format!("DROP TABLE IF EXISTS {}", quote(&physical_table(id, &table.name)));
            sqlx::query(AssertSqlSafe(drop)).execute(writing.connection()).await?;
        }
        set_state(writing.connection(), id, State::Retired).await?;
        end_running(writing.connection(), id, Outcome::Cancelled, gone.position()).await?;
        let operation = NewOperation { from: Some(gone.digest), position: Some(gone.position()), ..operation };
        note(&mut writing, &operation, Outcome::Done).await?;
        forget_unused_plugins(writing.connection()).await?;
        writing.commit().await
    }
}

fn expect_tables(id: &VersionId, stored: &[TableDefinition], declared: &[TableDefinition]) -> Result<(), Error> {
    match difference(stored, declared) {
        None => Ok(()),
        Some(difference) => Err(Error::TablesChanged { id: id.clone(), difference }),
    }
}

async fn next_generation(connection: &mut SqliteConnection, projection: &Name, version: u32) -> Result<u32, Error> {
    let known = records(connection, "WHERE v.projection = ?", projection.as_str()).await?;
    let generations = known.iter().filter(|known| known.id.version == version).map(|known| known.id.generation);
    Ok(generations.max().unwrap_or(0) + 1)
}

async fn insert(
    connection: &mut SqliteConnection,
    id: &VersionId,
    manifest: &Manifest,
    new: &NewVersion,
) -> Result<(), Error> {
    let tables = serde_json::to_string(&manifest.tables)
        .map_err(|fault| Error::Unreadable { id: id.clone(), reason: fault.to_string() })?;
    sqlx::query(
        "INSERT INTO fantascope_versions (projection, version, generation, digest, tables, created_at, state, promote, \
         built_until, as_of, upcasters) VALUES (?, ?, ?, ?, ?, ?, 'building', ?, ?, ?, ?)",
    )
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .bind(new.digest.to_string())
    .bind(tables)
    .bind(Timestamp::now().0)
    .bind(new.promote.as_sql())
    .bind(new.until.to_sql())
    .bind(new.as_of.map(Position::to_sql))
    .bind(new.upcasters)
    .execute(&mut *connection)
    .await?;
    for partition in 0..new.partitions.max(1) {
        insert_checkpoint(connection, id, partition, Checkpoint::default()).await?;
    }
    Ok(())
}

pub(super) async fn insert_checkpoint(
    connection: &mut SqliteConnection,
    id: &VersionId,
    partition: u32,
    checkpoint: Checkpoint,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO fantascope_checkpoints (projection, version, generation, partition, position, event_id, \
         event_position, epoch, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)",
    )
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .bind(partition)
    .bind(checkpoint.position.to_sql())
    .bind(checkpoint.last_event.map(|(_, id)| id.as_bytes().to_vec()))
    .bind(checkpoint.last_event.map(|(position, _)| position.to_sql()))
    .bind(Timestamp::now().0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets one column of `id`; `assignment` is `column = ?`.
async fn update(
    connection: &mut SqliteConnection,
    id: &VersionId,
    assignment: &'static str,
    value: &str,
) -> Result<(), Error> {
    let sql =
        format!("UPDATE fantascope_versions SET {assignment} WHERE projection = ? AND version = ? AND generation = ?");
    sqlx::query(AssertSqlSafe(sql))
        .bind(value.to_owned())
        .bind(id.projection.to_string())
        .bind(id.version)
        .bind(id.generation)
        .execute(connection)
        .await?;
    Ok(())
}

async fn set_state(connection: &mut SqliteConnection, id: &VersionId, state: State) -> Result<(), Error> {
    update(connection, id, "state = ?", state.as_str()).await
}

async fn live_version(connection: &mut SqliteConnection, projection: &Name) -> Result<Option<VersionId>, Error> {
    let live: Option<(u32, u32)> =
        sqlx::query_as("SELECT version, generation FROM fantascope_live WHERE projection = ?")
            .bind(projection.to_string())
            .fetch_optional(connection)
            .await?;
    Ok(live.map(|(version, generation)| VersionId { projection: projection.clone(), version, generation }))
}

/// Points the stable names at `id`.
async fn show(writing: &mut Writing, id: &VersionId, tables: &[TableDefinition]) -> Result<(), Error> {
    let connection = writing.connection();
    if let Some(before) = live_version(connection, &id.projection).await? {
        for table in record(connection, &before).await?.tables {
            let drop = format!("DROP VIEW IF EXISTS {}", quote(&stable_view(&id.projection, &table.name)));
            sqlx::query(AssertSqlSafe(drop)).execute(&mut *connection).await?;
        }
    } else {
        point_live(connection, id).await?;
    }
    for table in tables {
        refuse_taken(connection, &id.projection, &stable_view(&id.projection, &table.name)).await?;
        for statement in point_view(id, &table.name) {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Makes `id` the live version: the pointer, and since when.
async fn point_live(connection: &mut SqliteConnection, id: &VersionId) -> Result<(), Error> {
    let now = Timestamp::now().0;
    if let Some(before) = live_version(connection, &id.projection).await?.filter(|before| before != id) {
        update(connection, &before, "live_to = CAST(? AS INTEGER)", &now.to_string()).await?;
    }
    sqlx::query(
        "UPDATE fantascope_versions SET live_from = coalesce(live_from, ?), live_to = NULL, promote = NULL \
         WHERE projection = ? AND version = ? AND generation = ?",
    )
    .bind(now)
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO fantascope_live (projection, version, generation, since) VALUES (?, ?, ?, ?) \
         ON CONFLICT (projection) DO UPDATE SET version = excluded.version, generation = excluded.generation, since = excluded.since",
    )
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// The names that a version is to have once it is live must be free, or names of the live one.
async fn expect_names_free(
    connection: &mut SqliteConnection,
    live: &VersionId,
    tables: &[TableDefinition],
) -> Result<(), Error> {
    let known = record(connection, live).await?.tables;
    for table in tables.iter().filter(|table| !known.iter().any(|known| known.name == table.name)) {
        refuse_taken(connection, &live.projection, &stable_view(&live.projection, &table.name)).await?;
    }
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
