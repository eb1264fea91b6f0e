//! The components that the tests run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The bytes of guest `name`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|fault| panic!("no guest at {}: {fault}", path.display()))
}

fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| std::env::var_os("FANTASCOPE_GUESTS").map_or_else(build, PathBuf::from))
}

/// Builds them; takes no time if they are current.
fn build() -> PathBuf {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["xtask", "guests"]);
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "`cargo xtask guests` failed");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}
