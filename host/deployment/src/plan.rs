//! What is to be done with a plugin, given what there is. Pure.

use super::Fault;
use model::change::{Digest, Manifest, VersionId};
use read_model::{State, VersionRecord, difference};

/// What is to be done with a projection that was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// These bytes run this version already.
    Keep(VersionId),
    /// Other bytes for a version that there is.
    Swap(VersionId),
    /// A new version.
    Build,
}

/// What to do with a projection that declares `manifest`, where `known` are all its versions.
pub(super) fn plan(manifest: &Manifest, digest: Digest, known: &[VersionRecord]) -> Result<Plan, Fault> {
    let standing = || known.iter().filter(|known| known.state != State::Retired && known.as_of.is_none());
    let live = standing().find(|known| known.live);
    let same = standing().filter(|known| known.id.version == manifest.version);
    // Of several builds of a version the one that is live counts, else the latest.
    let same = same.max_by_key(|known| (known.live, known.id.generation));
    if let Some(same) = same {
        same.expect_known()?;
    }
    match (same, live) {
        (Some(same), _) if same.digest == digest => Ok(Plan::Keep(same.id.clone())),
        (Some(same), _) => match difference(&same.tables, &manifest.tables) {
            Some(difference) => Err(Fault::TablesChanged { id: same.id.clone(), difference }),
            None => Ok(Plan::Swap(same.id.clone())),
        },
        (None, Some(live)) if manifest.version < live.id.version => {
            Err(Fault::Lower { version: manifest.version, live: live.id.clone() })
        }
        (None, _) => Ok(Plan::Build),
    }
}

/// The version to go back to: the highest of those that were live and are lower than the live one.
pub(super) fn way_back(known: &[VersionRecord]) -> Result<VersionId, Fault> {
    let name = known.first().map(|known| known.id.projection.to_string()).unwrap_or_default();
    let nothing = |reason: &str| Fault::NothingToRollBackTo { name: name.clone(), reason: reason.to_owned() };
    let live = known.iter().find(|known| known.live).ok_or_else(|| nothing("no version is live"))?;
    let was_live = |known: &&VersionRecord| {
        known.live_from.is_some() && known.state.is_standing() && known.as_of.is_none() && known.id < live.id
    };
    known.iter().filter(was_live).map(|known| known.id.clone()).max().ok_or_else(|| {
        nothing(if known.iter().any(|known| known.state == State::Retired && known.live_from.is_some()) {
            "those that were live before are retired; deploy.keep_previous says how long they are kept"
        } else {
            "no other version was live before"
        })
    })
}

/// The version to promote if none is named: the highest that waits for it.
pub(super) fn next_live(known: &[VersionRecord]) -> Result<VersionId, Fault> {
    let live = known.iter().find(|known| known.live);
    let waits = |known: &&VersionRecord| {
        known.state.is_standing() && known.as_of.is_none() && live.is_none_or(|live| known.id > live.id)
    };
    known.iter().filter(waits).map(|known| known.id.clone()).max().ok_or_else(|| Fault::NothingToPromote {
        name: known.first().map(|known| known.id.projection.to_string()).unwrap_or_default(),
        reason: "none is higher than the live one".to_owned(),
    })
}

