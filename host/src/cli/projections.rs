//! `projection list` and `projection show`.

use comfy_table::{Cell, Color};

use super::arguments::Projection;
use super::client::Client;
use super::human;
use super::output::Output;
use crate::event::Timestamp;
use crate::projection::{Phase, Status};

pub(super) fn run(command: &Projection, client: &Client, output: Output) -> anyhow::Result<()> {
    match command {
        Projection::List => list(&client.get("/v1/projections", &[])?, output),
        Projection::Show { name } => show(&client.get(&format!("/v1/projections/{name}"), &[])?, output),
    }
}

fn list(statuses: &Vec<Status>, output: Output) -> anyhow::Result<()> {
    if output.is_json {
        return output.json(statuses);
    }
    let row = |status: &Status| {
        let mut cells = vec![Cell::new(&status.projection), Cell::new(version(status)), phase(status, output)];
        if !output.quiet {
            cells.extend([
                Cell::new(human::count(status.position.0)),
                Cell::new(lag(status)),
                Cell::new(human::rate(status.events_per_second)),
            ]);
            cells.push(Cell::new(remark(status)));
        }
        cells
    };
    let rows = statuses.iter().map(row).collect();
    let empty = "no projections: put a plugin into the folder that plugins.dir names";
    output.table(&["projection", "version", "phase", "position", "behind", "rate", ""], rows, empty)
}

fn version(status: &Status) -> String {
    let live = if status.live { " live" } else { "" };
    format!("v{}{live}", status.version)
}

fn phase(status: &Status, output: Output) -> Cell {
    let color = match status.phase {
        Phase::Following => Color::Green,
        Phase::Backfilling => Color::Cyan,
        Phase::Retrying => Color::Yellow,
        Phase::Failed => Color::Red,
        Phase::Stopped => Color::DarkGrey,
    };
    output.colored(status.phase, color)
}

fn lag(status: &Status) -> String {
    match status.lag_events {
        0 => "0".to_owned(),
        events => format!("{} ({})", human::count(events), human::duration(status.lag_seconds)),
    }
}

fn remark(status: &Status) -> String {
    match (&status.error, status.phase) {
        (Some(error), _) => human::one_line(&error.message, 300),
        (None, Phase::Backfilling) => {
            let eta = status.eta_seconds.map(|eta| format!(", {} to go", human::duration(eta)));
            format!("{:.0} %{}", status.progress * 100.0, eta.unwrap_or_default())
        }
        _ => String::new(),
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
    if status.phase == Phase::Backfilling {
        add("progress", remark(status));
    }
    add("position", format!("{} of {}", human::count(status.position.0), human::count(status.head.0)));
    add("behind", lag(status));
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
