//! A host that is killed in the middle of deployments, builds, promotions, rollbacks and
//! retirements: what it leaves behind agrees with itself, and the next one goes on with it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::host::{Fault, HANGS, Killed, Playground};
use crate::look::{KEPT, Look, Version, check, look};
use crate::requests::{append, choose, notes, resume, takes};
use crate::server::{Address, Answer, Request, Server};
use crate::slides::Slides;

/// Events of the history, not all of which are wanted.
const EVENTS: i64 = 4_000;

/// Kills of one database, before all of it is finished and looked at.
const KILLS_PER_ROUND: usize = 30;

/// What must have been cut off at least once.
const MUST_BE_HIT: &[&str] = &["deploy", "promote", "rollback", "retire"];

/// What a host needs to start, on a machine on which operations take what [`takes`] says. How long it
/// takes here tells how long all else does.
const START: Duration = Duration::from_millis(60);

/// A host that was asked for something is killed within this, or within what that takes.
const OPERATION: Duration = Duration::from_millis(80);

fn kills() -> usize {
    if std::env::var_os("FANTASCOPE_SOAK").is_some() { 800 } else { 160 }
}

/// What kills have hit, by what was asked for last.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, Hits>);

#[derive(Default)]
struct Hits {
    kills: usize,
    /// Before the answer.
    cut_off: usize,
    /// Before the answer, but it was done.
    done: usize,
}

/// A database under hosts that are killed.
struct Theatre {
    playground: Playground,
    slides: Slides,
    data: PathBuf,
    /// How the last host left it.
    left: Look,
    /// Events that were sent, and those of them that a host said it has.
    sent: i64,
    acknowledged: i64,
    /// How much longer everything takes than on a fast machine, as it was of late.
    slowness: f64,
}

impl Theatre {
    fn new() -> Self {
        let mut theatre = Self {
            playground: Playground::with(&history()),
            slides: Slides::compiled(),
            data: PathBuf::new(),
            left: Look::default(),
            sent: 0,
            acknowledged: 0,
            slowness: 1.0,
        };
        theatre.open_anew();
        theatre
    }

    /// A host that has come up, which tells how fast the machine is.
    fn start(&mut self, fault: Fault) -> (Server, Address) {
        let began = Instant::now();
        let mut server = Server::start(self.command(fault));
        let address = server.address();
        let slowness = began.elapsed().as_secs_f64() / START.as_secs_f64();
        self.slowness = (self.slowness + slowness) / 2.0;
        (server, address)
    }

    /// A random part of what takes so long on a fast machine.
    fn part_of(&mut self, takes: Duration) -> Duration {
        takes.mul_f64(self.slowness * self.playground.dice.roll())
    }

    /// Another database, with the history and nothing else.
    fn open_anew(&mut self) {
        self.data = self.playground.fresh_data();
        let data = self.data.clone();
        assert_eq!(self.playground.import(&data, None), Killed::No);
        (self.sent, self.acknowledged) = (0, 0);
        // A host with nothing to do makes its own tables.
        assert_eq!(self.playground.serve(&data, Fault::None, None), Killed::No);
        self.left = look(&data);
    }

    fn command(&self, fault: Fault) -> Command {
        let mut command = self.playground.command(&self.data, fault);
        command
            .env("FANTASCOPE__DEPLOY__KEEP_PREVIOUS", KEPT.to_string())
            .env("FANTASCOPE__DEPLOY__PROMOTE", "manual")
            .env("FANTASCOPE__DEPLOY__SAMPLE_EVENTS", "200")
            // So that a build is met in the middle now and then.
            .env("FANTASCOPE__LIMITS__BACKFILL_PERCENT_MAX", "40");
        command
    }

    /// Starts a host and kills it: while it starts, or when it was asked for this and that.
    fn kill_once(&mut self, tally: &mut Tally) {
        let retires = self.left.keeps_too_many();
        if self.playground.dice.percent(if retires { 60 } else { 10 }) {
            self.kill_amid_start(if retires { "retire" } else { "start" }, tally);
        } else {
            self.kill_amid_operation(tally);
        }
    }

    fn kill_amid_start(&mut self, kind: &'static str, tally: &mut Tally) {
        let mut server = Server::start(self.command(Fault::None));
        let began = Instant::now();
        let delay = self.part_of(START * 2);
        server.listens(delay);
        std::thread::sleep(delay.saturating_sub(began.elapsed()));
        server.kill();
        let before = self.look_again();
        tally.hit(kind, true, before.is_followed_by(&[kind], &self.left));
    }

