//! Cases of settings: what holds, and what is refused.

use super::*;
use crate::config::DatabaseSettings;
use database::{Address, Connections};

fn sources(file: &str, environment: &[(&str, &str)], flags: &[(&'static str, &'static str, &str)]) -> Sources {
    Sources {
        file: (!file.is_empty()).then(|| (PathBuf::from("f.toml"), file.to_owned())),
        environment: environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        flags: flags.iter().map(|&(key, flag, value)| Flag { key, flag, value: value.to_owned() }).collect(),
    }
}

fn config(file: &str, environment: &[(&str, &str)], flags: &[(&'static str, &'static str, &str)]) -> Config {
    Config::read(&sources(file, environment, flags)).unwrap_or_else(|faults| panic!("{file} {environment:?}: {faults}"))
}

fn shown<'a>(config: &'a Config, key: &str) -> &'a str {
    config
        .effective
        .iter()
        .find(|setting| setting.key == key)
        .and_then(|setting| setting.value.as_deref())
        .unwrap_or("")
}

#[test]
fn has_a_default_for_everything() {
    let config = config("", &[], &[]);
    assert_eq!(config.store.database.url, "sqlite:fantascope-data/fantascope.sqlite");
    assert!(config.read_models.database.is_none(), "they are with the events");
    assert_eq!(config.store.database.connections, Connections::default());
    assert_eq!(shown(&config, "read_models.url"), config.store.database.url);
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:7711");
    assert_eq!(config.http.token, None);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.log, Log { level: "info".to_owned(), format: LogFormat::Text });
    assert!(config.effective.iter().all(|setting| setting.origin == Origin::Default));
}

#[test]
fn flags_outrank_the_environment_which_outranks_the_file() {
    let file = "[http]\nlisten = \"127.0.0.1:1\"";
    let variable = [("FANTASCOPE__HTTP__LISTEN", "127.0.0.1:2")];
    let flag = [("http.listen", "--listen", "127.0.0.1:3")];
    let port = |config: Config| config.http.listen.port();
    assert_eq!(port(config(file, &[], &[])), 1);
    assert_eq!(port(config(file, &variable, &[])), 2);
    assert_eq!(port(config(file, &variable, &flag)), 3);
    let shown = config(file, &variable, &[]).effective.into_iter().find(|setting| setting.key == "http.listen");
    assert_eq!(shown.map(|setting| setting.origin.to_string()).as_deref(), Some("FANTASCOPE__HTTP__LISTEN"));
}

