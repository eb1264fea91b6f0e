//! Reading rows for people and other programs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::rows::bulk::cells::{expressions, objects};
use crate::schema::ddl::{names, physical_table};
use crate::{Error, ReadModel};
use database::{Dialect, Query as Statement, Value as Bound, date_time, query as statement, quote};
use model::change::{ColumnDefinition, ColumnType, TableDefinition, VersionId, is_decimal};
use model::event::Timestamp;

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
        let statement = build(self.dialect(), id, table, query)?;
        let mut connection = self.database.read().await?;
        let rows = objects(&table.columns, &statement.all(&mut connection).await?, 0)?;
        let next = (rows.len() == query.limit).then(|| rows.last().map(|last| cursor(table, last))).flatten();
        Ok(TableRows { rows, next })
    }
}

fn build(dialect: Dialect, id: &VersionId, table: &TableDefinition, query: &Query) -> Result<Statement, QueryFault> {
    let mut conditions = String::new();
    let mut values = Vec::new();
    for Condition { column, value } in &query.conditions {
        let definition = find(table, column)?;
        let name = quote(column);
        // PostgreSQL does not compare JSON.
        let cast = if dialect == Dialect::Postgres && definition.of_type == ColumnType::Json { "::text" } else { "" };
        conditions.push_str(&format!(" AND {name}{cast} = {}", place(dialect, definition.of_type)));
        values.push(bound(dialect, definition, value)?);
    }
    let key = names(table.key().iter().map(|column| &column.name));
    if let Some(after) = &query.after {
        let after = parse_cursor(after).filter(|values| values.len() == table.key_columns).ok_or(QueryFault::Cursor)?;
        let places: Vec<&str> = table.key().iter().map(|column| place(dialect, column.of_type)).collect();
        conditions.push_str(&format!(" AND ({key}) > ({})", places.join(", ")));
        for (definition, value) in table.key().iter().zip(&after) {
            values.push(bound(dialect, definition, value).map_err(|_| QueryFault::Cursor)?);
        }
    }
    let sql = format!(
        "SELECT {} FROM {} t WHERE 1 = 1{conditions} ORDER BY {key} LIMIT ?",
        expressions(dialect, "t", &table.columns).join(", "),
        quote(&physical_table(id, &table.name))
    );
    let built = values.into_iter().fold(statement(sql), Statement::bind);
    Ok(built.bind(i64::try_from(query.limit).unwrap_or(i64::MAX)))
}

/// The place of a value of a column, which travels as a text where it is none of the simple types.
fn place(dialect: Dialect, of_type: ColumnType) -> &'static str {
    match of_type {
        ColumnType::Decimal => dialect.pick("?", "?::text::numeric", "CAST(? AS DECIMAL(65,30))"),
        _ => "?",
    }
}

fn find<'a>(table: &'a TableDefinition, column: &str) -> Result<&'a ColumnDefinition, QueryFault> {
    table.columns.iter().find(|known| known.name.as_str() == column).ok_or_else(|| QueryFault::Column {
        table: table.name.to_string(),
        column: column.to_owned(),
        known: table.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", "),
    })
}

/// What `value`, a text as [`model::change::Column::to_json`] shows it, is in the database.
fn bound(dialect: Dialect, definition: &ColumnDefinition, value: &str) -> Result<Bound, QueryFault> {
    let bad = || QueryFault::Value {
        column: definition.name.to_string(),
        value: value.to_owned(),
        of_type: definition.of_type,
    };
    Ok(match definition.of_type {
        ColumnType::Boolean => value.parse::<bool>().map_err(|_| bad())?.into(),
        ColumnType::Integer => value.parse::<i64>().map_err(|_| bad())?.into(),
        ColumnType::Float => value.parse::<f64>().map_err(|_| bad())?.into(),
        ColumnType::Timestamp => {
            let at = Timestamp::parse(value).map_err(|_| bad())?.0;
            date_time(at).map_err(|_| bad())?;
            Bound::Instant(at)
        }
        ColumnType::Uuid => value.parse::<Uuid>().map_err(|_| bad())?.into(),
        ColumnType::Bytes => base64::engine::general_purpose::STANDARD.decode(value).map_err(|_| bad())?.into(),
        ColumnType::Decimal if dialect != Dialect::Sqlite && !is_decimal(value) => return Err(bad()),
        // PostgreSQL takes no text with it, and no column here holds one.
        ColumnType::Decimal | ColumnType::Text | ColumnType::Json if value.contains('\0') => return Err(bad()),
        ColumnType::Decimal | ColumnType::Text | ColumnType::Json => value.to_owned().into(),
    })
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
