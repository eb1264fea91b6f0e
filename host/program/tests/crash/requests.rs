//! What hosts are asked for at random.

use std::time::Duration;

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::look::{Look, Version};
use crate::server::{Body, Request};
use crate::slides::{NOTES, Slides, VERSIONS};

/// Versions that stand at the same time, about.
const STANDING: usize = 5;

/// The most partitions of a build.
const WORKERS: usize = 3;

/// What an operation of this kind is noted as.
pub(crate) fn notes(kind: &str) -> &'static [&'static str] {
    match kind {
        "deploy" => &["deploy"],
        "fix" | "other rows" => &["deploy", "swap"],
        "promote" => &["promote"],
        "rollback" => &["rollback"],
        "rebuild" => &["rebuild"],
        "rebuild of the past" => &["rebuild_as_of"],
        "cancel" => &["cancel"],
        "pause" => &["pause"],
        "resume" => &["resume"],
        "verify" => &["verify"],
        _ => &[],
    }
}

/// How long an operation of this kind takes, about; those that fold a sample of the
/// history twice take longest.
pub(crate) fn takes(kind: &str) -> Duration {
    Duration::from_millis(match kind {
        "fix" | "other rows" => 160,
        "deploy" | "verify" => 50,
        "promote" | "rollback" => 7,
        _ => 12,
    })
}

/// Something that makes sense as things stand, most of the time.
pub(crate) fn choose(dice: &mut Dice, slides: &Slides, look: &Look) -> Request {
    let standing: Vec<&Version> = look.versions.iter().filter(|version| version.stands()).collect();
    let current: Vec<&Version> = standing.iter().filter(|version| version.as_of.is_none()).copied().collect();
    let Some(live) = current.iter().find(|version| version.live) else { return deploy(dice, slides, 1) };
    let highest = look.versions.iter().map(|version| version.version).max().unwrap_or(0);
    let place = |version: &Version| (version.version, version.generation);
    let ready: Vec<&Version> = current.iter().filter(|known| known.state == "ready" && !known.live).copied().collect();
    let waits = ready.iter().any(|known| place(known) > place(live));
    let way_back = ready.iter().any(|known| known.was_live && place(known) < place(live));
    let beside: Vec<&Version> = standing.iter().filter(|known| !known.live).copied().collect();
    let room = standing.len() < STANDING;
    // Code that makes other rows is told from a fix by rows that were folded.
    let same = |known: &&&Version| known.version == live.version;
    let settled = current.iter().filter(same).all(|known| known.state == "ready");
    let chances = [
        ("deploy", if room && highest < VERSIONS { 8 } else { 0 }),
        ("fix", 3),
        ("other rows", if room && settled { 2 } else { 0 }),
        ("promote", if waits { 10 } else { 1 }),
        ("rollback", if way_back { 8 } else { 1 }),
        ("rebuild", if room { 3 } else { 0 }),
        ("rebuild of the past", if room { 2 } else { 0 }),
        (
            "cancel",
            match (beside.is_empty(), room) {
                (true, _) => 0,
                (_, true) => 1,
                (_, false) => 6,
            },
        ),
        ("pause", 1),
        ("resume", if standing.iter().any(|known| known.paused) { 5 } else { 0 }),
        ("verify", if ready.is_empty() { 0 } else { 4 }),
        ("append", 3),
    ];
    let mut rest = dice.below(chances.iter().map(|(_, chance)| chance).sum());
    let kind = chances.iter().find(|(_, chance)| {
        let is_it = rest < *chance;
        rest = rest.saturating_sub(*chance);
        is_it
    });
    match kind.map_or("append", |(kind, _)| *kind) {
        "deploy" => deploy(dice, slides, highest + 1),
        kind @ ("fix" | "other rows") => {
            let bytes = slides.component(live.version, kind == "other rows", dice.below(NOTES as usize) as u32);
            put(dice, kind, bytes)
        }
        kind @ ("promote" | "rollback") => post(kind, json!({ "force": dice.percent(80) })),
        "rebuild" => post("rebuild", json!({ "promote": policy(dice), "workers": workers(dice) })),
        "rebuild of the past" => {
            let position = dice.below(usize::try_from(look.head).unwrap_or(0));
            let body = json!({ "as_of": position, "workers": workers(dice) });
            Request { kind: "rebuild of the past", ..post("rebuild", body) }
        }
        "cancel" => post("cancel", json!({ "version": beside[dice.below(beside.len())].label() })),
        "resume" => resume(),
        kind @ ("pause" | "verify") => post(kind, json!({})),
        _ => append(dice),
    }
}

/// Some slides more for one of the shows.
pub(crate) fn append(dice: &mut Dice) -> Request {
    let count = 1 + dice.below(30);
    let events: Vec<Value> =
        (0..count).map(|_| json!({ "event_type": "Slide", "event_data": { "n": 1 + dice.below(97) } })).collect();
    Request {
        kind: "append",
        path: format!("/v1/aggregates/Show/s-{}/events", dice.below(20)),
        body: Body::Json(json!({ "events": events })),
        events: i64::try_from(count).unwrap_or(0),
    }
}

/// That whatever is paused goes on.
pub(crate) fn resume() -> Request {
    post("resume", json!({}))
}

/// A version that is promoted when somebody says so.
#[cfg(feature = "fault-injection")]
pub(crate) fn install(slides: &Slides, version: u32) -> Request {
    let body = Body::Component(slides.component(version, false, 0));
    Request { kind: "deploy", path: "/v1/plugins/slides.wasm".to_owned(), body, events: 0 }
}

fn deploy(dice: &mut Dice, slides: &Slides, version: u32) -> Request {
    let bytes = slides.component(version, false, dice.below(NOTES as usize) as u32);
    put(dice, "deploy", bytes)
}

fn put(dice: &mut Dice, kind: &'static str, bytes: Vec<u8>) -> Request {
    let path = format!("/v1/plugins/slides.wasm?promote={}&workers={}", policy(dice), workers(dice));
    Request { kind, path, body: Body::Component(bytes), events: 0 }
}

pub(crate) fn post(kind: &'static str, body: Value) -> Request {
    Request { kind, path: format!("/v1/projections/slides/{kind}"), body: Body::Json(body), events: 0 }
}

fn policy(dice: &mut Dice) -> &'static str {
    if dice.percent(40) { "ready" } else { "manual" }
}

fn workers(dice: &mut Dice) -> usize {
    if dice.percent(60) { 1 } else { 2 + dice.below(WORKERS - 1) }
}