#[test]
fn reads_every_kind_of_value() {
    let config = config(
        "[store]\nurl = 'sqlite:a.db'\npoll_ms = 1_000\n[limits]\nevent_bytes_max = 0x400\n[log]\nlevel = 'info,fantascope=debug'\nformat = 'json'",
        &[("FANTASCOPE__LIMITS__PAGE_EVENTS_MAX", "7"), ("FANTASCOPE_OTHER", "x"), ("PATH", "y")],
        &[],
    );
    assert_eq!((config.store.poll_ms, shown(&config, "read_models.url")), (1_000, "sqlite:a.db"));
    assert_eq!((config.limits.event_bytes_max, config.limits.page_events_max), (1_024, 7));
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn a_server_on_all_addresses_is_called_on_the_loopback() {
    for (listen, url) in
        [("0.0.0.0:80", "http://127.0.0.1:80"), ("[::]:80", "http://[::1]:80"), ("localhost:80", "http://127.0.0.1:80")]
    {
        let config = config("", &[], &[("http.listen", "--listen", listen), ("http.token", "--token", "t")]);
        assert_eq!(config.server_url(), url);
    }
}

#[test]
fn masks_the_token() {
    let config = config("[http]\ntoken = 'hush'", &[], &[]);
    assert_eq!(config.http.token.as_ref().map(Secret::reveal), Some("hush"));
    let shown = format!("{config:?}");
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn refuses_what_cannot_hold_and_says_why() {
    let check = |file: &str, expected: &str| {
        let faults = Config::read(&sources(file, &[], &[])).expect_err(expected).to_string();
        assert!(faults.contains(expected), "{faults} should say {expected}");
    };
    check("[store]\nulr = 'sqlite:a'", "store.ulr (f.toml:2): there is no such setting, did you mean `store.url`?");
    check("[sotre]\nurl = 'sqlite:a'", "sotre (f.toml:1): there is no such section, did you mean `[store]`?");
    check("\n\nstore = 1", "store (f.toml:3): this is a section");
    check("[store\n", "(f.toml:1): not TOML");
    check("[store]\nurl = 'postgres://x'", "store.url (f.toml:2): `postgres://x` is not a database");
    check(
        "[store]\nurl = 'postgres://a:b@c/d?sslmode=maybe'",
        "`postgres://a:***@c/d?sslmode=maybe` is not a database",
    );
    check("[store]\nurl = 'sqlite::memory:'", "is not a database");
    check(
        "[store]\npassword = 'a'\npassword_file = 'b'",
        "store.password (f.toml:2): is set beside store.password_file",
    );
    check("[store]\npassword_file = 'no/such/file'", "store.password_file (f.toml:2): `no/such/file` cannot be read");
    check("[store]\npassword_file = '/dev/null'", "store.password_file (f.toml:2): `/dev/null` is empty");
    check("[store]\npassword = ''", "store.password (f.toml:2): must not be empty");
    check("[store]\nconnections_max = 1", "store.connections_max (f.toml:2): must be from 2");
    check("[read_models]\nlock_wait_ms_max = 0", "read_models.lock_wait_ms_max (f.toml:2): must be from 1");
    check(
        "[store]\nurl = 'mysql://a/b'\npassword = 'x'\n[read_models]\npassword = 'y'",
        "read_models.password (f.toml:5): has no effect, for read models share the database of store.url",
    );
    check("[store]\nurl = 7", "store.url (f.toml:2): must be a text, in quotes");
    check("[store]\npoll_ms = '7'", "store.poll_ms (f.toml:2): must be a whole number, without quotes");
    check("[store]\npoll_ms = 0", "store.poll_ms (f.toml:2): must be at least 1");
    check("[store]\npoll_ms = -1", "`-1` is not a whole number from 0 up");
    check("[limits]\nguest_call_ms_max = 0", "limits.guest_call_ms_max (f.toml:2): must be at least 1");
    check("[hosts]\nlease_ms = 10", "hosts.lease_ms (f.toml:2): must be at least 1000");
    check("[limits]\nevent_bytes_max = 1.5", "must be a whole number");
    check("[http]\nlisten = '7711'", "http.listen (f.toml:2): `7711` is not an address and port");
    check("[http]\nlisten = '0.0.0.0:7711'", "can be reached from other machines");
    check("[http]\ntoken = ''", "http.token (f.toml:2): must be visible ASCII");
    check("[http]\ntoken = 'a b'", "must be visible ASCII");
    check("[http]\ntoken = 'a'\ntoken_file = 'b'", "is set beside http.token_file");
    check("[http]\ntoken_file = 'no/such/file'", "http.token_file (f.toml:2): `no/such/file` cannot be read");
    check("[plugins]\ndir = ''", "plugins.dir (f.toml:2): must not be empty");
    check("[log]\nlevel = 'warning'", "log.level (f.toml:2): `warning` is not a level, did you mean `warn`?");
    check(
        "[log]\nlevel = 'info,fantascope=infoo'",
        "log.level (f.toml:2): `infoo` is not a level, did you mean `info`?",
    );
    check("[log]\nformat = 'xml'", "log.format (f.toml:2): `xml` is neither `text` nor `json`");
}

#[test]
fn reports_all_faults_at_once_each_with_its_origin() {
    let file = "[store]\nulr = 'x'\n[limits]\nevent_bytes_max = 0\n";
    let environment = [("FANTASCOPE__HTTP__LISTE", "x"), ("FANTASCOPE__STORE__POLL_MS", "soon")];
    let faults =
        Config::read(&sources(file, &environment, &[("log.format", "--log", "xml")])).expect_err("faults").to_string();
    for expected in [
        "5 settings cannot be used",
        "store.ulr (f.toml:2)",
        "limits.event_bytes_max (f.toml:4)",
        "http.liste (FANTASCOPE__HTTP__LISTE): there is no such setting, did you mean `FANTASCOPE__HTTP__LISTEN`?",
        "store.poll_ms (FANTASCOPE__STORE__POLL_MS): `soon` is not a whole number",
        "log.format (--log): `xml`",
    ] {
        assert!(faults.contains(expected), "{faults} should say {expected}");
    }
}

#[test]
fn a_token_in_a_file_loses_its_line_end() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "hush\r\n").expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let config = config("", &[("FANTASCOPE__HTTP__TOKEN_FILE", path)], &[]);
    assert_eq!(config.http.token.as_ref().map(Secret::reveal), Some("hush"));
}

