//! Routing: of a batch, the events that a projection wants.
//!
//! Level 1: batch in, batch out; no I/O.

use std::sync::Arc;

use crate::change::Subscription;
use crate::event::Batch;

/// The events of `batch` that `subscription` wants. Decided once per type, not per
/// event; if all are wanted, it is the same batch.
#[must_use]
pub fn route(batch: &Arc<Batch>, subscription: &Subscription) -> Arc<Batch> {
    let wanted: Vec<bool> = batch.types.iter().map(|known| subscription.wants(&known.name)).collect();
    if wanted.iter().all(|&wanted| wanted) {
        return Arc::clone(batch);
    }
    let rows = (0_u32..).zip(&batch.type_codes).filter(|&(_, &code)| wanted[code as usize]).map(|(row, _)| row);
    Arc::new(batch.gather(&rows.collect::<Vec<u32>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;

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
            assert_eq!(route(&batch(), &subscription).positions, expected, "{subscription}");
        };
        check(Subscription::All, &[1, 2, 3]);
        check(Subscription::Types(vec!["OrderPlaced".to_owned()]), &[1, 3]);
        check(Subscription::Types(vec!["Order".to_owned()]), &[]);
        check(Subscription::Prefixes(vec!["Order".to_owned()]), &[1, 3]);
    }

    #[test]
    fn copies_nothing_if_all_is_wanted() {
        let batch = batch();
        assert!(Arc::ptr_eq(&batch, &route(&batch, &Subscription::All)));
    }
}
