//! MySQL and MariaDB: many rows a statement; keys to read by travel as one JSON text.

use sqlx::mysql::{MySqlArguments, MySqlConnection};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, MySql, Row as _};
use time::PrimitiveDateTime;

use super::cells::{expressions, push_mysql};
use super::statements::{Statements, keys_as_json};
use crate::rows::merge::{Merged, Row};
use crate::schema::ddl::physical_table;
use crate::schema::fits::{CELL_BYTES, STATEMENT_BYTES};
use database::{Database, Dialect, Flavour, date_time, pieces_within, quote};
use model::change::{Cells, Column, ColumnType, Keys, TableDefinition, VersionId};

/// Values that one statement binds at the most; the server takes 65,535.
const VALUES_PER_STATEMENT: usize = 16_000;

/// Rows that one DELETE names at the most: with many more the server gives up looking each one
/// up, and goes through the table.
const DELETES_PER_STATEMENT: usize = 512;

/// Puts the rows of `merged`.
pub(super) async fn put(
    connection: &mut MySqlConnection,
    statements: &Statements,
    merged: &Merged<'_>,
) -> sqlx::Result<()> {
    let (keys, values) = statements.types.split_at(statements.key_columns);
    let columns = statements.types.len();
    let bytes = |row: usize| merged.row_bytes(merged.puts[row]) + columns * CELL_BYTES;
    for piece in pieces_within(merged.puts.len(), VALUES_PER_STATEMENT / columns, statements.bytes_max, bytes) {
        let mut query = sqlx::query(AssertSqlSafe(statements.put(piece.len())));
        for &place in &merged.puts[piece] {
            query = bind(query, merged.key(place), keys)?;
            query = bind(query, merged.values(place), values)?;
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Deletes the rows of `merged`.
pub(super) async fn delete(
    connection: &mut MySqlConnection,
    statements: &Statements,
    merged: &Merged<'_>,
) -> sqlx::Result<()> {
    let keys = &statements.types[..statements.key_columns];
    let bytes = |row: usize| merged.row_bytes(merged.deletes[row]) + statements.key_columns * CELL_BYTES;
    for piece in pieces_within(merged.deletes.len(), DELETES_PER_STATEMENT, statements.bytes_max, bytes) {
        let mut query = sqlx::query(AssertSqlSafe(statements.delete(piece.len())));
        for &place in &merged.deletes[piece] {
            query = bind(query, merged.key(place), keys)?;
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

fn bind<'q>(
    mut query: Query<'q, MySql, MySqlArguments>,
    cells: Row<'_>,
    types: &[ColumnType],
) -> sqlx::Result<Query<'q, MySql, MySqlArguments>> {
    for (column, &of_type) in cells.columns.iter().zip(types) {
        query = bind_cell(query, column, of_type, cells.row)?;
    }
    Ok(query)
}

fn bind_cell<'q>(
    query: Query<'q, MySql, MySqlArguments>,
    column: &Column,
    of_type: ColumnType,
    row: usize,
) -> sqlx::Result<Query<'q, MySql, MySqlArguments>> {
    if column.is_null(row) {
        return Ok(query.bind(None::<i64>));
    }
    Ok(match &column.cells {
        Cells::Booleans(values) => query.bind(values[row] != 0),
        Cells::Integers(values) if of_type == ColumnType::Timestamp => {
            let at: PrimitiveDateTime = date_time(values[row])?;
            query.bind(at)
        }
        Cells::Integers(values) => query.bind(values[row]),
        Cells::Floats(values) => query.bind(values[row]),
        Cells::Texts(texts) => query.bind(texts.get(row).to_owned()),
        Cells::Blobs(blobs) => query.bind(blobs.get(row).to_owned()),
    })
}

/// Which of `keys` there are, and the values of their rows.
pub(super) async fn read(
    connection: &mut MySqlConnection,
    database: &Database,
    id: &VersionId,
    table: &TableDefinition,
    keys: &Keys,
) -> sqlx::Result<(Vec<u32>, Vec<Column>)> {
    let mut wanted = vec!["n FOR ORDINALITY".to_owned()];
    let mut same = Vec::new();
    for (number, column) in table.key().iter().enumerate() {
        let (of_type, value) = key_column(column.of_type, number, database.flavour());
        wanted.push(format!("k{number} {of_type} PATH '$[{number}]'"));
        same.push(format!("t.{} = {value}", quote(column.name.as_str())));
    }
    let mut selected = vec!["w.n".to_owned()];
    selected.extend(expressions(Dialect::MySql, "t", table.values()));
    // Key after key, in their order: else the server may go through the whole table.
    let sql = format!(
        "SELECT {} FROM JSON_TABLE(?, '$[*]' COLUMNS ({})) AS w STRAIGHT_JOIN {} t ON {} ORDER BY w.n",
        selected.join(", "),
        wanted.join(", "),
        quote(&physical_table(id, &table.name)),
        same.join(" AND ")
    );
    let keys = with_dates(table, keys)?;
    let bytes_max = database.statement_bytes_max().saturating_sub(STATEMENT_BYTES);
    let mut numbers = Vec::with_capacity(keys.count);
    let mut columns: Vec<Column> = table.values().iter().map(|column| Column::empty(column.of_type)).collect();
    let all = 0..keys.count;
    let mut waiting = vec![all];
    while let Some(wanted) = waiting.pop() {
        let json = keys_as_json(&keys, wanted.clone());
        if json.len() > bytes_max && wanted.len() > 1 {
            let half = wanted.start + wanted.len() / 2;
            waiting.extend([half..wanted.end, wanted.start..half]);
            continue;
        }
        let first = i64::try_from(wanted.start).map_err(|fault| sqlx::Error::Encode(fault.into()))?;
        for row in sqlx::query(AssertSqlSafe(sql.clone())).bind(json).fetch_all(&mut *connection).await? {
            let number: i64 = row.try_get(0)?;
            numbers.push(u32::try_from(first + number - 1).unwrap_or_default());
            for (index, (column, definition)) in columns.iter_mut().zip(table.values()).enumerate() {
                push_mysql(column, definition.of_type, &row, index + 1)?;
            }
        }
    }
    Ok((numbers, columns))
}

/// How a key's column travels in JSON, and what it is compared as.
fn key_column(of_type: ColumnType, number: usize, flavour: Flavour) -> (&'static str, String) {
    let name = format!("w.k{number}");
    match of_type {
        ColumnType::Boolean | ColumnType::Integer => ("BIGINT", name),
        ColumnType::Timestamp => ("VARCHAR(40)", format!("CAST({name} AS DATETIME(6))")),
        ColumnType::Decimal => ("VARCHAR(50)", format!("CAST({name} AS DECIMAL(65,30))")),
        ColumnType::Bytes | ColumnType::Uuid => ("VARCHAR(6144)", format!("UNHEX({name})")),
        ColumnType::Text | ColumnType::Json | ColumnType::Float => {
            ("VARCHAR(768) CHARACTER SET utf8mb4", format!("({name} COLLATE {})", flavour.exact_collation()))
        }
    }
}

/// `keys`, with times as the texts that MySQL reads.
fn with_dates(table: &TableDefinition, keys: &Keys) -> sqlx::Result<Keys> {
    let mut keys = keys.clone();
    for (column, definition) in keys.columns.iter_mut().zip(table.key()) {
        if let (ColumnType::Timestamp, Cells::Integers(values)) = (definition.of_type, &column.cells) {
            let texts = values.iter().map(|&at| date_time(at).map(|at| at.to_string()));
            let texts: Vec<String> = texts.collect::<sqlx::Result<_>>()?;
            column.cells = Cells::Texts(texts.iter().map(String::as_str).collect());
        }
    }
    Ok(keys)
}
