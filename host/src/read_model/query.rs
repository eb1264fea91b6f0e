//! Reading rows for people and other programs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sqlx::query_builder::QueryBuilder;
use sqlx::{Sqlite, SqliteConnection};
use uuid::Uuid;

use super::ddl::{names, physical_table, quote};
use super::packed::{decode_objects, expressions};
use super::{Error, ReadModel};
use crate::change::{ColumnDefinition, ColumnType, TableDefinition, VersionId};
use crate::event::Timestamp;

/// A column that must have a value, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub column: String,
    pub value: String,
}

/// Which rows to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// All of them must hold.
    pub conditions: Vec<Condition>,
    /// At most so many.
    pub limit: usize,
    /// `next` of the answer before.
    pub after: Option<String>,
}

/// Rows, in the order of the key.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRows {
    pub rows: Vec<Map<String, Value>>,
    /// Where the next page begins, if there may be one.
    pub next: Option<String>,
}

/// Why rows can't be read.
#[derive(Debug, thiserror::Error)]
pub enum QueryFault {
    #[error("table `{table}` has no column `{column}`: it has {known}")]
    Column { table: String, column: String, known: String },
    #[error("`{value}` is not a value of column `{column}`, which is a {of_type}")]
    Value { column: String, value: String, of_type: ColumnType },
    #[error("`after` is not what an earlier answer gave as `next`")]
    Cursor,
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<sqlx::Error> for QueryFault {
    fn from(source: sqlx::Error) -> Self {
        Self::Failed(Error::Database(source))
    }
}

impl ReadModel {
    /// Rows of `table` of version `id`.
    ///
    /// # Errors
    /// If the query does not fit the table, or the database can't be read.
    pub async fn query(&self, id: &VersionId, table: &TableDefinition, query: &Query) -> Result<TableRows, QueryFault> {
        let sql = build(id, table, query)?;
        let mut connection = self.readers.acquire().await?;
        let json = run(&mut connection, sql).await?;
        let unreadable = |fault: serde_json::Error| Error::Unreadable { id: id.clone(), reason: fault.to_string() };
        let rows = decode_objects(&json, &table.columns).map_err(unreadable)?;
        let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
        let next = (rows.len() == query.limit).then(|| rows.last().map(|last| cursor(table, last))).flatten();
        Ok(TableRows { rows, next })
    }
}

async fn run(connection: &mut SqliteConnection, mut sql: QueryBuilder<Sqlite>) -> sqlx::Result<String> {
    sql.build_query_scalar::<String>().fetch_one(connection).await
}

fn build(id: &VersionId, table: &TableDefinition, query: &Query) -> Result<QueryBuilder<Sqlite>, QueryFault> {
    let key = names(table.key().iter().map(|column| &column.name));
    let mut sql = QueryBuilder::new(format!(
        "SELECT json_group_array(json_array(0, {})) FROM (SELECT * FROM {} WHERE true",
        expressions("t", &table.columns).join(", "),
        quote(&physical_table(id, &table.name))
    ));
    for Condition { column, value } in &query.conditions {
        let definition = find(table, column)?;
        sql.push(format!(" AND {} = ", quote(column)));
        bind(&mut sql, definition, value)?;
    }
    if let Some(after) = &query.after {
        let values =
            parse_cursor(after).filter(|values| values.len() == table.key_columns).ok_or(QueryFault::Cursor)?;
        sql.push(format!(" AND ({key}) > ("));
        for (number, (definition, value)) in table.key().iter().zip(&values).enumerate() {
            if number > 0 {
                sql.push(", ");
            }
            bind(&mut sql, definition, value).map_err(|_| QueryFault::Cursor)?;
        }
        sql.push(")");
    }
    sql.push(format!(" ORDER BY {key} LIMIT "));
    sql.push_bind(i64::try_from(query.limit).unwrap_or(i64::MAX));
    sql.push(") t");
    Ok(sql)
}

fn find<'a>(table: &'a TableDefinition, column: &str) -> Result<&'a ColumnDefinition, QueryFault> {
    table.columns.iter().find(|known| known.name.as_str() == column).ok_or_else(|| QueryFault::Column {
        table: table.name.to_string(),
        column: column.to_owned(),
        known: table.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", "),
    })
}

/// Binds `value`, a text as [`crate::change::Column::to_json`] shows it.
fn bind(sql: &mut QueryBuilder<Sqlite>, definition: &ColumnDefinition, value: &str) -> Result<(), QueryFault> {
    let bad = || QueryFault::Value {
        column: definition.name.to_string(),
        value: value.to_owned(),
        of_type: definition.of_type,
    };
    match definition.of_type {
        ColumnType::Boolean => sql.push_bind(i64::from(value.parse::<bool>().map_err(|_| bad())?)),
        ColumnType::Integer => sql.push_bind(value.parse::<i64>().map_err(|_| bad())?),
        ColumnType::Float => sql.push_bind(value.parse::<f64>().map_err(|_| bad())?),
        ColumnType::Timestamp => sql.push_bind(Timestamp::parse(value).map_err(|_| bad())?.0),
        ColumnType::Uuid => sql.push_bind(value.parse::<Uuid>().map_err(|_| bad())?.as_bytes().to_vec()),
        ColumnType::Bytes => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(value).map_err(|_| bad())?;
            sql.push_bind(bytes)
        }
        ColumnType::Decimal | ColumnType::Text | ColumnType::Json => sql.push_bind(value.to_owned()),
    };
    Ok(())
}

fn cursor(table: &TableDefinition, row: &Map<String, Value>) -> String {
    let text = |column: &ColumnDefinition| match row.get(column.name.as_str()) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let key: Vec<String> = table.key().iter().map(text).collect();
    URL_SAFE_NO_PAD.encode(Value::from(key).to_string())
}

fn parse_cursor(cursor: &str) -> Option<Vec<String>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}
