//! Chores of this repository: `cargo xtask <chore>`.

mod bindings;
mod cargo;
mod chores;
mod databases;
mod guests;
mod mysql;
mod packages;
mod permits;
#[path = "../../host/program/tests/servers/mod.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod servers;
mod standalone;
mod steps;
mod test;

use std::process::ExitCode;

use databases::Flavour;

const USAGE: &str = "usage: cargo xtask <chore>

  test [--mysql]      everything that must hold before a change goes in
  lint                rustfmt and clippy
  guests              build the shipped plugins and the tests' guests; prints their folder
  servers [--mysql]   start throwaway database servers, for tests that are run one by one
  bindings [--check]  generate the SDK's bindings from the WIT, or see that they are current
  bench [ARGUMENT]…   the benchmarks of the host
  soak [FILTER]…      the long variants of the tests

With --mysql a MySQL takes the place of MariaDB. It is downloaded once, into `target/mysql`.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test"] => test::run(Flavour::MariaDb),
        ["test", "--mysql"] => test::run(Flavour::MySql),
        ["lint"] => chores::lint(),
        ["guests"] => guests::build().map(|folder| println!("{}", folder.display())),
        ["servers"] => databases::hold(Flavour::MariaDb),
        ["servers", "--mysql"] => databases::hold(Flavour::MySql),
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
