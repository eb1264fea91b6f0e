//! A host that has nothing to do leaves its database alone, or nearly so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fantascope::database::{Database, query};
use fantascope::limits::Limits;
use fantascope::projection::Phase;
use fantascope::store::Expected;

use crate::outage::server;
use crate::place::{Place, Raw};
use crate::servers::{Durability, Kind, Server};
use crate::stage::{POLICY, Stage, slides};

const WATCHED: Duration = Duration::from_secs(10);

/// How often it is watched until it leaves its database alone: on a busy machine what was begun takes
/// a while to end.
const TRIES: usize = 6;

/// Of all sorts together.
const STATEMENTS_PER_SECOND_MAX: f64 = 2.0;

async fn run(raw: &Raw, sql: &'static str) {
    query(sql).execute(&mut raw.0.read().await.unwrap()).await.unwrap();
}

/// Has the server write down every statement.
async fn write_down(kind: Kind, raw: &Raw) {
    match kind {
        Kind::Postgres => {
            run(raw, "ALTER SYSTEM SET log_statement = 'all'").await;
            run(raw, "SELECT pg_reload_conf()").await;
        }
        Kind::MariaDb => {
            run(raw, "SET GLOBAL log_output = 'TABLE'").await;
            run(raw, "SET GLOBAL general_log = 'ON'").await;
        }
    }
}

/// What was written down so far.
async fn written(kind: Kind, raw: &Raw, server: &Server) -> Vec<String> {
    match kind {
        Kind::Postgres => {
            let log = std::fs::read(server.folder().join("log")).unwrap();
            let log = String::from_utf8_lossy(&log).into_owned();
            let statement = |line: &str| {
                let (_, line) = line.split_once("LOG:  ")?;
                let text = line
                    .strip_prefix("statement: ")
                    .or_else(|| line.strip_prefix("execute ")?.split_once(": ").map(|(_, text)| text));
                text.map(str::to_owned)
            };
            log.lines().filter_map(statement).collect()
        }
        Kind::MariaDb => {
            // Ids are bytes, which need not be UTF-8.
            let sql = "SELECT CONVERT(argument USING latin1) AS argument FROM mysql.general_log \
                       WHERE command_type IN ('Query', 'Execute') AND argument NOT LIKE '%general_log%'";
            raw.rows(sql).await.iter().map(|row| row.get::<String>("argument").unwrap()).collect()
        }
    }
}

async fn leaves_alone(kind: Kind) {
    let Some(server) = server(kind, Durability::None) else { return };
    let administration = server.url(kind.administration());
    let place = Place::on_server(&administration, Limits::default());
    let stage = Stage::open(place, POLICY).await;
    stage.append(3).await;
    stage.deploy(slides(1, "sum", 1)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    let raw = Raw(Database::at(&administration).await.unwrap());
    write_down(kind, &raw).await;
    // What was begun comes to its end, and pauses grow.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut per_second = f64::INFINITY;
    let mut sorts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..TRIES {
        let (began, before) = (Instant::now(), written(kind, &raw, &server).await.len());
        tokio::time::sleep(WATCHED).await;
        let statements = written(kind, &raw, &server).await.split_off(before);
        let watched = began.elapsed();
        sorts.clear();
        for statement in &statements {
            *sorts.entry(statement.chars().take(90).collect()).or_default() += 1;
        }
        per_second = statements.len() as f64 / watched.as_secs_f64();
        println!("{kind}: {per_second} a second: {sorts:#?}");
        assert!(!statements.is_empty(), "it looks now and then");
        if per_second <= STATEMENTS_PER_SECOND_MAX {
            break;
        }
    }
    assert!(per_second <= STATEMENTS_PER_SECOND_MAX, "{per_second} a second: {sorts:#?}");
    // It wakes as fast as ever.
    stage.append(1).await;
    stage.reaches("v1", Phase::Following).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_host_leaves_postgres_alone() {
    leaves_alone(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_host_leaves_mariadb_alone() {
    leaves_alone(Kind::MariaDb).await;
}

const APPENDS: u64 = 20;

/// Statements beside those that append: of whoever counts, and of pools.
const BESIDE_MAX: usize = 3;

/// Nobody reads this store.
async fn appends_by_one_statement(kind: Kind) {
    let Some(server) = server(kind, Durability::None) else { return };
    let administration = server.url(kind.administration());
    let place = Place::on_server(&administration, Limits::default());
    let store = place.store().await;
    let append = async |version: u64| {
        let event = serde_json::json!({ "event_type": "Good", "event_data": { "n": version } });
        let events = vec![serde_json::from_value(event).unwrap()];
        store.append("Thing", "t", Expected::Version(version), events).await.unwrap();
    };
    let raw = Raw(Database::at(&administration).await.unwrap());
    write_down(kind, &raw).await;
    let inserts = |statements: &[String]| statements.iter().filter(|sql| sql.contains("INSERT INTO events")).count();
    // Sessions take the setting over one after the other.
    let mut version = 0;
    let before = loop {
        append(version).await;
        version += 1;
        let statements = written(kind, &raw, &server).await;
        if inserts(&statements) > 0 {
            break statements.len();
        }
    };
    for version in version..version + APPENDS {
        append(version).await;
    }
    let mut statements = written(kind, &raw, &server).await.split_off(before);
    // MariaDB tells of what its trigger does, too.
    statements.retain(|sql| !sql.starts_with("SELECT slot INTO taken"));
    let inserted = inserts(&statements);
    assert_eq!(inserted as u64, APPENDS, "{statements:#?}");
    assert!(statements.len() <= inserted + BESIDE_MAX, "{statements:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_one_statement_on_postgres() {
    appends_by_one_statement(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_one_statement_on_mariadb() {
    appends_by_one_statement(Kind::MariaDb).await;
}
