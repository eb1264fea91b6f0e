use fantascope_sdk::prelude::*;

#[derive(Event, Deserialize)]
#[event("OrderPlaced")]
struct OrderPlaced {}

#[derive(Row)]
#[row(table = "orders")]
struct Order {
    #[key]
    id: String,
}

impl Fold for Order {
    type Event = OrderPlaced;

    fn apply(_: &mut Entry<Self>, _: &OrderPlaced, _: &Meta) -> Result {
        Ok(())
    }
}

#[derive(Row)]
#[row(table = "unfolded")]
struct Unfolded {
    #[key]
    id: String,
}

fantascope_sdk::projection! { name = "Orders", version = 1, tables = [Order] }
fantascope_sdk::projection! { name = "orders", version = 0, tables = [Order] }
fantascope_sdk::projection! { name = "orders", version = 1, tables = [Order, Order] }
fantascope_sdk::projection! { name = "orders", tables = [Order] }

mod unfolded {
    fantascope_sdk::projection! { name = "orders", version = 1, tables = [super::Unfolded] }
}

fn main() {}
