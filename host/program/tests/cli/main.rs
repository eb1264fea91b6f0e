//! The program as it is called: what it prints and how it exits.

#[path = "../disk/mod.rs"]
#[expect(dead_code, reason = "the tests of hosts use more of it")]
mod disk;
mod leaving;
mod place;
mod telling;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::place::{PROGRAM, Place, SERVE, Server, check, line, lines, slides};

#[test]
fn wrong_usage_exits_with_2() {
    let place = Place::new();
    for (arguments, said) in [
        (&[][..], "Usage"),
        (&["nonsense"][..], "unrecognized subcommand"),
        (&["serve", "--port", "1"][..], "unexpected argument"),
        (&["import"][..], "required"),
        (&["projection", "show", "No Name"][..], "is not a name"),
        (&["new", "projection", "2nd"][..], "is not a name"),
        (&["new", "projection", "../up"][..], "is not a name"),
        (&["events", "list", "--limit", "x"][..], "invalid value"),
        (&["events", "list", "--since", "yesterday"][..], "RFC 3339"),
        (&["--server", "nowhere", "plugin", "list"][..], "not a URL"),
        (&["-o", "xml", "config", "show"][..], "possible values"),
        (&["demo", "--events", "0"][..], "0 is not in 1.."),
        (&["serve", "--listen", "nonsense"][..], "http.listen (--listen): `nonsense` is not an address and port"),
    ] {
        place.check(arguments, 2, said);
    }
    assert_eq!(std::fs::read_dir(place.path()).expect("a folder").count(), 0, "nothing may be left behind");
}

#[test]
fn says_what_it_can_do() {
    let place = Place::new();
    place.check(&["--help"], 0, "Run the host");
    place.check(&["--version"], 0, "fantascope ");
    let help = place.check(&["--help"], 0, "");
    assert!(!help.contains("compile-component"), "{help}");
    for (shell, said) in [("bash", "_fantascope"), ("zsh", "#compdef fantascope"), ("fish", "complete -c fantascope")] {
        place.check(&["completions", shell], 0, said);
    }
}

#[test]
fn settings_are_checked_all_at_once() {
    let place = Place::new();
    place.check(&["config", "check"], 0, "ok");
    place.write("fantascope.toml", "[store]\nulr = 'x'\n[http]\nlisten = '0.0.0.0:1'\n");
    for arguments in [&["config", "check"][..], &["config", "show"][..], &["serve"][..], &["events", "list"][..]] {
        place.check(arguments, 1, "error: 2 settings cannot be used");
        place.check(arguments, 1, "store.ulr (fantascope.toml:2): there is no such setting, did you mean `store.url`?");
        place.check(arguments, 1, "http.listen (fantascope.toml:4)");
    }
    place.check(&["--config", "missing.toml", "config", "check"], 1, "(missing.toml): cannot be read");
    place.write("good.toml", "[store]\npoll_ms = 7\n").check(&["--config", "good.toml", "config", "check"], 0, "ok");
}

#[test]
fn a_log_level_that_does_not_exist_is_refused() {
    let place = Place::new();
    for (level, meant) in [("warning", "warn"), ("infoo", "info"), ("info,fantascope::http=debgu", "debug")] {
        for arguments in [&["config", "check"][..], &["serve", "--listen", "127.0.0.1:0", "--exit-when-caught-up"]] {
            let output = place.command(arguments).env("FANTASCOPE__LOG__LEVEL", level).output().expect("it runs");
            check(&output, arguments, 1, &format!("is not a level, did you mean `{meant}`?"));
        }
    }
}

#[test]
fn shows_settings_with_their_origin_and_hides_the_token() {
    let place = Place::new();
    place.write("fantascope.toml", "[store]\npoll_ms = 7\n[http]\ntoken = 'hush'\n");
    let output = place
        .command(&["-o", "json", "config", "show"])
        .env("FANTASCOPE__LOG__LEVEL", "debug")
        .output()
        .expect("it runs");
    let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let setting = |key: &str| {
        shown.as_array().expect("settings").iter().find(|setting| setting["key"] == key).cloned().expect(key)
    };
    assert_eq!(
        (setting("store.poll_ms")["value"].as_str(), setting("store.poll_ms")["origin"].as_str()),
        (Some("7"), Some("fantascope.toml:2"))
    );
    assert_eq!(setting("log.level")["origin"], "FANTASCOPE__LOG__LEVEL");
    assert_eq!(
        (setting("http.listen")["origin"].as_str(), setting("http.token_file")["value"].as_str()),
        (Some("default"), None)
    );
    for arguments in [&["config", "show"][..], &["-o", "json", "config", "show"][..]] {
        let shown = place.check(arguments, 0, "********");
        assert!(!shown.contains("hush"), "{shown}");
    }
}

