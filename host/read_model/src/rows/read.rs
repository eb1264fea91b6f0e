//! Reading the rows that a batch needs, in one statement per table.

use crate::rows::bulk::read;
use crate::{Error, ReadModel};
use model::change::{Keys, Rows, TableDefinition, VersionId};

impl ReadModel {
    /// Those of the rows with `keys` that exist.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn rows(&self, id: &VersionId, table: &TableDefinition, keys: &Keys) -> Result<Rows, Error> {
        if keys.count == 0 {
            return Ok(Rows::none(table, 0));
        }
        read(&self.database, id, table, keys).await.map_err(Error::of_rows)
    }
}
