//! What whoever appends is told, in every database.

use fantascope::database::Dialect;
use fantascope::event::{NewEvent, StoredEvent};
use fantascope::http::Problem;
use fantascope::store::{Appended, Error, Expected, Filter, Store};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::hold::Lines;
use crate::place::{Place, Raw};

fn event(event_type: &str) -> NewEvent {
    serde_json::from_value(json!({ "event_type": event_type, "event_data": {} })).unwrap()
}

async fn append(store: &Store, event_type: &str) -> Result<u64, Error> {
    let appended = store.append("Thing", "t-1", Expected::Any, vec![event(event_type)]).await?;
    Ok(appended.aggregate_version)
}

/// Has the database refuse events of the type `Refused` as it does what breaks a constraint, and
/// on servers `Full` and `Denied` as if its disk were full, and its user had not the right.
async fn spoil(raw: &Raw) {
    let of_type = |event_type: &str, then: &str| format!("IF NEW.event_type = '{event_type}' THEN {then}; END IF;");
    let statements = match raw.dialect() {
        Dialect::Sqlite => vec![
            "CREATE TRIGGER spoiled BEFORE INSERT ON events WHEN NEW.event_type = 'Refused' \
             BEGIN SELECT RAISE(ABORT, 'spoiled by a test'); END"
                .to_owned(),
        ],
        Dialect::Postgres => {
            let raise = |code: &str| format!("RAISE EXCEPTION 'spoiled by a test' USING ERRCODE = '{code}'");
            let parts = [("Refused", "23514"), ("Full", "53100"), ("Denied", "42501")];
            let body = parts.map(|(event_type, code)| of_type(event_type, &raise(code))).concat();
            vec![
                format!(
                    "CREATE FUNCTION spoiled() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$"
                ),
                "CREATE TRIGGER spoiled BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION spoiled()".to_owned(),
            ]
        }
        Dialect::MySql => {
            let signal = |state: &str, number: u16| {
                format!("SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'spoiled by a test'")
            };
            let parts = [("Refused", "23000", 4025), ("Full", "HY000", 1114), ("Denied", "42000", 1142)];
            let body = parts.map(|(event_type, state, number)| of_type(event_type, &signal(state, number))).concat();
            vec![format!("CREATE TRIGGER spoiled BEFORE INSERT ON events FOR EACH ROW BEGIN {body} END")]
        }
    };
    for statement in statements {
        raw.run(&statement).await.unwrap();
    }
}

/// Has a file answer as it does when its disk is full: the last position is drawn.
async fn fill(raw: &Raw) {
    raw.run("UPDATE sqlite_sequence SET seq = 9223372036854775807 WHERE name = 'events'").await.unwrap();
}

/// All of it runs on one thread, whose log it reads.
#[tokio::test]
async fn what_the_database_has_against_an_append_is_named() {
    let lines = Lines::default();
    let writer = lines.clone();
    let _log = tracing::subscriber::set_default(
        tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish(),
    );
    let place = Place::new();
    let (store, raw) = (place.store().await, place.raw().await);
    spoil(&raw).await;
    assert_eq!(append(&store, "Good").await.unwrap(), 1);
    let mut wanted = vec![("Refused", "refuses the values", 422, "append_refused", "spoiled by a test")];
    if raw.dialect() != Dialect::Sqlite {
        wanted.push(("Full", "is full", 507, "store_full", "make room"));
        wanted.push(("Denied", "does not let its user write", 500, "store_not_writable", "grant"));
    }
    for case in wanted {
        is_told(&store, &lines, case).await;
        assert_eq!(append(&store, "Good").await.unwrap() % 2, 0, "nothing of it was appended");
        append(&store, "Good").await.unwrap();
    }
    if raw.dialect() == Dialect::Sqlite {
        fill(&raw).await;
        is_told(&store, &lines, ("Full", "is full", 507, "store_full", "make room")).await;
    }
}

/// Appends in vain, again and again.
async fn is_told(store: &Store, lines: &Lines, (event_type, cause, status, code, said): (&str, &str, u16, &str, &str)) {
    for _ in 0..3 {
        let fault = append(store, event_type).await.expect_err("it is refused");
        let problem: Value = serde_json::from_str(&Problem::from(fault).to_json()).unwrap();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{problem} should say {said}");
    }
    let log = lines.text();
    let told = log.lines().filter(|line| line.contains("ERROR") && line.contains(cause)).count();
    assert_eq!(told, 1, "each cause once: {log}");
}

fn expecting(version: u64) -> Expected {
    Expected::Version(version)
}

fn repeatable(id: u128) -> NewEvent {
    NewEvent { event_id: Some(Uuid::from_u128(id)), ..event("Good") }
}

/// What came of an append: the version after it, or the version that there is.
fn outcome(appended: Result<Appended, Error>) -> Result<u64, u64> {
    match appended {
        Ok(appended) => Ok(appended.aggregate_version),
        Err(Error::Conflict { actual, .. }) => Err(actual),
        Err(fault) => panic!("{fault}"),
    }
}

