//! Given events, then rows: tests of a plugin that need no host, no database and
//! no WebAssembly.
//!
//! ```
//! # use fantascope_sdk::prelude::*;
//! # #[derive(Event, Serialize, Deserialize)] #[event("OrderPlaced")]
//! # struct OrderPlaced { customer: String }
//! # #[derive(Row)] #[row(table = "orders")]
//! # struct Order { #[key] id: String, customer: String, placed_at: Timestamp }
//! # impl Fold for Order {
//! #     type Event = OrderPlaced;
//! #     fn apply(row: &mut Entry<Self>, event: &OrderPlaced, meta: &Meta) -> Result {
//! #         row.put(Order {
//! #             id: row.key().clone(),
//! #             customer: event.customer.clone(),
//! #             placed_at: meta.timestamp(),
//! #         });
//! #         Ok(())
//! #     }
//! # }
//! Spec::of::<Order>()
//!     .at("2026-01-02T03:04:05Z")
//!     .given("o-1", OrderPlaced { customer: "ada".into() })
//!     .then(Order {
//!         id: "o-1".into(),
//!         customer: "ada".into(),
//!         placed_at: "2026-01-02T03:04:05Z".parse().unwrap(),
//!     });
//! ```
//!
//! A case takes the way that it would take in the host: events and rows cross as
//! columns. It runs twice, once with all events in one batch and once with a batch
//! for each, and fails if the outcomes differ.
//!
//! With `FANTASCOPE_SPEC_HOST` (the `fantascope` binary) and
//! `FANTASCOPE_SPEC_COMPONENT` (the plugin's `.wasm`) in the environment, as
//! `fantascope test` sets them, it runs a third time, in the sandbox. There *all*
//! tables of the component fold the events, so give them what they need too.

mod events;
mod outcome;
mod projection;
mod rows;
mod sandbox;
mod upcaster;

pub use projection::ProjectionSpec;
pub use serde_json::json;
pub use upcaster::UpcasterSpec;

use crate::fold::Fold;
use crate::upcast::Upcast;

/// Where a test begins: what is tested.
pub enum Spec {}

impl Spec {
    /// The spec of a table.
    pub fn of<F: Fold>() -> ProjectionSpec<F> {
        ProjectionSpec::new()
    }

    /// The spec of a step of an upcaster. What it gives is not taken by another
    /// step: a chain is tested link by link.
    pub fn upcast<U: Upcast>() -> UpcasterSpec<U> {
        UpcasterSpec::new()
    }
}
