//! Outcomes as exit codes; failures as chains of causes, as problems, or as lines of the log.

use std::error::Error;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::{NoAnswer, Refused};
use crate::app;
use crate::config::{Faults, Log, LogFormat, Origin};

/// What a command came to, if nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// Something is unhealthy, or a verification does not hold.
    Unhealthy,
}

/// How a failure is told, on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Text,
    /// As JSON, in the shape of the problems that hosts answer with (RFC 9457).
    Problem,
    /// As a line of the log, which is JSON.
    LogLine,
}

/// A command that was not used as it can be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(String);

impl Usage {
    pub(super) fn error(reason: impl Into<String>) -> anyhow::Error {
        Self(reason.into()).into()
    }
}

/// Exit code of what failed; clap's own of wrong usage is 2 as well.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNHEALTHY: u8 = 3;

/// The exit code of `outcome`; tells what failed.
pub(super) fn exit_code(outcome: anyhow::Result<Outcome>, form: Form) -> ExitCode {
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Unhealthy) => ExitCode::from(UNHEALTHY),
        // Whoever reads the output has seen enough: `fantascope events list | head`.
        Err(fault) if is_broken_pipe(&fault) => ExitCode::SUCCESS,
        Err(fault) => {
            match form {
                Form::Text => eprintln!("error: {}", causes(&fault).join("\n  because: ")),
                Form::Problem => eprintln!("{:#}", problem(&fault)),
                Form::LogLine => log(&causes(&fault).join(": ")),
            }
            ExitCode::from(if is_usage(&fault) { USAGE } else { FAILED })
        }
    }
}

/// What failed and why, each in words of its own.
fn causes(fault: &anyhow::Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    for cause in fault.chain().map(ToString::to_string) {
        // Many errors say their cause in their own words already.
        if causes.last().is_none_or(|said| !said.contains(&cause)) {
            causes.push(cause);
        }
    }
    causes
}

fn problem(fault: &anyhow::Error) -> Value {
    if let Some(Refused { problem, .. }) = fault.downcast_ref() {
        return problem.clone();
    }
    let settings = fault.downcast_ref::<Faults>();
    let (code, title) = match settings {
        Some(_) => ("invalid_settings", "Settings cannot be used"),
        None if is_usage(fault) => ("usage", "The command cannot be used so"),
        None if fault.is::<NoAnswer>() => ("host_unreachable", "No host answers"),
        None => ("failed", "The command failed"),
    };
    let mut problem = json!({
        "type": format!("urn:fantascope:problem:{code}"),
        "title": title,
        "detail": causes(fault).join(": "),
        "code": code,
    });
    if let Some(Faults(faults)) = settings {
        let fault = |fault: &crate::config::Fault| json!({ "key": fault.key, "origin": fault.origin.to_string(), "reason": fault.reason });
        problem["faults"] = faults.iter().map(fault).collect();
    }
    problem
}

/// The exit code of arguments that can't be parsed, told as a problem.
pub(super) fn refuse_arguments(fault: &clap::Error) -> ExitCode {
    exit_code(Err(Usage::error(fault.to_string().trim())), Form::Problem)
}

/// Writes a line of the log, which has not begun if the settings are at fault.
fn log(message: &str) {
    let settings = Log { level: "info".to_owned(), format: LogFormat::Json };
    if app::start_logging(&settings).is_ok() {
        tracing::error!("{message}");
    }
}

fn is_broken_pipe(fault: &anyhow::Error) -> bool {
    let is_it = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|fault| fault.kind() == std::io::ErrorKind::BrokenPipe)
    };
    fault.chain().any(is_it)
}

/// Whether the arguments are to blame.
fn is_usage(fault: &anyhow::Error) -> bool {
    let is_flag = |faults: &Faults| faults.0.iter().all(|fault| matches!(fault.origin, Origin::Flag(_)));
    fault.is::<Usage>() || fault.downcast_ref().is_some_and(is_flag)
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
        assert_eq!(causes(&fault), ["the import failed", "cannot write `a`", "the disk is full"]);
        let fault = Err::<(), _>(io()).context("cannot write `a`: the disk is full").expect_err("an error");
        assert_eq!(causes(&fault), ["cannot write `a`: the disk is full"]);
    }

    #[test]
    fn tells_failures_in_the_shape_of_problems() {
        let fault = Err::<(), _>(std::io::Error::other("the disk is full")).context("cannot write `a`");
        assert_eq!(
            problem(&fault.expect_err("an error")),
            json!({
                "type": "urn:fantascope:problem:failed",
                "title": "The command failed",
                "detail": "cannot write `a`: the disk is full",
                "code": "failed",
            })
        );
        assert_eq!(problem(&Usage::error("say which"))["code"], "usage");
    }
}
