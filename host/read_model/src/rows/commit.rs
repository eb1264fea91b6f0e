//! Writing rows and checkpoint in one transaction. There is no way to write one
//! without the other.

use std::sync::Arc;

use tokio::sync::watch;

use crate::rows::bulk::TableWriter;
use crate::rows::merge::Merged;
use crate::{Error, Prepared, ReadModel};
use database::{Database, Durability, Session, query};
use model::change::{Changes, Column, Keys, Operation, TableDefinition};
use model::event::{Checkpoint, Position, Timestamp};

/// Whose checkpoint it is, and where the last commit has put it: a server that was killed may
/// have lost commits of rows, and rows that come after a gap would be wrong. The owner is asked
/// for beside the epoch, for a database that was restored gives epochs out again.
const FENCE: &str = "epoch = ? AND position = ? AND owner = ?";

/// Commits that are written together at the most. On SQLite appends wait for them.
const COMMITS_ON_SQLITE: usize = 8;
const COMMITS_ON_SERVERS: usize = 64;

/// What becomes of the rows of one table.
#[derive(Clone, Debug)]
pub struct TableChanges {
    pub keys: Keys,
    pub changes: Changes,
    /// Per key: 0 if there certainly is no such row yet. Empty if that is not known.
    existing: Vec<u8>,
    hashes: Vec<u64>,
    /// Per key: its row in the value columns, if it is put.
    value_rows: Vec<u32>,
}

impl TableChanges {
    /// `hashes` are those of `keys`. `existing` says per key 0 if there certainly is no such row
    /// yet; it is empty if that is not known.
    #[must_use]
    pub fn new(keys: Keys, hashes: Vec<u64>, changes: Changes, existing: Vec<u8>) -> Self {
        let mut puts = 0;
        let value_row = |operation: &Operation| {
            let row = puts;
            puts += u32::from(*operation == Operation::Put);
            row
        };
        let value_rows = changes.operations.iter().map(value_row).collect();
        Self { keys, changes, existing, hashes, value_rows }
    }

    /// The hash of key `key`.
    #[must_use]
    pub fn hash(&self, key: usize) -> u64 {
        self.hashes[key]
    }

    /// The row of the value columns that is put under key `key`.
    #[must_use]
    pub fn value_row(&self, key: usize) -> usize {
        self.value_rows[key] as usize
    }

    /// Whether there certainly is no row under key `key` yet.
    #[must_use]
    pub fn is_new(&self, key: usize) -> bool {
        self.existing.get(key) == Some(&0)
    }

    /// Roughly how many bytes the row under key `key` takes, with the key; the values only if it is put.
    #[must_use]
    pub fn row_bytes(&self, key: usize) -> usize {
        let cells = |columns: &[Column], row: usize| columns.iter().map(|column| column.cell_bytes(row)).sum::<usize>();
        let is_put = self.changes.operations[key] == Operation::Put;
        cells(&self.keys.columns, key) + if is_put { cells(&self.changes.columns, self.value_row(key)) } else { 0 }
    }

    /// Roughly how much memory it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let columns = self.keys.columns.iter().chain(&self.changes.columns);
        let columns: usize = columns.map(|column| size_of::<Column>() + column.bytes()).sum();
        size_of::<Self>() + columns + self.hashes.len() * 32
    }
}

/// What one batch changes: per table, in the order of the manifest, and the checkpoint.
#[derive(Clone, Debug)]
pub struct Commit {
    pub tables: Vec<Arc<TableChanges>>,
    pub checkpoint: Checkpoint,
}

/// The one writer of a version's rows.
#[derive(Debug)]
pub struct Writer {
    pub(crate) database: Database,
    prepared: Prepared,
    /// Where it stands, if the database has lost nothing.
    at: Position,
    /// Whether the events are in the same database.
    has_events: bool,
    tables: Vec<TableWriter>,
}

impl ReadModel {
    /// The writer of `prepared`.
    #[must_use]
    pub fn writer(&self, prepared: &Prepared, tables: &[TableDefinition]) -> Writer {
        let table = |table| TableWriter::new(&self.database, &prepared.id, table);
        Writer {
            database: self.database.clone(),
            prepared: prepared.clone(),
            at: prepared.checkpoint.position,
            has_events: self.has_events,
            tables: tables.iter().map(table).collect(),
        }
    }
}

impl Writer {
    /// How many commits are best written together, if so many wait: they are one transaction, for
    /// which others wait on SQLite, and nobody elsewhere.
    #[must_use]
    pub fn commits_at_once(&self) -> usize {
        self.database.dialect().pick(COMMITS_ON_SQLITE, COMMITS_ON_SERVERS, COMMITS_ON_SERVERS)
    }

