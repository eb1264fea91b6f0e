use fantascope_sdk::prelude::*;

#[derive(Row)]
struct Order {
    #[key]
    id: String,
}

#[derive(Row)]
#[row(index(id))]
struct Other {
    #[key]
    id: String,
}

#[derive(Row)]
#[row(table = "orders", indexes(id))]
struct Another {
    #[key]
    id: String,
}

fn main() {}
