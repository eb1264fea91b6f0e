//! Plugins and operations over HTTP: each answer, and each fault with its code.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::StatusCode;
use fantascope::limits::Limits;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use crate::host::{Answer, Host, request};
use crate::socket::PATIENCE;

/// The bytes of a built guest.
fn guest(name: &str) -> Vec<u8> {
    let built = std::env::var_os("FANTASCOPE_GUESTS").map(std::path::PathBuf::from);
    let folder = built.unwrap_or_else(|| {
        let mut command = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["xtask", "guests"]).output().expect("cargo");
        std::path::PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    });
    std::fs::read(folder.join(format!("{name}.wasm"))).expect("a built guest")
}

/// The guest `slides` with another marker.
pub(crate) fn slides(version: u32, mode: &str) -> Vec<u8> {
    let mut bytes = guest("slides");
    let start = b"slides:v=";
    let at = bytes.windows(start.len()).position(|window| window == start).expect("a marker");
    let marker = format!("slides:v={version:02};mode={mode:.<8};");
    bytes[at..at + marker.len()].copy_from_slice(marker.as_bytes());
    bytes
}

impl Host {
    async fn serving() -> Self {
        let host = Self::with_limits(Limits::default(), |_| {}).await;
        host.api.deployments.resume_all().await.expect("resumed");
        host
    }

    async fn put(&self, path: &str, bytes: Vec<u8>) -> Answer {
        self.send(request("PUT", path).body(Body::from(bytes)).expect("a request")).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send(request("DELETE", path).body(Body::empty()).expect("a request")).await
    }

    async fn tell(&self, operation: &str, body: &Value) -> Answer {
        self.post(&format!("/v1/projections/slides/{operation}"), body.to_string()).await
    }

