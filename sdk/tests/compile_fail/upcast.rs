use fantascope_sdk::prelude::*;

#[derive(Event, Deserialize)]
#[event("OrderPlaced")]
struct OrderPlacedV1 {}

/// It can be read, not written.
#[derive(Event, Deserialize)]
#[event("OrderPlaced", v = 2)]
struct OrderPlaced {}

#[derive(Events)]
enum OrderEvent {
    Placed(OrderPlaced),
}

impl Upcast for OrderPlacedV1 {
    type Into = OrderEvent;

    fn upcast(self, _: &Meta) -> Result<Vec<OrderEvent>> {
        Ok(vec![OrderEvent::Placed(OrderPlaced {})])
    }
}

fantascope_sdk::upcaster! { name = "orders", version = 1, steps = [OrderPlaced] }

fn main() {}
