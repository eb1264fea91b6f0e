//! Scenarios as folders of files: what happened, and how the read models show it.
//!
//! `scenarios/<name>/config.toml` names the guests and the limits, `events.jsonl` holds
//! the events, and `expected.json` how each projection stands in the end, with the rows
//! of its tables. With `FANTASCOPE_BLESS=1` the last one is written; read it before
//! you believe it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fantascope::limits::Limits;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::history::History;
use crate::place::{Host, Place};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    guests: Vec<String>,
    #[serde(default)]
    limits: Limits,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

async fn check(name: &str) {
    let folder = folder().join(name);
    let read = |file: &str| {
        std::fs::read_to_string(folder.join(file)).unwrap_or_else(|fault| panic!("{name}/{file}: {fault}"))
    };
    let config: Config = toml::from_str(&read("config.toml")).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    let place = Place::with(config.limits);
    History::of_text(&read("events.jsonl")).import(&place.store().await).await;
    let guests: Vec<&str> = config.guests.iter().map(String::as_str).collect();
    let host = place.run(&guests).await;
    let found = outcome(&host).await;
    if std::env::var_os("FANTASCOPE_BLESS").is_some() {
        std::fs::write(folder.join("expected.json"), format!("{found:#}\n")).unwrap();
        return;
    }
    let expected: Value = serde_json::from_str(&read("expected.json")).unwrap();
    assert!(found == expected, "{name}: expected\n{expected:#}\nfound\n{found:#}");
}

/// Everything that is the same in every run.
async fn outcome(host: &Host) -> Value {
    let mut projections = BTreeMap::new();
    for status in host.projections.board().statuses(host.store.head()) {
        let mut tables = BTreeMap::new();
        for table in &status.tables {
            tables.insert(table.clone(), host.rows(&status.projection, table).await);
        }
        let error = status.error.map(|error| {
            json!({ "code": error.code, "position": error.position, "event_id": error.event_id, "message": error.message })
        });
        let checkpoint = host.checkpoint(&status.projection).await;
        projections.insert(status.projection, json!({ "checkpoint": checkpoint, "error": error, "tables": tables }));
    }
    json!(projections)
}

macro_rules! scenarios {
    ($($name:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                check(stringify!($name)).await;
            }
        )+

        #[test]
        fn every_folder_is_run() {
            let mut names: Vec<String> = std::fs::read_dir(folder()).unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            assert_eq!(names, [$(stringify!($name)),+]);
        }
    };
}

// In the order of their names.
scenarios! {
    a_bad_event_stops_those_that_want_it
    a_batch_is_kept_up_to_the_bad_event
    events_made_of_one_stand_or_fall_together
    families_and_why_they_are_locked_out
    old_events_become_current_ones
    orders_from_the_cart_to_the_door
    revenue_by_day_and_currency
    several_projections_at_once
}
