//! The HTTP interface: what each route answers, and how each fault is told.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use fantascope::change::{ColumnDefinition, ColumnType, Digest, Manifest, Subscription, TableDefinition};
use fantascope::database::Database;
use fantascope::event::Position;
use fantascope::http::{self, Api, PluginInfo, PluginList, PluginStatus, Token};
use fantascope::limits::Limits;
use fantascope::read_model::ReadModel;
use fantascope::store::Store;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// A host over a new store, called without a network.
struct Host {
    _folder: tempfile::TempDir,
    api: Api,
    router: Router,
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Host {
    async fn new(change: impl FnOnce(&mut Api)) -> Self {
        Self::with_limits(Limits { event_bytes_max: 2_000, append_events_max: 3, request_bytes_max: 20_000, page_events_max: 5, live_clients_max: 1, ..Limits::default() }, change).await
    }

    async fn with_limits(limits: Limits, change: impl FnOnce(&mut Api)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open(&format!("sqlite:{}/store.sqlite", folder.path().display())).await.expect("a database");
        let mut api = Api {
            store: Store::open(&database, &limits).await.expect("a store"),
            read_model: ReadModel::open(&database).await.expect("read models"),
            board: Default::default(),
            limits,
            token: None,
            plugins: PluginList::default(),
        };
        change(&mut api);
        Self { _folder: folder, router: http::router(api.clone()), api }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("a body");
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path).body(Body::empty()).expect("a request")).await
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        let request = request("POST", path).header("content-type", "application/json");
        self.send(request.body(body.into()).expect("a request")).await
    }

    async fn append(&self, aggregate: &str, expected: Option<u64>, events: Value) -> Answer {
        let body = json!({ "expected_version": expected, "events": events });
        self.post(&format!("/v1/aggregates/{aggregate}/events"), body.to_string()).await
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|fault| panic!("{fault}: {}", self.text))
    }

    /// Checks that it is a problem of this status and code, and gives it.
    fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!((self.status.as_u16(), problem["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:fantascope:problem:{code}"));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}

fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "127.0.0.1:7711")
}

fn event(number: u64) -> Value {
    json!({ "event_type": if number % 2 == 0 { "Even" } else { "Odd" }, "event_data": { "n": number } })
}

const EVENTS: &str = "/v1/aggregates/Order/o-1/events";

