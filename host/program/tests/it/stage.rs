//! A host whose slides change: with deployments, and guests that are what a test wants.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fantascope::database::Row;
use fantascope::deployment::{
    DeployOptions, Deployed, Deployments, Fault, Foundation, Keep, Policy, RebuildOptions, WhenRowsDiffer,
};
use fantascope::event::{NewEvent, Position};
use fantascope::guest::Sandbox;
use fantascope::projection::{Phase, Status};
use fantascope::read_model::{Operation, Promote, ReadModel, Source};
use fantascope::store::{Expected, Store};
use serde_json::json;

use crate::guests::guest;
use crate::place::Place;

/// Nothing takes longer, however busy the machine is, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) const POLICY: Policy = Policy {
    promote: Promote::Manual,
    when_rows_differ: WhenRowsDiffer::Build,
    sample_events: 1_000,
    workers: 1,
    keep_previous: Keep::Latest(2),
    keep_as_of: Duration::from_secs(3_600),
};

/// A host with deployments in a folder of its own.
pub(crate) struct Stage {
    pub(crate) place: Place,
    pub(crate) store: Store,
    pub(crate) read_model: ReadModel,
    pub(crate) deployments: Deployments,
    /// The last position that this host or one beside it has appended at.
    appended: Arc<AtomicU64>,
}

/// The component `slides` of a version that does `mode`; other notes are other bytes.
pub(crate) fn slides(version: u32, mode: &str, note: u32) -> Vec<u8> {
    let marker = format!("slides:v={version:02};mode={mode:.<8};note={note:04};");
    marked(&guest("slides"), b"slides:v=", &marker)
}

/// The component `turner` of a version that multiplies by `factor`.
pub(crate) fn turner(version: u32, factor: u32) -> Vec<u8> {
    marked(&guest("turner"), b"turner:v=", &format!("turner:v={version:02};factor={factor:02};note=0000;"))
}

