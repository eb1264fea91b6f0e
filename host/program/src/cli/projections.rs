//! `projection …`: how they stand, and what operators say to them.

use comfy_table::{Cell, Color};

use serde_json::{Value, json};

use super::arguments::{OnVersion, Projection, Rebuild};
use super::client::Client;
use super::confirm::confirm;
use super::exit::Outcome;
use super::human::{self, count};
use super::output::Output;
use super::plugins::value_name;
use super::wait;
use deployment::{Verification, Wanted};
use http::{Operated, StoreStatus, UpcasterRebuild};
use model::change::{Label, Name};
use model::event::Timestamp;
use projection::{Phase, Status};
use read_model::Promote;

pub(super) fn run(command: &Projection, yes: bool, client: &Client, output: Output) -> anyhow::Result<Outcome> {
    match command {
        Projection::List => {
            list(&client.get("/v1/projections", &[])?, output)?;
            warn_of_hold(client, output)?;
        }
        Projection::Show { name } => {
            show(&client.get(&format!("/v1/projections/{name}"), &[])?, output)?;
            warn_of_hold(client, output)?;
        }
        Projection::Pause(on) => tell(on, "pause", json!({}), "is paused", client, output)?,
        Projection::Resume { on, workers } => {
            tell(on, "resume", json!({ "workers": workers }), "goes on", client, output)?
        }
        Projection::Promote { on, force } => tell(on, "promote", json!({ "force": force }), "is live", client, output)?,
        Projection::Rollback { name, force } => {
            let on = OnVersion { name: name.clone(), of: None };
            tell(&on, "rollback", json!({ "force": force }), "is live again", client, output)?;
        }
        Projection::Cancel(on) => {
            let build = on.of.map_or_else(|| "what is being built".to_owned(), |version| format!("build {version}"));
            confirm(&format!("Cancel {build} of `{}`, with its tables?", on.name), yes)?;
            tell(on, "cancel", json!({}), "is gone", client, output)?;
        }
        Projection::Reset { on, to } => {
            tell(on, "reset", json!({ "to": to }), "folds again from there", client, output)?;
        }
        Projection::Rebuild(options) => return rebuild(options, client, output),
        Projection::Verify(on) => return verify(on, client, output),
    }
    Ok(Outcome::Done)
}

/// Tells the host one thing, and the caller what came of it.
fn tell(
    on: &OnVersion,
    operation: &str,
    body: Value,
    done: &str,
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    let operated: Operated = client.post(&path(&on.name, operation), &with_version(body, on.of))?;
    if output.is_json {
        return output.json(&operated);
    }
    if output.quiet {
        return Ok(());
    }
    operated.versions.iter().try_for_each(|version| output.line(&format!("{} {version} {done}", operated.projection)))
}

fn path(name: &Name, operation: &str) -> String {
    format!("/v1/projections/{name}/{operation}")
}

fn with_version(mut body: Value, version: Option<Wanted>) -> Value {
    if let Some(version) = version {
        body["version"] = Value::from(version.to_string());
    }
    body
}

fn rebuild(options: &Rebuild, client: &Client, output: Output) -> anyhow::Result<Outcome> {
    let mut body = with_version(json!({ "workers": options.workers }), options.of);
    if let Some(promote) = options.promote {
        body["promote"] = value_name(promote).into();
    }
    if let Some(moment) = &options.as_of {
        body["as_of"] = moment.parse::<u64>().map_or_else(|_| Value::from(moment.as_str()), Value::from);
    }
    if let Some(upcaster) = &options.affected_by {
        let all: Vec<UpcasterRebuild> = client.post(&format!("/v1/upcasters/{upcaster}/rebuild"), &body)?;
        return rebuilt_all(&all, options.wait, client, output);
    }
    let Some(name) = &options.name else { anyhow::bail!("say which projection to rebuild") };
    let operated: Operated = client.post(&path(name, "rebuild"), &body)?;
    let version = operated.versions.first().cloned().unwrap_or_default();
    if options.wait {
        return wait::until_built(name.as_str(), &version, client, output);
    }
    if output.is_json {
        output.json(&operated)?;
    } else if !output.quiet {
        output.line(&format!(
            "{name} {version} is being built; `fantascope projection show {name}` shows how far it is"
        ))?;
    }
    Ok(Outcome::Done)
}

