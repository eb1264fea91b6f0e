//! Hosts as processes: started, killed, looked into.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantascope::demo::{History, Plan};
use fantascope::event::Timestamp;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection};

use crate::dice::Dice;

/// Events of the history. Small batches make many commits of them.
const EVENTS: u64 = 6_000;
const BATCH_EVENTS: &str = "50";

/// Projections whose rows add up, so that a batch folded twice can be seen.
const PLUGINS: &[&str] = &["daily_revenue", "activity_feed", "schema_upcaster"];

/// Longer than any run takes; a host that hangs fails the test instead of stopping it.
pub(crate) const HANGS: Duration = Duration::from_secs(120);

/// Some of those that are to be killed end before.
const JUST_NOT: f64 = 1.25;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Killed {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    #[cfg_attr(not(feature = "fault-injection"), expect(dead_code, reason = "for the broken variant alone"))]
    CommitApart,
    #[cfg_attr(not(feature = "fault-injection"), expect(dead_code, reason = "for the broken variant alone"))]
    SwitchApart,
}

/// A folder with plugins and a history, for many hosts. What they compile is shared by
/// all: it depends on nothing else.
pub(crate) struct Playground {
    folder: tempfile::TempDir,
    history: PathBuf,
    pub(crate) dice: Dice,
    data_folders: usize,
    /// How long an import and a host take that nobody kills.
    import_takes: Duration,
    serve_takes: Duration,
}

impl Playground {
    pub(crate) fn new() -> Self {
        let playground = Self::with(&history_lines());
        for (name, path) in PLUGINS.iter().zip(components()) {
            let file = playground.folder.path().join("plugins").join(format!("{name}.wasm"));
            fs::copy(path, file).expect("a built plugin");
        }
        playground
    }

    /// A folder without plugins, whose history has these lines.
    pub(crate) fn with(history_lines: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("plugins")).expect("a folder for plugins");
        let history = folder.path().join("history.jsonl");
        fs::write(&history, history_lines).expect("a history");
        let (import_takes, serve_takes) = (HANGS, HANGS);
        Self { folder, history, dice: Dice::new(), data_folders: 0, import_takes, serve_takes }
    }

    /// The read models of a host that nobody killed. How long it took is noted, so that kills fall into
    /// that time on any machine: of the second, which has nothing to compile.
    pub(crate) fn undisturbed(&mut self) -> String {
        let mut data = PathBuf::new();
        for _ in 0..2 {
            data = self.fresh_data();
            let began = Instant::now();
            assert_eq!(self.import(&data, None), Killed::No);
            self.import_takes = began.elapsed();
            assert_eq!(self.serve(&data, Fault::None, None), Killed::No);
            self.serve_takes = began.elapsed() - self.import_takes;
        }
        self.read_models(&data)
    }

    /// The same as [`import`](Self::import), killed at any moment or just not.
    pub(crate) fn import_to_kill(&mut self, data: &Path) -> Killed {
        self.import(data, Some(self.import_takes.mul_f64(JUST_NOT)))
    }

    /// The same as [`serve`](Self::serve), killed at any moment or just not.
    pub(crate) fn serve_to_kill(&mut self, data: &Path, fault: Fault) -> Killed {
        self.serve(data, fault, Some(self.serve_takes.mul_f64(JUST_NOT)))
    }

    /// A database that is not there yet.
    pub(crate) fn fresh_data(&mut self) -> PathBuf {
        self.data_folders += 1;
        self.folder.path().join(format!("data-{}.sqlite", self.data_folders))
    }

    /// Imports the history; killed after a random part of `within`, if that is given.
    pub(crate) fn import(&mut self, data: &Path, within: Option<Duration>) -> Killed {
        let mut command = self.command(data, Fault::None);
        command.arg("import").arg(&self.history);
        self.run(command, within)
    }

    /// Folds all events; killed after a random part of `within`, if that is given.
    pub(crate) fn serve(&mut self, data: &Path, fault: Fault, within: Option<Duration>) -> Killed {
        let mut command = self.command(data, fault);
        command.args(["serve", "--listen", "127.0.0.1:0", "--exit-when-caught-up"]);
        self.run(command, within)
    }

    /// A host that is yet to be told what to do.
    pub(crate) fn command(&self, data: &Path, fault: Fault) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fantascope"));
        let url = format!("sqlite:{}", data.display());
        command
            .current_dir(self.folder.path())
            .env("FANTASCOPE__STORE__URL", &url)
            .env("FANTASCOPE__READ_MODELS__URL", &url)
            .env("FANTASCOPE__PLUGINS__DIR", self.folder.path().join("plugins"))
            .env("FANTASCOPE__PLUGINS__CACHE", compiled())
            // A killed host leaves there what it would have thrown away.
            .env("TMPDIR", self.folder.path())
            .env("FANTASCOPE__LIMITS__BATCH_EVENTS_MAX", BATCH_EVENTS)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        match fault {
            Fault::None => {}
            Fault::CommitApart => _ = command.env("FANTASCOPE_FAULT", "commit-apart"),
            Fault::SwitchApart => _ = command.env("FANTASCOPE_FAULT", "switch-apart"),
        }
        command
    }

    fn run(&mut self, mut command: Command, within: Option<Duration>) -> Killed {
        let delay = within.map(|within| within.mul_f64(self.dice.roll()));
        let mut child = command.spawn().expect("the host starts");
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("the host's state") {
                let words = std::io::read_to_string(child.stderr.take().expect("a pipe")).unwrap_or_default();
                assert!(status.success(), "the host failed by itself, {}: {words}", self.dice);
                return Killed::No;
            }
            if delay.is_some_and(|delay| began.elapsed() >= delay) {
                return kill(child);
            }
            assert!(began.elapsed() < HANGS, "the host hangs, {}", self.dice);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// All rows of all read models, as text.
    pub(crate) fn read_models(&self, data: &Path) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(dump(data)).expect("read models")
    }
}

