//! Several hosts on one database.

use std::collections::BTreeSet;
use std::time::Duration;

use fantascope::deployment::DeployOptions;
use fantascope::http;
use fantascope::projection::{Phase, Status};
use fantascope::read_model::Promote;

use crate::away::{Client, api};
use crate::stage::{PATIENCE, POLICY, Stage, slides, sums, turner};

/// Waits until `is_so`, or says what is not.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{what}");
}

/// How many partitions each of `stages` folds, and how many nobody.
async fn shares(stages: &[&Stage]) -> Vec<usize> {
    let look = stages[0].read_model.look().await.unwrap();
    let owned_by = |owner: Option<&str>| {
        look.units.iter().filter(|unit| unit.owner.as_ref().map(|(owner, _)| owner.as_str()) == owner).count()
    };
    stages.iter().map(|stage| owned_by(Some(stage.read_model.host()))).chain([owned_by(None)]).collect()
}

async fn become_shares(stages: &[&Stage], expected: &[usize]) {
    let mut found = Vec::new();
    let wait = async {
        loop {
            found = shares(stages).await;
            if found == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{expected:?} is what each should fold");
}

/// Of two hosts the one that folds the version `label`, which has one partition; then the other.
async fn folder_of<'a>(label: &str, stages: [&'a Stage; 2]) -> (&'a Stage, &'a Stage) {
    let mut owner = None;
    until("somebody folds it", async || {
        let look = stages[0].read_model.look().await.unwrap();
        let unit = look.units.iter().find(|unit| unit.id.label().to_string() == label);
        owner = unit.and_then(|unit| unit.owner.clone());
        owner.is_some()
    })
    .await;
    let (host, _) = owner.unwrap();
    let [one, two] = stages;
    if one.read_model.host() == host { (one, two) } else { (two, one) }
}

