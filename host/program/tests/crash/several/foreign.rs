//! Programs that are no hosts, and write events with plain SQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use uuid::Uuid;

use super::ground::{Ground, Kind, Session};
use crate::dice::Dice;

/// Events of an aggregate, before its writer goes on with the next one: rows that nobody
/// touches any more show for good what was done to them.
const EVENTS_PER_AGGREGATE: i64 = 40;

/// Transactions that are rolled back, of a hundred.
const ROLLED_BACK: usize = 5;

/// Writers at work, until they are told to stop.
pub(crate) struct Writers {
    tally: Arc<Tally>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Tally {
    is_over: AtomicBool,
    committed: AtomicUsize,
    rolled_back: AtomicUsize,
}

impl Writers {
    /// Lets so many sessions append at once, with pauses of up to `pause` within transactions
    /// and between them.
    pub(crate) fn start(ground: &mut Ground, count: usize, pause: Duration) -> Self {
        let tally = Arc::new(Tally::default());
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (kind, url, dice, tally) = (ground.kind, ground.url(), ground.dice.others(), Arc::clone(&tally));
            let writing = async move {
                let session = Session::open(kind, &url).await.expect("a session");
                let aggregate = (Uuid::now_v7().simple().to_string(), 0);
                Writer { kind, session, dice, pause, number, aggregate, version: 0 }.write(&tally).await;
            };
            tasks.spawn_on(writing, ground.runtime.handle());
        }
        Self { tally, tasks }
    }

    /// Events committed so far.
    pub(crate) fn committed(&self) -> usize {
        self.tally.committed.load(Ordering::Relaxed)
    }

    /// Lets them end their transactions. Says how many events were committed, and how many
    /// rolled back.
    pub(crate) fn stop(self, ground: &Ground) -> (usize, usize) {
        self.tally.is_over.store(true, Ordering::Relaxed);
        ground.runtime.block_on(self.tasks.join_all());
        (self.tally.committed.load(Ordering::Relaxed), self.tally.rolled_back.load(Ordering::Relaxed))
    }
}

struct Writer {
    kind: Kind,
    session: Session,
    dice: Dice,
    pause: Duration,
    number: usize,
    /// What its aggregates are called, and which of them it is at.
    aggregate: (String, i64),
    /// The last one of the aggregate that was committed.
    version: i64,
}

impl Writer {
    async fn write(mut self, tally: &Tally) {
        while !tally.is_over.load(Ordering::Relaxed) {
            let count = 1 + self.dice.below(3);
            self.session.run("BEGIN").await.expect("a transaction");
            for version in (self.version + 1..).take(count) {
                let insert = self.insert(version);
                self.session.run(&insert).await.unwrap_or_else(|fault| panic!("{insert}: {fault}"));
                self.rest().await;
            }
            if self.dice.percent(ROLLED_BACK) {
                self.session.run("ROLLBACK").await.expect("nothing done");
                tally.rolled_back.fetch_add(count, Ordering::Relaxed);
            } else {
                self.session.run("COMMIT").await.expect("a commit");
                tally.committed.fetch_add(count, Ordering::Relaxed);
                self.version += count as i64;
            }
            if self.version >= EVENTS_PER_AGGREGATE {
                (self.aggregate.1, self.version) = (self.aggregate.1 + 1, 0);
            }
            self.rest().await;
        }
    }

    async fn rest(&mut self) {
        tokio::time::sleep(self.pause.mul_f64(self.dice.roll())).await;
    }

    fn insert(&mut self, version: i64) -> String {
        let (prefix, number) = &self.aggregate;
        let aggregate = format!("w{}-{}-{number}", self.number, &prefix[20..]);
        insert(self.kind, &aggregate, version, 1 + self.dice.below(97))
    }
}

/// The statement that appends a slide.
pub(crate) fn insert(kind: Kind, aggregate: &str, version: i64, n: usize) -> String {
    let id = Uuid::now_v7();
    let (id, now) = match kind {
        Kind::Postgres => (format!("'{id}'"), "now()"),
        Kind::MariaDb => (format!("x'{}'", id.simple()), "UTC_TIMESTAMP(6)"),
    };
    format!(
        "INSERT INTO events (event_id, event_type, aggregate_type, aggregate_id, aggregate_version, \
         event_timestamp, event_data) VALUES ({id}, 'Slide', 'Show', '{aggregate}', {version}, {now}, '{{\"n\":{n}}}')"
    )
}

/// What is wrong with the rows of a version of `slides` that counts, compared with the events.
pub(crate) fn miscounted(ground: &Ground, version: u32) -> Vec<String> {
    let n = match ground.kind {
        Kind::Postgres => "CAST(event_data ->> 'n' AS bigint)",
        Kind::MariaDb => "CAST(json_value(event_data, '$.n') AS SIGNED)",
    };
    let expected = ground.texts(&format!(
        "SELECT concat(aggregate_id, ' ', count(*), ' ', sum({n})) FROM events GROUP BY aggregate_id ORDER BY aggregate_id"
    ));
    let found = ground
        .texts(&format!("SELECT concat(id, ' ', events, ' ', total) FROM slides__counts__v{version}g1 ORDER BY id"));
    let differ = expected.iter().filter(|row| !found.contains(row)).map(|row| format!("not counted: {row}"));
    let other = found.iter().filter(|row| !expected.contains(row)).map(|row| format!("miscounted: {row}"));
    if expected == found { Vec::new() } else { differ.chain(other).collect() }
}
