//! `build`: a plugin from its sources, by plain cargo.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::human;
use super::output::Output;

/// What plugins are compiled for.
const TARGET: &str = "wasm32-wasip2";

/// A plugin is built once and then called for every event there ever was: worth a
/// few seconds of its author's time. Panics abort in the sandbox anyway.
const PROFILE: [(&str, &str); 6] = [
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_STRIP", "symbols"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
];

/// A line of `cargo build --message-format=json`; other kinds have other fields.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    target: Target,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    name: String,
}

/// Builds the plugin whose `Cargo.toml` is in `folder`, and gives the component.
///
/// # Errors
/// If cargo can't be run or fails, or what it builds is no component. Its own words
/// go to standard error.
pub fn build(folder: &Path) -> anyhow::Result<PathBuf> {
    let folder = own_manifest(folder)?;
    let manifest = folder.join("Cargo.toml");
    let is_ours = |message: &Message| message.manifest_path.canonicalize().is_ok_and(|path| path == manifest);
    let components = run_cargo(&folder, &[])?;
    let found = components.iter().find(|message| is_ours(message)).and_then(component);
    found.with_context(|| {
        format!("`{}` builds no component: its library needs `crate-type = [\"cdylib\", \"rlib\"]`", folder.display())
    })
}

/// Builds `packages` of the workspace in `folder`, and gives their components in that order.
///
/// # Errors
/// As [`build`].
pub fn build_packages(folder: &Path, packages: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let folder = own_manifest(folder)?;
    let components = run_cargo(&folder, packages)?;
    let of_package = |package: &&str| {
        let library = package.replace('-', "_");
        let found =
            components.iter().find(|message| message.target.name.replace('-', "_") == library).and_then(component);
        found.with_context(|| {
            format!("package `{package}` builds no component: its library needs `crate-type = [\"cdylib\", \"rlib\"]`")
        })
    };
    packages.iter().map(of_package).collect()
}

/// The cargo to use: the one that runs this program, if one does.
pub(super) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn own_manifest(folder: &Path) -> anyhow::Result<PathBuf> {
    let found = folder.canonicalize().with_context(|| format!("there is no folder `{}`", folder.display()))?;
    if !found.join("Cargo.toml").is_file() {
        bail!("`{}` has no Cargo.toml: `fantascope new projection NAME` makes a plugin", folder.display());
    }
    Ok(found)
}

fn component(message: &Message) -> Option<PathBuf> {
    message.filenames.iter().find(|file| file.extension().is_some_and(|extension| extension == "wasm")).cloned()
}

/// Runs cargo, and gives what it says of those things that became WebAssembly.
fn run_cargo(folder: &Path, packages: &[&str]) -> anyhow::Result<Vec<Message>> {
    ensure_target(folder)?;
    let mut command = Command::new(cargo());
    command.current_dir(folder).args([
        "build",
        "--release",
        "--target",
        TARGET,
        "--message-format=json-render-diagnostics",
    ]);
    for package in packages {
        command.args(["--package", package]);
    }
    command.envs(PROFILE).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot run cargo: install Rust, see https://rustup.rs")?;
    let mut components = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.context("cannot read what cargo says")?;
            // Build scripts may print lines of their own.
            if let Ok(message) = serde_json::from_str::<Message>(&line)
                && message.reason == "compiler-artifact"
                && component(&message).is_some()
            {
                components.push(message);
            }
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        bail!("cargo could not build `{}`: see its words above", folder.display());
    }
    Ok(components)
}

/// Sees that the standard library for plugins is installed, or installs it.
fn ensure_target(folder: &Path) -> anyhow::Result<()> {
    let asked =
        Command::new("rustc").current_dir(folder).args(["--print", "target-libdir", "--target", TARGET]).output();
    let is_there = asked.as_ref().is_ok_and(|answer| {
        answer.status.success() && Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir()
    });
    if is_there {
        return Ok(());
    }
    eprintln!("installing Rust's standard library for {TARGET}");
    match Command::new("rustup").current_dir(folder).args(["target", "add", TARGET]).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("rustup could not install the target {TARGET}: see its words above"),
        Err(fault) if fault.kind() == ErrorKind::NotFound => {
            bail!(
                "Rust's standard library for {TARGET} is missing, and so is rustup, which would install it: see https://rustup.rs"
            )
        }
        Err(fault) => Err(fault).context("cannot run rustup"),
    }
}

pub(super) fn run(folder: &Path, output: Output) -> anyhow::Result<()> {
    let path = build(folder)?;
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if output.is_json {
        return output.json(&json!({ "path": path, "size_bytes": bytes.len(), "digest": digest }));
    }
    if output.quiet {
        return output.line(&path.display().to_string());
    }
    output.line(&format!("{}\n{}, SHA-256 {digest}", path.display(), human::bytes(bytes.len() as u64)))
}
