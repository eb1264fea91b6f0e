//! `cargo xtask guests`: the shipped plugins and the tests' own guests, as components.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::cargo::{artifacts, cargo, is_installed, root, run};

/// Where guests come from: each folder in them is a package of its own name.
const SOURCES: [&str; 2] = ["plugins", "host/program/tests/guests"];

const TARGET: &str = "wasm32-wasip2";

/// The profile of `fantascope build`; a test sees that they are the same.
const PROFILE: [(&str, &str); 6] = [
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_STRIP", "symbols"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
];

/// Sees that Rust's standard library for guests is there, or has rustup install it.
///
/// # Errors
/// If it is missing and rustup can't help.
pub(crate) fn ensure_target() -> anyhow::Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(root()).args(["--print", "target-libdir", "--target", TARGET]);
    let answer = rustc.output().context("cannot run rustc: install Rust, see https://rustup.rs")?;
    let library = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    if answer.status.success() && Path::new(&library).is_dir() {
        return Ok(());
    }
    if !is_installed("rustup", "--version") {
        bail!(
            "Rust's standard library for {TARGET} is missing, and so is rustup, which would install it: see https://rustup.rs"
        );
    }
    run(Command::new("rustup").current_dir(root()).args(["target", "add", TARGET]))
}

/// Builds all guests in one go, and gives the folder that holds each as `NAME.wasm`,
/// and nothing else.
///
/// # Errors
/// If one can't be built, or is no component.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    ensure_target()?;
    let names = names()?;
    let mut command = cargo(&["build", "--release", "--target", TARGET]);
    for name in &names {
        command.args(["--package", name]);
    }
    command.arg("--message-format=json-render-diagnostics").envs(PROFILE);
    let artifacts = artifacts(&mut command)?;
    let built: Vec<(&String, PathBuf)> = names
        .iter()
        .map(|name| {
            let found = artifacts.iter().find(|artifact| artifact["target"]["name"] == **name).and_then(component);
            Ok((name, found.with_context(|| format!("package `{name}` builds no component"))?))
        })
        .collect::<anyhow::Result<_>>()?;
    collect(&built)
}

/// The packages, by the names of their folders.
fn names() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for source in SOURCES {
        let folder = root().join(source);
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.join("Cargo.toml").is_file() {
                names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
    }
    names.sort();
    Ok(names)
}

fn component(artifact: &Value) -> Option<PathBuf> {
    let mut files = artifact["filenames"].as_array()?.iter().filter_map(Value::as_str);
    files.find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

/// Puts the components into one folder, next to those of the profiles.
fn collect(built: &[(&String, PathBuf)]) -> anyhow::Result<PathBuf> {
    // TARGET_DIR/wasm32-wasip2/release/NAME.wasm
    let (_, first) = built.first().context("there are no guests")?;
    let folder = first.ancestors().nth(3).context("cargo builds in an unknown place")?.join("guests");
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let is_known =
            built.iter().any(|(name, _)| path.file_name().is_some_and(|file| file == &*format!("{name}.wasm")));
        if !is_known {
            fs::remove_file(&path)?;
        }
    }
    for (name, from) in built {
        let to = folder.join(format!("{name}.wasm"));
        let bytes = fs::read(from).with_context(|| format!("cannot read `{}`", from.display()))?;
        if fs::read(&to).ok().as_ref() != Some(&bytes) {
            fs::write(&to, bytes).with_context(|| format!("cannot write `{}`", to.display()))?;
        }
    }
    Ok(folder)
}
