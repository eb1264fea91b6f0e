//! A server's processes, as the kernel lists them.

use std::fs;
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Sends `signal`. A process that is gone by now is no fault.
pub(super) fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Ends `child` and all processes that it has started, at once, and waits until they are
/// gone. None of them is asked.
pub(super) fn kill_all(child: &mut Child) -> std::io::Result<()> {
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    // A server that stands still starts no more processes.
    send(child.id(), Signal::STOP);
    let children = children(child.id());
    child.kill()?;
    children.iter().for_each(|&pid| send(pid, Signal::KILL));
    child.wait()?;
    while children.iter().any(|&pid| is_alive(pid)) {
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| state(pid).is_some_and(|(_, own)| own == parent)).collect()
}

/// Zombies are none: whether they are reaped is for another process to do.
fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// The state of a process, and its parent: see `proc_pid_stat(5)`.
fn state(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // "PID (NAME) STATE PARENT …", where the name may hold anything.
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}