#[test]
fn importing_twice_adds_nothing_the_second_time() {
    let place = Place::new();
    place.write("f.jsonl", lines(1_234));
    place.check(&["import", "f.jsonl"], 0, "1,234 events read, 1,234 added, 0 were here already (");
    place.check(&["import", "f.jsonl"], 0, "1,234 events read, 0 added, 1,234 were here already (");
    let done: Value = serde_json::from_str(&place.check(&["-o", "json", "import", "f.jsonl"], 0, "")).expect("JSON");
    assert_eq!(
        (done["read"].as_u64(), done["added"].as_u64(), done["present"].as_u64()),
        (Some(1_234), Some(0), Some(1_234))
    );
}

#[test]
fn imports_from_standard_input_also_packed() {
    let place = Place::new();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(lines(3).as_bytes()).expect("packed");
    let output = place.run_with_input(&["import", "-"], &packer.finish().expect("packed"));
    check(&output, &["import", "-"], 0, "3 events read, 3 added");
    let output = place.run_with_input(&["import", "-"], lines(4).as_bytes());
    check(&output, &["import", "-"], 0, "4 events read, 1 added, 3 were here already");
    let output = place.run_with_input(&["import", "-"], b"nope\n");
    check(&output, &["import", "-"], 1, "standard input:1:2: expected ident");
}

#[test]
fn a_file_that_cannot_be_imported_exits_with_1() {
    let place = Place::new();
    place.check(&["import", "missing.jsonl"], 1, "error: cannot open `missing.jsonl`\n  because: No such file");
    assert!(!place.path().join("fantascope-data").exists(), "no store may be left behind");
    place.check(&["import", "."], 1, "is a folder");
    place.write("f.jsonl", format!("{}{{}}\n", line(1))).check(
        &["import", "f.jsonl"],
        1,
        "f.jsonl:2:2: missing field `event_id`",
    );
}

