//! A newer program has recorded what this one does not know.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use fantascope::database::Dialect;
use fantascope::deployment::Wanted;
use fantascope::http;
use fantascope::projection::Phase;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::away::api;
use crate::place::Raw;
use crate::stage::{PATIENCE, POLICY, Stage, slides, sums};

const FREEZE: &str = "UPDATE fantascope_versions SET state = 'frozen' WHERE version = 2; UPDATE fantascope_revision SET revision = revision + 1";

/// Records a state of version 2 that no program knows, as a newer one would whose migration
/// allows it.
async fn freeze(raw: &Raw) {
    let (update, revise) = FREEZE.split_once("; ").unwrap();
    match raw.dialect() {
        Dialect::Sqlite => {
            raw.run(&format!("PRAGMA ignore_check_constraints = ON; {FREEZE}; PRAGMA ignore_check_constraints = OFF"))
                .await
                .unwrap();
        }
        Dialect::Postgres => {
            raw.run("ALTER TABLE fantascope_versions DROP CONSTRAINT fantascope_versions_state_check").await.unwrap();
            raw.run(update).await.unwrap();
            raw.run(revise).await.unwrap();
        }
        Dialect::MySql => {
            // MariaDB's way; that of MySQL is to name the check.
            if raw.run(&format!("SET STATEMENT check_constraint_checks = 0 FOR {update}")).await.is_err() {
                let checks = "SELECT constraint_name AS name FROM information_schema.check_constraints \
                              WHERE constraint_schema = database() AND check_clause LIKE '%building%'";
                for row in raw.rows(checks).await {
                    let name: String = row.get("name").unwrap();
                    raw.run(&format!("ALTER TABLE fantascope_versions ALTER CHECK {name} NOT ENFORCED")).await.unwrap();
                }
                raw.run(update).await.unwrap();
            }
            raw.run(revise).await.unwrap();
        }
    }
}

async fn listed(stage: &Stage) -> Vec<Value> {
    let request = Request::builder().uri("/v1/projections").header("host", "127.0.0.1:7711");
    let answer = http::router(api(stage)).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    serde_json::from_slice(&to_bytes(answer.into_body(), usize::MAX).await.unwrap()).unwrap()
}

/// Version 2 is shown as what it is, and nothing is done with it; the others go on.
async fn is_left_alone(stage: &Stage) {
    let wanted: Option<Wanted> = "v2".parse().ok();
    let deployments = &stage.deployments;
    for (what, outcome) in [
        ("promote", deployments.promote("slides", wanted, true, "tester").await.map(|_| ())),
        ("cancel", deployments.cancel("slides", wanted, "tester").await.map(|_| ())),
        ("resume", deployments.resume("slides", wanted, None, "tester").await.map(|_| ())),
        ("swap", stage.deploy(slides(2, "plain", 9)).await.map(|_| ())),
        ("same bytes", stage.deploy(slides(2, "plain", 0)).await.map(|_| ())),
    ] {
        assert_eq!(outcome.unwrap_err().code(), "version_unknown_here", "{what}");
    }
    let listed = listed(stage).await;
    let second = listed.iter().find(|status| status["version"] == 2).unwrap();
    assert_eq!(
        (second["phase"].as_str(), second["error"]["code"].as_str()),
        (Some("stopped"), Some("version_unknown_here"))
    );
    assert!(second["error"]["message"].as_str().unwrap().contains("the state `frozen`"), "{second}");
    assert!(stage.status("v2").is_none(), "it runs here");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_a_state_that_this_host_does_not_know_is_left_alone() {
    let stage = Stage::new().await;
    stage.append(2).await;
    for version in [1, 2] {
        stage.deploy(slides(version, "plain", 0)).await.unwrap();
        stage.reaches(&format!("v{version}"), Phase::Following).await;
    }
    let raw = stage.place.raw().await;
    freeze(&raw).await;
    let owners = "SELECT owner FROM fantascope_checkpoints WHERE version = 2 AND owner IS NOT NULL";
    let given_up = async {
        while stage.status("v2").is_some() || !raw.rows(owners).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, given_up).await.is_ok(), "it is not given up");
    stage.append(2).await;
    stage.reaches("v1", Phase::Following).await;
    is_left_alone(&stage).await;
    // After a restart too.
    let stage = stage.again(POLICY).await;
    stage.append(1).await;
    stage.reaches("v1", Phase::Following).await;
    is_left_alone(&stage).await;
    assert_eq!(stage.rows("slides__counts__v2g1").await, sums(2, 1), "nothing was folded");
    assert_eq!(stage.rows("slides__counts__v1g1").await["s-0"].0, 5);
    // A higher one is built beside it.
    stage.deploy(slides(3, "plain", 0)).await.unwrap();
    stage.reaches("v3", Phase::Following).await;
    stage.deployments.promote("slides", "v3".parse().ok(), false, "tester").await.unwrap();
    assert_eq!(stage.live().await, "v3");
}