fn rebuilt_all(all: &Vec<UpcasterRebuild>, wait: bool, client: &Client, output: Output) -> anyhow::Result<Outcome> {
    if output.is_json && !wait {
        output.json(all)?;
        return Ok(Outcome::Done);
    }
    let mut outcome = Outcome::Done;
    for one in all {
        let name = &one.affected.projection;
        match (&one.building, &one.error) {
            (Some(version), _) if wait => {
                if wait::until_built(name, version, client, output)? == Outcome::Unhealthy {
                    outcome = Outcome::Unhealthy;
                }
            }
            (Some(version), _) => output.line(&format!("{name} {version} is being built"))?,
            (None, error) => {
                output.line(&format!("{name} is not rebuilt: {}", error.as_deref().unwrap_or_default()))?;
                outcome = Outcome::Unhealthy;
            }
        }
    }
    if all.is_empty() && !output.quiet {
        output.line("no live version was built before it; nothing is to be rebuilt")?;
    }
    Ok(outcome)
}

fn verify(on: &OnVersion, client: &Client, output: Output) -> anyhow::Result<Outcome> {
    let verified: Verification = client.post(&path(&on.name, "verify"), &with_version(json!({}), on.of))?;
    let outcome = if verified.holds { Outcome::Done } else { Outcome::Unhealthy };
    if output.is_json {
        output.json(&verified)?;
        return Ok(outcome);
    }
    let Verification { projection, blue, green, position, .. } = &verified;
    let verdict = if verified.holds { "the same rows" } else { "they differ" };
    output.line(&format!("{projection}: {blue} against {green} at position {position}: {verdict}"))?;
    for table in &verified.comparison.tables {
        output.line(&format!("  {table} ({} against {} rows)", count(table.blue_rows), count(table.green_rows)))?;
        for (columns, side) in [(&table.columns_only_in_blue, blue), (&table.columns_only_in_green, green)] {
            if !columns.is_empty() {
                output.line(&format!("    only in {side}: {}", columns.join(", ")))?;
            }
        }
        if !table.columns_of_other_type.is_empty() {
            output
                .line(&format!("    of another type, so not compared: {}", table.columns_of_other_type.join(", ")))?;
        }
        for row in &table.sample {
            let shown = |row: &Option<serde_json::Map<String, Value>>| {
                row.as_ref().map_or_else(|| "-".to_owned(), |row| Value::from(row.clone()).to_string())
            };
            output.line(&format!("    {blue}: {}", human::one_line(&shown(&row.blue), 300)))?;
            output.line(&format!("    {green}: {}", human::one_line(&shown(&row.green), 300)))?;
        }
    }
    match &verified.determinism {
        Some(report) if report.same => {
            output.line(&format!("  folding the events up to position {} again gives the same rows", report.up_to))?
        }
        Some(report) => {
            output.line(&format!("  folding the same events again gives other rows: {}", report.comparison))?
        }
        None => {}
    }
    Ok(outcome)
}

fn list(statuses: &Vec<Status>, output: Output) -> anyhow::Result<()> {
    if output.is_json {
        return output.json(statuses);
    }
    let row = |status: &Status| {
        let mut cells = vec![Cell::new(&status.projection), Cell::new(version(status)), phase(status, output)];
        if !output.quiet {
            cells.extend([
                Cell::new(count(status.position.0)),
                Cell::new(lag(status)),
                Cell::new(human::rate(status.events_per_second)),
            ]);
            let elsewhere = status.host.as_ref().map(|host| format!("folded by {host}"));
            let remarks = [Some(remark(status)).filter(|remark| !remark.is_empty()), elsewhere];
            cells.push(Cell::new(remarks.into_iter().flatten().collect::<Vec<_>>().join(", ")));
        }
        cells
    };
    let rows = statuses.iter().map(row).collect();
    let empty = "no projections: put a plugin into the folder that plugins.dir names";
    output.table(&["projection", "version", "phase", "position", "behind", "rate", ""], rows, empty)
}

/// A line of warning if the tail of the store is held back, whatever projections say.
fn warn_of_hold(client: &Client, output: Output) -> anyhow::Result<()> {
    if output.is_json || output.quiet {
        return Ok(());
    }
    let store: StoreStatus = client.get("/v1/store", &[])?;
    let Some(hold) = store.hold else { return Ok(()) };
    let sessions = if hold.sessions.is_empty() { "an unknown session".to_owned() } else { hold.sessions.join(", or ") };
    output.line(&format!(
        "warning: no event after position {} can be read for {}, for an append is neither committed nor rolled back, by {sessions}",
        count(hold.position.0),
        human::duration(hold.seconds)
    ))
}

