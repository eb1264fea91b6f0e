//! Slides change while the lamp stays lit: twenty deployments in a row, under constant
//! appends and reads. No read fails, none sees two versions, or an earlier moment.
//!
//! What it measures it prints: `cargo nextest run --release --no-capture lamp`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fantascope::change::VersionId;
use fantascope::deployment::{Fault, Keep, Policy};
use fantascope::event::{NewEvent, Position};
use fantascope::projection::Phase;
use fantascope::store::{Expected, Filter, Store};
use serde_json::json;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio_util::sync::CancellationToken;

use crate::stage::{POLICY, Stage, format_label, slides};

const DEPLOYMENTS: u32 = 20;

/// Each appends one event every `PAUSE`: 560 a second together, if the machine keeps up.
const APPENDERS: usize = 18;
const PAUSE: Duration = Duration::from_millis(32);

const READERS: usize = 4;

/// What one table shows: rows, events, and the lowest and highest version in a row.
type Shown = (i64, i64, i64, i64);

/// Reads without pause, until told to stop, and gives how often. Both tables are read in
/// one transaction: they must be of one version, and of one position.
async fn read(path: std::path::PathBuf, stop: CancellationToken) -> u64 {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let (mut reads, mut before) = (0, 0);
    while !stop.is_cancelled() {
        let mut transaction = connection.begin().await.unwrap();
        let counts =
            shown(&mut transaction, "SELECT count(*), sum(events), min(version), max(version) FROM slides_counts");
        let counts = counts.await;
        let others =
            shown(&mut transaction, "SELECT count(*), sum(events), min(version), max(version) FROM slides_shown");
        assert_eq!(counts, others.await, "two tables of one projection, in one transaction");
        let (rows, events, lowest, highest) = counts;
        assert!(events >= before, "rows of an earlier moment: {before} events, then {events}");
        before = events;
        assert!(rows == 10 && lowest == highest, "an empty table, or a mix of versions: {counts:?}");
        transaction.commit().await.unwrap();
        reads += 1;
    }
    reads
}

async fn shown(connection: &mut SqliteConnection, sql: &'static str) -> Shown {
    sqlx::query_as(sql).fetch_one(connection).await.unwrap()
}

async fn append(store: Store, aggregates: std::ops::Range<usize>, stop: CancellationToken) {
    let mut clock = tokio::time::interval(PAUSE);
    let mut number = 0;
    while !stop.is_cancelled() {
        clock.tick().await;
        let aggregate = aggregates.start + number % aggregates.len();
        append_one(&store, aggregate, number as u64 % 7).await;
        number += 1;
    }
}

async fn append_one(store: &Store, aggregate: usize, n: u64) {
    let event: NewEvent = serde_json::from_value(json!({ "event_type": "Slide", "event_data": { "n": n } })).unwrap();
    store.append("Show", &format!("s-{aggregate}"), Expected::Any, vec![event]).await.unwrap();
}

/// What all events of the store add up to, found without any projection.
async fn fold(store: &Store) -> BTreeMap<String, (i64, i64)> {
    let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut filter = Filter::default();
    loop {
        let events = store.events(&filter, 1_000).await.unwrap();
        let Some(last) = events.last() else { return sums };
        filter.after = last.position;
        for event in &events {
            let data: serde_json::Value = serde_json::from_str(event.event_data.get()).unwrap();
            let sum = sums.entry(event.aggregate_id.clone()).or_default();
            sum.0 += 1;
            sum.1 += data["n"].as_i64().unwrap();
        }
    }
}

/// Durations of one kind.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    /// Switches; on a busy machine a version may lag at that moment, and is asked again.
    async fn of_switch(&mut self, switch: impl AsyncFn() -> Result<VersionId, Fault>) {
        loop {
            let began = Instant::now();
            match switch().await {
                Ok(_) => return self.0.push(began.elapsed()),
                Err(fault) => assert_eq!(fault.code(), "version_not_ready", "{fault}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn say(&mut self, what: &str) {
        self.0.sort_unstable();
        println!("{what}: median {:?}, worst {:?}", self.0[self.0.len() / 2], self.0[self.0.len() - 1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stays_lit_while_slides_change() {
    let stage = Stage::with(Policy { keep_previous: Keep::Latest(1), ..POLICY }).await;
    for number in 0..100 {
        append_one(&stage.store, number % 10, 1).await;
    }
    stage.deploy(slides(1, "marked", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;

    let stop = CancellationToken::new();
    let appenders: Vec<_> = (0..APPENDERS)
        .map(|number| tokio::spawn(append(stage.store.clone(), number % 4 * 2..number % 4 * 2 + 4, stop.clone())))
        .collect();
    let readers: Vec<_> =
        (0..READERS).map(|_| tokio::spawn(read(stage.place.path("store.sqlite"), stop.clone()))).collect();
    let worst_lag = Arc::new(AtomicU64::new(0));
    let (board, store, worst, ended) =
        (stage.deployments.projections().board(), stage.store.clone(), Arc::clone(&worst_lag), stop.clone());
    let watcher = tokio::spawn(async move {
        while !ended.is_cancelled() {
            for status in board.statuses(store.head()).iter().filter(|status| status.live) {
                worst.fetch_max((status.lag_seconds * 1e6) as u64, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });

    let (mut promotions, mut rollbacks, mut pauses) = (Times::default(), Times::default(), Times::default());
    for number in 1..=DEPLOYMENTS {
        // A broken one in between changes nothing, and is cancelled.
        let version = number + 1;
        if number % 4 == 0 {
            stage.deploy(slides(version, "broken", number)).await.unwrap();
            let label = stage.status_of(version, Phase::Failed).await;
            stage.deployments.cancel("slides", Some(label.parse().unwrap()), "tester").await.unwrap();
        }
        let label = stage.deploy(slides(version, "marked", 0)).await.unwrap().version.unwrap();
        stage.reaches_tail(&label).await;
        promotions.of_switch(async || stage.deployments.promote("slides", None, false, "tester").await).await;
        rollbacks.of_switch(async || stage.deployments.rollback("slides", false, "tester").await).await;
        promotions.of_switch(async || stage.deployments.promote("slides", None, false, "tester").await).await;
        let swapped = stage.deploy(slides(version, "marked", number)).await.unwrap();
        assert_eq!(swapped.outcome, "swapped");
        pauses.0.push(Duration::from_secs_f64(swapped.pause_ms.unwrap() / 1_000.0));
    }
    stop.cancel();
    let mut reads = 0;
    for reader in readers {
        reads += reader.await.unwrap();
    }
    for appender in appenders {
        appender.await.unwrap();
    }
    watcher.await.unwrap();

    let expected = fold(&stage.store).await;
    let head = stage.store.head_with_appended().await;
    let mut checked = 0;
    for status in stage.deployments.projections().board().statuses(head) {
        let label = format_label(&status);
        stage.reaches(&label, Phase::Following).await;
        for table in ["counts", "shown"] {
            let physical = format!("slides__{table}__v{}g{}", status.version, status.generation);
            assert_eq!(stage.rows(&physical).await, expected, "{label} has lost or doubled an event");
        }
        checked += 1;
    }
    assert!(checked >= 2 && head > Position(100), "{checked} versions at {head}");
    println!("{DEPLOYMENTS} deployments, {head} events, {reads} reads, {checked} versions checked");
    promotions.say("promotion");
    rollbacks.say("rollback");
    pauses.say("pause of a swap");
    println!("worst lag of the live version: {:?}", Duration::from_micros(worst_lag.load(Ordering::Relaxed)));
}
