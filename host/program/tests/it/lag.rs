//! How late a version is: one figure, whatever it is doing and whoever is asked.

use std::time::{Duration, Instant};

use fantascope::projection::Phase;

use crate::hosts::until;
use crate::stage::{Stage, slides};

/// Watches how late `v1` is until that is more than `seconds`: it only grows, and is never more
/// than the age of its oldest event, which was appended after `began`.
pub(crate) async fn grows_beyond(stage: &Stage, seconds: f64, began: Instant) {
    let mut last = 0.0;
    until("it is later and later", async || {
        let late = stage.status("v1").unwrap().lag_seconds;
        assert!(late >= last, "{late} s after {last} s");
        assert!(late <= began.elapsed().as_secs_f64(), "{late} s after {:?}", began.elapsed());
        last = late;
        late > seconds
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_late_a_version_is_is_the_same_from_every_host() {
    let one = Stage::new().await;
    one.append(1).await;
    one.deploy(slides(1, "plain", 0)).await.unwrap();
    one.reaches("v1", Phase::Following).await;
    let two = one.beside().await;
    let late = |stage: &Stage| stage.status("v1").map(|status| (status.lag_events, status.lag_seconds));
    let nothing = async || [&one, &two].iter().all(|stage| late(stage) == Some((0, 0.0)));
    until("nothing is behind", nothing).await;
    // However long there is nothing to do.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(nothing().await, "{:?} and {:?}", late(&one), late(&two));
    one.deployments.pause("slides", None, "tester").await.unwrap();
    until("both pause", async || {
        [&one, &two].iter().all(|stage| stage.status("v1").is_some_and(|status| status.phase == Phase::Paused))
    })
    .await;
    let began = Instant::now();
    one.append(1).await;
    // It grows, and is never more than the age of the event.
    until("it is late by seconds at both", async || {
        [&one, &two].iter().all(|stage| {
            let (events, seconds) = late(stage).unwrap();
            assert!(seconds <= began.elapsed().as_secs_f64(), "{seconds} s, after {:?}", began.elapsed());
            events == 5 && seconds > 4.0
        })
    })
    .await;
    // Resumed, it is late no more, at any host.
    two.deployments.resume("slides", None, None, "tester").await.unwrap();
    until("nothing is behind again", nothing).await;
    one.deployments.drain().await;
    two.deployments.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_whose_plugin_is_slow_is_late_by_the_age_of_its_oldest_event() {
    let stage = Stage::new().await;
    stage.deploy(slides(1, "endless", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    let began = Instant::now();
    stage.append(1).await;
    grows_beyond(&stage, 3.0, began).await;
    // Whatever it is called meanwhile, until it has failed, and then too.
    let status = stage.reaches("v1", Phase::Failed).await;
    assert_eq!(status.lag_events, 5);
    grows_beyond(&stage, status.lag_seconds + 1.0, began).await;
}
