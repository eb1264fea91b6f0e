//! A transaction that was left open after an append holds the tail back, and nobody else.

use std::time::{Duration, Instant};

use fantascope::database::{Database, Dialect, Durability as Writes, Transaction, query};
use fantascope::event::{NewEvent, Position};
use fantascope::limits::Limits;
use fantascope::store::{Expected, Hold, Store};
use serde_json::json;

use crate::outage::server;
use crate::place::{Place, Raw};
use crate::servers::{Durability, Kind};

/// Longer than anything takes here.
const HANGS: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(5);

/// How the transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Commit,
    Rollback,
}

/// An append by way of plain SQL.
fn insert(dialect: Dialect, version: u64) -> String {
    let id = dialect.pick("", "gen_random_uuid()", "unhex(replace(uuid(), '-', ''))");
    format!(
        "INSERT INTO events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, event_timestamp, \
         event_data) VALUES ({id}, 'Good', 'Thing', 'foreign', {version}, now(), '{{}}')"
    )
}

async fn append(store: &Store, aggregate: &str) {
    let event: NewEvent = serde_json::from_value(json!({ "event_type": "Good", "event_data": {} })).unwrap();
    store.append("Thing", aggregate, Expected::Any, vec![event]).await.unwrap();
}

/// Reads all that comes, in order, until there are so many.
async fn read(store: &Store, count: usize) -> Vec<u64> {
    let reading = async {
        let (mut at, mut seen) = (Position::START, Vec::new());
        while seen.len() < count {
            let head = store.wait_beyond(at, POLL).await.unwrap();
            let page = store.page(at, head).await.unwrap();
            seen.extend(page.events.positions.iter().copied());
            at = page.up_to;
        }
        seen
    };
    tokio::time::timeout(HANGS, reading).await.expect("all comes through")
}

/// Waits until the hold is seen, and its sessions are.
async fn seen(store: &Store) -> Hold {
    let looking = async {
        loop {
            if let Some(hold) = store.hold().filter(|hold| !hold.sessions.is_empty()) {
                return hold;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(HANGS, looking).await.expect("a hold is seen")
}

/// How the session of a transaction is called.
async fn session_of(transaction: &mut Transaction, dialect: Dialect) -> String {
    let sql = dialect.pick("", "SELECT pg_backend_pid()::text", "SELECT CAST(connection_id() AS CHAR)");
    let row = query(sql).one(transaction).await.unwrap();
    format!("session {}", row.at::<String>(0).unwrap())
}

async fn holds(kind: Kind, end: End) {
    let Some(place) = Place::of_kind(kind.name(), Limits::default()) else {
        println!("skipped: no {kind} is given");
        return;
    };
    let (store, other) = (place.store().await, place.store().await);
    let raw = place.raw().await;
    let dialect = raw.dialect();
    // What is left open elsewhere is in nobody's way.
    raw.run("CREATE TABLE elsewhere (n int)").await.unwrap();
    let mut elsewhere = raw.0.begin(Writes::Full).await.unwrap();
    query("INSERT INTO elsewhere VALUES (1)").execute(&mut elsewhere).await.unwrap();
    let neighbour = Place::of_kind(kind.name(), Limits::default()).unwrap();
    let _neighbours_store = neighbour.store().await;
    let neighbour = neighbour.raw().await;
    let mut beside = neighbour.0.begin(Writes::Full).await.unwrap();
    query(insert(dialect, 1)).execute(&mut beside).await.unwrap();
    append(&store, "first").await;
    append(&other, "first").await;
    assert_eq!(read(&store, 2).await, [1, 2]);
    assert_eq!(store.hold(), None);
    drop((elsewhere, beside));

    let mut open = raw.0.begin(Writes::Full).await.unwrap();
    let session = session_of(&mut open, dialect).await;
    for version in 1..=3 {
        query(insert(dialect, version)).execute(&mut open).await.unwrap();
    }
    let began = Instant::now();
    let foreign = if end == End::Commit { 3 } else { 0 };
    let reader = tokio::spawn({
        let store = store.clone();
        async move { read(&store, 2 + 40 + foreign).await }
    });
    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        for store in [&store, &other] {
            let began = Instant::now();
            append(store, &format!("meanwhile-{}", round % 3)).await;
            slowest = slowest.max(began.elapsed());
        }
    }
    let hold = seen(&store).await;
    println!("{kind}: others took {slowest:?} at the most; seen after {:?}: {hold:?}", began.elapsed());
    assert_eq!(hold.at, Position(2));
    assert!(hold.sessions[0].starts_with(&session), "{session}: {hold:?}");
    assert_eq!(store.refresh_head().await.unwrap(), Position(2));
    match end {
        End::Commit => open.commit().await.unwrap(),
        End::Rollback => drop(open),
    }
    let positions = reader.await.unwrap();
    assert!(positions.is_sorted_by(|one, other| one < other), "{positions:?}");
    // Those that were drawn and not used are gone.
    let last = positions.last().copied().unwrap();
    assert_eq!((positions.contains(&3), last), (end == End::Commit, 45));
    let well = async {
        while store.hold().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(HANGS, well).await.expect("nothing holds it any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_to_postgres_that_is_committed_late_holds_the_tail_until_then() {
    holds(Kind::Postgres, End::Commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_to_postgres_that_is_rolled_back_late_holds_the_tail_until_then() {
    holds(Kind::Postgres, End::Rollback).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_to_mariadb_that_is_committed_late_holds_the_tail_until_then() {
    holds(Kind::MariaDb, End::Commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_to_mariadb_that_is_rolled_back_late_holds_the_tail_until_then() {
    holds(Kind::MariaDb, End::Rollback).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_holds_the_tail_and_is_named() {
    let Some(mut server) = server(Kind::Postgres, Durability::None) else { return };
    let administration = server.url("postgres");
    let raw = Raw(Database::at(&administration).await.unwrap());
    let setting = query("ALTER SYSTEM SET max_prepared_transactions = 5");
    setting.execute(&mut raw.0.read().await.unwrap()).await.unwrap();
    server.restart().unwrap();
    let place = Place::on_server(&administration, Limits::default());
    let store = place.store().await;
    let raw = place.raw().await;
    let mut transaction = raw.0.begin(Writes::Full).await.unwrap();
    query(insert(Dialect::Postgres, 1)).execute(&mut transaction).await.unwrap();
    query("PREPARE TRANSACTION 'left behind'").execute(&mut transaction).await.unwrap();
    drop(transaction);
    append(&store, "meanwhile").await;
    let reader = tokio::spawn({
        let store = store.clone();
        async move { read(&store, 2).await }
    });
    let hold = seen(&store).await;
    assert!(hold.sessions[0].starts_with("prepared transaction left behind"), "{hold:?}");
    assert_eq!((hold.at, reader.is_finished()), (Position::START, false));
    let commit = query("COMMIT PREPARED 'left behind'");
    commit.execute(&mut raw.0.read().await.unwrap()).await.unwrap();
    assert_eq!(reader.await.unwrap(), [1, 2]);
}
