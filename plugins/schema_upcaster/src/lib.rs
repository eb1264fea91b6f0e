//! Brings events of the schemas of old to those of today, so that no projection
//! needs to know that they were ever different.
//!
//! | of old | of today | |
//! |---|---|---|
//! | `OrderPlaced` v1 | `OrderPlaced` v2 | prices in cents, with their currency |
//! | `OrderPaidAndShipped` v1 | `OrderPaid` v1, `OrderShipped` v1 | they are two things |
//! | `PortalPinged` v1 | none | nobody ever needed it |

mod cents;
mod order_paid_and_shipped;
mod order_placed;
mod portal_pinged;

pub use order_paid_and_shipped::{OrderPaid, OrderPaidAndShippedV1, OrderShipped, PaidOrShipped};
pub use order_placed::{ItemV1, Line, OrderPlaced, OrderPlacedV1};
pub use portal_pinged::PortalPingedV1;

fantascope_sdk::upcaster! {
    name = "schema_upcaster",
    version = 1,
    steps = [OrderPlacedV1, OrderPaidAndShippedV1, PortalPingedV1],
}
