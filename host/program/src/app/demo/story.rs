//! What the demo shows in the end: a read model, and the way one event took.

use std::fmt::Write as _;
use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Map, Value, json};

use super::history::old_order;
use crate::app::Host;
use model::event::StoredEvent;
use read_model::{Condition, Query};
use store::Filter;

/// Tells it, as text or as JSON.
pub(super) async fn tell(host: &Host, url: &str, as_json: bool) -> anyhow::Result<()> {
    let orders = rows(host, "order_list", "orders", None, 8).await?;
    let Some((order, _)) = old_order(&host.store).await? else {
        anyhow::bail!("the history has no order yet: give it more events with --events");
    };
    let events = host
        .store
        .events(
            &Filter {
                aggregate_id: Some(order.clone()),
                aggregate_type: Some("Order".to_owned()),
                ..Filter::default()
            },
            20,
        )
        .await?;
    let row = rows(host, "order_list", "orders", Some(("id", &order)), 1).await?.into_iter().next();
    let locked =
        rows(host, "family_account", "families", Some(("portal_access", "locked")), 1).await?.into_iter().next();
    let mut out = String::new();
    if as_json {
        let story = json!({ "url": url, "events": host.store.head(), "orders": orders, "order": order, "order_events": events, "order_row": row, "locked_family": locked });
        writeln!(out, "{story:#}")?;
        return print(&out);
    }
    writeln!(out, "\nThe read model `order_list_orders`, its first rows:\n")?;
    print_rows(&mut out, &orders, &["id", "customer", "status", "total_cents", "currency", "placed_at"])?;
    print_way(&mut out, &order, &events, row.as_ref(), url)?;
    if let Some(family) = locked {
        writeln!(out, "\nWhy is {} locked out of the portal? `family_account_families` knows:", text(&family, "name"))?;
        writeln!(out, "  {}", text(&family, "locked_because"))?;
    }
    print(&out)
}

/// Unlike `println!`, says so if nobody reads any more.
fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

async fn rows(
    host: &Host,
    projection: &str,
    table: &str,
    condition: Option<(&str, &str)>,
    limit: usize,
) -> anyhow::Result<Vec<Map<String, Value>>> {
    let Some((id, definition)) = host.projections.board().table(projection, table, |_, live| live) else {
        anyhow::bail!("projection `{projection}` does not run: see the errors above");
    };
    let condition = condition.map(|(column, value)| Condition { column: column.to_owned(), value: value.to_owned() });
    let query = Query { conditions: condition.into_iter().collect(), limit, after: None };
    Ok(host.read_model.query(&id, &definition, &query).await?.rows)
}

fn print_rows(out: &mut String, rows: &[Map<String, Value>], columns: &[&str]) -> std::fmt::Result {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.to_uppercase()));
    for row in rows {
        table.add_row(columns.iter().map(|column| text(row, column)));
    }
    writeln!(out, "{table}")
}

fn print_way(
    out: &mut String,
    order: &str,
    events: &[StoredEvent],
    row: Option<&Map<String, Value>>,
    url: &str,
) -> std::fmt::Result {
    writeln!(out, "\nThe way of `{order}`, which was placed in a schema of old:\n")?;
    for event in events {
        let (position, at) = (event.position, event.event_timestamp);
        writeln!(out, "  {position:>7}  {at}  {} v{}  {}", event.event_type, event.event_version, event.event_data)?;
    }
    writeln!(out, "     ↓  upcast to the current schemas, folded in the sandbox, committed with the checkpoint")?;
    if let Some(row) = row {
        let shown: Vec<String> =
            row.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| format!("{name}={value}")).collect();
        writeln!(out, "  {}", shown.join("  "))?;
    }
    writeln!(out, "     ↓\n  {url}/v1/projections/order_list/tables/orders?id={order}")
}

fn text(row: &Map<String, Value>, column: &str) -> String {
    match row.get(column) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}
