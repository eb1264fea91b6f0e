//! What is wrong with settings, all of it.

use super::Origin;

/// A setting that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `section.key`; empty if the whole file is at fault.
    pub key: String,
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        write!(f, "({}): {}", self.origin, self.reason)
    }
}

/// Everything that is wrong with the settings; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", summary(.0))]
pub struct Faults(pub Vec<Fault>);

fn summary(faults: &[Fault]) -> String {
    let count = match faults.len() {
        1 => "a setting cannot be used".to_owned(),
        count => format!("{count} settings cannot be used"),
    };
    let lines: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
    format!("{count}{}", lines.concat())
}
