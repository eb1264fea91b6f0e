//! A host that goes, in one way or another: how soon another one has its work. What was
//! measured is told, and not asserted.

use std::time::Duration;

use rustix::process::Signal;

use super::foreign::{insert, miscounted};
use super::ground::{Ground, Host, Kind, told};
use crate::slides::slides;

/// How a host goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is killed, and the other one sees that its process is gone.
    Killed,
    /// It is killed, and the other one can't see that: it waits for the lease.
    KilledUnseen,
    /// It is told to end.
    Ended,
}

const VERSIONS: u32 = 4;

fn rounds() -> i64 {
    if Kind::is_soak() { 10 } else { 2 }
}

/// Lets one host after the other go, and come back.
fn others_go_on(kind: Kind, way: Way) {
    let Some(mut ground) = Ground::of(kind) else { return };
    let fault = if way == Way::KilledUnseen { "blind" } else { "" };
    let mut hosts = [Some(ground.host("one", fault)), Some(ground.host("two", fault))];
    for version in 1..=VERSIONS {
        hosts[0].as_ref().expect("a host").deploy("slides", slides(version, "plain"));
    }
    let (mut folded, mut ended) = (Vec::new(), Vec::new());
    for round in 1..=rounds() {
        ground.shared_by(&["one", "two"]);
        // Anywhere in the time between two looks.
        std::thread::sleep(Duration::from_secs(2).mul_f64(ground.dice.roll()));
        let index = ground.dice.below(2);
        let host = hosts[index].take().expect("a host");
        let (name, other) = (host.name, hosts[1 - index].as_ref().expect("another").name);
        let goes = std::thread::spawn(move || go(host, way));
        ground.run(&insert(kind, "s-1", round, 1));
        let head = ground.head();
        folded.push(ground.until(&format!("folded by {other} alone"), || {
            ground.units().iter().all(|unit| unit.host == other && unit.position >= head)
        }));
        ended.push(goes.join().expect("the end of a host"));
        hosts[index] = Some(ground.host(name, fault));
    }
    assert_eq!((1..=VERSIONS).flat_map(|version| miscounted(&ground, version)).collect::<Vec<_>>(), [""; 0]);
    println!("{kind:?}, {way:?}: all folded by the other host {}; ended {}", told(folded), told(ended));
}

/// Says how long it took to end.
fn go(host: Host, way: Way) -> Duration {
    let began = std::time::Instant::now();
    if way == Way::Ended {
        host.server.signal(Signal::TERM);
        host.server.ends();
    } else {
        host.server.kill();
    }
    began.elapsed()
}

#[test]
fn another_host_goes_on_when_one_is_killed_on_postgres() {
    others_go_on(Kind::Postgres, Way::Killed);
}

#[test]
fn another_host_goes_on_when_one_is_killed_on_mariadb() {
    others_go_on(Kind::MariaDb, Way::Killed);
}

#[cfg(feature = "fault-injection")]
#[test]
fn another_host_goes_on_when_the_lease_is_over_on_postgres() {
    others_go_on(Kind::Postgres, Way::KilledUnseen);
}

#[cfg(feature = "fault-injection")]
#[test]
fn another_host_goes_on_when_the_lease_is_over_on_mariadb() {
    others_go_on(Kind::MariaDb, Way::KilledUnseen);
}

#[test]
fn a_host_that_ends_hands_its_work_over_on_postgres() {
    others_go_on(Kind::Postgres, Way::Ended);
}

#[test]
fn a_host_that_ends_hands_its_work_over_on_mariadb() {
    others_go_on(Kind::MariaDb, Way::Ended);
}
