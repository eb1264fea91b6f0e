//! Databases that are not fit are refused at the start, by name and before anything is written.

use fantascope::database::Database;
use fantascope::limits::Limits;
use fantascope::read_model::ReadModel;
use fantascope::store::Store;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::servers::{Durability, Kind, Server, Template};

/// A server to spoil databases on.
struct Spoiler {
    kind: Kind,
    /// `scheme://user:password@host:port`, of an administrator.
    server: String,
}

/// A database, or what is to pass for one.
struct Spoilt {
    /// As the host is given it.
    url: String,
    /// As an administrator reaches it; empty if it is not there.
    administration: String,
}

/// Runs statements, past the host.
async fn run(url: &str, sql: &str) -> Vec<String> {
    let sql = AssertSqlSafe(sql.to_owned());
    if url.starts_with("mysql") {
        let mut connection = MySqlConnection::connect(url).await.unwrap();
        let rows = sqlx::raw_sql(sql).fetch_all(&mut connection).await.unwrap();
        return rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
    }
    let mut connection = PgConnection::connect(url).await.unwrap();
    let rows = sqlx::raw_sql(sql).fetch_all(&mut connection).await.unwrap();
    rows.iter().filter_map(|row| row.try_get(0).ok()).collect()
}

async fn open(url: &str) -> Result<(), String> {
    let database = Database::at(url).await.map_err(|fault| fault.to_string())?;
    Store::open(&database, &Limits::default()).await.map_err(|fault| fault.to_string())?;
    ReadModel::open(&database).await.map_err(|fault| fault.to_string())?;
    Ok(())
}

/// The user that is made for a database.
fn user_of(database: &str) -> String {
    format!("u{}", &database[database.len() - 12..])
}

impl Spoiler {
    /// One on the server that all tests share; none if it is not given.
    fn of_kind(kind: Kind) -> Option<Self> {
        let url = std::env::var(kind.variable()).ok();
        if url.is_none() {
            println!("skipped: {} is not set", kind.variable());
        }
        Some(Self { kind, server: url?.rsplit_once('/')?.0.to_owned() })
    }

    fn host(&self) -> &str {
        self.server.rsplit_once('@').unwrap().1
    }

    async fn administer(&self, sql: &str) {
        run(&format!("{}/{}", self.server, self.kind.administration()), sql).await;
    }

    /// A new database; `options` are those of CREATE DATABASE.
    async fn database(&self, options: &str) -> Spoilt {
        let name = format!("r_{}", uuid::Uuid::now_v7().simple());
        self.administer(&format!("CREATE DATABASE {name} {options}")).await;
        let url = format!("{}/{name}", self.server);
        Spoilt { url: url.clone(), administration: url }
    }

    /// One that the host has made its own, and then `sql` was run there.
    async fn spoilt(&self, sql: &str) -> Spoilt {
        let spoilt = self.database("").await;
        open(&spoilt.url).await.unwrap();
        run(&spoilt.administration, sql).await;
        spoilt
    }

    /// The same for a user who was granted `rights`, in which `@` stands for the user, `#` for the database.
    async fn user(&self, spoilt: Spoilt, rights: &[&str]) -> Spoilt {
        let name = spoilt.administration.rsplit_once('/').unwrap().1;
        let user = user_of(name);
        let (quoted, create) = match self.kind {
            Kind::Postgres => (user.clone(), format!("CREATE ROLE {user} LOGIN PASSWORD 'secret'")),
            Kind::MariaDb => (format!("{user}@'%'"), format!("CREATE USER {user}@'%' IDENTIFIED BY 'secret'")),
        };
        self.administer(&create).await;
        for right in rights {
            run(&spoilt.administration, &right.replace('@', &quoted).replace('#', name)).await;
        }
        let (scheme, _) = self.server.split_once("://").unwrap();
        Spoilt { url: format!("{scheme}://{user}:secret@{}/{name}", self.host()), ..spoilt }
    }

    /// What there is in a database.
    async fn contents(&self, spoilt: &Spoilt) -> Vec<String> {
        let sql = match self.kind {
            Kind::Postgres => {
                "SELECT n.nspname || '.' || relname || coalesce('.' || tgname, '') FROM pg_class c \
                 JOIN pg_namespace n ON n.oid = relnamespace LEFT JOIN pg_trigger t ON t.tgrelid = c.oid \
                 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1"
            }
            Kind::MariaDb => {
                "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = database() \
                 UNION ALL SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = database() \
                 ORDER BY 1"
            }
        };
        if spoilt.administration.is_empty() { Vec::new() } else { run(&spoilt.administration, sql).await }
    }

    /// That the host refuses it, says all of `expected`, and leaves it as it is.
    async fn check(&self, case: &str, spoilt: Spoilt, expected: &[&str]) {
        let before = self.contents(&spoilt).await;
        let fault = open(&spoilt.url).await.expect_err(case);
        for words in expected {
            assert!(fault.contains(words), "{}, {case}: `{fault}` should say `{words}`", self.kind);
        }
        assert!(!fault.contains(":secret@") && !fault.contains(&self.server), "{case}: {fault}");
        assert_eq!(self.contents(&spoilt).await, before, "{}, {case}: nothing is written", self.kind);
        self.drop(&spoilt).await;
    }

