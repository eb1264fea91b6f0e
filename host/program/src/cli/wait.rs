//! `--wait`: how far a version is, until it has come to its end.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::client::Client;
use super::exit::Outcome;
use super::human;
use super::output::Output;
use model::change::Label;
use projection::{Phase, Status};

const LOOK: Duration = Duration::from_millis(200);

/// Waits until `version` of `name` has caught up; unhealthy if it can't.
pub(super) fn until_built(name: &str, version: &str, client: &Client, output: Output) -> anyhow::Result<Outcome> {
    let bar = if output.quiet || output.is_json { ProgressBar::hidden() } else { ProgressBar::new(0) };
    bar.set_style(ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}")?);
    bar.set_prefix(format!("{name} {version}"));
    let (outcome, status) = loop {
        let statuses: Vec<Status> = client.get(&format!("/v1/projections/{name}"), &[])?;
        let label = |status: &Status| Label { version: status.version, generation: status.generation }.to_string();
        let Some(status) = statuses.into_iter().find(|status| label(status) == version) else {
            anyhow::bail!("{name} {version} is gone: it was cancelled or retired");
        };
        bar.set_length(status.built_until.0);
        bar.set_position(status.position.0.min(status.built_until.0));
        let eta = status.eta_seconds.map(|eta| format!(", {} to go", human::duration(eta))).unwrap_or_default();
        bar.set_message(format!("{} {}{eta}", status.phase, human::rate(status.events_per_second)));
        match status.phase {
            Phase::Following | Phase::Complete | Phase::Lagging => break (Outcome::Done, status),
            Phase::Failed | Phase::Stopped | Phase::Paused => break (Outcome::Unhealthy, status),
            Phase::Rebuilding | Phase::Stuck | Phase::Retrying => std::thread::sleep(LOOK),
        }
    };
    bar.finish_and_clear();
    if output.is_json {
        output.json(&status)?;
    } else if !output.quiet {
        let reason = status.error.map(|error| format!(": {}", error.message)).unwrap_or_default();
        output.line(&format!("{name} {version} is {}{reason}", status.phase))?;
    }
    Ok(outcome)
}
