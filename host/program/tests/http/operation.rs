//! Plugins, health, metrics and the documentation.

use axum::body::Body;
use axum::http::StatusCode;
use fantascope::deployment::{PluginInfo, PluginStatus};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use crate::host::{Host, event, request};

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
        ..PluginInfo::default()
    };
    host.api.deployments.plugins().put(plugin.clone());
    host.api.deployments.plugins().put(PluginInfo { file: "a.wasm".to_owned(), ..plugin.clone() });
    host.api.deployments.plugins().put(PluginInfo { size_bytes: 8, ..plugin });
    let plugins = host.get("/v1/plugins").await.json();
    assert_eq!(
        (&plugins[0]["file"], &plugins[1]["file"], &plugins[1]["size_bytes"]),
        (&json!("a.wasm"), &json!("b.wasm"), &json!(8))
    );
    assert_eq!((&plugins[0]["status"], plugins.as_array().map(Vec::len)), (&json!("refused"), Some(2)));
}

#[tokio::test]
async fn says_whether_it_lives_and_can_work() {
    let host = Host::new(|_| {}).await;
    assert_eq!(host.get("/livez").await.json(), json!({ "status": "alive" }));
    assert_eq!(host.get("/readyz").await.json(), json!({ "status": "ready" }));
}

#[tokio::test]
async fn is_not_ready_while_a_database_fails() {
    let host = Host::new(|_| {}).await;
    let path = host.folder.path().join("store.sqlite");
    let mut raw = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.expect("a connection");
    let store = ("events", "the event store fails, see the host's log");
    let read_models = ("fantascope_versions", "the database of the read models fails, see the host's log");
    for (table, reason) in [store, read_models] {
        for (from, to) in [(table, "away"), ("away", table)] {
            let rename = AssertSqlSafe(format!("ALTER TABLE {from} RENAME TO {to}"));
            sqlx::query(rename).execute(&mut raw).await.expect("renamed");
            if to == "away" {
                assert_eq!(host.get("/readyz").await.problem(503, "not_ready")["reasons"], json!([reason]));
            }
        }
        assert_eq!(host.get("/readyz").await.json(), json!({ "status": "ready" }));
    }
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
async fn tells_of_its_process_its_connections_its_plugins_and_its_hosts() {
    let host = Host::new(|_| {}).await;
    let refused = PluginInfo { file: "a.wasm".to_owned(), status: PluginStatus::Refused, ..PluginInfo::default() };
    host.api.deployments.plugins().put(refused);
    let text = host.get("/metrics").await.text;
    for line in [
        "fantascope_hosts 1\n",
        "fantascope_plugins{status=\"refused\"} 1.0\n",
        "fantascope_plugins{status=\"active\"} 0.0\n",
        "fantascope_database_connections_max{database=\"store\",pool=\"readers\"} 16.0\n",
        "fantascope_database_connections_idle{database=\"store\",pool=\"readers\"} ",
        "# TYPE process_cpu_seconds counter\n",
    ] {
        assert!(text.contains(line), "{text} should contain {line}");
    }
    assert!(!text.contains("database=\"read_models\""), "they share the store's: {text}");
    assert_eq!(text.matches("# EOF").count(), 1, "{text}");
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{text} should have {name}")).parse().expect("a number")
    };
    assert!(value("process_resident_memory_bytes") > 1_000_000.0, "{text}");
    assert!(value("process_threads") >= 1.0 && value("process_open_fds") >= 3.0, "{text}");
    assert!(value("process_max_fds") >= value("process_open_fds"), "{text}");
    assert!(value("process_cpu_seconds_total") >= 0.0, "{text}");
    let now = fantascope::event::Timestamp::now().0 as f64 / 1e6;
    let age = now - value("process_start_time_seconds");
    assert!((-5.0..86_400.0).contains(&age), "{age} s old");
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
            "/v1/operations",
            "/v1/plugins",
            "/v1/plugins/{file}",
            "/v1/projections",
            "/v1/projections/{name}",
            "/v1/projections/{name}/cancel",
            "/v1/projections/{name}/live",
            "/v1/projections/{name}/pause",
            "/v1/projections/{name}/promote",
            "/v1/projections/{name}/rebuild",
            "/v1/projections/{name}/reset",
            "/v1/projections/{name}/resume",
            "/v1/projections/{name}/rollback",
            "/v1/projections/{name}/tables/{table}",
            "/v1/projections/{name}/verify",
            "/v1/store",
            "/v1/upcasters/{name}/rebuild",
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
    assert!(
        initializer.text.contains("/openapi.json") && initializer.text.contains("\"validatorUrl\": \"none\""),
        "{}",
        initializer.text
    );
    for text in [&page.text, &initializer.text] {
        for scheme in ["http://", "https://", "src=\"//"] {
            assert!(!text.contains(scheme), "{text}");
        }
    }
    for file in page.text.split(['"', '\'']).filter(|part| part.starts_with("./")) {
        assert_eq!(host.get(&format!("/docs/{}", &file[2..])).await.status, StatusCode::OK, "{file}");
    }
}