#[test]
fn an_import_that_runs_out_of_room_says_how_much_it_added() {
    let Some(disk) = disk::Disk::of_mib(24) else { return };
    let place = Place::below(disk.path());
    let elsewhere = Place::new();
    let text = "x".repeat(4_000);
    let large = |number| line(number).replace("\"event_data\":{", &format!("\"event_data\":{{\"text\":\"{text}\","));
    elsewhere.write("f.jsonl", (1..=8_000).map(large).collect::<String>());
    let file = elsewhere.path().join("f.jsonl").display().to_string();
    let output = place.run(&["import", &file]);
    check(&output, &["import"], 1, "disk is full");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let added = told.split_once("stopped after ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
    let added = added.unwrap_or_else(|| panic!("{told} should say how many events were added"));
    assert!((1..8_000).contains(&added), "{told}");
}

#[test]
fn says_that_nobody_answers() {
    let place = Place::new();
    for arguments in
        [&["plugin", "list"][..], &["projection", "list"][..], &["events", "list"][..], &["events", "tail"][..]]
    {
        let arguments = [&["--server", "http://127.0.0.1:9"], arguments].concat();
        place.check(&arguments, 1, "nobody answers at http://127.0.0.1:9: `fantascope serve` starts a host");
    }
}

#[test]
fn talks_to_a_host() {
    let place = Place::new();
    place.write("f.jsonl", lines(60)).check(&["import", "f.jsonl"], 0, "60 added");
    let server = Server::start(&place, &[]);
    let check = |arguments: &[&str], code: i32, said: &str| {
        place.check(&[&["--server", &server.url], arguments].concat(), code, said)
    };
    check(&["events", "list"], 0, "… more with --after 50");
    check(&["events", "list", "--after", "59"], 0, "Counter/c@60");
    check(&["events", "list", "--type", "Other"], 0, "no events");
    check(
        &["events", "list", "--limit", "0"],
        1,
        "error: `limit` must be from 1 to 1000 (limits.page_events_max), not 0 (invalid_parameter)",
    );
    let page: Value =
        serde_json::from_str(&check(&["-o", "json", "events", "list", "--limit", "2"], 0, "")).expect("JSON");
    assert_eq!(
        (page["events"].as_array().map(Vec::len), page["next"].as_u64(), page["head"].as_u64()),
        (Some(2), Some(2), Some(60))
    );
    check(&["projection", "list"], 0, "no projections");
    assert_eq!(check(&["-o", "json", "projection", "list"], 0, "").trim(), "[]");
    check(
        &["projection", "show", "nobody"],
        1,
        "error: there is no projection `nobody`: there is none yet (unknown_projection)",
    );
    check(&["plugin", "list"], 0, "no plugins");
    assert_eq!(check(&["-q", "plugin", "list"], 0, ""), "");
}

#[test]
fn tails_events_until_nobody_listens() {
    let place = Place::new();
    place.write("f.jsonl", lines(60)).check(&["import", "f.jsonl"], 0, "60 added");
    let server = Server::start(&place, &[]);
    let mut tail = place
        .command(&["--server", &server.url, "-o", "json", "events", "tail", "--after", "58"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(tail.stdout.take().expect("an output")).lines();
    for position in [59, 60] {
        let event: Value = serde_json::from_str(&lines.next().expect("a line").expect("read")).expect("JSON");
        assert_eq!(event["position"], position);
    }
    // With nobody at the other end of the pipe, the next event ends it, quietly.
    drop(lines);
    place.write("g.jsonl", line(61)).check(&["import", "g.jsonl"], 0, "1 added");
    assert!(tail.wait().expect("it ends").success());
}

#[test]
fn asks_for_the_token_of_a_host() {
    let place = Place::new();
    let server = Server::start(&place, &[("FANTASCOPE__HTTP__TOKEN", "hush")]);
    let run =
        |arguments: &[&str], code, said| place.check(&[&["--server", &server.url], arguments].concat(), code, said);
    run(&["plugin", "list"], 1, "asks for a token");
    run(&["--token", "wrong", "plugin", "list"], 1, "this is not the token");
    run(&["--token", "hush", "plugin", "list"], 0, "no plugins");
    let output = place
        .command(&["--server", &server.url, "plugin", "list"])
        .env("FANTASCOPE__HTTP__TOKEN", "hush")
        .output()
        .expect("it runs");
    check(&output, &[], 0, "no plugins");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    place.check(&["serve", "--listen", &address], 1, &format!("cannot listen on {address}"));
}

#[test]
fn a_plugin_that_was_refused_fails_a_run_that_ends_by_itself() {
    let place = Place::new();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--exit-when-caught-up"];
    place.check(&arguments, 0, "serving on");
    place.write("fantascope-data/plugins/lamp.wasm", "no wasm");
    place.check(&arguments, 1, "\nerror: plugin lamp.wasm: it is not WebAssembly");
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let place = Place::new();
    let (server, log) = Server::with_log(place.command(&SERVE).env("FANTASCOPE__LOG__LEVEL", "trace"));
    drop(log);
    for _ in 0..2 {
        assert_eq!(server.append().0, 201);
    }
}

/// A file that may not grow stands for a full disk: to SQLite both are writes that fail.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_refuses_appends_until_there_is_space() {
    let place = Place::new();
    // The system also sends a signal, which must be ignored, as it does not for a full disk.
    let ignoring = ["-c", "trap '' XFSZ; exec \"$@\"", "sh", PROGRAM];
    let server = Server::of(&mut place.command_of("sh", &[&ignoring[..], &SERVE].concat()));
    assert_eq!(server.append().0, 201);
    server.bound_files(Some(1));
    for _ in 0..3 {
        let (status, problem) = server.append();
        assert_eq!((status, problem["code"].as_str()), (500, Some("store_failed")), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("disk")), "{problem}");
    }
    place.check(&["--server", &server.url, "events", "list"], 0, "Counter/c@2");
    server.bound_files(None);
    let (status, appended) = server.append();
    assert_eq!((status, &appended["positions"]), (201, &json!([3, 4])), "nothing was half done");
}

/// Starts the demo with so many events, and gives what it tells as JSON.
fn demo(place: &Place, events: &str) -> Value {
    let arguments = ["demo", "--listen", "127.0.0.1:0", "--events", events, "--exit-when-caught-up", "-o", "json"];
    serde_json::from_str(&place.check(&arguments, 0, "order_events")).expect("a story")
}

#[test]
fn the_demo_goes_on_where_it_stopped_and_doubles_nothing() {
    let place = Place::new();
    let first = demo(&place, "600");
    let again = demo(&place, "600");
    for told in ["events", "orders", "order_events", "order_row"] {
        assert_eq!(first[told], again[told], "{told}");
    }
    let further = demo(&place, "900");
    assert!(further["events"].as_u64() >= Some(900), "{}", further["events"]);
    // The schemas of old are in the events, and upcast in the row.
    assert_eq!(further["order_events"][0]["event_version"], 1);
    assert_eq!(further["order_row"]["currency"], "EUR");
}

#[test]
fn makes_plugins_but_not_over_something() {
    let place = Place::new();
    place.check(&["new", "projection", "seats"], 0, "made `seats`, a new projection; now try: fantascope test seats");
    place.check(&["new", "upcaster", "seats"], 1, "`seats` is there already");
    place.check(&["new", "upcaster", "bookings", "--sdk", "."], 1, "`.` is not the SDK");
    place.check(&["build", "nowhere"], 1, "there is no folder `nowhere`");
    place.check(&["build"], 1, "has no Cargo.toml");
}

#[test]
fn a_version_is_deployed_compared_switched_and_switched_back() {
    let place = Place::new();
    place.write("events.jsonl", lines(3).replace("Counted", "Slide"));
    place.check(&["import", "events.jsonl"], 0, "");
    place
        .write("v1.wasm", slides(1, "plain"))
        .write("v2.wasm", slides(2, "wide"))
        .write("v3.wasm", slides(3, "double"));
    let server = Server::start(&place, &[("FANTASCOPE__DEPLOY__PROMOTE", "manual")]);
    let host = |arguments: &[&str], code: i32, said: &str| {
        let arguments: Vec<&str> = ["--server", &server.url].iter().chain(arguments).copied().collect();
        place.check(&arguments, code, said)
    };
    host(&["plugin", "deploy", "v1.wasm", "--wait"], 0, "slides v1 is following");
    host(&["plugin", "deploy", "v2.wasm", "--wait"], 0, "slides v2 is following");
    host(&["projection", "verify", "slides"], 0, "slides: v1 against v2 at position 3: the same rows");
    host(&["projection", "promote", "slides"], 0, "slides v2 is live");
    host(&["projection", "rollback", "slides"], 0, "slides v1 is live again");
    host(&["projection", "rollback", "slides"], 1, "nothing_to_roll_back_to");
    host(&["plugin", "deploy", "v3.wasm", "--wait", "-q"], 0, "");
    let differs = host(&["projection", "verify", "slides", "--version", "3"], 3, "they differ");
    assert!(differs.contains("1 rows differ") && differs.contains("\"total\":12"), "{differs}");
    host(&["projection", "cancel", "slides", "--version", "v3"], 2, "say --yes");
    host(&["projection", "cancel", "slides", "--version", "v3", "--yes"], 0, "slides v3 is gone");
    host(&["projection", "rebuild", "slides", "--as-of", "2", "--wait"], 0, "slides v1g2 is complete");
    host(&["projection", "pause", "slides", "--version", "2"], 0, "slides v2 is paused");
    host(&["projection", "list"], 0, "v1g2 as of 2");
    let operations = host(&["operations", "list", "-o", "json"], 0, "");
    let operations: Value = serde_json::from_str(&operations).expect("JSON");
    assert_eq!((&operations[0]["operation"], &operations[0]["outcome"]), (&json!("pause"), &json!("done")));
    host(&["plugin", "remove", "slides", "--yes"], 1, "version_live");
    host(
        &["plugin", "remove", "slides", "--force"],
        2,
        "There is no terminal to ask on, so nothing was done: say --yes",
    );
    host(&["projection", "list"], 0, "slides");
    host(&["plugin", "remove", "slides", "--force", "--yes"], 0, "slides was removed");
    host(&["projection", "list"], 0, "no projections");
}
