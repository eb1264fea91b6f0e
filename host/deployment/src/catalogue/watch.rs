//! Watches the plugin folder, on a thread of its own.
//!
//! Events of the OS only wake it. What has changed it sees by looking the folder over,
//! which it also does without events: network mounts have none.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, DebouncedEvent, Debouncer, NoCache, new_debouncer_opt};
use tokio::sync::mpsc;

use super::folder::{Change, Folder};
use super::scan::Unusable;
use model::task::Tasks;

/// Events are gathered for at least that long, however short files take to settle.
const GATHER_MIN: Duration = Duration::from_millis(10);

const DEAF: &str = "the OS can't tell of changes in the plugin folder, which is looked over now and then instead";

/// What is watched, and how.
#[derive(Debug, Clone)]
pub struct WatchSettings {
    pub folder: PathBuf,
    /// How long a file must have been the same before it is read.
    pub settle: Duration,
    /// How often the folder is looked over without an event.
    pub rescan: Duration,
    pub plugin_bytes_max: usize,
    /// Those that the host keeps an eye on: the watch is one.
    pub tasks: Tasks,
}

/// The plugin folder, being watched until this is dropped.
#[derive(Debug)]
pub struct Watch {
    batches: mpsc::Receiver<Vec<Change>>,
    wake: SyncSender<()>,
}

impl Watch {
    /// All that the folder holds, and a watch over what becomes of it. Makes the folder
    /// if it is missing. Reads files: call it off the runtime.
    ///
    /// # Errors
    /// If the folder can't be read.
    pub fn open(settings: WatchSettings) -> Result<(Self, Vec<Change>), Unusable> {
        let path = settings.folder.clone();
        let (rescan, tasks) = (settings.rescan, settings.tasks.clone());
        let (wake, wakes) = sync_channel(1);
        let mut alarm = Alarm::new((settings.settle / 4).max(GATHER_MIN), wake.clone());
        let (mut folder, changes) = Folder::open(settings)?;
        let (sender, batches) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("plugin-folder".to_owned())
            .spawn(move || {
                let mut look = || keep_looking(&mut folder, &mut alarm, rescan, &wakes, &sender);
                while tasks.run_blocking("watch of the plugin folder", &mut look).is_none() {}
            })
            .map_err(|source| Unusable { folder: path, source })?;
        Ok((Self { batches, wake }, changes))
    }

    /// What has changed next. What changed together comes together. Nothing is lost if
    /// this is dropped before it is ready.
    ///
    /// None if the thread that watches has ended, which it doesn't by itself.
    pub async fn next(&mut self) -> Option<Vec<Change>> {
        self.batches.recv().await
    }

    fn stop(&mut self) {
        self.batches.close();
        // If it is full, the thread is being woken already.
        let _ = self.wake.try_send(());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

fn keep_looking(
    folder: &mut Folder,
    alarm: &mut Alarm,
    rescan: Duration,
    wakes: &Receiver<()>,
    batches: &mpsc::Sender<Vec<Change>>,
) {
    let mut was_woken = false;
    while !batches.is_closed() {
        if !was_woken {
            alarm.set(folder.path());
        }
        let changes = folder.look();
        if !changes.is_empty() && batches.blocking_send(changes).is_err() {
            return;
        }
        let unsettled = folder.unsettled_for();
        was_woken = wakes.recv_timeout(if unsettled.is_zero() { rescan } else { unsettled.min(rescan) }).is_ok();
    }
}

/// Wakes the watcher when the OS says that something happened.
struct Alarm {
    debouncer: Option<Debouncer<RecommendedWatcher, NoCache>>,
    is_broken: bool,
}

impl Alarm {
    /// Events are gathered for a while before they wake anyone.
    fn new(gather: Duration, wake: SyncSender<()>) -> Self {
        let handle = move |events: DebounceEventResult| {
            if events.map_or(true, |events| events.iter().any(is_change)) {
                let _ = wake.try_send(());
            }
        };
        // Not tried again: each attempt that fails leaves a thread of the debouncer behind.
        let debouncer = new_debouncer_opt(gather, Some(gather), handle, NoCache::new(), notify::Config::default());
        let debouncer = debouncer.inspect_err(|fault| tracing::warn!("{DEAF}: {fault}")).ok();
        Self { debouncer, is_broken: false }
    }

    /// Sets the alarm anew, for the folder of this name may be another one by now.
    fn set(&mut self, folder: &Path) {
        let Some(debouncer) = &mut self.debouncer else { return };
        // It may not be watched so far.
        let _ = debouncer.unwatch(folder);
        match debouncer.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => self.is_broken = false,
            Err(fault) if self.is_broken || matches!(fault.kind, notify::ErrorKind::PathNotFound) => {}
            Err(fault) => {
                tracing::warn!("{DEAF}: {fault}");
                self.is_broken = true;
            }
        }
    }
}

/// Whether `event` is more than reading, which is what the watcher itself does.
fn is_change(event: &DebouncedEvent) -> bool {
    match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]
mod tests {
    use super::*;

    /// After which nothing more comes of what was written, however busy the machine is.
    const QUIET: Duration = Duration::from_secs(1);

    #[test]
    fn the_thread_ends_with_the_watch() {
        let folder = tempfile::tempdir().unwrap();
        let settings = WatchSettings {
            folder: folder.path().to_owned(),
            settle: Duration::from_millis(10),
            rescan: Duration::from_secs(3600),
            plugin_bytes_max: 1,
            tasks: Tasks::default(),
        };
        let (mut watch, _) = Watch::open(settings).unwrap();
        assert_eq!(watch.batches.sender_strong_count(), 1);
        watch.stop();
        while watch.batches.sender_strong_count() > 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn writing_wakes_and_reading_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        std::fs::write(&file, "a").unwrap();
        let (wake, wakes) = sync_channel(1);
        let mut alarm = Alarm::new(GATHER_MIN, wake);
        for _ in 0..2 {
            alarm.set(folder.path());
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
            std::fs::read(&file).unwrap();
            assert!(wakes.recv_timeout(QUIET).is_err());
            std::fs::write(&file, "b").unwrap();
            wakes.recv_timeout(Duration::from_secs(60)).unwrap();
            while wakes.recv_timeout(QUIET).is_ok() {}
        }
    }
}
