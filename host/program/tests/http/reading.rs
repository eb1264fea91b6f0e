//! Reading events, projections and rows.

use std::sync::Arc;

use axum::http::StatusCode;
use fantascope::change::{
    Cells, Changes, Column, ColumnDefinition, ColumnType, Digest, Keys, Manifest, Operation, Subscription,
    TableDefinition,
};
use fantascope::event::Checkpoint;
use fantascope::limits::Limits;
use fantascope::read_model::{Commit, TableChanges};
use serde_json::{Value, json};

use crate::host::{Answer, EVENTS, Host, event};

#[tokio::test]
async fn refuses_parameters_that_cannot_be_used() {
    let host = Host::new(|_| {}).await;
    for (path, said) in [
        ("/v1/events?limit=0", "`limit` must be from 1 to 5"),
        ("/v1/events?limit=6", "limits.page_events_max"),
        ("/v1/events?limit=x", "`limit` must be a whole number from 0 up, not `x`"),
        ("/v1/events?after=-1", "`after` must be a whole number"),
        ("/v1/events?after=1&after=2", "`after` is given more than once"),
        ("/v1/events?since=yesterday", "is not an RFC 3339 time"),
        (
            "/v1/events?typ=A",
            "`typ` is not known here: this route takes limit, after, type, aggregate_type, since, correlation_id",
        ),
        ("/v1/events/live?since=2026-01-01T00:00:00Z", "`since` is not known here"),
        ("/v1/projections?x=1", "`x` is not known here: this route takes no parameters"),
        ("/v1/plugins?x=1", "`x` is not known here"),
        ("/v1/aggregates/Order/o-1/events?type=A", "`type` is not known here"),
    ] {
        let problem = host.get(path).await.problem(400, "invalid_parameter");
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains(said)),
            "{path}: {problem} should say {said}"
        );
        assert!(problem["parameter"].is_string(), "{problem}");
    }
    host.post(&format!("{EVENTS}?x=1"), json!({ "events": [event(1)] }).to_string())
        .await
        .problem(400, "invalid_parameter");
}

#[tokio::test]
async fn events_come_in_pages_and_through_filters() {
    let host = Host::new(|_| {}).await;
    for number in 1..=7 {
        host.append(if number < 5 { "Order/o-1" } else { "Cart/c-1" }, None, json!([event(number)])).await;
    }
    let positions = |answer: &Answer| -> Vec<u64> {
        let page = answer.json();
        page["events"].as_array().expect("events").iter().filter_map(|event| event["position"].as_u64()).collect()
    };
    for (query, expected, next) in [
        ("", vec![1, 2, 3, 4, 5], json!(5)),
        ("?after=5", vec![6, 7], Value::Null),
        ("?after=7", vec![], Value::Null),
        ("?limit=2", vec![1, 2], json!(2)),
        ("?type=Even", vec![2, 4, 6], Value::Null),
        ("?aggregate_type=Cart", vec![5, 6, 7], Value::Null),
        ("?aggregate_type=Cart&type=Odd&limit=1", vec![5], json!(5)),
        ("?since=2999-01-01T00:00:00Z", vec![], Value::Null),
        ("?correlation_id=c", vec![], Value::Null),
    ] {
        let answer = host.get(&format!("/v1/events{query}")).await;
        assert_eq!((positions(&answer), &answer.json()["next"]), (expected, &next), "{query}");
    }
}

#[tokio::test]
async fn a_page_ends_before_it_is_too_large() {
    let limits = Limits { request_bytes_max: 150_000, page_events_max: 1_000, ..Limits::default() };
    let host = Host::with_limits(limits, |_| {}).await;
    let large = json!({ "event_type": "A", "event_data": { "a": "x".repeat(1_000) } });
    for _ in 0..4 {
        let events = vec![large.clone(); 100];
        assert_eq!(host.append("Order/o-1", None, json!(events)).await.status, StatusCode::CREATED);
    }
    let page = host.get("/v1/events?limit=1000").await.json();
    let events = page["events"].as_array().expect("events");
    assert!((100..300).contains(&events.len()), "{}", events.len());
    assert_eq!(page["next"], events.last().expect("an event")["position"]);
}

