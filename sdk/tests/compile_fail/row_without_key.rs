use fantascope_sdk::prelude::*;

#[derive(Row)]
#[row(table = "orders")]
struct Order {
    id: String,
}

fn main() {}