    /// Writes what batches changed, one after the other, and the checkpoint of the last, or
    /// nothing of it all.
    ///
    /// # Errors
    /// [`Error::Fenced`] if somebody else has taken the projection over;
    /// [`Error::Receded`] if the checkpoint is not where the last commit has put it.
    pub async fn commit(&mut self, commits: &[Commit]) -> Result<(), Error> {
        let Some(&Commit { checkpoint, .. }) = commits.last() else { return Ok(()) };
        let merged: Vec<Merged<'_>> = (0..self.tables.len()).map(|table| Merged::of(commits, table)).collect();
        let mut transaction = self.database.begin(Durability::Normal).await?;
        #[cfg(feature = "fault-injection")]
        if crate::fault_injection::commits_apart() {
            // The broken variant that the crash tests must catch: rows first, checkpoint later.
            for (table, merged) in self.tables.iter().zip(&merged) {
                table.write(&mut transaction, merged).await?;
            }
            transaction.commit().await?;
            crate::fault_injection::pause_between().await;
            transaction = self.database.begin(Durability::Normal).await?;
            self.move_checkpoint(&mut transaction, &checkpoint).await?;
            transaction.commit().await?;
            self.at = checkpoint.position;
            return Ok(());
        }
        self.move_checkpoint(&mut transaction, &checkpoint).await?;
        for (table, merged) in self.tables.iter().zip(&merged) {
            if let Err(fault) = table.write(&mut transaction, merged).await {
                drop(transaction);
                return Err(self.refused(table, merged, fault).await);
            }
        }
        // Some constraints are looked at in the end only.
        transaction.commit().await.map_err(Error::of_rows)?;
        self.at = checkpoint.position;
        Ok(())
    }

    /// Moves the checkpoint, if nobody else did. The commit may have waited for the database, which
    /// was restored meanwhile: then its events may not be there any more.
    async fn move_checkpoint(&self, session: &mut dyn Session, checkpoint: &Checkpoint) -> Result<(), Error> {
        let (prepared, id) = (&self.prepared, &self.prepared.id);
        let last_event = checkpoint.last_event.filter(|_| self.has_events);
        let is_there = match last_event {
            Some(_) => " AND EXISTS (SELECT 1 FROM events e WHERE e.position = ? AND e.event_id = ?)",
            None => "",
        };
        #[cfg(feature = "fault-injection")]
        let fence =
            if crate::fault_injection::is_unfenced() { "epoch >= ? AND position >= 0 * ? AND ? <> ''" } else { FENCE };
        #[cfg(not(feature = "fault-injection"))]
        let fence = FENCE;
        let move_it = query(format!(
            "UPDATE fantascope_checkpoints SET position = ?, event_id = ?, event_position = ?, updated_at = ?, digest = ? \
             WHERE projection = ? AND version = ? AND generation = ? AND \"partition\" = ? AND {fence}{is_there}"
        ))
        .bind(checkpoint.position.to_sql())
        .bind(checkpoint.last_event.map(|(_, id)| id))
        .bind(checkpoint.last_event.map(|(position, _)| position.to_sql()))
        .bind(Timestamp::now().0)
        .bind(prepared.digest.to_string())
        .bind(id.projection.to_string())
        .bind(id.version)
        .bind(id.generation)
        .bind(prepared.partition)
        .bind(prepared.epoch)
        .bind(self.at.to_sql())
        .bind(prepared.owner.to_string());
        let move_it = last_event
            .into_iter()
            .fold(move_it, |move_it, (position, event_id)| move_it.bind(position.to_sql()).bind(event_id));
        let moved = move_it.execute(session).await?;
        if moved == 1 { Ok(()) } else { Err(astray(prepared, where_it_stands(session, prepared).await?)) }
    }
}

impl ReadModel {
    /// Checks that the checkpoint of `prepared` is at `position`, where it was put: a database
    /// that was killed may have lost the last commits, rows and checkpoint together.
    ///
    /// # Errors
    /// [`Error::Receded`] if it is not, [`Error::Fenced`] if it belongs to somebody else.
    pub async fn expect_at(&self, prepared: &Prepared, position: Position) -> Result<(), Error> {
        let stands = where_it_stands(&mut self.database.read().await?, prepared).await?;
        if stands == Some((prepared.epoch, position)) { Ok(()) } else { Err(astray(prepared, stands)) }
    }

    /// Changes when the database was lost for a moment, as far as that was noticed.
    #[must_use]
    pub fn losses(&self) -> watch::Receiver<u64> {
        self.database.losses()
    }
}

/// Why a checkpoint is not where it was put.
fn astray(prepared: &Prepared, stands: Option<(i64, Position)>) -> Error {
    let id = prepared.id.clone();
    match stands {
        Some((epoch, _)) if epoch == prepared.epoch => Error::Receded { id },
        _ => Error::Fenced { id },
    }
}

async fn where_it_stands(session: &mut dyn Session, prepared: &Prepared) -> Result<Option<(i64, Position)>, Error> {
    let id = &prepared.id;
    let row = query(
        "SELECT epoch, position FROM fantascope_checkpoints \
         WHERE projection = ? AND version = ? AND generation = ? AND \"partition\" = ? AND owner = ?",
    )
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .bind(prepared.partition)
    .bind(prepared.owner.to_string())
    .optional(session)
    .await?;
    Ok(row
        .map(|row| Ok::<_, sqlx::Error>((row.get("epoch")?, Position::from_sql(row.get("position")?))))
        .transpose()?)
}
