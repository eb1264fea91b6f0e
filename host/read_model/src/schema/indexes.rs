//! Secondary indexes: made when a version has caught up, for keeping them while it is folded
//! from the first event costs several times as much as making them once.

use tokio::task::JoinSet;

use crate::rows::refused::reason;
use crate::schema::ddl::{Index, create_indexes};
use crate::{Error, ReadModel};
use database::{Database, Dialect, Durability, Session, is_data, is_made_meanwhile, query};
use model::change::{TableDefinition, VersionId};
use model::task::Panic;

/// Indexes that are made at once on PostgreSQL: several of the server's processes may sort for an
/// index, but one writes it.
const INDEXES_AT_ONCE: u32 = 2;

impl ReadModel {
    /// Makes those indexes of `id` that are missing.
    ///
    /// # Errors
    /// [`Error::IndexRefused`] if a value has no room in one.
    pub async fn finish_indexes(&self, id: &VersionId, tables: &[TableDefinition]) -> Result<(), Error> {
        let mut waiting = self.missing_indexes(id, tables).await?.into_iter();
        let at_once = match self.dialect() {
            // Those who commit are not kept from all connections.
            Dialect::Postgres => INDEXES_AT_ONCE.min(self.database.writers().div_ceil(2)) as usize,
            // They would wait for each other: for the turn to write, or for the table.
            Dialect::Sqlite | Dialect::MySql => 1,
        };
        let mut making = JoinSet::new();
        loop {
            while making.len() < at_once
                && let Some(index) = waiting.next()
            {
                making.spawn(make(self.database.clone(), id.clone(), index));
            }
            match making.join_next().await {
                Some(made) => made.unwrap_or_else(|fault| Err(Panic::from(fault).into()))?,
                None => return Ok(()),
            }
        }
    }

    async fn missing_indexes(&self, id: &VersionId, tables: &[TableDefinition]) -> Result<Vec<Index>, Error> {
        let mut missing: Vec<Index> =
            tables.iter().flat_map(|table| create_indexes(self.dialect(), id, table)).collect();
        if !self.dialect().has_index_if_not_exists() {
            let there = index_names(&mut self.database.read().await?).await?;
            missing.retain(|index| !there.contains(&index.name));
        }
        Ok(missing)
    }
}

async fn make(database: Database, id: VersionId, index: Index) -> Result<(), Error> {
    let mut transaction = database.begin(Durability::Full).await?;
    let Index { name, statement } = index;
    match query(statement).execute(&mut transaction).await {
        Ok(_) => Ok(transaction.commit().await?),
        Err(fault) if is_made_meanwhile(&fault) => Ok(()),
        Err(fault) if is_data(&fault) => Err(Error::IndexRefused { id, index: name, reason: reason(&fault) }),
        Err(fault) => Err(Error::Database(fault)),
    }
}

/// The names of all indexes of a database of MySQL.
async fn index_names(session: &mut dyn Session) -> Result<Vec<String>, Error> {
    let names =
        query("SELECT DISTINCT index_name AS name FROM information_schema.statistics WHERE table_schema = database()");
    Ok(names.all(session).await?.iter().map(|row| row.get("name")).collect::<sqlx::Result<_>>()?)
}