    /// Waits until the version is in `phase`, and has folded all there is.
    async fn reaches(&self, version: u64, phase: &str) {
        let is_there = async || {
            let statuses = self.get("/v1/projections/slides").await.json();
            let statuses = statuses.as_array().cloned().unwrap_or_default();
            statuses
                .iter()
                .any(|status| status["version"] == version && status["phase"] == phase && status["lag_events"] == 0)
        };
        let began = Instant::now();
        while !is_there().await {
            let text = self.get("/v1/projections/slides").await.text;
            assert!(began.elapsed() < PATIENCE, "v{version} is not {phase}: {text}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_plugin_is_put_promoted_rolled_back_and_taken_away() {
    let host = Host::serving().await;
    host.append("Show/s-1", None, json!([{ "event_type": "Slide", "event_data": { "n": 3 } }])).await;
    let put = host.put("/v1/plugins/slides.wasm?promote=manual", slides(1, "plain")).await;
    assert_eq!((put.status, put.json()["outcome"].as_str()), (StatusCode::OK, Some("building")), "{}", put.text);
    host.reaches(1, "following").await;
    let put = host.put("/v1/plugins/slides.wasm", slides(2, "wide")).await.json();
    assert_eq!((&put["version"], &put["plugin"]["status"]), (&json!("v2"), &json!("active")));
    host.reaches(2, "following").await;

    let verified = host.tell("verify", &json!({})).await.json();
    assert_eq!((&verified["holds"], &verified["green"]), (&json!(true), &json!("v2")), "{verified}");
    assert_eq!(host.tell("promote", &json!({ "version": 2 })).await.json()["versions"], json!(["v2"]));
    let rows = host.get("/v1/projections/slides/tables/counts").await.json();
    assert_eq!(rows["rows"], json!([{ "id": "s-1", "events": 1, "total": 3, "note": "shown" }]));
    // The other version is there, too, and a body may be left out.
    let rows = host.get("/v1/projections/slides/tables/counts?version=v1").await.json();
    assert_eq!(rows["rows"], json!([{ "id": "s-1", "events": 1, "total": 3 }]));
    let back =
        host.send(request("POST", "/v1/projections/slides/rollback").body(Body::empty()).expect("a request")).await;
    assert_eq!(back.json()["versions"], json!(["v1"]));
    assert_eq!(host.tell("pause", &json!({ "version": "v2" })).await.json()["versions"], json!(["v2"]));
    assert_eq!(host.tell("resume", &json!({})).await.json()["versions"], json!(["v1", "v2"]));
    let rebuilt = host.tell("rebuild", &json!({ "as_of": 1 })).await;
    assert_eq!((rebuilt.status, &rebuilt.json()["versions"]), (StatusCode::ACCEPTED, &json!(["v1g2"])));

    let operations = host.get("/v1/operations?subject=slides&limit=100").await.json();
    let last = operations["operations"].as_array().expect("operations").last().cloned().expect("one");
    assert_eq!((&last["operation"], &last["actor"], &last["version"]), (&json!("deploy"), &json!("a test"), &json!(1)));
    let page = host.get("/v1/operations?limit=1").await.json();
    assert_eq!(page["next"], page["operations"][0]["id"]);
    host.delete("/v1/plugins/slides").await.problem(409, "version_live");
    assert_eq!(host.delete("/v1/plugins/slides?force=true").await.status, StatusCode::OK);
    host.get("/v1/projections/slides").await.problem(404, "unknown_projection");
}

#[tokio::test]
async fn every_refusal_has_its_code() {
    let host = Host::serving().await;
    host.append("Show/s-1", None, json!([{ "event_type": "Slide", "event_data": { "n": 3 } }])).await;
    host.put("/v1/plugins/slides.wasm", slides(2, "plain")).await;
    host.reaches(2, "following").await;
    for (path, bytes, status, code) in [
        ("/v1/plugins/slides", slides(2, "plain"), 400, "invalid_parameter"),
        ("/v1/plugins/.slides.wasm", slides(2, "plain"), 400, "invalid_parameter"),
        ("/v1/plugins/..%2Fslides.wasm", slides(2, "plain"), 400, "invalid_parameter"),
        ("/v1/plugins/slides.wasm?promote=soon", slides(2, "plain"), 400, "invalid_parameter"),
        ("/v1/plugins/slides.wasm?workers=0", slides(2, "plain"), 400, "invalid_parameter"),
        ("/v1/plugins/slides.wasm?sha256=00", slides(2, "plain"), 400, "invalid_parameter"),
        (&format!("/v1/plugins/slides.wasm?sha256={}", "00".repeat(32)), slides(2, "plain"), 422, "digest_mismatch"),
        ("/v1/plugins/slides.wasm", Vec::new(), 422, "plugin_refused"),
        ("/v1/plugins/slides.wasm", slides(2, "plain")[..9_000].to_vec(), 422, "plugin_refused"),
        ("/v1/plugins/slides.wasm", slides(1, "plain"), 409, "version_lower"),
        ("/v1/plugins/slides.wasm", slides(2, "wide"), 409, "tables_changed"),
        ("/v1/plugins/slides.wasm", slides(2, "broken"), 422, "trial_failed"),
        ("/v1/plugins/slides.wasm?when_rows_differ=refuse", slides(2, "double"), 409, "rows_differ"),
        ("/v1/plugins/slides.wasm?workers=2", slides(3, "global"), 422, "invalid_operation"),
    ] {
        host.put(path, bytes).await.problem(status, code);
    }
    let refused = host.put("/v1/plugins/slides.wasm", b"nonsense".to_vec()).await.problem(422, "plugin_refused");
    assert_eq!(refused["reason"], "plugin_not_wasm");
    for (operation, body, status, code) in [
        ("promote", json!({}), 409, "nothing_to_promote"),
        ("promote", json!({ "version": 7 }), 404, "unknown_version"),
        ("promote", json!({ "version": "seven" }), 400, "invalid_parameter"),
        ("promote", json!({ "versoin": 2 }), 422, "invalid_body"),
        ("rollback", json!({}), 409, "nothing_to_roll_back_to"),
        ("verify", json!({}), 409, "nothing_to_promote"),
        ("cancel", json!({}), 422, "invalid_operation"),
        ("cancel", json!({ "version": 2 }), 409, "version_live"),
        ("resume", json!({ "workers": 99 }), 400, "invalid_parameter"),
        ("rebuild", json!({ "as_of": 99 }), 422, "invalid_operation"),
        ("rebuild", json!({ "as_of": "yesterday" }), 400, "invalid_parameter"),
    ] {
        host.tell(operation, &body).await.problem(status, code);
    }
    host.post("/v1/projections/nobody/pause", "").await.problem(404, "unknown_projection");
    host.post("/v1/upcasters/nobody/rebuild", "").await.problem(404, "unknown_upcaster");
    host.delete("/v1/plugins/nobody").await.problem(404, "unknown_plugin");
    assert_eq!(host.get("/v1/projections/slides").await.json().as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_name_that_is_taken_is_said_before_anything_is_built() {
    let host = Host::serving().await;
    host.put("/v1/plugins/slides.wasm", slides(1, "plain")).await;
    host.reaches(1, "following").await;
    // Another program's table has the name that a new table is to have.
    let path = host.folder.path().join("store.sqlite");
    let mut raw = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.expect("a connection");
    sqlx::query("CREATE TABLE slides_shown (x)").execute(&mut raw).await.expect("made");
    let problem = host.put("/v1/plugins/slides.wasm", slides(2, "marked")).await.problem(409, "name_taken");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("`slides_shown`")), "{problem}");
    assert_eq!(host.get("/v1/projections/slides").await.json().as_array().map(Vec::len), Some(1));
}
