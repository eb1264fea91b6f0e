//! What becomes of the files of the plugin folder is told once, and never in halves.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fantascope::catalogue::{Change, Watch, WatchSettings};
use fantascope::task::Tasks;

const SETTLE: Duration = Duration::from_millis(60);
const BYTES_MAX: usize = 1 << 16;

/// For what must come: long enough for the slowest machine.
const LONG: Duration = Duration::from_secs(60);

/// How often it is tried to write without a rest: on a busy machine a writer may be held up for so long
/// that its file settles, which shows nothing.
const TRIES: usize = 10;

fn settings(folder: &Path) -> WatchSettings {
    let rescan = Duration::from_secs(1);
    let (plugin_bytes_max, tasks) = (BYTES_MAX, Tasks::default());
    WatchSettings { folder: folder.to_owned(), settle: SETTLE, rescan, plugin_bytes_max, tasks }
}

/// A folder that is watched, and what was told of it.
struct Watched {
    folder: PathBuf,
    watch: Watch,
    place: tempfile::TempDir,
}

impl Watched {
    /// Watches a folder with `files`, each with its name as content.
    fn with(files: &[&str]) -> Self {
        Self::with_settle(files, SETTLE)
    }

    fn with_settle(files: &[&str], settle: Duration) -> Self {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("plugins");
        std::fs::create_dir(&folder).unwrap();
        for file in files {
            std::fs::write(folder.join(file), file).unwrap();
        }
        let (watch, changes) = Watch::open(WatchSettings { settle, ..settings(&folder) }).unwrap();
        let expected: Vec<String> = files.iter().map(|file| format!("{file}: {file}")).collect();
        assert_eq!(changes.into_iter().map(told).collect::<Vec<_>>(), expected);
        Self { folder, watch, place }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// A path outside the folder, on the same file system.
    fn aside(&self, file: &str) -> PathBuf {
        self.place.path().join(file)
    }

    /// Writes a file that is there whole, or not at all.
    fn write(&self, file: &str, content: &str) {
        std::fs::write(self.aside("written"), content).unwrap();
        std::fs::rename(self.aside("written"), self.path(file)).unwrap();
    }

    fn permit(&self, file: &str, mode: u32) {
        std::fs::set_permissions(self.path(file), Permissions::from_mode(mode)).unwrap();
    }

    async fn batch(&mut self) -> Vec<String> {
        let changes = tokio::time::timeout(LONG, self.watch.next()).await.expect("nothing was told").unwrap();
        assert!(!changes.is_empty());
        changes.into_iter().map(told).collect()
    }

    /// These are told next, and nothing else.
    async fn expect(&mut self, expected: &[&str]) {
        let mut found = Vec::new();
        while found.len() < expected.len() {
            found.extend(self.batch().await);
        }
        found.sort();
        assert_eq!(found, expected);
    }

    /// Nothing is told of what was done so far.
    async fn expect_nothing(&mut self) {
        self.write("sentinel.wasm", "here");
        self.expect(&["sentinel.wasm: here"]).await;
        std::fs::remove_file(self.path("sentinel.wasm")).unwrap();
        self.expect(&["sentinel.wasm gone"]).await;
    }
}

/// Writes over the content of a file, which is as long, in place and at once.
fn overwrite(path: &Path, content: &str) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(content.as_bytes(), 0).unwrap();
}

/// How long a writer may rest so that its file does not settle. The times of files are coarse.
fn restless(settle: Duration) -> Duration {
    settle - Duration::from_millis(20)
}

/// Writes `.` again and again, after so long a pause, while `goes_on`. Says how long it has rested at
/// the most.
fn write_slowly(path: &Path, pause: Duration, mut goes_on: impl FnMut() -> bool) -> Duration {
    let (mut last, mut rest) = (Instant::now(), Duration::ZERO);
    let mut file = File::create(path).unwrap();
    while goes_on() {
        let begun = Instant::now();
        file.write_all(b".").unwrap();
        rest = rest.max(last.elapsed());
        last = begun;
        std::thread::sleep(pause);
    }
    rest
}

fn told(change: Change) -> String {
    match change {
        Change::Found { file, bytes } => format!("{file}: {}", String::from_utf8(bytes).unwrap()),
        Change::Unreadable { file, bytes, reason } => format!("{file} {} {bytes}", reason.code()),
        Change::Gone { file } => format!("{file} gone"),
    }
}

#[tokio::test]
async fn what_is_there_is_told_at_once_and_missing_folders_are_made() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("not/yet");
    let (watch, changes) = Watch::open(settings(&folder)).unwrap();
    assert!(changes.is_empty() && folder.is_dir());
    drop(watch);

    std::fs::write(place.path().join("file"), "").unwrap();
    assert!(Watch::open(settings(&place.path().join("file"))).is_err());

    Watched::with(&["a.wasm", "b.wasm"]).expect_nothing().await;
}

