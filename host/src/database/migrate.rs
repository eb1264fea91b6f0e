//! Bringing the tables of one concern up to date.

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, SqlSafeStr as _};

use super::database::{Database, Durability, Engine};
use super::{Dialect, Error, Session as _, query};

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
    /// What the host does with which of its tables.
    pub needs: &'static [(&'static str, &'static [&'static str])],
}

impl Database {
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
                run(&migrator, &mut connection.detach()).await
            }
        };
        done.map_err(|fault| self.migration_fault(concern, fault))?;
        self.expect_rights(concern).await
    }

    /// The migrations, with what differs from database to database filled in: `{exact}`, the
    /// collation that tells apart what differs; `{schema}`, where tables are; `{tag}`, a small
    /// number that tells stores in one database apart, and `{base}`, the keys of its locks.
    async fn migrations(&self, concern: &Concern) -> Result<Vec<Migration>, Error> {
        let collation = self.flavour().exact_collation();
        let (schema, tag) = self.schema().await.map_err(|fault| self.fault(fault))?;
        let base = (tag << 48).to_string();
        let migration = |&(number, name, [sqlite, postgres, mysql]): &(i64, &'static str, [&'static str; 3])| {
            let sql = self.dialect().pick(sqlite, postgres, mysql).replace("{exact}", collation);
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
        let fault = |fault| self.fault(fault);
        let mut connection = self.read().await.map_err(fault)?;
        if !self.has_table(&mut connection, concern.table).await.map_err(fault)? {
            if self.dialect() != Dialect::Sqlite
                && self.has_table(&mut connection, concern.mark).await.map_err(fault)?
            {
                let sign = format!(": it has a table `{}` already, which this program did not make", concern.mark);
                return Err(Error::Foreign { database: self.name().to_owned(), sign });
            }
            self.expect_right_to_create(&mut connection).await?;
            return Ok(false);
        }
        let sql = format!("SELECT version, success FROM {} ORDER BY version", concern.table);
        let mut done = Vec::new();
        for row in query(sql).all(&mut connection).await.map_err(fault)? {
            let number: i64 = row.get("version").map_err(fault)?;
            if !row.get::<bool>("success").map_err(fault)? {
                let database = self.name().to_owned();
                return Err(Error::HalfMigrated { database, concern: concern.name, number });
            }
            done.push(number);
        }
        let known: Vec<i64> = concern.migrations.iter().map(|&(number, ..)| number).collect();
        if done.iter().any(|number| !known.contains(number)) {
            return Err(Error::Newer { database: self.name().to_owned() });
        }
        if done != known {
            self.expect_right_to_create(&mut connection).await?;
        }
        Ok(done == known)
    }

    async fn has_table(&self, connection: &mut super::Connection, table: &'static str) -> sqlx::Result<bool> {
        let sql = self.dialect().pick(
            "SELECT count(*) AS n FROM sqlite_schema WHERE name = ?",
            "SELECT count(*) AS n FROM pg_class WHERE oid = to_regclass(?)",
            "SELECT count(*) AS n FROM information_schema.tables WHERE table_schema = database() AND table_name = ?",
        );
        Ok(query(sql).bind(table).one(connection).await?.get::<i64>("n")? > 0)
    }

    /// The right to make tables, looked for before anything is written.
    async fn expect_right_to_create(&self, connection: &mut super::Connection) -> Result<(), Error> {
        if self.dialect() != Dialect::Postgres {
            // MySQL says by itself, at the first statement, which right is missing on what.
            return Ok(());
        }
        let sql = "SELECT coalesce(current_schema(), '') AS schema, current_user::text AS name, \
                   coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may";
        let row = query(sql).one(connection).await.map_err(|fault| self.fault(fault))?;
        let (schema, user, may) = (row.get::<String>("schema"), row.get::<String>("name"), row.get::<bool>("may"));
        let fault = |fault| self.fault(fault);
        let (schema, user) = (schema.map_err(fault)?, user.map_err(fault)?);
        if may.map_err(fault)? {
            return Ok(());
        }
        let right = if schema.is_empty() {
            "USAGE on a schema of its search_path".to_owned()
        } else {
            format!("CREATE on schema `{schema}`")
        };
        Err(Error::Rights { database: self.name().to_owned(), user, right })
    }

    /// The rights on tables that there are.
    async fn expect_rights(&self, concern: &Concern) -> Result<(), Error> {
        let fault = |fault| self.fault(fault);
        if self.dialect() == Dialect::Sqlite {
            return Ok(());
        }
        let mut connection = self.read().await.map_err(fault)?;
        for &(table, rights) in concern.needs {
            for &right in rights {
                let missing = match self.dialect() {
                    Dialect::Postgres => {
                        let sql = "SELECT current_user::text AS name, has_table_privilege(?::text, ?::text) AS may";
                        let row = query(sql).bind(table).bind(right).one(&mut connection).await.map_err(fault)?;
                        let may: bool = row.get("may").map_err(fault)?;
                        if may { None } else { Some(row.get("name").map_err(fault)?) }
                    }
                    _ => self.lacks(&mut connection, table, right).await.map_err(fault)?,
                };
                if let Some(user) = missing {
                    let right = format!("{right} on table `{table}`");
                    return Err(Error::Rights { database: self.name().to_owned(), user, right });
                }
            }
        }
        Ok(())
    }

    /// Asks MySQL to plan a statement, for which it wants the rights to run it. Gives who lacks them.
    async fn lacks(
        &self,
        connection: &mut super::Connection,
        table: &'static str,
        right: &'static str,
    ) -> sqlx::Result<Option<String>> {
        let sql = match right {
            "SELECT" => format!("EXPLAIN SELECT * FROM {table}"),
            "INSERT" => format!("EXPLAIN INSERT INTO {table} SELECT * FROM {table}"),
            _ => format!("EXPLAIN DELETE FROM {table}"),
        };
        let link = connection.link();
        let super::Link::MySql(session) = link else { return Ok(None) };
        let planned = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *session).await;
        let denied = planned.err().filter(|fault| {
            fault.as_database_error().is_some_and(|fault| super::fault::mysql_number(fault) == Some(1142))
        });
        if denied.is_none() {
            return Ok(None);
        }
        Ok(Some(sqlx::query_scalar("SELECT current_user()").fetch_one(session).await?))
    }

    fn fault(&self, source: sqlx::Error) -> Error {
        Error::open(self.name(), source)
    }

    fn migration_fault(&self, concern: &Concern, source: MigrateError) -> Error {
        let database = self.name().to_owned();
        match source {
            MigrateError::VersionMissing(_) => Error::Newer { database },
            MigrateError::Dirty(number) => Error::HalfMigrated { database, concern: concern.name, number },
            source => Error::Migrate { database, source: Box::new(source) },
        }
    }
}

async fn run<C: Migrate>(migrator: &Migrator, connection: &mut C) -> Result<(), MigrateError> {
    migrator.run_direct(None, connection, false).await
}
