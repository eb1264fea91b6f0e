//! Several writers, some of them other processes, while projections follow.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fantascope::database::Dialect;
use fantascope::event::{ImportedEvent, NewEvent, Position};
use fantascope::guest::Kind;
use fantascope::projection::Phase;
use fantascope::store::{Error, Expected, Filter, Store};
use serde_json::json;

use crate::guests::guest;
use crate::history::History;
use crate::place::{Host, Place};

/// Longer than anything takes here; what hangs fails instead of waiting for ever.
const HANGS: Duration = Duration::from_secs(60);

/// Writers of each kind, and events of each writer.
fn size() -> (usize, usize) {
    if std::env::var_os("FANTASCOPE_SOAK").is_some() { (8, 20_000) } else { (3, 300) }
}

fn new_event(event_id: Option<uuid::Uuid>, data: &serde_json::Value) -> NewEvent {
    serde_json::from_str(&json!({ "event_id": event_id, "event_type": "Good", "event_data": data }).to_string())
        .unwrap()
}

/// Another process that imports `history` into the store of `place`.
fn spawn_import(place: &Place, history: &History) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fantascope"));
    command.current_dir(place.folder.path()).args(["import", "-"]).env("FANTASCOPE__STORE__URL", place.url());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = history.lines.join("\n");
    std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    child
}

/// A history of one aggregate, whose event ids are its own.
fn history_of(writer: usize, events: usize) -> History {
    let mut history = History::default();
    for _ in 0..events {
        history.add(&format!("Thing/process-{writer}"), "Good", &json!({ "writer": writer }));
    }
    for line in &mut history.lines {
        *line = line.replace("-4000-8000-", &format!("-4000-8{writer:03}-"));
    }
    history
}

async fn append_all(store: Store, aggregate: String, events: usize) {
    for version in 0..events {
        let event = new_event(None, &json!({ "version": version }));
        store.append("Thing", &aggregate, Expected::Version(version as u64), vec![event]).await.unwrap();
    }
}