fn version(status: &Status) -> String {
    let label = Label { version: status.version, generation: status.generation };
    match status.as_of {
        Some(position) => format!("{label} as of {position}"),
        None => format!("{label}{}", if status.live { " live" } else { "" }),
    }
}

fn phase(status: &Status, output: Output) -> Cell {
    let color = match status.phase {
        Phase::Following => Color::Green,
        Phase::Rebuilding | Phase::Complete => Color::Cyan,
        Phase::Retrying | Phase::Lagging | Phase::Paused => Color::Yellow,
        Phase::Failed | Phase::Stuck => Color::Red,
        Phase::Stopped => Color::DarkGrey,
    };
    output.colored(status.phase, color)
}

fn lag(status: &Status) -> String {
    match status.lag_events {
        0 => "0".to_owned(),
        events => format!("{} ({})", count(events), human::duration(status.lag_seconds)),
    }
}

fn remark(status: &Status) -> String {
    match (&status.error, status.phase) {
        (Some(error), _) => human::one_line(&error.message, 300),
        (None, phase) => {
            let progress = (phase == Phase::Rebuilding).then(|| format!("{:.0} %", status.progress * 100.0));
            let eta = status.eta_seconds.map(|eta| format!("{} to go", human::duration(eta)));
            progress.into_iter().chain(eta).collect::<Vec<_>>().join(", ")
        }
    }
}

fn show(statuses: &Vec<Status>, output: Output) -> anyhow::Result<()> {
    if output.is_json {
        return output.json(statuses);
    }
    for (number, status) in statuses.iter().enumerate() {
        if number > 0 {
            output.line("")?;
        }
        describe(status, output)?;
    }
    Ok(())
}

fn describe(status: &Status, output: Output) -> anyhow::Result<()> {
    output.line(&format!("{} {}", status.projection, version(status)))?;
    let mut rows = vec![vec![Cell::new("  phase"), phase(status, output)]];
    let mut add = |name: &str, value: String| rows.push(vec![Cell::new(format!("  {name}")), Cell::new(value)]);
    if status.phase == Phase::Rebuilding {
        add("progress", remark(status));
        add("built until", count(status.built_until.0));
    }
    for partition in &status.partitions {
        let state = format!("{} at {}", count(partition.position.0), human::rate(partition.events_per_second));
        add(&format!("partition {}", partition.partition), state);
    }
    match status.promote {
        Some(Promote::Manual) => add("promote", "by hand".to_owned()),
        Some(promote) => add("promote", format!("once {}", format!("{promote:?}").to_lowercase())),
        None => {}
    }
    if let Some(host) = &status.host {
        add("folded by", host.clone());
    }
    if let Some(since) = status.live_to {
        add("was live", format!("until {}", human::ago(since, Timestamp::now())));
    }
    add("position", format!("{} of {}", count(status.position.0), count(status.head.0)));
    add("behind", lag(status));
    if let (Phase::Lagging, Some(eta)) = (status.phase, status.eta_seconds) {
        add("to go", human::duration(eta));
    }
    add("rate", human::rate(status.events_per_second));
    add("events", status.subscription.clone());
    add("tables", status.tables.join(", "));
    add("generation", status.generation.to_string());
    add("digest", status.digest.clone());
    if let Some(error) = &status.error {
        add("error", format!("{} ({})", error.message, error.code));
        add("since", human::ago(error.since, Timestamp::now()));
    }
    Output { quiet: true, ..output }.table(&[], rows, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_long_it_will_take() {
        let status = |phase: &str, eta: Option<f64>| -> Status {
            let status = json!({
                "projection": "lamp", "version": 1, "generation": 1, "live": true, "phase": phase, "position": 1,
                "head": 4, "lag_events": 3, "lag_seconds": 1.0, "events_per_second": 1.0, "built_until": 4,
                "progress": 0.25, "eta_seconds": eta, "error": null, "created_at": "2026-01-31T09:30:00Z",
                "as_of": null, "promote": null, "live_to": null, "partitions": [], "digest": "", "subscription": "",
                "tables": [], "host": null,
            });
            serde_json::from_value(status).expect("a status")
        };
        for (phase, eta, expected) in [
            ("rebuilding", Some(90.0), "25 %, 1 min 30 s to go"),
            ("rebuilding", None, "25 %"),
            ("lagging", Some(90.0), "1 min 30 s to go"),
            ("following", None, ""),
        ] {
            assert_eq!(remark(&status(phase, eta)), expected, "{phase}");
        }
    }
}
