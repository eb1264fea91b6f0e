//! Cells of rows that a database gives, as they are carried here.

use serde_json::{Map, Value};
use sqlx::mysql::MySqlRow;
use sqlx::postgres::{PgRow, PgValueRef};
use sqlx::{Row as _, ValueRef as _};
use time::PrimitiveDateTime;

use database::{Dialect, PgInstant, Row, micros, quote};
use model::change::{Cells, Column, ColumnDefinition, ColumnType};

/// The expressions of `columns` of table or alias `of`, as they are decoded here.
pub(crate) fn expressions(dialect: Dialect, of: &str, columns: &[ColumnDefinition]) -> Vec<String> {
    let expression = |column: &ColumnDefinition| {
        let name = format!("{of}.{}", quote(column.name.as_str()));
        match (dialect, column.of_type) {
            (Dialect::Postgres, ColumnType::Decimal) => format!("{name}::text"),
            (Dialect::MySql, ColumnType::Decimal) => format!("CAST({name} AS CHAR)"),
            _ => name,
        }
    };
    columns.iter().map(expression).collect()
}

/// Adds the cell in place `index` of `row` to `column`.
fn push(column: &mut Column, of_type: ColumnType, row: &Row, index: usize) -> sqlx::Result<()> {
    match row {
        Row::Postgres(row) => push_postgres(column, of_type, row, index),
        Row::MySql(row) => push_mysql(column, of_type, row, index),
        Row::Sqlite(row) => {
            match &mut column.cells {
                Cells::Booleans(values) => match row.try_get::<Option<i64>, _>(index)? {
                    Some(value) => values.push(u8::from(value != 0)),
                    None => return null(column),
                },
                Cells::Integers(values) => match row.try_get(index)? {
                    Some(value) => values.push(value),
                    None => return null(column),
                },
                Cells::Floats(values) => match row.try_get(index)? {
                    Some(value) => values.push(value),
                    None => return null(column),
                },
                Cells::Texts(texts) => match row.try_get::<Option<&str>, _>(index)? {
                    Some(value) => texts.push(value),
                    None => return null(column),
                },
                Cells::Blobs(blobs) => match row.try_get::<Option<&[u8]>, _>(index)? {
                    Some(value) => blobs.push(value),
                    None => return null(column),
                },
            }
            not_null(column)
        }
    }
}

/// Rows as people read them, with `columns` from place `first` on.
pub(crate) fn objects(
    columns: &[ColumnDefinition],
    rows: &[Row],
    first: usize,
) -> sqlx::Result<Vec<Map<String, Value>>> {
    let mut cells: Vec<Column> = columns.iter().map(|column| Column::empty(column.of_type)).collect();
    for row in rows {
        for (index, (cells, column)) in (first..).zip(cells.iter_mut().zip(columns)) {
            push(cells, column.of_type, row, index)?;
        }
    }
    let object = |row: usize| {
        let cells = columns.iter().zip(&cells);
        cells.map(|(column, cells)| (column.name.to_string(), cells.to_json(column.of_type, row))).collect()
    };
    Ok((0..rows.len()).map(object).collect())
}

/// The cell of a row of PostgreSQL, from the bytes as they came.
pub(super) fn push_postgres(column: &mut Column, of_type: ColumnType, row: &PgRow, index: usize) -> sqlx::Result<()> {
    let value: PgValueRef<'_> = row.try_get_raw(index)?;
    if value.is_null() {
        return null(column);
    }
    let bytes = value.as_bytes().map_err(sqlx::Error::Decode)?;
    let eight = || -> sqlx::Result<[u8; 8]> { bytes.try_into().map_err(|_| malformed(of_type)) };
    match &mut column.cells {
        Cells::Booleans(values) => values.push(u8::from(bytes == [1])),
        Cells::Integers(values) if of_type == ColumnType::Timestamp => {
            values.push(PgInstant::from_be_bytes(eight()?).0);
        }
        Cells::Integers(values) => values.push(i64::from_be_bytes(eight()?)),
        Cells::Floats(values) => values.push(f64::from_be_bytes(eight()?)),
        Cells::Texts(texts) => {
            texts.push(std::str::from_utf8(bytes).map_err(|fault| sqlx::Error::Decode(fault.into()))?)
        }
        Cells::Blobs(blobs) => blobs.push(bytes),
    }
    not_null(column)
}

/// The cell of a row of MySQL.
pub(super) fn push_mysql(column: &mut Column, of_type: ColumnType, row: &MySqlRow, index: usize) -> sqlx::Result<()> {
    match &mut column.cells {
        Cells::Booleans(values) => match row.try_get::<Option<bool>, _>(index)? {
            Some(value) => values.push(u8::from(value)),
            None => return null(column),
        },
        Cells::Integers(values) if of_type == ColumnType::Timestamp => {
            match row.try_get::<Option<PrimitiveDateTime>, _>(index)? {
                Some(at) => values.push(micros(at)),
                None => return null(column),
            }
        }
        Cells::Integers(values) => match row.try_get(index)? {
            Some(value) => values.push(value),
            None => return null(column),
        },
        Cells::Floats(values) => match row.try_get(index)? {
            Some(value) => values.push(value),
            None => return null(column),
        },
        Cells::Texts(texts) => match row.try_get::<Option<&str>, _>(index)? {
            // Its decimals come with all the digits that the column can hold.
            Some(value) if of_type == ColumnType::Decimal && value.contains('.') => {
                texts.push(value.trim_end_matches('0').trim_end_matches('.'));
            }
            Some(value) => texts.push(value),
            None => return null(column),
        },
        Cells::Blobs(blobs) => match row.try_get::<Option<&[u8]>, _>(index)? {
            Some(value) => blobs.push(value),
            None => return null(column),
        },
    }
    not_null(column)
}

fn null(column: &mut Column) -> sqlx::Result<()> {
    column.push_null();
    Ok(())
}

fn not_null(column: &mut Column) -> sqlx::Result<()> {
    if !column.nulls.is_empty() {
        column.nulls.push(0);
    }
    Ok(())
}

fn malformed(of_type: ColumnType) -> sqlx::Error {
    sqlx::Error::Decode(format!("the value of a column of type {of_type} has another length").into())
}
