//! `events list` and `events tail`.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use anyhow::{Context as _, bail};
use comfy_table::Cell;

use super::arguments::{Events, Filter};
use super::client::Client;
use super::output::Output;
use super::{human, sse};
use http::EventPage;
use model::event::{StoredEvent, Timestamp};

/// Characters of a payload in a table.
const DATA_WIDTH: usize = 60;

/// After the connection is lost, the host is called again this often …
const CALLS_AGAIN: usize = 30;

/// … after this time each.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) fn run(command: &Events, client: &Client, output: Output) -> anyhow::Result<()> {
    match command {
        Events::List { filter, limit, since, correlation_id } => {
            let mut parameters = parameters(filter);
            parameters.push(("limit", limit.to_string()));
            parameters.extend(since.map(|since| ("since", since.to_string())));
            parameters.extend(correlation_id.clone().map(|id| ("correlation_id", id)));
            list(&client.get("/v1/events", &parameters)?, output)
        }
        Events::Tail { filter } => tail(filter, client, output),
    }
}

fn parameters(filter: &Filter) -> Vec<(&'static str, String)> {
    let all = [
        ("after", filter.after.map(|after| after.to_string())),
        ("type", filter.event_type.clone()),
        ("aggregate_type", filter.aggregate_type.clone()),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn list(page: &EventPage, output: Output) -> anyhow::Result<()> {
    if output.is_json {
        return output.json(page);
    }
    let now = Timestamp::now();
    let row = |event: &StoredEvent| {
        let mut cells = vec![
            Cell::new(event.position),
            Cell::new(format!("{} v{}", human::one_line(&event.event_type, 200), event.event_version)),
            Cell::new(aggregate(event)),
        ];
        if !output.quiet {
            cells.push(Cell::new(human::ago(event.event_timestamp, now)));
            cells.push(Cell::new(human::one_line(event.user_id.as_deref().unwrap_or_default(), 30)));
            cells.push(Cell::new(human::one_line(event.event_data.get(), DATA_WIDTH)));
        }
        cells
    };
    let rows = page.events.iter().map(row).collect();
    output.table(&["position", "event", "aggregate", "when", "by", "data"], rows, "no events")?;
    match page.next {
        Some(next) if !output.quiet => output.line(&format!("… more with --after {next}")),
        _ => Ok(()),
    }
}

fn aggregate(event: &StoredEvent) -> String {
    let (of_type, id) = (human::one_line(&event.aggregate_type, 200), human::one_line(&event.aggregate_id, 200));
    format!("{of_type}/{id}@{}", event.aggregate_version)
}

fn tail(filter: &Filter, client: &Client, output: Output) -> anyhow::Result<()> {
    let parameters = parameters(filter);
    let mut last_received = None;
    let mut stream = BufReader::new(client.stream("/v1/events/live", &parameters, &[])?);
    loop {
        follow(&mut stream, &mut last_received, output)?;
        stream = BufReader::new(call_again(client, &parameters, last_received.as_deref())?);
    }
}

fn call_again(
    client: &Client,
    parameters: &[(&str, String)],
    last_received: Option<&str>,
) -> anyhow::Result<ureq::BodyReader<'static>> {
    let headers: Vec<_> = last_received.map(|id| ("last-event-id", id.to_owned())).into_iter().collect();
    for _ in 1..CALLS_AGAIN {
        std::thread::sleep(PAUSE);
        if let Ok(stream) = client.stream("/v1/events/live", parameters, &headers) {
            return Ok(stream);
        }
    }
    client.stream("/v1/events/live", parameters, &headers).context("the connection is lost, and does not come back")
}

/// Prints what comes, until the connection is lost.
fn follow(stream: &mut impl BufRead, last_received: &mut Option<String>, output: Output) -> anyhow::Result<()> {
    while let Ok(Some(message)) = sse::next(stream) {
        if message.event == "problem" {
            bail!("the host ended the stream: {}", message.data);
        }
        let event: StoredEvent =
            serde_json::from_str(&message.data).context("this is not an event of a host of this version")?;
        if output.is_json {
            output.line(&serde_json::to_string(&event)?)?;
        } else {
            print(&event, output)?;
        }
        *last_received = Some(message.id);
    }
    Ok(())
}

fn print(event: &StoredEvent, output: Output) -> anyhow::Result<()> {
    let head = format!(
        "{}  {} v{}  {}",
        event.position,
        human::one_line(&event.event_type, 200),
        event.event_version,
        aggregate(event)
    );
    if output.quiet {
        return output.line(&head);
    }
    output.line(&format!("{}  {head}  {}", event.event_timestamp, human::one_line(event.event_data.get(), 200)))
}