async fn check_counts(host: &Host, aggregates: usize, events: usize) {
    let deeds = host.rows("hostile", "deeds").await;
    assert_eq!(deeds.len(), aggregates);
    for deed in &deeds {
        assert_eq!(deed["events"], events, "{}: neither lost nor doubled", deed["id"]);
    }
    let all = (aggregates * events) as u64;
    assert_eq!(host.rows("activity_feed", "activity").await.len() as u64, all);
    for name in ["hostile", "activity_feed"] {
        let status = host.status(name);
        assert_eq!((status.phase, status.position, status.error.is_none()), (Phase::Following, Position(all), true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_others_write() {
    let place = Place::new();
    let host = place.start(&["hostile", "activity_feed"]).await;
    // Handles of their own, which know nothing of each other but the file.
    let (writers, events) = size();
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let store = if writer == 0 { host.store.clone() } else { place.store().await };
        tasks.push(tokio::spawn(append_all(store, format!("handle-{writer}"), events)));
    }
    let children: Vec<Child> = (0..writers).map(|writer| spawn_import(&place, &history_of(writer, events))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    host.caught_up().await;
    check_counts(&host, writers * 2, events).await;
    host.projections.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_taken_over_stops_at_its_next_commit() {
    let place = Place::new();
    let host = place.start(&["hostile"]).await;
    History::of_types(&["Good"]).import(&host.store).await;
    host.caught_up().await;
    // As another host does when it starts.
    let admitted = place.sandbox().admit(&guest("hostile")).unwrap();
    let Kind::Projection(plugin) = admitted.kind else { panic!("it is a projection") };
    host.read_model.prepare(&plugin.manifest, admitted.digest).await.unwrap();
    // One event and no other after it: nothing else tells the loop that its commit failed.
    History::of_types(&["Good", "Good"]).import(&host.store).await;
    tokio::time::timeout(HANGS, host.caught_up()).await.expect("it stops");
    let status = host.status("hostile");
    assert_eq!((status.phase, status.error.unwrap().code.as_str()), (Phase::Failed, "fenced"));
    assert_eq!((host.checkpoint("hostile").await, host.rows("hostile", "deeds").await.len()), (1, 1));
}

/// The statement after which events can be changed, as by somebody who restores a wrong copy.
fn unguard(dialect: Dialect, verb: &str) -> &'static str {
    let (sqlite, mysql) = match verb {
        "UPDATE" => ("DROP TRIGGER events_are_never_updated", "DROP TRIGGER fantascope_never_updated"),
        _ => ("DROP TRIGGER events_are_never_deleted", "DROP TRIGGER fantascope_never_deleted"),
    };
    dialect.pick(sqlite, "DROP TRIGGER fantascope_immutable ON events", mysql)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_replaced_is_noticed() {
    let place = Place::new();
    History::of_types(&["Good", "Good", "Good"]).import(&place.store().await).await;
    place.run(&["hostile"]).await;
    // Another history under the same read models: as after restoring the wrong copy.
    let raw = place.raw().await;
    let none = raw.dialect().pick("zeroblob(16)", "'00000000-0000-0000-0000-000000000000'", "repeat(char(0), 16)");
    raw.run(unguard(raw.dialect(), "UPDATE")).await.unwrap();
    raw.run(&format!("UPDATE events SET event_id = {none} WHERE position = 3")).await.unwrap();
    let host = place.run(&["hostile"]).await;
    let status = host.status("hostile");
    let problem = status.error.unwrap();
    assert_eq!(
        (status.phase, problem.code.as_str(), problem.position),
        (Phase::Failed, "history_changed", Some(Position(3)))
    );
    assert!(problem.message.contains("now it holds event 00000000-0000-0000-0000-000000000000"), "{}", problem.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lost_its_end_is_noticed() {
    let place = Place::new();
    History::of_types(&["Good", "Good", "Good"]).import(&place.store().await).await;
    place.run(&["hostile"]).await;
    let raw = place.raw().await;
    raw.run(unguard(raw.dialect(), "DELETE")).await.unwrap();
    raw.run("DELETE FROM events WHERE position = 3").await.unwrap();
    let host = place.run(&["hostile"]).await;
    let problem = host.status("hostile").error.unwrap();
    assert_eq!((problem.code.as_str(), problem.position), ("history_changed", Some(Position(3))));
    assert!(problem.message.contains("now it holds no event"), "{}", problem.message);
}

#[tokio::test]
async fn events_cannot_be_changed_or_deleted() {
    let place = Place::new();
    History::of_types(&["Good"]).import(&place.store().await).await;
    let raw = place.raw().await;
    for (statement, verb) in [
        ("UPDATE events SET event_data = '{}'", "UPDATE"),
        ("UPDATE events SET event_type = 'Other'", "UPDATE"),
        ("DELETE FROM events", "DELETE"),
    ] {
        let fault = raw.run(statement).await.expect_err(statement).to_string();
        assert!(fault.contains("events are immutable") && fault.contains(verb), "{statement}: {fault}");
    }
}

#[tokio::test]
async fn events_cannot_be_replaced_in_a_file() {
    let place = Place::on_file();
    History::of_types(&["Good"]).import(&place.store().await).await;
    let raw = place.raw().await;
    for (statement, verb) in [
        (
            "INSERT OR REPLACE INTO events SELECT position, randomblob(16), event_type, event_version, aggregate_type, 'x', 1, event_timestamp, user_id, correlation_id, causation_id, metadata, '{}' FROM events",
            "at this position",
        ),
        (
            "INSERT OR REPLACE INTO events SELECT 9, event_id, event_type, event_version, aggregate_type, 'x', 1, event_timestamp, user_id, correlation_id, causation_id, metadata, '{}' FROM events",
            "with this id",
        ),
        (
            "INSERT OR REPLACE INTO events SELECT 9, randomblob(16), event_type, event_version, aggregate_type, aggregate_id, aggregate_version, event_timestamp, user_id, correlation_id, causation_id, metadata, '{}' FROM events",
            "in its aggregate",
        ),
    ] {
        let fault = raw.run(statement).await.expect_err(statement).to_string();
        assert!(fault.contains("events are immutable") && fault.contains(verb), "{statement}: {fault}");
    }
}

#[tokio::test]
async fn appends_conflict_or_repeat_but_never_tear() {
    let place = Place::new();
    let store = place.store().await;
    let id = uuid::Uuid::from_u128(1);
    let first = store.append("Thing", "t", Expected::Version(0), vec![new_event(Some(id), &json!({}))]).await.unwrap();
    assert_eq!((first.positions.as_slice(), first.repeated), (&[Position(1)][..], false));

    // The same again gives the first answer, whatever version is expected.
    for expected in [Expected::Version(0), Expected::Version(1), Expected::Any] {
        let again = store.append("Thing", "t", expected, vec![new_event(Some(id), &json!({}))]).await.unwrap();
        assert_eq!((again.positions, again.repeated), (first.positions.clone(), true));
    }
    // The same id with other content, and a version that is passed.
    let fault =
        store.append("Thing", "t", Expected::Any, vec![new_event(Some(id), &json!({ "other": 1 }))]).await.unwrap_err();
    assert!(matches!(fault, Error::IdReused { position: Position(1), .. }), "{fault}");
    let fault = store.append("Thing", "t", Expected::Version(0), vec![new_event(None, &json!({}))]).await.unwrap_err();
    assert!(matches!(fault, Error::Conflict { expected: 0, actual: 1, .. }), "{fault}");
    // Of an append with one bad event, nothing is kept.
    let both = vec![new_event(None, &json!({})), new_event(Some(id), &json!({ "other": 1 }))];
    store.append("Thing", "t", Expected::Version(1), both).await.unwrap_err();
    assert_eq!(store.events(&Filter::default(), 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_expect_the_same_version_one_wins() {
    let place = Place::new();
    let mut tasks = Vec::new();
    for writer in 0..8 {
        let store = place.store().await;
        let event = new_event(None, &json!({ "writer": writer }));
        tasks.push(tokio::spawn(async move { store.append("Thing", "t", Expected::Version(0), vec![event]).await }));
    }
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            Err(Error::Conflict { expected: 0, actual: 1, .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn an_import_takes_all_or_nothing() {
    let place = Place::new();
    let store = place.store().await;
    let mut history = History::of_types(&["Good", "Good"]);
    history.import(&store).await;
    history.add("Thing/t-9", "Good", &json!({}));
    // A gap in the versions of an aggregate.
    history.lines.push(
        history.lines[1].replace("0002\"", "0007\"").replace("\"aggregate_version\":1", "\"aggregate_version\":3"),
    );
    let events: Vec<ImportedEvent> = history.lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fault = store.import(Arc::new(events)).await.unwrap_err();
    assert_eq!(fault.index, Some(3), "{fault}");
    assert!(fault.to_string().contains("continues with version 2, this event has 3"), "{fault}");
    assert_eq!(store.refresh_head().await.unwrap(), Position(2));
}
