//! Which plugin files a folder holds, and what became of them since it was last
//! looked over. Knows files only: what is in them is for others to say.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::scan::{Rejected, Unusable};
use super::watch::WatchSettings;
use guest::{Refusal, digest};
use model::change::Digest;

/// How many times `settle` a file waits for others that keep changing.
const PATIENCE: u32 = 4;

/// What became of a file of the folder.
#[derive(Debug)]
pub enum Change {
    /// It is new, or has other content: all of it, read once.
    Found { file: String, bytes: Vec<u8> },
    /// It can't be read, or is too large to be.
    Unreadable { file: String, bytes: u64, reason: Rejected },
    /// It is no longer there.
    Gone { file: String },
}

/// The folder, as it was when it was last looked over.
#[derive(Debug)]
pub(super) struct Folder {
    settings: WatchSettings,
    files: BTreeMap<OsString, Seen>,
    lost: bool,
}

/// What is known of a file.
#[derive(Debug)]
struct Seen {
    state: State,
    /// Since when it is in that state.
    since: Instant,
    /// Whether that state needs no further look.
    done: bool,
    /// What was said of it last, if anything.
    told: Option<Told>,
}

/// How a file presents itself, before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    There(Stamp),
    /// Its name is there, and nothing more to be had: a link to nowhere, for one.
    Hidden(ErrorKind),
    Gone,
}

/// Changes whenever the content of a file does, or what its name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    inode: Inode,
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Content(Digest),
    Fault(String),
}

impl Folder {
    /// The folder, made if it is missing, and all that it holds. Waits for files that
    /// were written to a moment ago; those that still change then come later.
    pub(super) fn open(settings: WatchSettings) -> Result<(Self, Vec<Change>), Unusable> {
        let path = settings.folder.clone();
        let unusable = |source| Unusable { folder: path.clone(), source };
        std::fs::create_dir_all(&path).map_err(unusable)?;
        let mut folder = Self { settings, files: BTreeMap::new(), lost: false };
        folder.see().map_err(unusable)?;
        folder.trust_their_age();
        let unsettled = folder.unsettled_for();
        if !unsettled.is_zero() {
            std::thread::sleep(unsettled);
            folder.see().map_err(unusable)?;
        }
        let changes = folder.tell(folder.settings.settle);
        Ok((folder, changes))
    }

    pub(super) fn path(&self) -> &Path {
        &self.settings.folder
    }

    /// Looks the folder over, and says what has changed and come to rest.
    ///
    /// As long as it can't be read, all files are taken to be as they were: a network
    /// mount that is away for a while takes no plugin with it.
    pub(super) fn look(&mut self) -> Vec<Change> {
        let seen = self.see();
        let was_lost = std::mem::replace(&mut self.lost, seen.is_err());
        let path = self.path().display();
        match seen {
            Ok(()) if was_lost => tracing::info!("the plugin folder `{path}` is back"),
            Err(fault) if !was_lost => {
                tracing::warn!(
                    "the plugin folder `{path}` can't be read: {fault}; plugins stay as they are until it can"
                );
            }
            _ => {}
        }
        if self.lost { Vec::new() } else { self.tell(self.settings.settle.saturating_mul(PATIENCE)) }
    }

    /// How long it takes until all that has changed is at rest, if nothing else changes.
    pub(super) fn unsettled_for(&self) -> Duration {
        let latest = self.files.values().map(|seen| seen.since).max();
        latest.map_or(Duration::ZERO, |latest| self.settings.settle.saturating_sub(latest.elapsed()))
    }

    /// Notes how every file presents itself now.
    fn see(&mut self) -> std::io::Result<()> {
        let mut states = BTreeMap::new();
        for entry in std::fs::read_dir(self.path())? {
            let entry = entry?;
            if is_plugin(&entry.file_name()) {
                states.insert(entry.file_name(), State::of(&entry.path()));
            }
        }
        for name in self.files.keys() {
            states.entry(name.clone()).or_insert(State::Gone);
        }
        let now = Instant::now();
        for (name, state) in states {
            let new = Seen { state, since: now, done: false, told: None };
            let seen = self.files.entry(name).or_insert(new);
            if seen.state != state {
                seen.state = state;
                seen.since = now;
                seen.done = false;
            }
        }
        Ok(())
    }

    /// What is seen for the first time may have been at rest for long. Not to be asked
    /// later: the clocks of a network mount may be wrong.
    fn trust_their_age(&mut self) {
        for seen in self.files.values_mut() {
            let State::There(Stamp { modified: Some(modified), .. }) = seen.state else { continue };
            let age = modified.elapsed().unwrap_or_default().min(self.settings.settle);
            seen.since = seen.since.checked_sub(age).unwrap_or(seen.since);
        }
    }