/// User and password, as they are sent.
fn revealed(database: &DatabaseSettings) -> String {
    use sqlx::ConnectOptions as _;
    let url = match &database.address {
        Address::Sqlite(_) => return String::new(),
        Address::Postgres(options) => options.to_url_lossy(),
        Address::MySql(options) => options.to_url_lossy(),
    };
    format!("{}:{}", url.username(), url.password().unwrap_or_default())
}

#[test]
fn passwords_of_databases_go_before_those_in_urls() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "from a file \r\n").expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let check = |file: &str, environment: &[(&str, &str)], events: &str, rows: Option<&str>| {
        let config = config(file, environment, &[]);
        assert_eq!(revealed(&config.store.database), events, "{file}");
        assert_eq!(config.read_models.database.as_ref().map(revealed).as_deref(), rows, "{file}");
        assert!(!format!("{config:?}").contains("hush"), "{config:?}");
    };
    let url = "[store]\nurl = 'postgres://ann:old@db/shop'";
    check(url, &[], "ann:old", None);
    check(&format!("{url}\npassword = 'hush'"), &[], "ann:hush", None);
    check(&format!("{url}\npassword_file = '{path}'"), &[], "ann:from%20a%20file%20", None);
    check(&format!("{url}\npassword_file = '{path}'"), &[("FANTASCOPE__STORE__PASSWORD", "hush")], "ann:hush", None);
    let both = format!("{url}\npassword = 'hush'\n[read_models]\nurl = 'mysql://bob@db/shop'");
    check(&both, &[("FANTASCOPE__READ_MODELS__PASSWORD_FILE", path)], "ann:hush", Some("bob:from%20a%20file%20"));
    check(&both, &[], "ann:hush", Some("bob:"));
    check(&format!("{url}\n[read_models]\nurl = 'postgres://ann:old@db/shop'"), &[], "ann:old", None);
}

#[test]
fn shows_urls_without_their_passwords() {
    let config = config(
        "[store]\nurl = 'postgres://ann:hush@db/shop'\npassword = 'hush'\n[read_models]\npassword = 'hush'",
        &[],
        &[],
    );
    for key in ["store.url", "read_models.url"] {
        assert_eq!(shown(&config, key), "postgres://ann:***@db/shop");
    }
    assert_eq!(shown(&config, "read_models.password"), "********");
}

#[test]
fn connections_are_set_for_each_database() {
    let of = |database: &DatabaseSettings| {
        let Connections { max, wait_max, lock_wait_max, .. } = database.connections;
        (max, wait_max.as_millis(), lock_wait_max.as_millis())
    };
    let file = "[store]\nconnections_max = 4\nconnect_ms_max = 700\n[read_models]\nurl = 'mysql://db/shop'\nlock_wait_ms_max = 50";
    let config = config(file, &[], &[]);
    assert_eq!(of(&config.store.database), (4, 700, 5_000));
    assert_eq!(config.read_models.database.as_ref().map(of), Some((16, 10_000, 50)));
}

#[cfg(unix)]
#[test]
fn a_settings_file_with_a_secret_that_everybody_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let warnings = |text: &str| {
        let sources = Sources { file: Some((file.path().to_owned(), text.to_owned())), ..Sources::default() };
        Config::read(&sources).expect("settings").warnings
    };
    assert_eq!(warnings("[http]\nlisten = '127.0.0.1:1'\n[store]\nurl = 'postgres://ann@db/shop'"), [""; 0]);
    for (text, key) in [
        ("[http]\ntoken = 'hush'", "http.token"),
        ("[store]\nurl = 'postgres://ann:hush@db/shop'", "store.url"),
        ("[store]\nurl = 'postgres://ann@db/shop'\npassword = 'hush'", "store.password"),
    ] {
        let warnings = warnings(text);
        let said = format!("{key} is in the settings: everybody on this machine can read");
        assert!(warnings.len() == 1 && warnings[0].starts_with(&said), "{warnings:?}");
        assert!(!warnings[0].contains("hush"), "{warnings:?}");
    }
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).expect("a mode");
    assert_eq!(warnings("[http]\ntoken = 'hush'"), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_secret_that_everybody_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "hush\n").expect("written");
    let path = file.path().to_str().expect("UTF-8");
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).expect("a mode");
        for key in ["STORE__PASSWORD_FILE", "HTTP__TOKEN_FILE"] {
            let config = config("", &[(&format!("FANTASCOPE__{key}"), path)], &[]);
            assert_eq!(config.warnings.len(), warnings, "{mode:o}: {:?}", config.warnings);
        }
    }
}
