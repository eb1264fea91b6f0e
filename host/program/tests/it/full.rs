//! The disk of a file is full, and has room again later.

use std::time::{Duration, Instant};

use fantascope::database::Durability;
use fantascope::http;
use fantascope::limits::Limits;
use fantascope::projection::Phase;

use crate::away::{Client, api};
use crate::disk::Disk;
use crate::heard::Log;
use crate::hosts::until;
use crate::lag::grows_beyond;
use crate::place::Place;
use crate::stage::{POLICY, Stage, slides};

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_host_whose_disk_is_full_says_so_until_there_is_room() {
    let log = Log::listen();
    let Some(disk) = Disk::of_mib(48) else { return };
    let stage = Stage::open(Place::in_folder(disk.path(), Limits::default()), POLICY).await;
    stage.append(3).await;
    stage.deploy(slides(1, "sum", 1)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    let client = Client(http::router(api(&stage)));
    assert_eq!(client.get("/readyz").await.0, 200);

    let filler = disk.fill();
    let large = "x".repeat(100_000);
    while client.append_text(&large).await.0 == 201 {}
    let name = stage.store.database().name().to_owned();
    let told = || log.lines(&format!("database `{name}`"));
    for _ in 0..5 {
        let (status, problem) = client.get("/readyz").await;
        assert_eq!(status, 503, "{problem}");
        let reasons = problem["reasons"].to_string();
        assert!(reasons.contains("the event store takes nothing that is written: "), "{reasons}");
        assert!(reasons.contains("database or disk is full"), "{reasons}");
        // What is small may be written, which is no sign of room.
        stage.store.database().begin(Durability::Full).await.unwrap().commit().await.unwrap();
    }
    let lines = told();
    assert!(lines.len() == 1 && lines[0].contains("WARN") && lines[0].contains("disk is full"), "{lines:?}");

    std::fs::remove_file(filler).unwrap();
    let began = Instant::now();
    while client.get("/readyz").await.0 != 200 {
        assert!(began.elapsed() < PATIENCE, "it is not ready again: {:?}", told());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(client.append_text(&large).await.0, 201);
    let status = stage.reaches("v1", Phase::Following).await;
    assert_eq!(status.error, None);
    let lines = told();
    assert!(lines.len() == 2 && lines[1].contains("well again, after"), "{lines:?}");
    stage.deployments.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_whose_rows_find_no_room_is_late_by_the_age_of_its_oldest_event() {
    let Some(disk) = Disk::of_mib(48) else { return };
    let events = Place::on_file();
    let place = Place::in_folder(disk.path(), Limits::default());
    let sandbox = place.sandbox();
    let stage = Stage::open_with(place, POLICY, sandbox, Some(events.store().await)).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;

    let filler = disk.fill();
    let began = Instant::now();
    // What is small may find room that its file has already.
    until("there is no room", async || {
        stage.append(1).await;
        stage.status("v1").unwrap().phase == Phase::Retrying
    })
    .await;
    grows_beyond(&stage, 4.0, began).await;
    std::fs::remove_file(filler).unwrap();
    until("nothing is behind", async || {
        stage.status("v1").is_some_and(|status| (status.lag_events, status.lag_seconds) == (0, 0.0))
    })
    .await;
    stage.deployments.drain().await;
}
