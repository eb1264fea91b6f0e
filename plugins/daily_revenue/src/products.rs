//! The table `products`: a row for each month, product and currency.

use std::collections::BTreeSet;

use fantascope_sdk::prelude::*;

use crate::events::OrderPaid;

#[derive(Row)]
#[row(table = "products", index(sku, month))]
pub struct Product {
    /// UTC, such as `2026-01`: the month in which it was paid.
    #[key]
    pub month: String,
    #[key]
    pub sku: String,
    /// Amounts of two currencies can't be added.
    #[key]
    pub currency: String,
    /// How many pieces were paid.
    pub quantity: i64,
    pub paid_cents: i64,
}

impl Fold for Product {
    type Event = OrderPaid;

    /// One row for each product of the order, however many lines it has there.
    fn keys(event: &OrderPaid, meta: &Meta) -> impl Keys<(String, String, String)> {
        let skus: BTreeSet<&str> = event.lines.iter().map(|line| line.sku.as_str()).collect();
        let key = |sku: &str| (meta.month(), sku.to_owned(), event.currency.clone());
        skus.into_iter().map(key).collect::<Vec<_>>()
    }

    fn apply(row: &mut Entry<Self>, event: &OrderPaid, _: &Meta) -> Result {
        let product =
            row.get_or_put(|(month, sku, currency)| Product { month, sku, currency, quantity: 0, paid_cents: 0 });
        for line in event.lines.iter().filter(|line| line.sku == product.sku) {
            product.quantity += i64::from(line.quantity);
            product.paid_cents += i64::from(line.quantity) * line.unit_cents;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Line;

    fn paid(currency: &str, lines: &[(&str, u32, i64)]) -> OrderPaid {
        let line = |&(sku, quantity, unit_cents): &(&str, u32, i64)| Line { sku: sku.into(), quantity, unit_cents };
        OrderPaid { amount_cents: 0, currency: currency.into(), lines: lines.iter().map(line).collect() }
    }

    fn product(month: &str, sku: &str, currency: &str, quantity: i64, paid_cents: i64) -> Product {
        Product { month: month.into(), sku: sku.into(), currency: currency.into(), quantity, paid_cents }
    }

    #[test]
    fn adds_up_every_line_once() {
        Spec::of::<Product>()
            .at("2026-01-31T12:00:00Z")
            .given("order-1", paid("EUR", &[("wick", 2, 250), ("tripod", 1, 7990), ("wick", 1, 200)]))
            .given("order-2", paid("EUR", &[("wick", 1, 250)]))
            .given("order-3", paid("USD", &[("wick", 1, 250)]))
            .at("2026-02-01T12:00:00Z")
            .given("order-4", paid("EUR", &[("wick", 6, 250)]))
            .then_rows([
                product("2026-01", "wick", "EUR", 4, 950),
                product("2026-01", "tripod", "EUR", 1, 7990),
                product("2026-01", "wick", "USD", 1, 250),
                product("2026-02", "wick", "EUR", 6, 1500),
            ]);
    }
}
