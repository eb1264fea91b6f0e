//! What is said to one host holds for all, soon, and when that host is gone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::foreign::{insert, miscounted};
use super::ground::{Ground, Host, Kind, told};
use crate::requests::post;
use crate::slides::slides;

fn rounds() -> u32 {
    if Kind::is_soak() { 10 } else { 2 }
}

/// What `host` shows of a version of `slides`.
fn shown(host: &Host, version: u32) -> Value {
    let all = host.address.get("/v1/projections");
    all.as_array().expect("versions").iter().find(|known| known["version"] == version).cloned().unwrap_or_default()
}

/// Says how long it takes from the answer of one host until the other one shows it.
fn shows(ground: &Ground, host: &Host, version: u32, what: &str, is_so: impl Fn(&Value) -> bool) -> Duration {
    ground.until(&format!("{what} at {}", host.name), || is_so(&shown(host, version)))
}

/// The times of one kind of operation: until it was answered, and from then until it was shown.
#[derive(Default)]
struct Times(Vec<Duration>, Vec<Duration>);

impl Times {
    fn note(&mut self, ask: impl FnOnce(), shows: impl FnOnce() -> Duration) {
        let began = Instant::now();
        ask();
        self.0.push(began.elapsed());
        self.1.push(shows());
    }

    fn tell(self, kind: Kind, what: &str) {
        println!("{kind:?}, {what}: answered {}; shown by the other host {} later", told(self.0), told(self.1));
    }
}

fn reach_all(kind: Kind) {
    let Some(ground) = Ground::of(kind) else { return };
    let hosts = [ground.host("one", ""), ground.host("two", "")];
    ground.run(&insert(kind, "s-1", 1, 1));
    let [mut deployed, mut promoted, mut paused, mut resumed, mut cancelled] =
        std::array::from_fn(|_| Times::default());
    for round in 1..=rounds() {
        let (asked, other) = (&hosts[round as usize % 2], &hosts[1 - round as usize % 2]);
        std::thread::sleep(Duration::from_millis(u64::from(round) * 137 % 900));
        let version = round;
        deployed.note(
            || asked.deploy("slides", slides(version, "plain")),
            || shows(&ground, other, version, "running", |shown| shown["phase"] == "following"),
        );
        if round == 1 {
            // The first one is live at once.
            continue;
        }
        let ask = |kind, body| asked.ask(&post(kind, body));
        promoted.note(
            || ask("promote", json!({ "version": version.to_string() })),
            || shows(&ground, other, version, "live", |shown| shown["live"] == true),
        );
        paused.note(
            || ask("pause", json!({})),
            || shows(&ground, other, version, "paused", |shown| shown["phase"] == "paused"),
        );
        resumed.note(
            || ask("resume", json!({})),
            || shows(&ground, other, version, "resumed", |shown| shown["phase"] == "following"),
        );
        let before = version - 1;
        cancelled.note(
            || ask("cancel", json!({ "version": before.to_string() })),
            || shows(&ground, other, before, "gone", Value::is_null),
        );
    }
    deployed.tell(kind, "deploy");
    promoted.tell(kind, "promote");
    paused.tell(kind, "pause");
    resumed.tell(kind, "resume");
    cancelled.tell(kind, "cancel");
}

/// A plugin came to one host, which is killed as soon as it has said that it has it.
fn outlives_its_host(kind: Kind) {
    let Some(ground) = Ground::of(kind) else { return };
    let other = ground.host("two", "");
    let first = ground.host("one", "");
    first.deploy("slides", slides(1, "plain"));
    first.server.kill();
    ground.run(&insert(kind, "s-1", 1, 7));
    let took = ground.all_at(ground.head());
    ground.shared_by(&["two"]);
    shows(&ground, &other, 1, "following", |shown| shown["phase"] == "following");
    let plugins = other.address.get("/v1/plugins");
    ground.until("listed by the other host", || other.address.get("/v1/plugins")[0]["file"] == "slides.wasm");
    println!("{kind:?}: folded by the other host after {} ms; {plugins}", took.as_millis());
    // And for one that was not there yet.
    other.server.kill();
    let third = ground.host("three", "");
    ground.run(&insert(kind, "s-1", 2, 7));
    ground.all_at(ground.head());
    assert_eq!(miscounted(&ground, 1), [""; 0]);
    assert_eq!(shown(&third, 1)["live"], true);
}

/// Builds that fail are asked for at one host, by a command that waits; some are folded by the other.
fn waiting_ends(kind: Kind) {
    let Some(ground) = Ground::of(kind) else { return };
    let hosts = [ground.host("one", ""), ground.host("two", "")];
    ground.run(&insert(kind, "s-1", 1, 1));
    hosts[0].deploy("slides", slides(1, "plain"));
    // Five units of two hosts: neither has more than three, so the other one has some that fail.
    for version in 2..=5 {
        let output = hosts[0].deploy_and_wait(&slides(version, "broken"));
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(3), "version {version}: {output:?}");
        assert!(said.contains(&format!("v{version} is failed: ")) && said.contains("the lamp is broken"), "{said}");
    }
    let folded_by_other = ground.units().iter().filter(|unit| unit.host == "two" && unit.label != "slides@1").count();
    assert!(folded_by_other > 0, "{:?}", ground.units());
}

#[test]
fn waiting_ends_when_the_build_fails_at_another_host_on_postgres() {
    waiting_ends(Kind::Postgres);
}

#[test]
fn waiting_ends_when_the_build_fails_at_another_host_on_mariadb() {
    waiting_ends(Kind::MariaDb);
}

#[test]
fn operations_reach_all_hosts_on_postgres() {
    reach_all(Kind::Postgres);
}

#[test]
fn operations_reach_all_hosts_on_mariadb() {
    reach_all(Kind::MariaDb);
}

#[test]
fn a_plugin_outlives_the_host_that_it_came_to_on_postgres() {
    outlives_its_host(Kind::Postgres);
}

#[test]
fn a_plugin_outlives_the_host_that_it_came_to_on_mariadb() {
    outlives_its_host(Kind::MariaDb);
}
