//! Outcomes as exit codes, errors as chains of causes.

use std::error::Error;
use std::process::ExitCode;

use crate::config::{Faults, Origin};

/// What a command came to, if nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// Something is unhealthy, or a verification does not hold.
    Unhealthy,
}

/// Exit code of what failed; clap's own of wrong usage is 2 as well.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNHEALTHY: u8 = 3;

/// The exit code of `outcome`; prints what failed.
pub(super) fn exit_code(outcome: anyhow::Result<Outcome>) -> ExitCode {
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Unhealthy) => ExitCode::from(UNHEALTHY),
        // Whoever reads the output has seen enough: `fantascope events list | head`.
        Err(fault) if is_broken_pipe(&fault) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{}", explain(&fault));
            ExitCode::from(if is_usage(&fault) { USAGE } else { FAILED })
        }
    }
}

fn explain(fault: &anyhow::Error) -> String {
    let mut text = format!("error: {fault}");
    let mut said = fault.to_string();
    for cause in fault.chain().skip(1) {
        let cause = cause.to_string();
        // Many errors say their cause in their own words already.
        if !said.contains(&cause) {
            text.push_str(&format!("\n  because: {cause}"));
            said = cause;
        }
    }
    text
}

fn is_broken_pipe(fault: &anyhow::Error) -> bool {
    let is_it = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|fault| fault.kind() == std::io::ErrorKind::BrokenPipe)
    };
    fault.chain().any(is_it)
}

/// Whether a flag's value is to blame.
fn is_usage(fault: &anyhow::Error) -> bool {
    let faults = fault.downcast_ref::<Faults>();
    faults.is_some_and(|faults| faults.0.iter().all(|fault| matches!(fault.origin, Origin::Flag(_))))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn tells_causes_once() {
        let io = || std::io::Error::other("the disk is full");
        let chain = Err::<(), _>(io()).context("cannot write `a`").context("the import failed");
        let fault = chain.expect_err("an error");
        assert_eq!(
            explain(&fault),
            "error: the import failed\n  because: cannot write `a`\n  because: the disk is full"
        );
        let fault = Err::<(), _>(io()).context("cannot write `a`: the disk is full").expect_err("an error");
        assert_eq!(explain(&fault), "error: cannot write `a`: the disk is full");
    }
}
