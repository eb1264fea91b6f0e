//! A small disk that can be full: a file system in memory, which only root can mount.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small disk, until it is dropped.
pub(crate) struct Disk {
    /// Where it is mounted.
    folder: tempfile::TempDir,
}

impl Disk {
    /// One of so many MiB; none if this user can't mount any.
    pub(crate) fn of_mib(size: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let options = format!("size={size}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "fantascope-test"]).arg(folder.path());
        let is_mounted = mount.output().is_ok_and(|done| done.status.success());
        if !is_mounted {
            println!("skipped: this user can mount no disk");
        }
        is_mounted.then_some(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Fills it, but for what a page of SQLite may take.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut filler = std::fs::File::create(&path).expect("a file");
        for piece in [1 << 20, 1 << 10] {
            while filler.write_all(&vec![1; piece]).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever has a file open on it keeps it for as long.
        drop(Command::new("umount").arg("-l").arg(self.path()).output());
    }
}
