//! Rows that a database does not keep: the event that is to blame is found and named, whatever
//! was to be written with it.

use fantascope::database::Dialect;
use fantascope::limits::Limits;
use fantascope::projection::Phase;
use fantascope::store::Filter;
use serde_json::{Value, json};

use crate::history::event_id;
use crate::place::{Place, Raw};
use crate::scribe::{PHYSICAL, failure, plain, settled, start, write};

/// Notes before the one that does not fit, and behind it.
const BEFORE: usize = 150;
const BEHIND: usize = 150;

/// Small batches, many of which are written at once.
fn place() -> Place {
    Place::with(Limits { batch_events_max: 20, ..Limits::default() })
}

/// The note `bad`, among others, fails with all of `said`; what comes before it is kept.
async fn check(place: &Place, index: Option<&str>, bad: &Value, said: &[&str]) {
    let host = place.start(&[]).await;
    let notes = [plain("a", BEFORE), vec![bad.clone()], plain("z", BEHIND)].concat();
    write(&host.store, &notes).await;
    let id = start(&host, index).await;
    let (code, message) = failure(&host).await;
    assert_eq!(code, "row_refused", "{message}");
    let event = format!("position {}, event {}, Noted v1", BEFORE + 1, event_id(BEFORE + 1));
    for said in [&["table `notes`", event.as_str()], said].concat() {
        assert!(message.contains(said), "{message} should say {said}");
    }
    let read_model = host.read_model.clone();
    host.projections.drain().await;
    assert_eq!(read_model.version(&id).await.unwrap().position().0, BEFORE as u64, "{message}");
    assert_eq!(count(&place.raw().await).await, BEFORE as i64, "{message}");
}

async fn count(raw: &Raw) -> i64 {
    raw.rows(&format!("SELECT count(*) AS n FROM \"{PHYSICAL}\"")).await[0].at(0).unwrap()
}

/// Text that no database can press together.
fn noise(length: usize) -> String {
    let mut state = 1_u64;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"[(state >> 33) as usize % 62])
    };
    (0..length).map(letter).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_too_long_is_named() {
    let place = place();
    let dialect = place.raw().await.dialect();
    let long = noise(4_000);
    // Of SQLite there is no such bound.
    if dialect != Dialect::Sqlite {
        let shown = format!("column `id`, key `{}…` of 4000 characters", &long[..64]);
        let reason = dialect.pick("", "index row size", "keeps 768");
        check(&place, None, &json!({ "id": long }), &[&shown, reason]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_an_index_does_not_take_is_named() {
    let place = place();
    let dialect = place.raw().await.dialect();
    let bad = json!({ "id": "bad", "label": noise(4_000) });
    if dialect == Dialect::MySql {
        check(&place, Some("label"), &bad, &["column `label`, key `bad`", "keeps 768"]).await;
    }
    if dialect == Dialect::Postgres {
        // Its indexes are made once the history is folded: the row is there, and no event to blame.
        let host = place.start(&[]).await;
        write(&host.store, &[bad]).await;
        start(&host, Some("label")).await;
        let (code, message) = failure(&host).await;
        assert_eq!(code, "row_refused", "{message}");
        assert!(message.contains(&format!("`{PHYSICAL}__i1` can't be made: index row size")), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_out_of_range_is_named() {
    let place = place();
    let dialect = place.raw().await.dialect();
    let at: i64 = dialect.pick(0, -250_000_000_000_000_000, 253_402_300_800_000_000);
    if dialect != Dialect::Sqlite {
        let said = ["column `at`, key `bad`", "is out of range: the database keeps times from"];
        check(&place, None, &json!({ "id": "bad", "at": at }), &said).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_and_last_times_of_a_database_are_kept() {
    let place = place();
    let host = place.start(&[]).await;
    let dialect = place.raw().await.dialect();
    let ends: [i64; 2] = dialect.pick(
        [i64::MIN, i64::MAX],
        [-210_866_803_200_000_000, i64::MAX],
        [-62_135_596_800_000_000, 253_402_300_799_999_999],
    );
    write(&host.store, &ends.map(|at| json!({ "id": at.to_string(), "at": at }))).await;
    start(&host, None).await;
    let status = settled(&host).await;
    assert_eq!((status.phase, status.error), (Phase::Following, None));
    assert_eq!(count(&place.raw().await).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decimal_with_too_many_digits_is_named() {
    let place = place();
    if place.raw().await.dialect() == Dialect::MySql {
        let said = ["column `price`, key `bad`", "36 digits before the point and 0 behind it"];
        check(&place, None, &json!({ "id": "bad", "price": "9".repeat(36) }), &said).await;
    }
}

/// A constraint that the host knows nothing of, and what takes it away.
fn no_ducks(dialect: Dialect) -> [String; 2] {
    match dialect {
        Dialect::Sqlite => [
            format!(
                "CREATE TRIGGER no_ducks BEFORE INSERT ON \"{PHYSICAL}\" WHEN NEW.body = 'duck' \
                 BEGIN SELECT RAISE(ABORT, 'no_ducks'); END"
            ),
            "DROP TRIGGER no_ducks".to_owned(),
        ],
        _ => [
            format!("ALTER TABLE \"{PHYSICAL}\" ADD CONSTRAINT no_ducks CHECK (body <> 'duck')"),
            format!("ALTER TABLE \"{PHYSICAL}\" DROP CONSTRAINT no_ducks"),
        ],
    }
}

/// What the host can't know before it is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_against_a_constraint_of_others_is_named() {
    let place = place();
    let host = place.start(&[]).await;
    start(&host, None).await;
    settled(&host).await;
    host.projections.drain().await;
    let raw = place.raw().await;
    let [constraint, _] = no_ducks(raw.dialect());
    raw.run(&constraint).await.unwrap();
    check(&place, None, &json!({ "id": "bad", "body": "duck" }), &["key `bad`", "no_ducks"]).await;
}

/// Once the plugin is mended it goes on, and at full speed.
#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_when_what_was_in_the_way_is_gone() {
    let place = place();
    let host = place.start(&[]).await;
    let id = start(&host, None).await;
    settled(&host).await;
    let raw = place.raw().await;
    let [constraint, drop] = no_ducks(raw.dialect());
    raw.run(&constraint).await.unwrap();
    write(
        &host.store,
        &[plain("a", BEFORE), vec![json!({ "id": "bad", "body": "duck" })], plain("z", BEHIND)].concat(),
    )
    .await;
    failure(&host).await;
    raw.run(&drop).await.unwrap();
    host.projections.resume(&id).await;
    while host.status("notes").phase == Phase::Failed {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let status = settled(&host).await;
    assert_eq!((status.phase, status.error), (Phase::Following, None));
    assert_eq!(count(&raw).await, (BEFORE + 1 + BEHIND) as i64);
}

#[tokio::test]
async fn names_that_no_event_has_are_asked_for_in_vain() {
    let place = Place::new();
    let store = place.store().await;
    write(&store, &plain("a", 3)).await;
    let zero = Some("a\0b".to_owned());
    let filters = [
        Filter { event_type: zero.clone(), ..Filter::default() },
        Filter { aggregate_type: zero.clone(), ..Filter::default() },
        Filter { aggregate_id: zero.clone(), ..Filter::default() },
        Filter { correlation_id: zero, ..Filter::default() },
    ];
    for filter in filters {
        assert!(store.events(&filter, 10).await.unwrap().is_empty(), "{filter:?}");
    }
}
