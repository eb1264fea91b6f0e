//! The table `orders`: a row for each order.

use fantascope_sdk::prelude::*;

use crate::events::OrderEvent;

/// An order as it stands now.
#[derive(Row)]
#[row(table = "orders", index(customer), index(status, placed_at))]
pub struct Order {
    #[key]
    pub id: String,
    pub customer: String,
    pub status: Status,
    pub total_cents: i64,
    pub paid_cents: i64,
    /// ISO 4217, for example `EUR`.
    pub currency: String,
    /// How many pieces, over all lines.
    pub items: i64,
    pub carrier: Option<String>,
    pub tracking: Option<String>,
    pub cancel_reason: Option<String>,
    pub placed_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What happened to an order last.
#[derive(TextEnum)]
pub enum Status {
    Placed,
    Paid,
    Shipped,
    Cancelled,
}

impl Fold for Order {
    type Event = OrderEvent;

    fn apply(row: &mut Entry<Self>, event: &OrderEvent, meta: &Meta) -> Result {
        let now = meta.timestamp();
        match event {
            OrderEvent::Placed(e) => row.put(Order {
                id: row.key().clone(),
                customer: e.customer.clone(),
                status: Status::Placed,
                total_cents: e.total_cents,
                paid_cents: 0,
                currency: e.currency.clone(),
                items: e.lines.iter().map(|line| i64::from(line.quantity)).sum(),
                carrier: None,
                tracking: None,
                cancel_reason: None,
                placed_at: now,
                updated_at: now,
            }),
            OrderEvent::Paid(e) => {
                let order = row.get()?;
                order.status = Status::Paid;
                order.paid_cents += e.amount_cents;
                order.updated_at = now;
            }
            OrderEvent::Shipped(e) => {
                let order = row.get()?;
                order.status = Status::Shipped;
                order.carrier = Some(e.carrier.clone());
                order.tracking = Some(e.tracking.clone());
                order.updated_at = now;
            }
            OrderEvent::Cancelled(e) => {
                let order = row.get()?;
                order.status = Status::Cancelled;
                order.cancel_reason = Some(e.reason.clone());
                order.updated_at = now;
            }
        }
        Ok(())
    }
}