/// On one thread all of them wait before the first one is written.
#[tokio::test]
async fn those_that_are_written_together_see_each_other() {
    let place = Place::new();
    let store = place.store().await;
    let one = async |aggregate: &str, expected| {
        outcome(store.append("Thing", aggregate, expected, vec![event("Good"), event("Good")]).await)
    };
    let same =
        tokio::join!(one("a", expecting(0)), one("a", expecting(2)), one("a", expecting(0)), one("a", expecting(4)));
    assert_eq!(same, (Ok(2), Ok(4), Err(4), Ok(6)));
    let others =
        tokio::join!(one("b", Expected::Any), one("a", Expected::Any), one("b", Expected::Any), one("c", expecting(0)));
    assert_eq!(others, (Ok(2), Ok(8), Ok(4), Ok(2)));
    let mixed =
        tokio::join!(one("b", Expected::Any), one("b", expecting(6)), one("b", expecting(4)), one("d", Expected::Any));
    assert_eq!(mixed, (Ok(6), Ok(8), Err(8), Ok(2)));
    let conflicts =
        tokio::join!(one("e", expecting(1)), one("c", expecting(9)), one("c", expecting(2)), one("e", expecting(0)));
    assert_eq!(conflicts, (Err(0), Err(2), Ok(4), Ok(2)));
    assert_eq!(one("c", expecting(u64::MAX)).await, Err(4));
    let positions: Vec<u64> = all(&store).await.iter().map(|event| event.position.0).collect();
    assert!(positions.is_sorted_by(|one, other| one < other), "{positions:?}");
    assert_eq!(positions.len(), 24);
}

async fn all(store: &Store) -> Vec<StoredEvent> {
    store.events(&Filter::default(), 1_000).await.unwrap()
}

#[tokio::test]
async fn the_order_of_a_list_is_that_of_positions_and_versions() {
    let place = Place::new();
    let store = place.store().await;
    for (length, expected) in [(1, expecting(0)), (3, expecting(1)), (40, Expected::Any), (300, expecting(44))] {
        let list = (0..length).map(|number| event(&format!("Number{number}"))).collect();
        let appended = store.append("Thing", "t", expected, list).await.unwrap();
        let stored = all(&store).await;
        let stored = &stored[stored.len() - length..];
        assert_eq!(stored.iter().map(|event| event.position).collect::<Vec<_>>(), appended.positions);
        assert_eq!(stored.iter().map(|event| event.event_id).collect::<Vec<_>>(), appended.event_ids);
        assert_eq!(stored.last().unwrap().aggregate_version, appended.aggregate_version);
        for (number, event) in stored.iter().enumerate() {
            assert_eq!(event.event_type, format!("Number{number}"));
            assert_eq!(event.aggregate_version, appended.aggregate_version + number as u64 + 1 - length as u64);
        }
    }
}

/// Another handle on the same store, as another process has, appends between two of this one.
#[tokio::test]
async fn what_others_have_appended_is_seen() {
    let place = Place::new();
    let (mine, other) = (place.store().await, place.store().await);
    let one = async |store: &Store, id, expected| store.append("Thing", "t", expected, vec![repeatable(id)]).await;
    assert_eq!(outcome(one(&mine, 1, expecting(0)).await), Ok(1));
    assert_eq!(outcome(one(&other, 2, expecting(1)).await), Ok(2));
    assert_eq!(outcome(one(&mine, 3, expecting(1)).await), Err(2));
    assert_eq!(outcome(one(&mine, 3, Expected::Any).await), Ok(3));
    // The id decides before the version does, whoever wrote it.
    for (store, expected) in [(&other, expecting(0)), (&mine, Expected::Any), (&other, expecting(3))] {
        let again = one(store, 3, expected).await.unwrap();
        assert_eq!((again.repeated, again.aggregate_version), (true, 3));
    }
    let twins = mine.append("Thing", "t", Expected::Any, vec![repeatable(9), repeatable(9)]).await;
    assert!(matches!(twins, Err(Error::IdTwice { .. })), "{twins:?}");
    let taken = mine.append("Thing", "other", Expected::Any, vec![repeatable(3)]).await;
    assert!(matches!(taken, Err(Error::IdReused { .. })), "{taken:?}");
    assert_eq!(all(&mine).await.len(), 3);
}

/// Nobody follows this store, so nobody else looks at its head.
#[tokio::test]
async fn whoever_has_appended_is_told_no_less() {
    let place = Place::new();
    let store = place.store().await;
    for number in 1..=30 {
        let appended = store.append("Thing", "t", Expected::Any, vec![event("Good")]).await.unwrap();
        assert_eq!(appended.aggregate_version, number);
        let told = if number % 2 == 0 { store.refresh_head().await.unwrap() } else { store.head_with_appended().await };
        assert!(told >= appended.positions[0], "{told} where {appended:?} was appended");
    }
}