    fn kill_amid_operation(&mut self, tally: &mut Tally) {
        let (server, address) = self.start(Fault::None);
        self.came_back(&address, &server.log);
        for _ in 0..self.playground.dice.below(3) {
            let request = choose(&mut self.playground.dice, &self.slides, &look(&self.data));
            let answer = address.ask(&request).unwrap_or_else(|| panic!("no answer to {request:?}: {}", server.log));
            self.heard(&request, Some(&answer));
            std::thread::sleep(Duration::from_millis(100).mul_f64(self.playground.dice.roll()));
        }
        let before = look(&self.data);
        let request = choose(&mut self.playground.dice, &self.slides, &before);
        let beside = append(&mut self.playground.dice);
        let appends = request.kind != beside.kind && self.playground.dice.percent(40);
        let within = if self.playground.dice.percent(70) { takes(request.kind) } else { OPERATION };
        let delay = self.part_of(within);
        let (answer, appended) = std::thread::scope(|scope| {
            let answer = scope.spawn(|| address.ask(&request));
            let appended = scope.spawn(|| appends.then(|| address.ask(&beside)).flatten());
            std::thread::sleep(delay);
            server.kill();
            (answer.join().expect("an answer, or none"), appended.join().expect("an answer, or none"))
        });
        self.heard(&request, answer.as_ref());
        if appends {
            self.heard(&beside, appended.as_ref());
        }
        self.look_again();
        let is_done = match request.events {
            0 => before.is_followed_by(notes(request.kind), &self.left),
            _ => self.left.events > before.events,
        };
        if let Some(answer) = answer.as_ref().filter(|answer| answer.status < 300) {
            let holds = is_done || answer.body["outcome"] == "unchanged";
            assert!(holds, "{request:?} left no trace, but was answered with {answer:?}, {}", self.dice());
        }
        tally.hit(request.kind, answer.is_none(), answer.is_none() && is_done);
    }

    /// Checks what a host left behind. Gives what was there before.
    fn look_again(&mut self) -> Look {
        let (left, faults) = check(&self.data, |digest| self.slides.factor(digest));
        assert!(faults.is_empty(), "{}\n{}", self.dice(), faults.join("\n"));
        let events = left.events - EVENTS;
        let (sent, acknowledged) = (self.sent, self.acknowledged);
        assert!(
            (acknowledged..=sent).contains(&events),
            "{events} of {acknowledged} to {sent} events, {}",
            self.dice()
        );
        std::mem::replace(&mut self.left, left)
    }

    /// Counts events that were sent. A host that fails is not what is tried here.
    fn heard(&mut self, request: &Request, answer: Option<&Answer>) {
        self.sent += request.events;
        if let Some(answer) = answer {
            assert!(answer.status < 500, "{request:?}: {answer:?}, {}", self.dice());
            self.acknowledged += if answer.status < 300 { request.events } else { 0 };
        }
    }

    /// A host says which builds go on and what was interrupted, and that is all there is.
    fn came_back(&self, address: &Address, log: &str) {
        let building = self.left.versions.iter().filter(|version| version.state == "building");
        let goes_on = building.map(|version| {
            let position = version.checkpoints.iter().min().copied().unwrap_or_default();
            format!("goes on being built from position {position} projection={}\n", version.name())
        });
        let cut_off = self.left.cut_off();
        let interrupted =
            cut_off.iter().map(|cut| format!("operation {} ({} of slides) was interrupted", cut.id, cut.operation));
        for line in goes_on.chain(interrupted) {
            assert!(log.contains(&line), "it does not say `{line}`, {}:\n{log}", self.dice());
        }
        let page = address.get("/v1/operations?limit=1000");
        for operation in page["operations"].as_array().expect("operations") {
            let outcome = operation["outcome"].as_str().expect("an outcome");
            let known = self.left.operations.iter().find(|known| operation["id"] == known.id);
            let holds = match known {
                Some(known) if cut_off.iter().any(|cut| cut.id == known.id) => outcome == "interrupted",
                Some(known) if known.outcome == "running" => outcome != "interrupted",
                Some(known) => outcome == known.outcome,
                None => outcome != "running",
            };
            assert!(holds, "{operation} can't be after {known:?}, {}", self.dice());
        }
    }

    /// Lets everything come to its end, and checks that nothing is lost or doubled.
    fn finish(&mut self) {
        let (server, address) = self.start(Fault::None);
        self.came_back(&address, &server.log);
        let began = Instant::now();
        // It may be busy, with a retirement for one.
        while look(&self.data).versions.iter().any(|version| version.stands() && version.paused) {
            address.ask(&resume()).expect("an answer");
        }
        while look(&self.data).is_at_work() {
            assert!(began.elapsed() < HANGS, "{:?} is not finished, {}", look(&self.data), self.dice());
            std::thread::sleep(Duration::from_millis(20));
        }
        server.kill();
        let data = self.data.clone();
        assert_eq!(self.playground.serve(&data, Fault::None, None), Killed::No);
        self.look_again();
        for version in self.left.versions.iter().filter(|version| version.stands()) {
            let end = version.as_of.unwrap_or(self.left.head);
            let is_finished = version.state == "ready" && version.checkpoints == [end];
            assert!(is_finished, "{version:?} does not stand at {end}, {}", self.dice());
        }
        let running = self.left.operations.iter().find(|operation| operation.outcome == "running");
        assert!(running.is_none(), "{running:?} goes on, {}", self.dice());
    }

