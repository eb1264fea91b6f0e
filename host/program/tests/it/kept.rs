//! What readers have passed is there still when a server that was killed is back. Otherwise
//! its positions are given out again, to events that nobody reads who is past them.

use std::process::Command;
use std::time::Duration;

use fantascope::database::{Database, Durability as Writes, query};
use fantascope::event::{NewEvent, Position};
use fantascope::limits::Limits;
use fantascope::store::{Error, Expected, Filter, Store};
use serde_json::json;
use uuid::Uuid;

use crate::hold::insert;
use crate::outage::{outside, server};
use crate::place::{Place, Raw};
use crate::servers::{Durability, Kind, Server};

/// Longer than anything takes here; what hangs fails instead of waiting for ever.
const HANGS: Duration = Duration::from_secs(120);

/// How often a server is killed to see it forget something: a busy one may have brought that to
/// disk by itself, which shows nothing.
const TRIES: usize = 10;

/// In which something would have happened that must not.
const WHILE: Duration = Duration::from_millis(300);

/// A server that does not bring to disk what nobody waits for, with a store in it. It has no binary
/// log, which would have each commit before it is seen.
struct Forgetful {
    server: Server,
    place: Place,
    store: Store,
    raw: Raw,
}

impl Forgetful {
    async fn new(kind: Kind) -> Option<Self> {
        let server = server(kind, Durability::RedoLogAlone)?;
        let place = Place::on_server(&server.url(kind.administration()), Limits::default());
        let (store, raw) = (place.store().await, place.raw().await);
        insert_one(&raw, "first").await;
        let this = Self { server, place, store, raw };
        this.forget().await;
        Some(this)
    }

    async fn forget(&self) {
        match self.server.kind() {
            Kind::Postgres => {
                let writer = "SELECT pid::bigint FROM pg_stat_activity WHERE backend_type = 'walwriter'";
                let writer = number(&self.raw, writer).await.to_string();
                assert!(Command::new("kill").args(["-STOP", &writer]).status().unwrap().success());
            }
            // As long as nobody commits who waits.
            Kind::MariaDb => outside(&self.raw, "SET GLOBAL innodb_flush_log_at_timeout = 2700").await,
        }
    }

    async fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.restart().unwrap();
        self.raw = self.place.raw().await;
    }

    /// Reads what there is after `at`, once there is something.
    async fn read(&self, at: Position) -> Vec<u64> {
        let reading = async {
            loop {
                // Connections of before are found dead one after the other.
                if let Ok(head) = self.store.wait_beyond(at, Duration::from_millis(5)).await
                    && let Ok(page) = self.store.page(at, head).await
                {
                    return page.events.positions;
                }
            }
        };
        tokio::time::timeout(HANGS, reading).await.expect("events come through")
    }
}

async fn number(raw: &Raw, sql: &str) -> u64 {
    raw.rows(sql).await[0].at::<i64>(0).unwrap().cast_unsigned()
}

/// The last position that is seen, by a reader without care.
async fn seen(raw: &Raw) -> u64 {
    number(raw, "SELECT coalesce(max(position), 0) FROM events").await
}

/// Inserts an event, and gives its position.
async fn insert_one(raw: &Raw, aggregate: &str) -> u64 {
    raw.run(&insert(raw.dialect(), aggregate, 1)).await.unwrap();
    seen(raw).await
}

