//! Statements with their values, and the rows that they give, whatever the database.
//!
//! For what is written once and read by all: the host's own tables. Where many rows travel,
//! `store` and `read_model` speak to each database in its own way.

use std::borrow::Cow;

use sqlx::{AssertSqlSafe, Decode, MySql, Postgres, Row as _, Sqlite, Type, ValueRef as _};
use time::PrimitiveDateTime;
use uuid::Uuid;

use super::Dialect;
use super::instant::{PgInstant, date_time, micros};
use super::session::{Link, Session};

/// A statement, its places written `?`, with the values for them.
#[derive(Debug)]
#[must_use]
pub struct Query {
    sql: Cow<'static, str>,
    values: Vec<Value>,
}

/// A value for a statement. Null has a type too, for PostgreSQL asks for it.
#[derive(Clone, Debug)]
pub enum Value {
    Boolean(bool),
    Integer(Option<i64>),
    Float(f64),
    Text(Option<Cow<'static, str>>),
    Bytes(Option<Vec<u8>>),
    Uuid(Option<Uuid>),
    /// An instant, in microseconds since 1970.
    Instant(i64),
}

/// A row of an answer.
#[derive(Debug)]
pub enum Row {
    Sqlite(sqlx::sqlite::SqliteRow),
    Postgres(sqlx::postgres::PgRow),
    MySql(sqlx::mysql::MySqlRow),
}

/// What every database can give as the value of a column.
pub trait Cell:
    for<'r> Decode<'r, Sqlite>
    + Type<Sqlite>
    + for<'r> Decode<'r, Postgres>
    + Type<Postgres>
    + for<'r> Decode<'r, MySql>
    + Type<MySql>
{
}

impl<T> Cell for T where
    T: for<'r> Decode<'r, Sqlite>
        + Type<Sqlite>
        + for<'r> Decode<'r, Postgres>
        + Type<Postgres>
        + for<'r> Decode<'r, MySql>
        + Type<MySql>
{
}

/// A statement.
pub fn query(sql: impl Into<Cow<'static, str>>) -> Query {
    Query { sql: sql.into(), values: Vec::new() }
}

/// Binds all values, and calls `$method` on the connection that `$session` stands on.
macro_rules! run {
    ($query:ident, $session:ident, $method:ident) => {{
        let answer = match $session.link() {
            Link::Sqlite(connection) => {
                bound!($query, Dialect::Sqlite, std::convert::identity).$method(connection).await.map(Into::into)
            }
            Link::Postgres(connection) => {
                bound!($query, Dialect::Postgres, PgInstant).$method(connection).await.map(Into::into)
            }
            Link::MySql(connection) => {
                bound!($query, Dialect::MySql, mysql_instant).$method(connection).await.map(Into::into)
            }
        };
        $session.answered(answer.as_ref().err());
        answer
    }};
}

macro_rules! bound {
    ($query:ident, $dialect:expr, $instant:expr) => {{
        let mut bound = sqlx::query(AssertSqlSafe($dialect.translate(&$query.sql)));
        for value in $query.values {
            bound = match value {
                Value::Boolean(value) => bound.bind(value),
                Value::Integer(value) => bound.bind(value),
                Value::Float(value) => bound.bind(value),
                Value::Text(value) => bound.bind(value.map(Cow::into_owned)),
                Value::Bytes(value) => bound.bind(value),
                Value::Uuid(value) => bound.bind(value),
                Value::Instant(value) => bound.bind($instant(value)),
            };
        }
        bound
    }};
}

impl Query {
    /// Adds the value for the next place.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it, and gives how many rows it found to write: on MySQL, too, those that were so before, for
    /// the driver asks for them (`FOUND_ROWS`). There a row that an INSERT updates counts twice.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn execute(self, session: &mut dyn Session) -> sqlx::Result<u64> {
        let done: Done = run!(self, session, execute)?;
        Ok(done.0)
    }

    /// All rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn all(self, session: &mut dyn Session) -> sqlx::Result<Vec<Row>> {
        let rows: Rows = run!(self, session, fetch_all)?;
        Ok(rows.0)
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn optional(self, session: &mut dyn Session) -> sqlx::Result<Option<Row>> {
        Ok(self.all(session).await?.into_iter().next())
    }