    /// Says what is new. All files wait until the last of them is at rest, so that what
    /// belongs together comes together; but none longer than `patience`.
    fn tell(&mut self, patience: Duration) -> Vec<Change> {
        let all = self.unsettled_for().is_zero();
        let mut changes = Vec::new();
        for (name, seen) in &mut self.files {
            if !seen.done && (all || seen.since.elapsed() >= patience) {
                changes.extend(seen.tell(&self.settings.folder.join(name), self.settings.plugin_bytes_max));
            }
        }
        self.files.retain(|_, seen| !(seen.done && seen.state == State::Gone));
        changes
    }
}

impl Seen {
    /// What there is to say of this file, if it was not said before. What can't be read
    /// is tried again whenever the folder is looked over.
    fn tell(&mut self, path: &Path, bytes_max: usize) -> Option<Change> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if self.state == State::Gone {
            self.done = true;
            return self.told.take().map(|_| Change::Gone { file });
        }
        match read(path, self.state, bytes_max) {
            Ok(Some(bytes)) => {
                self.done = true;
                self.is_news(Told::Content(digest(&bytes))).then_some(Change::Found { file, bytes })
            }
            Ok(None) => {
                self.since = Instant::now();
                None
            }
            Err((bytes, reason)) => {
                self.is_news(Told::Fault(reason.to_string())).then_some(Change::Unreadable { file, bytes, reason })
            }
        }
    }

    fn is_news(&mut self, told: Told) -> bool {
        let is_news = self.told.as_ref() != Some(&told);
        self.told = Some(told);
        is_news
    }
}

impl State {
    fn of(path: &Path) -> Self {
        std::fs::metadata(path).map_or_else(|fault| Self::Hidden(fault.kind()), |found| Self::There(Stamp::of(&found)))
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { bytes: metadata.len(), modified: metadata.modified().ok(), inode: inode(metadata) }
    }
}

/// Device, number and last change of an inode. The last is more than `modified`: it
/// tells of new permissions, too, and can't be set back.
#[cfg(unix)]
type Inode = (u64, u64, i64, i64);

#[cfg(unix)]
fn inode(metadata: &Metadata) -> Inode {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
type Inode = ();

#[cfg(not(unix))]
fn inode(_: &Metadata) -> Inode {}

/// Files that are hidden are someone's work in progress.
fn is_plugin(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".wasm") && !name.starts_with(b".")
}

/// The bytes of a file, or how many there are and why they are not read. None if it
/// was not in `state` all the while.
fn read(path: &Path, state: State, max: usize) -> Result<Option<Vec<u8>>, (u64, Rejected)> {
    let (stamp, is_file) = match std::fs::metadata(path) {
        Ok(metadata) => (Stamp::of(&metadata), metadata.is_file()),
        Err(fault) if state == State::Hidden(fault.kind()) => return Err((0, Rejected::Unreadable(fault))),
        Err(_) => return Ok(None),
    };
    if state != State::There(stamp) {
        return Ok(None);
    }
    if !is_file {
        return Err((0, Rejected::Unreadable(std::io::Error::other("it is not a file"))));
    }
    let bytes = usize::try_from(stamp.bytes).unwrap_or(usize::MAX);
    if bytes > max {
        return Err((stamp.bytes, Refusal::TooLarge { bytes, max }.into()));
    }
    match read_all(path, stamp) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map_err(|fault| (stamp.bytes, Rejected::Unreadable(fault))),
    }
}

fn read_all(path: &Path, stamp: Stamp) -> std::io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(stamp.bytes + 1).read_to_end(&mut bytes)?;
    let is_whole = Stamp::of(&file.metadata()?) == stamp && bytes.len() as u64 == stamp.bytes;
    Ok(is_whole.then_some(bytes))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_as_it_was_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a.wasm"), folder.path().join("b"));
        std::fs::write(&path, "a").unwrap();
        let state = State::of(&path);
        assert_eq!(read(&path, state, 1).unwrap().unwrap(), b"a");

        std::fs::write(&path, "ab").unwrap();
        assert!(read(&path, state, 1).unwrap().is_none());
        let State::There(stamp) = state else { panic!("{state:?}") };
        assert!(read_all(&path, stamp).unwrap().is_none());

        std::fs::write(&other, "c").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(read_all(&path, stamp).unwrap().is_none());

        std::fs::remove_file(&path).unwrap();
        assert!(read(&path, state, 1).unwrap().is_none());
        assert!(read(&path, State::of(&path), 1).is_err());
    }
}
