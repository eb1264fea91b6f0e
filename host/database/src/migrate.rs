//! Bringing the tables of one concern up to date.

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection as _, SqlSafeStr as _};

use super::fault::is_denied;
use super::open::{Database, Durability, Engine};
use super::{Dialect, Error, Flavour, query};

/// No other host migrates for longer.
const MIGRATION_SECONDS_MAX: i64 = 120;

/// What owns tables of its own: the event store, the read models.
#[derive(Debug)]
pub struct Concern {
    /// For people.
    pub name: &'static str,
    /// Where it notes which migrations are done.
    pub table: &'static str,
    /// A table of its first migration.
    pub mark: &'static str,
    /// Number, name and SQL, for SQLite, PostgreSQL and MySQL.
    pub migrations: &'static [(i64, &'static str, [&'static str; 3])],
    /// The rights of MySQL with which it makes its tables.
    pub makes_with: &'static [&'static str],
    /// Whether it makes tables also when all migrations are done.
    pub goes_on_making: bool,
    /// What the host does with which of its tables.
    pub needs: &'static [(&'static str, &'static [&'static str])],
    /// … and with those that only MySQL has.
    pub needs_on_mysql: &'static [(&'static str, &'static [&'static str])],
}

/// How the tables of a concern stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    Missing,
    /// Made by an older version, and to be brought up to date.
    Older,
    Current,
}

impl Database {
    /// Looks how the tables of `concern` stand, and whether the host may make and use them;
    /// writes nothing.
    ///
    /// # Errors
    /// As [`Database::migrate`], as far as that can be told beforehand.
    pub async fn tables(&self, concern: &Concern) -> Result<Tables, Error> {
        if self.is_current(concern).await? {
            self.expect_rights(concern).await?;
            return Ok(Tables::Current);
        }
        Ok(if self.holds(concern).await? { Tables::Older } else { Tables::Missing })
    }

