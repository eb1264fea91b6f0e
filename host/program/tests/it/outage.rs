//! The database goes away and comes back, while many append and projections follow: nothing
//! is lost or doubled, and all go on by themselves.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fantascope::database::{Database, Flavour, query};
use fantascope::event::{NewEvent, Position};
use fantascope::limits::Limits;
use fantascope::store::{Error, Expected, Filter, Store};
use serde_json::json;
use uuid::Uuid;

use crate::dice::Dice;
use crate::place::{Place, Raw};
use crate::servers::{Durability, Kind, Server, Template};

/// Longer than anything takes here; what hangs fails instead of waiting for ever.
const HANGS: Duration = Duration::from_secs(90);

const GUESTS: &[&str] = &["hostile", "activity_feed"];
const APPENDERS: u64 = 4;

/// Servers that are tried, for some damage their own tables.
const SERVERS: u32 = 3;

/// Runs in which the broken variant must be caught once.
#[cfg(feature = "fault-injection")]
const TRIES: u32 = 12;

/// How often a server is killed, and how often a connection is cut.
fn size() -> (usize, usize) {
    if std::env::var_os("FANTASCOPE_SOAK").is_some() { (20, 100) } else { (4, 25) }
}

/// A server that may be killed; none if no template of it is given.
pub(crate) fn server(kind: Kind, durability: Durability) -> Option<Server> {
    let template = Template::given(kind).unwrap();
    if template.is_none() {
        println!("skipped: no template of {kind} is given");
    }
    template.map(|template| Server::start(&template, durability).unwrap())
}

/// What appenders did, and how it ended.
#[derive(Debug, Default)]
struct Tally {
    done: AtomicU64,
    away: AtomicU64,
    unknown: AtomicU64,
    repeated: AtomicU64,
    /// What the tail has seen.
    seen: AtomicU64,
    stop: AtomicBool,
}

/// How long is waited for a connection that is at a certain moment, on MySQL, which seldom tells
/// of a statement that is as short as that.
const MOMENT_MAX: Duration = Duration::from_secs(2);