/// Deploys versions 1 to `count` beside each other.
async fn deploy_versions(stage: &Stage, count: u32) {
    for version in 1..=count {
        stage.deploy(slides(version, "plain", 0)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_spread_handed_over_and_taken_back() {
    let one = Stage::new().await;
    one.append(20).await;
    deploy_versions(&one, 4).await;
    become_shares(&[&one], &[4, 0]).await;
    let two = one.beside().await;
    become_shares(&[&one, &two], &[2, 2, 0]).await;
    let three = one.beside().await;
    // Four among three: nobody has more than two, and nothing goes to and fro.
    until("three share", async || {
        let shares = shares(&[&one, &two, &three]).await;
        shares[3] == 0 && shares[..3].iter().all(|&share| share <= 2) && shares[..3].iter().sum::<usize>() == 4
    })
    .await;
    let before = one.read_model.look().await.unwrap();
    let owners = |look: &read_model::Look| -> Vec<_> {
        look.units.iter().map(|unit| (unit.id.clone(), unit.owner.clone())).collect()
    };
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(owners(&before), owners(&one.read_model.look().await.unwrap()), "nothing moves without a reason");
    one.append(5).await;
    // One leaves in an orderly way.
    two.deployments.drain().await;
    until("the others take over", async || {
        let shares = shares(&[&one, &three]).await;
        shares[2] == 0 && shares[0] == 2 && shares[1] == 2
    })
    .await;
    three.deployments.drain().await;
    become_shares(&[&one], &[4, 0]).await;
    for version in 1..=4 {
        one.reaches(&format!("v{version}"), Phase::Following).await;
        let rows = one.rows(&format!("slides__counts__v{version}g1")).await;
        assert!(rows.values().all(|&(events, _)| events == 25), "neither lost nor doubled: {rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_one_host_holds_for_all() {
    let one = Stage::new().await;
    one.append(10).await;
    one.deploy(slides(1, "plain", 0)).await.unwrap();
    one.reaches("v1", Phase::Following).await;
    let two = one.beside().await;
    // Whoever folds it, the other one knows of it.
    until("the other host shows it", async || two.status("v1").is_some_and(|status| status.live)).await;
    // A deployment at the other host, promoted there.
    let options = DeployOptions { promote: Some(Promote::Manual), ..DeployOptions::default() };
    two.deploy_with(slides(2, "plain", 0), options).await.unwrap();
    for stage in [&one, &two] {
        until("both have caught up with version 2", async || {
            stage.status("v2").is_some_and(|status| status.phase == Phase::Following && stage.is_all_folded(&status))
        })
        .await;
    }
    become_shares(&[&one, &two], &[1, 1, 0]).await;
    two.deployments.promote("slides", None, false, "tester").await.unwrap();
    assert_eq!((one.live().await, two.live().await), ("v2".to_owned(), "v2".to_owned()));
    until("both show what is live", async || {
        [&one, &two].iter().all(|stage| stage.status("v2").is_some_and(|status| status.live))
    })
    .await;
    // Paused at one, nobody folds it; resumed at the other, it goes on.
    one.deployments.pause("slides", None, "tester").await.unwrap();
    until("both pause", async || {
        [&one, &two].iter().all(|stage| {
            ["v1", "v2"].iter().all(|label| stage.status(label).is_some_and(|status| status.phase == Phase::Paused))
        })
    })
    .await;
    one.append(1).await;
    two.deployments.resume("slides", None, None, "tester").await.unwrap();
    until("both go on", async || one.shown().await.values().all(|&(events, _)| events == 11)).await;
    until("and show it", async || {
        let goes_on = |status: &Status| status.phase == Phase::Following && one.is_all_folded(status);
        ["v1", "v2"].iter().all(|label| one.status(label).as_ref().is_some_and(goes_on))
    })
    .await;
    // Back again, said to the first.
    one.deployments.rollback("slides", false, "tester").await.unwrap();
    assert_eq!(two.live().await, "v1");
    // The plugin that came to one is listed at the other.
    let listed = |stage: &Stage| -> BTreeSet<String> {
        stage
            .deployments
            .plugins()
            .get()
            .into_iter()
            .map(|plugin| format!("{} {}", plugin.file, plugin.status))
            .collect()
    };
    until("both list the same plugins", async || listed(&one) == listed(&two)).await;
    // Cancelled at one, gone at the other.
    two.deployments.cancel("slides", "2".parse().ok(), "tester").await.unwrap();
    until("both forget version 2", async || one.status("v2").is_none() && two.status("v2").is_none()).await;
    one.deployments.drain().await;
    two.deployments.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_host_knows_of_a_version_all_show_and_what_is_said_to_any_holds() {
    let one = Stage::new().await;
    one.append(10).await;
    one.deploy(slides(1, "plain", 0)).await.unwrap();
    let two = one.beside().await;
    let options = DeployOptions { promote: Some(Promote::Manual), ..DeployOptions::default() };
    one.deploy_with(slides(2, "broken", 0), options).await.unwrap();
    // Before it has failed it may be handed over; then it stays where it is.
    let mut hosts = folder_of("v2", [&one, &two]).await;
    until("it fails where it is folded", async || {
        hosts = folder_of("v2", [&one, &two]).await;
        hosts.0.status("v2").is_some_and(|status| status.phase == Phase::Failed && status.host.is_none())
    })
    .await;
    let (folds, told) = hosts;
    // The error, with all that belongs to it, is the same at the other host.
    let same = async || {
        let error = |stage: &Stage| stage.status("v2").filter(|status| status.phase == Phase::Failed)?.error;
        error(told).is_some() && error(told) == error(folds)
    };
    until("the other host shows why it has failed", same).await;
    let shown = told.status("v2").unwrap();
    assert!(shown.host.is_some() && shown.error.as_ref().unwrap().message.contains("the lamp is broken"), "{shown:?}");
    // Said to the one that does not fold it, it is tried again.
    let failed = folds.status("v2").unwrap().error.unwrap();
    told.deployments.resume("slides", "2".parse().ok(), None, "tester").await.unwrap();
    until("it is tried again", async || {
        folds.status("v2").and_then(|status| status.error).is_some_and(|error| error.since > failed.since)
    })
    .await;
    until("the other host knows of it", same).await;
    // Mended there, it goes on, and nobody shows an error any more.
    told.deploy_with(slides(2, "plain", 0), options).await.unwrap();
    for stage in [folds, told] {
        let status = stage.reaches("v2", Phase::Following).await;
        assert_eq!(status.error, None);
    }
    one.deployments.drain().await;
    two.deployments.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_set_back_by_any_host_without_a_new_event() {
    let one = Stage::new().await;
    one.append(2).await;
    one.deploy(slides(1, "latest", 0)).await.unwrap();
    one.reaches("v1", Phase::Following).await;
    let two = one.beside().await;
    let (_, told) = folder_of("v1", [&one, &two]).await;
    until("the other host knows of it", async || told.status("v1").is_some_and(|status| status.host.is_some())).await;
    one.place.raw().await.run("UPDATE slides__counts__v1g1 SET total = 7 WHERE id = 's-4'").await.unwrap();
    told.deployments.reset("slides", None, fantascope::event::Position(0), "tester").await.unwrap();
    until("it is folded again", async || one.shown().await["s-4"].1 == 2).await;
    one.deployments.drain().await;
    two.deployments.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_hosts_share_is_cut_anew_by_any_of_them() {
    let one = Stage::new().await;
    one.append(10).await;
    let two = one.beside().await;
    let options = DeployOptions { promote: Some(Promote::Manual), workers: Some(2), ..DeployOptions::default() };
    // It comes no further than its first event.
    one.deploy_with(slides(1, "broken", 0), options).await.unwrap();
    // What fails before the other host has come to it stays with the first one.
    until("somebody folds each partition", async || {
        let shares = shares(&[&one, &two]).await;
        shares.iter().sum::<usize>() == 2 && shares[2] == 0
    })
    .await;
    two.deployments.resume("slides", None, Some(4), "tester").await.unwrap();
    until("there are four partitions", async || one.read_model.versions().await.unwrap()[0].checkpoints.len() == 4)
        .await;
    one.deploy(slides(1, "plain", 0)).await.unwrap();
    until("all is folded", async || one.shown().await == sums(10, 1)).await;
    one.deployments.drain().await;
    two.deployments.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_refuses_an_upcaster_leaves_its_work_to_those_that_take_it() {
    let one = Stage::new().await;
    one.append(2).await;
    deploy_versions(&one, 2).await;
    one.reaches("v2", Phase::Following).await;
    let place = one.place.beside();
    let cache = place.path("cache");
    let sandbox = place.sandbox_with_cache(&cache);
    let two = Stage::open_with(place, POLICY, sandbox, None).await;
    become_shares(&[&one, &two], &[1, 1, 0]).await;
    // From now on it can't compile anything.
    std::fs::remove_dir_all(&cache).unwrap();
    std::fs::write(&cache, b"in the way").unwrap();
    let upload = read_model::Source::Upload;
    one.deployments.deploy("turner.wasm", turner(1, 10), upload, DeployOptions::default(), "tester").await.unwrap();
    become_shares(&[&one, &two], &[2, 0, 0]).await;
    one.append(1).await;
    for label in ["v1", "v2"] {
        until("all is folded", async || {
            one.rows(&format!("slides__counts__{label}g1")).await.get("s-0") == Some(&(3, 3 + 10))
        })
        .await;
        until("the other host shows who folds it", async || {
            two.status(label).is_some_and(|status| status.host.is_some() && status.phase == Phase::Following)
        })
        .await;
    }
    let why = two.deployments.projections().board().barred().unwrap();
    assert!(why.code == "upcasters_refused" && why.message.contains("`turner.wasm`"), "{why:?}");
    let (status, problem) = Client(http::router(api(&two))).get("/readyz").await;
    assert!(status == 503 && problem["reasons"].to_string().contains("turner.wasm"), "{problem}");
    assert_eq!(Client(http::router(api(&one))).get("/readyz").await.0, 200);
    // Alone, it shows why nothing is folded; and once it can, it goes on.
    one.deployments.drain().await;
    until("it shows why nothing is folded", async || {
        two.status("v1").and_then(|status| status.error).is_some_and(|error| error.code == "upcasters_refused")
    })
    .await;
    std::fs::remove_file(&cache).unwrap();
    become_shares(&[&two], &[2, 0]).await;
    two.append(1).await;
    two.reaches("v1", Phase::Following).await;
    assert_eq!(Client(http::router(api(&two))).get("/readyz").await.0, 200);
    two.deployments.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rested_when_it_was_to_be_handed_over_goes_on() {
    let one = Stage::new().await;
    one.append(10).await;
    deploy_versions(&one, 2).await;
    for label in ["v1", "v2"] {
        one.reaches(label, Phase::Following).await;
    }
    one.deployments.pause("slides", None, "tester").await.unwrap();
    let two = one.beside().await;
    until("there are two", async || one.read_model.look().await.unwrap().hosts == 2).await;
    // By then the first knows that one of the versions is not to be its own any more.
    tokio::time::sleep(Duration::from_secs(1)).await;
    one.append(1).await;
    two.deployments.resume("slides", None, None, "tester").await.unwrap();
    become_shares(&[&one, &two], &[1, 1, 0]).await;
    for version in 1..=2 {
        until("all is folded", async || {
            one.rows(&format!("slides__counts__v{version}g1")).await.values().all(|&(events, _)| events == 11)
        })
        .await;
    }
    one.deployments.drain().await;
    two.deployments.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_code_of_the_same_version_takes_over_wherever_it_runs() {
    let one = Stage::new().await;
    one.append(4).await;
    deploy_versions(&one, 2).await;
    one.reaches("v2", Phase::Following).await;
    let two = one.beside().await;
    become_shares(&[&one, &two], &[1, 1, 0]).await;
    // Both versions get other bytes; one of the two is folded by the other host.
    for version in [1, 2] {
        one.deploy(slides(version, "plain", 7)).await.unwrap();
    }
    let digests = |stage: &Stage| -> Vec<String> {
        ["v1", "v2"].iter().filter_map(|label| stage.status(label)).map(|status| status.digest).collect()
    };
    let recorded: Vec<String> =
        one.read_model.versions().await.unwrap().iter().map(|version| version.digest.to_string()).collect();
    for stage in [&one, &two] {
        until("the other bytes run everywhere", async || digests(stage) == recorded).await;
    }
    one.append(3).await;
    for label in ["v1", "v2"] {
        until("all is folded", async || {
            one.rows(&format!("slides__counts__{label}g1")).await.values().all(|&(events, _)| events == 7)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_tail_is_behind_folds_nothing_twice() {
    let one = Stage::new().await;
    deploy_versions(&one, 1).await;
    one.reaches("v1", Phase::Following).await;
    let two = one.beside().await;
    let (held, tail) = two.deployments.projections().hold_tail().await;
    one.append(10).await;
    until("the first host has folded it", async || {
        one.rows("slides__counts__v1g1").await.values().filter(|&&(events, _)| events == 10).count() == 5
    })
    .await;
    let position = one.read_model.versions().await.unwrap()[0].position();
    assert!(position > tail, "the second one has not read so far");
    one.deployments.drain().await;
    become_shares(&[&two], &[1, 0]).await;
    // The next page of its tail begins with what the first one has folded.
    two.append(3).await;
    drop(held);
    until("it is folded", async || {
        two.read_model.versions().await.unwrap()[0].position() >= two.store.head_with_appended().await
    })
    .await;
    let rows = two.rows("slides__counts__v1g1").await;
    assert!(rows.values().all(|&(events, _)| events == 13), "neither lost nor doubled: {rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn upcasters_hold_from_one_position_on_for_all_hosts() {
    let one = Stage::new().await;
    one.append(10).await;
    deploy_versions(&one, 2).await;
    one.reaches("v2", Phase::Following).await;
    let two = one.beside().await;
    become_shares(&[&one, &two], &[1, 1, 0]).await;
    // While events come in all the time, an upcaster that changes them is put in force.
    let appender = one.store.clone();
    let appending = tokio::spawn(async move {
        for n in 0..300_u64 {
            let event =
                serde_json::from_value(serde_json::json!({ "event_type": "Slide", "event_data": { "n": n % 5 + 1 } }));
            let any = store::Expected::Any;
            appender.append("Show", &format!("s-{}", n % 5), any, vec![event.unwrap()]).await.unwrap();
        }
    });
    until("some of them are there", async || one.store.refresh_head().await.unwrap().0 >= 60).await;
    let bytes = turner(1, 10);
    let upload = read_model::Source::Upload;
    two.deployments.deploy("turner.wasm", bytes, upload, DeployOptions::default(), "tester").await.unwrap();
    appending.await.unwrap();
    until("all can be read", async || one.store.refresh_head().await.unwrap().0 >= 350).await;
    let head = one.store.head();
    until("all is folded", async || {
        one.read_model.versions().await.unwrap().iter().all(|version| version.position() >= head)
    })
    .await;
    // Both versions were begun before it, and fold the same events: they must agree, whichever
    // host folded which, and with a third one that is built now from the same sets.
    let rows = one.rows("slides__counts__v1g1").await;
    assert_eq!(rows, one.rows("slides__counts__v2g1").await);
    let set = one.read_model.upcaster_sets().await.unwrap().pop().unwrap();
    let mut expected = std::collections::BTreeMap::new();
    for event in one.store.events(&store::Filter::default(), 10_000).await.unwrap() {
        let data: serde_json::Value = serde_json::from_str(event.event_data.get()).unwrap();
        let factor = if event.position > set.effective_after { 10 } else { 1 };
        let row: &mut (i64, i64) = expected.entry(event.aggregate_id.clone()).or_default();
        *row = (row.0 + 1, row.1 + data["n"].as_i64().unwrap() * factor);
    }
    assert_eq!(rows, expected, "up to position {} as before, then tenfold", set.effective_after);
}
