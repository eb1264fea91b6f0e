//! What happens to an order.

use fantascope_sdk::prelude::*;

/// A customer has ordered.
#[derive(Event, Serialize, Deserialize)]
#[event("OrderPlaced", v = 2)]
pub struct OrderPlaced {
    pub customer: String,
    pub currency: String,
    pub total_cents: i64,
    pub lines: Vec<Line>,
}

/// So many pieces of an article.
#[derive(Serialize, Deserialize)]
pub struct Line {
    pub sku: String,
    pub quantity: u32,
    pub unit_cents: i64,
}

/// Money has come in for an order.
#[derive(Event, Serialize, Deserialize)]
#[event("OrderPaid")]
pub struct OrderPaid {
    pub payment_id: String,
    pub amount_cents: i64,
}

/// An order has left the house.
#[derive(Event, Serialize, Deserialize)]
#[event("OrderShipped")]
pub struct OrderShipped {
    pub carrier: String,
    pub tracking: String,
}

/// An order won't be carried out.
#[derive(Event, Serialize, Deserialize)]
#[event("OrderCancelled")]
pub struct OrderCancelled {
    pub reason: String,
}

/// All that the order list reads.
#[derive(Events)]
pub enum OrderEvent {
    Placed(OrderPlaced),
    Paid(OrderPaid),
    Shipped(OrderShipped),
    Cancelled(OrderCancelled),
}
