//! SQLite: many rows a statement; what is read comes as one JSON text.

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

use super::packed::{decode, expressions};
use super::statements::{Statements, keys_as_json};
use crate::rows::merge::{Merged, Row};
use crate::schema::ddl::physical_table;
use database::{pieces, quote};
use model::change::{Cells, Column, Keys, TableDefinition, VersionId};

/// Values that one statement binds at the most; SQLite takes 32,766.
const VALUES_PER_STATEMENT: usize = 2_000;

/// Puts the rows of `merged`.
pub(super) async fn put(
    connection: &mut SqliteConnection,
    statements: &Statements,
    merged: &Merged<'_>,
) -> sqlx::Result<()> {
    for piece in pieces(merged.puts.len(), VALUES_PER_STATEMENT / statements.types.len()) {
        let mut query = sqlx::query(AssertSqlSafe(statements.put(piece.len())));
        for &place in &merged.puts[piece] {
            query = bind(query, merged.key(place));
            query = bind(query, merged.values(place));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Deletes the rows of `merged`.
pub(super) async fn delete(
    connection: &mut SqliteConnection,
    statements: &Statements,
    merged: &Merged<'_>,
) -> sqlx::Result<()> {
    for piece in pieces(merged.deletes.len(), VALUES_PER_STATEMENT / statements.key_columns) {
        let mut query = sqlx::query(AssertSqlSafe(statements.delete(piece.len())));
        for &place in &merged.deletes[piece] {
            query = bind(query, merged.key(place));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

fn bind<'q>(query: Query<'q, Sqlite, SqliteArguments>, cells: Row<'_>) -> Query<'q, Sqlite, SqliteArguments> {
    cells.columns.iter().fold(query, |query, column| bind_cell(query, column, cells.row))
}

fn bind_cell<'q>(
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

/// Which of `keys` there are, and the values of their rows.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    id: &VersionId,
    table: &TableDefinition,
    keys: &Keys,
) -> sqlx::Result<(Vec<u32>, Vec<Column>)> {
    // The keys travel as one JSON text, so that the statement is always the same.
    let key_values: Vec<String> = (0..table.key_columns)
        .map(|number| match keys.columns[number].cells {
            Cells::Blobs(_) => format!("unhex(w.value ->> {number})"),
            _ => format!("w.value ->> {number}"),
        })
        .collect();
    let condition: Vec<String> = table
        .key()
        .iter()
        .zip(&key_values)
        .map(|(column, value)| format!("t.{} = {value}", quote(column.name.as_str())))
        .collect();
    let mut cells = vec!["w.key".to_owned()];
    cells.extend(expressions("t", table.values()));
    // json_each gives its items in order, and the join keeps it.
    let sql = format!(
        "SELECT json_group_array(json_array({})) FROM json_each(?) w CROSS JOIN {} t WHERE {}",
        cells.join(", "),
        quote(&physical_table(id, &table.name)),
        condition.join(" AND ")
    );
    let (json,): (String,) =
        sqlx::query_as(AssertSqlSafe(sql)).bind(keys_as_json(keys, 0..keys.count)).fetch_one(connection).await?;
    decode(&json, table.values()).map_err(|fault| sqlx::Error::Decode(fault.into()))
}
