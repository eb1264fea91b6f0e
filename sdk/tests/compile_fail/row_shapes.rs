use fantascope_sdk::prelude::*;

#[derive(Row)]
#[row(table = "orders")]
struct Tuple(#[key] String);

#[derive(Row)]
#[row(table = "orders")]
enum Choice {
    A,
}

#[derive(Row)]
#[row(table = "orders")]
struct Generic<T> {
    #[key]
    id: T,
}

fn main() {}
