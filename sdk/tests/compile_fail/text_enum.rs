use fantascope_sdk::prelude::*;

#[derive(TextEnum)]
enum Holds {
    A(i64),
}

#[derive(TextEnum)]
enum Twice {
    AB,
    #[text("a_b")]
    Ab,
}

/// Keys are compared, so they must be comparable.
#[derive(TextEnum)]
enum Size {
    Small,
}

#[derive(Row)]
#[row(table = "sizes")]
struct Sized {
    #[key]
    size: Size,
}

fn main() {}
