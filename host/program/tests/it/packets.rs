//! Statements that would be too large for the server are cut, and rows that are are named.

use fantascope::change::{ColumnType, Keys};
use fantascope::database::Dialect;
use fantascope::event::NewEvent;
use fantascope::projection::Phase;
use fantascope::store::Expected;
use serde_json::json;

use crate::place::Place;
use crate::scribe::{failure, settled, start, write};
use crate::side::{Side, read_model, table, texts};

/// What MariaDB takes by default. Others that are set to more make no test of it.
const PACKET: usize = 16 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_large_together_are_written() {
    let place = Place::new();
    let host = place.start(&[]).await;
    let size = 12 << 10;
    let notes: Vec<_> = (0..3_000).map(|number| json!({ "id": format!("n{number}"), "body": size })).collect();
    assert!(notes.len() * size > 2 * PACKET);
    write(&host.store, &notes).await;
    start(&host, None).await;
    let status = settled(&host).await;
    assert_eq!((status.phase, status.error), (Phase::Following, None));
    host.projections.drain().await;
    let sql = "SELECT count(*) AS n FROM notes_notes WHERE length(body) = 12288";
    assert_eq!(place.raw().await.rows(sql).await[0].at::<i64>(0).unwrap(), 3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_too_large_is_named() {
    let place = Place::new();
    let host = place.start(&[]).await;
    let database = place.database().await;
    let size = database.statement_bytes_max().min(64 << 20);
    write(&host.store, &[json!({ "id": "small" }), json!({ "id": "large", "body": size })]).await;
    start(&host, None).await;
    if database.dialect() == Dialect::MySql {
        let (code, message) = failure(&host).await;
        assert_eq!(code, "row_refused", "{message}");
        let row = format!("table `notes`, key `large`: the row takes {}", size / 1_000_000);
        for said in ["position 2,", &row, "`max_allowed_packet`"] {
            assert!(message.contains(said), "{message} should say {said}");
        }
    } else {
        let status = settled(&host).await;
        assert_eq!((status.phase, status.error), (Phase::Following, None));
    }
}

#[tokio::test]
async fn events_that_are_large_together_are_appended() {
    let place = Place::new();
    let store = place.store().await;
    let text = "e".repeat(200 << 10);
    let event = |_| -> NewEvent {
        serde_json::from_value(json!({ "event_type": "Large", "event_data": { "text": text } })).unwrap()
    };
    let events: Vec<NewEvent> = (0..200).map(event).collect();
    let appended = store.append("Thing", "t-1", Expected::Any, events).await.unwrap();
    assert_eq!(appended.positions.iter().map(|position| position.0).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn keys_that_are_large_together_are_looked_up() {
    let place = Place::new();
    let read_model = read_model(&place).await;
    let table = table("t", 1, &[("id", ColumnType::Text), ("n", ColumnType::Integer)]);
    let mut side = Side::new(&read_model, 1, vec![table.clone()]).await;
    // Most of what they take is their beginning, of characters that take four bytes.
    let all: Vec<String> = (0..6_000).map(|number| format!("{}{number}", "🐢".repeat(750))).collect();
    let there = [0, 2_999, 3_000, 5_999];
    let keys = texts(&there.map(|number: usize| all[number].as_str()));
    side.put(1, vec![vec![keys, crate::side::integers(&[1, 2, 3, 4])]]).await;
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert!(all.iter().map(|key| key.len()).sum::<usize>() > PACKET);
    let found =
        read_model.rows(&side.prepared.id, &table, &Keys { count: all.len(), columns: vec![texts(&all)] }).await;
    let found = found.unwrap();
    let present: Vec<usize> = (0..all.len()).filter(|&key| found.present[key] == 1).collect();
    assert_eq!(present, there);
    let numbers: Vec<_> = (0..4).map(|row| found.columns[0].to_json(ColumnType::Integer, row)).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}
