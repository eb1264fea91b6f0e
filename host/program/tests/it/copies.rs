//! `migrate` and `import`, into every database that there is.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use fantascope::database::Dialect;
use fantascope::event::{ImportedEvent, NewEvent};
use fantascope::limits::Limits;
use fantascope::store::{Expected, Store};
use serde_json::{Value, json};

use crate::history::History;
use crate::place::Place;

const KINDS: [&str; 3] = ["sqlite", "postgres", "mariadb"];

/// One in each database that there is.
fn places() -> impl Iterator<Item = (&'static str, Place)> {
    KINDS.into_iter().filter_map(|kind| {
        let place = Place::of_kind(kind, Limits::default());
        if place.is_none() {
            println!("skipped: no server of {kind} is given");
        }
        place.map(|place| (kind, place))
    })
}

fn program(arguments: &[&str], url: Option<&str>, input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fantascope"));
    let folder = tempfile::tempdir().unwrap();
    command.current_dir(folder.path()).args(arguments).envs(url.map(|url| ("FANTASCOPE__STORE__URL", url)));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn migrate(from: &Place, to: &Place) -> Result<Value, String> {
    let output = program(&["migrate", "--from", from.url(), "--to", to.url(), "-o", "json"], None, "");
    match output.status.code() {
        Some(0) => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        code => Err(format!("{code:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Events of all sorts, numbered from `first`.
fn events(first: u64, count: u64) -> String {
    let line = |number: u64| {
        let mut event = json!({
            "event_id": format!("00000000-0000-7000-8000-{number:012x}"),
            "event_type": if number.is_multiple_of(3) { "Umbenannt" } else { "Größe geändert 📏" },
            "event_version": 1 + number % 3,
            "aggregate_type": "Straße",
            "aggregate_id": format!("Käsekuchen-{}", number),
            "aggregate_version": 1,
            "event_timestamp": format!("{}-02-28T23:59:59.{:06}Z", 1970 + number % 90, number * 37 % 1_000_000),
        });
        if number.is_multiple_of(2) {
            event["user_id"] = json!("Zoë 🙂");
            event["correlation_id"] = json!(" a space at both ends ");
            event["causation_id"] = json!("因");
        }
        // Byte for byte: spaces, doubled keys, numbers of any length, escapes.
        let data = format!(r#"{{ "ü":"\u0000 😀 ß \u00df",  "n":1.0e+400, "n": {number}.50,"a":[ ] }}"#);
        let metadata = ["", r#","metadata":{}"#, r#","metadata":{ "x" : null, "x":"é" }"#][(number % 3) as usize];
        let event = event.to_string();
        format!("{},\"event_data\":{data}{metadata}}}\n", event.strip_suffix('}').unwrap())
    };
    (first..first + count).map(line).collect()
}

async fn import(store: &Store, lines: &str) {
    let events: Vec<ImportedEvent> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    store.import(events.into()).await.unwrap();
}

/// Positions that no event will have.
async fn skip_positions(place: &Place) {
    let raw = place.raw().await;
    match raw.dialect() {
        Dialect::Sqlite => {
            raw.run("UPDATE sqlite_sequence SET seq = seq + 10 WHERE name = 'events'").await.unwrap();
        }
        Dialect::Postgres => drop(raw.rows("SELECT nextval('events_position_seq') FROM generate_series(1, 10)").await),
        Dialect::MySql => {
            let last: i64 = raw.rows("SELECT max(position) AS last FROM events").await[0].get("last").unwrap();
            raw.run(&format!("ALTER TABLE events AUTO_INCREMENT = {}", last + 11)).await.unwrap();
        }
    }
}

/// Every event, as the database has it.
async fn dump(place: &Place) -> Vec<String> {
    let sql = "SELECT position, event_id, event_type, event_version, aggregate_type, aggregate_id, aggregate_version, \
               event_timestamp, user_id, correlation_id, causation_id, metadata, event_data FROM events ORDER BY position";
    let line = |row: &database::Row| {
        let text = |column: &str| row.raw_text(column).unwrap();
        let number = |column: &str| row.get::<i64>(column).unwrap();
        format!(
            "{} {} {:?} {} {:?} {:?} {} {} {:?} {:?} {:?} {:?} {:?}",
            number("position"),
            row.get::<uuid::Uuid>("event_id").unwrap(),
            text("event_type"),
            number("event_version"),
            text("aggregate_type"),
            text("aggregate_id"),
            number("aggregate_version"),
            row.instant("event_timestamp").unwrap(),
            text("user_id"),
            text("correlation_id"),
            text("causation_id"),
            text("metadata"),
            text("event_data"),
        )
    };
    place.raw().await.rows(sql).await.iter().map(line).collect()
}

async fn check_pair(kinds: &str, from: &Place, to: &Place) {
    let store = from.store().await;
    import(&store, &events(1, 700)).await;
    skip_positions(from).await;
    import(&store, &events(701, 9)).await;
    let target = to.store().await;
    let done = migrate(from, to).expect(kinds);
    assert_eq!((&done["copied"], &done["present"]), (&json!(709), &json!(0)), "{kinds}");
    assert_eq!(done["from"], done["to"], "{kinds}");
    let (expected, found) = (dump(from).await, dump(to).await);
    assert_eq!(found, expected, "{kinds}");
    assert_eq!((found.len(), done["up_to"].as_u64()), (709, Some(719)), "{kinds}");

    // Again, and after the source went on.
    skip_positions(from).await;
    import(&store, &events(710, 5)).await;
    let done = migrate(from, to).expect(kinds);
    assert_eq!((&done["copied"], &done["present"]), (&json!(5), &json!(709)), "{kinds}");
    assert_eq!((done["from"].clone(), dump(to).await), (done["to"].clone(), dump(from).await), "{kinds}");
    let again = migrate(from, to).expect(kinds);
    assert_eq!((&again["copied"], &again["from"], &again["to"]), (&json!(0), &done["from"], &done["to"]), "{kinds}");

    // The target goes on where the source stopped, and then is none any more.
    target.refresh_head().await.unwrap();
    let event: NewEvent = serde_json::from_str(r#"{"event_type":"Own","event_data":{}}"#).unwrap();
    let appended = target.append("T", "1", Expected::Version(0), vec![event]).await.unwrap();
    assert_eq!(appended.positions[0].0, 735, "{kinds}");
    let fault = migrate(from, to).expect_err(kinds);
    assert!(fault.contains("Some(1)") && fault.contains("the target goes up to position 735"), "{kinds}: {fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_copied_from_each_database_to_each() {
    for (from_kind, _) in places() {
        for (to_kind, to) in places() {
            let from = Place::of_kind(from_kind, Limits::default()).unwrap();
            check_pair(&format!("{from_kind} to {to_kind}"), &from, &to).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_events_in_the_target_are_not_mixed_with() {
    for (kind, to) in places() {
        let from = Place::on_file();
        import(&from.store().await, &events(1, 5)).await;
        import(&to.store().await, &(events(1, 3) + &events(4, 1).replace("ü", "u"))).await;
        let before = dump(&to).await;
        let fault = migrate(&from, &to).expect_err(kind);
        assert!(fault.contains("another event than the source at position 4"), "{kind}: {fault}");
        assert_eq!(dump(&to).await, before, "{kind}");
    }
}

#[test]
fn a_source_that_is_not_there_is_not_made() {
    let (from, to) = (Place::on_file(), Place::on_file());
    let fault = migrate(&from, &to).unwrap_err();
    assert!(fault.contains("there is no file"), "{fault}");
    assert!(!from.path("store.sqlite").exists() && !to.path("store.sqlite").exists());
    for (kind, from) in places().filter(|(kind, _)| *kind != "sqlite") {
        // A database of the server that this program has nothing in.
        let name = if kind == "postgres" { "FANTASCOPE_TEST_POSTGRES" } else { "FANTASCOPE_TEST_MARIADB" };
        let url = std::env::var(name).unwrap().replace("/postgres", "/template1");
        let output = program(&["migrate", "--from", &url, "--to", to.url()], None, "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("there is no event store in"), "{kind}: {said}");
        drop(from);
    }
}

#[test]
fn passwords_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "hush\n").unwrap();
    let file = file.to_str().unwrap();
    let missing = program(
        &["migrate", "--from", "mysql://a@127.0.0.1:1/b", "--to", "sqlite:x", "--from-password-file", "no/file"],
        None,
        "",
    );
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("--from-password-file: `no/file` cannot be read"), "{said}");
    for (kind, place) in places().filter(|(kind, _)| *kind != "sqlite") {
        let (start, rest) = place.url().split_once("://").unwrap();
        let (user, rest) = rest.split_once('@').unwrap();
        let url = format!("{start}://{}@{rest}", user.split_once(':').unwrap().0);
        let arguments = ["migrate", "--from", &url, "--to", "sqlite:x", "--from-password-file", file];
        let said = String::from_utf8_lossy(&program(&arguments, None, "").stderr).into_owned();
        assert!(said.contains("lets nobody in") && !said.contains("hush"), "{kind}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_imported_into_each_database() {
    for (kind, place) in places() {
        place.database().await;
        for (added, present) in [(3_000, 0), (0, 3_000)] {
            let output = program(&["import", "-", "-o", "json"], Some(place.url()), &events(1, 3_000));
            assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
            let done: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!((&done["added"], &done["present"]), (&json!(added), &json!(present)), "{kind}");
        }
        let mut history = History::of_text(&events(1, 3_000));
        history.lines.push("{}".to_owned());
        let output = program(&["import", "-"], Some(place.url()), &history.lines.join("\n"));
        assert_eq!(output.status.code(), Some(1), "{kind}");
        assert_eq!(dump(&place).await.len(), 3_000, "{kind}");
    }
}
