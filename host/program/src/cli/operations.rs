//! `operations list`.

use comfy_table::{Cell, Color};

use super::client::Client;
use super::human;
use super::output::Output;
use http::OperationPage;
use model::change::{Label, Name};
use model::event::Timestamp;
use read_model::{Operation, Outcome};

pub(super) fn list(subject: Option<&Name>, limit: usize, client: &Client, output: Output) -> anyhow::Result<()> {
    let mut parameters = vec![("limit", limit.to_string())];
    parameters.extend(subject.map(|name| ("subject", name.to_string())));
    let page: OperationPage = client.get("/v1/operations", &parameters)?;
    if output.is_json {
        return output.json(&page.operations);
    }
    let now = Timestamp::now();
    let rows = page.operations.iter().map(|operation| row(operation, now, output)).collect();
    let header = ["id", "when", "who", "host", "operation", "of", "version", "outcome", "position", ""];
    output.table(&header, rows, "no operations yet")
}

fn row(operation: &Operation, now: Timestamp, output: Output) -> Vec<Cell> {
    let color = match operation.outcome {
        Outcome::Running => Color::Cyan,
        Outcome::Done => Color::Green,
        Outcome::Failed | Outcome::Interrupted | Outcome::Unknown => Color::Red,
        Outcome::Cancelled => Color::Yellow,
    };
    let label = operation.version.zip(operation.generation);
    let label = label.map(|(version, generation)| Label { version, generation }.to_string());
    vec![
        Cell::new(operation.id),
        Cell::new(human::ago(operation.started_at, now)),
        Cell::new(human::one_line(&operation.actor, 40)),
        Cell::new(human::one_line(operation.host.as_deref().unwrap_or_default(), 40)),
        Cell::new(&operation.operation),
        Cell::new(human::one_line(&operation.subject, 80)),
        Cell::new(label.unwrap_or_default()),
        output.colored(operation.outcome, color),
        Cell::new(operation.position.map(|position| human::count(position.0)).unwrap_or_default()),
        Cell::new(human::one_line(&operation.detail, 200)),
    ]
}
