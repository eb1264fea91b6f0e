//! Versions of projections: made, taken over, shown under the stable names, retired.

use std::sync::Arc;

use crate::control::hosts::recall;
use crate::control::operations::{end_running, note};
use crate::control::plugins::forget_unused_plugins;
use crate::control::record::{record, records, standing};
use crate::control::writing::Writing;
use crate::schema::ddl::{as_of_view, create_indexes, create_table, expect_length, physical_table, stable_view};
use crate::schema::difference::difference;
use crate::schema::views::{is_taken, refuse_taken};
use crate::{Error, NewOperation, Outcome, Promote, ReadModel, State};
use database::{Durability, Session, Value, query, quote};
use model::change::{Digest, Manifest, Name, TableDefinition, VersionId};
use model::event::{Checkpoint, Position, Timestamp};

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
    /// Whether nothing was ever committed. Where it stands does not tell: it may have been set back.
    pub is_new: bool,
    /// The fence: commits bear it, and only the latest owner's is good.
    pub epoch: i64,
    /// The host that is about to fold it.
    pub owner: Arc<str>,
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
        let latest = known
            .into_iter()
            .rfind(|known| known.id.version == manifest.version && known.state.is_standing() && known.as_of.is_none());
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
        self.lease(&id, 0, digest, 0..=u32::MAX).await?.ok_or(Error::Fenced { id })
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
        let generation = next_generation(&mut writing, &manifest.name, manifest.version).await?;
        let id = VersionId { projection: manifest.name.clone(), version: manifest.version, generation };
        insert(&mut writing, &id, manifest, new).await?;
        for table in &manifest.tables {
            self.make_table(&mut writing, &id, table).await?;
        }
        match new.as_of {
            Some(position) => {
                for table in &manifest.tables {
                    self.show_past(&mut writing, &as_of_view(&id, &table.name, position), &id.projection).await?;
                }
            }
            None => match live_version(&mut writing, &id.projection).await? {
                None => self.show(&mut writing, &id, &manifest.tables).await?,
                Some(live) => expect_names_free(&mut writing, &live, &manifest.tables).await?,
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
        self.settle(&id.projection).await;
        Ok((id, number))
    }

    /// Notes that `id` has caught up, or has reached the end of its build. Says whether
    /// that is new.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn finish_build(&self, id: &VersionId) -> Result<bool, Error> {
        let mut writing = self.begin().await?;
        let before = record(&mut writing, id).await?;
        if before.state != State::Building {
            return Ok(false);
        }
        set_state(&mut writing, id, "ready").await?;
        end_running(&mut writing, id, Outcome::Done, before.position()).await?;
        writing.commit().await?;
        Ok(true)
    }

    /// Lets the stable names show `id`, all at once.
    ///
    /// # Errors
    /// If the database fails, or a name is taken.
    pub async fn promote(&self, id: &VersionId, operation: NewOperation) -> Result<(), Error> {
        let writing = self.begin().await?;
        self.promote_within(writing, id, operation).await
    }

    /// The same, if `id` has come at least as far as the live version, which stands still until
    /// it is done; whichever hosts fold the two. Says whether that was so.
    ///
    /// # Errors
    /// As [`ReadModel::promote`].
    pub async fn promote_if_level(&self, id: &VersionId, operation: NewOperation) -> Result<bool, Error> {
        let mut writing = self.begin().await?;
        if let Some(live) = live_version(&mut writing, &id.projection).await? {
            let blue = locked_position(&mut writing, &live).await?;
            if locked_position(&mut writing, id).await? < blue {
                return Ok(false);
            }
        }
        self.promote_within(writing, id, operation).await?;
        Ok(true)
    }

    async fn promote_within(&self, mut writing: Writing, id: &VersionId, operation: NewOperation) -> Result<(), Error> {
        let green = standing(&mut writing, id).await?;
        let from = match live_version(&mut writing, &id.projection).await? {
            Some(live) => Some(standing(&mut writing, &live).await?.digest),
            None => None,
        };
        self.show(&mut writing, id, &green.tables).await?;
        #[cfg(feature = "fault-injection")]
        if crate::fault_injection::switches_apart() {
            writing = crate::fault_injection::commit_halfway(self, writing).await?;
        }
        point_live(&mut writing, id).await?;
        let operation = NewOperation { from, to: Some(green.digest), position: Some(green.position()), ..operation };
        note(&mut writing, &operation, Outcome::Done).await?;
        writing.commit().await?;
        self.settle(&id.projection).await;
        Ok(())
    }

    /// Lets `digest` run `id` from now on.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn swap(&self, id: &VersionId, digest: Digest, operation: NewOperation) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        let before = standing(&mut writing, id).await?;
        update(&mut writing, id, "digest = ?", digest.to_string()).await?;
        let operation = NewOperation {
            from: Some(before.digest),
            to: Some(digest),
            position: Some(before.position()),
            ..operation
        };
        note(&mut writing, &operation, Outcome::Done).await?;
        writing.commit().await
    }

    /// Pauses versions, or lets them go on; all of them at once, whichever hosts fold them. With
    /// `workers`, the rest of their history is folded in so many partitions.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_paused(
        &self,
        ids: &[VersionId],
        paused: bool,
        workers: Option<u32>,
        operation: &NewOperation,
    ) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        for id in ids {
            update(&mut writing, id, "paused = ?", paused).await?;
            if workers.is_some() {
                update(&mut writing, id, "workers = ?", workers).await?;
            }
            // Whoever folds it, or has given it up for a fault, looks at it anew.
            recall(&mut writing, id).await?;
            let operation =
                NewOperation { version: Some(id.version), generation: Some(id.generation), ..operation.clone() };
            note(&mut writing, &operation, Outcome::Done).await?;
        }
        writing.commit().await
    }

    /// `id` is to take over by itself when `promote` says.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_promote(&self, id: &VersionId, promote: Promote) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        update(&mut writing, id, "promote = ?", promote.as_sql().map(str::to_owned)).await?;
        writing.commit().await
    }

    /// Takes the stable names of `id`, which is live, away: no version is live then.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn remove_live(&self, id: &VersionId, operation: NewOperation) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        let live = standing(&mut writing, id).await?;
        let views: Vec<String> = live.tables.iter().map(|table| stable_view(&id.projection, &table.name)).collect();
        self.hide(&mut writing, &views).await?;
        query("DELETE FROM fantascope_live WHERE projection = ?")
            .bind(id.projection.to_string())
            .execute(&mut writing)
            .await?;
        note(&mut writing, &operation, Outcome::Done).await?;
        writing.commit().await?;
        self.settle(&id.projection).await;
        Ok(())
    }

    /// Drops the tables of `id`, which must not be live; without an `operation` as a part of
    /// one that was noted before.
    ///
    /// # Errors
    /// [`Error::Live`] if it is.
    pub async fn retire(&self, id: &VersionId, operation: Option<NewOperation>) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        let gone = record(&mut writing, id).await?;
        gone.expect_known()?;
        if gone.live {
            return Err(Error::Live { id: id.clone() });
        }
        if gone.state == State::Retired {
            return Ok(());
        }
        for table in &gone.tables {
            if let Some(position) = gone.as_of {
                self.hide(&mut writing, &[as_of_view(id, &table.name, position).name]).await?;
            }
            if self.dialect().has_transactional_ddl() {
                let table = quote(&physical_table(id, &table.name));
                query(format!("DROP TABLE IF EXISTS {table}")).execute(&mut writing).await?;
            }
        }
        set_state(&mut writing, id, "retired").await?;
        // Whoever folds it writes nothing more.
        query("UPDATE fantascope_checkpoints SET owner = NULL, epoch = epoch + 1 WHERE projection = ? AND version = ? AND generation = ?")
            .bind(id.projection.to_string())
            .bind(id.version)
            .bind(id.generation)
            .execute(&mut writing)
            .await?;
        end_running(&mut writing, id, Outcome::Cancelled, gone.position()).await?;
        if let Some(operation) = operation {
            let operation = NewOperation { from: Some(gone.digest), position: Some(gone.position()), ..operation };
            note(&mut writing, &operation, Outcome::Done).await?;
        }
        forget_unused_plugins(&mut writing).await?;
        writing.commit().await?;
        self.settle(&id.projection).await;
        Ok(())
    }

    async fn make_table(&self, writing: &mut Writing, id: &VersionId, table: &TableDefinition) -> Result<(), Error> {
        let physical = physical_table(id, &table.name);
        for index in create_indexes(self.dialect(), id, table) {
            expect_length(self.dialect(), &id.projection, &index.name)?;
        }
        let create = create_table(self.dialect(), self.database.flavour(), id, table);
        if self.dialect().has_transactional_ddl() {
            refuse_taken(writing, &id.projection, &physical).await?;
            query(create).execute(writing).await?;
            return Ok(());
        }
        // MySQL ends a transaction at each such statement, so it is one for itself. If the
        // version is not recorded in the end, the empty table is in nobody's way.
        expect_length(self.dialect(), &id.projection, &physical)?;
        let mut definer = self.database.begin(Durability::Full).await?;
        if is_taken(&mut definer, &physical).await? {
            let rows = query(format!("SELECT count(*) AS n FROM {}", quote(&physical)));
            if rows.one(&mut definer).await?.get::<i64>("n")? > 0 {
                return Err(Error::NameTaken { projection: id.projection.clone(), view: physical });
            }
            query(format!("DROP TABLE {}", quote(&physical))).execute(&mut definer).await?;
        }
        query(create).execute(&mut definer).await?;
        Ok(definer.commit().await?)
    }
}

