//! What a host answers while its database is away, and afterwards.

use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use fantascope::deployment::RebuildOptions;
use fantascope::http::{self, Api};
use fantascope::limits::Limits;
use fantascope::projection::Phase;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::heard::Log;
use crate::hosts::until;
use crate::lag::grows_beyond;
use crate::outage::server;
use crate::place::Place;
use crate::servers::{Durability, Kind};
use crate::stage::{PATIENCE, POLICY, Stage, slides, turner};

/// Half as long again as anything waits for a connection: more than a busy machine needs for an
/// answer, and less than two waits one after the other take.
const ANSWERED: Duration = Duration::from_secs(15);

pub(crate) struct Client(pub(crate) axum::Router);

impl Client {
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:7711");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.header("content-type", "application/json").body(body).unwrap();
        let began = Instant::now();
        let answer = self.0.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        println!("{method} {path}: {status} after {:?}", began.elapsed());
        assert!(began.elapsed() < ANSWERED, "{method} {path} hangs");
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, None).await
    }

    pub(crate) async fn append(&self) -> (u16, Value) {
        self.append_text("").await
    }

    /// Appends an event with `text`, which takes room.
    pub(crate) async fn append_text(&self, text: &str) -> (u16, Value) {
        let body = json!({ "events": [{ "event_type": "Slide", "event_data": { "n": 1, "text": text } }] });
        self.ask("POST", "/v1/aggregates/Show/s-0/events", Some(body)).await
    }
}

/// What the host serves.
pub(crate) fn api(stage: &Stage) -> Api {
    Api {
        store: stage.store.clone(),
        read_model: stage.read_model.clone(),
        board: stage.deployments.projections().board(),
        deployments: stage.deployments.clone(),
        limits: Limits::default(),
        token: None,
        actor: "a test".to_owned(),
    }
}

