//! Appending events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::StatusCode;
use fantascope::event::Position;
use serde_json::{Value, json};

use crate::host::{EVENTS, Host, event, request};

#[tokio::test]
async fn appends_and_reads_back() {
    let host = Host::new(|_| {}).await;
    let answer = host.append("Order/o-1", Some(0), json!([event(1), event(2)])).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let appended = answer.json();
    assert_eq!(
        (&appended["positions"], &appended["aggregate_version"], &appended["repeated"]),
        (&json!([1, 2]), &json!(2), &json!(false))
    );
    let answer = host.get(EVENTS).await;
    assert_eq!(answer.status, StatusCode::OK);
    let page = answer.json();
    assert_eq!(page["events"][1]["event_data"], json!({ "n": 2 }));
    assert_eq!(page["events"][1]["event_id"], appended["event_ids"][1]);
    assert_eq!((&page["next"], &page["head"]), (&Value::Null, &json!(2)));
    assert_eq!(host.get("/v1/aggregates/Order/nobody/events").await.json()["events"], json!([]));
}

#[tokio::test]
async fn an_expected_version_of_null_or_none_means_any() {
    let host = Host::new(|_| {}).await;
    for body in [json!({ "events": [event(1)] }), json!({ "expected_version": null, "events": [event(1)] })] {
        assert_eq!(host.post(EVENTS, body.to_string()).await.status, StatusCode::CREATED);
    }
    assert_eq!(host.append("Order/o-1", Some(2), json!([event(1)])).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_repeated_append_gets_the_first_answer() {
    let host = Host::new(|_| {}).await;
    let mut event = event(1);
    event["event_id"] = json!("00000000-0000-0000-0000-000000000001");
    let first = host.append("Order/o-1", Some(0), json!([event])).await.json();
    let answer = host.append("Order/o-1", Some(0), json!([event])).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!((&answer.json()["positions"], &answer.json()["repeated"]), (&first["positions"], &json!(true)));
    event["event_data"]["n"] = json!(2);
    let problem = host.append("Order/o-1", Some(1), json!([event])).await.problem(409, "event_id_reused");
    assert_eq!(problem["position"], 1);
    let twins = host.append("Order/o-2", None, json!([{ "event_id": uuid::Uuid::nil(), "event_type": "A", "event_data": {} }, { "event_id": uuid::Uuid::nil(), "event_type": "A", "event_data": {} }])).await;
    twins.problem(409, "event_id_reused");
}

#[tokio::test]
async fn a_conflict_names_both_versions_and_appends_nothing() {
    let host = Host::new(|_| {}).await;
    host.append("Order/o-1", None, json!([event(1)])).await;
    let problem = host.append("Order/o-1", Some(0), json!([event(2)])).await.problem(409, "version_conflict");
    assert_eq!((&problem["expected_version"], &problem["actual_version"]), (&json!(0), &json!(1)));
    assert_eq!(host.api.store.head(), Position(1));
}

#[tokio::test]
async fn refuses_bodies_that_are_no_appends() {
    let host = Host::new(|_| {}).await;
    let deep = format!("{}1{}", r#"{"a":"#.repeat(40), "}".repeat(40));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(3_000));
    let with_data = |data: &str| format!(r#"{{"events":[{{"event_type":"A","event_data":{data}}}]}}"#);
    for (body, status, code, said) in [
        (String::new(), 400, "malformed_json", "EOF while parsing"),
        ("{".to_owned(), 400, "malformed_json", "line 1 column 1"),
        ("{\n \"events\": [}".to_owned(), 400, "malformed_json", "line 2 column"),
        ("{\"events\":[]} x".to_owned(), 400, "malformed_json", "trailing characters"),
        ("[null,[]]".to_owned(), 422, "invalid_body", "expected a JSON object"),
        ("{}".to_owned(), 422, "invalid_body", "missing field `events`"),
        (r#"{"events":7}"#.to_owned(), 422, "invalid_body", "at events: invalid type"),
        (r#"{"events":[],"expected":1}"#.to_owned(), 422, "invalid_body", "unknown field `expected`"),
        (r#"{"events":[],"expected_version":-1}"#.to_owned(), 422, "invalid_body", "at expected_version"),
        (r#"{"events":[],"expected_version":"1"}"#.to_owned(), 422, "invalid_body", "at expected_version"),
        (r#"{"events":[]}"#.to_owned(), 422, "no_events", "no events"),
        (r#"{"events":[{"event_type":"A"}]}"#.to_owned(), 422, "invalid_event", "missing field `event_data`"),
        (
            r#"{"events":[{"event_type":"A","event_data":{},"event_id":"x"}]}"#.to_owned(),
            422,
            "invalid_event",
            "at events[0].event_id",
        ),
        (
            r#"{"events":[{"event_type":"A","event_data":{},"event_timestamp":"x"}]}"#.to_owned(),
            422,
            "invalid_event",
            "RFC 3339",
        ),
        (
            r#"{"events":[{"event_type":"","event_data":{}}]}"#.to_owned(),
            422,
            "invalid_event",
            "`event_type` must not be empty",
        ),
        (
            r#"{"events":[{"event_type":"A","event_data":{},"position":1}]}"#.to_owned(),
            422,
            "invalid_event",
            "unknown field `position`",
        ),
        (with_data("7"), 422, "invalid_event", "`event_data` must be a JSON object"),
        (with_data("[]"), 422, "invalid_event", "`event_data` must be a JSON object"),
        (with_data("{},\"metadata\":[]"), 422, "invalid_event", "`metadata` must be a JSON object"),
        (
            r#"{"events":[{"event_type":"A","event_data":{}},[null,"A",1,null,null,null,null,null,{}]]}"#.to_owned(),
            422,
            "invalid_event",
            "at events[1]: invalid type: sequence, expected a JSON object",
        ),
        (with_data(&deep), 422, "event_too_deep", "nested more than"),
        (with_data(&large), 413, "event_too_large", "limits.event_bytes_max"),
        (
            json!({ "events": [event(1), event(2), event(3), event(4)] }).to_string(),
            413,
            "too_many_events",
            "limits.append_events_max",
        ),
        ("x".repeat(30_000), 413, "request_too_large", "limits.request_bytes_max"),
    ] {
        let problem = host.post(EVENTS, body.clone()).await.problem(status, code);
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains(said)),
            "{body}: {problem} should say {said}"
        );
    }
    let malformed = host.post(EVENTS, "{\n \"events\": [}").await.problem(400, "malformed_json");
    assert_eq!((&malformed["line"], &malformed["column"]), (&json!(2), &json!(13)));
    assert_eq!(host.api.store.head(), Position::START, "nothing may be appended");
}

#[tokio::test]
async fn a_body_must_be_sent_as_json() {
    let host = Host::new(|_| {}).await;
    let body = json!({ "events": [event(1)] }).to_string();
    for (content_type, accepted) in [
        (None, false),
        (Some("text/plain"), false),
        (Some("application/x-www-form-urlencoded"), false),
        (Some("Application/JSON; charset=utf-8"), true),
    ] {
        let mut request = request("POST", EVENTS);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = host.send(request.body(Body::from(body.clone())).expect("a request")).await;
        if accepted {
            assert_eq!(answer.status, StatusCode::CREATED)
        } else {
            drop(answer.problem(415, "unsupported_media_type"))
        }
    }
}

/// Distinct names for what runs at once.
static NUMBER: AtomicU64 = AtomicU64::new(0);

#[tokio::test]
async fn many_appends_at_once_lose_nothing() {
    let host = Arc::new(Host::new(|_| {}).await);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let host = Arc::clone(&host);
        running.spawn(async move {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            host.append(&format!("Order/{}", number % 5), None, json!([event(number), event(number)])).await.status
        });
    }
    while let Some(status) = running.join_next().await {
        assert_eq!(status.expect("no panic"), StatusCode::CREATED);
    }
    assert_eq!(host.api.store.head(), Position(40));
}