    /// Drops the database, and the user that was made for it.
    async fn drop(&self, spoilt: &Spoilt) {
        let Some((_, name)) = spoilt.administration.rsplit_once('/') else { return };
        let user = user_of(name);
        let (force, end) = match self.kind {
            Kind::Postgres => ("WITH (FORCE)", format!("DROP ROLE IF EXISTS {user}")),
            Kind::MariaDb => ("", format!("DROP USER IF EXISTS {user}@'%'")),
        };
        self.administer(&format!("DROP DATABASE {name} {force}")).await;
        self.administer(&end).await;
    }

    /// That what is not there at all is refused.
    async fn check_url(&self, case: &str, url: String, expected: &[&str]) {
        self.check(case, Spoilt { url, administration: String::new() }, expected).await;
    }
}

async fn check_what_both_refuse(spoiler: &Spoiler) {
    let (scheme, host) = (spoiler.kind.scheme(), spoiler.host().to_owned());
    let url = |rest: &str| format!("{scheme}://{rest}");
    spoiler.check_url("a wrong URL", url("a:secret@b"), &["names no database", "it takes `sqlite:PATH`"]).await;
    let expected = ["127.0.0.1:1/c` is not reached (Connection refused", "correct host and port"];
    spoiler.check_url("nobody listens", url("a:secret@127.0.0.1:1/c"), &expected).await;
    let expected = ["://no.such.host.invalid:", "is not reached ("];
    spoiler.check_url("an unknown host", url("a:secret@no.such.host.invalid/c"), &expected).await;
    let expected = ["lets nobody in with this user and password ("];
    let administration = spoiler.kind.administration();
    spoiler.check_url("a wrong password", url(&format!("fantascope:no@{host}/{administration}")), &expected).await;
    let expected = ["no_such_database` is not there (", "make it, or correct the URL"];
    spoiler.check_url("no such database", format!("{}/no_such_database", spoiler.server), &expected).await;

    let newer = "INSERT INTO fantascope_store_migrations (version, description, success, checksum, execution_time) \
                 VALUES (999, 'later', true, '', 0)";
    let expected = ["was written by a newer version of fantascope", "run that version"];
    spoiler.check("a newer version", spoiler.spoilt(newer).await, &expected).await;
    let half = "UPDATE fantascope_read_model_migrations SET success = false WHERE version = 2";
    let expected = ["migration 2 of the read models was broken off before its end", "restore a copy"];
    spoiler.check("half a migration", spoiler.spoilt(half).await, &expected).await;
    let foreign = spoiler.database("").await;
    run(&foreign.administration, "CREATE TABLE events (id INT PRIMARY KEY)").await;
    let expected = ["is a database of another program: it has a table `events`", "a schema of its own"];
    spoiler.check("another program", foreign, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_start_at_once_make_one_store() {
    for spoiler in Kind::ALL.into_iter().filter_map(Spoiler::of_kind) {
        for _ in 0..3 {
            let fresh = spoiler.database("").await;
            let hosts: Vec<_> = (0..6)
                .map(|_| {
                    tokio::spawn({
                        let url = fresh.url.clone();
                        async move { open(&url).await }
                    })
                })
                .collect();
            for host in hosts {
                assert_eq!(host.await.unwrap(), Ok(()), "{}", spoiler.kind);
            }
            spoiler.drop(&fresh).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_not_fit_is_refused() {
    let Some(spoiler) = Spoiler::of_kind(Kind::Postgres) else { return };
    check_what_both_refuse(&spoiler).await;

    let latin = spoiler.database("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0").await;
    spoiler.check("another encoding", latin, &["keeps texts as LATIN1", "with the encoding UTF8"]).await;
    let standby = spoiler.database("").await;
    let name = standby.url.rsplit_once('/').unwrap().1;
    spoiler.administer(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    spoiler.check("no writes", standby, &["takes no writes", "give the URL of the primary"]).await;

    let expected = ["the user `u", "needs the right CREATE on schema `public`: grant it"];
    spoiler.check("no CREATE", spoiler.user(spoiler.database("").await, &[]).await, &expected).await;
    let ours = spoiler.spoilt("").await;
    let rights = [
        "GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO @",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO @",
    ];
    let expected = ["the user `u", "needs the right INSERT on table `events`"];
    spoiler.check("no INSERT", spoiler.user(ours, &rights).await, &expected).await;
    let ours = spoiler.spoilt("").await;
    let rights = ["GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO @"];
    let expected = ["GRANT EXECUTE ON FUNCTION fantascope_tail()"];
    spoiler.check("no EXECUTE", spoiler.user(ours, &rights).await, &expected).await;
    let ours = spoiler.spoilt("").await;
    let expected = ["refuses its user something (permission denied for table fantascope_store_migrations)"];
    spoiler.check("no SELECT", spoiler.user(ours, &[]).await, &expected).await;

    let ours = spoiler.spoilt("").await;
    let rights = [rights[0], "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO @"];
    let expected = ["needs the right CREATE on schema `public`"];
    spoiler.check("nothing for new tables", spoiler.user(ours, &rights).await, &expected).await;

    let cached = spoiler.spoilt("ALTER SEQUENCE events_position_seq CACHE 10").await;
    spoiler.check("positions kept back", cached, &["ALTER SEQUENCE events_position_seq CACHE 1"]).await;
    let wide = spoiler.spoilt("ALTER SEQUENCE events_position_seq INCREMENT 2").await;
    spoiler.check("every other position", wide, &["does not give positions one by one"]).await;
    let open = spoiler.spoilt("ALTER TABLE events ENABLE TRIGGER fantascope_gate").await;
    spoiler.check("a gate that can be passed", open, &["ENABLE ALWAYS TRIGGER fantascope_gate"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_that_is_not_fit_is_refused() {
    let Some(spoiler) = Spoiler::of_kind(Kind::MariaDb) else { return };
    check_what_both_refuse(&spoiler).await;

    let expected = ["the user `u", "needs the right CREATE on the database: grant it"];
    let user = spoiler.user(spoiler.database("").await, &["GRANT SELECT ON #.* TO @"]).await;
    spoiler.check("no CREATE", user, &expected).await;
    let rights = ["GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON #.* TO @"];
    let user = spoiler.user(spoiler.database("").await, &rights).await;
    spoiler.check("no TRIGGER", user, &["needs the right TRIGGER on the database: grant it"]).await;
    let user = spoiler.user(spoiler.spoilt("DO 1").await, &["GRANT SELECT, UPDATE, DELETE ON #.* TO @"]).await;
    spoiler.check("no INSERT", user, &["needs the right INSERT on table `events`"]).await;
    let rights = [
        "GRANT SELECT, INSERT, DELETE, CREATE, ALTER, INDEX, CREATE VIEW, DROP ON #.* TO @",
        "GRANT UPDATE ON #.fantascope_sync TO @",
    ];
    let user = spoiler.user(spoiler.spoilt("DO 1").await, &rights[..1]).await;
    spoiler.check("no UPDATE", user, &["needs the right UPDATE on table `fantascope_sync`"]).await;
    let user = spoiler.user(spoiler.spoilt("DO 1").await, &rights).await;
    spoiler.check("no UPDATE", user, &["needs the right UPDATE on table `fantascope_versions`"]).await;
    // What read models need is looked for although the store could be made.
    let all = ["CREATE", "ALTER", "INDEX", "CREATE VIEW", "DROP"];
    for right in &all[1..] {
        let others: Vec<&str> = all.into_iter().filter(|other| other != right).collect();
        let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE, {} ON #.* TO @", others.join(", "));
        let half = spoiler.database("").await;
        Store::open(&Database::at(&half.url).await.unwrap(), &Limits::default()).await.unwrap();
        let expected = format!("needs the right {right} on the database");
        spoiler.check(right, spoiler.user(half, &[&grant]).await, &[&expected]).await;
    }
    let user = spoiler.user(spoiler.database("").await, &[]).await;
    spoiler.check("no right at all", user, &["refuses its user something (Access denied for user"]).await;

    let gates = spoiler.spoilt("DELETE FROM fantascope_gates WHERE slot IN (7, 999)").await;
    spoiler.check("gates missing", gates, &["`fantascope_gates` has 998 of its 1000 rows"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_that_is_set_otherwise_is_refused() {
    let Some(template) = Template::given(Kind::MariaDb).unwrap() else {
        println!("skipped: {} is not set", Template::VARIABLE);
        return;
    };
    let server = Server::start(&template, Durability::None).unwrap();
    let url = server.url("mysql").rsplit_once('/').unwrap().0.to_owned();
    let spoiler = Spoiler { kind: Kind::MariaDb, server: url };
    let ours = spoiler.database("").await;
    spoiler.administer("SET GLOBAL auto_increment_increment = 3").await;
    run(&ours.administration, "DO 1").await;
    let fault = open(&ours.url).await.unwrap_err();
    assert!(fault.contains("the server counts in steps of 3"), "{fault}");
    spoiler.administer("SET GLOBAL auto_increment_increment = 1").await;
    open(&ours.url).await.unwrap();
    let ours = spoiler.database("").await;
    spoiler.administer("SET GLOBAL read_only = 1").await;
    let before = spoiler.contents(&ours).await;
    let fault = open(&ours.url).await.unwrap_err();
    assert!(fault.contains("takes no writes") && fault.contains("give the URL of the primary"), "{fault}");
    assert_eq!(spoiler.contents(&ours).await, before);
}
