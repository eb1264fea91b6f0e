//! Versions come in beside each other, are compared, switched and switched back, and go.

use std::time::Duration;

use fantascope::deployment::{AsOf, DeployOptions, Fault, Keep, Policy, RebuildOptions, Wanted, WhenRowsDiffer};
use fantascope::event::Position;
use fantascope::projection::Phase;
use fantascope::read_model::Promote;

use crate::stage::{PATIENCE, POLICY, Stage, slides, sums, turner};

fn wanted(label: &str) -> Option<Wanted> {
    Some(label.parse().unwrap())
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Fault>) -> &'static str {
    outcome.unwrap_err().code()
}

#[tokio::test]
async fn a_fix_goes_on_where_the_old_code_stood() {
    let stage = Stage::new().await;
    stage.append(3).await;
    assert_eq!(stage.deploy(slides(1, "plain", 0)).await.unwrap().outcome, "building");
    stage.reaches("v1", Phase::Following).await;
    let swapped = stage.deploy(slides(1, "plain", 1)).await.unwrap();
    assert_eq!((swapped.outcome.as_str(), swapped.version.as_deref()), ("swapped", Some("v1")));
    let sample = swapped.sample.unwrap();
    assert!(sample.same && sample.up_to == Position(15), "{sample:?}");
    assert!(swapped.pause_ms.is_some());
    stage.append(3).await;
    let status = stage.reaches("v1", Phase::Following).await;
    assert_eq!(status.digest, swapped.plugin.digest);
    let twice = sums(3, 2).into_iter().map(|(id, (_, total))| (id, (6, total))).collect();
    assert_eq!(stage.shown().await, twice);
    // The same bytes again change nothing.
    assert_eq!(stage.deploy(slides(1, "plain", 1)).await.unwrap().outcome, "unchanged");
    assert_eq!(stage.operations().await, ["deploy 1g1 done", "swap 1g1 done"]);
    // And so it comes back, whatever has become of the file.
    let stage = stage.again(POLICY).await;
    assert_eq!(stage.reaches("v1", Phase::Following).await.digest, swapped.plugin.digest);
}

#[tokio::test]
async fn code_that_makes_other_rows_is_swapped_refused_or_built_anew() {
    let stage = Stage::new().await;
    stage.append(3).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    let with =
        |what| DeployOptions { when_rows_differ: Some(what), promote: Some(Promote::Ready), ..Default::default() };
    let double = || slides(1, "double", 0);
    let fault = stage.deploy_with(double(), with(WhenRowsDiffer::Refuse)).await.unwrap_err();
    assert_eq!(fault.code(), "rows_differ");
    assert!(fault.to_string().contains("table `counts`: 5 rows differ"), "{fault}");
    assert_eq!(stage.shown().await, sums(3, 1));

    let built = stage.deploy_with(double(), with(WhenRowsDiffer::Build)).await.unwrap();
    assert_eq!((built.outcome.as_str(), built.version.as_deref()), ("building", Some("v1g2")));
    stage.becomes_live("v1g2").await;
    assert_eq!(stage.shown().await, sums(3, 2));

    let swapped = stage.deploy_with(slides(1, "plain", 1), with(WhenRowsDiffer::Swap)).await.unwrap();
    assert_eq!((swapped.outcome.as_str(), swapped.version.as_deref()), ("swapped", Some("v1g2")));
    assert!(!swapped.sample.unwrap().same);
    stage.append(1).await;
    stage.reaches("v1g2", Phase::Following).await;
    let mixed = sums(3, 2).into_iter().map(|(id, (_, total))| (id, (4, total + 1))).collect();
    assert_eq!(stage.shown().await, mixed);
}

