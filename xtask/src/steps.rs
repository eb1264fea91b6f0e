//! Steps of a chore: each is run, timed and told of at the end.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use anyhow::bail;

/// What was done, what failed, and what could not be done at all.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Step {
    name: Cow<'static, str>,
    took: Duration,
    fault: Option<String>,
}

impl Steps {
    /// Runs a step. One that fails is told of at once and again at the end, and does
    /// not keep the others from being run.
    pub(crate) fn run<T>(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        step: impl FnOnce() -> anyhow::Result<T>,
    ) -> Option<T> {
        let name = name.into();
        eprintln!("=== {name}");
        let start = Instant::now();
        let outcome = step();
        let fault = outcome.as_ref().err().map(|fault| format!("{fault:#}"));
        if let Some(fault) = &fault {
            eprintln!("error: {fault}");
        }
        self.done.push(Step { name, took: start.elapsed(), fault });
        outcome.ok()
    }

    /// Notes what is skipped, and why.
    pub(crate) fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// Tells of all steps, one line each.
    ///
    /// # Errors
    /// If one failed.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        eprintln!("===");
        for Step { name, took, fault } in &self.done {
            let outcome = if fault.is_none() { "ok    " } else { "FAILED" };
            eprintln!("{outcome} {:>6.1} s  {name}", took.as_secs_f64());
        }
        self.notes.iter().for_each(|note| eprintln!("note: {note}"));
        let failed = self.done.iter().filter(|step| step.fault.is_some()).count();
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.done.len());
        }
        Ok(())
    }
}
