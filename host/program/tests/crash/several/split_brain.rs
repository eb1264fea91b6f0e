//! A host that is stopped past its lease, and wakes when another one has its work: it may
//! still believe that it folds, but it writes nothing.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::foreign::{Writers, miscounted};
use super::ground::{Ground, Host, Kind, LEASE, told};
use crate::slides::slides;

const WRITERS: usize = 6;
const PAUSE: Duration = Duration::from_millis(4);

fn rounds() -> usize {
    if Kind::is_soak() { 50 } else { 5 }
}

/// Two hosts, a version for each, and a note of every commit that sets a checkpoint back:
/// only one that was folded from an older state does.
struct Brains {
    hosts: [Host; 2],
    writers: Writers,
    taken_over: Vec<Duration>,
}

impl Brains {
    fn new(ground: &mut Ground, fault: &str) -> Self {
        let hosts = [ground.host("one", fault), ground.host("two", fault)];
        hosts[0].deploy("slides", slides(1, "plain"));
        hosts[0].deploy("slides", slides(2, "plain"));
        ground.run("CREATE TABLE went_back (label VARCHAR(100), was BIGINT, became BIGINT)");
        ground.run(match ground.kind {
            Kind::Postgres => {
                "CREATE FUNCTION note_back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 INSERT INTO went_back VALUES (NEW.version, OLD.position, NEW.position); RETURN NULL; END $$; \
                 CREATE TRIGGER note_back AFTER UPDATE ON fantascope_checkpoints FOR EACH ROW \
                 WHEN (NEW.updated_at <> OLD.updated_at AND NEW.position <= OLD.position) EXECUTE FUNCTION note_back()"
            }
            Kind::MariaDb => {
                "CREATE TRIGGER note_back AFTER UPDATE ON fantascope_checkpoints FOR EACH ROW \
                 INSERT INTO went_back SELECT NEW.version, OLD.position, NEW.position FROM DUAL \
                 WHERE NEW.updated_at <> OLD.updated_at AND NEW.position <= OLD.position"
            }
        });
        let writers = Writers::start(ground, WRITERS, PAUSE);
        Self { hosts, writers, taken_over: Vec::new() }
    }

    /// Stops one of the two in the midst of its work, and wakes it when the other one has all.
    fn round(&mut self, ground: &mut Ground) {
        ground.shared_by(&["one", "two"]);
        let stopped = ground.dice.below(2);
        let (stopped, other) = (&self.hosts[stopped], &self.hosts[1 - stopped]);
        std::thread::sleep(Duration::from_millis(50).mul_f64(ground.dice.roll()));
        stopped.server.signal(Signal::STOP);
        let began = Instant::now();
        ground.shared_by(&[other.name]);
        // It goes on from there: what the first one had in hand is old by now.
        ground.all_at(ground.head());
        self.taken_over.push(began.elapsed());
        std::thread::sleep(Duration::from_millis(300).mul_f64(ground.dice.roll()));
        stopped.server.signal(Signal::CONT);
    }

    /// Lets all be folded, and says what is wrong.
    fn faults(self, ground: &Ground) -> Vec<String> {
        let (committed, _) = self.writers.stop(ground);
        ground.all_at(ground.head());
        // The one that was woken last may have something in hand still.
        std::thread::sleep(LEASE);
        let mut faults = went_back(ground);
        faults.extend([1, 2].into_iter().flat_map(|version| miscounted(ground, version)));
        println!(
            "{:?}: {committed} events, owners stopped and all folded by the other {}",
            ground.kind,
            told(self.taken_over)
        );
        faults
    }
}

fn went_back(ground: &Ground) -> Vec<String> {
    ground.texts("SELECT concat('version ', label, ' went from ', was, ' to ', became) FROM went_back")
}

fn one_that_wakes_writes_nothing(kind: Kind) {
    let Some(mut ground) = Ground::of(kind) else { return };
    let mut brains = Brains::new(&mut ground, "");
    for _ in 0..rounds() {
        brains.round(&mut ground);
    }
    let faults = brains.faults(&ground);
    assert!(faults.is_empty(), "{} faults, {}:\n{}", faults.len(), ground.dice, faults.join("\n"));
}

#[test]
fn a_host_that_wakes_after_its_lease_writes_nothing_on_postgres() {
    one_that_wakes_writes_nothing(Kind::Postgres);
}

#[test]
fn a_host_that_wakes_after_its_lease_writes_nothing_on_mariadb() {
    one_that_wakes_writes_nothing(Kind::MariaDb);
}

/// The same without the fence: if that were not seen, the tests above would prove nothing.
#[cfg(feature = "fault-injection")]
mod broken {
    use super::*;

    fn is_caught(kind: Kind) {
        let Some(mut ground) = Ground::of(kind) else { return };
        let mut brains = Brains::new(&mut ground, "unfenced");
        let mut round = 0;
        while round < 40 && went_back(&ground).is_empty() {
            brains.round(&mut ground);
            // Until the one that was woken has seen what is.
            ground.shared_by(&["one", "two"]);
            round += 1;
        }
        let faults = brains.faults(&ground);
        let back = went_back(&ground).len();
        assert!(back > 0, "{round} hosts woke without a fence, unnoticed: the test is blind, {}", ground.dice);
        println!("{kind:?}: caught in round {round}: {back} commits of old owners, {} wrong rows", faults.len() - back);
    }

    #[test]
    fn commits_without_a_fence_are_caught_on_postgres() {
        is_caught(Kind::Postgres);
    }

    #[test]
    fn commits_without_a_fence_are_caught_on_mariadb() {
        is_caught(Kind::MariaDb);
    }
}
