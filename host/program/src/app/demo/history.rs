//! Telling the made-up history to the store: at once to begin with, then slowly.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::progress::Progress;
use crate::demo::{History, Plan};
use model::event::{Position, Timestamp};
use store::{Expected, Filter, Store};

/// The seed of every demo.
const SEED: u64 = 1;

/// Events of one append to begin with.
const CHUNK: usize = 1_000;

/// From one append to the next later on.
const PAUSE: Duration = Duration::from_millis(400);

/// Tells the history on from where the store's copy of it ends.
#[derive(Debug)]
pub(super) struct Teller {
    history: History,
}

impl Teller {
    /// Finds out how far the store's history goes; begins one of `events` events if
    /// the store is empty.
    pub(super) async fn resume(store: &Store, events: u64) -> anyhow::Result<Self> {
        let first = store.events(&Filter::default(), 1).await?.into_iter().next();
        let Some(first) = first else {
            return Ok(Self { history: History::new(Plan::ending_at(SEED, events, Timestamp::now())) });
        };
        let plan = Plan::recorded_in(first.metadata.get())
            .context("this store holds events that no demo wrote: name an empty folder with --data")?;
        let mut history = History::new(plan.clone());
        // Events of others may stand between those of the history, so their ids are asked for.
        let (mut known, mut beyond) = (0, store.head().0 + 1);
        while beyond - known > 1 {
            let middle = known + (beyond - known) / 2;
            let there = store.position_of(plan.event_id(middle)).await?.is_some();
            *(if there { &mut known } else { &mut beyond }) = middle;
        }
        history.skip_to(known + 1);
        Ok(Self { history })
    }

    /// Appends until the history has `events` events.
    pub(super) async fn tell(&mut self, store: &Store, events: u64, progress: &Progress) -> anyhow::Result<()> {
        let bar = progress.bar("events", events);
        bar.set_position(self.history.events_done().min(events));
        while self.history.events_done() < events {
            let mut chunk = Vec::with_capacity(CHUNK);
            while chunk.len() < CHUNK && self.history.events_done() < events {
                chunk.extend(self.history.next_append().into_imported());
            }
            store.import(Arc::new(chunk)).await.context("cannot append the history")?;
            bar.set_position(self.history.events_done());
        }
        bar.finish();
        Ok(())
    }
}

/// Appends a little, again and again, as if it happened now.
pub(super) async fn append_slowly(store: &Store, teller: &mut Teller) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(PAUSE).await;
        let mut append = teller.history.next_append();
        for event in &mut append.events {
            event.event_timestamp = Some(Timestamp::now());
        }
        let expected = Expected::Version(append.expected_version);
        store
            .append(append.aggregate_type, &append.aggregate_id, expected, append.events)
            .await
            .context("cannot append the history")?;
    }
}

/// An order whose story is worth telling: one that was placed in the schema of old.
pub(super) async fn old_order(store: &Store) -> anyhow::Result<Option<(String, Position)>> {
    let filter = Filter { aggregate_type: Some("Order".to_owned()), ..Filter::default() };
    let orders = store.events(&filter, 200).await?;
    let told = |id: &str| orders.iter().filter(|event| event.aggregate_id == id).count();
    let old = orders.iter().filter(|event| event.event_type == "OrderPlaced" && event.event_version == 1);
    Ok(old.max_by_key(|event| told(&event.aggregate_id)).map(|event| (event.aggregate_id.clone(), event.position)))
}
