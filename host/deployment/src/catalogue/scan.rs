//! The files of a folder, each admitted or refused.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guest::{Admitted, Kind, Refusal, Sandbox, UpcasterPlugin, digest};
use model::change::{Digest, UpcasterManifest};
use projection::upcast::{Clash, Steps};

/// Names of projections that would meet the host's own tables, or the database's.
const RESERVED: &[&str] = &["fantascope", "sqlite", "pg", "mysql", "information_schema"];

/// A plugin file, and what came of it.
#[derive(Debug)]
pub struct Entry {
    /// Name of the file, without its folder.
    pub file: String,
    pub bytes: u64,
    /// None if the file could not even be read.
    pub digest: Option<Digest>,
    pub outcome: Result<Admitted, Rejected>,
}

/// Why a file of the folder is not run.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    #[error("it can't be read: {0}")]
    Unreadable(std::io::Error),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("`{0}` holds the same bytes")]
    Copy(String),
    #[error("`{other}` is {what}, too, but with other bytes: raise the version, or take one of them away")]
    Twin { other: String, what: String },
    #[error("`{0}` is a higher version of the same upcaster")]
    Superseded(String),
    #[error(transparent)]
    Clash(#[from] Clash),
    #[error("projection names must not begin with `{0}`: choose another")]
    Reserved(&'static str),
}

impl Rejected {
    /// The stable code of this reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "plugin_unreadable",
            Self::Refused(refusal) => refusal.code(),
            Self::Copy(_) => "plugin_copy",
            Self::Twin { .. } => "plugin_twin",
            Self::Superseded(_) => "plugin_superseded",
            Self::Clash(_) => "plugin_clash",
            Self::Reserved(_) => "plugin_name_reserved",
        }
    }
}

/// A plugin folder that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the plugin folder `{}` can't be read: {source}; name another as plugins.dir, or give the host the right to it", folder.display())]
pub struct Unusable {
    pub folder: PathBuf,
    pub source: std::io::Error,
}

/// Reads a file once; what is hashed, checked and compiled are those bytes.
#[must_use]
pub fn admit(path: &Path, sandbox: &Sandbox) -> Entry {
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let bytes = match read(path, sandbox) {
        Ok(bytes) => bytes,
        Err((bytes, rejected)) => return Entry { file, bytes, digest: None, outcome: Err(rejected) },
    };
    admit_bytes(&file, &bytes, sandbox)
}

/// Looks over what was read from `file`. Takes as long as compiling takes.
#[must_use]
pub fn admit_bytes(file: &str, bytes: &[u8], sandbox: &Sandbox) -> Entry {
    let outcome = sandbox.admit(bytes).map_err(Rejected::from).and_then(refuse_reserved);
    Entry { file: file.to_owned(), bytes: bytes.len() as u64, digest: Some(digest(bytes)), outcome }
}

impl Entry {
    /// Refuses it beside a file that was deployed before as the same plugin.
    pub fn reject_beside(&mut self, other: String, same_bytes: bool) {
        if let Ok(admitted) = &self.outcome {
            let what = what(&admitted.kind);
            self.outcome = Err(if same_bytes { Rejected::Copy(other) } else { Rejected::Twin { other, what } });
        }
    }
}

/// The bytes of `path`, or how many there are and why they are not read.
fn read(path: &Path, sandbox: &Sandbox) -> Result<Vec<u8>, (u64, Rejected)> {
    let size = std::fs::metadata(path).map_err(|fault| (0, Rejected::Unreadable(fault)))?.len();
    let max = sandbox.plugin_bytes_max();
    let bytes = usize::try_from(size).unwrap_or(usize::MAX);
    if bytes > max {
        return Err((size, Refusal::TooLarge { bytes, max }.into()));
    }
    std::fs::read(path).map_err(|fault| (size, Rejected::Unreadable(fault)))
}

fn refuse_reserved(admitted: Admitted) -> Result<Admitted, Rejected> {
    if let Kind::Projection(plugin) = &admitted.kind {
        let name = plugin.manifest.name.as_str();
        let reserved = |prefix: &&&str| name == **prefix || name.starts_with(&format!("{prefix}_"));
        if let Some(prefix) = RESERVED.iter().find(reserved) {
            return Err(Rejected::Reserved(prefix));
        }
    }
    Ok(admitted)
}

/// Of files with the same bytes the first one counts; of files that claim to be the
/// same plugin with different bytes none does, for nobody can tell which is meant.
pub fn reject_twins(entries: &mut [Entry]) {
    let mut claims: HashMap<String, Vec<usize>> = HashMap::new();
    for (number, entry) in entries.iter().enumerate() {
        if let Ok(admitted) = &entry.outcome {
            claims.entry(what(&admitted.kind)).or_default().push(number);
        }
    }
    for (what, numbers) in claims {
        let first = numbers[0];
        let same = |number: &usize| entries[*number].digest == entries[first].digest;
        let (copies, others): (Vec<usize>, Vec<usize>) = numbers[1..].iter().copied().partition(|number| same(number));
        let first_file = entries[first].file.clone();
        if let Some(&other) = others.first() {
            let other = entries[other].file.clone();
            entries[first].outcome = Err(Rejected::Twin { other, what: what.clone() });
        }
        for copy in copies {
            entries[copy].outcome = Err(Rejected::Copy(first_file.clone()));
        }
        for other in others {
            entries[other].outcome = Err(Rejected::Twin { other: first_file.clone(), what: what.clone() });
        }
    }
}

/// Of the versions of an upcaster the highest one counts.
pub fn reject_superseded(entries: &mut [Entry]) {
    for number in 0..entries.len() {
        let Some(own) = upcaster(&entries[number]).map(|plugin| &plugin.manifest) else { continue };
        let is_higher = |other: &&Entry| {
            let other = upcaster(other).map(|plugin| &plugin.manifest);
            other.is_some_and(|other| other.name == own.name && other.version > own.version)
        };
        if let Some(higher) = entries.iter().find(is_higher) {
            let file = higher.file.clone();
            entries[number].outcome = Err(Rejected::Superseded(file));
        }
    }
}

/// An upcaster that can't work together with those before it is left out; the others go on.
pub fn reject_clashes(entries: &mut [Entry]) {
    let mut accepted: Vec<Arc<UpcasterManifest>> = Vec::new();
    for entry in entries {
        let Some(own) = upcaster(entry) else { continue };
        let (own, limits) = (Arc::clone(&own.manifest), own.limits());
        let together: Vec<&UpcasterManifest> = accepted.iter().map(|manifest| &**manifest).chain([&*own]).collect();
        match Steps::of(&together, limits) {
            Ok(_) => accepted.push(own),
            Err(clash) => entry.outcome = Err(clash.into()),
        }
    }
}

fn upcaster(entry: &Entry) -> Option<&UpcasterPlugin> {
    match &entry.outcome.as_ref().ok()?.kind {
        Kind::Upcaster(plugin) => Some(plugin),
        Kind::Projection(_) => None,
    }
}

/// Kind, name and version, for people.
#[must_use]
pub fn what(kind: &Kind) -> String {
    match kind {
        Kind::Projection(plugin) => format!("projection {} v{}", plugin.manifest.name, plugin.manifest.version),
        Kind::Upcaster(plugin) => format!("upcaster {} v{}", plugin.manifest.name, plugin.manifest.version),
    }
}
