//! The table `revenue`: a row for each day and currency, which many orders hit.

use fantascope_sdk::prelude::*;

use crate::events::Payment;

#[derive(Row)]
#[row(table = "revenue", index(currency, day))]
pub struct Revenue {
    /// UTC, such as `2026-01-31`: the day on which the money moved.
    #[key]
    pub day: String,
    #[key]
    pub currency: String,
    /// How many orders were paid.
    pub orders: i64,
    pub paid_cents: i64,
    /// How many orders were paid back.
    pub refunds: i64,
    pub refunded_cents: i64,
    /// Paid less refunded; below zero on a bad day.
    pub net_cents: i64,
}

impl Fold for Revenue {
    type Event = Payment;

    fn keys(event: &Payment, meta: &Meta) -> impl Keys<(String, String)> {
        [(meta.day(), event.currency().to_owned())]
    }

    fn apply(row: &mut Entry<Self>, event: &Payment, _: &Meta) -> Result {
        let revenue = row.get_or_put(Revenue::none_yet);
        match event {
            Payment::Paid(e) => {
                revenue.orders += 1;
                revenue.paid_cents += e.amount_cents;
            }
            Payment::Refunded(e) => {
                revenue.refunds += 1;
                revenue.refunded_cents += e.amount_cents;
            }
        }
        revenue.net_cents = revenue.paid_cents - revenue.refunded_cents;
        Ok(())
    }
}

impl Revenue {
    fn none_yet((day, currency): (String, String)) -> Self {
        Self { day, currency, orders: 0, paid_cents: 0, refunds: 0, refunded_cents: 0, net_cents: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{OrderPaid, OrderRefunded};

    fn paid(amount_cents: i64, currency: &str) -> OrderPaid {
        OrderPaid { amount_cents, currency: currency.into(), lines: vec![] }
    }

    #[test]
    fn adds_up_by_day_and_currency() {
        Spec::of::<Revenue>()
            .at("2026-01-31T23:59:59.999999Z")
            .given("order-1", paid(1000, "EUR"))
            .given("order-2", paid(250, "EUR"))
            .given("order-3", paid(700, "USD"))
            .at("2026-02-01T00:00:00Z")
            .given("order-4", paid(99, "EUR"))
            .then_rows([
                row("2026-01-31", "EUR", 2, 1250),
                row("2026-01-31", "USD", 1, 700),
                row("2026-02-01", "EUR", 1, 99),
            ]);
    }

    #[test]
    fn counts_a_refund_on_the_day_of_the_refund() {
        Spec::of::<Revenue>()
            .at("2026-01-31T12:00:00Z")
            .given("order-1", paid(1000, "EUR"))
            .at("2026-02-03T12:00:00Z")
            .given("order-1", OrderRefunded { amount_cents: 1000, currency: "EUR".into() })
            .then_rows([
                row("2026-01-31", "EUR", 1, 1000),
                Revenue { refunds: 1, refunded_cents: 1000, net_cents: -1000, ..row("2026-02-03", "EUR", 0, 0) },
            ]);
    }

    #[test]
    fn counts_no_order_that_was_only_placed() {
        Spec::of::<Revenue>().given_json("order-1", "OrderPlaced", 2, json!({ "total_cents": 1000 })).then_none();
    }

    fn row(day: &str, currency: &str, orders: i64, paid_cents: i64) -> Revenue {
        Revenue { orders, paid_cents, net_cents: paid_cents, ..Revenue::none_yet((day.into(), currency.into())) }
    }
}
