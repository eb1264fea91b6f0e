use fantascope_sdk::prelude::*;

#[derive(Event, Deserialize)]
#[event("OrderPlaced")]
struct OrderPlaced {}

/// Its key can't be the aggregate's id, and it doesn't say what it is.
#[derive(Row)]
#[row(table = "counts")]
struct Count {
    #[key]
    number: i64,
}

impl Fold for Count {
    type Event = OrderPlaced;

    fn apply(_: &mut Entry<Self>, _: &OrderPlaced, _: &Meta) -> Result {
        Ok(())
    }
}

fantascope_sdk::projection! { name = "orders", version = 1, tables = [Count] }

fn main() {}
