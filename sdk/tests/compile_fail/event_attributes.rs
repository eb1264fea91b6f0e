use fantascope_sdk::prelude::*;

#[derive(Event, Deserialize)]
struct Unnamed {}

#[derive(Event, Deserialize)]
#[event]
struct Empty {}

#[derive(Event, Deserialize)]
#[event("A", version = 2)]
struct Version {}

#[derive(Event, Deserialize)]
#[event("A", v = 0)]
struct Zero {}

#[derive(Event, Deserialize)]
#[event("A")]
struct Unit;

#[derive(Event, Deserialize)]
#[event("A")]
enum Choice {
    B {},
}

fn main() {}