async fn is_away_and_comes_back(kind: Kind) {
    let Some(mut server) = server(kind, Durability::Full) else { return };
    let place = Place::on_server(&server.url(kind.administration()), Limits::default());
    let stage = Stage::open(place, POLICY).await;
    stage.append(3).await;
    stage.deploy(slides(1, "sum", 1)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    let client = Client(http::router(api(&stage)));
    assert_eq!(client.get("/readyz").await.0, 200);
    assert_eq!(client.get("/v1/store").await, (200, json!({ "head": 15, "hold": null })));

    server.kill().unwrap();
    let (status, problem) = client.get("/readyz").await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("not_ready")), "{problem}");
    let reasons = problem["reasons"].to_string();
    assert!(reasons.contains("the event store") && reasons.contains("the read models"), "{reasons}");
    assert_eq!(client.get("/livez").await.0, 200);
    assert_eq!(client.get("/v1/store").await.0, 200);
    let path = "/v1/projections/slides/tables/counts";
    let answers = tokio::join!(
        client.get("/v1/events"),
        client.get(path),
        client.get("/v1/projections"),
        client.append(),
        client.append(),
        async {
            // It comes while another one is waiting already.
            tokio::time::sleep(Duration::from_secs(3)).await;
            client.append().await
        }
    );
    let code = |(status, problem): &(u16, Value)| (*status, problem["code"].as_str().unwrap_or_default().to_owned());
    let unavailable = |what: &str| (503, format!("{what}_unavailable"));
    assert_eq!(code(&answers.0), unavailable("store"));
    assert_eq!(code(&answers.1), unavailable("read_model"));
    assert_eq!(code(&answers.2), unavailable("read_model"));
    for answer in [&answers.3, &answers.4, &answers.5] {
        assert_eq!(code(answer), unavailable("store"));
    }

    server.restart().unwrap();
    let began = Instant::now();
    while client.get("/readyz").await.0 != 200 {
        assert!(began.elapsed() < PATIENCE, "it is not ready again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("{kind}: ready {:?} after it was back", began.elapsed());
    assert_eq!(client.append().await.0, 201);
    // That it follows is no sign that the event is folded.
    while stage.shown().await["s-0"] != (4, 7) {
        assert!(began.elapsed() < PATIENCE, "it does not go on: {:?}", stage.status("v1"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("{kind}: follows {:?} after it was back", began.elapsed());
    let status = stage.reaches("v1", Phase::Following).await;
    assert_eq!(status.error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_the_store_that_is_said_to_be_away_if_it_is() {
    let Some(mut server) = server(Kind::Postgres, Durability::None) else { return };
    let events = Place::on_server(&server.url(Kind::Postgres.administration()), Limits::default());
    let rows = Place::on_file();
    let (store, sandbox) = (events.store().await, rows.sandbox());
    let stage = Stage::open_with(rows, POLICY, sandbox, Some(store)).await;
    stage.append(2).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    server.kill().unwrap();
    // Tried out on the history, and put in force behind it: both need the store.
    for bytes in [slides(1, "plain", 1), turner(1, 10)] {
        let fault = stage.deploy(bytes).await.unwrap_err();
        assert_eq!(fault.code(), "store_unavailable", "{fault}");
    }
    let began = Instant::now();
    server.restart().unwrap();
    while stage.store.refresh_head().await.is_err() {
        assert!(began.elapsed() < PATIENCE, "the store does not answer again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(stage.deploy(slides(1, "plain", 1)).await.unwrap().outcome, "swapped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_postgres_is_away_says_so_and_goes_on_later() {
    is_away_and_comes_back(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_mariadb_is_away_says_so_and_goes_on_later() {
    is_away_and_comes_back(Kind::MariaDb).await;
}

/// Several versions follow, and several callers wait, while the server is away.
async fn is_told_once(kind: Kind) {
    let log = Log::listen();
    let Some(mut server) = server(kind, Durability::Full) else { return };
    let place = Place::on_server(&server.url(kind.administration()), Limits::default());
    let stage = Stage::open(place, POLICY).await;
    stage.append(3).await;
    stage.deploy(slides(1, "sum", 1)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    for version in ["v1g2", "v1g3"] {
        stage.rebuild(RebuildOptions::default()).await.unwrap();
        stage.reaches(version, Phase::Following).await;
    }
    let client = Client(http::router(api(&stage)));
    let name = stage.store.database().name().to_owned();

    server.kill().unwrap();
    let killed = Instant::now();
    let answers = tokio::join!(client.append(), client.append(), client.get("/v1/events"), client.get("/readyz"));
    assert_eq!([answers.0.0, answers.1.0, answers.2.0, answers.3.0], [503; 4]);
    for label in ["v1", "v1g2", "v1g3"] {
        let status = stage.reaches(label, Phase::Retrying).await;
        assert!(status.error.as_ref().is_some_and(|fault| fault.message.contains("refused")), "{:?}", status.error);
    }
    let known = killed.elapsed();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let restarted = killed.elapsed();
    server.restart().unwrap();
    for label in ["v1", "v1g2", "v1g3"] {
        stage.reaches(label, Phase::Following).await;
    }
    assert_eq!(client.append().await.0, 201);
    let lines = log.lines("");
    let told: Vec<&String> = lines.iter().filter(|line| line.contains(&format!("database `{name}`"))).collect();
    assert_eq!(told.len(), 2, "{lines:#?}");
    assert!(told[0].contains("WARN") && told[0].contains("refused (os error 111)"), "{told:#?}");
    let length = told[1].split_once("well again, after ").and_then(|(_, length)| length.strip_suffix(" s"));
    let length: f64 = length.and_then(|length| length.parse().ok()).unwrap_or_else(|| panic!("{told:#?}"));
    let bounds = (restarted - known).as_secs_f64() - 0.1..killed.elapsed().as_secs_f64() + 0.1;
    assert!(bounds.contains(&length), "{length} is not within {bounds:?}");
    let others = lines.iter().filter(|line| line.contains("trying again") || line.contains("well again"));
    assert_eq!(others.count(), 2, "{lines:#?}");
}

#[tokio::test]
async fn an_outage_of_postgres_is_told_once_with_its_cause() {
    is_told_once(Kind::Postgres).await;
}

#[tokio::test]
async fn an_outage_of_mariadb_is_told_once_with_its_cause() {
    is_told_once(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_whose_rows_are_away_is_later_and_later() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let Some(mut server) = server(kind, Durability::None) else { continue };
        let rows = Place::on_server(&server.url(kind.administration()), Limits::default());
        let events = Place::on_file();
        let (store, sandbox) = (events.store().await, rows.sandbox());
        let stage = Stage::open_with(rows, POLICY, sandbox, Some(store)).await;
        stage.append(1).await;
        stage.deploy(slides(1, "plain", 0)).await.unwrap();
        stage.reaches("v1", Phase::Following).await;
        server.kill().unwrap();
        let began = Instant::now();
        stage.append(1).await;
        until("it tries again", async || stage.status("v1").unwrap().phase == Phase::Retrying).await;
        let since = stage.status("v1").unwrap().error.unwrap().since;
        // However often it tries, and with what outcome.
        grows_beyond(&stage, 6.0, began).await;
        let status = stage.status("v1").unwrap();
        let error = status.error.as_ref().map(|error| (error.code.as_str(), error.since));
        assert_eq!(error, Some(("unavailable", since)), "{status:?}");
        server.restart().unwrap();
        until("it is late no more", async || {
            let status = stage.status("v1").unwrap();
            (status.lag_events, status.lag_seconds, status.error) == (0, 0.0, None)
        })
        .await;
    }
}