#[tokio::test]
async fn appends_and_reads_back() {
    let host = Host::new(|_| {}).await;
    let answer = host.append("Order/o-1", Some(0), json!([event(1), event(2)])).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let appended = answer.json();
    assert_eq!((&appended["positions"], &appended["aggregate_version"], &appended["repeated"]), (&json!([1, 2]), &json!(2), &json!(false)));
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
        ("[null,[]]".to_owned(), 422, "invalid_body", "must be a JSON object"),
        ("{}".to_owned(), 422, "invalid_body", "missing field `events`"),
        (r#"{"events":7}"#.to_owned(), 422, "invalid_body", "at events: invalid type"),
        (r#"{"events":[],"expected":1}"#.to_owned(), 422, "invalid_body", "unknown field `expected`"),
        (r#"{"events":[],"expected_version":-1}"#.to_owned(), 422, "invalid_body", "at expected_version"),
        (r#"{"events":[],"expected_version":"1"}"#.to_owned(), 422, "invalid_body", "at expected_version"),
        (r#"{"events":[]}"#.to_owned(), 422, "no_events", "no events"),
        (r#"{"events":[{"event_type":"A"}]}"#.to_owned(), 422, "invalid_event", "missing field `event_data`"),
        (r#"{"events":[{"event_type":"A","event_data":{},"event_id":"x"}]}"#.to_owned(), 422, "invalid_event", "at events[0].event_id"),
        (r#"{"events":[{"event_type":"A","event_data":{},"event_timestamp":"x"}]}"#.to_owned(), 422, "invalid_event", "RFC 3339"),
        (r#"{"events":[{"event_type":"","event_data":{}}]}"#.to_owned(), 422, "invalid_event", "`event_type` must not be empty"),
        (r#"{"events":[{"event_type":"A","event_data":{},"position":1}]}"#.to_owned(), 422, "invalid_event", "unknown field `position`"),
        (with_data("7"), 422, "invalid_event", "`event_data` must be a JSON object"),
        (with_data(&deep), 422, "event_too_deep", "nested more than"),
        (with_data(&large), 413, "event_too_large", "limits.event_bytes_max"),
        (json!({ "events": [event(1), event(2), event(3), event(4)] }).to_string(), 413, "too_many_events", "limits.append_events_max"),
        ("x".repeat(30_000), 413, "request_too_large", "limits.request_bytes_max"),
    ] {
        let problem = host.post(EVENTS, body.clone()).await.problem(status, code);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(said)), "{body}: {problem} should say {said}");
    }
    let malformed = host.post(EVENTS, "{\n \"events\": [}").await.problem(400, "malformed_json");
    assert_eq!((&malformed["line"], &malformed["column"]), (&json!(2), &json!(13)));
    assert_eq!(host.api.store.head(), Position::START, "nothing may be appended");
}

#[tokio::test]
async fn a_body_must_be_sent_as_json() {
    let host = Host::new(|_| {}).await;
    let body = json!({ "events": [event(1)] }).to_string();
    for (content_type, accepted) in [(None, false), (Some("text/plain"), false), (Some("application/x-www-form-urlencoded"), false), (Some("Application/JSON; charset=utf-8"), true)] {
        let mut request = request("POST", EVENTS);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = host.send(request.body(Body::from(body.clone())).expect("a request")).await;
        if accepted { assert_eq!(answer.status, StatusCode::CREATED) } else { drop(answer.problem(415, "unsupported_media_type")) }
    }
}

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
    host.post("/v1/aggregates//o-1/events", json!({ "events": [event(1)] }).to_string()).await.problem(400, "invalid_parameter");
    let long = format!("/v1/aggregates/Order/{}/events", "x".repeat(201));
    host.post(&long, json!({ "events": [event(1)] }).to_string()).await.problem(400, "invalid_parameter");
}

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
        ("/v1/events?typ=A", "`typ` is not known here: this route takes limit, after, type, aggregate_type, since, correlation_id"),
        ("/v1/events/live?since=2026-01-01T00:00:00Z", "`since` is not known here"),
        ("/v1/projections?x=1", "`x` is not known here: this route takes no parameters"),
        ("/v1/plugins?x=1", "`x` is not known here"),
        ("/v1/aggregates/Order/o-1/events?type=A", "`type` is not known here"),
    ] {
        let problem = host.get(path).await.problem(400, "invalid_parameter");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(said)), "{path}: {problem} should say {said}");
        assert!(problem["parameter"].is_string(), "{problem}");
    }
    host.post(&format!("{EVENTS}?x=1"), json!({ "events": [event(1)] }).to_string()).await.problem(400, "invalid_parameter");
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

#[tokio::test]
async fn asks_for_the_token_everywhere_but_where_health_is_told() {
    let host = Host::new(|api| api.token = Some(Token::new("hush"))).await;
    let with = |path: &str, header: &'static str| request("GET", path).header("authorization", header).body(Body::empty()).expect("a request");
    for path in ["/v1/events", "/v1/events/live", EVENTS, "/v1/projections", "/v1/projections/x", "/v1/projections/x/tables/y", "/v1/plugins", "/metrics"] {
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
        if name == "host" { request } else { request.header("host", "localhost:7711") }.body(Body::empty()).expect("a request")
    };
    host.send(send("host", "rebound.example:7711")).await.problem(421, "bad_host");
    host.send(send("origin", "https://evil.example")).await.problem(403, "cross_site");
    assert_eq!(host.send(send("origin", "http://localhost:7711")).await.status, StatusCode::OK);
    assert_eq!(host.send(send("host", "[::1]:7711")).await.status, StatusCode::OK);
    host.send(Request::builder().uri("/v1/events").body(Body::empty()).expect("a request")).await.problem(421, "bad_host");
    let guarded = Host::new(|api| api.token = Some(Token::new("hush"))).await;
    let request = Request::builder().uri("/v1/events").header("host", "api.example").header("authorization", "Bearer hush");
    assert_eq!(guarded.send(request.body(Body::empty()).expect("a request")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_answer_invites_other_origins() {
    let host = Host::new(|_| {}).await;
    let answer = host.get("/v1/events").await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
}

/// A version of a projection in the read models, with a table, as if its plugin were gone.
async fn prepare(host: &Host) {
    let column = |name: &str, of_type| ColumnDefinition { name: name.parse().expect("a name"), of_type, nullable: false };
    let manifest = Manifest {
        sdk: "test".to_owned(),
        name: "orders".parse().expect("a name"),
        version: 1,
        subscription: Subscription::All,
        tables: vec![TableDefinition {
            name: "lines".parse().expect("a name"),
            columns: vec![column("id", ColumnType::Text), column("total", ColumnType::Integer)],
            key_columns: 1,
            keyed_by_aggregate: true,
            indexes: vec![],
        }],
    };
    host.api.read_model.prepare(&manifest, Digest([7; 32])).await.expect("prepared");
}

#[tokio::test]
async fn shows_projections_that_do_not_run_here() {
    let host = Host::new(|_| {}).await;
    assert_eq!(host.get("/v1/projections").await.json(), json!([]));
    prepare(&host).await;
    host.append("Order/o-1", None, json!([event(1), event(2)])).await;
    let statuses = host.get("/v1/projections").await.json();
    let status = &statuses[0];
    assert_eq!((&status["projection"], &status["phase"], &status["live"]), (&json!("orders"), &json!("stopped"), &json!(true)));
    assert_eq!((&status["position"], &status["head"], &status["lag_events"]), (&json!(0), &json!(2), &json!(2)));
    assert_eq!(host.get("/v1/projections/orders").await.json().as_array().map(Vec::len), Some(1));
    let problem = host.get("/v1/projections/order").await.problem(404, "unknown_projection");
    assert_eq!(problem["detail"], "there is no projection `order`: there is orders");
}

#[tokio::test]
async fn rows_are_read_by_column_and_page() {
    let host = Host::new(|_| {}).await;
    prepare(&host).await;
    let answer = host.get("/v1/projections/orders/tables/lines?total=1&limit=2").await;
    assert_eq!(answer.json(), json!({ "rows": [], "next": null }));
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

#[tokio::test]
async fn lists_plugins() {
    let host = Host::new(|_| {}).await;
    let plugin = PluginInfo {
        file: "b.wasm".to_owned(),
        kind: None,
        name: None,
        version: None,
        sdk: None,
        digest: "00".repeat(32),
        size_bytes: 7,
        status: PluginStatus::Refused,
        error: Some("it is no component".to_owned()),
    };
    host.api.plugins.put(plugin.clone());
    host.api.plugins.put(PluginInfo { file: "a.wasm".to_owned(), ..plugin.clone() });
    host.api.plugins.put(PluginInfo { size_bytes: 8, ..plugin });
    let plugins = host.get("/v1/plugins").await.json();
    assert_eq!((&plugins[0]["file"], &plugins[1]["file"], &plugins[1]["size_bytes"]), (&json!("a.wasm"), &json!("b.wasm"), &json!(8)));
    assert_eq!((&plugins[0]["status"], plugins.as_array().map(Vec::len)), (&json!("refused"), Some(2)));
}

#[tokio::test]
async fn says_whether_it_lives_and_can_work() {
    let host = Host::new(|_| {}).await;
    assert_eq!(host.get("/livez").await.json(), json!({ "status": "alive" }));
    assert_eq!(host.get("/readyz").await.json(), json!({ "status": "ready" }));
}

#[tokio::test]
async fn counts_requests_by_route_and_never_by_aggregate() {
    let host = Host::new(|_| {}).await;
    for number in 0..3 {
        host.append(&format!("Order/secret-{number}"), None, json!([event(1)])).await;
    }
    host.get("/nowhere/at/all").await;
    host.send(request("BREW", "/v1/events").body(Body::empty()).expect("a request")).await;
    let metrics = host.get("/metrics").await;
    for line in [
        "fantascope_store_head_position 3\n",
        "fantascope_http_requests_total{method=\"POST\",route=\"/v1/aggregates/{type}/{id}/events\",status=\"201\"} 3\n",
        "fantascope_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1\n",
        "fantascope_http_requests_total{method=\"other\",route=\"/v1/events\",status=\"405\"} 1\n",
        "fantascope_http_request_duration_seconds_count{",
        "fantascope_build_info{version=\"",
        "# TYPE fantascope_projection_lag_seconds gauge\n",
        "# EOF\n",
    ] {
        assert!(metrics.text.contains(line), "{} should contain {line}", metrics.text);
    }
    assert!(!metrics.text.contains("secret"), "{}", metrics.text);
}

#[tokio::test]
async fn the_description_lists_every_route_of_the_contract() {
    let host = Host::new(|_| {}).await;
    let document = host.get("/openapi.json").await.json();
    let mut paths: Vec<&str> = document["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "/livez",
            "/metrics",
            "/readyz",
            "/v1/aggregates/{type}/{id}/events",
            "/v1/events",
            "/v1/events/live",
            "/v1/plugins",
            "/v1/projections",
            "/v1/projections/{name}",
            "/v1/projections/{name}/tables/{table}",
        ]
    );
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            assert!(operation["responses"].is_object() && operation["operationId"].is_string(), "{method} {path}");
        }
    }
    assert!(document["components"]["schemas"]["ProblemDetails"].is_object());
    assert!(document["components"]["schemas"]["StoredEvent"].is_object());
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
}

#[tokio::test]
async fn the_documentation_needs_no_internet() {
    let host = Host::new(|_| {}).await;
    let page = host.get("/docs/").await;
    assert_eq!(page.status, StatusCode::OK);
    let initializer = host.get("/docs/swagger-initializer.js").await;
    assert_eq!(initializer.status, StatusCode::OK);
    assert!(initializer.text.contains("/openapi.json") && initializer.text.contains("\"validatorUrl\": \"none\""), "{}", initializer.text);
    for text in [&page.text, &initializer.text] {
        for scheme in ["http://", "https://", "src=\"//"] {
            assert!(!text.contains(scheme), "{text}");
        }
    }
    for file in page.text.split(['"', '\'']).filter(|part| part.starts_with("./")) {
        assert_eq!(host.get(&format!("/docs/{}", &file[2..])).await.status, StatusCode::OK, "{file}");
    }
}

/// Distinct names for what runs at once.
static NUMBER: AtomicU64 = AtomicU64::new(0);

#[tokio::test]
async fn many_appends_at_once_lose_nothing() {
    let host = std::sync::Arc::new(Host::new(|_| {}).await);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let host = std::sync::Arc::clone(&host);
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
