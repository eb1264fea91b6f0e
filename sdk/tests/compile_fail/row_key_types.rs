use fantascope_sdk::prelude::*;

#[derive(Row)]
#[row(table = "prices")]
struct Price {
    #[key]
    price: f64,
}

#[derive(Row)]
#[row(table = "carriers")]
struct Carrier {
    #[key]
    id: String,
    #[key]
    name: Option<String>,
}

fn main() {}
