//! A MySQL for tests. Stable releases of Debian have no package of it, the unstable one has:
//! its programs and libraries are unpacked into a folder of ours, and nothing is installed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::cargo::{is_installed, root, run};
use crate::packages;

const RELEASE: &str = "sid";
const PACKAGES: &str = "mysql-server-core,mysql-client-core";

/// What is run of them.
const PROGRAMS: [&str; 3] = ["mysql", "mysqldump", "mysqld"];

/// Names of the packages that a server needs begin so; the others are shells, and the like.
const NEEDED: [&str; 2] = ["mysql-", "lib"];

/// Runs the program of this name with its own libraries and the loader that fits them, wherever
/// the folder is.
const RUNNER: &str = r#"#!/bin/sh
root=$(dirname "$0")/root
name=$(basename "$0")
for loader in "$root"/usr/lib/*/ld-linux*.so.*; do
    for program in "$root/usr/sbin/$name" "$root/usr/bin/$name"; do
        [ -x "$program" ] && exec "$loader" --argv0 "$program" \
            --library-path "$(dirname "$loader"):$root/usr/lib/mysql/private" "$program" "$@"
    done
done
"#;

/// The program of the server, downloaded unless it is there.
///
/// # Errors
/// If it can't be had here.
pub(crate) fn ensure() -> anyhow::Result<PathBuf> {
    let folder = root().join("target/mysql");
    let programs = PROGRAMS.map(|name| folder.join(name));
    let [.., server] = &programs;
    if programs.iter().all(|program| program.is_file()) {
        return Ok(server.clone());
    }
    if !is_installed("dpkg-deb", "--version") {
        bail!("its packages are those of Debian, and `dpkg-deb` is not here: `FANTASCOPE_MYSQLD` can name a server");
    }
    if !has_debootstrap() {
        if !packages::can_install() {
            bail!("`debootstrap` downloads it, is not installed, and can be installed by root alone");
        }
        packages::install("debootstrap").context("`debootstrap` downloads it, and can't be installed")?;
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    eprintln!("=== downloading {PACKAGES} of Debian {RELEASE} into `{}`", folder.display());
    unpack(&folder).with_context(|| format!("failed to download it into `{}`", folder.display()))?;
    // Written last: where they are, all is.
    for program in &programs {
        let draft = folder.join("draft");
        fs::write(&draft, RUNNER)?;
        fs::set_permissions(&draft, Permissions::from_mode(0o755))?;
        fs::rename(draft, program)?;
    }
    Ok(server.clone())
}

fn unpack(folder: &Path) -> anyhow::Result<()> {
    let (packages, root) = (folder.join("packages"), folder.join("root"));
    fs::create_dir_all(&root)?;
    download(&packages)?;
    for package in fs::read_dir(packages.join("var/cache/apt/archives"))? {
        let package = package?;
        if NEEDED.iter().any(|start| package.file_name().to_string_lossy().starts_with(start)) {
            run(Command::new("dpkg-deb").arg("--extract").arg(package.path()).arg(&root))?;
        }
    }
    Ok(fs::remove_dir_all(packages)?)
}

/// Downloads the packages and all that they depend on. Signatures are checked.
fn download(into: &Path) -> anyhow::Result<()> {
    let mut command = debootstrap();
    command.args(["--download-only", "--force-check-gpg", "--variant=minbase"]);
    command.arg(format!("--include={PACKAGES}")).arg(RELEASE).arg(into).args(mirror());
    let output = command.output().context("cannot run `debootstrap`")?;
    if !output.status.success() {
        let words = [output.stdout, output.stderr].concat();
        let words = String::from_utf8_lossy(&words);
        let errors: Vec<&str> = words.lines().filter(|line| !line.starts_with("I: ")).collect();
        bail!("is there a network? `debootstrap` ended with {}: {}", output.status, errors.join("; "));
    }
    Ok(())
}

/// Where apt has its packages of Debian from; if it has none, `debootstrap` knows where they are.
fn mirror() -> Option<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format=$(REPO_URI)", "Created-By: Packages", "Origin: Debian", "Label: Debian"]);
    let output = command.stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.lines().next()?.to_owned())
}

fn has_debootstrap() -> bool {
    debootstrap().arg("--version").output().is_ok_and(|output| output.status.success())
}

/// It lies where only root looks, but needs no root to download.
fn debootstrap() -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("debootstrap");
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).stdin(Stdio::null());
    command
}
