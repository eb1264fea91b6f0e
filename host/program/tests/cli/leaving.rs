//! What is left behind by what has ended.

use crate::place::{Place, Server, lines, slides};

/// The names of what is in `folder`, sorted.
fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_clean_end_leaves_one_file_that_can_be_copied() {
    let place = Place::new();
    let data = place.path().join("fantascope-data");
    place.write("f.jsonl", lines(60)).check(&["import", "f.jsonl"], 0, "60 added");
    assert_eq!(names(&data), ["fantascope.sqlite"], "after an import");
    place.write("v1.wasm", slides(1, "plain"));
    let server = Server::start(&place, &[]);
    assert_eq!(server.append().0, 201);
    place.check(&["--server", &server.url, "plugin", "deploy", "v1.wasm", "--wait"], 0, "slides v1 is following");
    let log = server.stop();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    assert_eq!(names(&data), ["cache", "fantascope.sqlite", "plugins"], "{log}");

    let copy = Place::new();
    std::fs::create_dir(copy.path().join("fantascope-data")).expect("a folder");
    let file = "fantascope-data/fantascope.sqlite";
    std::fs::copy(place.path().join(file), copy.path().join(file)).expect("copied");
    let server = Server::start(&copy, &[]);
    copy.check(&["--server", &server.url, "events", "list", "--after", "61"], 0, "Counter/c@62");
    copy.check(&["--server", &server.url, "projection", "list"], 0, "slides");
}

#[test]
fn looking_at_a_plugin_leaves_nothing_behind() {
    let place = Place::new();
    place.write("v1.wasm", slides(1, "plain")).check(&["plugin", "inspect", "v1.wasm"], 0, "\"slides\"");
    assert_eq!(names(place.path()), ["v1.wasm"]);
}

#[test]
fn settings_are_checked_against_what_is_there() {
    let place = Place::new();
    let said = place.check(&["config", "check", "--connect"], 0, "no file yet: the first start makes it");
    assert!(said.contains("store.url (sqlite:fantascope-data/fantascope.sqlite): no file yet"), "{said}");
    assert_eq!(names(place.path()), [""; 0], "nothing is made");
    place.write("f.jsonl", lines(7)).check(&["import", "f.jsonl"], 0, "7 added");
    let said = place.check(&["config", "check", "--connect"], 0, "events up to position 7");
    assert!(said.contains(": SQLite 3.") && said.contains("no read models yet") && said.ends_with("ok\n"), "{said}");
    let said = place.check(&["-o", "json", "config", "check", "--connect"], 0, "");
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&said["ok"], &said["databases"][0]["key"]), (&true.into(), &"store.url".into()));
    assert_eq!(names(&place.path().join("fantascope-data")), ["fantascope.sqlite"]);
    place.write("nowhere.toml", "[store]\nurl = 'postgres://ann:hush@127.0.0.1:9/shop'\nconnect_ms_max = 500\n");
    let output = place.run(&["--config", "nowhere.toml", "config", "check", "--connect"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot use store.url") && !said.contains("hush"), "{said}");
}