/// How far `id` has come; it comes no further until the transaction ends.
async fn locked_position(session: &mut dyn Session, id: &VersionId) -> Result<Position, Error> {
    let lock = session.dialect().pick("", " FOR UPDATE", " FOR UPDATE");
    let positions = query(format!(
        "SELECT position FROM fantascope_checkpoints WHERE projection = ? AND version = ? AND generation = ?{lock}"
    ));
    let positions = positions.bind(id.projection.to_string()).bind(id.version).bind(id.generation);
    let mut least = None;
    for row in positions.all(session).await? {
        let position = Position::from_sql(row.get("position")?);
        least = Some(least.map_or(position, |least: Position| least.min(position)));
    }
    least.ok_or_else(|| Error::UnknownVersion { id: id.clone() })
}

fn expect_tables(id: &VersionId, stored: &[TableDefinition], declared: &[TableDefinition]) -> Result<(), Error> {
    match difference(stored, declared) {
        None => Ok(()),
        Some(difference) => Err(Error::TablesChanged { id: id.clone(), difference }),
    }
}

async fn next_generation(connection: &mut dyn Session, projection: &Name, version: u32) -> Result<u32, Error> {
    let known = records(connection, "WHERE v.projection = ?", projection.as_str()).await?;
    let generations = known.iter().filter(|known| known.id.version == version).map(|known| known.id.generation);
    Ok(generations.max().unwrap_or(0) + 1)
}

