//! Rows of one table, whatever the database.

use super::statements::Statements;
use super::{mysql, postgres, sqlite};
use crate::rows::merge::Merged;
use crate::schema::fits::STATEMENT_BYTES;
use database::{Database, Dialect, Link, Session};
use model::change::{Keys, Rows, TableDefinition, VersionId};

/// What writes the rows of one table.
#[derive(Debug)]
pub(crate) struct TableWriter {
    pub(crate) table: TableDefinition,
    pub(crate) id: VersionId,
    statements: InDialect,
}

/// Statements that do not depend on the batch.
#[derive(Debug)]
enum InDialect {
    Sqlite(Statements),
    Postgres(postgres::Statements),
    MySql(Statements),
}

impl TableWriter {
    pub(crate) fn new(database: &Database, id: &VersionId, table: &TableDefinition) -> Self {
        let bytes_max = database.statement_bytes_max().saturating_sub(STATEMENT_BYTES);
        let statements = match database.dialect() {
            Dialect::Sqlite => InDialect::Sqlite(Statements::new(Dialect::Sqlite, id, table, bytes_max)),
            Dialect::Postgres => InDialect::Postgres(postgres::Statements::new(id, table, bytes_max)),
            Dialect::MySql => InDialect::MySql(Statements::new(Dialect::MySql, id, table, bytes_max)),
        };
        Self { table: table.clone(), id: id.clone(), statements }
    }

    /// Writes what changed, in the caller's transaction.
    pub(crate) async fn write(&self, session: &mut dyn Session, merged: &Merged<'_>) -> sqlx::Result<()> {
        let written = match (&self.statements, session.link()) {
            (InDialect::Sqlite(statements), Link::Sqlite(connection)) => {
                sqlite::put(connection, statements, merged).await?;
                sqlite::delete(connection, statements, merged).await
            }
            (InDialect::Postgres(statements), Link::Postgres(connection)) => {
                statements.put(connection, merged).await?;
                statements.delete(connection, merged).await
            }
            (InDialect::MySql(statements), Link::MySql(connection)) => {
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
pub(crate) async fn read(
    database: &Database,
    id: &VersionId,
    table: &TableDefinition,
    keys: &Keys,
) -> sqlx::Result<Rows> {
    let mut session = database.read().await?;
    let found = match session.link() {
        Link::Sqlite(connection) => sqlite::read(connection, id, table, keys).await,
        Link::Postgres(connection) => postgres::read(connection, id, table, keys).await,
        Link::MySql(connection) => mysql::read(connection, database, id, table, keys).await,
    };
    session.answered(found.as_ref().err());
    let (numbers, columns) = found?;
    let mut present = vec![0; keys.count];
    for &number in &numbers {
        present[number as usize] = 1;
    }
    debug_assert!(numbers.is_sorted(), "rows come in the order of the keys that were asked for");
    Ok(Rows { present, columns })
}
