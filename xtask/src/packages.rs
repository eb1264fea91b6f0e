//! Installing a database from the packages of Debian and Ubuntu.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::cargo::{is_installed, run};

/// Asked by packages whether their services may start.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Whether we are root on a system with such packages.
pub(crate) fn can_install() -> bool {
    rustix::process::geteuid().is_root() && is_installed("apt-get", "--version")
}

/// Installs `package`, whose service does not start.
///
/// # Errors
/// If it can't be installed.
pub(crate) fn install(package: &str) -> anyhow::Result<()> {
    eprintln!("=== installing {package}");
    let _policy = NoServices::ensure()?;
    let install = || run(&mut apt_get(&["install", "--yes", "--no-install-recommends", package]));
    install().or_else(|_| {
        // There may be no lists of packages yet, or old ones.
        run(&mut apt_get(&["update"]))?;
        install()
    })
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .arg("--quiet=2")
        .arg("--option=Dpkg::Use-Pty=0")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        // What a chore gives goes to standard output, for a shell to take.
        .stdout(std::io::stderr());
    command
}

/// A policy that no service may start. One that was there is left as it is.
struct NoServices {
    is_ours: bool,
}

impl NoServices {
    fn ensure() -> anyhow::Result<Self> {
        match OpenOptions::new().write(true).create_new(true).mode(0o755).open(Path::new(POLICY)) {
            Ok(mut file) => {
                // From here on it is removed, also if it can't be written.
                let policy = Self { is_ours: true };
                file.write_all(b"#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write `{POLICY}`"))?;
                Ok(policy)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { is_ours: false }),
            Err(error) => Err(error).with_context(|| format!("cannot write `{POLICY}`")),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("warning: `{POLICY}` keeps all services from starting, remove it: {error}");
        }
    }
}
