//! Which requests reach a route at all.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use fantascope::http::Token;
use serde_json::json;

use crate::host::{EVENTS, Host, event, request};

#[tokio::test]
async fn refuses_requests_that_fit_no_route() {
    let host = Host::new(|_| {}).await;
    for (method, path, status, code) in [
        ("GET", "/", 404, "unknown_route"),
        ("GET", "/v1", 404, "unknown_route"),
        ("GET", "/v1/nothing", 404, "unknown_route"),
        ("GET", "/v1/aggregates/Order/events", 404, "unknown_route"),
        ("DELETE", "/v1/events", 405, "method_not_allowed"),
        ("PUT", EVENTS, 405, "method_not_allowed"),
        ("POST", "/livez", 405, "method_not_allowed"),
        ("GET", "/docs/nothing", 404, "not_found"),
        ("GET", "/v1/aggregates/%FF/a/events", 400, "invalid_parameter"),
    ] {
        host.send(request(method, path).body(Body::empty()).expect("a request")).await.problem(status, code);
    }
    let answer = host.send(request("DELETE", "/v1/events").body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.headers["allow"], "GET,HEAD");
    host.post("/v1/aggregates//o-1/events", json!({ "events": [event(1)] }).to_string())
        .await
        .problem(400, "invalid_parameter");
    let long = format!("/v1/aggregates/Order/{}/events", "x".repeat(201));
    host.post(&long, json!({ "events": [event(1)] }).to_string()).await.problem(400, "invalid_parameter");
}

#[tokio::test]
async fn asks_for_the_token_everywhere_but_where_health_is_told() {
    let host = Host::new(|api| api.token = Some(Token::new("hush"))).await;
    let with = |path: &str, header: &'static str| {
        request("GET", path).header("authorization", header).body(Body::empty()).expect("a request")
    };
    for path in [
        "/v1/events",
        "/v1/events/live",
        EVENTS,
        "/v1/projections",
        "/v1/projections/x",
        "/v1/projections/x/tables/y",
        "/v1/plugins",
        "/metrics",
    ] {
        let answer = host.get(path).await;
        answer.problem(401, "unauthorized");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        for wrong in ["Bearer hus", "Bearer hushh", "Bearer", "Basic hush", "hush"] {
            host.send(with(path, wrong)).await.problem(401, "unauthorized");
        }
    }
    host.post(EVENTS, "{").await.problem(401, "unauthorized");
    assert_eq!(host.send(with("/v1/events", "Bearer hush")).await.status, StatusCode::OK);
    assert_eq!(host.send(with("/metrics", "bearer hush")).await.status, StatusCode::OK);
    for path in ["/livez", "/readyz"] {
        assert_eq!(host.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_are_kept_out_where_no_token_is_asked_for() {
    let host = Host::new(|_| {}).await;
    let send = |name: &'static str, value: &'static str| {
        let request = Request::builder().uri("/v1/events").header(name, value);
        if name == "host" { request } else { request.header("host", "localhost:7711") }
            .body(Body::empty())
            .expect("a request")
    };
    host.send(send("host", "rebound.example:7711")).await.problem(421, "bad_host");
    host.send(send("origin", "https://evil.example")).await.problem(403, "cross_site");
    assert_eq!(host.send(send("origin", "http://localhost:7711")).await.status, StatusCode::OK);
    assert_eq!(host.send(send("host", "[::1]:7711")).await.status, StatusCode::OK);
    host.send(Request::builder().uri("/v1/events").body(Body::empty()).expect("a request"))
        .await
        .problem(421, "bad_host");
    let guarded = Host::new(|api| api.token = Some(Token::new("hush"))).await;
    let request =
        Request::builder().uri("/v1/events").header("host", "api.example").header("authorization", "Bearer hush");
    assert_eq!(guarded.send(request.body(Body::empty()).expect("a request")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_answer_invites_other_origins() {
    let host = Host::new(|_| {}).await;
    let answer = host.get("/v1/events").await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn answers_and_problems_bear_the_id_of_their_request() {
    let host = Host::new(|_| {}).await;
    for path in ["/v1/events", "/v1/nothing", "/livez"] {
        let asked = request("GET", path).header("x-request-id", "from-the-caller.7");
        let answer = host.send(asked.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.headers["x-request-id"], "from-the-caller.7", "{path}");
    }
    let asked = request("GET", "/v1/nothing").header("x-request-id", "from-the-caller.7");
    let problem = host.send(asked.body(Body::empty()).expect("a request")).await.problem(404, "unknown_route");
    assert_eq!(problem["request_id"], "from-the-caller.7");
    // What is not fit for a line of the log is not taken; others get one each.
    let asked = request("GET", "/v1/nothing").header("x-request-id", "two words");
    let one = host.send(asked.body(Body::empty()).expect("a request")).await;
    let other = host.get("/v1/nothing").await;
    for answer in [&one, &other] {
        let id = answer.headers["x-request-id"].to_str().expect("ASCII");
        assert!(id.len() == 32 && answer.problem(404, "unknown_route")["request_id"] == id, "{}", answer.text);
    }
    assert_ne!(one.headers["x-request-id"], other.headers["x-request-id"]);
}
