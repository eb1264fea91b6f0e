//! The histories that are folded: orders, in two shapes.

use std::sync::Arc;

use fantascope::database::Database;
use fantascope::event::{ImportedEvent, Timestamp};
use fantascope::limits::Limits;
use fantascope::store::Store;
use serde_json::value::RawValue;
use uuid::Uuid;

/// How events fall on aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Two events per order: placed, and shipped up to 4,000 orders later.
    ManyOrders,
    /// All events on 10,000 orders: placed, then paid again and again.
    FewOrders,
}

/// Appends `events` events to the store at `url`, in chunks.
pub(crate) async fn fill(url: &str, shape: Shape, events: u64) -> anyhow::Result<()> {
    let database = Database::at(url).await?;
    let store = Store::open(&database, &Limits::default()).await?;
    let mut chunk = Vec::with_capacity(5_000);
    for event in generate(shape, events) {
        chunk.push(event);
        if chunk.len() == 5_000 {
            store.import(Arc::new(std::mem::take(&mut chunk))).await?;
        }
    }
    store.import(Arc::new(chunk)).await?;
    Ok(())
}

/// The first `events` events of a shape; always the same.
pub(crate) fn generate(shape: Shape, events: u64) -> Box<dyn Iterator<Item = ImportedEvent>> {
    match shape {
        Shape::ManyOrders => Box::new(many_orders(events)),
        Shape::FewOrders => Box::new((0..events).map(|number| {
            let (order, round) = (number % 10_000, number / 10_000);
            if round == 0 { placed(number, order) } else { paid(number, order, round) }
        })),
    }
}

fn many_orders(events: u64) -> impl Iterator<Item = ImportedEvent> {
    // A ring of orders that wait to be shipped; a new order takes the place of one
    // that is picked by a hash, which is shipped then.
    let mut waiting: Vec<u64> = Vec::new();
    let mut next = 0;
    let orders = events / 2;
    (0..events).map(move |number| {
        let ships = (number % 2 == 1 && waiting.len() > 2_000) || next == orders;
        if ships && !waiting.is_empty() {
            let index = usize::try_from(mix(number) % waiting.len() as u64).unwrap_or(0);
            return shipped(number, waiting.swap_remove(index));
        }
        waiting.push(next);
        next += 1;
        placed(number, next - 1)
    })
}

fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn placed(number: u64, order: u64) -> ImportedEvent {
    let (customer, quantity, cents) = (mix(order) % 5_000, 1 + mix(order ^ 1) % 3, 500 + mix(order ^ 2) % 9_500);
    let total = i64::try_from(quantity * cents).unwrap_or(0);
    let data = format!(
        r#"{{"customer":"customer-{customer}","currency":"EUR","total_cents":{total},"lines":[{{"sku":"sku-{}","quantity":{quantity},"unit_cents":{cents}}}]}}"#,
        mix(order ^ 3) % 300
    );
    event(number, order, 1, "OrderPlaced", 2, &data)
}

fn shipped(number: u64, order: u64) -> ImportedEvent {
    let data = format!(r#"{{"carrier":"dhl","tracking":"{:012}"}}"#, mix(order ^ 4) % 1_000_000_000_000);
    event(number, order, 2, "OrderShipped", 1, &data)
}

fn paid(number: u64, order: u64, round: u64) -> ImportedEvent {
    let data =
        format!(r#"{{"payment_id":"payment-{number}","amount_cents":{},"currency":"EUR"}}"#, mix(number) % 10_000);
    event(number, order, round + 1, "OrderPaid", 1, &data)
}

fn event(number: u64, order: u64, version: u64, event_type: &str, event_version: u32, data: &str) -> ImportedEvent {
    ImportedEvent {
        position: None,
        event_id: Uuid::from_u64_pair(mix(number), number),
        event_type: event_type.to_owned(),
        event_version,
        aggregate_type: "Order".to_owned(),
        aggregate_id: format!("order-{order:08}"),
        aggregate_version: version,
        event_timestamp: Timestamp(1_700_000_000_000_000 + i64::try_from(number).unwrap_or(0) * 1_000_000),
        user_id: Some(format!("user-{}", mix(order ^ 5) % 50)),
        correlation_id: Some(format!("order-{order:08}")),
        causation_id: None,
        metadata: None,
        event_data: RawValue::from_string(data.to_owned()).expect("generated payloads are JSON"),
    }
}
