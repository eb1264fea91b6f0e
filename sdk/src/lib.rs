//! Write projections and upcasters for Fantascope: typed events in, typed rows out.
//!
//! A **projection** is a set of tables, and each table is a [`Fold`] of events by
//! key. An **upcaster** is a set of steps, each an [`Upcast`] of one old event.
//! Both are compiled to a component by plain
//! `cargo build --release --target wasm32-wasip2`, and tested natively with a
//! [`Spec`](spec::Spec).
//!
//! ```
//! use fantascope_sdk::prelude::*;
//!
//! #[derive(Event, Serialize, Deserialize)]
//! #[event("OrderPlaced", v = 2)]
//! pub struct OrderPlaced {
//!     customer: String,
//!     total_cents: i64,
//! }
//!
//! #[derive(Event, Serialize, Deserialize)]
//! #[event("OrderCancelled")]
//! pub struct OrderCancelled {}
//!
//! #[derive(Events)]
//! pub enum OrderEvent {
//!     Placed(OrderPlaced),
//!     Cancelled(OrderCancelled),
//! }
//!
//! #[derive(Row)]
//! #[row(table = "orders", index(customer))]
//! pub struct Order {
//!     #[key]
//!     id: String,
//!     customer: String,
//!     total_cents: i64,
//! }
//!
//! impl Fold for Order {
//!     type Event = OrderEvent;
//!
//!     fn apply(row: &mut Entry<Self>, event: &OrderEvent, _: &Meta) -> Result {
//!         match event {
//!             OrderEvent::Placed(e) => row.put(Order {
//!                 id: row.key().clone(),
//!                 customer: e.customer.clone(),
//!                 total_cents: e.total_cents,
//!             }),
//!             OrderEvent::Cancelled(_) => row.delete(),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! fantascope_sdk::projection! { name = "order_list", version = 1, tables = [Order] }
//! ```

extern crate self as fantascope_sdk;

mod any_event;
mod batch;
#[doc(hidden)]
pub mod bindings;
pub mod column;
mod entry;
mod error;
mod event;
mod fold;
mod json;
pub mod log;
mod meta;
mod name;
mod projection;
mod row;
#[cfg(not(target_arch = "wasm32"))]
pub mod spec;
mod table;
mod upcast;
mod values;
#[doc(hidden)]
pub mod wire;

pub use any_event::AnyEvent;
pub use entry::Entry;
pub use error::{At, Error, Result};
pub use event::{Event, Events, NoEvent, WriteEvents};
pub use fantascope_sdk_macros::{Event, Events, Row, TextEnum};
pub use fold::{Fold, Keys};
pub use meta::Meta;
pub use row::Row;
pub use upcast::Upcast;
pub use values::{Bytes, Decimal, Json, ParseError, Timestamp, Uuid};

/// All that a plugin needs, with one `use`.
pub mod prelude {
    pub use serde::{Deserialize, Serialize};

    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::spec::{Spec, json};
    pub use crate::{
        AnyEvent, At, Bytes, Decimal, Entry, Event, Events, Fold, Json, Keys, Meta, NoEvent, Result, Row, TextEnum,
        Timestamp, Upcast, Uuid, bail, ensure, log,
    };
}

/// For what the macros expand to only. It changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::__export_projection as export_projection;
    pub use crate::__export_upcaster as export_upcaster;
    pub use crate::bindings;
    pub use crate::column::{Column, KeyColumn, Scalar, carrier, read as read_column, write as write_column};
    pub use crate::event::{Pattern, Source, Untyped, are_distinct as are_distinct_patterns, write as write_event};
    pub use crate::fold::check_keys;
    pub use crate::name::{are_distinct as are_distinct_names, is_name};
    pub use crate::projection::{Projection, table};
    pub use crate::row::{ColumnOf, Table};
    pub use crate::upcast::{Upcaster, step, takes};
    pub use crate::wire;
    pub use serde::Serialize;
}
