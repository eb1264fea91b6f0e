//! PostgreSQL: columns travel as arrays, so a statement is the same for any number of rows.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::{AssertSqlSafe, Encode, PgConnection, Postgres, Row as _, Type};

use super::cells::push_postgres;
use crate::change::{Cells, Column, ColumnDefinition, ColumnType, Keys, TableDefinition, VersionId};
use crate::database::{Dialect, PgInstant, quote};
use crate::read_model::TableChanges;
use crate::read_model::ddl::{names, physical_table};

/// So many new rows are copied in at the least; fewer are inserted.
const COPIED_ROWS_MIN: usize = 128;

/// Statements of one table.
#[derive(Debug)]
pub(in crate::read_model) struct Statements {
    put: String,
    /// For rows that are certainly new; none for a table with decimals, whose binary form is
    /// not known here.
    copy: Option<String>,
    delete: String,
    types: Vec<ColumnType>,
    key_columns: usize,
}

impl Statements {
    pub(super) fn new(id: &VersionId, table: &TableDefinition) -> Self {
        let physical = quote(&physical_table(id, &table.name));
        let quoted = |columns: &[ColumnDefinition]| -> Vec<String> {
            columns.iter().map(|column| quote(column.name.as_str())).collect()
        };
        let all = names(table.columns.iter().map(|column| &column.name));
        let key = quoted(table.key());
        let same: Vec<String> = key.iter().map(|column| format!("t.{column} = u.{column}")).collect();
        let has_decimals = table.columns.iter().any(|column| column.of_type == ColumnType::Decimal);
        let copy = format!("COPY {physical} ({all}) FROM STDIN (FORMAT binary)");
        Self {
            copy: (!has_decimals).then_some(copy),
            put: format!(
                "INSERT INTO {physical} ({all}) SELECT {} FROM {}{}",
                values(&table.columns),
                unnested(&table.columns, "u"),
                Dialect::Postgres.on_conflict(&key, &quoted(table.values()))
            ),
            delete: format!(
                "DELETE FROM {physical} t USING {} WHERE {}",
                unnested(table.key(), "u"),
                same.join(" AND ")
            ),
            types: table.columns.iter().map(|column| column.of_type).collect(),
            key_columns: table.key_columns,
        }
    }

    /// `key_rows` are the rows of those keys that are put; value columns hold one row for each.
    pub(super) async fn put(
        &self,
        connection: &mut PgConnection,
        changed: &TableChanges,
        key_rows: &[usize],
    ) -> sqlx::Result<()> {
        let is_new = |key_row: usize| changed.existing.get(key_row) == Some(&0);
        let puts = key_rows.iter().copied().enumerate();
        let (new, others): (Vec<_>, Vec<_>) = puts.partition(|&(_, key_row)| is_new(key_row));
        // Half the work of the server, but two round trips more.
        let (new, others) = if self.copy.is_some() && new.len() >= COPIED_ROWS_MIN {
            (Rows::of(&new), Rows::of(&others))
        } else {
            let all: Vec<(usize, usize)> = key_rows.iter().copied().enumerate().collect();
            (Rows::of(&[]), Rows::of(&all))
        };
        if let Some(copy) = self.copy.as_ref().filter(|_| !new.keys.is_empty()) {
            let bytes = self.copied(changed, &new).map_err(sqlx::Error::Encode)?;
            let mut into = connection.copy_in_raw(copy).await?;
            if let Err(fault) = into.send(bytes).await {
                into.abort("not all rows could be sent").await?;
                return Err(fault);
            }
            into.finish().await?;
        }
        if others.keys.is_empty() {
            return Ok(());
        }
        let mut query = sqlx::query(AssertSqlSafe(self.put.clone()));
        let (keys, values) = self.types.split_at(self.key_columns);
        for (column, &of_type) in changed.keys.columns.iter().zip(keys) {
            query = query.bind(Array { column, of_type, rows: Some(&others.keys) });
        }
        for (column, &of_type) in changed.changes.columns.iter().zip(values) {
            query = query.bind(Array { column, of_type, rows: Some(&others.values) });
        }
        query.execute(connection).await?;
        Ok(())
    }

