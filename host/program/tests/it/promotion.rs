//! What waits to be promoted, is given up, or is taken away; and what is noted of it.

use std::time::Duration;

use fantascope::deployment::{DeployOptions, Policy, RebuildOptions};
use fantascope::projection::Phase;
use fantascope::read_model::Promote;

use crate::stage::{POLICY, Stage, slides};

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn promoted(promote: Promote) -> DeployOptions {
    DeployOptions { promote: Some(promote), ..DeployOptions::default() }
}

#[tokio::test]
async fn what_waits_to_be_promoted_is_cancelled_by_its_name() {
    let stage = Stage::new().await;
    stage.append(2).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    stage.deploy(slides(2, "plain", 0)).await.unwrap();
    stage.reaches("v2", Phase::Following).await;
    stage.deploy(slides(3, "plain", 0)).await.unwrap();
    stage.reaches("v3", Phase::Following).await;
    let fault = stage.deployments.cancel("slides", None, "tester").await.unwrap_err();
    let said = "name the version of `slides` to cancel: v2 waits to be promoted, v3 waits to be promoted";
    assert_eq!(fault.to_string(), said);
    stage.deployments.cancel("slides", Some("3".parse().unwrap()), "tester").await.unwrap();
    assert_eq!(stage.deployments.cancel("slides", None, "tester").await.unwrap().label().to_string(), "v2");
    let fault = stage.deployments.cancel("slides", None, "tester").await.unwrap_err();
    assert!(fault.to_string().contains("nothing of `slides` is being built or waits to be promoted"), "{fault}");
    assert_eq!(stage.names().await, ["slides__counts__v1g1", "slides_counts"]);
}

#[tokio::test]
async fn what_is_there_already_is_promoted_as_a_later_deployment_wishes() {
    let stage = Stage::new().await;
    stage.append(2).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    // By hand, as the policy says; then by a wish.
    stage.deploy(slides(2, "plain", 0)).await.unwrap();
    assert_eq!(stage.reaches("v2", Phase::Following).await.promote, Some(Promote::Manual));
    let again = stage.deploy_with(slides(2, "plain", 0), promoted(Promote::Verified)).await.unwrap();
    assert_eq!((again.outcome.as_str(), again.advice.len()), ("unchanged", 0));
    stage.becomes_live("v2").await;
    // What is live has nothing to wait for, and says so.
    let again = stage.deploy_with(slides(2, "plain", 0), promoted(Promote::Ready)).await.unwrap();
    assert_eq!(again.advice, ["v2 is live, so there is nothing to promote"]);
    let back = stage.deploy_with(slides(1, "plain", 0), promoted(Promote::Ready)).await.unwrap();
    assert_eq!(back.advice, ["v2 is live, so there is nothing to promote"]);
    // With other bytes for a version that waits, too.
    stage.deploy(slides(3, "plain", 0)).await.unwrap();
    stage.reaches("v3", Phase::Following).await;
    let swapped = stage.deploy_with(slides(3, "plain", 1), promoted(Promote::Ready)).await.unwrap();
    assert_eq!(swapped.outcome, "swapped");
    stage.becomes_live("v3").await;
    assert_eq!(stage.live().await, "v3");
}

#[tokio::test]
async fn a_wish_can_be_taken_back_while_a_version_is_built() {
    let stage = Stage::with(Policy { promote: Promote::Ready, ..POLICY }).await;
    stage.append(2).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    stage.deploy(slides(2, "broken", 0)).await.unwrap();
    assert_eq!(stage.reaches("v2", Phase::Failed).await.promote, Some(Promote::Ready));
    let mended = stage.deploy_with(slides(2, "plain", 0), promoted(Promote::Manual)).await.unwrap();
    assert_eq!(mended.outcome, "swapped");
    assert_eq!(stage.reaches("v2", Phase::Following).await.promote, Some(Promote::Manual));
    assert_eq!(stage.live().await, "v1");
}

