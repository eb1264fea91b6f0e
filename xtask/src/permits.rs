//! The example `permits` over its real events, whose figures a script works out by
//! other means.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::cargo::{root, run};
use crate::standalone::fantascope;

/// How long the host may take to fold the 8,577 events.
const PATIENCE: Duration = Duration::from_secs(60);

/// Imports `events`, projects them and compares every row.
///
/// # Errors
/// If the figures differ.
pub(crate) fn check(program: &Path, events: &Path) -> anyhow::Result<()> {
    let events =
        events.canonicalize().with_context(|| format!("FANTASCOPE_PERMITS: cannot find `{}`", events.display()))?;
    let place = tempfile::tempdir().context("no temporary folder")?;
    let plugins = place.path().join("plugins");
    fs::create_dir(&plugins)?;
    fs::write(
        place.path().join("fantascope.toml"),
        "[store]\nurl = \"sqlite:permits.sqlite\"\n[plugins]\ndir = \"plugins\"\ncache = \"cache\"\n",
    )?;
    let built =
        fantascope(program, root(), &["--quiet", "build", "examples/permits"]).stderr(Stdio::inherit()).output()?;
    let component = String::from_utf8_lossy(&built.stdout).trim().to_owned();
    fs::copy(&component, plugins.join("permits.wasm")).with_context(|| format!("no component at `{component}`"))?;
    run(Command::new(program).current_dir(place.path()).arg("import").arg(&events))?;
    let host = Host::start(program, place.path())?;
    host.wait_until_caught_up(program)?;
    run(Command::new(root().join("examples/permits/check.sh")).arg(&events).arg(&host.url))
}

/// A host that serves until it is dropped.
struct Host {
    child: Child,
    url: String,
}

impl Host {
    fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.current_dir(folder).args(["serve", "--listen", "127.0.0.1:0"]).env("NO_COLOR", "1");
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("no log")?).lines();
        let mut host = Self { child, url: String::new() };
        let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains("http://"));
        let line = line.context("the host ended before it served")?;
        line.split_whitespace().find(|word| word.starts_with("http://")).unwrap_or_default().clone_into(&mut host.url);
        // The log must be read to its end, or the host would wait for it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(host)
    }

    fn wait_until_caught_up(&self, program: &Path) -> anyhow::Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let arguments = ["--server", &self.url, "-o", "json", "projection", "list"];
            let output = Command::new(program).args(arguments).output()?;
            let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let status = &list[0];
            if status["phase"] == "following" && status["lag_events"] == 0 && status["position"] != 0 {
                return Ok(());
            }
            if let Some(fault) = status["error"]["message"].as_str() {
                bail!("{fault}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the host has not caught up after {PATIENCE:?}")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to do.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}
