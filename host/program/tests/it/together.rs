//! Projections that are rebuilt together read the store together.

use std::sync::{Arc, Barrier};

use fantascope::change::{Changes, Keys, Manifest, Rows};
use fantascope::event::Batch;
use fantascope::guest::{Fault, Fold, Kind, LogLine};
use fantascope::limits::Limits;
use fantascope::projection::{Projections, Resources, Start, Upcasters, sandboxed};
use fantascope::read_model::ReadModel;
use fantascope::store::{Expected, Store};
use serde_json::json;

use crate::place::Place;
use crate::stage::slides;

const EVENTS: usize = 8_000;
const PROJECTIONS: usize = 4;

/// Of the batches of each so many are folded by all at the same time, so that none is left behind
/// however busy the machine is.
const IN_STEP: usize = 120;

/// Folds a batch when all have one to fold.
struct Together {
    guest: Box<dyn Fold>,
    all_are_here: Arc<Barrier>,
    batches: usize,
}

impl Fold for Together {
    fn load(&mut self, batch: &Batch) -> Result<Vec<Keys>, Fault> {
        if self.batches < IN_STEP {
            self.all_are_here.wait();
            self.batches += 1;
        }
        self.guest.load(batch)
    }

    fn apply(&mut self, existing: &[Rows]) -> Result<Vec<Changes>, Fault> {
        self.guest.apply(existing)
    }

    fn take_lines(&mut self) -> Vec<LogLine> {
        self.guest.take_lines()
    }
}

/// Pages that are read to build four projections, with so many bytes to keep pages in.
async fn pages_read(shared_pages_bytes_max: usize) -> u64 {
    // They stay close together: each waits for each of its commits.
    let waiting_rows_bytes_max = 1;
    let place = Place::with(Limits {
        batch_events_max: 50,
        shared_pages_bytes_max,
        waiting_rows_bytes_max,
        ..Limits::default()
    });
    let database = place.database().await;
    let store = Store::open(&database, &place.limits).await.unwrap();
    for number in 0..EVENTS / 500 {
        let event = |n| serde_json::from_value(json!({ "event_type": "Slide", "event_data": { "n": n } })).unwrap();
        let events = (0..500).map(event).collect();
        store.append("Show", &format!("s-{number}"), Expected::Any, events).await.unwrap();
    }
    let Kind::Projection(plugin) = place.sandbox().admit(&slides(1, "plain", 0)).unwrap().kind else {
        panic!("slides are a projection")
    };
    let projections = Projections::new(Resources {
        store: store.clone(),
        read_model: ReadModel::open(&database).await.unwrap(),
        upcasters: Upcasters::new(Vec::new()).unwrap(),
        limits: place.limits.clone(),
        poll: std::time::Duration::from_millis(5),
    });
    let all_are_here = Arc::new(Barrier::new(PROJECTIONS));
    for number in 0..PROJECTIONS {
        let manifest = Manifest { name: format!("slides_{number}").parse().unwrap(), ..(*plugin.manifest).clone() };
        let digest = guest::digest(b"any");
        let (start, all_are_here) = (sandboxed(plugin.clone()), Arc::clone(&all_are_here));
        let start: Start = Arc::new(move || {
            Ok(Box::new(Together { guest: start()?, all_are_here: Arc::clone(&all_are_here), batches: 0 }))
        });
        projections.start(Arc::new(manifest), digest, start).await.unwrap();
    }
    projections.caught_up().await;
    for status in projections.board().statuses(store.head()) {
        assert!(status.error.is_none() && status.lag_events == 0, "{status:?}");
    }
    let read = projections.pages_read();
    projections.drain().await;
    read
}

#[tokio::test]
async fn four_rebuilds_read_the_store_about_once() {
    let together = pages_read(8 << 20).await;
    // With no room for pages of others each reads for itself.
    let apart = pages_read(1).await;
    let alone = (EVENTS / 50) as u64;
    assert!(apart >= alone * 3, "{apart} pages read apart, {alone} alone");
    assert!(together * 2 < apart, "{together} pages read together, {apart} apart");
}
