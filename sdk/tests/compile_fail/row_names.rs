use fantascope_sdk::prelude::*;

#[derive(Row)]
#[row(table = "Orders")]
struct Table {
    #[key]
    id: String,
}

#[derive(Row)]
#[row(table = "orders")]
struct Column {
    #[key]
    id: String,
    totalCents: i64,
}

#[derive(Row)]
#[row(table = "orders")]
struct Renamed {
    #[key]
    #[column("order-id")]
    id: String,
}

#[derive(Row)]
#[row(table = "orders")]
struct Twice {
    #[key]
    id: String,
    #[column("id")]
    other: String,
}

#[derive(Row)]
#[row(table = "orders", index(custommer))]
struct Index {
    #[key]
    id: String,
    customer: String,
}

fn main() {}