/// `kill -9`, which no process can hear coming.
pub(crate) fn kill(mut child: Child) -> Killed {
    child.kill().expect("a process to kill");
    let status = child.wait().expect("its end");
    // It may have ended by itself in the last moment.
    if status.success() { Killed::No } else { Killed::Yes }
}

/// Where compiled plugins are kept.
pub(crate) fn compiled() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

async fn dump(data: &Path) -> sqlx::Result<String> {
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(data).read_only(true).connect().await?;
    let views: Vec<(String,)> = sqlx::query_as("SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name")
        .fetch_all(&mut connection)
        .await?;
    let mut dump = String::new();
    for (view,) in views {
        for row in rows(&mut connection, &view).await? {
            writeln!(dump, "{view}: {row}").expect("a string grows");
        }
    }
    Ok(dump)
}

async fn rows(connection: &mut SqliteConnection, view: &str) -> sqlx::Result<Vec<String>> {
    let columns: Vec<(String,)> = sqlx::query_as("SELECT name FROM pragma_table_info(?)")
        .bind(view.to_owned())
        .fetch_all(&mut *connection)
        .await?;
    let quoted: Vec<String> = columns.iter().map(|(column,)| format!("quote(\"{column}\")")).collect();
    let sql = format!("SELECT concat_ws('|', {}) AS row FROM \"{view}\" ORDER BY row", quoted.join(", "));
    let rows: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(row,)| row).collect())
}

fn history_lines() -> String {
    let end = Timestamp::parse("2026-01-01T00:00:00Z").expect("a time");
    let mut history = History::new(Plan::ending_at(7, EVENTS, end));
    let mut lines = String::new();
    while history.events_done() < EVENTS {
        for event in history.next_append().into_imported() {
            let line = json!({
                "event_id": event.event_id,
                "event_type": event.event_type,
                "event_version": event.event_version,
                "aggregate_type": event.aggregate_type,
                "aggregate_id": event.aggregate_id,
                "aggregate_version": event.aggregate_version,
                "event_timestamp": event.event_timestamp,
                "user_id": event.user_id,
                "correlation_id": event.correlation_id,
                "causation_id": event.causation_id,
                "event_data": serde_json::from_str::<Value>(event.event_data.get()).expect("a payload"),
            });
            writeln!(lines, "{line}").expect("a string grows");
        }
    }
    lines
}

/// The built plugins: those of `cargo xtask test`, or built now.
fn components() -> Vec<PathBuf> {
    if let Some(folder) = std::env::var_os("FANTASCOPE_GUESTS") {
        return PLUGINS.iter().map(|name| Path::new(&folder).join(format!("{name}.wasm"))).collect();
    }
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fantascope::cli::plugin_build::build_packages(&tree, PLUGINS).expect("plugins that build")
}
