//! `cargo xtask test`: everything that must hold before a change goes in.

use std::path::Path;

use crate::cargo::{self, FAULTS, build_host, is_installed};
use crate::databases::{Databases, Flavour};
use crate::steps::Steps;
use crate::{bindings, guests, permits, standalone};

/// Crates whose comments hold examples that are run.
const WITH_EXAMPLES: [&str; 1] = ["fantascope-sdk"];

/// The tests of the host that hold in every database, by their modules: they are run in a file
/// with all the others, and again on each server.
const IN_EVERY_DATABASE: [&str; 23] = [
    "admission",
    "appends",
    "comparison",
    "deployment",
    "dropped",
    "floats",
    "folder",
    "hosts",
    "lag",
    "lies",
    "misfits",
    "newer",
    "packets",
    "pages",
    "promotion",
    "replay",
    "rewound",
    "rows",
    "scenarios",
    "tail",
    "together",
    "upcasters",
    "views",
];

/// Runs all steps.
///
/// # Errors
/// If one fails.
pub(crate) fn run(flavour: Flavour) -> anyhow::Result<()> {
    let mut steps = Steps::default();
    steps.run("bindings are what the WIT gives", bindings::check);
    let guests = steps.run("guests", guests::build);
    let host = steps.run("tests and host built", build_host);
    match (&guests, &host) {
        (Some(guests), Some(host)) => {
            let databases = Databases::start(&mut steps, flavour);
            test(&mut steps, guests, &databases);
            drop(databases);
            steps.run("examples in comments", examples);
            steps.run("new plugins pass their tests", || standalone::templates(host));
            steps.run("plugins/order_list passes in the sandbox", || standalone::test(host, "plugins/order_list"));
            steps.run("examples/permits passes in the sandbox", || standalone::test(host, "examples/permits"));
            steps.run("examples/blue-green passes in the sandbox", || {
                let versions = ["v1", "v1-mended", "v2", "v3"];
                versions.iter().try_for_each(|name| standalone::test(host, &format!("examples/blue-green/{name}")))
            });
            permits(&mut steps, host);
        }
        _ => steps.note("without guests and host nothing else was tested"),
    }
    steps.end()
}

fn test(steps: &mut Steps, guests: &Path, databases: &Databases) {
    let has_nextest = is_installed("cargo-nextest", "--version");
    let runner: &[&str] = if has_nextest {
        &["nextest", "run"]
    } else {
        steps.note("cargo-nextest is not installed: used cargo test");
        &["test", "--all-targets", "--exclude", "xtask"]
    };
    steps.run("tests", || {
        let mut command = cargo::cargo(runner);
        command.args(["--workspace", "--features", FAULTS]).env("FANTASCOPE_GUESTS", guests);
        cargo::run(databases.tell(&mut command))
    });
    for installation in databases.installations() {
        steps.run(format!("tests on {installation}"), || {
            let mut command = cargo::cargo(if has_nextest { &["nextest", "run"] } else { &["test"] });
            // All packages, so that what was built for the step before is what is run.
            command.args(["--workspace", "--features", FAULTS, "--test", "it"]);
            if has_nextest {
                command.args(["-E", &format!("test(/^({})::/)", IN_EVERY_DATABASE.join("|"))]);
            } else {
                command.arg("--").args(IN_EVERY_DATABASE.map(|module| format!("{module}::")));
            }
            command.env("FANTASCOPE_GUESTS", guests).env("FANTASCOPE_TEST_DATABASE", installation.kind.name());
            cargo::run(databases.tell(&mut command))
        });
    }
}

fn examples() -> anyhow::Result<()> {
    let mut command = cargo::cargo(&["test", "--doc"]);
    WITH_EXAMPLES.iter().for_each(|name| {
        command.args(["--package", name]);
    });
    cargo::run(&mut command)
}

fn permits(steps: &mut Steps, host: &Path) {
    let Some(events) = std::env::var_os("FANTASCOPE_PERMITS") else {
        return steps.note("the real events of examples/permits are not here: set FANTASCOPE_PERMITS to their file");
    };
    for program in ["jq", "curl"] {
        if !is_installed(program, "--version") {
            return steps.note(format!("{program} is not installed: the figures of examples/permits were not checked"));
        }
    }
    steps.run("figures of examples/permits", || permits::check(host, Path::new(&events)));
}
