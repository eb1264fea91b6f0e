//! The rights that this program needs, looked for before anything is written.

use sqlx::AssertSqlSafe;

use super::fault::mysql_number;
use super::{Concern, Connection, Database, Dialect, Error, Link, Session as _, query};

/// A statement that MySQL refuses for want of this right before it sees that there is no such table.
fn probe_of(right: &str) -> &'static str {
    match right {
        "CREATE" => "CREATE TABLE fantascope_probe LIKE fantascope_no_such_table",
        "ALTER" => "ALTER TABLE fantascope_no_such_table ADD COLUMN fantascope_probe INT",
        "DROP" => "DROP TABLE fantascope_no_such_table",
        "INDEX" => "CREATE INDEX fantascope_probe ON fantascope_no_such_table (fantascope_probe)",
        "CREATE VIEW" => "CREATE VIEW fantascope_probe AS SELECT * FROM fantascope_no_such_table",
        _ => {
            "CREATE TRIGGER fantascope_probe BEFORE INSERT ON fantascope_no_such_table FOR EACH ROW SET @fantascope = 1"
        }
    }
}

/// MySQL's fault of a command that needs a right which is missing …
const DENIED: u16 = 1142;
/// … and of a trigger that could make replicas differ, as far as it knows.
const UNSAFE_TRIGGER: u16 = 1419;

impl Database {
    /// The right to make tables and what belongs to them, looked for before anything is written.
    pub(super) async fn expect_right_to_create(
        &self,
        concern: &Concern,
        connection: &mut Connection,
    ) -> Result<(), Error> {
        match self.dialect() {
            Dialect::Sqlite => Ok(()),
            Dialect::Postgres => self.expect_schema(connection).await,
            Dialect::MySql => self.probe(concern, connection).await,
        }
    }

    async fn expect_schema(&self, connection: &mut Connection) -> Result<(), Error> {
        let fault = |fault| self.fault(fault);
        let sql = "SELECT coalesce(current_schema(), '') AS schema, current_user::text AS name, \
                   current_setting('search_path') AS path, \
                   coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may";
        let row = query(sql).one(connection).await.map_err(fault)?;
        if row.get("may").map_err(fault)? {
            return Ok(());
        }
        let schema: String = row.get("schema").map_err(fault)?;
        let right = if schema.is_empty() {
            let path: String = row.get("path").map_err(fault)?;
            format!("USAGE on a schema that is there (its search_path is `{path}`)")
        } else {
            format!("CREATE on schema `{schema}`")
        };
        Err(Error::Rights { database: self.name().to_owned(), user: row.get("name").map_err(fault)?, right })
    }

    async fn probe(&self, concern: &Concern, connection: &mut Connection) -> Result<(), Error> {
        let fault = |fault| self.fault(fault);
        for &right in concern.makes_with {
            let Link::MySql(session) = connection.link() else { return Ok(()) };
            let Err(refusal) = sqlx::raw_sql(probe_of(right)).execute(&mut *session).await else { continue };
            let database = self.name().to_owned();
            match refusal.as_database_error().and_then(mysql_number) {
                Some(DENIED) => {
                    let user = current_user(session).await.map_err(fault)?;
                    // It may be another one that the statement needs as well.
                    let said =
                        refusal.as_database_error().and_then(|fault| fault.message().split_once(" command denied"));
                    let right = said.map_or(right, |(right, _)| right);
                    return Err(Error::Rights { database, user, right: format!("{right} on the database") });
                }
                Some(UNSAFE_TRIGGER) => return Err(Error::Triggers { database }),
                // There is no such table.
                _ => {}
            }
        }
        Ok(())
    }

    /// The rights on tables that there are.
    pub(super) async fn expect_rights(&self, concern: &Concern) -> Result<(), Error> {
        let fault = |fault| self.fault(fault);
        if self.dialect() == Dialect::Sqlite {
            return Ok(());
        }
        let mut connection = self.read().await.map_err(fault)?;
        let on_mysql = if self.dialect() == Dialect::MySql { concern.needs_on_mysql } else { &[] };
        for &(table, rights) in concern.needs.iter().chain(on_mysql) {
            for &right in rights {
                let missing = match self.dialect() {
                    Dialect::Postgres => self.lacks_in_postgres(&mut connection, table, right).await,
                    _ => self.lacks_in_mysql(&mut connection, table, right).await,
                };
                if let Some(user) = missing.map_err(fault)? {
                    let right = format!("{right} on table `{table}`");
                    return Err(Error::Rights { database: self.name().to_owned(), user, right });
                }
            }
        }
        Ok(())
    }

    /// Who lacks `right`.
    async fn lacks_in_postgres(
        &self,
        connection: &mut Connection,
        table: &'static str,
        right: &'static str,
    ) -> sqlx::Result<Option<String>> {
        let sql = "SELECT current_user::text AS name, has_table_privilege(?::text, ?::text) AS may";
        let row = query(sql).bind(table).bind(right).one(connection).await?;
        if row.get("may")? { Ok(None) } else { row.get("name").map(Some) }
    }

    /// Asks MySQL to plan a statement, for which it wants the rights to run it. Gives who lacks them.
    async fn lacks_in_mysql(
        &self,
        connection: &mut Connection,
        table: &'static str,
        right: &'static str,
    ) -> sqlx::Result<Option<String>> {
        let statement = match right {
            "SELECT" => format!("EXPLAIN SELECT * FROM {table}"),
            "INSERT" => format!("EXPLAIN INSERT INTO {table} SELECT * FROM {table}"),
            "UPDATE" => {
                let sql = "SELECT column_name AS name FROM information_schema.columns \
                           WHERE table_schema = database() AND table_name = ? ORDER BY ordinal_position LIMIT 1";
                let Some(row) = query(sql).bind(table).optional(connection).await? else { return Ok(None) };
                let column = super::quote(&row.get::<String>("name")?);
                format!("EXPLAIN UPDATE {table} SET {column} = {column}")
            }
            _ => format!("EXPLAIN DELETE FROM {table}"),
        };
        let Link::MySql(session) = connection.link() else { return Ok(None) };
        let planned = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *session).await;
        match planned.as_ref().err().and_then(sqlx::Error::as_database_error).and_then(mysql_number) {
            Some(DENIED) => current_user(session).await.map(Some),
            _ => planned.map(|_| None),
        }
    }
}

async fn current_user(session: &mut sqlx::mysql::MySqlConnection) -> sqlx::Result<String> {
    sqlx::query_scalar("SELECT current_user()").fetch_one(session).await
}