#[tokio::test]
async fn files_come_change_and_go() {
    // A copy may be held up before there is something in it.
    let mut watched = Watched::with_settle(&["old.wasm"], Duration::from_secs(1));
    std::fs::copy(watched.path("old.wasm"), watched.path("copied.wasm")).unwrap();
    watched.expect(&["copied.wasm: old.wasm"]).await;

    std::fs::write(watched.aside("whole"), "moved").unwrap();
    std::fs::rename(watched.aside("whole"), watched.path("old.wasm")).unwrap();
    watched.expect(&["old.wasm: moved"]).await;

    overwrite(&watched.path("old.wasm"), "other");
    watched.expect(&["old.wasm: other"]).await;

    std::fs::remove_file(watched.path("old.wasm")).unwrap();
    watched.expect(&["old.wasm gone"]).await;

    watched.write("old.wasm", "other");
    watched.expect(&["old.wasm: other"]).await;
}

#[tokio::test]
async fn a_new_name_is_told_together_with_the_end_of_the_old_one() {
    let mut watched = Watched::with(&["a.wasm"]);
    std::fs::rename(watched.path("a.wasm"), watched.path("b.wasm")).unwrap();
    assert_eq!(watched.batch().await, ["a.wasm gone", "b.wasm: a.wasm"]);
}

#[tokio::test]
async fn a_file_that_is_written_slowly_comes_once_and_whole() {
    let settle = Duration::from_millis(600);
    for _ in 0..TRIES {
        let mut watched = Watched::with_settle(&[], settle);
        let path = watched.path("slow.wasm");
        let mut pieces = 0..10;
        let writer =
            std::thread::spawn(move || write_slowly(&path, Duration::from_millis(100), || pieces.next().is_some()));
        let found = watched.batch().await;
        if writer.join().unwrap() < restless(settle) {
            assert_eq!(found, ["slow.wasm: .........."]);
            return watched.expect_nothing().await;
        }
    }
    panic!("the writer was held up each time: this shows nothing");
}

#[tokio::test]
async fn the_same_bytes_again_are_no_change() {
    let mut watched = Watched::with(&["a.wasm"]);
    overwrite(&watched.path("a.wasm"), "a.wasm");
    watched.expect_nothing().await;
    watched.write("a.wasm", "a.wasm");
    watched.expect_nothing().await;
}

#[tokio::test]
async fn the_time_of_a_file_proves_nothing() {
    let mut watched = Watched::with(&["a.wasm"]);
    let modified = std::fs::metadata(watched.path("a.wasm")).unwrap().modified().unwrap();
    let file = File::options().write(true).open(watched.path("a.wasm")).unwrap();
    (&file).write_all(b"b").unwrap();
    file.set_modified(modified).unwrap();
    drop(file);
    watched.expect(&["a.wasm: b.wasm"]).await;
}

#[tokio::test]
async fn a_link_to_another_file_is_a_change() {
    let mut watched = Watched::with(&[]);
    for version in ["v1", "v2"] {
        std::fs::create_dir(watched.path(version)).unwrap();
        std::fs::write(watched.path(version).join("p.wasm"), version).unwrap();
    }
    symlink("v1", watched.path("..data")).unwrap();
    symlink("..data/p.wasm", watched.path("p.wasm")).unwrap();
    watched.expect(&["p.wasm: v1"]).await;

    symlink("v2", watched.path("..data_tmp")).unwrap();
    std::fs::rename(watched.path("..data_tmp"), watched.path("..data")).unwrap();
    watched.expect(&["p.wasm: v2"]).await;

    // No event tells of this one.
    std::fs::write(watched.aside("elsewhere"), "v3").unwrap();
    symlink(watched.aside("elsewhere"), watched.path("q.wasm")).unwrap();
    watched.expect(&["q.wasm: v3"]).await;
    overwrite(&watched.aside("elsewhere"), "v4");
    watched.expect(&["q.wasm: v4"]).await;

    std::fs::remove_file(watched.aside("elsewhere")).unwrap();
    watched.expect(&["q.wasm plugin_unreadable 0"]).await;
    std::fs::remove_file(watched.path("q.wasm")).unwrap();
    watched.expect(&["q.wasm gone"]).await;
}

#[tokio::test]
async fn only_plugins_are_looked_at() {
    let mut watched = Watched::with(&[]);
    for file in [".a.wasm", ".wasm", "a.wasm~", "a.wasm.part", "a.wasm.tmp", "a.txt", "wasm"] {
        watched.write(file, file);
    }
    watched.expect_nothing().await;
    std::fs::rename(watched.path("a.wasm.part"), watched.path("a.wasm")).unwrap();
    watched.expect(&["a.wasm: a.wasm.part"]).await;
}

#[tokio::test]
async fn what_can_not_be_read_is_told_once_until_it_can() {
    let mut watched = Watched::with(&["secret.wasm"]);
    std::fs::create_dir(watched.path("folder.wasm")).unwrap();
    watched.expect(&["folder.wasm plugin_unreadable 0"]).await;
    watched.expect_nothing().await;
    std::fs::remove_dir(watched.path("folder.wasm")).unwrap();
    watched.expect(&["folder.wasm gone"]).await;

    let large = "x".repeat(BYTES_MAX + 1);
    watched.write("large.wasm", &large);
    watched.expect(&["large.wasm plugin_too_large 65537"]).await;
    watched.expect_nothing().await;
    watched.write("large.wasm", &large[1..]);
    watched.expect(&[&format!("large.wasm: {}", &large[1..])]).await;

    watched.permit("secret.wasm", 0);
    if std::fs::read(watched.path("secret.wasm")).is_ok() {
        return; // Whoever runs this may read everything.
    }
    watched.expect(&["secret.wasm plugin_unreadable 11"]).await;
    watched.expect_nothing().await;
    watched.permit("secret.wasm", 0o600);
    watched.expect(&["secret.wasm: secret.wasm"]).await;
}

