//! What panics on the host's side goes on: it is begun again, and says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fantascope::change::{Changes, Keys, Manifest, Rows};
use fantascope::event::Batch;
use fantascope::guest::{Fault, Fold, Kind, LogLine, digest};
use fantascope::projection::{Phase, Projections, Resources, Status, Upcasters};
use fantascope::read_model::ReadModel;

use crate::history::History;
use crate::place::Place;
use crate::stage::slides;

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `is_so`, or says what is not.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{what}");
}

/// A guest that panics, not in its sandbox but on the host's side, as long as it is to.
struct Panics {
    guest: Box<dyn Fold>,
    is_to: Arc<AtomicBool>,
}

impl Fold for Panics {
    fn load(&mut self, batch: &Batch) -> Result<Vec<Keys>, Fault> {
        assert!(!self.is_to.load(Ordering::SeqCst), "a lamp fell over");
        self.guest.load(batch)
    }

    fn apply(&mut self, existing: &[Rows]) -> Result<Vec<Changes>, Fault> {
        self.guest.apply(existing)
    }

    fn take_lines(&mut self) -> Vec<LogLine> {
        self.guest.take_lines()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_panics_says_so_and_goes_on_when_it_does_not_any_more() {
    let place = Place::new();
    let store = place.store().await;
    History::of_types(&["Slide"; 3]).import(&store).await;
    let Kind::Projection(plugin) = place.sandbox().admit(&slides(1, "plain", 0)).unwrap().kind else {
        panic!("slides are a projection")
    };
    let projections = Projections::new(Resources {
        store: store.clone(),
        read_model: ReadModel::open(&place.database().await).await.unwrap(),
        upcasters: Upcasters::new(Vec::new()).unwrap(),
        limits: place.limits.clone(),
        poll: Duration::from_millis(5),
    });
    let is_to = Arc::new(AtomicBool::new(true));
    let manifest: Arc<Manifest> = Arc::clone(&plugin.manifest);
    let start = {
        let is_to = Arc::clone(&is_to);
        Arc::new(move || {
            let guest: Box<dyn Fold> = Box::new(plugin.start()?);
            Ok(Box::new(Panics { guest, is_to: Arc::clone(&is_to) }) as Box<dyn Fold>)
        })
    };
    let id = projections.start(manifest, digest(b"any"), start).await.unwrap();
    let status = || -> Option<Status> { projections.board().status(&id, store.head()) };
    until("it says that it has panicked", async || {
        status().is_some_and(|status| {
            let error = status.error.as_ref();
            status.phase == Phase::Retrying
                && error.is_some_and(|error| error.code == "panicked" && error.message.ends_with("a lamp fell over"))
        })
    })
    .await;
    let counted = |(name, count): &(String, u64)| name == "projection slides v1" && *count > 0;
    assert!(store.tasks().panics().iter().any(counted), "{:?}", store.tasks().panics());
    is_to.store(false, Ordering::SeqCst);
    until("it goes on", async || {
        status().is_some_and(|status| status.phase == Phase::Following && status.position == store.head())
    })
    .await;
    projections.drain().await;
}

/// Tasks that are let panic.
#[cfg(feature = "fault-injection")]
mod injected {
    use fantascope::deployment::Policy;
    use fantascope::read_model::Promote;
    use fantascope::store::{Error, Expected};
    use serde_json::json;

    use super::*;
    use crate::stage::{POLICY, Stage};

    /// Lets the task `name` panic, and waits until it has.
    async fn panic_in(stage: &Stage, name: &str, wake: impl AsyncFn()) {
        let tasks = stage.store.tasks();
        tasks.inject_panic(name);
        wake().await;
        let has = |(known, count): &(String, u64)| known == name && *count == 1;
        until(&format!("{name} panics"), async || tasks.panics().iter().any(has)).await;
        // A version that panics keeps nobody from using the others.
        assert_eq!(tasks.unsteady().contains(&name.to_owned()), !name.starts_with("projection"));
    }

    async fn append_one(stage: &Stage) -> Result<(), Error> {
        let event = json!({ "event_type": "Slide", "event_data": { "n": 1 } });
        let events = vec![serde_json::from_value(event).unwrap()];
        stage.store.append("Show", "s-0", Expected::Any, events).await.map(|_| ())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn appends_go_on() {
        let stage = Stage::new().await;
        stage.append(1).await;
        panic_in(&stage, "appends", async || {
            // It had not begun with this one, or had it in hand: nobody can tell.
            drop(append_one(&stage).await);
        })
        .await;
        append_one(&stage).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_tail_goes_on() {
        let stage = Stage::new().await;
        stage.append(1).await;
        stage.deploy(slides(1, "plain", 0)).await.unwrap();
        stage.reaches("v1", Phase::Following).await;
        panic_in(&stage, "tail", async || stage.append(1).await).await;
        stage.append(1).await;
        stage.reaches("v1", Phase::Following).await;
        let rows = stage.rows("slides__counts__v1g1").await;
        assert!(rows.values().all(|&(events, _)| events == 3), "neither lost nor doubled: {rows:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_version_goes_on() {
        let stage = Stage::new().await;
        stage.append(1).await;
        stage.deploy(slides(1, "plain", 0)).await.unwrap();
        stage.reaches("v1", Phase::Following).await;
        panic_in(&stage, "projection slides v1", async || {
            // It is woken by an order, too, which is obeyed when it goes on.
            stage.deployments.pause("slides", None, "tester").await.unwrap();
        })
        .await;
        stage.reaches("v1", Phase::Paused).await;
        stage.deployments.resume("slides", None, None, "tester").await.unwrap();
        stage.append(1).await;
        stage.reaches("v1", Phase::Following).await;
        let rows = stage.rows("slides__counts__v1g1").await;
        assert!(rows.values().all(|&(events, _)| events == 2), "neither lost nor doubled: {rows:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_ready_is_promoted() {
        let policy = Policy { promote: Promote::Ready, ..POLICY };
        let stage = Stage::with(policy).await;
        stage.append(1).await;
        stage.deploy(slides(1, "plain", 0)).await.unwrap();
        stage.reaches("v1", Phase::Following).await;
        // It goes on by itself: it has a clock.
        panic_in(&stage, "promotion and retention", async || {}).await;
        stage.deploy(slides(2, "plain", 0)).await.unwrap();
        until("v2 is live", async || stage.live().await == "v2").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn other_hosts_are_followed() {
        let stage = Stage::new().await;
        panic_in(&stage, "membership", async || {}).await;
        let other = stage.beside().await;
        other.append(1).await;
        other.deploy(slides(1, "plain", 0)).await.unwrap();
        until("it hears of v1", async || stage.status("v1").is_some()).await;
    }
}
