//! Writing rows and checkpoint in one transaction. There is no way to write one
//! without the other.

use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use super::bulk::TableWriter;
use super::{Error, Prepared, ReadModel};
use crate::change::{Changes, Keys, TableDefinition};
use crate::database::{Database, Durability, Session, query};
use crate::event::{Position, Timestamp};

/// Whose checkpoint it is, and where the last commit has put it: a server that was killed may
/// have lost commits of rows, and rows that come after a gap would be wrong.
const FENCE: &str = "epoch = ? AND position = ?";

/// How far a projection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Everything up to here is folded.
    pub position: Position,
    /// The last event at or before `position`: it must still be there later.
    pub last_event: Option<(Position, Uuid)>,
}

/// What becomes of the rows of one table.
#[derive(Clone, Debug)]
pub struct TableChanges {
    pub keys: Keys,
    pub changes: Changes,
    /// Per key: 0 if there certainly is no such row yet. Empty if that is not known.
    pub existing: Vec<u8>,
}

/// What one batch changes: per table, in the order of the manifest, and the checkpoint.
#[derive(Clone, Debug)]
pub struct Commit {
    pub tables: Arc<Vec<TableChanges>>,
    pub checkpoint: Checkpoint,
}

/// The one writer of a version's rows.
#[derive(Debug)]
pub struct Writer {
    database: Database,
    prepared: Prepared,
    /// Where it stands, if the database has lost nothing.
    at: Position,
    tables: Vec<TableWriter>,
}

impl ReadModel {
    /// The writer of `prepared`.
    #[must_use]
    pub fn writer(&self, prepared: &Prepared, tables: &[TableDefinition]) -> Writer {
        let table = |table| TableWriter::new(self.dialect(), &prepared.id, table);
        Writer {
            database: self.database.clone(),
            prepared: prepared.clone(),
            at: prepared.checkpoint.position,
            tables: tables.iter().map(table).collect(),
        }
    }
}

impl Writer {
    /// Writes what a batch changed, and the checkpoint, or nothing of both.
    ///
    /// # Errors
    /// [`Error::Fenced`] if somebody else has taken the projection over;
    /// [`Error::Receded`] if the checkpoint is not where the last commit has put it.
    pub async fn commit(&mut self, commit: &Commit) -> Result<(), Error> {
        let mut transaction = self.database.begin(Durability::Normal).await?;
        #[cfg(feature = "fault-injection")]
        if super::fault::commits_apart() {
            // The broken variant that the crash tests must catch: rows first, checkpoint later.
            for (table, changed) in self.tables.iter().zip(commit.tables.iter()) {
                table.write(&mut transaction, changed).await?;
            }
            transaction.commit().await?;
            super::fault::pause_between().await;
            transaction = self.database.begin(Durability::Normal).await?;
            move_checkpoint(&mut transaction, &self.prepared, self.at, &commit.checkpoint).await?;
            transaction.commit().await?;
            self.at = commit.checkpoint.position;
            return Ok(());
        }
        move_checkpoint(&mut transaction, &self.prepared, self.at, &commit.checkpoint).await?;
        for (table, changed) in self.tables.iter().zip(commit.tables.iter()) {
            table.write(&mut transaction, changed).await?;
        }
        transaction.commit().await?;
        self.at = commit.checkpoint.position;
        Ok(())
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
         WHERE projection = ? AND version = ? AND generation = ? AND \"partition\" = ?",
    )
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .bind(prepared.partition)
    .optional(session)
    .await?;
    Ok(row
        .map(|row| Ok::<_, sqlx::Error>((row.get("epoch")?, Position::from_sql(row.get("position")?))))
        .transpose()?)
}

async fn move_checkpoint(
    session: &mut dyn Session,
    prepared: &Prepared,
    from: Position,
    checkpoint: &Checkpoint,
) -> Result<(), Error> {
    let id = &prepared.id;
    #[cfg(feature = "fault-injection")]
    let fence = if super::fault::is_unfenced() { "epoch >= ? AND position >= 0 * ?" } else { FENCE };
    #[cfg(not(feature = "fault-injection"))]
    let fence = FENCE;
    // The time is written each time, so that MySQL too counts the row as written.
    let moved = query(format!(
        "UPDATE fantascope_checkpoints SET position = ?, event_id = ?, event_position = ?, updated_at = ?, digest = ? \
         WHERE projection = ? AND version = ? AND generation = ? AND \"partition\" = ? AND {fence}"
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
    .bind(from.to_sql())
    .execute(session)
    .await?;
    if moved == 1 { Ok(()) } else { Err(astray(prepared, where_it_stands(session, prepared).await?)) }
}
