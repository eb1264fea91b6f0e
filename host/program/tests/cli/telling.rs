//! What is said of where something is written, and of what fails.

use serde_json::Value;

use crate::place::{Place, SERVE, Server, lines, slides};

#[test]
fn commands_that_speak_to_no_host_refuse_to_be_told_which() {
    let place = Place::new();
    place.write("f.jsonl", lines(1));
    for (arguments, said) in [
        (&["import", "f.jsonl"][..], "`import` writes to the database that store.url names"),
        (&["serve", "--listen", "127.0.0.1:0", "--exit-when-caught-up"], "leave --server out"),
        (&["config", "check"], "leave --server out"),
    ] {
        place.check(&[&["--server", "http://127.0.0.1:9"], arguments].concat(), 2, said);
    }
    assert!(!place.path().join("fantascope-data").exists(), "no store may be left behind");
}

#[test]
fn whatever_writes_says_into_what() {
    let place = Place::new();
    place.write("f.jsonl", lines(3)).write("v1.wasm", slides(1, "plain"));
    place.check(&["import", "f.jsonl"], 0, "in sqlite:fantascope-data/fantascope.sqlite");
    let done: Value = serde_json::from_str(&place.check(&["-o", "json", "import", "f.jsonl"], 0, "")).expect("JSON");
    assert_eq!(done["into"], "sqlite:fantascope-data/fantascope.sqlite");
    let server = Server::start(&place, &[]);
    let host = |arguments: &[&str]| place.run(&[&["--server", &server.url], arguments].concat());
    let named = format!("host: {}\n", server.url);
    for arguments in [
        &["plugin", "deploy", "v1.wasm", "--wait"][..],
        &["projection", "pause", "slides"],
        &["plugin", "remove", "slides", "--force", "--yes"],
    ] {
        assert_eq!(String::from_utf8_lossy(&host(arguments).stderr), named, "{arguments:?}");
    }
    for arguments in [&["projection", "list"][..], &["-q", "plugin", "deploy", "v1.wasm"]] {
        assert_eq!(String::from_utf8_lossy(&host(arguments).stderr), "", "{arguments:?}");
    }
}

#[test]
fn failures_are_problems_where_json_is_asked_for() {
    let place = Place::new();
    place.write("f.jsonl", lines(1)).check(&["import", "f.jsonl"], 0, "1 added");
    let server = Server::start(&place, &[]);
    let unreachable = ["-o", "json", "--server", "http://127.0.0.1:9", "plugin", "list"];
    let unknown = ["-o", "json", "--server", &server.url, "projection", "show", "nobody"];
    for (arguments, exit, code) in [
        (&unreachable[..], 1, "host_unreachable"),
        (&unknown, 1, "unknown_projection"),
        (&["-o", "json", "import", "missing.jsonl"], 1, "failed"),
        (&["-o", "json", "--config", "missing.toml", "config", "check"], 1, "invalid_settings"),
        (&["-o", "json", "plugin", "remove", "x"], 2, "usage"),
        (&["projection", "shwo", "-o", "json"], 2, "usage"),
        (&["--output=json", "nonsense"], 2, "usage"),
    ] {
        let output = place.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        let problem: Value =
            serde_json::from_str(&said).unwrap_or_else(|fault| panic!("{arguments:?}: {fault}: {said}"));
        assert_eq!((output.status.code(), problem["code"].as_str()), (Some(exit), Some(code)), "{said}");
        assert_eq!(problem["type"], format!("urn:fantascope:problem:{code}"));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{said}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
    }
}

#[test]
fn what_keeps_a_host_from_starting_is_a_line_of_its_log() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for (arguments, variable, said) in [
        (&["serve", "--listen", &address][..], ("FANTASCOPE__LOG__LEVEL", "info"), "cannot listen on"),
        (&SERVE, ("FANTASCOPE__STORE__POLL_MS", "0"), "store.poll_ms"),
        (&SERVE, ("FANTASCOPE__STORE__URL", "sqlite:/dev/null/x"), "cannot open store.url"),
    ] {
        let mut command = place.command(arguments);
        let output = command.envs([("FANTASCOPE__LOG__FORMAT", "json"), variable]).output().expect("it runs");
        let said_lines = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said_lines}");
        let lines: Vec<Value> = said_lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}")))
            .collect();
        let last = lines.last().expect("a line");
        assert_eq!(last["level"], "ERROR", "{said_lines}");
        assert!(last["fields"]["message"].as_str().is_some_and(|message| message.contains(said)), "{said_lines}");
    }
}

#[test]
fn the_log_says_who_starts_where() {
    let place = Place::new();
    let environment = [("FANTASCOPE__HOSTS__NAME", "red"), ("FANTASCOPE__LOG__FORMAT", "json")];
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--exit-when-caught-up"]);
    let output = command.envs(environment).output().expect("it runs");
    let log = String::from_utf8_lossy(&output.stderr);
    let first: Value = serde_json::from_str(log.lines().next().expect("a line")).expect("JSON");
    let fields = &first["fields"];
    assert_eq!(fields["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&fields["host"], &fields["message"]), (&"red".into(), &"fantascope starts".into()));
    assert_eq!(fields["store"], "sqlite:fantascope-data/fantascope.sqlite");
    assert_eq!(fields["read_models"], fields["store"]);
    let said = "no plugins yet: put `.wasm` files into `fantascope-data/plugins`, or `fantascope plugin deploy FILE`";
    assert!(log.contains(said) && !log.contains("0 of 0"), "{log}");
}

#[test]
fn the_log_tells_of_pauses_and_of_wrong_tokens() {
    let place = Place::new();
    place.write("v1.wasm", slides(1, "plain"));
    let server = Server::start(&place, &[("FANTASCOPE__HTTP__TOKEN", "hush"), ("FANTASCOPE__HTTP__TOKEN_NAME", "ann")]);
    let host = |arguments: &[&str], code: i32| {
        place.check(&[&["--server", &server.url, "--token", "hush"], arguments].concat(), code, "");
    };
    host(&["plugin", "deploy", "v1.wasm", "--wait"], 0);
    host(&["projection", "pause", "slides"], 0);
    host(&["projection", "resume", "slides"], 0);
    for _ in 0..5 {
        place.check(&["--server", &server.url, "--token", "guess", "plugin", "list"], 1, "asks for a token");
    }
    let log = server.stop();
    for said in ["is paused projection=slides v1 actor=\"ann\"", "is resumed projection=slides v1 actor=\"ann\""] {
        assert!(log.contains(said), "{log} should say {said}");
    }
    let strangers: Vec<&str> = log.lines().filter(|line| line.contains("without the right token")).collect();
    assert!(matches!(strangers.as_slice(), [only] if only.contains("peer=\"127.0.0.1\"")), "{log}");
    assert!(!log.contains("guess"), "{log}");
}