#[tokio::test]
async fn a_higher_version_is_built_beside_and_switched_to_and_back() {
    let stage = Stage::new().await;
    stage.append(2).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    assert_eq!(code(stage.deployments.promote("slides", None, false, "tester").await), "nothing_to_promote");
    assert_eq!(code(stage.deployments.rollback("slides", false, "tester").await), "nothing_to_roll_back_to");
    stage.deploy(slides(2, "wide", 0)).await.unwrap();
    stage.reaches("v2", Phase::Following).await;
    assert_eq!(stage.live().await, "v1");
    let verified = stage.deployments.verify("slides", None, "tester").await.unwrap();
    assert!(verified.holds && verified.blue == "v1" && verified.green == "v2", "{verified:?}");
    assert_eq!(verified.comparison.tables[0].columns_only_in_green, ["note"]);
    assert_eq!(verified.position, Position(10));
    assert!(verified.determinism.unwrap().same);

    assert_eq!(stage.deployments.promote("slides", None, false, "tester").await.unwrap().label().to_string(), "v2");
    assert_eq!(stage.live().await, "v2");
    // Both go on, so that the way back loses nothing.
    stage.append(2).await;
    stage.reaches("v1", Phase::Following).await;
    stage.reaches("v2", Phase::Following).await;
    let both = stage.shown().await;
    stage.deployments.rollback("slides", false, "tester").await.unwrap();
    assert_eq!((stage.live().await.as_str(), stage.shown().await), ("v1", both));
    assert_eq!(code(stage.deployments.rollback("slides", false, "tester").await), "nothing_to_roll_back_to");
    stage.deployments.promote("slides", wanted("2"), false, "tester").await.unwrap();
    assert_eq!(
        stage.operations().await,
        [
            "deploy 1g1 done",
            "deploy 2g1 done",
            "verify 2g1 done",
            "promote 2g1 done",
            "rollback 1g1 done",
            "promote 2g1 done"
        ]
    );
}

