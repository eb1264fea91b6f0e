//! Chores that are little more than one call of cargo.

use crate::cargo::{FAULTS, cargo, run};
use crate::databases::{Databases, Flavour};
use crate::guests;
use crate::steps::Steps;

/// rustfmt and clippy, over all there is.
///
/// # Errors
/// If they find fault.
pub(crate) fn lint() -> anyhow::Result<()> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--features", FAULTS, "--", "-D", "warnings"]))
}

/// The benchmarks of the host.
///
/// # Errors
/// If they can't be built or run.
pub(crate) fn bench(arguments: &[&str]) -> anyhow::Result<()> {
    let guests = guests::build()?;
    let mut command = cargo(&["bench", "--package", "fantascope", "--bench", "host", "--"]);
    run(command.args(arguments).env("FANTASCOPE_GUESTS", guests))
}

/// The long variants of the tests whose names hold one of `filters`; of all, if there is none.
///
/// # Errors
/// If one fails.
pub(crate) fn soak(filters: &[&str]) -> anyhow::Result<()> {
    let guests = guests::build()?;
    let mut steps = Steps::default();
    let databases = Databases::start(&mut steps, Flavour::MariaDb);
    steps.run("long tests", || {
        let mut command = cargo(&["test", "--package", "fantascope", "--features", FAULTS]);
        command.args(["--test", "it", "--test", "crash", "--"]);
        command.args(["--include-ignored", "--nocapture", "--test-threads=1"]).args(filters);
        command.env("FANTASCOPE_GUESTS", &guests).env("FANTASCOPE_SOAK", "1");
        run(databases.tell(&mut command))
    });
    steps.end()
}