/// Inserts an event in a transaction that does not wait for the disk, as it says before, or
/// `again` after, too.
async fn insert_without_waiting(database: &Database, aggregate: &str, again: bool) {
    let mut writing = database.begin(Writes::Normal).await.unwrap();
    query(insert(database.dialect(), aggregate, 1)).execute(&mut writing).await.unwrap();
    if again {
        query("SET LOCAL synchronous_commit = off").execute(&mut writing).await.unwrap();
    }
    writing.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_appends_to_postgres_waits_for_the_disk() {
    let Some(mut forgetful) = Forgetful::new(Kind::Postgres).await else { return };
    insert_without_waiting(&forgetful.raw.0, "waits", false).await;
    assert_eq!(forgetful.store.refresh_head().await.unwrap(), Position(2));
    forgetful.kill().await;
    assert_eq!(seen(&forgetful.raw).await, 2);
    // Past the gate it would not be so.
    for number in 0..TRIES {
        forgetful.forget().await;
        let before = seen(&forgetful.raw).await;
        insert_without_waiting(&forgetful.raw.0, &format!("does not {number}"), true).await;
        assert!(seen(&forgetful.raw).await > before);
        forgetful.kill().await;
        if seen(&forgetful.raw).await == before {
            return;
        }
    }
    panic!("it is on disk each time: this shows nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_does_not_pass_positions_that_postgres_may_give_out_again() {
    for _ in 0..TRIES {
        let Some(mut forgetful) = Forgetful::new(Kind::Postgres).await else { return };
        for number in 0..80 {
            let mut writing = forgetful.raw.0.begin(Writes::Full).await.unwrap();
            let aggregate = format!("rolled back {number}");
            query(insert(forgetful.raw.dialect(), &aggregate, 1)).execute(&mut writing).await.unwrap();
        }
        let drawn = number(&forgetful.raw, "SELECT pg_sequence_last_value('events_position_seq')").await;
        let head = forgetful.store.refresh_head().await.unwrap();
        forgetful.kill().await;
        let next = insert_one(&forgetful.raw, "after").await;
        assert_eq!((head, forgetful.read(head).await), (Position(1), vec![next]));
        if next <= drawn {
            return;
        }
    }
    panic!("what was drawn is on disk each time: this shows nothing");
}

/// Lets the server commit something that is seen, and not on disk.
async fn commit_without_disk(raw: &Raw, commit: impl AsyncFnOnce()) {
    outside(raw, "SET GLOBAL innodb_flush_log_at_trx_commit = 0").await;
    commit().await;
    outside(raw, "SET GLOBAL innodb_flush_log_at_trx_commit = 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_head_has_passed_is_on_mariadbs_disk() {
    let Some(mut forgetful) = Forgetful::new(Kind::MariaDb).await else { return };
    let insert = async || _ = insert_one(&forgetful.raw, "kept").await;
    commit_without_disk(&forgetful.raw, insert).await;
    assert_eq!(forgetful.read(Position(1)).await, [2]);
    forgetful.kill().await;
    assert_eq!(seen(&forgetful.raw).await, 2);
    // Without the head's word it would not be so.
    for number in 0..TRIES {
        forgetful.forget().await;
        let insert = async || _ = insert_one(&forgetful.raw, &format!("lost {number}")).await;
        commit_without_disk(&forgetful.raw, insert).await;
        let shown = seen(&forgetful.raw).await;
        forgetful.kill().await;
        if seen(&forgetful.raw).await < shown {
            return;
        }
    }
    panic!("it is on disk each time: this shows nothing");
}

/// What was looked at before does not count on a server that has begun anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_head_forgets_what_mariadb_forgets() {
    let in_flight = async |raw: &Raw, aggregate: &str| {
        let mut open = raw.0.begin(Writes::Full).await.unwrap();
        query(insert(raw.dialect(), aggregate, 1)).execute(&mut open).await.unwrap();
        open
    };
    let mut forgot = None;
    for _ in 0..TRIES {
        let Some(mut forgetful) = Forgetful::new(Kind::MariaDb).await else { return };
        let open = in_flight(&forgetful.raw, "in flight").await;
        let insert = async || _ = insert_one(&forgetful.raw, "lost").await;
        commit_without_disk(&forgetful.raw, insert).await;
        // One look, and no time for the server to bring it to disk by itself.
        let head = forgetful.store.refresh_head().await.unwrap();
        forgetful.kill().await;
        drop(open);
        assert!(head <= Position(1), "the head has passed what is in flight: {head}");
        if seen(&forgetful.raw).await == 1 {
            forgot = Some(forgetful);
            break;
        }
    }
    let forgetful = forgot.expect("it is on disk each time: this shows nothing");

    let open = in_flight(&forgetful.raw, "in flight again").await;
    let after = insert_one(&forgetful.raw, "after").await;
    while let Err(Error::Database(fault)) = forgetful.store.events(&Filter::default(), 1).await {
        forgetful.store.database().note(&fault);
    }
    let passed = forgetful.read(Position(1));
    tokio::pin!(passed);
    assert!(tokio::time::timeout(WHILE, &mut passed).await.is_err(), "the head has passed what is in flight");
    open.commit().await.unwrap();
    assert_eq!(passed.await, [after - 1, after]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_append_is_on_disk_when_it_is_answered() {
    let Some(mut forgetful) = Forgetful::new(Kind::MariaDb).await else { return };
    let event = json!({ "event_id": Uuid::now_v7(), "event_type": "Good", "event_data": {} });
    let event: NewEvent = serde_json::from_value(event).unwrap();
    let append = async || forgetful.store.append("Thing", "own", Expected::Any, vec![event.clone()]).await.unwrap();
    commit_without_disk(&forgetful.raw, async || assert!(!append().await.repeated)).await;
    assert!(append().await.repeated);
    forgetful.kill().await;
    assert_eq!(seen(&forgetful.raw).await, 2);
}
