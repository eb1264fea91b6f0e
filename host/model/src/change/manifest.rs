//! What plugins declare of themselves.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::TableDefinition;
use crate::event::EventType;

/// A name that can stand in SQL, in paths and in metrics: `^[a-z][a-z0-9_]{0,62}$`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let first_fits = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if first_fits && text.len() <= 63 && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            let shown: String = text.chars().take(80).collect();
            Err(format!(
                "`{}` is not a name: use a lowercase letter, then up to 62 of a-z, 0-9 and _",
                shown.escape_debug()
            ))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of a plugin's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "a digest is 64 hexadecimal digits".to_owned();
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Which events a projection wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subscription {
    All,
    Prefixes(Vec<String>),
    Types(Vec<String>),
}

impl Subscription {
    /// Whether events of `event_type` are wanted.
    #[must_use]
    pub fn wants(&self, event_type: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefixes(prefixes) => prefixes.iter().any(|prefix| event_type.starts_with(prefix.as_str())),
            Self::Types(types) => types.iter().any(|wanted| wanted == event_type),
        }
    }
}

impl std::fmt::Display for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all events"),
            Self::Prefixes(prefixes) => write!(f, "{}*", prefixes.join("*, ")),
            Self::Types(types) => f.write_str(&types.join(", ")),
        }
    }
}

/// A projection in one of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionId {
    pub projection: Name,
    /// From 1, by the author.
    pub version: u32,
    /// From 1, by the host: how often this version was built.
    pub generation: u32,
}

impl std::fmt::Display for VersionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.projection, self.label())
    }
}

impl VersionId {
    /// `v1`; `v1g2` for the second build of the same version.
    #[must_use]
    pub fn label(&self) -> Label {
        Label { version: self.version, generation: self.generation }
    }
}

/// Which version of a projection, and which build of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    pub version: u32,
    pub generation: u32,
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.generation {
            1 => write!(f, "v{}", self.version),
            generation => write!(f, "v{}g{generation}", self.version),
        }
    }
}

/// What a projection declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Which SDK made the plugin, for people.
    pub sdk: String,
    pub name: Name,
    pub version: u32,
    pub subscription: Subscription,
    pub tables: Vec<TableDefinition>,
    /// Whether folding events once more over rows that hold them gives the same rows.
    pub replayable: bool,
}

impl Manifest {
    /// Whether the host can run it.
    ///
    /// # Errors
    /// The first thing that is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        check_version(self.version)?;
        if self.tables.is_empty() {
            return Err("a projection needs at least one table".to_owned());
        }
        for (number, table) in self.tables.iter().enumerate() {
            table.check()?;
            if self.tables[..number].iter().any(|other| other.name == table.name) {
                return Err(format!("two tables are named `{}`", table.name));
            }
        }
        match &self.subscription {
            Subscription::Types(names) | Subscription::Prefixes(names) if names.is_empty() => {
                Err("it subscribes to no event type, so it would never do anything".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Whether every table is keyed by the aggregate's id, so that events of
    /// different aggregates never touch the same row.
    #[must_use]
    pub fn is_partitioned_by_aggregate(&self) -> bool {
        self.tables.iter().all(|table| table.keyed_by_aggregate)
    }
}

/// One step of an upcaster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub takes: EventType,
    /// Everything that it may give; empty if it drops its events.
    pub gives: Vec<EventType>,
}

/// What an upcaster declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpcasterManifest {
    /// Which SDK made the plugin, for people.
    pub sdk: String,
    pub name: Name,
    pub version: u32,
    pub steps: Vec<Step>,
}

impl UpcasterManifest {
    /// Whether the host can run it.
    ///
    /// # Errors
    /// The first thing that is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        check_version(self.version)?;
        if self.steps.is_empty() {
            return Err("an upcaster needs at least one step".to_owned());
        }
        let mut taken = HashSet::new();
        for step in &self.steps {
            if !taken.insert(&step.takes) {
                return Err(format!("two steps take {}", step.takes));
            }
            if step.gives.contains(&step.takes) {
                return Err(format!("a step takes {0} and gives {0}, which would never end", step.takes));
            }
        }
        Ok(())
    }
}

fn check_version(version: u32) -> Result<(), String> {
    if version == 0 { Err("versions count from 1".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn takes_names_that_sql_does_not_choke_on() {
        for good in ["a", "orders", "order_list_2", &"x".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "Orders", "2nd", "_x", "a-b", "a b", "a\"; DROP TABLE events; --", &"x".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