/// The version to give up if none is named: the only one that is being built, or waits to be promoted.
pub(super) fn to_give_up(known: &[VersionRecord]) -> Result<VersionId, Fault> {
    let name = known.first().map(|known| known.id.projection.to_string()).unwrap_or_default();
    let waits = |known: &VersionRecord| {
        known.state == State::Ready && known.as_of.is_none() && known.live_from.is_none() && !known.live
    };
    let is_beside = |known: &&VersionRecord| (known.state == State::Building && !known.live) || waits(known);
    let beside: Vec<&VersionRecord> = known.iter().filter(is_beside).collect();
    match beside.as_slice() {
        [only] => Ok(only.id.clone()),
        [] => Err(Fault::Invalid {
            reason: format!(
                "nothing of `{name}` is being built or waits to be promoted: name the version to drop another one"
            ),
        }),
        several => {
            let one = |known: &&VersionRecord| {
                let state = if waits(known) { "waits to be promoted" } else { "is being built" };
                format!("{} {state}", known.id.label())
            };
            let several: Vec<String> = several.iter().map(one).collect();
            Err(Fault::Invalid { reason: format!("name the version of `{name}` to cancel: {}", several.join(", ")) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::change::{ColumnDefinition, ColumnType, Subscription, TableDefinition};
    use model::event::{Position, Timestamp};
    use read_model::Promote;

    fn tables(columns: &[&str]) -> Vec<TableDefinition> {
        let column = |name: &&str| ColumnDefinition {
            name: name.parse().expect("a name"),
            of_type: ColumnType::Text,
            nullable: false,
        };
        let columns = columns.iter().map(column).collect();
        let name = "rows".parse().expect("a name");
        vec![TableDefinition { name, columns, key_columns: 1, keyed_by_aggregate: false, indexes: Vec::new() }]
    }

    fn manifest(version: u32, columns: &[&str]) -> Manifest {
        let name = "lamp".parse().expect("a name");
        Manifest {
            sdk: String::new(),
            name,
            version,
            subscription: Subscription::All,
            tables: tables(columns),
            replayable: false,
        }
    }

    /// `v2g1 ready live`, folded by digest 2.
    fn known(text: &str) -> VersionRecord {
        let (label, rest) = text.split_once(' ').expect("a label and more");
        let (version, generation) = label[1..].split_once('g').expect("version and generation");
        let version = version.parse().expect("a number");
        let was_live = rest.contains("live");
        VersionRecord {
            id: VersionId {
                projection: "lamp".parse().expect("a name"),
                version,
                generation: generation.parse().expect("a number"),
            },
            digest: Digest([u8::try_from(version).expect("small"); 32]),
            tables: tables(&["id"]),
            created_at: Timestamp(0),
            state: if rest.contains("retired") {
                State::Retired
            } else if rest.contains("frozen") {
                State::Foreign("the state `frozen`".to_owned())
            } else if rest.contains("building") {
                State::Building
            } else {
                State::Ready
            },
            paused: false,
            live: rest.ends_with(" live"),
            promote: Promote::Manual,
            built_until: Position(0),
            as_of: rest.contains("past").then_some(Position(1)),
            live_from: was_live.then_some(Timestamp(1)),
            live_to: rest.contains("was-live").then_some(Timestamp(2)),
            upcasters: 0,
            workers: None,
            checkpoints: Vec::new(),
            checkpoint_at: Timestamp(0),
        }
    }

    #[test]
    fn knows_what_to_do_with_a_plugin() {
        let check = |versions: &[&str], version: u32, digest: u8, columns: &[&str], expected: &str| {
            let known: Vec<VersionRecord> = versions.iter().map(|text| known(text)).collect();
            let found = match plan(&manifest(version, columns), Digest([digest; 32]), &known) {
                Ok(Plan::Keep(id)) => format!("keep {}", id.label()),
                Ok(Plan::Swap(id)) => format!("swap {}", id.label()),
                Ok(Plan::Build) => "build".to_owned(),
                Err(fault) => fault.code().to_owned(),
            };
            assert_eq!(found, expected, "v{version} beside {versions:?}");
        };
        check(&[], 1, 1, &["id"], "build");
        check(&["v1g1 ready live"], 1, 1, &["id"], "keep v1");
        check(&["v1g1 ready live"], 1, 9, &["id"], "swap v1");
        check(&["v1g1 ready live"], 1, 9, &["id", "more"], "tables_changed");
        check(&["v1g1 ready live"], 2, 2, &["id", "more"], "build");
        check(&["v2g1 ready live"], 1, 1, &["id"], "version_lower");
        check(&["v1g1 ready was-live", "v2g1 ready live"], 1, 1, &["id"], "keep v1");
        check(&["v1g1 ready was-live", "v1g2 ready live"], 1, 9, &["id"], "swap v1g2");
        check(&["v1g1 ready live", "v1g2 building"], 1, 9, &["id"], "swap v1");
        check(&["v1g1 retired was-live", "v2g1 ready live"], 1, 1, &["id"], "version_lower");
        check(&["v1g1 ready live", "v2g1 building"], 3, 3, &["id"], "build");
        check(&["v1g1 ready live", "v1g2 past ready"], 1, 9, &["id"], "swap v1");
        check(&["v1g1 frozen live"], 1, 1, &["id"], "version_unknown_here");
        check(&["v2g1 frozen live"], 1, 1, &["id"], "version_lower");
        check(&["v2g1 frozen live"], 3, 3, &["id"], "build");
    }

    #[test]
    fn knows_what_is_given_up() {
        let check = |versions: &[&str], expected: Result<&str, &str>| {
            let known: Vec<VersionRecord> = versions.iter().map(|text| known(text)).collect();
            match (to_give_up(&known), expected) {
                (Ok(id), Ok(label)) => assert_eq!(id.label().to_string(), label, "{versions:?}"),
                (Err(fault), Err(reason)) => assert!(fault.to_string().contains(reason), "{versions:?}: {fault}"),
                (found, _) => panic!("{versions:?}: {found:?}"),
            }
        };
        check(&["v1g1 ready live", "v2g1 building"], Ok("v2"));
        check(&["v1g1 ready live", "v2g1 ready"], Ok("v2"));
        check(&["v1g1 ready live", "v1g2 past building"], Ok("v1g2"));
        check(&["v1g1 building live"], Err("nothing of `lamp` is being built or waits to be promoted"));
        check(&["v1g1 ready was-live", "v2g1 ready live", "v2g2 past ready"], Err("name the version to drop another"));
        check(
            &["v1g1 ready live", "v2g1 ready", "v3g1 building"],
            Err("name the version of `lamp` to cancel: v2 waits to be promoted, v3 is being built"),
        );
    }

    #[test]
    fn knows_the_way_back_and_forth() {
        let check = |versions: &[&str], back: &str, forth: &str| {
            let known: Vec<VersionRecord> = versions.iter().map(|text| known(text)).collect();
            let said = |found: Result<VersionId, Fault>| match found {
                Ok(id) => id.label().to_string(),
                Err(fault) => fault.code().to_owned(),
            };
            assert_eq!(
                (said(way_back(&known)).as_str(), said(next_live(&known)).as_str()),
                (back, forth),
                "{versions:?}"
            );
        };
        let (none, nowhere) = ("nothing_to_promote", "nothing_to_roll_back_to");
        check(&["v1g1 ready live"], nowhere, none);
        check(&["v1g1 ready live", "v2g1 ready"], nowhere, "v2");
        check(&["v1g1 ready was-live", "v2g1 ready live"], "v1", none);
        check(&["v1g1 ready live", "v2g1 ready was-live"], nowhere, "v2");
        check(&["v1g1 ready was-live", "v1g2 ready was-live", "v2g1 ready live"], "v1g2", none);
        check(&["v1g1 retired was-live", "v2g1 ready live"], nowhere, none);
        check(&["v1g1 past ready", "v2g1 ready live", "v2g2 past ready"], nowhere, none);
        check(&["v1g1 frozen was-live", "v2g1 ready live", "v3g1 frozen"], nowhere, none);
    }
}