    /// The one row.
    ///
    /// # Errors
    /// If the database fails, or there is none.
    pub async fn one(self, session: &mut dyn Session) -> sqlx::Result<Row> {
        self.optional(session).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Runs an INSERT into a table that numbers its rows in its column `id`, and gives the number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn insert_numbered(mut self, session: &mut dyn Session) -> sqlx::Result<i64> {
        if let Link::MySql(connection) = session.link() {
            let done: sqlx::Result<sqlx::mysql::MySqlQueryResult> = {
                let query = self;
                bound!(query, Dialect::MySql, mysql_instant).execute(connection).await
            };
            session.answered(done.as_ref().err());
            return Ok(done?.last_insert_id().cast_signed());
        }
        self.sql.to_mut().push_str(" RETURNING id");
        self.one(session).await?.get("id")
    }
}

/// None, which no column of instants takes, for a time that MySQL does not know.
fn mysql_instant(at: i64) -> Option<PrimitiveDateTime> {
    date_time(at).ok()
}

/// Rows written.
struct Done(u64);

impl From<sqlx::sqlite::SqliteQueryResult> for Done {
    fn from(done: sqlx::sqlite::SqliteQueryResult) -> Self {
        Self(done.rows_affected())
    }
}

impl From<sqlx::postgres::PgQueryResult> for Done {
    fn from(done: sqlx::postgres::PgQueryResult) -> Self {
        Self(done.rows_affected())
    }
}

impl From<sqlx::mysql::MySqlQueryResult> for Done {
    fn from(done: sqlx::mysql::MySqlQueryResult) -> Self {
        Self(done.rows_affected())
    }
}

struct Rows(Vec<Row>);

impl From<Vec<sqlx::sqlite::SqliteRow>> for Rows {
    fn from(rows: Vec<sqlx::sqlite::SqliteRow>) -> Self {
        Self(rows.into_iter().map(Row::Sqlite).collect())
    }
}

impl From<Vec<sqlx::postgres::PgRow>> for Rows {
    fn from(rows: Vec<sqlx::postgres::PgRow>) -> Self {
        Self(rows.into_iter().map(Row::Postgres).collect())
    }
}

impl From<Vec<sqlx::mysql::MySqlRow>> for Rows {
    fn from(rows: Vec<sqlx::mysql::MySqlRow>) -> Self {
        Self(rows.into_iter().map(Row::MySql).collect())
    }
}

impl Row {
    /// The value of `column`.
    ///
    /// # Errors
    /// If there is no such column, or it holds something else.
    pub fn get<T: Cell>(&self, column: &str) -> sqlx::Result<T> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
            Self::MySql(row) => row.try_get(column),
        }
    }

    /// The value of the column in place `index`, from 0.
    ///
    /// # Errors
    /// As [`Row::get`].
    pub fn at<T: Cell>(&self, index: usize) -> sqlx::Result<T> {
        match self {
            Self::Sqlite(row) => row.try_get(index),
            Self::Postgres(row) => row.try_get(index),
            Self::MySql(row) => row.try_get(index),
        }
    }

    /// The value of `column`, a text whatever the database calls it; none if it is null.
    ///
    /// # Errors
    /// As [`Row::get`].
    pub fn raw_text(&self, column: &str) -> sqlx::Result<Option<String>> {
        match self {
            Self::Postgres(row) => {
                let value = row.try_get_raw(column)?;
                if value.is_null() {
                    return Ok(None);
                }
                let text = value.as_str().map_err(sqlx::Error::Decode)?;
                Ok(Some(text.to_owned()))
            }
            _ => self.get(column),
        }
    }

    /// The value of `column`, an instant, in microseconds since 1970.
    ///
    /// # Errors
    /// As [`Row::get`].
    pub fn instant(&self, column: &str) -> sqlx::Result<i64> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get::<PgInstant, _>(column).map(|at| at.0),
            Self::MySql(row) => row.try_get::<PrimitiveDateTime, _>(column).map(micros),
        }
    }

    /// The value of `column`, a count that is never negative.
    ///
    /// # Errors
    /// As [`Row::get`], and if it does not fit.
    pub fn number(&self, column: &str) -> sqlx::Result<u32> {
        number(self.get(column)?)
    }

    /// The same where there may be none.
    ///
    /// # Errors
    /// As [`Row::number`].
    pub fn optional_number(&self, column: &str) -> sqlx::Result<Option<u32>> {
        self.get::<Option<i64>>(column)?.map(number).transpose()
    }
}

fn number(value: i64) -> sqlx::Result<u32> {
    u32::try_from(value).map_err(|fault| sqlx::Error::Decode(fault.into()))
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(Some(value.into()))
    }
}

impl From<Option<u32>> for Value {
    fn from(value: Option<u32>) -> Self {
        Self::Integer(value.map(Into::into))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::Text(Some(value.into()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value.into()))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value.map(Into::into))
    }
}

impl From<Option<&'static str>> for Value {
    fn from(value: Option<&'static str>) -> Self {
        Self::Text(value.map(Into::into))
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(value))
    }
}

impl From<Uuid> for Value {
    fn from(value: Uuid) -> Self {
        Self::Uuid(Some(value))
    }
}

impl From<Option<Uuid>> for Value {
    fn from(value: Option<Uuid>) -> Self {
        Self::Uuid(value)
    }
}
