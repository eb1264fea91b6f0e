//! Which version somebody means.

use super::Fault;
use super::deployments::those_there_are;
use model::change::{Label, VersionId};
use read_model::VersionRecord;

/// The version that `label` names: of several builds of one version the live one, else the latest.
fn pick(versions: &[VersionRecord], label: Label, exact: bool) -> Result<VersionRecord, Fault> {
    let fits = |known: &&VersionRecord| {
        known.id.version == label.version && (!exact || known.id.generation == label.generation)
    };
    let found =
        versions.iter().filter(fits).max_by_key(|known| (known.live, known.as_of.is_none(), known.id.generation));
    found.cloned().ok_or_else(|| {
        let known: Vec<String> = versions.iter().map(|known| known.id.label().to_string()).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let label = if exact { label.to_string() } else { format!("v{}", label.version) };
        let name = versions.first().map(|known| known.id.projection.to_string()).unwrap_or_default();
        Fault::UnknownVersion { name, label, known: those_there_are(&known) }
    })
}

/// Which version somebody means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub(super) label: Label,
    /// Whether a build of it was named.
    pub(super) exact: bool,
}

impl std::str::FromStr for Wanted {
    type Err = String;
    /// `2`, `v2`, or with the build `v2g3`.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a version such as 2, v2 or v2g3");
        let rest = text.strip_prefix('v').unwrap_or(text);
        let (version, generation) = rest.split_once('g').map_or((rest, None), |(one, two)| (one, Some(two)));
        let number = |digits: &str| digits.parse::<u32>().ok().filter(|&number| number > 0).ok_or_else(bad);
        let label = Label { version: number(version)?, generation: generation.map_or(Ok(1), number)? };
        Ok(Self { label, exact: generation.is_some() })
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.exact {
            write!(f, "v{}g{}", self.label.version, self.label.generation)
        } else {
            write!(f, "{}", self.label.version)
        }
    }
}

impl Wanted {
    /// Whether `id` may be meant.
    #[must_use]
    pub fn fits(&self, id: &VersionId) -> bool {
        id.version == self.label.version && (!self.exact || id.generation == self.label.generation)
    }

    pub(super) fn pick(self, versions: &[VersionRecord]) -> Result<VersionRecord, Fault> {
        pick(versions, self.label, self.exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_which_version_is_meant() {
        for (text, expected) in
            [("2", (2, 1, false)), ("v2", (2, 1, false)), ("v2g3", (2, 3, true)), ("2g1", (2, 1, true))]
        {
            let wanted: Wanted = text.parse().expect(text);
            assert_eq!((wanted.label.version, wanted.label.generation, wanted.exact), expected, "{text}");
        }
        for bad in ["", "v", "0", "v0", "v1g0", "v1g", "g1", "one", "-1", "v1g1g1"] {
            assert!(bad.parse::<Wanted>().is_err(), "{bad}");
        }
    }
}
