//! Writing rows and checkpoint in one transaction. There is no way to write one
//! without the other.

use std::sync::Arc;

use uuid::Uuid;

use super::bulk::TableWriter;
use super::{Error, Prepared, ReadModel};
use crate::change::{Changes, Keys, TableDefinition};
use crate::database::{Database, Durability, Session, query};
use crate::event::{Position, Timestamp};

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
            tables: tables.iter().map(table).collect(),
        }
    }
}

impl Writer {
    /// Writes what a batch changed, and the checkpoint, or nothing of both.
    ///
    /// # Errors
    /// [`Error::Fenced`] if somebody else has taken the projection over.
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
            move_checkpoint(&mut transaction, &self.prepared, &commit.checkpoint).await?;
            return Ok(transaction.commit().await?);
        }
        move_checkpoint(&mut transaction, &self.prepared, &commit.checkpoint).await?;
        for (table, changed) in self.tables.iter().zip(commit.tables.iter()) {
            table.write(&mut transaction, changed).await?;
        }
        Ok(transaction.commit().await?)
    }
}

async fn move_checkpoint(session: &mut dyn Session, prepared: &Prepared, checkpoint: &Checkpoint) -> Result<(), Error> {
    let id = &prepared.id;
    #[cfg(feature = "fault-injection")]
    let fence = if super::fault::is_unfenced() { "epoch >= ?" } else { "epoch = ?" };
    #[cfg(not(feature = "fault-injection"))]
    let fence = "epoch = ?";
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
    .execute(session)
    .await?;
    if moved == 1 { Ok(()) } else { Err(Error::Fenced { id: id.clone() }) }
}
