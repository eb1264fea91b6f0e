//! The process that a host is: how another one on the same machine can tell that it is gone.

use read_model::Identity;

/// The identity of this process; `name` is for people.
pub(super) fn identity(name: &str) -> Identity {
    Identity {
        name: name.to_owned(),
        machine: machine().unwrap_or_else(|| "unknown".to_owned()),
        process: own().unwrap_or_else(|| "unknown".to_owned()),
    }
}

/// A name for people: the machine's, and the number of the process.
pub(super) fn default_name() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = machine.trim();
    format!("{}/{}", if machine.is_empty() { "host" } else { machine }, std::process::id())
}

/// Whether the process of `other` certainly has ended. Only that of a process on this machine
/// can be told.
pub(super) fn is_gone(other: &Identity) -> bool {
    // As between machines, for tests: there is nothing but the lease then.
    #[cfg(feature = "fault-injection")]
    if std::env::var("FANTASCOPE_FAULT").is_ok_and(|fault| fault == "blind") {
        return false;
    }
    // Where processes of other users are hidden, those that live look as if they were gone.
    let sees_all = began_at(1).is_some();
    if !sees_all || machine().is_none_or(|machine| machine != other.machine) {
        return false;
    }
    let Some((number, began)) = other.process.split_once('@') else { return false };
    let Ok(number) = number.parse() else { return false };
    began_at(number).is_none_or(|found| found != began)
}

/// This run of the machine, and which of its processes can be seen from here.
fn machine() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let processes = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), processes.display()))
}

fn own() -> Option<String> {
    let number = std::process::id();
    Some(format!("{number}@{}", began_at(number)?))
}

/// When process `number` began, in ticks since the machine did; none if there is none.
fn began_at(number: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name of the program, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let state = fields.split_whitespace().next()?;
    // One that has ended and whose parent has not looked yet.
    if state == "Z" || state == "X" {
        return None;
    }
    fields.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_living_from_the_dead() {
        let own = identity("a");
        assert!(!is_gone(&own));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a process");
        let process = format!("{}@{}", child.id(), began_at(child.id()).expect("it runs"));
        let other = Identity { process, ..own.clone() };
        assert!(!is_gone(&other));
        let reused = Identity { process: format!("{}@1", child.id()), ..own.clone() };
        assert!(is_gone(&reused), "its number was given to another one");
        child.kill().expect("killed");
        child.wait().expect("gone");
        assert!(is_gone(&other));
        let elsewhere = Identity { machine: "another".to_owned(), ..other };
        assert!(!is_gone(&elsewhere), "nothing is known of other machines");
    }
}