    /// Rows in the binary form of COPY.
    fn copied(&self, changed: &TableChanges, rows: &Rows) -> Result<Vec<u8>, BoxDynError> {
        let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        let columns = i16::try_from(self.types.len())?.to_be_bytes();
        let (keys, values) = self.types.split_at(self.key_columns);
        for (&key_row, &row) in rows.keys.iter().zip(&rows.values) {
            bytes.extend_from_slice(&columns);
            for (column, &of_type) in changed.keys.columns.iter().zip(keys) {
                push_cell(&mut bytes, column, of_type, key_row)?;
            }
            for (column, &of_type) in changed.changes.columns.iter().zip(values) {
                push_cell(&mut bytes, column, of_type, row)?;
            }
        }
        bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        Ok(bytes)
    }

    pub(super) async fn delete(
        &self,
        connection: &mut PgConnection,
        changed: &TableChanges,
        key_rows: &[usize],
    ) -> sqlx::Result<()> {
        if key_rows.is_empty() {
            return Ok(());
        }
        let mut query = sqlx::query(AssertSqlSafe(self.delete.clone()));
        for (column, &of_type) in changed.keys.columns.iter().zip(&self.types) {
            query = query.bind(Array { column, of_type, rows: Some(key_rows) });
        }
        query.execute(connection).await?;
        Ok(())
    }
}

/// Rows of keys, and for each the row of its values.
struct Rows {
    keys: Vec<usize>,
    values: Vec<usize>,
}

impl Rows {
    /// From pairs of a row of values and a row of keys.
    fn of(pairs: &[(usize, usize)]) -> Self {
        let (values, keys) = pairs.iter().copied().unzip();
        Self { keys, values }
    }
}

