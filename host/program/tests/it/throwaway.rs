//! Throwaway servers keep what they promise to the tests that use them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, PgConnection, Row as _};

use crate::servers::{Durability, Installation, Kind, Server, Template};

/// What `statement` gives, or why it gives nothing.
fn ask(kind: Kind, url: &str, statement: &str) -> Result<String, String> {
    let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
    let answer = async {
        let rows: Vec<String> = match kind {
            Kind::Postgres => {
                let rows = statement.fetch_all(&mut PgConnection::connect(url).await?).await?;
                rows.iter().map(|row| row.try_get_unchecked(0)).collect::<Result<_, _>>()?
            }
            Kind::MariaDb => {
                let rows = statement.fetch_all(&mut MySqlConnection::connect(url).await?).await?;
                rows.iter().map(|row| row.try_get_unchecked(0)).collect::<Result<_, _>>()?
            }
        };
        Ok(rows.join("\n"))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(answer).map_err(|error: sqlx::Error| error.to_string())
}

fn installation(kind: Kind) -> Option<Installation> {
    let found = Installation::find(kind);
    if found.is_none() {
        println!("skipped: {kind} is not installed");
    }
    found
}

/// The template of this run of the tests, or one made here in `folder`.
fn template(kind: Kind, folder: &Path) -> Option<Template> {
    let installation = installation(kind)?;
    Some(Template::given(kind).unwrap().unwrap_or_else(|| Template::ensure(&installation, folder).unwrap()))
}

fn crash_and_return(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let Some(template) = template(kind, &folder.path().join(kind.name())) else { return };
    let mut server = Server::start(&template, Durability::Full).unwrap();
    let url = server.url(kind.administration());
    ask(kind, &url, "CREATE DATABASE crashes").unwrap();
    let url = server.url("crashes");
    ask(kind, &url, "CREATE TABLE kept (word VARCHAR(20) NOT NULL)").unwrap();
    for round in 1..=2 {
        ask(kind, &url, "INSERT INTO kept VALUES ('né 🙂')").unwrap();
        server.kill().unwrap();
        assert!(ask(kind, &url, "SELECT 1").is_err(), "round {round}: it is down");
        server.restart().unwrap();
        let expected = vec!["né 🙂"; round].join("\n");
        assert_eq!(ask(kind, &url, "SELECT word FROM kept"), Ok(expected), "round {round}");
    }
    let wrong = url.replacen('@', "wrong@", 1);
    let refusal = ask(kind, &wrong, "SELECT 1").unwrap_err();
    assert!(refusal.contains("password"), "{refusal}");
}

#[test]
fn a_postgres_that_is_killed_comes_back_on_its_port_with_its_data() {
    crash_and_return(Kind::Postgres);
}

#[test]
fn a_mariadb_that_is_killed_comes_back_on_its_port_with_its_data() {
    crash_and_return(Kind::MariaDb);
}

/// The folders and the words of all processes that hold `word`.
fn traces(word: &str) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(std::env::temp_dir()).unwrap().map(|entry| entry.unwrap().path());
    let folders = folders.filter(|path| path.to_string_lossy().contains(word));
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let file = entry.ok()?.path().join("cmdline");
        std::fs::read_to_string(&file).ok()?.contains(word).then_some(file)
    });
    folders.chain(processes).collect()
}

/// Set for the child of the test below, to the kind of server that it starts.
const OWNER: &str = "FANTASCOPE_SERVERS_OWNER";

/// The owner of the servers of the test below. Says where its server is, and waits to be killed.
#[test]
fn owner_that_is_killed() {
    let Ok(name) = std::env::var(OWNER) else { return };
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let template = template(kind, &folder.path().join(kind.name())).unwrap();
    // The thread that starts it may end before the server does.
    let server = std::thread::spawn(move || Server::start(&template, Durability::None).unwrap()).join().unwrap();
    assert_eq!(ask(kind, &server.url(kind.administration()), "SELECT 1").unwrap(), "1");
    folder.close().unwrap();
    println!("\nfolder={}", server.folder().file_name().unwrap().to_string_lossy());
    std::thread::park();
}

#[test]
fn a_server_goes_with_its_owner_even_if_that_is_killed() {
    use std::io::{BufRead as _, BufReader};
    for kind in Kind::ALL.into_iter().filter(|&kind| installation(kind).is_some()) {
        let mut owner = Command::new(std::env::current_exe().unwrap());
        owner.args(["--exact", "--nocapture", "throwaway::owner_that_is_killed"]).env(OWNER, kind.name());
        let mut owner = owner.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines().map_while(Result::ok);
        let folder = lines.find_map(|line| line.strip_prefix("folder=").map(str::to_owned)).unwrap();
        assert!(traces(&folder).len() >= 3, "{kind}: folder, server, watchdog: {:?}", traces(&folder));
        owner.kill().unwrap();
        owner.wait().unwrap();
        let start = Instant::now();
        while !traces(&folder).is_empty() {
            assert!(start.elapsed() < Duration::from_secs(60), "{kind}: {:?}", traces(&folder));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn nothing_is_left_of_a_server_that_is_dropped() {
    for kind in Kind::ALL {
        let folder = tempfile::tempdir().unwrap();
        let Some(template) = template(kind, &folder.path().join(kind.name())) else { continue };
        let server = Server::start(&template, Durability::None).unwrap();
        let folder = server.folder().file_name().unwrap().to_string_lossy().into_owned();
        drop(server);
        assert_eq!(traces(&folder), [""; 0].map(PathBuf::from), "{kind}");
    }
}

#[test]
fn a_template_of_another_version_is_made_anew() {
    for kind in Kind::ALL {
        let Some(installation) = installation(kind) else { continue };
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("template");
        let password = || std::fs::read_to_string(folder.join("password")).unwrap();
        Template::ensure(&installation, &folder).unwrap();
        let first = password();
        Template::ensure(&installation, &folder).unwrap();
        assert_eq!(password(), first, "{kind}: it is there");
        std::fs::write(folder.join("version"), "another").unwrap();
        Template::ensure(&installation, &folder).unwrap();
        assert_ne!(password(), first, "{kind}: it was of another version");
    }
}
