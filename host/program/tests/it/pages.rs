//! Pages of events: the same events, however they are cut.

use std::sync::Arc;

use fantascope::event::{Batch, Checkpoint, ImportedEvent, Position};
use fantascope::limits::Limits;
use fantascope::store::Store;
use serde_json::json;
use uuid::Uuid;

use crate::place::Place;

/// Not a multiple of any page.
const EVENTS: u64 = 5_003;

/// One that has every field, or none that it need not have; and texts of several bytes a character.
fn event(number: u64) -> ImportedEvent {
    let mut event = json!({
        "event_id": Uuid::from_u64_pair(number, 1),
        "event_type": format!("Type{}", number % 3),
        "event_version": number % 2 + 1,
        "aggregate_type": format!("Kind{}", number % 5),
        "aggregate_id": format!("ñ-{number}"),
        "aggregate_version": 1,
        "event_timestamp": format!("2026-11-22T04:20:{:02}.{number:06}Z", number % 60),
        "event_data": { "text": "wörter ".repeat(number as usize % 40) },
    });
    for (name, modulus) in [("user_id", 2), ("correlation_id", 3), ("causation_id", 5)] {
        if number.is_multiple_of(modulus) {
            event[name] = json!(format!("{name} {number}"));
        }
    }
    if number.is_multiple_of(7) {
        event["metadata"] = json!({ "number": number });
    }
    serde_json::from_value(event).unwrap()
}

/// All events, page by page, of at most so many events and bytes; and the size of the largest page.
async fn read(place: &Place, batch_events_max: usize, batch_bytes_max: usize) -> (Vec<String>, usize, usize) {
    let limits = Limits { batch_events_max, batch_bytes_max, ..place.limits.clone() };
    let store = Store::open(&place.database().await, &limits).await.unwrap();
    let head = store.refresh_head().await.unwrap();
    assert_eq!(head, Position(EVENTS));
    let (mut events, mut longest, mut largest) = (Vec::new(), 0, 0);
    let mut at = Checkpoint::START;
    while at.position < head {
        let page = store.page(at, head).await.unwrap();
        assert!(page.after == at && page.up_to > at.position, "pages follow each other");
        assert!(page.events.positions.iter().all(|&position| at.position.0 < position && position <= page.up_to.0));
        longest = longest.max(page.events.len());
        largest = largest.max(page.events.payload_bytes());
        events.extend((0..page.events.len()).map(|row| line(&page.events, row)));
        at = page.end();
    }
    (events, longest, largest)
}

fn line(batch: &Batch, row: usize) -> String {
    let texts = [&batch.aggregate_ids, &batch.user_ids, &batch.correlation_ids, &batch.causation_ids];
    let texts: Vec<&str> = texts.iter().chain(&[&batch.metadata, &batch.data]).map(|texts| texts.get(row)).collect();
    let aggregate_type = &batch.aggregate_types[batch.aggregate_type_codes[row] as usize];
    format!(
        "{} {} {} {aggregate_type} {} {} {texts:?}",
        batch.positions[row],
        batch.event_id(row),
        batch.event_type(row),
        batch.aggregate_versions[row],
        batch.timestamps[row]
    )
}

#[tokio::test]
async fn pages_hold_the_same_events_however_they_are_cut() {
    let place = Place::new();
    let store = place.store().await;
    for first in (1..=EVENTS).step_by(1_000) {
        let chunk = (first..=EVENTS.min(first + 999)).map(event).collect();
        store.import(Arc::new(chunk)).await.unwrap();
    }
    let (short, longest, _) = read(&place, 100, usize::MAX >> 1).await;
    assert_eq!((short.len() as u64, longest), (EVENTS, 100));
    let (long, longest, whole) = read(&place, EVENTS as usize, usize::MAX >> 1).await;
    assert_eq!((long, longest as u64), (short.clone(), EVENTS));
    let bytes_max = whole / 10;
    let (cut, _, largest) = read(&place, EVENTS as usize, bytes_max).await;
    assert_eq!(cut, short);
    assert!(largest <= bytes_max, "{largest} of {bytes_max} bytes");
    let limits = Limits { batch_bytes_max: 1, ..place.limits.clone() };
    let store = Store::open(&place.database().await, &limits).await.unwrap();
    let page = store.page(Position(7), Position(EVENTS)).await.unwrap();
    assert_eq!((page.events.positions, page.up_to), (vec![8], Position(8)), "an event that is too large comes alone");
}
