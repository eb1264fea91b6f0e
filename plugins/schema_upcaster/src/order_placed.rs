//! 1→1: of old, prices were decimal texts, and everybody knew that they were euros.

use fantascope_sdk::prelude::*;

use crate::cents::cents;

#[derive(Event, Deserialize)]
#[event("OrderPlaced")]
pub struct OrderPlacedV1 {
    customer: String,
    total: String,
    #[serde(default)]
    items: Vec<ItemV1>,
}

#[derive(Deserialize)]
pub struct ItemV1 {
    sku: String,
    quantity: u32,
    price: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event("OrderPlaced", v = 2)]
pub struct OrderPlaced {
    pub customer: String,
    pub currency: String,
    pub total_cents: i64,
    pub lines: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
pub struct Line {
    pub sku: String,
    pub quantity: u32,
    pub unit_cents: i64,
}

impl Upcast for OrderPlacedV1 {
    type Into = OrderPlaced;

    fn upcast(self, _: &Meta) -> Result<Vec<OrderPlaced>> {
        Ok(vec![OrderPlaced {
            customer: self.customer,
            currency: "EUR".into(),
            total_cents: cents(&self.total).at("total")?,
            lines: lines(self.items)?,
        }])
    }
}

/// Items of old as lines of today.
pub(crate) fn lines(items: Vec<ItemV1>) -> Result<Vec<Line>> {
    let line = |(at, item): (usize, ItemV1)| {
        Ok(Line {
            unit_cents: cents(&item.price).at("price").at(format_args!("items[{at}]"))?,
            sku: item.sku,
            quantity: item.quantity,
        })
    };
    items.into_iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> fantascope_sdk::spec::UpcasterSpec<OrderPlacedV1> {
        Spec::upcast::<OrderPlacedV1>()
    }

    #[test]
    fn makes_cents_of_decimals_and_says_euros() {
        spec()
            .given(
                "order-1",
                json!({
                    "customer": "ada.meyer",
                    "total": "38.10",
                    "items": [{ "sku": "wick", "quantity": 2, "price": "19.05" }],
                }),
            )
            .then([OrderPlaced {
                customer: "ada.meyer".into(),
                currency: "EUR".into(),
                total_cents: 3810,
                lines: vec![Line { sku: "wick".into(), quantity: 2, unit_cents: 1905 }],
            }]);
    }

    #[test]
    fn takes_an_order_that_lists_no_items() {
        spec().given("order-1", json!({ "customer": "ada.meyer", "total": "12.50" })).then([OrderPlaced {
            customer: "ada.meyer".into(),
            currency: "EUR".into(),
            total_cents: 1250,
            lines: vec![],
        }]);
    }

    #[test]
    fn says_which_amount_is_none() {
        spec()
            .given("order-1", json!({ "customer": "ada.meyer", "total": "a lot" }))
            .then_error(r#"OrderPlaced v1, at total: "a lot" is not an amount"#);
        spec()
            .given(
                "order-1",
                json!({
                    "customer": "ada.meyer",
                    "total": "1.00",
                    "items": [{ "sku": "wick", "quantity": 1, "price": "1,00" }],
                }),
            )
            .then_error(r#"at items[0].price: "1,00" is not an amount"#);
    }
}
