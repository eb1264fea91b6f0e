//! Rows of one table, whatever the database.

use super::{mysql, postgres, sqlite};
use crate::change::{Keys, Operation, Rows, TableDefinition, VersionId};
use crate::database::{Dialect, Flavour, Link, Session};
use crate::read_model::TableChanges;

/// Statements of one table that do not depend on the batch.
#[derive(Debug)]
pub(in crate::read_model) enum TableWriter {
    Sqlite(sqlite::Statements),
    Postgres(postgres::Statements),
    MySql(mysql::Statements),
}

impl TableWriter {
    pub(in crate::read_model) fn new(dialect: Dialect, id: &VersionId, table: &TableDefinition) -> Self {
        match dialect {
            Dialect::Sqlite => Self::Sqlite(sqlite::Statements::new(id, table)),
            Dialect::Postgres => Self::Postgres(postgres::Statements::new(id, table)),
            Dialect::MySql => Self::MySql(mysql::Statements::new(id, table)),
        }
    }

    /// Writes what changed, in the caller's transaction.
    pub(in crate::read_model) async fn write(
        &self,
        session: &mut dyn Session,
        changed: &TableChanges,
    ) -> sqlx::Result<()> {
        let rows_of = |wanted: Operation| -> Vec<usize> {
            let operations = changed.changes.operations.iter().enumerate();
            operations.filter(|&(_, &operation)| operation == wanted).map(|(row, _)| row).collect()
        };
        let (put, deleted) = (rows_of(Operation::Put), rows_of(Operation::Delete));
        match (self, session.link()) {
            (Self::Sqlite(table), Link::Sqlite(connection)) => {
                table.put(connection, changed, &put).await?;
                table.delete(connection, changed, &deleted).await
            }
            (Self::Postgres(table), Link::Postgres(connection)) => {
                table.put(connection, changed, &put).await?;
                table.delete(connection, changed, &deleted).await
            }
            (Self::MySql(table), Link::MySql(connection)) => {
                table.put(connection, changed, &put).await?;
                table.delete(connection, changed, &deleted).await
            }
            _ => unreachable!("a table is written in the database that it is in"),
        }
    }
}

/// Those of the rows with `keys` that exist.
pub(in crate::read_model) async fn read(
    session: &mut dyn Session,
    flavour: Flavour,
    id: &VersionId,
    table: &TableDefinition,
    keys: &Keys,
) -> sqlx::Result<Rows> {
    let (numbers, columns) = match session.link() {
        Link::Sqlite(connection) => sqlite::read(connection, id, table, keys).await?,
        Link::Postgres(connection) => postgres::read(connection, id, table, keys).await?,
        Link::MySql(connection) => mysql::read(connection, flavour, id, table, keys).await?,
    };
    let mut present = vec![0; keys.count];
    for &number in &numbers {
        present[number as usize] = 1;
    }
    debug_assert!(numbers.is_sorted(), "rows come in the order of the keys that were asked for");
    Ok(Rows { present, columns })
}
