//! Plugins outside this workspace, as those of users are: what `fantascope new`
//! makes, and the example. They must build and pass their tests, natively and in
//! the sandbox.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::cargo::{root, run};

/// The program `fantascope`, with `arguments`, in `folder`. What it builds and compiles
/// goes to a folder that all of these share, so that dependencies are built once and
/// nothing is left in the sources.
pub(crate) fn fantascope(program: &Path, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    if let Some(target) = program.ancestors().nth(2) {
        let target = target.join("standalone");
        command.env("FANTASCOPE__PLUGINS__CACHE", target.join("compiled")).env("CARGO_TARGET_DIR", target);
    }
    command
}

/// A plugin of each kind from its template passes its tests.
///
/// # Errors
/// If one does not.
pub(crate) fn templates(program: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    for (kind, name) in [("projection", "new_projection"), ("upcaster", "new_upcaster")] {
        run(&mut fantascope(program, folder.path(), &["new", kind, name]))?;
        // The versions of dependencies that are known to work, not those of the day.
        fs::copy(root().join("Cargo.lock"), folder.path().join(name).join("Cargo.lock"))?;
        run(&mut fantascope(program, folder.path(), &["test", name]))?;
    }
    Ok(())
}

/// The plugin in `folder` passes its tests.
///
/// # Errors
/// If it does not.
pub(crate) fn test(program: &Path, folder: &str) -> anyhow::Result<()> {
    run(&mut fantascope(program, root(), &["test", folder]))
}
