//! `plugin list`, `plugin inspect`, `plugin deploy` and `plugin remove`.

use std::path::Path;

use anyhow::Context as _;
use comfy_table::{Cell, Color};

use super::arguments::Deploy;
use super::client::Client;
use super::confirm::confirm;
use super::exit::Outcome;
use super::human;
use super::output::Output;
use super::wait;
use crate::app;
use crate::config::Config;
use deployment::{Deployed, PluginInfo, PluginStatus};
use guest::digest;

pub(super) fn list(client: &Client, output: Output) -> anyhow::Result<()> {
    let plugins: Vec<PluginInfo> = client.get("/v1/plugins", &[])?;
    if output.is_json {
        return output.json(&plugins);
    }
    let row = |plugin: &PluginInfo| {
        let color = match plugin.status {
            PluginStatus::Loading => Color::Cyan,
            PluginStatus::Active => Color::Green,
            PluginStatus::Superseded => Color::DarkGrey,
            PluginStatus::Refused => Color::Red,
        };
        let mut cells = vec![Cell::new(human::one_line(&plugin.file, 200)), output.colored(plugin.status, color)];
        if !output.quiet {
            let version = plugin.version.map(|version| format!("v{version}"));
            cells.extend(
                [plugin.kind.clone(), plugin.name.clone(), version].map(|cell| Cell::new(cell.unwrap_or_default())),
            );
            cells.push(Cell::new(human::bytes(plugin.size_bytes)));
            cells.push(Cell::new(plugin.digest.get(..12).unwrap_or(&plugin.digest)));
            cells.push(Cell::new(human::one_line(plugin.error.as_deref().unwrap_or_default(), 300)));
        }
        cells
    };
    let rows = plugins.iter().map(row).collect();
    output.table(&["file", "status", "kind", "name", "version", "size", "sha-256", ""], rows, "no plugins")
}

pub(super) fn deploy(deploy: &Deploy, client: &Client, output: Output) -> anyhow::Result<Outcome> {
    let file = deploy.file.file_name().with_context(|| format!("`{}` is no file", deploy.file.display()))?;
    let bytes = std::fs::read(&deploy.file).with_context(|| format!("cannot read `{}`", deploy.file.display()))?;
    let mut parameters = vec![("sha256", digest(&bytes).to_string())];
    parameters.extend(deploy.promote.map(|when| ("promote", value_name(when))));
    parameters.extend(deploy.when_rows_differ.map(|what| ("when_rows_differ", value_name(what))));
    parameters.extend(deploy.workers.map(|workers| ("workers", workers.to_string())));
    let deployed: Deployed = client.put(&format!("/v1/plugins/{}", file.to_string_lossy()), &parameters, &bytes)?;
    if output.is_json && !deploy.wait {
        output.json(&deployed)?;
        return Ok(Outcome::Done);
    }
    let name = deployed.plugin.name.clone().unwrap_or_default();
    let version = deployed.version.clone().unwrap_or_default();
    let pause = deployed.pause_ms.map(|pause| format!(", after a pause of {pause:.1} ms"));
    if !output.quiet && !output.is_json {
        let what = [name.as_str(), version.as_str()].join(" ");
        output.line(&format!("{}: {}{}", what.trim_end(), deployed.outcome, pause.unwrap_or_default()))?;
        if let Some(sample) = &deployed.sample {
            output.line(&format!("  the events up to position {} make: {}", sample.up_to, sample.comparison))?;
        }
        if let Some(trial) = &deployed.upcaster {
            output.line(&format!(
                "  {} positions of the first {} change; it holds for events after position {}",
                trial.changed, trial.up_to, trial.effective_after
            ))?;
        }
        for advice in &deployed.advice {
            output.line(&format!("  {advice}"))?;
        }
    }
    match (deploy.wait, deployed.version) {
        (true, Some(version)) => wait::until_built(&name, &version, client, output),
        _ => Ok(Outcome::Done),
    }
}

pub(super) fn remove(name: &str, force: bool, yes: bool, client: &Client, output: Output) -> anyhow::Result<()> {
    let tables = if force { "all its tables" } else { "the tables of its builds" };
    confirm(&format!("Remove `{name}` with {tables}? Its events stay."), yes)?;
    let removed: PluginInfo = client.delete(&format!("/v1/plugins/{name}"), &[("force", force.to_string())])?;
    if output.is_json {
        return output.json(&removed);
    }
    if output.quiet { Ok(()) } else { output.line(&format!("{} was removed", removed.name.unwrap_or(removed.file))) }
}

/// How a value is written on the command line, which is how the host calls it.
pub(super) fn value_name(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

pub(super) fn inspect(file: &Path, config: &Config, output: Output) -> anyhow::Result<()> {
    let inspection = app::inspect(file, config)?;
    // What a plugin declares is nested; JSON shows that best, to people too.
    output.json(&inspection)
}
