//! A transaction that was left open after an append holds the tail back, and nobody else.

use std::io::{BufRead as _, BufReader, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fantascope::database::{Address, Connections, Database, Dialect, Durability as Writes, Transaction, query};
use fantascope::event::{NewEvent, Position};
use fantascope::limits::Limits;
use fantascope::store::{Expected, Hold, Store};
use serde_json::json;

use crate::away::api;
use crate::outage::server;
use crate::place::{Place, Raw};
use crate::servers::{Durability, Kind};
use crate::stage::{POLICY, Stage};

/// Longer than anything takes here.
const HANGS: Duration = Duration::from_secs(120);

const POLL: Duration = Duration::from_millis(5);

/// Seconds from a line of the log on a hold to the next one.
const ALERT_AGAIN: u64 = 60;

/// How the transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Commit,
    Rollback,
}

/// An append by way of plain SQL.
pub(crate) fn insert(dialect: Dialect, aggregate: &str, version: u64) -> String {
    let id = dialect.pick("", "gen_random_uuid()", "unhex(replace(uuid(), '-', ''))");
    format!(
        "INSERT INTO events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, event_timestamp, \
         event_data) VALUES ({id}, 'Good', 'Thing', '{aggregate}', {version}, now(), '{{}}')"
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

/// Waits until nothing holds the tail.
async fn goes_on(store: &Store) {
    let well = async {
        while store.hold().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(HANGS, well).await.expect("nothing holds it");
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
    query(insert(dialect, "foreign", 1)).execute(&mut beside).await.unwrap();
    append(&store, "first").await;
    append(&other, "first").await;
    assert_eq!(read(&store, 2).await, [1, 2]);
    goes_on(&store).await;
    drop((elsewhere, beside));

    let mut open = raw.0.begin(Writes::Full).await.unwrap();
    let session = session_of(&mut open, dialect).await;
    for version in 1..=3 {
        query(insert(dialect, "foreign", version)).execute(&mut open).await.unwrap();
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
    goes_on(&store).await;
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
    query(insert(Dialect::Postgres, "foreign", 1)).execute(&mut transaction).await.unwrap();
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

/// Lines of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn shows(kind: Kind) {
    let Some(place) = Place::of_kind(kind.name(), Limits::default()) else {
        println!("skipped: no {kind} is given");
        return;
    };
    let lines = Lines::default();
    let writer = lines.clone();
    // Of this thread, on which all of the host runs.
    let _log = tracing::subscriber::set_default(
        tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish(),
    );
    let stage = Stage::open(place, POLICY).await;
    stage.append(1).await;
    // On MariaDB the head comes to them only while nobody else is in flight.
    while stage.store.refresh_head().await.unwrap() < Position(5) {}
    let patient = Connections { idle_transaction_max: Duration::from_secs(600), ..Connections::default() };
    let address = Address::parse(stage.place.url(), None).unwrap();
    let foreign = Database::open(&address, &patient).await.unwrap();
    let (mut open, began) = (foreign.begin(Writes::Full).await.unwrap(), Instant::now());
    let session = session_of(&mut open, foreign.dialect()).await;
    query(insert(foreign.dialect(), "foreign", 1)).execute(&mut open).await.unwrap();
    stage.append(1).await;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(http::serve(listener, api(&stage), Default::default()));
    seen(&stage.store).await;
    let follow = format!("{url}/v1/events/live?after=0");
    let followed = tokio::task::spawn_blocking(move || {
        let mut ids = Vec::new();
        let body = ureq::get(follow).call().unwrap().into_body().into_reader();
        for line in BufReader::new(body).lines() {
            ids.extend(line.unwrap().strip_prefix("id: ").map(|id| id.parse::<u64>().unwrap()));
            if ids.last() == Some(&11) {
                break;
            }
        }
        ids
    });
    let run = async |words: &'static [&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fantascope"));
        command.args(["--server", &url]).args(words);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = run(&["projection", "list"]).await;
    let warning = "warning: no event after position 5 can be read for";
    assert!(listed.contains(warning) && listed.contains(&session), "{listed}");
    assert_eq!(run(&["projection", "list", "--output", "json"]).await.trim(), "[]");
    let get = async |path: &str| {
        let address = format!("{url}{path}");
        let asked = move || ureq::get(address).call().unwrap().body_mut().read_to_string().unwrap();
        tokio::task::spawn_blocking(asked).await.unwrap()
    };
    let store: serde_json::Value = serde_json::from_str(&get("/v1/store").await).unwrap();
    assert_eq!((&store["head"], &store["hold"]["position"]), (&json!(5), &json!(5)));
    assert!(store["hold"]["sessions"][0].as_str().unwrap().starts_with(&session), "{store}");
    // Who reads on from the last event must not be past the one in flight. An aggregate has its own order.
    let positions = async |path: &str| {
        let page: serde_json::Value = serde_json::from_str(&get(path).await).unwrap();
        page["events"].as_array().unwrap().iter().map(|event| event["position"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(positions("/v1/events?after=3").await, [4, 5]);
    assert_eq!(positions("/v1/aggregates/Show/s-0/events?after=5").await, [7]);
    let metric = async || {
        let metrics = get("/metrics").await;
        let line = metrics.lines().find_map(|line| line.strip_prefix("fantascope_tail_held_seconds ")).unwrap();
        line.parse::<f64>().unwrap()
    };
    assert!(metric().await > 1.0);

    let alerts = || -> Vec<String> {
        let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains("neither committed nor rolled back")).map(str::to_owned).collect()
    };
    let expected = if std::env::var_os("FANTASCOPE_SOAK").is_some() { 2 } else { 1 };
    while alerts().len() < expected {
        assert!(began.elapsed() < HANGS, "the log does not tell of it: {:?}", alerts());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Long enough for a line that comes too often to be seen.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let alerts = alerts();
    println!("{alerts:#?}");
    let most = expected.max(1 + (began.elapsed().as_secs() / ALERT_AGAIN) as usize);
    assert!(alerts.len() <= most, "{most} at most: {alerts:#?}");
    assert!(alerts.iter().all(|alert| alert.contains("WARN") && alert.contains(&session)), "{alerts:?}");
    open.commit().await.unwrap();
    tokio::time::timeout(HANGS, stage.tail_is_at(11)).await.expect("all comes through");
    assert_eq!(metric().await, 0.0);
    assert_eq!(positions("/v1/events?after=3").await, (4..=11).collect::<Vec<_>>());
    let followed = tokio::time::timeout(HANGS, followed).await.expect("the stream goes on").unwrap();
    assert_eq!(followed, (1..=11).collect::<Vec<_>>());
    assert!(!run(&["projection", "list"]).await.contains("warning"));
    serving.abort();
}

#[tokio::test]
async fn a_hold_of_postgres_is_shown_wherever_one_looks() {
    shows(Kind::Postgres).await;
}

#[tokio::test]
async fn a_hold_of_mariadb_is_shown_wherever_one_looks() {
    shows(Kind::MariaDb).await;
}
