use fantascope_sdk::prelude::*;

#[derive(Event, Deserialize)]
#[event("OrderPlaced")]
struct OrderPlaced {}

struct NoEvent {}

#[derive(Events)]
enum Payload {
    Placed(NoEvent),
}

#[derive(Events)]
enum Prefix {
    #[event(prefix = "Order")]
    Placed(OrderPlaced),
}

fn main() {}