async fn insert(
    connection: &mut dyn Session,
    id: &VersionId,
    manifest: &Manifest,
    new: &NewVersion,
) -> Result<(), Error> {
    let tables = serde_json::to_string(&manifest.tables)
        .map_err(|fault| Error::Unreadable { id: id.clone(), reason: fault.to_string() })?;
    query(
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

pub(crate) async fn insert_checkpoint(
    connection: &mut dyn Session,
    id: &VersionId,
    partition: u32,
    checkpoint: Checkpoint,
) -> Result<(), Error> {
    query(
        "INSERT INTO fantascope_checkpoints (projection, version, generation, \"partition\", position, event_id, \
         event_position, epoch, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)",
    )
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .bind(partition)
    .bind(checkpoint.position.to_sql())
    .bind(checkpoint.last_event.map(|(_, id)| id))
    .bind(checkpoint.last_event.map(|(position, _)| position.to_sql()))
    .bind(Timestamp::now().0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets one column of `id`; `assignment` is `column = ?`.
pub(crate) async fn update(
    connection: &mut dyn Session,
    id: &VersionId,
    assignment: &'static str,
    value: impl Into<Value>,
) -> Result<(), Error> {
    let sql =
        format!("UPDATE fantascope_versions SET {assignment} WHERE projection = ? AND version = ? AND generation = ?");
    query(sql)
        .bind(value)
        .bind(id.projection.to_string())
        .bind(id.version)
        .bind(id.generation)
        .execute(connection)
        .await?;
    Ok(())
}

async fn set_state(connection: &mut dyn Session, id: &VersionId, state: &'static str) -> Result<(), Error> {
    update(connection, id, "state = ?", state).await
}

pub(crate) async fn live_version(connection: &mut dyn Session, projection: &Name) -> Result<Option<VersionId>, Error> {
    let live = query("SELECT version, generation FROM fantascope_live WHERE projection = ?");
    let Some(row) = live.bind(projection.to_string()).optional(connection).await? else { return Ok(None) };
    let (version, generation) = (row.number("version")?, row.number("generation")?);
    Ok(Some(VersionId { projection: projection.clone(), version, generation }))
}

/// Makes `id` the live version: the pointer, and since when.
pub(crate) async fn point_live(connection: &mut dyn Session, id: &VersionId) -> Result<(), Error> {
    let now = Timestamp::now().0;
    if let Some(before) = live_version(connection, &id.projection).await?.filter(|before| before != id) {
        update(connection, &before, "live_to = ?", now).await?;
    }
    query(
        "UPDATE fantascope_versions SET live_from = coalesce(live_from, ?), live_to = NULL, promote = NULL \
         WHERE projection = ? AND version = ? AND generation = ?",
    )
    .bind(now)
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .execute(&mut *connection)
    .await?;
    let moved = ["version".into(), "generation".into(), "since".into()];
    let again = connection.dialect().on_conflict(&["projection".into()], &moved);
    query(format!("INSERT INTO fantascope_live (projection, version, generation, since) VALUES (?, ?, ?, ?){again}"))
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
    connection: &mut dyn Session,
    live: &VersionId,
    tables: &[TableDefinition],
) -> Result<(), Error> {
    let known = record(connection, live).await?.tables;
    for table in tables.iter().filter(|table| !known.iter().any(|known| known.name == table.name)) {
        refuse_taken(connection, &live.projection, &stable_view(&live.projection, &table.name)).await?;
    }
    Ok(())
}
