use fantascope_sdk::prelude::*;

struct Address {
    street: String,
}

#[derive(Row)]
#[row(table = "orders")]
struct Order {
    #[key]
    id: String,
    address: Address,
    total: u64,
}

fn main() {}
