//! Of all that happens to an order, what moves money: placing one does not.

use fantascope_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event("OrderPaid")]
pub struct OrderPaid {
    pub amount_cents: i64,
    pub currency: String,
    /// What was paid for.
    pub lines: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
pub struct Line {
    pub sku: String,
    pub quantity: u32,
    pub unit_cents: i64,
}

#[derive(Event, Serialize, Deserialize)]
#[event("OrderRefunded")]
pub struct OrderRefunded {
    pub amount_cents: i64,
    pub currency: String,
}

#[derive(Events)]
pub enum Payment {
    Paid(OrderPaid),
    Refunded(OrderRefunded),
}

impl Payment {
    /// The currency in which it was made.
    pub(crate) fn currency(&self) -> &str {
        match self {
            Self::Paid(e) => &e.currency,
            Self::Refunded(e) => &e.currency,
        }
    }
}