/// `bytes` with `marker` over what begins with `start`.
fn marked(bytes: &[u8], start: &[u8], marker: &str) -> Vec<u8> {
    let at = bytes.windows(start.len()).position(|window| window == start).expect("a marker");
    let mut bytes = bytes.to_vec();
    bytes[at..at + marker.len()].copy_from_slice(marker.as_bytes());
    bytes
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(POLICY).await
    }

    pub(crate) async fn with(policy: Policy) -> Self {
        Self::open(Place::new(), policy).await
    }

    /// A host over what `place` holds.
    pub(crate) async fn open(place: Place, policy: Policy) -> Self {
        let sandbox = place.sandbox();
        Self::open_with(place, policy, sandbox, None).await
    }

    /// The same with a sandbox of its own, over a store that may be somewhere else.
    pub(crate) async fn open_with(place: Place, policy: Policy, sandbox: Sandbox, store: Option<Store>) -> Self {
        let database = place.database().await;
        let store = match store {
            Some(store) => store,
            None => Store::open(&database, &place.limits).await.unwrap(),
        };
        let read_model = ReadModel::open(&database).await.unwrap();
        let deployments = Deployments::open(Foundation {
            store: store.clone(),
            read_model: read_model.clone(),
            sandbox,
            limits: place.limits.clone(),
            policy,
            poll: Duration::from_millis(5),
            membership: deployment::Membership::default(),
        })
        .await
        .unwrap();
        deployments.resume_all().await.unwrap();
        Self { place, store, read_model, deployments, appended: Arc::default() }
    }

    /// Another host on the same database.
    pub(crate) async fn beside(&self) -> Self {
        Self { appended: Arc::clone(&self.appended), ..Self::open(self.place.beside(), POLICY).await }
    }

    /// The same host after a restart.
    pub(crate) async fn again(self, policy: Policy) -> Self {
        self.deployments.drain().await;
        let Self { place, appended, .. } = self;
        Self { appended, ..Self::open(place, policy).await }
    }

    /// Appends `count` events to each of the aggregates `s-0` to `s-4`, with `n` from 1 up.
    pub(crate) async fn append(&self, count: u64) {
        for aggregate in 0..5 {
            let event = |n| -> NewEvent {
                serde_json::from_value(json!({ "event_type": "Slide", "event_data": { "n": n } })).unwrap()
            };
            let events = (1..=count).map(event).collect();
            let appended = self.store.append("Show", &format!("s-{aggregate}"), Expected::Any, events).await.unwrap();
            self.appended.fetch_max(appended.positions.last().unwrap().0, Ordering::Relaxed);
        }
    }

    pub(crate) async fn deploy(&self, bytes: Vec<u8>) -> Result<Deployed, Fault> {
        self.deploy_with(bytes, DeployOptions::default()).await
    }

    pub(crate) async fn deploy_with(&self, bytes: Vec<u8>, options: DeployOptions) -> Result<Deployed, Fault> {
        self.deployments.deploy("slides.wasm", bytes, Source::Upload, options, "tester").await
    }

    pub(crate) async fn rebuild(&self, options: RebuildOptions) -> Result<Deployed, Fault> {
        self.deployments.rebuild("slides", options, "tester").await
    }

    pub(crate) fn status(&self, label: &str) -> Option<Status> {
        self.status_at(label, self.store.head())
    }

    /// The same, where `head` is the end of the store.
    fn status_at(&self, label: &str, head: Position) -> Option<Status> {
        let statuses = self.deployments.projections().board().statuses(head);
        statuses.into_iter().find(|status| format_label(status) == label)
    }

    /// The label of the live version.
    pub(crate) async fn live(&self) -> String {
        let versions = self.read_model.versions().await.unwrap();
        let live: Vec<String> =
            versions.iter().filter(|known| known.live).map(|known| known.id.label().to_string()).collect();
        live.join(",")
    }

    /// Waits until the version is in `phase`; and if it is to follow, until it has folded all that
    /// was appended. That it follows says little: the head may not have come to the last event.
    pub(crate) async fn reaches(&self, label: &str, phase: Phase) -> Status {
        let reached = async {
            loop {
                let head = self.store.head_with_appended().await;
                if let Some(status) = self.status_at(label, head)
                    && status.phase == phase
                    && (phase != Phase::Following || self.is_all_folded(&status))
                {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, reached).await;
        outcome.unwrap_or_else(|_| panic!("{label} is not {phase}: {:?}", self.status(label)))
    }

    /// Whether that version has folded all that was appended.
    pub(crate) fn is_all_folded(&self, status: &Status) -> bool {
        status.lag_events == 0 && status.position.0 >= self.appended.load(Ordering::Relaxed)
    }

    /// Waits until the tail has read so far.
    pub(crate) async fn tail_is_at(&self, position: u64) {
        let read = async {
            while self.deployments.projections().hold_tail().await.1.0 < position {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the tail comes so far");
    }

    /// Waits until the version follows the tail, however many events come meanwhile.
    pub(crate) async fn reaches_tail(&self, label: &str) {
        let follows = async {
            while !self.status(label).is_some_and(|status| matches!(status.phase, Phase::Following | Phase::Lagging)) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, follows).await.is_ok(), "{label}: {:?}", self.status(label));
    }

    /// Waits until some build of `version` is in `phase`, and gives its label.
    pub(crate) async fn status_of(&self, version: u32, phase: Phase) -> String {
        let found = async {
            loop {
                let statuses = self.deployments.projections().board().statuses(self.store.head());
                if let Some(status) = statuses.iter().find(|one| one.version == version && one.phase == phase) {
                    return format!("v{}g{}", status.version, status.generation);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap()
    }

    /// Waits until the live version is `label`, and has folded all that was appended.
    pub(crate) async fn becomes_live(&self, label: &str) {
        let lives = async {
            while self.live().await != label {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, lives).await.is_ok(), "{label} is not live, but {}", self.live().await);
        // On MySQL the views follow a moment later.
        self.read_model.settle_all().await.unwrap();
        // It has its history, and perhaps not yet what came while that was folded.
        self.reaches(label, Phase::Following).await;
    }

    /// What the stable name shows: per aggregate, events and total.
    pub(crate) async fn shown(&self) -> BTreeMap<String, (i64, i64)> {
        self.rows("slides_counts").await
    }

    pub(crate) async fn rows(&self, table: &str) -> BTreeMap<String, (i64, i64)> {
        let rows = self.place.raw().await.rows(&format!("SELECT id, events, total FROM \"{table}\"")).await;
        let row = |row: &Row| (row.at(0).unwrap(), (row.at(1).unwrap(), row.at(2).unwrap()));
        rows.iter().map(row).collect()
    }

    /// The names of tables and views that begin with `slides`.
    pub(crate) async fn names(&self) -> Vec<String> {
        let raw = self.place.raw().await;
        let sql = raw.dialect().pick(
            "SELECT name FROM sqlite_schema WHERE name LIKE 'slides%' AND type <> 'index'",
            "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace \
             AND relname LIKE 'slides%' AND relkind IN ('r', 'v')",
            "SELECT table_name FROM information_schema.tables WHERE table_schema = database() \
             AND table_name LIKE 'slides%'",
        );
        let mut names: Vec<String> = raw.rows(sql).await.iter().map(|row| row.at(0).unwrap()).collect();
        // Each database has an order of its own.
        names.sort_unstable();
        names
    }

    /// The operations, the first one first: what, on which version, and how it ended.
    pub(crate) async fn operations(&self) -> Vec<String> {
        let mut operations = self.read_model.operations(None, None, 1_000).await.unwrap();
        operations.reverse();
        operations.iter().map(told).collect()
    }
}

fn told(operation: &Operation) -> String {
    let Operation { operation, version, generation, outcome, .. } = operation;
    format!("{operation} {}g{} {outcome}", version.unwrap_or(0), generation.unwrap_or(0))
}

pub(crate) fn format_label(status: &Status) -> String {
    fantascope::change::Label { version: status.version, generation: status.generation }.to_string()
}

/// What `count` events with `n` from 1 up add up to, for each of five aggregates.
pub(crate) fn sums(count: i64, factor: i64) -> BTreeMap<String, (i64, i64)> {
    (0..5).map(|aggregate| (format!("s-{aggregate}"), (count, factor * count * (count + 1) / 2))).collect()
}