    /// Which program the database is of, and which version.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn server(&self) -> Result<String, Error> {
        let sql = self.dialect().pick(
            "SELECT 'SQLite ' || sqlite_version() AS server",
            "SELECT 'PostgreSQL ' || current_setting('server_version') AS server",
            "SELECT version() AS server",
        );
        let mut connection = self.read().await.map_err(|fault| self.fault(fault))?;
        let row = query(sql).one(&mut connection).await;
        let server: String = row.and_then(|row| row.get("server")).map_err(|fault| self.fault(fault))?;
        // MariaDB names itself in its version.
        let name = if self.dialect() == Dialect::MySql && self.flavour() == Flavour::MySql { "MySQL " } else { "" };
        Ok(format!("{name}{server}"))
    }

    /// Brings the tables of `concern` up to date, if they are not.
    ///
    /// # Errors
    /// If a migration fails, the database has one that is not known here, or it belongs to
    /// another program.
    pub async fn migrate(&self, concern: &Concern) -> Result<(), Error> {
        if self.is_current(concern).await? {
            return self.expect_rights(concern).await;
        }
        let mut migrator = Migrator::with_migrations(self.migrations(concern).await?);
        migrator.dangerous_set_table_name(concern.table);
        let done = match &self.engine {
            Engine::Sqlite(file) => {
                let mut connection = file.connect(Durability::Full).await.map_err(|fault| self.fault(fault))?;
                let done = run(&migrator, &mut connection).await;
                connection.close().await.map_err(|fault| self.fault(fault))?;
                done
            }
            Engine::Postgres(pools) => {
                // Not given back: a lock that a failure left behind goes with it.
                let connection = pools.writers.acquire().await.map_err(|fault| self.fault(fault))?;
                run(&migrator, &mut connection.detach()).await
            }
            Engine::MySql(pools) => {
                let connection = pools.writers.acquire().await.map_err(|fault| self.fault(fault))?;
                let mut connection = connection.detach();
                mysql_lock(&mut connection).await.map_err(|fault| self.fault(fault))?;
                let done = run(&migrator, &mut connection).await;
                connection.close().await.map_err(|fault| self.fault(fault))?;
                done
            }
        };
        done.map_err(|fault| self.migration_fault(concern, fault))?;
        self.expect_rights(concern).await
    }

    /// Whether the tables of `concern` are here.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn holds(&self, concern: &Concern) -> Result<bool, Error> {
        let mut connection = self.read().await.map_err(|fault| self.fault(fault))?;
        self.has_table(&mut connection, concern.table).await.map_err(|fault| self.fault(fault))
    }

    /// The migrations, with what differs from database to database filled in: `{exact}`, the
    /// collation that tells apart what differs; `{is_object:COLUMN}`, that a text is a JSON object;
    /// `{schema}`, where tables are; `{tag}`, a small number that tells stores in one database
    /// apart, and `{base}`, the keys of its locks.
    async fn migrations(&self, concern: &Concern) -> Result<Vec<Migration>, Error> {
        let collation = self.flavour().exact_collation();
        let (schema, tag) = self.schema().await.map_err(|fault| self.fault(fault))?;
        let base = (tag << 48).to_string();
        let migration = |&(number, name, [sqlite, postgres, mysql]): &(i64, &'static str, [&'static str; 3])| {
            let sql = self.dialect().pick(sqlite, postgres, mysql).replace("{exact}", collation);
            let sql = is_object(self.flavour(), &sql);
            let sql = sql.replace("{schema}", &schema).replace("{tag}", &tag.to_string()).replace("{base}", &base);
            Migration::new(number, name.into(), MigrationType::Simple, AssertSqlSafe(sql).into_sql_str(), false)
        };
        Ok(concern.migrations.iter().map(migration).collect())
    }

    /// The schema of PostgreSQL in which tables are made, quoted, and its tag.
    async fn schema(&self) -> sqlx::Result<(String, i64)> {
        if self.dialect() != Dialect::Postgres {
            return Ok((String::new(), 0));
        }
        let row = query(
            "SELECT quote_ident(current_schema()) AS name, 1 + (hashtext(current_schema()) & 32766)::bigint AS tag",
        );
        let row = row.one(&mut self.read().await?).await?;
        Ok((row.get("name")?, row.get("tag")?))
    }

    /// Whether all migrations are done, and none that is not known here.
    async fn is_current(&self, concern: &Concern) -> Result<bool, Error> {
        match self.look(concern).await {
            // MySQL shows what another host is in the middle of, and between two statements it may
            // have ended: that is looked at again when it surely has.
            Err(Error::HalfMigrated { .. } | Error::Foreign { .. }) if self.dialect() != Dialect::Sqlite => {
                self.wait_for_others().await?;
                self.look(concern).await
            }
            looked => looked,
        }
    }

    async fn look(&self, concern: &Concern) -> Result<bool, Error> {
        let fault = |fault| self.fault(fault);
        let mut connection = self.read().await.map_err(fault)?;
        let mut done = Vec::new();
        if self.has_table(&mut connection, concern.table).await.map_err(fault)? {
            let sql = format!("SELECT version, success FROM {} ORDER BY version", concern.table);
            for row in query(sql).all(&mut connection).await.map_err(fault)? {
                let number: i64 = row.get("version").map_err(fault)?;
                if !concern.migrations.iter().any(|&(known, ..)| known == number) {
                    return Err(Error::Newer { database: self.name().to_owned() });
                }
                if !row.get::<bool>("success").map_err(fault)? {
                    let database = self.name().to_owned();
                    return Err(Error::HalfMigrated { database, concern: concern.name, number });
                }
                done.push(number);
            }
        }
        if done.is_empty()
            && self.dialect() != Dialect::Sqlite
            && self.has_table_of_its_own(&mut connection, concern.mark).await.map_err(fault)?
        {
            let sign = format!(": it has a table `{}` already, which this program did not make", concern.mark);
            return Err(Error::Foreign { database: self.name().to_owned(), sign });
        }
        let is_current = concern.migrations.iter().map(|&(number, ..)| number).eq(done);
        if !is_current || concern.goes_on_making {
            self.expect_right_to_create(concern, &mut connection).await?;
        }
        Ok(is_current)
    }

    /// Waits until no other host migrates this database.
    async fn wait_for_others(&self) -> Result<(), Error> {
        let fault = |fault| self.fault(fault);
        let locked = match &self.engine {
            Engine::Sqlite(_) => return Ok(()),
            Engine::Postgres(pools) => {
                let mut connection = pools.writers.acquire().await.map_err(fault)?.detach();
                let locked = Migrate::lock(&mut connection).await;
                connection.close().await.map_err(fault)?;
                locked
            }
            Engine::MySql(pools) => {
                let mut connection = pools.writers.acquire().await.map_err(fault)?.detach();
                mysql_lock(&mut connection).await.map_err(fault)?;
                connection.close().await.map_err(fault)?;
                Ok(())
            }
        };
        locked.map_err(|fault| self.migrate_fault(fault))
    }

    fn migrate_fault(&self, source: MigrateError) -> Error {
        Error::Migrate { database: self.name().to_owned(), source: Box::new(source) }
    }

    async fn has_table(&self, connection: &mut super::Connection, table: &'static str) -> sqlx::Result<bool> {
        let sql = self.dialect().pick(
            "SELECT count(*) AS n FROM sqlite_schema WHERE name = ?",
            "SELECT count(*) AS n FROM pg_class WHERE oid = to_regclass(?)",
            "SELECT count(*) AS n FROM information_schema.tables WHERE table_schema = database() AND table_name = ?",
        );
        Ok(query(sql).bind(table).one(connection).await?.get::<i64>("n")? > 0)
    }

    /// Whether `table` is where tables are made; in PostgreSQL others on the path don't matter.
    async fn has_table_of_its_own(
        &self,
        connection: &mut super::Connection,
        table: &'static str,
    ) -> sqlx::Result<bool> {
        if self.dialect() != Dialect::Postgres {
            return self.has_table(connection, table).await;
        }
        let sql = "SELECT count(*) AS n FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace \
                   WHERE s.nspname = current_schema() AND c.relname = ?::text";
        Ok(query(sql).bind(table).one(connection).await?.get::<i64>("n")? > 0)
    }

    pub(super) fn fault(&self, source: sqlx::Error) -> Error {
        Error::open(self.name(), source)
    }

    fn migration_fault(&self, concern: &Concern, source: MigrateError) -> Error {
        let database = self.name().to_owned();
        match source {
            MigrateError::VersionMissing(_) => Error::Newer { database },
            MigrateError::Dirty(number) => Error::HalfMigrated { database, concern: concern.name, number },
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) if is_denied(&source) => {
                self.fault(source)
            }
            source => self.migrate_fault(source),
        }
    }
}