/// A version of a projection in the read models, with three rows in a table, as if its
/// plugin were gone.
async fn prepare(host: &Host) {
    let column =
        |name: &str, of_type| ColumnDefinition { name: name.parse().expect("a name"), of_type, nullable: false };
    let manifest = Manifest {
        sdk: "test".to_owned(),
        name: "orders".parse().expect("a name"),
        version: 1,
        subscription: Subscription::All,
        replayable: false,
        tables: vec![TableDefinition {
            name: "lines".parse().expect("a name"),
            columns: vec![column("id", ColumnType::Text), column("total", ColumnType::Integer)],
            key_columns: 1,
            keyed_by_aggregate: true,
            indexes: vec![],
        }],
    };
    let read_model = &host.api.read_model;
    let prepared = read_model.prepare(&manifest, Digest([7; 32])).await.expect("prepared");
    let mut writer = read_model.writer(&prepared, &manifest.tables);
    let column = |cells| Column { nulls: vec![0; 3], cells };
    let keys = Keys { count: 3, columns: vec![column(Cells::Texts(["a b", "b", "c"].into_iter().collect()))] };
    let changes =
        Changes { operations: vec![Operation::Put; 3], columns: vec![column(Cells::Integers(vec![1, 2, 1]))] };
    let hashes = keys.hashes();
    let lines = TableChanges::new(keys, hashes, changes, Vec::new());
    let commit = Commit { tables: vec![Arc::new(lines)], checkpoint: Checkpoint::default() };
    writer.commit(&[commit]).await.expect("committed");
}

#[tokio::test]
async fn shows_projections_that_do_not_run_here() {
    let host = Host::new(|_| {}).await;
    assert_eq!(host.get("/v1/projections").await.json(), json!([]));
    prepare(&host).await;
    host.append("Order/o-1", None, json!([event(1), event(2)])).await;
    let statuses = host.get("/v1/projections").await.json();
    let status = &statuses[0];
    assert_eq!(
        (&status["projection"], &status["phase"], &status["live"]),
        (&json!("orders"), &json!("stopped"), &json!(true))
    );
    assert_eq!((&status["position"], &status["head"], &status["lag_events"]), (&json!(0), &json!(2), &json!(2)));
    assert_eq!(host.get("/v1/projections/orders").await.json().as_array().map(Vec::len), Some(1));
    let problem = host.get("/v1/projections/order").await.problem(404, "unknown_projection");
    assert_eq!(problem["detail"], "there is no projection `order`: there is orders");
}

#[tokio::test]
async fn rows_are_read_by_column_and_page() {
    let host = Host::new(|_| {}).await;
    prepare(&host).await;
    let rows = async |query: &str| host.get(&format!("/v1/projections/orders/tables/lines{query}")).await.json();
    let first = rows("?limit=2").await;
    assert_eq!(first["rows"], json!([{ "id": "a b", "total": 1 }, { "id": "b", "total": 2 }]));
    let next = first["next"].as_str().expect("a cursor");
    assert_eq!(
        rows(&format!("?limit=2&after={next}")).await,
        json!({ "rows": [{ "id": "c", "total": 1 }], "next": null })
    );
    assert_eq!(rows("?total=1").await["rows"], json!([{ "id": "a b", "total": 1 }, { "id": "c", "total": 1 }]));
    assert_eq!(rows("?total=1&id=a%20b").await["rows"], json!([{ "id": "a b", "total": 1 }]));
    assert_eq!(rows("?id=a+b&version=1").await["rows"], json!([{ "id": "a b", "total": 1 }]));
    assert_eq!(rows("?id=%27%20OR%201=1--").await, json!({ "rows": [], "next": null }));
    let path = "/v1/projections/orders/tables";
    for (query, status, code) in [
        ("lines?version=1", 200, ""),
        ("lines?version=2", 404, "unknown_version"),
        ("line", 404, "unknown_table"),
        ("lines?amount=1", 400, "unknown_column"),
        ("lines?total=many", 400, "invalid_parameter"),
        ("lines?after=nonsense", 400, "invalid_parameter"),
        ("lines?limit=6", 400, "invalid_parameter"),
        ("lines?version=x", 400, "invalid_parameter"),
    ] {
        let answer = host.get(&format!("{path}/{query}")).await;
        if status == 200 { assert_eq!(answer.status, StatusCode::OK) } else { drop(answer.problem(status, code)) }
    }
    host.get("/v1/projections/nobody/tables/lines").await.problem(404, "unknown_projection");
}
