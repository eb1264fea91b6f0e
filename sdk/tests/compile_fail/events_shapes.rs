use fantascope_sdk::prelude::*;

#[derive(Event, Deserialize)]
#[event("OrderPlaced")]
struct OrderPlaced {}

#[derive(Events)]
struct NoEnum {}

#[derive(Events)]
enum Inline {
    Placed { total: i64 },
}

#[derive(Events)]
enum Unknown {
    #[event(suffix = "Placed")]
    Placed(AnyEvent),
}

#[derive(Events)]
enum EmptyPrefix {
    #[event(prefix = "")]
    Placed(AnyEvent),
}

#[derive(Events)]
enum Twice {
    Placed(OrderPlaced),
    Again(OrderPlaced),
}

fn main() {}
