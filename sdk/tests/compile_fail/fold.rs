use fantascope_sdk::prelude::*;

#[derive(Event, Deserialize)]
#[event("OrderPlaced")]
struct OrderPlaced {}

struct Plain {}

#[derive(Row)]
#[row(table = "orders")]
struct Order {
    #[key]
    id: String,
}

impl Fold for Order {
    type Event = Plain;

    fn apply(_: &mut Entry<Self>, _: &Plain, _: &Meta) -> Result {
        Ok(())
    }
}

#[derive(Row)]
#[row(table = "days")]
struct Day {
    #[key]
    day: String,
}

impl Fold for Day {
    type Event = OrderPlaced;

    fn keys(_: &OrderPlaced, meta: &Meta) -> impl Keys<String> {
        meta.day()
    }

    fn apply(_: &mut Entry<Self>, _: &OrderPlaced, _: &Meta) -> Result {
        Ok(())
    }
}

fn main() {}
