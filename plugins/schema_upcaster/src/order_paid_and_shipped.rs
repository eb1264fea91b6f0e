//! 1→N: of old, the back office wrote down payment and shipment in one go.

use fantascope_sdk::prelude::*;

use crate::cents::cents;
use crate::order_placed::{ItemV1, Line, lines};

#[derive(Event, Deserialize)]
#[event("OrderPaidAndShipped")]
pub struct OrderPaidAndShippedV1 {
    payment_id: String,
    amount: String,
    items: Vec<ItemV1>,
    carrier: String,
    tracking: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event("OrderPaid")]
pub struct OrderPaid {
    pub payment_id: String,
    pub amount_cents: i64,
    pub currency: String,
    pub lines: Vec<Line>,
}

#[derive(Event, Serialize, Deserialize)]
#[event("OrderShipped")]
pub struct OrderShipped {
    pub carrier: String,
    pub tracking: String,
}

#[derive(Events)]
pub enum PaidOrShipped {
    Paid(OrderPaid),
    Shipped(OrderShipped),
}

impl Upcast for OrderPaidAndShippedV1 {
    type Into = PaidOrShipped;

    fn upcast(self, _: &Meta) -> Result<Vec<PaidOrShipped>> {
        let paid = OrderPaid {
            payment_id: self.payment_id,
            amount_cents: cents(&self.amount).at("amount")?,
            currency: "EUR".into(),
            lines: lines(self.items)?,
        };
        let shipped = OrderShipped { carrier: self.carrier, tracking: self.tracking };
        Ok(vec![PaidOrShipped::Paid(paid), PaidOrShipped::Shipped(shipped)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn becomes_a_payment_and_then_a_shipment() {
        Spec::upcast::<OrderPaidAndShippedV1>()
            .given(
                "order-1",
                json!({
                    "payment_id": "pay-1",
                    "amount": "2.50",
                    "items": [{ "sku": "wick", "quantity": 1, "price": "2.50" }],
                    "carrier": "DHL",
                    "tracking": "JD01",
                }),
            )
            .then([
                PaidOrShipped::Paid(OrderPaid {
                    payment_id: "pay-1".into(),
                    amount_cents: 250,
                    currency: "EUR".into(),
                    lines: vec![Line { sku: "wick".into(), quantity: 1, unit_cents: 250 }],
                }),
                PaidOrShipped::Shipped(OrderShipped { carrier: "DHL".into(), tracking: "JD01".into() }),
            ]);
    }

    #[test]
    fn names_the_field_that_is_missing() {
        Spec::upcast::<OrderPaidAndShippedV1>()
            .given("order-1", json!({ "payment_id": "pay-1", "amount": "2.50", "items": [] }))
            .then_error("missing field `carrier`");
    }
}