#[tokio::test]
async fn a_folder_that_is_away_takes_no_file_with_it() {
    let mut watched = Watched::with(&["a.wasm", "b.wasm"]);
    for _ in 0..2 {
        std::fs::rename(&watched.folder, watched.aside("away")).unwrap();
        std::thread::sleep(SETTLE * 10);
        std::fs::rename(watched.aside("away"), &watched.folder).unwrap();
        watched.expect_nothing().await;
    }

    std::fs::remove_dir_all(&watched.folder).unwrap();
    std::thread::sleep(SETTLE * 10);
    let new = watched.aside("new");
    std::fs::create_dir(&new).unwrap();
    std::fs::write(new.join("b.wasm"), "new").unwrap();
    std::fs::rename(new, &watched.folder).unwrap();
    watched.expect(&["a.wasm gone", "b.wasm: new"]).await;
    watched.expect_nothing().await;
}

#[tokio::test]
async fn many_files_at_once_come_once_each() {
    let mut watched = Watched::with(&[]);
    let files: Vec<String> = (100..200).map(|number| format!("{number}.wasm")).collect();
    for file in &files {
        watched.write(file, "many");
    }
    let expected: Vec<String> = files.iter().map(|file| format!("{file}: many")).collect();
    watched.expect(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    watched.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_never_rests_holds_up_no_other() {
    let settle = Duration::from_millis(300);
    for _ in 0..TRIES {
        let mut watched = Watched::with_settle(&[], settle);
        let stop = AtomicBool::new(false);
        let path = watched.path("restless.wasm");
        let (found, rest) = std::thread::scope(|scope| {
            let (path, stop) = (&path, &stop);
            let pause = Duration::from_millis(10);
            let writer = scope.spawn(move || write_slowly(path, pause, || !stop.load(Ordering::Relaxed)));
            watched.write("calm.wasm", "calm");
            let runtime = tokio::runtime::Handle::current();
            let found = tokio::task::block_in_place(|| runtime.block_on(watched.batch()));
            stop.store(true, Ordering::Relaxed);
            (found, writer.join().unwrap())
        });
        if rest < restless(settle) {
            assert_eq!(found, ["calm.wasm: calm"]);
            assert!(watched.batch().await[0].starts_with("restless.wasm: ..."));
            return;
        }
    }
    panic!("the writer was held up each time: this shows nothing");
}

/// A version of the file: all its bytes tell which one it is.
fn version(number: u8) -> Vec<u8> {
    vec![number; 50_000 + usize::from(number)]
}

#[tokio::test]
async fn no_version_is_ever_taken_half() {
    const LAST: u8 = 200;
    let settle = Duration::from_millis(150);
    let mut watched = Watched::with_settle(&[], settle);
    let (path, aside) = (watched.path("p.wasm"), watched.aside("p"));
    // Gives those whose writing was held up, so that half of them settled.
    let writer = std::thread::spawn(move || {
        let mut held_up = BTreeSet::new();
        for number in 1..=LAST {
            if number % 2 == 0 {
                std::fs::write(&aside, version(number)).unwrap();
                std::fs::rename(&aside, &path).unwrap();
            } else {
                let begun = Instant::now();
                let mut file = File::create(&path).unwrap();
                for piece in version(number).chunks(10_000) {
                    file.write_all(piece).unwrap();
                }
                if begun.elapsed() >= restless(settle) {
                    held_up.insert(number);
                }
            }
            let pause = if number % 32 < 2 { 300 } else { u64::from(number) % 10 };
            std::thread::sleep(Duration::from_millis(pause));
        }
        held_up
    });
    // Which version each of those is that were half there.
    let mut halves = Vec::new();
    let mut last = 0;
    let mut count = 0;
    while last != LAST {
        let changes = tokio::time::timeout(LONG, watched.watch.next()).await.expect("nothing was told").unwrap();
        for change in changes {
            let Change::Found { bytes, .. } = change else { panic!("{change:?}") };
            count += 1;
            let Some(&number) = bytes.first() else {
                halves.push(last + 1..=LAST);
                continue;
            };
            if bytes != version(number) {
                halves.push(number..=number);
            }
            assert!(number > last || halves.contains(&(last..=number)), "{number} after {last}");
            last = number;
        }
    }
    let held_up = writer.join().unwrap();
    let is_held_up = |half: &RangeInclusive<u8>| held_up.range(half.clone()).next().is_some();
    assert!(halves.iter().all(is_held_up), "halves of {halves:?}, where {held_up:?} were held up");
    assert!(count > 3, "only {count} versions were seen");
    watched.expect_nothing().await;
}
