//! Who folds what, where several hosts share the database. Pure.

use std::collections::{BTreeMap, BTreeSet};

use model::change::VersionId;
use projection::{Granted, UnitId};
use read_model::{Look, Unit};

/// After so many looks at which nobody had it, a partition is taken by whoever can: those whose
/// turn it would be may lack its plugin.
const LOOKS_FREE_MAX: u32 = 3;

/// How often each partition was found to be nobody's.
pub(super) type Free = BTreeMap<UnitId, u32>;

/// What host `own` may fold, of versions that it `can_run`. Each takes its share of what is
/// free, and gives away only what is beyond its share: so all have about the same, and nothing
/// goes to and fro.
pub(super) fn balance(look: &Look, own: &str, can_run: impl Fn(&VersionId) -> bool, free: &mut Free) -> Granted {
    let is_mine = |unit: &&Unit| unit.owner.as_ref().is_some_and(|(owner, _)| owner == own);
    let is_free = |unit: &&Unit| unit.owner.is_none();
    *free =
        look.units.iter().filter(is_free).map(|unit| (id_of(unit), free.get(&id_of(unit)).unwrap_or(&0) + 1)).collect();
    if look.hosts <= 1 && look.units.iter().all(|unit| is_mine(&unit) || is_free(&unit)) {
        return Granted::All;
    }
    let share = look.units.len().div_ceil(look.hosts.max(1) as usize);
    let mut mine: Vec<&Unit> = look.units.iter().filter(is_mine).collect();
    mine.sort_by_key(|unit| order(own, unit));
    mine.truncate(share);
    let mut granted: BTreeSet<UnitId> = mine.into_iter().map(id_of).collect();
    let mut others: Vec<&Unit> = look.units.iter().filter(is_free).filter(|unit| can_run(&unit.id)).collect();
    others.sort_by_key(|unit| order(own, unit));
    for unit in others {
        let is_left_over = free.get(&id_of(unit)).is_some_and(|&looks| looks > LOOKS_FREE_MAX);
        if granted.len() < share || is_left_over {
            granted.insert(id_of(unit));
        }
    }
    Granted::Some(granted)
}

fn id_of(unit: &Unit) -> UnitId {
    (unit.id.clone(), unit.partition)
}

/// Each host has an order of its own, so that they rarely reach for the same.
fn order(own: &str, unit: &Unit) -> u64 {
    let text = format!("{own} {} {}", unit.id, unit.partition);
    // FNV-1a: the same on every machine.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::event::Position;

    /// Owners of partitions, by letter; `.` is nobody.
    fn look(hosts: u32, owners: &str) -> Look {
        let unit = |(number, owner): (u32, char)| Unit {
            id: VersionId { projection: "lamp".parse().expect("a name"), version: 1, generation: 1 },
            partition: number,
            owner: (owner != '.').then(|| (owner.to_string(), format!("host {owner}"))),
            epoch: 1,
            building: false,
            position: Position(0),
            trouble: None,
        };
        Look { revision: 0, hosts, units: (0..).zip(owners.chars()).map(unit).collect() }
    }

    fn granted(look: &Look, own: &str) -> usize {
        match balance(look, own, |_| true, &mut Free::new()) {
            Granted::All => look.units.len(),
            Granted::Some(units) => units.len(),
        }
    }

    #[test]
    fn one_host_has_all() {
        assert_eq!(balance(&look(1, "..a."), "a", |_| true, &mut Free::new()), Granted::All);
        assert_eq!(granted(&look(1, ""), "a"), 0);
    }

    #[test]
    fn each_has_its_share() {
        assert_eq!(granted(&look(2, "aaaa"), "a"), 2, "it gives half away");
        assert_eq!(granted(&look(2, "aaaa"), "b"), 0, "which is not free yet");
        assert_eq!(granted(&look(2, "aa.."), "b"), 2);
        assert_eq!(granted(&look(2, "aaabb"), "a"), 3, "one more than the other is no reason to move");
        assert_eq!(granted(&look(2, "aaabb"), "b"), 2);
        assert_eq!(granted(&look(3, "ab.cc."), "a"), 2);
        assert_eq!(granted(&look(2, "a"), "b"), 0);
        // One is dead: its partitions are free, and the share of the others grows.
        assert_eq!(granted(&look(2, "aa..bb"), "a"), 3);
    }

    #[test]
    fn what_nobody_takes_is_taken_in_the_end() {
        let mut free = Free::new();
        let there = look(2, "aa.");
        let can_run = |_: &VersionId| true;
        let mut counts = Vec::new();
        for _ in 0..5 {
            let Granted::Some(units) = balance(&there, "a", can_run, &mut free) else { panic!("there are two") };
            counts.push(units.len());
        }
        assert_eq!(counts, [2, 2, 2, 3, 3]);
        let Granted::Some(units) = balance(&there, "b", |_| false, &mut Free::new()) else { panic!("there are two") };
        assert!(units.is_empty(), "it has not the plugin");
    }
}
