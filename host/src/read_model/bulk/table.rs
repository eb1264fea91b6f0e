//! Rows of one table, whatever the database.

use super::statements::Statements;
use super::{mysql, postgres, sqlite};
use crate::change::{Keys, Rows, TableDefinition, VersionId};
use crate::database::{Dialect, Flavour, Link, Session};
use crate::read_model::merge::Merged;

/// Statements of one table that do not depend on the batch.
#[derive(Debug)]
pub(in crate::read_model) enum TableWriter {
    Sqlite(Statements),
    Postgres(postgres::Statements),
    MySql(Statements),
}

impl TableWriter {
    pub(in crate::read_model) fn new(dialect: Dialect, id: &VersionId, table: &TableDefinition) -> Self {
        match dialect {
            Dialect::Sqlite => Self::Sqlite(Statements::new(dialect, id, table)),
            Dialect::Postgres => Self::Postgres(postgres::Statements::new(id, table)),
            Dialect::MySql => Self::MySql(Statements::new(dialect, id, table)),
        }
    }

    /// Writes what changed, in the caller's transaction.
    pub(in crate::read_model) async fn write(
        &self,
        session: &mut dyn Session,
        merged: &Merged<'_>,
    ) -> sqlx::Result<()> {
        let written = match (self, session.link()) {
            (Self::Sqlite(statements), Link::Sqlite(connection)) => {
                sqlite::put(connection, statements, merged).await?;
                sqlite::delete(connection, statements, merged).await
            }
            (Self::Postgres(statements), Link::Postgres(connection)) => {
                statements.put(connection, merged).await?;
                statements.delete(connection, merged).await
            }
            (Self::MySql(statements), Link::MySql(connection)) => {
                mysql::put(connection, statements, merged).await?;
                mysql::delete(connection, statements, merged).await
            }
            _ => unreachable!("a table is written in the database that it is in"),
        };
        session.answered(written.as_ref().err());
        written
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
    session.answered(None);
    let mut present = vec![0; keys.count];
    for &number in &numbers {
        present[number as usize] = 1;
    }
    debug_assert!(numbers.is_sorted(), "rows come in the order of the keys that were asked for");
    Ok(Rows { present, columns })
}
