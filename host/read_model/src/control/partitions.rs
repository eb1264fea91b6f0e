//! Checkpoints of partitions: cut, put together, set back.

use crate::control::hosts::recall;
use crate::control::operations::note;
use crate::control::record::standing;
use crate::control::versions::{insert_checkpoint, update};
use crate::{Error, NewOperation, Outcome, ReadModel};
use database::query;
use model::change::VersionId;
use model::event::{Checkpoint, Timestamp};

impl ReadModel {
    /// Cuts `id`, all of whose partitions stand at the same position, into `count`, unless another
    /// host has.
    ///
    /// # Errors
    /// [`Error::Uneven`] if they stand at different positions.
    pub async fn repartition(&self, id: &VersionId, count: u32) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        let before = standing(&mut writing, id).await?;
        let first = before.checkpoints[0];
        if before.checkpoints.iter().any(|checkpoint| checkpoint.position != first.position) {
            return Err(Error::Uneven { id: id.clone() });
        }
        update(&mut writing, id, "workers = ?", None::<u32>).await?;
        if before.checkpoints.len() == count as usize {
            return writing.commit().await;
        }
        query(
            "DELETE FROM fantascope_checkpoints \
             WHERE projection = ? AND version = ? AND generation = ? AND \"partition\" >= ?",
        )
        .bind(id.projection.to_string())
        .bind(id.version)
        .bind(id.generation)
        .bind(count)
        .execute(&mut writing)
        .await?;
        // Whoever folds one of them looks anew how many there are.
        recall(&mut writing, id).await?;
        for partition in u32::try_from(before.checkpoints.len()).unwrap_or(u32::MAX)..count {
            insert_checkpoint(&mut writing, id, partition, first).await?;
        }
        writing.commit().await
    }

    /// Sets `id` back to an earlier position; its rows stay.
    ///
    /// # Errors
    /// [`Error::Uneven`] if it has several partitions.
    pub async fn rewind(&self, id: &VersionId, to: Checkpoint, operation: NewOperation) -> Result<(), Error> {
        let mut writing = self.begin().await?;
        let before = standing(&mut writing, id).await?;
        if before.checkpoints.len() != 1 {
            return Err(Error::Uneven { id: id.clone() });
        }
        query(
            "UPDATE fantascope_checkpoints SET position = ?, event_id = ?, event_position = ?, updated_at = ?, \
             epoch = epoch + 1 \
             WHERE projection = ? AND version = ? AND generation = ?",
        )
        .bind(to.position.to_sql())
        .bind(to.last_event.map(|(_, id)| id))
        .bind(to.last_event.map(|(position, _)| position.to_sql()))
        .bind(Timestamp::now().0)
        .bind(id.projection.to_string())
        .bind(id.version)
        .bind(id.generation)
        .execute(&mut writing)
        .await?;
        let operation = NewOperation { to: Some(before.digest), position: Some(to.position), ..operation };
        note(&mut writing, &operation, Outcome::Done).await?;
        writing.commit().await
    }
}
