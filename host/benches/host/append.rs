//! Appending: in lists of 100, one by one, and one by one from 32 callers at once.

use std::time::Instant;

use fantascope::database::Database;
use fantascope::event::NewEvent;
use fantascope::limits::Limits;
use fantascope::store::{Expected, Store};
use serde_json::value::RawValue;

use crate::Size;
use crate::home::Home;
use crate::report::{Median, Report};

const CALLERS: u64 = 32;

pub(crate) async fn measure(home: &Home, size: &Size, report: &mut Report) -> anyhow::Result<()> {
    let mut rates: [Median; 3] = Default::default();
    for round in 0..size.rounds {
        let database = Database::at(&home.fresh("appended").await?).await?;
        let store = Store::open(&database, &Limits::default()).await?;
        let [lists, singles, callers] = &mut rates;
        lists.add(rate(&store, &format!("list-{round}"), size.slow_events * 5, 100).await?);
        singles.add(rate(&store, &format!("single-{round}"), size.slow_events / 10, 1).await?);
        callers.add(at_once(&store, round, size.slow_events).await?);
    }
    report.appends(&rates);
    Ok(())
}

/// Events a second, appended `list` at a time by one caller.
async fn rate(store: &Store, aggregate: &str, events: u64, list: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    for number in 0..events / list {
        let page = (0..list).map(|_| event()).collect();
        store.append("Order", aggregate, Expected::Version(number * list), page).await?;
    }
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

/// Events a second, appended one by one by many callers.
async fn at_once(store: &Store, round: usize, events: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let store = store.clone();
            tokio::spawn(async move { rate(&store, &format!("caller-{round}-{caller}"), events / CALLERS, 1).await })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

fn event() -> NewEvent {
    let data = r#"{"payment_id":"payment-1","amount_cents":4200,"currency":"EUR"}"#;
    NewEvent {
        event_id: None,
        event_type: "OrderPaid".to_owned(),
        event_version: 1,
        event_timestamp: None,
        user_id: Some("user-1".to_owned()),
        correlation_id: None,
        causation_id: None,
        metadata: None,
        event_data: RawValue::from_string(data.to_owned()).unwrap_or_default(),
    }
}
