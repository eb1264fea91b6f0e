//! The program's memory allocator, told to be frugal.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Memory that all threads share; glibc has up to eight a core by default.
const ARENAS: &str = "2";

/// Starts this program anew, as the same process with the same arguments, so that its
/// threads share a few arenas of glibc. Each arena grows to what its threads needed at
/// worst and gives little back, so many of them make memory grow for hours. glibc reads
/// its settings from the environment alone, before `main`.
///
/// Does nothing where there is no glibc or somebody has set it already; and if the
/// program can't be started anew, it simply goes on.
pub fn with_few_arenas() {
    let is_glibc = cfg!(all(target_os = "linux", target_env = "gnu"));
    let is_set = ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"].iter().any(|name| std::env::var_os(name).is_some());
    if !is_glibc || is_set {
        return;
    }
    // By its path and not as /proc/self/exe, so that it keeps its name among processes.
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    drop(command.args(arguments).env("MALLOC_ARENA_MAX", ARENAS).exec());
}
