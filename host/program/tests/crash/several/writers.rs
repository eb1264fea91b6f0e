//! Many programs append at once, two hosts fold what they append and are killed again and
//! again: nothing is lost, nothing is folded twice, all of it in the order of positions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::foreign::{Writers, miscounted};
use super::ground::{Ground, Host, Kind, Session};
use crate::slides::{guest, slides};

const WRITERS: usize = 16;

/// The longest pause between two statements of a writer.
const PAUSE: Duration = Duration::from_millis(8);

/// Events at the least; and at the most, until the naive reader has lost one.
fn events() -> (usize, usize) {
    if Kind::is_soak() { (150_000, 300_000) } else { (6_000, 30_000) }
}

/// A reader that believes that what it has passed is all there is: what it loses shows
/// that there was something to lose.
struct Naive {
    read: Arc<Mutex<Read>>,
    is_over: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Read {
    last: i64,
    events: i64,
}

impl Naive {
    fn start(ground: &Ground) -> Self {
        let this = Self { read: Arc::default(), is_over: Arc::default() };
        let (read, is_over) = (Arc::clone(&this.read), Arc::clone(&this.is_over));
        let (kind, url) = (ground.kind, ground.url());
        ground.runtime.spawn(async move {
            let mut session = Session::open(kind, &url).await.expect("a session");
            let mut state = Read::default();
            while !is_over.load(Ordering::Relaxed) {
                let sql = format!("SELECT position FROM events WHERE position > {} ORDER BY position", state.last);
                let positions = session.numbers(&sql).await.expect("positions");
                state.events += positions.len() as i64;
                state.last = positions.last().copied().unwrap_or(state.last);
                *read.lock().unwrap_or_else(PoisonError::into_inner) = state;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        this
    }

    /// How many events it has passed by.
    fn lost(&self, ground: &Ground) -> i64 {
        let Read { last, events } = *self.read.lock().unwrap_or_else(PoisonError::into_inner);
        ground.numbers(&format!("SELECT count(*) FROM events WHERE position <= {last}"))[0] - events
    }
}

/// A version that counts, one that chains positions in the order in which they came, and a
/// row for each event.
fn deploy_all(host: &Host) {
    host.deploy("slides", slides(1, "plain"));
    host.deploy("slides", slides(2, "chain"));
    host.deploy("activity_feed", guest("activity_feed"));
}

/// Kills hosts and starts them anew, until `is_enough`. Gives what those that
/// were killed had said.
fn kill_on(ground: &mut Ground, hosts: Vec<Host>, mut is_enough: impl FnMut(&Ground) -> bool) -> Vec<String> {
    const NAMES: [&str; 2] = ["one", "two"];
    let mut servers: Vec<_> = hosts.into_iter().map(|host| Some(host.server)).collect();
    let mut said = Vec::new();
    while !is_enough(ground) {
        std::thread::sleep(Duration::from_millis(200 + ground.dice.below(2_000) as u64));
        let first = ground.dice.below(2);
        let both = ground.dice.percent(25);
        for index in [Some(first), both.then_some(1 - first)].into_iter().flatten() {
            said.push(servers[index].take().expect("a host").kill());
        }
        std::thread::sleep(Duration::from_millis(ground.dice.below(800) as u64));
        for (server, name) in servers.iter_mut().zip(NAMES) {
            server.get_or_insert_with(|| ground.start(name, ""));
        }
    }
    said
}

fn faults(ground: &Ground) -> Vec<String> {
    let positions = ground.numbers("SELECT position FROM events ORDER BY position");
    let mut faults = miscounted(ground, 1);
    let rows = ground.numbers("SELECT position FROM activity_feed_activity ORDER BY position");
    let lost = positions.iter().filter(|position| rows.binary_search(position).is_err()).count();
    if rows != positions {
        faults.push(format!("{} rows for {} events, {lost} of which have none", rows.len(), positions.len()));
    }
    let same = "SELECT count(*) FROM events e JOIN activity_feed_activity a ON a.position = e.position \
                AND a.event_id = e.event_id AND a.aggregate_id = e.aggregate_id";
    if ground.numbers(same) != [positions.len() as i64] {
        faults.push("rows show other events than those of their positions".to_owned());
    }
    let chain = positions.iter().fold(0, |sum, position| (sum * 31 + position) % 1_000_000_007);
    let expected = format!("everyone {} {chain}", positions.len());
    let found = ground.texts("SELECT concat(id, ' ', events, ' ', total) FROM slides__counts__v2g1");
    if found != [expected.as_str()] {
        faults.push(format!("in the order of positions it is {expected}, but was folded to {found:?}"));
    }
    faults
}

fn nothing_is_lost(kind: Kind) {
    let Some(mut ground) = Ground::of(kind) else { return };
    let hosts = vec![ground.host("one", ""), ground.host("two", "")];
    deploy_all(&hosts[0]);
    ground.shared_by(&["one", "two"]);
    let naive = Naive::start(&ground);
    let writers = Writers::start(&mut ground, WRITERS, PAUSE);
    let (least, most) = events();
    let began = Instant::now();
    let said = kill_on(&mut ground, hosts, |ground| {
        let committed = writers.committed();
        committed >= most || committed >= least && naive.lost(ground) > 0
    });
    let (committed, rolled_back) = writers.stop(&ground);
    let took = began.elapsed();
    let lost = naive.lost(&ground);
    naive.is_over.store(true, Ordering::Relaxed);
    let hosts = [ground.host("three", ""), ground.host("four", "")];
    let late = ground.all_at(ground.head());
    let events = ground.numbers("SELECT count(*) FROM events")[0];
    assert_eq!(events, committed as i64, "writers know what they have committed");
    let faults = faults(&ground);
    let told = faults.iter().take(20).chain(&said).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(faults.is_empty(), "{} faults, {}:\n{told}", faults.len(), ground.dice);
    assert!(lost > 0, "a naive reader lost nothing of {events} events: this test is blind, {}", ground.dice);
    println!(
        "{kind:?}: {events} events ({rolled_back} rolled back) of {WRITERS} writers in {:.1} s, {kills} kills; \
         all folded {} ms after the last; a naive reader lost {lost}",
        took.as_secs_f64(),
        late.as_millis(),
        kills = said.len()
    );
    drop(hosts);
}

#[test]
fn nothing_is_lost_or_folded_twice_on_postgres() {
    nothing_is_lost(Kind::Postgres);
}

#[test]
fn nothing_is_lost_or_folded_twice_on_mariadb() {
    nothing_is_lost(Kind::MariaDb);
}