/// Which of `keys` there are, and the values of their rows.
pub(super) async fn read(
    connection: &mut PgConnection,
    id: &VersionId,
    table: &TableDefinition,
    keys: &Keys,
) -> sqlx::Result<(Vec<u32>, Vec<Column>)> {
    let key = names(table.key().iter().map(|column| &column.name));
    let same: Vec<String> = table.key().iter().map(|column| quote(column.name.as_str())).collect();
    let same: Vec<String> = same.iter().map(|column| format!("t.{column} = w.{column}")).collect();
    // The limit keeps the planner from anything but looking up key after key, whatever it
    // believes of a table that it has no figures of yet.
    let sql = format!(
        "SELECT {} FROM unnest({}) WITH ORDINALITY AS w({key}, n) CROSS JOIN LATERAL \
         (SELECT * FROM {} t WHERE {} LIMIT 1) t ORDER BY w.n",
        selected("t", table.values(), "w.n"),
        arrays(table.key()),
        quote(&physical_table(id, &table.name)),
        same.join(" AND ")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (column, definition) in keys.columns.iter().zip(table.key()) {
        query = query.bind(Array { column, of_type: definition.of_type, rows: None });
    }
    let rows = query.fetch_all(connection).await?;
    let mut numbers = Vec::with_capacity(rows.len());
    let mut columns: Vec<Column> = table.values().iter().map(|column| Column::empty(column.of_type)).collect();
    for row in &rows {
        let number: i64 = row.try_get(0)?;
        numbers.push(u32::try_from(number - 1).unwrap_or_default());
        for (index, (column, definition)) in columns.iter_mut().zip(table.values()).enumerate() {
            push_postgres(column, definition.of_type, row, index + 1)?;
        }
    }
    Ok((numbers, columns))
}

/// The values of `columns` of table or alias `of` as they are decoded, after `first`.
fn selected(of: &str, columns: &[ColumnDefinition], first: &str) -> String {
    let mut selected = vec![first.to_owned()];
    selected.extend(super::cells::expressions(Dialect::Postgres, of, columns));
    selected.join(", ")
}

/// `unnest($1::text[], …) AS alias(columns)`.
fn unnested(columns: &[ColumnDefinition], alias: &str) -> String {
    format!("unnest({}) AS {alias}({})", arrays(columns), names(columns.iter().map(|column| &column.name)))
}

fn arrays(columns: &[ColumnDefinition]) -> String {
    let array = |(number, column): (usize, &ColumnDefinition)| format!("${number}::{}[]", carried(column.of_type).1);
    (1..).zip(columns).map(array).collect::<Vec<_>>().join(", ")
}

/// The unnested columns, made what the table has.
fn values(columns: &[ColumnDefinition]) -> String {
    let value = |column: &ColumnDefinition| {
        let name = format!("u.{}", quote(column.name.as_str()));
        if column.of_type == ColumnType::Decimal { format!("{name}::numeric") } else { name }
    };
    columns.iter().map(value).collect::<Vec<_>>().join(", ")
}

/// How values travel: the type's number, its name, and the number of arrays of it.
fn carried(of_type: ColumnType) -> (u32, &'static str, u32) {
    match of_type {
        ColumnType::Boolean => (16, "boolean", 1000),
        ColumnType::Integer => (20, "bigint", 1016),
        ColumnType::Float => (701, "double precision", 1022),
        ColumnType::Decimal | ColumnType::Text => (25, "text", 1009),
        ColumnType::Json => (114, "json", 199),
        ColumnType::Bytes => (17, "bytea", 1001),
        ColumnType::Timestamp => (1184, "timestamptz", 1185),
        ColumnType::Uuid => (2950, "uuid", 2951),
    }
}

/// A column as PostgreSQL takes an array; only `rows` of it, if they are given.
struct Array<'a> {
    column: &'a Column,
    of_type: ColumnType,
    rows: Option<&'a [usize]>,
}

impl Type<Postgres> for Array<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1009))
    }
}

impl Encode<'_, Postgres> for Array<'_> {
    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(carried(self.of_type).2)))
    }

    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let count = self.rows.map_or(self.column.len(), <[usize]>::len);
        let (element, ..) = carried(self.of_type);
        let has_nulls = i32::from(!self.column.nulls.is_empty());
        for number in [1, has_nulls, element.cast_signed(), i32::try_from(count)?, 1] {
            buffer.extend_from_slice(&number.to_be_bytes());
        }
        let mut push = |row| push_cell(buffer, self.column, self.of_type, row);
        match self.rows {
            Some(rows) => rows.iter().try_for_each(|&row| push(row))?,
            None => (0..count).try_for_each(push)?,
        }
        Ok(IsNull::No)
    }
}

/// A cell as it travels: its length, or -1 for null, and its bytes.
fn push_cell(buffer: &mut Vec<u8>, column: &Column, of_type: ColumnType, row: usize) -> Result<(), BoxDynError> {
    if column.is_null(row) {
        buffer.extend_from_slice(&(-1_i32).to_be_bytes());
        return Ok(());
    }
    let mut add = |bytes: &[u8]| -> Result<(), BoxDynError> {
        buffer.extend_from_slice(&i32::try_from(bytes.len())?.to_be_bytes());
        buffer.extend_from_slice(bytes);
        Ok(())
    };
    match &column.cells {
        Cells::Booleans(values) => add(&[values[row]]),
        Cells::Integers(values) if of_type == ColumnType::Timestamp => add(&PgInstant(values[row]).to_bytes()?),
        Cells::Integers(values) => add(&values[row].to_be_bytes()),
        Cells::Floats(values) => add(&values[row].to_be_bytes()),
        Cells::Texts(texts) => add(texts.get(row).as_bytes()),
        Cells::Blobs(blobs) => add(blobs.get(row)),
    }
}
