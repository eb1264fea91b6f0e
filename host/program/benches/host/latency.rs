//! The delay from an append's answer to the row being readable, by another
//! connection, at 200 appends a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fantascope::change::Digest;
use fantascope::database::{Database, query};
use fantascope::event::NewEvent;
use fantascope::guest::ProjectionPlugin;
use fantascope::limits::Limits;
use fantascope::projection::{Projections, Resources, Upcasters, sandboxed};
use fantascope::read_model::ReadModel;
use fantascope::store::{Expected, Store};
use serde_json::value::RawValue;

use crate::home::Home;
use crate::report::Report;

const APPENDS: u32 = 2_000;
const PAUSE: Duration = Duration::from_millis(5);
const POLL: Duration = Duration::from_micros(200);

pub(crate) async fn measure(home: &Home, plugin: &ProjectionPlugin, report: &mut Report) -> anyhow::Result<()> {
    // Events and rows in one database, as by default.
    let database = Database::at(&home.fresh("latency").await?).await?;
    let store = Store::open(&database, &Limits::default()).await?;
    let projections = Projections::new(Resources {
        store: store.clone(),
        read_model: ReadModel::open(&database).await?,
        upcasters: Upcasters::new(Vec::new())?,
        limits: Limits::default(),
        poll: Duration::from_millis(100),
    });
    let (manifest, plugin) = (Arc::clone(&plugin.manifest), plugin.clone());
    projections.start(manifest, Digest([0; 32]), sandboxed(plugin.clone())).await?;
    projections.caught_up().await;
    let mut delays = Vec::new();
    let mut next = tokio::time::interval(PAUSE);
    for number in 0..APPENDS {
        next.tick().await;
        let id = format!("order-{number:08}");
        store.append("Order", &id, Expected::Version(0), vec![placed()]).await?;
        delays.push(until_readable(&database, &id).await?);
    }
    projections.drain().await;
    delays.sort();
    report.latency(&delays);
    Ok(())
}

async fn until_readable(database: &Database, id: &str) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mut reader = database.read().await?;
    loop {
        let found = query("SELECT total_cents FROM order_list_orders WHERE id = ?").bind(id.to_owned());
        if found.optional(&mut reader).await?.is_some() {
            return Ok(began.elapsed());
        }
        tokio::time::sleep(POLL).await;
    }
}

fn placed() -> NewEvent {
    let data = r#"{"customer":"ada","currency":"EUR","total_cents":4200,"lines":[{"sku":"a","quantity":1,"unit_cents":4200}]}"#;
    NewEvent {
        event_id: None,
        event_type: "OrderPlaced".to_owned(),
        event_version: 2,
        event_timestamp: None,
        user_id: None,
        correlation_id: None,
        causation_id: None,
        metadata: None,
        event_data: RawValue::from_string(data.to_owned()).unwrap_or_default(),
    }
}
