//! `test`: a plugin's own tests, natively and in the sandbox.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::plugin_build::{build, cargo};

/// Builds the plugin in `folder` and runs its tests. Each case of the SDK's `Spec`
/// runs natively, and once more in the component, in a host that is this program.
pub(super) fn run(folder: &Path, arguments: &[OsString]) -> anyhow::Result<()> {
    let component = build(folder)?;
    let host = std::env::current_exe().context("cannot find this program, in which the tests are to run")?;
    let status = Command::new(cargo())
        .current_dir(folder)
        .arg("test")
        .arg("--")
        .args(arguments)
        .env("FANTASCOPE_SPEC_HOST", host)
        .env("FANTASCOPE_SPEC_COMPONENT", &component)
        // What is compiled for the tests lies beside what was built for them.
        .env("FANTASCOPE__PLUGINS__CACHE", component.with_file_name("fantascope-cache"))
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the tests of `{}` did not pass: see their words above", folder.display());
    }
    Ok(())
}
