//! Components that are versions of one projection, and what they make of events.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use fantascope::guest::{Sandbox, Settings, digest};
use fantascope::limits::Limits;

use crate::host::compiled;

/// Versions that there are, from 1.
pub(crate) const VERSIONS: u32 = 8;

/// Fixes of each that there are: other bytes that make the same rows.
pub(crate) const NOTES: u32 = 2;

/// All components, by what is asked for, and by digest what each multiplies with.
pub(crate) struct Slides {
    components: BTreeMap<(u32, bool, u32), Vec<u8>>,
    factors: BTreeMap<String, i64>,
}

impl Slides {
    /// Makes and compiles all of them, so that a host that gets one spends its time otherwise.
    pub(crate) fn compiled() -> Self {
        let built = guest("slides");
        let program = PathBuf::from(env!("CARGO_BIN_EXE_fantascope"));
        let settings = Settings { program, cache: compiled(), limits: Limits::default() };
        let sandbox = Sandbox::new(settings).expect("a sandbox");
        let mut all = Self { components: BTreeMap::new(), factors: BTreeMap::new() };
        for version in 1..=VERSIONS {
            for (odd, note) in [false, true].into_iter().flat_map(|odd| (0..NOTES).map(move |note| (odd, note))) {
                let doubles = doubles(version, odd);
                let bytes = marked(&built, version, doubles, note);
                let admitted = sandbox.admit(&bytes).expect("a component that is fit");
                assert_eq!(admitted.digest, digest(&bytes));
                all.factors.insert(admitted.digest.to_string(), if doubles { 2 } else { 1 });
                all.components.insert((version, odd, note), bytes);
            }
        }
        all
    }

    /// The component of a version, with a fix. One that is `odd` makes other rows than
    /// the others of its version, if they can be other.
    pub(crate) fn component(&self, version: u32, odd: bool, note: u32) -> Vec<u8> {
        self.components[&(version, odd, note)].clone()
    }

    /// What the component with this digest multiplies with.
    pub(crate) fn factor(&self, digest: &str) -> i64 {
        self.factors[digest]
    }
}

/// Versions next to each other make other rows, so that it shows which of them is looked at.
fn doubles(version: u32, odd: bool) -> bool {
    !is_wide(version) && (version.is_multiple_of(2) != odd)
}

/// Some have a column more, and never double.
fn is_wide(version: u32) -> bool {
    version.is_multiple_of(3)
}

fn marked(built: &[u8], version: u32, doubles: bool, note: u32) -> Vec<u8> {
    let mode = match (is_wide(version), doubles) {
        (true, _) => "wide",
        (false, true) => "double",
        (false, false) => "plain",
    };
    in_mode(built, version, mode, note)
}

/// The component of a version that does `mode`.
pub(crate) fn slides(version: u32, mode: &str) -> Vec<u8> {
    in_mode(&guest("slides"), version, mode, 0)
}

/// The bytes of a built guest or plugin.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(folder);
    std::fs::read(FOLDER.join(format!("{name}.wasm"))).expect("a built guest")
}

fn in_mode(built: &[u8], version: u32, mode: &str, note: u32) -> Vec<u8> {
    let marker = format!("slides:v={version:02};mode={mode:.<8};note={note:04};");
    let start = b"slides:v=";
    let at = built.windows(start.len()).position(|window| window == start).expect("a marker");
    let mut bytes = built.to_vec();
    bytes[at..at + marker.len()].copy_from_slice(marker.as_bytes());
    bytes
}

/// The built guests: those of `cargo xtask test`, or built now.
fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("FANTASCOPE_GUESTS") {
        return PathBuf::from(folder);
    }
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).args(["xtask", "guests"]);
    let output = command.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "`cargo xtask guests` failed");
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}
