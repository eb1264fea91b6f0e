//! A projection that answers with malformed columns: which, the type of the event says.
//! Events of type `Truth` become proper rows.
// There is nothing to it but the component.
#![cfg(target_arch = "wasm32")]

mod lies;
mod table;

use std::cell::RefCell;

use fantascope_sdk::__private::wire::{
    Changes, Events, Failure, Keys, ProjectionGuest, ProjectionManifest, Rows, Subscription,
};

/// What is kept of a batch between `load` and `apply`: which lie to tell, and how many rows.
#[derive(Default)]
struct Loaded {
    lie: String,
    rows: usize,
}

thread_local! {
    static LOADED: RefCell<Loaded> = RefCell::default();
}

struct Liar;

impl ProjectionGuest for Liar {
    fn describe() -> ProjectionManifest {
        ProjectionManifest {
            sdk: "none".to_owned(),
            name: "liar".to_owned(),
            version: 1,
            subscription: Subscription::All,
            tables: vec![table::definition()],
            replayable: false,
        }
    }

    fn load(batch: Events) -> Result<Vec<Keys>, Failure> {
        let name = |code: &u32| batch.types[*code as usize].name.clone();
        let lie = batch.type_codes.iter().map(name).find(|name| name != "Truth").unwrap_or_default();
        let mut keys = vec![table::keys(&batch.positions)];
        lies::in_keys(&lie, &mut keys);
        let rows = keys.first().map_or(0, |keys| keys.count as usize);
        LOADED.set(Loaded { lie, rows });
        Ok(keys)
    }

    fn apply(_: Vec<Rows>) -> Result<Vec<Changes>, Failure> {
        LOADED.with_borrow(|Loaded { lie, rows }| {
            let mut changes = vec![table::changes(*rows)];
            lies::in_changes(lie, &mut changes);
            Ok(changes)
        })
    }
}

#[cfg(target_arch = "wasm32")]
fantascope_sdk::__private::bindings::projection::export_projection!(
    Liar with_types_in fantascope_sdk::__private::bindings::projection
);