/// Fills in `{is_object:COLUMN}`: the check that a text is a JSON object. MySQL takes numbers
/// that a double can't hold and lone surrogates for no JSON, which events may have; there it is
/// seen that a text begins and ends like an object.
fn is_object(flavour: Flavour, sql: &str) -> String {
    let mut parts = sql.split("{is_object:");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (column, rest) = part.split_once('}').unwrap_or((part, ""));
        filled += &match flavour {
            Flavour::MariaDb => format!("json_valid({column}) AND json_type({column}) = 'OBJECT'"),
            Flavour::MySql => {
                format!("{column} REGEXP '^[[:space:]]*[{{]' AND right({column}, 100) REGEXP '[}}][[:space:]]*$'")
            }
        };
        filled += rest;
    }
    filled
}

/// Waits until no other host migrates; the lock goes with the connection. That of sqlx waits
/// for ever, which MariaDB does not know, and then does not wait at all.
async fn mysql_lock(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    let sql = "SELECT GET_LOCK(CONCAT('fantascope ', LEFT(SHA2(DATABASE(), 256), 40)), ?)";
    let locked: Option<i64> = sqlx::query_scalar(sql).bind(MIGRATION_SECONDS_MAX).fetch_one(connection).await?;
    if locked == Some(1) { Ok(()) } else { Err(sqlx::Error::PoolTimedOut) }
}

async fn run<C: Migrate>(migrator: &Migrator, connection: &mut C) -> Result<(), MigrateError> {
    migrator.run_direct(None, connection, false).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_of_objects_are_filled_in() {
        let check = |flavour, expected| assert_eq!(is_object(flavour, "a CHECK ({is_object:a}),"), expected);
        check(Flavour::MariaDb, "a CHECK (json_valid(a) AND json_type(a) = 'OBJECT'),");
        let like_one = "a CHECK (a REGEXP '^[[:space:]]*[{]' AND right(a, 100) REGEXP '[}][[:space:]]*$'),";
        check(Flavour::MySql, like_one);
        assert_eq!(is_object(Flavour::MySql, "a {exact} b"), "a {exact} b");
    }
}