#[tokio::test]
async fn what_is_ready_is_promoted_by_policy_if_it_agrees() {
    let verified = Policy { promote: Promote::Verified, ..POLICY };
    let stage = Stage::with(verified).await;
    stage.append(2).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    stage.deploy(slides(2, "wide", 0)).await.unwrap();
    stage.becomes_live("v2").await;
    stage.deploy(slides(3, "double", 0)).await.unwrap();
    stage.reaches("v3", Phase::Following).await;
    let refused = async {
        while !stage.operations().await.contains(&"promote 3g1 failed".to_owned()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(stage.live().await, "v2");
    // It stays, for whoever knows better.
    stage.deployments.promote("slides", None, false, "tester").await.unwrap();
    assert_eq!((stage.live().await.as_str(), stage.shown().await), ("v3", sums(2, 2)));
}

#[tokio::test]
async fn a_difference_is_found_and_shown() {
    let stage = Stage::new().await;
    stage.append(2).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    stage.deploy(slides(2, "double", 0)).await.unwrap();
    stage.reaches("v2", Phase::Following).await;
    let verified = stage.deployments.verify("slides", None, "tester").await.unwrap();
    assert!(!verified.holds);
    let table = &verified.comparison.tables[0];
    assert_eq!(
        (table.rows_that_differ, table.sample.len(), table.sample[0].columns.as_slice()),
        (5, 5, &["total".to_owned()][..])
    );
    // It can't be said of one that stands still.
    stage.deployments.pause("slides", wanted("v2"), "tester").await.unwrap();
    assert_eq!(code(stage.deployments.verify("slides", None, "tester").await), "cannot_verify");
    assert_eq!(code(stage.deployments.verify("slides", wanted("v1"), "tester").await), "invalid_operation");
    assert_eq!(code(stage.deployments.verify("nobody", None, "tester").await), "unknown_projection");
    assert_eq!(code(stage.deployments.verify("slides", wanted("7"), "tester").await), "unknown_version");
}

#[tokio::test]
async fn a_rebuild_is_a_new_build_of_the_same_version() {
    let stage = Stage::new().await;
    stage.append(2).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    let ready = RebuildOptions { promote: Some(Promote::Ready), ..RebuildOptions::default() };
    assert_eq!(stage.rebuild(ready).await.unwrap().version.as_deref(), Some("v1g2"));
    stage.becomes_live("v1g2").await;
    stage.append(1).await;
    stage.reaches("v1", Phase::Following).await;
    stage.reaches("v1g2", Phase::Following).await;
    assert_eq!(stage.rows("slides__counts__v1g1").await, stage.rows("slides__counts__v1g2").await);
    stage.deployments.rollback("slides", false, "tester").await.unwrap();
    assert_eq!(stage.live().await, "v1");
    assert_eq!(code(stage.rebuild(RebuildOptions { version: wanted("9"), ..ready }).await), "unknown_version");
    assert_eq!(code(stage.deployments.rebuild("nobody", ready, "tester").await), "unknown_projection");
}

#[tokio::test]
async fn the_past_can_be_seen_under_a_name_of_its_own() {
    let stage = Stage::new().await;
    stage.append(2).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    let then = fantascope::event::Timestamp::now();
    tokio::time::sleep(Duration::from_millis(5)).await;
    stage.append(2).await;
    stage.reaches("v1", Phase::Following).await;
    for moment in [AsOf::Position(Position(10)), AsOf::Time(then)] {
        let options =
            RebuildOptions { as_of: Some(moment), promote: Some(Promote::Ready), ..RebuildOptions::default() };
        let built = stage.rebuild(options).await.unwrap();
        let label = built.version.unwrap();
        stage.reaches(&label, Phase::Complete).await;
        assert_eq!(stage.rows(&format!("slides_counts__as_of_10__{label}")).await, sums(2, 1));
        assert_eq!(code(stage.deployments.promote("slides", wanted(&label), true, "tester").await), "past_build");
    }
    assert_eq!(stage.live().await, "v1");
    let future = RebuildOptions { as_of: Some(AsOf::Position(Position(99))), ..RebuildOptions::default() };
    assert_eq!(code(stage.rebuild(future).await), "invalid_operation");
    // It is kept for a while, over a restart, too.
    let stage = stage.again(POLICY).await;
    assert_eq!(stage.reaches("v1g2", Phase::Complete).await.as_of, Some(Position(10)));
    let stage = stage.again(Policy { keep_as_of: Duration::from_secs(1), ..POLICY }).await;
    let gone = async {
        while stage.names().await.iter().any(|name| name.contains("as_of") || name.ends_with("g2")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    assert_eq!(stage.names().await, ["slides__counts__v1g1", "slides_counts"]);
}

#[tokio::test]
async fn a_pause_lasts_over_a_restart() {
    let stage = Stage::new().await;
    stage.append(1).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    stage.deployments.pause("slides", None, "tester").await.unwrap();
    stage.append(1).await;
    let stage = stage.again(POLICY).await;
    stage.tail_is_at(10).await;
    let status = stage.reaches("v1", Phase::Paused).await;
    assert_eq!((status.position, status.lag_events), (Position(5), 5));
    stage.deployments.resume("slides", None, None, "tester").await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    assert_eq!(stage.shown().await["s-0"], (2, 2));
}

#[tokio::test]
async fn what_is_not_fit_changes_nothing_and_says_why() {
    let stage = Stage::new().await;
    stage.append(2).await;
    stage.deploy(slides(2, "plain", 0)).await.unwrap();
    stage.reaches("v2", Phase::Following).await;
    for (bytes, expected) in [
        (slides(1, "plain", 0), "version_lower"),
        (slides(2, "wide", 0), "tables_changed"),
        (slides(2, "broken", 0), "trial_failed"),
        (b"not wasm".to_vec(), "plugin_not_wasm"),
        (slides(2, "plain", 0)[..5_000].to_vec(), "plugin_invalid"),
    ] {
        assert_eq!(code(stage.deploy(bytes).await), expected);
        let plugin = &stage.deployments.plugins().get()[0];
        assert_eq!((plugin.code.as_deref(), plugin.error.is_some()), (Some(expected), true));
    }
    let partitions = DeployOptions { workers: Some(2), ..DeployOptions::default() };
    let fault = stage.deploy_with(slides(3, "global", 0), partitions).await.unwrap_err();
    assert!(fault.code() == "invalid_operation" && fault.to_string().contains("`counts`"), "{fault}");
    stage.append(1).await;
    stage.reaches("v2", Phase::Following).await;
    assert_eq!(stage.shown().await["s-0"], (3, 4));
    assert_eq!(stage.names().await, ["slides__counts__v2g1", "slides_counts"]);
    assert_eq!(stage.operations().await, ["deploy 2g1 done"]);
}

#[tokio::test]
async fn a_broken_version_stays_beside_the_live_one_and_can_be_cancelled_or_mended() {
    let stage = Stage::with(Policy { promote: Promote::Ready, ..POLICY }).await;
    stage.append(2).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    stage.deploy(slides(2, "broken", 0)).await.unwrap();
    let status = stage.reaches("v2", Phase::Failed).await;
    assert!(status.error.unwrap().message.contains("the lamp is broken"));
    let fault = stage.deployments.promote("slides", wanted("2"), true, "tester").await.unwrap_err();
    assert!(fault.code() == "version_not_ready" && fault.to_string().contains("the lamp is broken"), "{fault}");
    assert_eq!(stage.live().await, "v1");
    // A rebuild that would collide is refused by name.
    let options = RebuildOptions { version: wanted("2"), ..RebuildOptions::default() };
    assert_eq!(code(stage.rebuild(options).await), "operation_in_progress");
    stage.deployments.cancel("slides", None, "tester").await.unwrap();
    assert_eq!(stage.names().await, ["slides__counts__v1g1", "slides_counts"]);
    assert_eq!(code(stage.deployments.cancel("slides", wanted("1"), "tester").await), "version_live");
    assert_eq!(code(stage.deployments.cancel("slides", None, "tester").await), "invalid_operation");
    // Mended before it was cancelled, it goes on: the same version, built anew.
    stage.deploy(slides(2, "broken", 1)).await.unwrap();
    stage.reaches("v2g2", Phase::Failed).await;
    assert_eq!(stage.deploy(slides(2, "plain", 0)).await.unwrap().outcome, "swapped");
    stage.becomes_live("v2g2").await;
    assert_eq!(stage.shown().await, sums(2, 1));
}

#[tokio::test]
async fn what_lags_or_rests_is_promoted_only_by_force() {
    let stage = Stage::new().await;
    stage.append(1).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    stage.deploy(slides(2, "plain", 0)).await.unwrap();
    stage.reaches("v2", Phase::Following).await;
    stage.deployments.pause("slides", wanted("2"), "tester").await.unwrap();
    stage.append(1).await;
    stage.reaches("v1", Phase::Following).await;
    let fault = stage.deployments.promote("slides", None, false, "tester").await.unwrap_err();
    assert!(fault.code() == "version_not_ready" && fault.to_string().contains("paused and 5 events behind"), "{fault}");
    stage.deployments.promote("slides", None, true, "tester").await.unwrap();
    assert_eq!((stage.live().await.as_str(), stage.shown().await), ("v2", sums(1, 1)));
}

#[tokio::test]
async fn previous_versions_are_kept_as_configured() {
    let stage = Stage::with(Policy { promote: Promote::Ready, keep_previous: Keep::Latest(1), ..POLICY }).await;
    stage.append(1).await;
    for version in 1..=4 {
        stage.deploy(slides(version, "plain", 0)).await.unwrap();
        stage.becomes_live(&format!("v{version}")).await;
    }
    let expected = ["slides__counts__v3g1", "slides__counts__v4g1", "slides_counts"];
    let retired = async {
        while stage.names().await != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, retired).await.unwrap();
    stage.deployments.rollback("slides", false, "tester").await.unwrap();
    assert_eq!(stage.live().await, "v3");
    let fault = stage.deployments.rollback("slides", false, "tester").await.unwrap_err();
    assert!(fault.to_string().contains("deploy.keep_previous"), "{fault}");
}

#[tokio::test]
async fn a_history_is_folded_in_partitions() {
    let stage = Stage::new().await;
    stage.append(40).await;
    let options = DeployOptions { workers: Some(3), ..DeployOptions::default() };
    stage.deploy_with(slides(1, "plain", 0), options).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    assert_eq!(stage.shown().await, sums(40, 1));
    // Once it follows, there is one.
    let version = &stage.read_model.versions().await.unwrap()[0];
    assert_eq!((version.checkpoints.len(), version.position()), (1, Position(200)));
    let fault = stage.deployments.resume("slides", None, Some(2), "tester").await.unwrap_err();
    assert!(fault.to_string().contains("has its history folded"), "{fault}");
    // A guest that writes the row of another partition is caught, and both are named.
    let options = DeployOptions { workers: Some(2), ..DeployOptions::default() };
    stage.deploy_with(slides(2, "foreign", 0), options).await.unwrap();
    let error = stage.reaches("v2", Phase::Failed).await.error.unwrap();
    assert!(error.message.contains("row `everyone`, which belongs to partition"), "{error:?}");
    assert!(error.message.contains("partition 0") && error.message.contains("partition 1"), "{error:?}");
}

#[tokio::test]
async fn the_number_of_partitions_can_change_while_it_is_built() {
    let mut place = crate::place::Place::new();
    place.limits.batch_events_max = 10;
    let stage = Stage::open(place, POLICY).await;
    stage.append(200).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    let options = DeployOptions { workers: Some(2), ..DeployOptions::default() };
    stage.deploy_with(slides(2, "heavy", 0), options).await.unwrap();
    let paused = stage.deployments.pause("slides", wanted("2"), "tester").await.unwrap();
    let before = stage.read_model.version(&paused[0]).await.unwrap();
    assert!(before.checkpoints.len() == 2 && before.position() < Position(1_000), "{before:?}");
    let stage = stage.again(POLICY).await;
    stage.deployments.resume("slides", wanted("2"), Some(4), "tester").await.unwrap();
    stage.reaches("v2", Phase::Following).await;
    assert_eq!(stage.rows("slides__counts__v2g1").await, sums(200, 1));
}

#[tokio::test]
async fn what_can_be_replayed_is_folded_again_from_a_position() {
    let stage = Stage::new().await;
    stage.append(2).await;
    stage.deploy(slides(1, "latest", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    // Somebody has spoilt a row by hand.
    let raw = stage.place.raw().await;
    raw.run("UPDATE slides__counts__v1g1 SET total = 7 WHERE id = 's-4'").await.unwrap();
    let before = stage.shown().await;
    let id = stage.deployments.reset("slides", None, Position(5), "tester").await.unwrap();
    let status = stage.reaches(&id.label().to_string(), Phase::Following).await;
    assert_eq!((status.position, stage.shown().await["s-4"].1), (Position(10), 2));
    assert_eq!(before["s-4"].1, 7);
    assert_eq!(code(stage.deployments.reset("slides", None, Position(11), "tester").await), "invalid_operation");
    stage.deploy(slides(2, "plain", 0)).await.unwrap();
    stage.reaches("v2", Phase::Following).await;
    let fault = stage.deployments.reset("slides", wanted("2"), Position(5), "tester").await.unwrap_err();
    assert!(fault.to_string().contains("does not say that it is replayable"), "{fault}");
    assert!(stage.operations().await.contains(&"reset 1g1 done".to_owned()));
}

#[tokio::test]
async fn a_new_upcaster_takes_effect_at_one_position_for_all() {
    let stage = Stage::with(Policy { promote: Promote::Ready, ..POLICY }).await;
    stage.append(2).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    let installed = stage.deploy(turner(1, 10)).await.unwrap();
    let trial = installed.upcaster.unwrap();
    assert_eq!((trial.effective_after, trial.changed, trial.taken["Slide v1"]), (Position(10), 10, 10));
    assert_eq!(trial.samples[0].before, [r#"Slide v1 {"n":1}"#]);
    assert!(trial.samples[0].after[0].starts_with("Slide v2 {\"n\":10}"), "{:?}", trial.samples[0]);
    assert_eq!(trial.affected[0].projection, "slides");
    assert!(installed.advice[0].contains("projection rebuild slides"), "{:?}", installed.advice);
    // What was folded stays; what comes is upcast.
    stage.append(1).await;
    stage.reaches("v1", Phase::Following).await;
    assert_eq!(stage.shown().await["s-0"], (3, 3 + 10));
    // It is so after a restart, also for one that was behind.
    let stage = stage.again(Policy { promote: Promote::Ready, ..POLICY }).await;
    stage.reaches("v1", Phase::Following).await;
    assert_eq!(stage.shown().await["s-0"], (3, 3 + 10));
    // And a rebuild reads all of the history with it.
    let rebuilt = stage.deployments.rebuild_affected_by("turner", RebuildOptions::default(), "tester").await.unwrap();
    assert_eq!(rebuilt.len(), 1);
    stage.becomes_live("v1g2").await;
    assert_eq!(stage.shown().await["s-0"], (3, 40));
    assert!(stage.deployments.rebuild_affected_by("turner", RebuildOptions::default(), "t").await.unwrap().is_empty());
    assert_eq!(
        code(stage.deployments.rebuild_affected_by("nobody", RebuildOptions::default(), "t").await),
        "unknown_upcaster"
    );
    // One that fails on the past is refused; a lower one, too.
    assert_eq!(code(stage.deploy(turner(2, 0)).await), "trial_failed");
    stage.deploy(turner(3, 10)).await.unwrap();
    assert_eq!(code(stage.deploy(turner(2, 10)).await), "plugin_superseded");
}

#[tokio::test]
async fn a_version_that_lags_reads_each_event_with_the_upcasters_of_its_time() {
    let stage = Stage::new().await;
    stage.append(1).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    stage.deployments.pause("slides", None, "tester").await.unwrap();
    stage.append(1).await;
    stage.tail_is_at(10).await;
    stage.deploy(turner(1, 10)).await.unwrap();
    stage.append(1).await;
    stage.tail_is_at(15).await;
    stage.deploy(turner(2, 20)).await.unwrap();
    stage.append(1).await;
    let stage = stage.again(POLICY).await;
    stage.deployments.resume("slides", None, None, "tester").await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    assert_eq!(stage.shown().await["s-0"], (4, 1 + 1 + 10 + 20));
}

#[tokio::test]
async fn a_plugin_is_taken_away_only_on_purpose() {
    let stage = Stage::with(Policy { promote: Promote::Ready, ..POLICY }).await;
    stage.append(1).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    assert_eq!(code(stage.deployments.remove("nobody", false, "tester").await), "unknown_plugin");
    assert_eq!(code(stage.deployments.remove("slides", false, "tester").await), "version_live");
    stage.deploy(turner(1, 10)).await.unwrap();
    stage.deployments.remove("turner", false, "tester").await.unwrap();
    stage.append(1).await;
    stage.reaches("v1", Phase::Following).await;
    assert_eq!(stage.shown().await["s-0"], (2, 2));
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.deployments.remove("slides", true, "tester").await.unwrap();
    assert!(stage.names().await.is_empty(), "{:?}", stage.names().await);
    // It can come again: a first version, live at once.
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1g2", Phase::Following).await;
    assert_eq!((stage.live().await.as_str(), stage.shown().await["s-0"]), ("v1g2", (2, 2)));
}
