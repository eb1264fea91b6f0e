//! Writing rows and checkpoint in one transaction. There is no way to write one
//! without the other.

use std::sync::Arc;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Connection as _, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::ddl::{names, physical_table, quote};
use super::{Error, Prepared, ReadModel};
use crate::change::{Cells, Changes, Column, Keys, Operation, TableDefinition, VersionId};
use crate::database::{Database, Durability, pieces};
use crate::event::{Position, Timestamp};

/// Values that one statement binds at the most; SQLite takes 32,766.
const VALUES_PER_STATEMENT: usize = 2_000;

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
    connection: SqliteConnection,
    prepared: Prepared,
    tables: Vec<TableWriter>,
}

/// Statements of one table that do not depend on the batch.
#[derive(Debug)]
struct TableWriter {
    insert: String,
    row: String,
    on_conflict: String,
    delete: String,
    key: String,
    columns: usize,
    key_columns: usize,
}

impl ReadModel {
    /// The writer of `prepared`.
    ///
    /// # Errors
    /// If the database can't be opened.
    pub async fn writer(&self, prepared: &Prepared, tables: &[TableDefinition]) -> Result<Writer, Error> {
        Ok(Writer {
            database: self.database.clone(),
            connection: self.database.writer(Durability::Normal).await?,
            prepared: prepared.clone(),
            tables: tables.iter().map(|table| TableWriter::new(&prepared.id, table)).collect(),
        })
    }
}

impl Writer {
    /// Writes what a batch changed, and the checkpoint, or nothing of both.
    ///
    /// # Errors
    /// [`Error::Fenced`] if somebody else has taken the projection over.
    pub async fn commit(&mut self, commit: &Commit) -> Result<(), Error> {
        let _turn = self.database.turn_to_write().await;
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        #[cfg(feature = "fault-injection")]
        if super::fault::commits_apart() {
            // The broken variant that the crash tests must catch: rows first, checkpoint later.
            for (table, changed) in self.tables.iter().zip(commit.tables.iter()) {
                table.write(&mut transaction, changed).await?;
            }
            transaction.commit().await?;
            super::fault::pause_between().await;
            transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
            move_checkpoint(&mut transaction, &self.prepared, &commit.checkpoint).await?;
            return Ok(transaction.commit().await?);
        }
        move_checkpoint(&mut transaction, &self.prepared, &commit.checkpoint).await?;
        for (table, changed) in self.tables.iter().zip(commit.tables.iter()) {
            table.write(&mut transaction, changed).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

async fn move_checkpoint(
    connection: &mut SqliteConnection,
    prepared: &Prepared,
    checkpoint: &Checkpoint,
) -> Result<(), Error> {
    let id = &prepared.id;
    let moved = sqlx::query(
        "UPDATE fantascope_checkpoints SET position = ?, event_id = ?, event_position = ?, updated_at = ?, digest = ? \
         WHERE projection = ? AND version = ? AND generation = ? AND partition = ? AND epoch = ?",
    )
    .bind(checkpoint.position.to_sql())
    .bind(checkpoint.last_event.map(|(_, id)| id.as_bytes().to_vec()))
    .bind(checkpoint.last_event.map(|(position, _)| position.to_sql()))
    .bind(Timestamp::now().0)
    .bind(prepared.digest.to_string())
    .bind(id.projection.to_string())
    .bind(id.version)
    .bind(id.generation)
    .bind(prepared.partition)
    .bind(prepared.epoch)
    .execute(connection)
    .await?;
    if moved.rows_affected() == 1 { Ok(()) } else { Err(Error::Fenced { id: id.clone() }) }
}

impl TableWriter {
    fn new(id: &VersionId, table: &TableDefinition) -> Self {
        let physical = quote(&physical_table(id, &table.name));
        let key = names(table.key().iter().map(|column| &column.name));
        let updates: Vec<String> = table
            .values()
            .iter()
            .map(|column| {
                let name = quote(column.name.as_str());
                format!("{name} = excluded.{name}")
            })
            .collect();
        let action =
            if updates.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", updates.join(", ")) };
        Self {
            // OR FAIL: else SQLite keeps a journal for each statement, to undo a part of
            // it. Here a statement that fails takes the whole transaction with it anyway.
            insert: format!(
                "INSERT OR FAIL INTO {physical} ({}) VALUES ",
                names(table.columns.iter().map(|column| &column.name))
            ),
            row: placeholders(table.columns.len()),
            on_conflict: format!(" ON CONFLICT ({key}) DO {action}"),
            delete: format!("DELETE FROM {physical} WHERE ({key}) IN (VALUES "),
            key: placeholders(table.key_columns),
            columns: table.columns.len(),
            key_columns: table.key_columns,
        }
    }

    async fn write(&self, connection: &mut SqliteConnection, changed: &TableChanges) -> sqlx::Result<()> {
        let of = |wanted: Operation| -> Vec<usize> {
            let operations = changed.changes.operations.iter().enumerate();
            operations.filter(|&(_, &operation)| operation == wanted).map(|(row, _)| row).collect()
        };
        self.put(connection, changed, &of(Operation::Put)).await?;
        self.delete(connection, changed, &of(Operation::Delete)).await
    }

    /// `key_rows` are the rows of those keys that are put; value columns hold one row for each.
    async fn put(
        &self,
        connection: &mut SqliteConnection,
        changed: &TableChanges,
        key_rows: &[usize],
    ) -> sqlx::Result<()> {
        for piece in pieces(key_rows.len(), VALUES_PER_STATEMENT / self.columns) {
            let sql = self.statement(&self.insert, &self.row, piece.len(), &self.on_conflict);
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for row in piece {
                for column in &changed.keys.columns {
                    query = bind(query, column, key_rows[row]);
                }
                for column in &changed.changes.columns {
                    query = bind(query, column, row);
                }
            }
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }

    async fn delete(
        &self,
        connection: &mut SqliteConnection,
        changed: &TableChanges,
        key_rows: &[usize],
    ) -> sqlx::Result<()> {
        for piece in pieces(key_rows.len(), VALUES_PER_STATEMENT / self.key_columns) {
            let sql = self.statement(&self.delete, &self.key, piece.len(), ")");
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for row in piece {
                for column in &changed.keys.columns {
                    query = bind(query, column, key_rows[row]);
                }
            }
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }

    fn statement(&self, start: &str, row: &str, rows: usize, end: &str) -> String {
        let mut sql = String::with_capacity(start.len() + (row.len() + 1) * rows + end.len());
        sql.push_str(start);
        for number in 0..rows {
            if number > 0 {
                sql.push(',');
            }
            sql.push_str(row);
        }
        sql.push_str(end);
        sql
    }
}

/// `(?,?,…)` with `count` marks.
fn placeholders(count: usize) -> String {
    format!("({})", vec!["?"; count].join(","))
}

fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    column: &Column,
    row: usize,
) -> Query<'q, Sqlite, SqliteArguments> {
    if column.is_null(row) {
        return query.bind(None::<i64>);
    }
    match &column.cells {
        Cells::Booleans(values) => query.bind(i64::from(values[row])),
        Cells::Integers(values) => query.bind(values[row]),
        Cells::Floats(values) => query.bind(values[row]),
        Cells::Texts(texts) => query.bind(texts.get(row).to_owned()),
        Cells::Blobs(blobs) => query.bind(blobs.get(row).to_owned()),
    }
}
