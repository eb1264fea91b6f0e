//! Events in one database, read models in another.

use std::sync::Arc;
use std::time::Duration;

use fantascope::event::{NewEvent, Position};
use fantascope::guest::Kind;
use fantascope::limits::Limits;
use fantascope::projection::{Phase, Projections, Resources, Upcasters, sandboxed};
use fantascope::read_model::{Query, ReadModel};
use fantascope::store::{Expected, Store};
use serde_json::{Value, json};

use crate::place::Place;
use crate::stage::{PATIENCE, slides};

const KINDS: [&str; 3] = ["sqlite", "postgres", "mariadb"];

async fn append(store: &Store, count: u64) {
    for number in 0..count {
        let event: NewEvent =
            serde_json::from_value(json!({ "event_type": "Slide", "event_data": { "n": number % 7 } })).unwrap();
        store.append("Show", &format!("s-{}", number % 5), Expected::Any, vec![event]).await.unwrap();
    }
}

/// Folds what is in `events` into `rows`, on from where that was left, with a kill in the middle:
/// the first host is dropped while it folds.
async fn folded(events: &Place, rows: &Place, up_to: u64) -> Vec<Value> {
    let limits = Limits { batch_events_max: 7, ..Limits::default() };
    let Kind::Projection(plugin) = rows.sandbox().admit(&slides(1, "plain", 0)).unwrap().kind else {
        panic!("slides are a projection")
    };
    for is_last in [false, true] {
        let store = Store::open(&events.database().await, &limits).await.unwrap();
        let read_model = ReadModel::open(&rows.database().await).await.unwrap();
        let projections = Projections::new(Resources {
            store: store.clone(),
            read_model: read_model.clone(),
            upcasters: Upcasters::new(Vec::new()).unwrap(),
            limits: limits.clone(),
            poll: Duration::from_millis(5),
        });
        let manifest = Arc::clone(&plugin.manifest);
        let digest = guest::digest(b"any");
        let id = projections.start(manifest, digest, sandboxed(plugin.clone())).await.unwrap();
        if !is_last {
            while projections.board().position(&id).unwrap_or_default() == Position::START {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            continue;
        }
        let reached = async {
            while projections.board().position(&id).unwrap_or_default().0 < up_to {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("it comes to the end");
        let status = projections.board().status(&id, store.head()).unwrap();
        assert_ne!(status.phase, Phase::Failed, "{:?}", status.error);
        projections.drain().await;
        let query = Query { limit: 100, ..Query::default() };
        let found = read_model.query(&id, &plugin.manifest.tables[0], &query).await.unwrap();
        return found.rows.into_iter().map(Value::Object).collect();
    }
    unreachable!("the last host gives the rows")
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_rows_may_be_in_different_databases() {
    let mut expected = None;
    for events_in in KINDS {
        for rows_in in KINDS {
            let place = |kind| Place::of_kind(kind, Limits::default());
            let (Some(events), Some(rows)) = (place(events_in), place(rows_in)) else {
                println!("skipped: events in {events_in}, rows in {rows_in}");
                continue;
            };
            let store = events.store().await;
            append(&store, 203).await;
            let found = folded(&events, &rows, 203).await;
            assert_eq!(found.iter().map(|row| row["events"].as_i64().unwrap()).sum::<i64>(), 203);
            let expected = expected.get_or_insert_with(|| found.clone());
            assert_eq!(*expected, found, "events in {events_in}, rows in {rows_in}");
        }
    }
}
