//! A transaction that writes, with the turn to do so.

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::OwnedMutexGuard;

use super::{Error, ReadModel};
use crate::database::Durability;

/// A transaction. Dropped without [`Writing::commit`] nothing of it is done.
#[derive(Debug)]
pub(super) struct Writing {
    connection: SqliteConnection,
    _turn: OwnedMutexGuard<()>,
}

impl ReadModel {
    /// Waits for the turn to write, and begins.
    pub(super) async fn begin(&self) -> Result<Writing, Error> {
        let turn = self.database.turn_to_write().await;
        let mut connection = self.database.writer(Durability::Full).await?;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await?;
        Ok(Writing { connection, _turn: turn })
    }
}

impl Writing {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Makes it so, all at once.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        self.connection.close().await?;
        Ok(())
    }
}