/// Appends to an aggregate of its own, one event after the other, each until it is done; and
/// gives their ids.
async fn append(store: Store, number: u64, tally: Arc<Tally>) -> Vec<Uuid> {
    let mut ids = Vec::new();
    while !tally.stop.load(Ordering::Relaxed) {
        let id = Uuid::now_v7();
        let version = ids.len() as u64;
        let expected = if number.is_multiple_of(2) { Expected::Version(version) } else { Expected::Any };
        let event = json!({ "event_id": id, "event_type": "Good", "event_data": { "version": version } });
        let event: NewEvent = serde_json::from_value(event).unwrap();
        loop {
            match store.append("Thing", &format!("t-{number}"), expected, vec![event.clone()]).await {
                Ok(appended) => {
                    assert_eq!((appended.event_ids, appended.aggregate_version), (vec![id], version + 1));
                    tally.repeated.fetch_add(u64::from(appended.repeated), Ordering::Relaxed);
                    break;
                }
                Err(Error::Unknown { event_ids, .. }) => {
                    assert_eq!(event_ids, [id]);
                    tally.unknown.fetch_add(1, Ordering::Relaxed);
                }
                Err(fault) if fault.is_away() => {
                    tally.away.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(fault) => panic!("an outage is told as one: {fault}"),
            }
        }
        tally.done.fetch_add(1, Ordering::Relaxed);
        ids.push(id);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    ids
}

/// Reads what comes, as a tail does, until `end` is known and reached; and gives the events.
async fn tail(
    store: Store,
    end: tokio::sync::watch::Receiver<Option<u64>>,
    tally: Arc<Tally>,
) -> Vec<(Position, Uuid)> {
    let mut seen: Vec<(Position, Uuid)> = Vec::new();
    let mut at = Position::START;
    while end.borrow().is_none_or(|end| (seen.len() as u64) < end) {
        // It may be that nothing more comes, which is told by `end`. A look that takes long is not to
        // be broken off again and again.
        let wait = store.wait_beyond(at, Duration::from_millis(5));
        let Ok(Ok(head)) = tokio::time::timeout(Duration::from_secs(5), wait).await else { continue };
        if let Ok(page) = store.page(at, head).await {
            let ids = page.events.positions.iter().enumerate();
            seen.extend(ids.map(|(row, &position)| (Position(position), page.events.event_id(row))));
            at = page.up_to;
            tally.seen.store(seen.len() as u64, Ordering::Relaxed);
        }
    }
    seen
}

/// What becomes of a host on a server that `disturb` does something to. If it goes wrong on a
/// server that has damaged its own tables, nothing can be told, and another one is tried.
fn outlives(kind: Kind, disturb: impl Fn(&mut Server, &str, &Tally)) {
    for _ in 0..SERVERS {
        let Some(mut server) = server(kind, Durability::Full) else { return };
        let outcome = catch_unwind(AssertUnwindSafe(|| outlives_on(&mut server, &disturb)));
        let Err(panic) = outcome else { return };
        let Some(damage) = damage(&mut server) else { resume_unwind(panic) };
        println!("{kind} has damaged its own tables: {damage}");
    }
    panic!("{kind} has damaged its own tables {SERVERS} times");
}

/// What MariaDB itself finds wrong with its tables. On some disks a kill under load makes it do so
/// about once in a thousand times, whoever uses it: it recovers from a log that contradicts itself.
fn damage(server: &mut Server) -> Option<String> {
    if server.kind() == Kind::Postgres {
        return None;
    }
    if let Err(fault) = server.restart() {
        let words = format!("{fault:#}");
        return words.lines().find(|line| line.contains("corruption")).map(str::to_owned);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let raw = Raw(Database::at(&server.url(server.kind().administration())).await.unwrap());
        let tables = "SELECT concat('`', table_schema, '`.`', table_name, '`') AS name FROM information_schema.tables \
                      WHERE engine = 'InnoDB' AND table_type = 'BASE TABLE'";
        for table in raw.rows(tables).await {
            let name: String = table.get("name").unwrap();
            for found in raw.told(&format!("CHECK TABLE {name} EXTENDED")).await {
                let [kind, words] = ["Msg_type", "Msg_text"].map(|column| found.get::<String>(column).unwrap());
                if kind != "status" && kind != "note" {
                    return Some(format!("{name}: {words}"));
                }
            }
        }
        None
    })
}

fn outlives_on(server: &mut Server, disturb: impl Fn(&mut Server, &str, &Tally)) {
    let kind = server.kind();
    let administration = server.url(kind.administration());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let limits = Limits { batch_events_max: 20, ..Limits::default() };
    let place = Place::on_server(&administration, limits.clone());
    let host = runtime.block_on(place.start(GUESTS));
    let tally = Arc::new(Tally::default());
    let (say_end, end) = tokio::sync::watch::channel(None);
    let other = runtime.block_on(place.store());
    let follower = runtime.spawn(tail(other.clone(), end, Arc::clone(&tally)));
    // Half of them by way of another handle, as another process would.
    let follows = other.clone();
    let stores = [host.store.clone(), other];
    let appenders: Vec<_> = (0..APPENDERS)
        .map(|number| runtime.spawn(append(stores[number as usize / 2].clone(), number, Arc::clone(&tally))))
        .collect();
    disturb(server, &administration, &tally);
    tally.stop.store(true, Ordering::Relaxed);
    runtime.block_on(async {
        let mut ids: Vec<Uuid> = Vec::new();
        for appender in appenders {
            ids.extend(tokio::time::timeout(HANGS, appender).await.expect("appends get through").unwrap());
        }
        say_end.send_replace(Some(ids.len() as u64));
        let Ok(seen) = tokio::time::timeout(HANGS, follower).await else {
            let (head, hold) = (follows.head(), follows.hold());
            panic!("the tail does not get through: {} events, {tally:?}, head {head}, {hold:?}", ids.len());
        };
        let seen = seen.unwrap();
        assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "the tail goes forward");
        let mut seen: Vec<Uuid> = seen.into_iter().map(|(_, id)| id).collect();
        seen.sort_unstable();
        ids.sort_unstable();
        assert_eq!(seen.len(), ids.len(), "each is seen once");
        assert_eq!(seen, ids, "what was appended is seen");
        let stored = host.store.events(&Filter::default(), 1_000_000).await.unwrap();
        let mut places: BTreeMap<Uuid, Vec<Position>> = BTreeMap::new();
        stored.iter().for_each(|event| places.entry(event.event_id).or_default().push(event.position));
        places.retain(|id, places| places.len() > 1 || ids.binary_search(id).is_err());
        assert!(places.is_empty(), "what was not appended, or once, is there: {places:?}, up to {:?}", stored.last());
        assert_eq!(stored.len(), ids.len(), "what was not appended is not there");

        let going_on = tokio::time::timeout(HANGS, async {
            host.caught_up().await;
            while GUESTS.iter().any(|guest| host.status(guest).lag_events > 0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        if going_on.await.is_err() {
            let stand: Vec<_> = GUESTS.iter().map(|guest| host.status(guest)).collect();
            panic!("projections do not go on: head {}, {:?}, {stand:#?}", host.store.head(), host.store.hold());
        }
        host.projections.drain().await;
        // Again from the beginning, with nobody to disturb it.
        let undisturbed = Place::on_server(&administration, limits);
        let again = undisturbed.start_over(Some(host.store.clone()), GUESTS).await;
        again.caught_up().await;
        again.projections.drain().await;
        let (found, expected) = (by_key(place.dump().await), by_key(undisturbed.dump().await));
        assert_eq!(expected.len(), ids.len() + APPENDERS as usize);
        assert_eq!(found, expected, "the read models are as if nothing had happened");
    });
    println!("{kind}: {} events, {tally:?}", tally.done.load(Ordering::Relaxed));
    runtime.shutdown_timeout(Duration::from_secs(5));
}

fn by_key(rows: Vec<String>) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    rows.into_iter().for_each(|row| *counted.entry(row).or_default() += 1);
    counted
}

/// Waits until more appends are done, and gives how long that took.
fn until_more(tally: &Tally) -> Duration {
    let (done, began) = (tally.done.load(Ordering::Relaxed), Instant::now());
    while tally.done.load(Ordering::Relaxed) < done + APPENDERS * 2 {
        assert!(began.elapsed() < HANGS, "appends do not go on");
        std::thread::sleep(Duration::from_millis(5));
    }
    began.elapsed()
}

fn kill_and_restart(server: &mut Server, _: &str, tally: &Tally) {
    let mut dice = Dice::new();
    println!("{dice}");
    for round in 0..size().0 {
        std::thread::sleep(Duration::from_secs_f64(0.2 + dice.roll()));
        server.kill().unwrap();
        // Now and then for longer.
        std::thread::sleep(Duration::from_secs_f64(dice.roll() * if round % 4 == 1 { 6.0 } else { 0.5 }));
        server.restart().unwrap();
        println!("round {round}: appends again {:?} after it answers", until_more(tally));
    }
}

/// What a connection is at when it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Any,
    Commit,
    /// It moves a checkpoint.
    Checkpoint,
}

/// Cuts connections, each at another moment than the one before.
fn cut(_: &mut Server, administration: &str, tally: &Tally) {
    let mut dice = Dice::new();
    println!("{dice}");
    let is_postgres = administration.starts_with("postgres");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let raw = Raw(runtime.block_on(Database::at(administration)).unwrap());
    if is_postgres {
        // Commits wait for others to come along.
        for setting in ["commit_delay = 20000", "commit_siblings = 0"] {
            runtime.block_on(outside(&raw, &format!("ALTER SYSTEM SET {setting}")));
        }
        runtime.block_on(outside(&raw, "SELECT pg_reload_conf()"));
    }
    let victims = |moment: Moment| {
        let checkpoint = "LIKE 'UPDATE fantascope_checkpoints%'";
        let (columns, ours, query) = if is_postgres {
            let ours = "application_name = 'fantascope' AND pid <> pg_backend_pid() ORDER BY random()";
            ("pid::text AS id FROM pg_stat_activity", ours, "state <> 'idle' AND query")
        } else {
            let ours = "user = 'fantascope' AND id <> connection_id() ORDER BY rand()";
            ("CAST(id AS CHAR) AS id FROM information_schema.processlist", ours, "info")
        };
        let condition = match moment {
            Moment::Any => "true".to_owned(),
            // Appends are mostly one statement, which commits itself.
            Moment::Commit => format!("({query} = 'COMMIT' OR {query} LIKE 'INSERT INTO events%')"),
            Moment::Checkpoint => format!("{query} {checkpoint}"),
        };
        format!("SELECT {columns} WHERE {condition} AND {ours} LIMIT 1")
    };
    let (wanted, mut cut) = (size().1, 0);
    let is_mysql = !is_postgres && raw.0.flavour() == Flavour::MySql;
    let (began, mut since) = (Instant::now(), Instant::now());
    while cut < wanted {
        assert!(began.elapsed() < HANGS * 2, "too few connections to cut");
        let wished = [Moment::Commit, Moment::Checkpoint, Moment::Any][cut % 3];
        let moment = if is_mysql && since.elapsed() > MOMENT_MAX { Moment::Any } else { wished };
        let looked = runtime.block_on(async {
            let mut session = raw.0.read().await.ok()?;
            let row = query(victims(moment)).optional(&mut session).await.ok()??;
            let id: String = row.get("id").ok()?;
            let kill = if is_postgres { format!("SELECT pg_terminate_backend({id})") } else { format!("KILL {id}") };
            // It may be gone already.
            query(kill).execute(&mut session).await.ok()
        });
        if looked.is_none() {
            continue;
        }
        cut += 1;
        since = Instant::now();
        if moment == Moment::Any {
            std::thread::sleep(Duration::from_secs_f64(dice.roll() * 0.1));
            until_more(tally);
        }
    }
    println!("{cut} connections cut");
}

/// Runs a statement that no transaction can hold.
pub(crate) async fn outside(raw: &Raw, sql: &str) {
    query(sql.to_owned()).execute(&mut raw.0.read().await.unwrap()).await.unwrap();
}

#[test]
fn postgres_is_killed_and_comes_back() {
    outlives(Kind::Postgres, kill_and_restart);
}

#[test]
fn mariadb_is_killed_and_comes_back() {
    outlives(Kind::MariaDb, kill_and_restart);
}

#[test]
fn connections_to_postgres_are_cut() {
    outlives(Kind::Postgres, cut);
}

#[test]
fn connections_to_mariadb_are_cut() {
    outlives(Kind::MariaDb, cut);
}

/// A server that is killed may lose the last commits of rows, checkpoints with them, while the
/// host lives on.
#[tokio::test(flavor = "multi_thread")]
async fn commits_that_a_database_has_lost_are_folded_again() {
    let place = Place::new();
    let host = place.start(&["hostile"]).await;
    let append = async |number: usize| {
        let event = json!({ "event_type": "Good", "event_data": {} });
        let event: NewEvent = serde_json::from_value(event).unwrap();
        host.store.append("Thing", &format!("t-{number}"), Expected::Any, vec![event]).await.unwrap();
    };
    for number in [0, 1, 0] {
        append(number).await;
    }
    host.caught_up().await;
    let whole = place.dump().await;
    let raw = place.raw().await;
    raw.run("DELETE FROM hostile__deeds__v1g1").await.unwrap();
    raw.run("UPDATE fantascope_checkpoints SET position = 0, event_id = NULL, event_position = NULL").await.unwrap();
    append(2).await;
    let again = async {
        while place.dump().await.len() <= whole.len() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(HANGS, again).await.expect("it goes on");
    assert_eq!(place.dump().await[..whole.len()], whole);
    host.projections.drain().await;
}

/// Connections are cut, with rows and checkpoint committed apart: if this did not differ, the tests above
/// would prove nothing. On a busy machine many a cut misses the moment between the two, so it is
/// tried until one is caught.
#[cfg(feature = "fault-injection")]
mod broken {
    use super::*;

    fn is_caught(kind: Kind, test: &str) {
        if server(kind, Durability::None).is_none() {
            return;
        }
        let is_caught = || {
            let mut broken = std::process::Command::new(std::env::current_exe().unwrap());
            broken.args(["--exact", "--nocapture", &format!("outage::{test}")]).env("FANTASCOPE_FAULT", "commit-apart");
            let output = broken.output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            let is_caught = words.contains("the read models are as if nothing had happened");
            assert!(output.status.success() || is_caught, "it fails for another reason: {words}");
            is_caught
        };
        assert!((0..TRIES).any(|_| is_caught()), "{kind}: connections cut between two commits went unnoticed");
    }

    #[test]
    fn rows_and_checkpoint_committed_apart_are_caught_on_postgres() {
        is_caught(Kind::Postgres, "connections_to_postgres_are_cut");
    }

    #[test]
    fn rows_and_checkpoint_committed_apart_are_caught_on_mariadb() {
        is_caught(Kind::MariaDb, "connections_to_mariadb_are_cut");
    }
}
