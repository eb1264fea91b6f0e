//! Ends a server whose owner is gone.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::kind::Kind;

/// Waits for the end of its input, which is the end of the owner. `$1` is the server's
/// folder, `$2` the signal. A zombie, which nobody may ever reap, has no `exe`.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
read -r _
if pid=$(cat "$1/pid"); then
    kill -s "$2" "$pid"
    tries=50
    while [ "$tries" -gt 0 ] && [ -e "/proc/$pid/exe" ]; do
        sleep 0.1
        tries=$((tries - 1))
    done
    kill -s KILL "$pid"
fi
rm -rf "$1"
"#;

/// A shell that holds the other end of a pipe. The kernel closes the pipe however the
/// owner ends, be it by SIGKILL, and whichever thread started the server; the signal of
/// `prctl(PR_SET_PDEATHSIG)` would come as soon as that thread ends, and would leave the
/// folder behind.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
    /// Holds the id of the process to end.
    file: PathBuf,
}

impl Watchdog {
    pub(super) fn start(kind: Kind, folder: &Path) -> io::Result<Self> {
        let signal = match kind {
            // Ends at once too, but gives shared memory back.
            Kind::Postgres => "QUIT",
            Kind::MariaDb => "KILL",
        };
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "watchdog"]).arg(folder).arg(signal);
        // A group of its own, that neither Ctrl-C nor an end of the tests in time concerns it.
        command.current_dir("/").process_group(0);
        let shell = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { shell, file: folder.join("pid") })
    }

    /// Has it end that process.
    pub(super) fn watch(&self, pid: u32) -> io::Result<()> {
        fs::write(&self.file, pid.to_string())
    }

    /// The process is gone; its id may soon be that of another.
    pub(super) fn forget(&self) {
        drop(fs::remove_file(&self.file));
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}
