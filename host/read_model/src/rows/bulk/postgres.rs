//! PostgreSQL: columns travel as arrays, so a statement is the same for any number of rows.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgCopyIn, PgTypeInfo};
use sqlx::{AssertSqlSafe, Encode, PgConnection, Postgres, Row as _, Type};

use super::cells::push_postgres;
use crate::rows::merge::{Merged, Place, Row};
use crate::schema::ddl::{names, physical_table};
use database::{Dialect, PgInstant, quote};
use model::change::{Cells, Column, ColumnDefinition, ColumnType, Keys, TableDefinition, VersionId};

/// So many new rows are copied in at the least; fewer are inserted.
const COPIED_ROWS_MIN: usize = 128;

/// Rows are sent to be copied in when there are so many bytes of them.
const COPIED_BYTES: usize = 128 << 10;

/// What the binary form of COPY begins with.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Statements of one table.
#[derive(Debug)]
pub(crate) struct Statements {
    put: String,
    /// For rows that are certainly new; none for a table with decimals, whose binary form is
    /// not known here.
    copy: Option<String>,
    delete: String,
    types: Vec<ColumnType>,
    key_columns: usize,
    /// How many bytes the values of a statement may have.
    bytes_max: usize,
}

impl Statements {
    pub(super) fn new(id: &VersionId, table: &TableDefinition, bytes_max: usize) -> Self {
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
            bytes_max,
        }
    }

    pub(super) async fn put(&self, connection: &mut PgConnection, merged: &Merged<'_>) -> sqlx::Result<()> {
        // Half the work of the server, but two round trips more.
        let (new, others): (Vec<Place>, Vec<Place>) = merged.puts.iter().partition(|place| place.is_new);
        let Some(copy) = self.copy.as_ref().filter(|_| new.len() >= COPIED_ROWS_MIN) else {
            return self.upsert(connection, merged, &merged.puts).await;
        };
        let mut into = connection.copy_in_raw(copy).await?;
        if let Err(fault) = self.send(&mut into, merged, &new).await {
            into.abort("not all rows could be sent").await?;
            return Err(fault);
        }
        into.finish().await?;
        self.upsert(connection, merged, &others).await
    }

    /// Sends rows in the binary form of COPY, some at a time: the server takes those while the
    /// next ones are made.
    async fn send(
        &self,
        into: &mut PgCopyIn<&mut PgConnection>,
        merged: &Merged<'_>,
        places: &[Place],
    ) -> sqlx::Result<()> {
        let mut bytes = COPY_HEADER.to_vec();
        for &place in places {
            self.push_row(&mut bytes, merged, place).map_err(sqlx::Error::Encode)?;
            if bytes.len() >= COPIED_BYTES {
                into.send(bytes.as_slice()).await?;
                bytes.clear();
            }
        }
        bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        into.send(bytes).await?;
        Ok(())
    }

    fn push_row(&self, bytes: &mut Vec<u8>, merged: &Merged<'_>, place: Place) -> Result<(), BoxDynError> {
        bytes.extend_from_slice(&i16::try_from(self.types.len())?.to_be_bytes());
        let (keys, values) = self.types.split_at(self.key_columns);
        for (row, types) in [(merged.key(place), keys), (merged.values(place), values)] {
            for (column, &of_type) in row.columns.iter().zip(types) {
                push_cell(bytes, column, of_type, row.row)?;
            }
        }
        Ok(())
    }

    async fn upsert(&self, connection: &mut PgConnection, merged: &Merged<'_>, places: &[Place]) -> sqlx::Result<()> {
        let are_few = merged.bytes() <= self.bytes_max;
        let bytes = |places: &[Place]| places.iter().map(|&place| merged.row_bytes(place)).sum::<usize>();
        let mut waiting = vec![places];
        while let Some(places) = waiting.pop() {
            if are_few || places.len() < 2 || bytes(places) <= self.bytes_max {
                self.upsert_at_once(connection, merged, places).await?;
            } else {
                let (first, others) = places.split_at(places.len() / 2);
                waiting.extend([others, first]);
            }
        }
        Ok(())
    }

    async fn upsert_at_once(
        &self,
        connection: &mut PgConnection,
        merged: &Merged<'_>,
        places: &[Place],
    ) -> sqlx::Result<()> {
        if places.is_empty() {
            return Ok(());
        }
        let rows: Vec<(Row<'_>, Row<'_>)> =
            places.iter().map(|&place| (merged.key(place), merged.values(place))).collect();
        let (keys, values) = self.types.split_at(self.key_columns);
        let mut query = sqlx::query(AssertSqlSafe(self.put.clone()));
        for (number, &of_type) in keys.iter().enumerate() {
            query = query.bind(Array { of_type, cells: rows.iter().map(|(key, _)| key.cell(number)).collect() });
        }
        for (number, &of_type) in values.iter().enumerate() {
            query = query.bind(Array { of_type, cells: rows.iter().map(|(_, row)| row.cell(number)).collect() });
        }
        query.execute(connection).await?;
        Ok(())
    }

    pub(super) async fn delete(&self, connection: &mut PgConnection, merged: &Merged<'_>) -> sqlx::Result<()> {
        if merged.deletes.is_empty() {
            return Ok(());
        }
        let mut query = sqlx::query(AssertSqlSafe(self.delete.clone()));
        for (number, &of_type) in self.types[..self.key_columns].iter().enumerate() {
            let cells = merged.deletes.iter().map(|&place| merged.key(place).cell(number)).collect();
            query = query.bind(Array { of_type, cells });
        }
        query.execute(connection).await?;
        Ok(())
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
        let cells = (0..keys.count).map(|row| (column, row)).collect();
        query = query.bind(Array { of_type: definition.of_type, cells });
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

/// Cells of a column as PostgreSQL takes an array.
struct Array<'a> {
    of_type: ColumnType,
    cells: Vec<(&'a Column, usize)>,
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
        let (element, ..) = carried(self.of_type);
        let has_nulls = i32::from(self.cells.iter().any(|&(column, row)| column.is_null(row)));
        for number in [1, has_nulls, element.cast_signed(), i32::try_from(self.cells.len())?, 1] {
            buffer.extend_from_slice(&number.to_be_bytes());
        }
        for &(column, row) in &self.cells {
            push_cell(buffer, column, self.of_type, row)?;
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
        Cells::Integers(values) if of_type == ColumnType::Timestamp => add(&PgInstant(values[row]).to_be_bytes()?),
        Cells::Integers(values) => add(&values[row].to_be_bytes()),
        Cells::Floats(values) => add(&values[row].to_be_bytes()),
        Cells::Texts(texts) => add(texts.get(row).as_bytes()),
        Cells::Blobs(blobs) => add(blobs.get(row)),
    }
}
