//! Steps of an upcaster: 1→1, 1→N, 1→0.

use fantascope_sdk::prelude::*;
use fantascope_sdk::spec::json;

#[derive(Event, Deserialize)]
#[event("OrderPlaced")]
struct OrderPlacedV1 {
    customer: String,
    total: String,
    /// Paid at once.
    #[serde(default)]
    paid: bool,
    #[serde(default)]
    is_test: bool,
}

#[derive(Event, Serialize, Deserialize)]
#[event("OrderPlaced", v = 2)]
struct OrderPlaced {
    customer: String,
    total_cents: i64,
}

#[derive(Event, Serialize, Deserialize)]
#[event("OrderPaid")]
struct OrderPaid {
    amount_cents: i64,
    at_position: u64,
}

#[derive(Events)]
enum Current {
    Placed(OrderPlaced),
    Paid(OrderPaid),
}

impl Upcast for OrderPlacedV1 {
    type Into = Current;

    fn upcast(self, meta: &Meta) -> Result<Vec<Current>> {
        if self.is_test {
            return Ok(Vec::new());
        }
        let euros: f64 = self.total.parse().at("total")?;
        let total_cents = (euros * 100.0).round() as i64;
        let mut events = vec![Current::Placed(OrderPlaced { customer: self.customer, total_cents })];
        if self.paid {
            events.push(Current::Paid(OrderPaid { amount_cents: total_cents, at_position: meta.position() }));
        }
        Ok(events)
    }
}

#[derive(Event, Deserialize)]
#[event("BasketViewed")]
struct BasketViewed {}

impl Upcast for BasketViewed {
    type Into = NoEvent;

    fn upcast(self, _: &Meta) -> Result<Vec<NoEvent>> {
        Ok(Vec::new())
    }
}

fn placed(customer: &str, total_cents: i64) -> Current {
    Current::Placed(OrderPlaced { customer: customer.into(), total_cents })
}

#[test]
fn one_event_becomes_one_several_or_none() {
    Spec::upcast::<OrderPlacedV1>()
        .given("o-1", json!({"customer": "ada", "total": "12.50"}))
        .given("o-2", json!({"customer": "bob", "total": "1", "is_test": true}))
        .given("o-3", json!({"customer": "cy", "total": "0.99", "paid": true}))
        .then([placed("ada", 1250), placed("cy", 99), Current::Paid(OrderPaid { amount_cents: 99, at_position: 3 })]);
    Spec::upcast::<BasketViewed>().given("b-1", json!({"page": 1})).then_none();
}

#[test]
fn an_error_says_which_event_and_where() {
    Spec::upcast::<OrderPlacedV1>()
        .given("o-1", json!({"customer": "ada", "total": "1"}))
        .given("o-2", json!({"customer": "ada", "total": "12,50"}))
        .then_error(
            "position 2, event 01920000-0000-7000-8000-000000000002, OrderPlaced v1, at total: \
             invalid float literal",
        );
    Spec::upcast::<OrderPlacedV1>()
        .given("o-1", json!({"customer": [], "total": "1"}))
        .then_error("OrderPlaced v1, at customer: invalid type: sequence, expected a string");
}

mod exported {
    use super::{BasketViewed, OrderPlacedV1};

    fantascope_sdk::upcaster! { name = "orders", version = 1, steps = [OrderPlacedV1, BasketViewed] }
}
