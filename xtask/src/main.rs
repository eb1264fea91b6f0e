//! Chores of this repository: `cargo xtask <chore>`.

mod bindings;
mod cargo;
mod chores;
mod databases;
mod guests;
mod packages;
mod permits;
#[path = "../../host/tests/servers/mod.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod servers;
mod standalone;
mod steps;
mod test;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <chore>

  test                everything that must hold before a change goes in
  lint                rustfmt and clippy
  guests              build the shipped plugins and the tests' guests; prints their folder
  servers             start throwaway database servers, for tests that are run one by one
  bindings [--check]  generate the SDK's bindings from the WIT, or see that they are current
  bench [ARGUMENT]…   the benchmarks of the host
  soak [FILTER]…      the long variants of the tests";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test"] => test::run(),
        ["lint"] => chores::lint(),
        ["guests"] => guests::build().map(|folder| println!("{}", folder.display())),
        ["servers"] => databases::hold(),
        ["bindings"] => bindings::write(),
        ["bindings", "--check"] => bindings::check(),
        ["bench", arguments @ ..] => chores::bench(arguments),
        ["soak", filters @ ..] => chores::soak(filters),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
