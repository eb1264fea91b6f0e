//! Routing: of a batch, the events that a projection wants.
//!
//! Batch in, batch out; no I/O.

use std::sync::Arc;

use model::change::Subscription;
use model::event::Batch;

/// A part of all aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// From 0.
    pub number: u32,
    pub count: u32,
}

impl Partition {
    /// All aggregates.
    pub const WHOLE: Self = Self { number: 0, count: 1 };

    /// Whether all aggregates are in it.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.count == 1
    }

    /// The number of the partition that the aggregate with this id is in. By its id
    /// alone: tables that are keyed by it know no type of aggregate.
    #[must_use]
    pub fn of(self, aggregate_id: &str) -> u32 {
        // FNV-1a: it must be the same after a restart, and on every machine.
        let hash = aggregate_id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        // The low bits of FNV are weak.
        u32::try_from((hash ^ (hash >> 32)) % u64::from(self.count)).unwrap_or(0)
    }

    fn holds(self, aggregate_id: &str) -> bool {
        self.is_whole() || self.of(aggregate_id) == self.number
    }
}

/// The events of `batch` that `subscription` wants and that are in `partition`. Types
/// are decided once each, not per event; if all is wanted, it is the same batch.
#[must_use]
pub fn route(batch: &Arc<Batch>, subscription: &Subscription, partition: Partition) -> Arc<Batch> {
    let wanted: Vec<bool> = batch.types.iter().map(|known| subscription.wants(&known.name)).collect();
    if partition.is_whole() && wanted.iter().all(|&wanted| wanted) {
        return Arc::clone(batch);
    }
    let is_wanted =
        |&(row, &code): &(u32, &u32)| wanted[code as usize] && partition.holds(batch.aggregate_ids.get(row as usize));
    let rows = (0_u32..).zip(&batch.type_codes).filter(is_wanted).map(|(row, _)| row);
    Arc::new(batch.gather(&rows.collect::<Vec<u32>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::event::EventType;

    fn batch() -> Arc<Batch> {
        let named = |name: &str| EventType { name: name.into(), version: 1 };
        let mut batch = Batch { types: vec![named("OrderPlaced"), named("PaymentDue")], ..Batch::default() };
        for (position, code) in [(1, 0), (2, 1), (3, 0)] {
            batch.positions.push(position);
            batch.indexes.push(0);
            batch.ids.extend_from_slice(&[0; 16]);
            batch.type_codes.push(code);
            batch.aggregate_type_codes.push(0);
            batch.aggregate_versions.push(1);
            batch.timestamps.push(0);
            for texts in [
                &mut batch.aggregate_ids,
                &mut batch.user_ids,
                &mut batch.correlation_ids,
                &mut batch.causation_ids,
                &mut batch.metadata,
                &mut batch.data,
            ] {
                texts.push("x");
            }
        }
        Arc::new(batch)
    }

    #[test]
    fn keeps_what_is_wanted_in_order() {
        let check = |subscription: Subscription, expected: &[u64]| {
            assert_eq!(route(&batch(), &subscription, Partition::WHOLE).positions, expected, "{subscription}");
        };
        check(Subscription::All, &[1, 2, 3]);
        check(Subscription::Types(vec!["OrderPlaced".to_owned()]), &[1, 3]);
        check(Subscription::Types(vec!["Order".to_owned()]), &[]);
        check(Subscription::Prefixes(vec!["Order".to_owned()]), &[1, 3]);
    }

    #[test]
    fn copies_nothing_if_all_is_wanted() {
        let batch = batch();
        assert!(Arc::ptr_eq(&batch, &route(&batch, &Subscription::All, Partition::WHOLE)));
    }

    #[test]
    fn every_aggregate_is_in_one_partition() {
        let count = 3;
        let mut sizes = [0; 3];
        for number in 0..3_000 {
            let id = format!("order-{number}");
            let of: Vec<u32> = (0..count).filter(|&number| Partition { number, count }.holds(&id)).collect();
            assert_eq!(of.len(), 1, "{id} is in {of:?}");
            sizes[of[0] as usize] += 1;
        }
        assert!(sizes.iter().all(|size| (800..1_200).contains(size)), "{sizes:?}");
    }
}
