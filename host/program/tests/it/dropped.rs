//! Whoever asks a database can go away before the answer: the next one gets its own.

use std::time::Duration;

use fantascope::database::{Address, Connections, Database};
use fantascope::event::{NewEvent, Position};
use fantascope::limits::Limits;
use fantascope::store::{Expected, Filter, Store};
use serde_json::json;

use crate::dice::Dice;
use crate::place::Place;

/// Longer than anything takes here; what hangs fails instead of waiting for ever.
const HANGS: Duration = Duration::from_secs(60);

const EVENTS: usize = 200;
const DROPS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_leaves_nothing_to_others() {
    let place = Place::with(Limits { batch_events_max: EVENTS, ..Limits::default() });
    drop(place.store().await);
    let few = Connections { max: 2, ..Connections::default() };
    let address = Address::parse(place.url(), None).unwrap();
    let store = Store::open(&Database::open(&address, &few).await.unwrap(), &place.limits).await.unwrap();
    let event = json!({ "event_type": "Good", "event_data": { "text": "long ".repeat(4_000) } });
    let event: NewEvent = serde_json::from_value(event).unwrap();
    for number in 0..EVENTS / 10 {
        store.append("Thing", &format!("t-{number}"), Expected::Any, vec![event.clone(); 10]).await.unwrap();
    }
    let head = Position(EVENTS as u64);
    while store.refresh_head().await.unwrap() < head {}
    let mut dice = Dice::new();
    println!("{dice}");
    for number in 0..DROPS {
        let until = Duration::from_secs_f64(0.02 * dice.roll());
        let read = tokio::time::timeout(until, store.page(Position::START, head)).await;
        let count = number % 7 + 1;
        let events = tokio::time::timeout(HANGS, store.events(&Filter::default(), count)).await;
        let events = events.unwrap_or_else(|_| panic!("no answer after {number} drops")).unwrap();
        assert_eq!(events.len(), count);
        assert!(events.iter().enumerate().all(|(index, event)| event.position.0 == index as u64 + 1));
        assert!(read.is_err() || read.unwrap().unwrap().events.positions.len() == EVENTS);
    }
}