#[tokio::test]
async fn what_is_live_waits_for_no_promotion() {
    let stage = Stage::with(Policy { promote: Promote::Ready, ..POLICY }).await;
    stage.append(1).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    assert_eq!(stage.reaches("v1", Phase::Following).await.promote, None);
    let as_of = RebuildOptions {
        as_of: Some(deployment::AsOf::Position(fantascope::event::Position(2))),
        ..RebuildOptions::default()
    };
    stage.rebuild(as_of).await.unwrap();
    assert_eq!(stage.reaches("v1g2", Phase::Complete).await.promote, None);
}

#[tokio::test]
async fn a_removal_is_one_operation() {
    let stage = Stage::new().await;
    stage.append(1).await;
    for version in 1..=2 {
        stage.deploy(slides(version, "plain", 0)).await.unwrap();
        stage.reaches(&format!("v{version}"), Phase::Following).await;
    }
    stage.deployments.remove("slides", true, "tester").await.unwrap();
    assert_eq!(stage.names().await, [""; 0]);
    assert_eq!(stage.operations().await, ["deploy 1g1 done", "deploy 2g1 done", "remove 1g1 done"]);
    let last = stage.read_model.operations(None, None, 1).await.unwrap().remove(0);
    assert_eq!(last.detail, "builds: v1, v2");
}

#[tokio::test]
async fn an_operation_tells_which_host_carried_it_out() {
    let stage = Stage::new().await;
    stage.append(1).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    stage.deployments.pause("slides", None, "tester").await.unwrap();
    let name = stage.read_model.hosts().await.unwrap().remove(0).identity.name;
    // Also when it has left.
    stage.deployments.drain().await;
    let operations = stage.read_model.operations(None, None, 10).await.unwrap();
    assert_eq!(operations.len(), 2);
    assert!(operations.iter().all(|operation| operation.host.as_deref() == Some(name.as_str())), "{operations:?}");
}

/// As happens when a build is handed over at its end.
#[tokio::test(flavor = "multi_thread")]
async fn indexes_that_two_hosts_make_at_the_same_time_are_made() {
    let one = Stage::new().await;
    one.append(4).await;
    one.deploy(slides(1, "plain", 0)).await.unwrap();
    one.reaches("v1", Phase::Following).await;
    let two = one.beside().await;
    let (raw, version) = (one.place.raw().await, one.read_model.versions().await.unwrap().remove(0));
    let drop = "DROP INDEX slides__counts__v1g1__i1";
    let drop = raw.dialect().pick(drop.to_owned(), drop.to_owned(), format!("{drop} ON slides__counts__v1g1"));
    for _ in 0..30 {
        raw.run(&drop).await.unwrap();
        let make = |stage: &Stage| {
            let (read_model, version) = (stage.read_model.clone(), version.clone());
            tokio::spawn(async move { read_model.finish_indexes(&version.id, &version.tables).await })
        };
        let making = [make(&one), make(&two)];
        for made in making {
            made.await.unwrap().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_of_the_past_is_complete_wherever_it_was_folded() {
    let one = Stage::new().await;
    one.append(4).await;
    one.deploy(slides(1, "plain", 0)).await.unwrap();
    one.reaches("v1", Phase::Following).await;
    let two = one.beside().await;
    two.reaches("v1", Phase::Following).await;
    let position = fantascope::event::Position(10);
    for _ in 0..4 {
        let as_of = Some(deployment::AsOf::Position(position));
        one.rebuild(RebuildOptions { as_of, ..RebuildOptions::default() }).await.unwrap();
    }
    let complete = async {
        for (stage, label) in [&one, &two].into_iter().flat_map(|stage| (2..=5).map(move |number| (stage, number))) {
            let label = format!("v1g{label}");
            loop {
                let status = stage.status(&label);
                // What comes to its end never follows, at whichever host one asks.
                assert!(status.as_ref().is_none_or(|status| status.phase != Phase::Following), "{status:?}");
                if status.is_some_and(|status| status.phase == Phase::Complete) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    };
    if tokio::time::timeout(PATIENCE, complete).await.is_err() {
        let stand = [&one, &two].map(|stage| stage.deployments.projections().board().statuses(stage.store.head()));
        panic!("they are not complete: {stand:#?}");
    }
}