    fn dice(&self) -> String {
        self.playground.dice.to_string()
    }
}

impl Tally {
    fn hit(&mut self, kind: &'static str, cut_off: bool, done: bool) {
        let hits = self.0.entry(kind).or_default();
        hits.kills += 1;
        hits.cut_off += usize::from(cut_off);
        hits.done += usize::from(done);
    }

    fn is_hit(&self, kind: &str) -> bool {
        self.0.get(kind).is_some_and(|hits| hits.cut_off > 0)
    }

    fn told(&self) -> String {
        let mut told = String::new();
        for (kind, Hits { kills, cut_off, done }) in &self.0 {
            writeln!(told, "{kind}: {kills}, {cut_off} before the answer, of which {done} were done")
                .expect("a string grows");
        }
        told
    }
}

/// Slides of twenty shows, and here and there something else.
fn history() -> String {
    let mut lines = String::new();
    for number in 0..EVENTS {
        let line = json!({
            "event_id": uuid::Uuid::from_u128(number as u128 + 1),
            "event_type": if number % 7 == 3 { "Curtain" } else { "Slide" },
            "aggregate_type": "Show",
            "aggregate_id": format!("s-{}", number % 20),
            "aggregate_version": number / 20 + 1,
            "event_timestamp": "2026-01-01T00:00:00Z",
            "event_data": { "n": number % 97 + 1 },
        });
        writeln!(lines, "{line}").expect("a string grows");
    }
    lines
}

#[test]
fn a_host_killed_amid_operations_leaves_what_agrees() {
    let mut theatre = Theatre::new();
    let mut tally = Tally::default();
    let (mut number, mut builds, mut partitioned) = (0, 0, 0);
    while number < kills() || !MUST_BE_HIT.iter().all(|kind| tally.is_hit(kind)) {
        number += 1;
        assert!(number < 4 * kills(), "kills miss what they are to hit, {}\n{}", theatre.dice(), tally.told());
        theatre.kill_once(&mut tally);
        let building = |version: &&Version| version.state == "building" && version.checkpoints.iter().any(|&at| at > 0);
        let building: Vec<&Version> = theatre.left.versions.iter().filter(building).collect();
        builds += usize::from(!building.is_empty());
        partitioned += usize::from(building.iter().any(|version| version.checkpoints.len() > 1));
        if number % KILLS_PER_ROUND == 0 {
            theatre.finish();
            theatre.open_anew();
        }
    }
    theatre.finish();
    assert!(partitioned > 0, "no kill amid a build in partitions, {}", theatre.dice());
    println!("{number} kills, {builds} amid a build, {partitioned} of them in partitions\n{}", tally.told());
}

/// The same, with one thing broken: if that were not seen, the test above would prove nothing.
#[cfg(feature = "fault-injection")]
mod broken {
    use super::*;
    use crate::requests::{install, post};

    /// Versions 1 and 2 stand side by side, and the first is live.
    fn two_versions() -> Theatre {
        let mut theatre = Theatre::new();
        let (server, address) = theatre.start(Fault::None);
        for version in [1, 2] {
            let answer = address.ask(&install(&theatre.slides, version)).expect("an answer");
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        while look(&theatre.data).versions.iter().any(|version| version.state != "ready") {
            std::thread::sleep(Duration::from_millis(10));
        }
        server.kill();
        theatre
    }

    /// Whether one of many kills, each at most so long, on a fast machine, after what `choose`
    /// asks for, leaves what can't be.
    fn is_caught(theatre: &mut Theatre, fault: Fault, within: Duration, choose: impl Fn(&Look) -> Request) -> bool {
        (0..60).any(|_| {
            let request = choose(&look(&theatre.data));
            let (server, address) = theatre.start(fault);
            let delay = theatre.part_of(within);
            std::thread::scope(|scope| {
                scope.spawn(|| address.ask(&request));
                std::thread::sleep(delay);
                server.kill();
            });
            !check(&theatre.data, |digest| theatre.slides.factor(digest)).1.is_empty()
        })
    }

    #[test]
    fn views_and_live_pointer_switched_apart_are_caught() {
        let mut theatre = two_versions();
        let switch = |look: &Look| {
            let is_first = look.versions.iter().any(|version| version.live && version.version == 1);
            post(if is_first { "promote" } else { "rollback" }, json!({ "force": true }))
        };
        let caught = is_caught(&mut theatre, Fault::SwitchApart, Duration::from_millis(40), switch);
        assert!(caught, "60 kills between two commits went unnoticed: the test is blind, {}", theatre.dice());
    }

    #[test]
    fn rows_of_a_build_and_its_checkpoint_committed_apart_are_caught() {
        let mut theatre = two_versions();
        let rebuild = |_: &Look| post("rebuild", json!({}));
        let caught = is_caught(&mut theatre, Fault::CommitApart, Duration::from_millis(200), rebuild);
        assert!(caught, "60 kills between two commits went unnoticed: the test is blind, {}", theatre.dice());
    }
}
