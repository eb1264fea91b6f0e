//! Running cargo and other programs in this repository.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// The feature that the crash tests need; never part of a release.
pub(crate) const FAULTS: &str = "fantascope/fault-injection";

/// The folder of the repository.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The cargo that runs this program, in the repository.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments).stdin(Stdio::null());
    // What the outer cargo says of this program, build scripts would take for news of their own
    // package, and run anew: once here, and again when cargo is called without this program.
    let of_this_program =
        |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"].iter().any(|start| name.starts_with(start));
    for (name, _) in std::env::vars_os() {
        if of_this_program(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether `program` can be run here.
pub(crate) fn is_installed(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs `command` to its end.
///
/// # Errors
/// If it can't be run or does not end well. Its own words have gone to the terminal.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let words = words(command);
    let status = command.status().with_context(|| format!("cannot run `{words}`"))?;
    if !status.success() {
        bail!("`{words}` ended with {status}");
    }
    Ok(())
}

/// Runs a cargo `command` that builds, and gives what it says of each artifact.
///
/// # Errors
/// As [`run`].
pub(crate) fn artifacts(command: &mut Command) -> anyhow::Result<Vec<Value>> {
    let words = words(command);
    let failed = || format!("cannot run `{words}`");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(failed)?;
    let mut artifacts = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            // Build scripts may print lines of their own.
            if let Ok(message) = serde_json::from_str::<Value>(&line.with_context(failed)?)
                && message["reason"] == "compiler-artifact"
            {
                artifacts.push(message);
            }
        }
    }
    let status = child.wait().with_context(failed)?;
    if !status.success() {
        bail!("`{words}` ended with {status}");
    }
    Ok(artifacts)
}

/// Builds the tests and with them the host, and says where that is. Built by itself it
/// would need many dependencies once more, for other packages ask for other features.
///
/// # Errors
/// If it can't be built.
pub(crate) fn build_host() -> anyhow::Result<PathBuf> {
    let mut command = cargo(&["test", "--no-run", "--workspace", "--features", FAULTS]);
    let artifacts = artifacts(command.arg("--message-format=json-render-diagnostics"))?;
    let is_host = |artifact: &&Value| {
        artifact["target"]["name"] == "fantascope"
            && artifact["target"]["kind"][0] == "bin"
            && artifact["profile"]["test"] == false
    };
    let program = artifacts.iter().find(is_host).and_then(|artifact| artifact["executable"].as_str());
    program.map(PathBuf::from).context("cargo does not say where the program `fantascope` is")
}

fn words(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
