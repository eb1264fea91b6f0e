use fantascope_sdk::prelude::*;

#[derive(Event)]
#[event("OrderPlaced")]
struct OrderPlaced {}

fn main() {}
