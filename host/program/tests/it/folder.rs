//! Files come, change and go in the plugin folder of a running host.

use std::path::PathBuf;
use std::time::Duration;

use fantascope::catalogue::{Watch, WatchSettings};
use fantascope::deployment::{DeployOptions, Deployed, Fault, PluginInfo, PluginStatus, Policy};
use fantascope::projection::Phase;
use fantascope::read_model::{Promote, Source};
use fantascope::store::Expected;

use crate::place::Place;
use crate::stage::{PATIENCE, POLICY, Stage, slides, sums, turner};

const READY: Policy = Policy { promote: Promote::Ready, ..POLICY };

/// A stage whose host follows the folder `plugins`.
struct Followed {
    stage: Stage,
}

impl Followed {
    async fn open(stage: Stage) -> Self {
        let settings = WatchSettings {
            folder: stage.place.path("plugins"),
            settle: Duration::from_millis(20),
            rescan: Duration::from_millis(500),
            plugin_bytes_max: 1 << 20,
            tasks: stage.store.tasks().clone(),
        };
        let (watch, found) = Watch::open(settings).unwrap();
        stage.deployments.deploy_folder(found).await.unwrap();
        tokio::spawn(stage.deployments.clone().follow_folder(watch));
        Self { stage }
    }

    async fn new() -> Self {
        let stage = Stage::with(READY).await;
        stage.append(2).await;
        Self::open(stage).await
    }

    async fn again(self) -> Self {
        Self::open(self.stage.again(READY).await).await
    }

    fn path(&self, file: &str) -> PathBuf {
        self.stage.place.path("plugins").join(file)
    }

    fn put(&self, file: &str, bytes: &[u8]) {
        std::fs::write(self.path(file), bytes).unwrap();
    }

    fn plugin(&self, file: &str) -> Option<PluginInfo> {
        self.stage.deployments.plugins().get().into_iter().find(|plugin| plugin.file == file)
    }

    /// Waits until `is_so` of what is known of `file`.
    async fn until(&self, file: &str, is_so: impl Fn(Option<&PluginInfo>) -> bool) {
        let waited = async {
            while !is_so(self.plugin(file).as_ref()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, waited).await;
        assert!(outcome.is_ok(), "{file}: {:?}", self.plugin(file));
    }

    async fn until_refused(&self, file: &str, code: &str) -> String {
        self.until(file, |plugin| plugin.is_some_and(|plugin| plugin.code.as_deref() == Some(code))).await;
        self.plugin(file).and_then(|plugin| plugin.error).unwrap()
    }
}

#[tokio::test]
async fn what_is_put_there_runs_and_what_is_changed_takes_over() {
    let host = Followed::new().await;
    host.put("a.wasm", &slides(1, "plain", 0));
    host.stage.reaches("v1", Phase::Following).await;
    // A fix, written in place.
    let fix = slides(1, "plain", 1);
    host.put("a.wasm", &fix);
    host.until("a.wasm", |plugin| {
        plugin.is_some_and(|plugin| {
            plugin.digest == guest::digest(&fix).to_string() && plugin.status == PluginStatus::Active
        })
    })
    .await;
    // A higher version, moved into its place.
    host.put("a.wasm.part", &slides(2, "double", 0));
    std::fs::rename(host.path("a.wasm.part"), host.path("a.wasm")).unwrap();
    host.stage.becomes_live("v2").await;
    assert_eq!(host.stage.shown().await, sums(2, 2));
    // What is broken changes nothing, and says why.
    host.put("a.wasm", b"\0asm and then nonsense");
    host.until_refused("a.wasm", "plugin_invalid").await;
    assert_eq!(host.stage.live().await, "v2");
    // A file that goes takes nothing with it.
    std::fs::remove_file(host.path("a.wasm")).unwrap();
    host.until("a.wasm", |plugin| plugin.is_none()).await;
    host.stage.append(1).await;
    host.stage.reaches("v2", Phase::Following).await;
    let host = host.again().await;
    host.stage.reaches("v2", Phase::Following).await;
    assert_eq!(host.stage.live().await, "v2");
}

#[tokio::test]
async fn files_that_contradict_each_other_are_refused() {
    let host = Followed::new().await;
    host.put("a.wasm", &slides(1, "plain", 0));
    host.stage.reaches("v1", Phase::Following).await;
    host.put("b.wasm", &slides(1, "double", 0));
    let error = host.until_refused("b.wasm", "plugin_twin").await;
    assert!(error.contains("`a.wasm` is projection slides v1, too"), "{error}");
    host.put("c.wasm", &slides(1, "plain", 0));
    host.until_refused("c.wasm", "plugin_copy").await;
    assert_eq!(host.stage.shown().await, sums(2, 1));
}

#[tokio::test]
async fn a_restart_does_not_undo_what_was_deployed_since() {
    let host = Followed::new().await;
    host.put("slides.wasm", &slides(1, "plain", 0));
    host.stage.reaches("v1", Phase::Following).await;
    // A fix and a higher version come by upload; the file stays as it was.
    host.stage.deploy(slides(1, "plain", 1)).await.unwrap();
    host.stage.deploy(slides(2, "double", 0)).await.unwrap();
    host.stage.becomes_live("v2").await;
    let host = host.again().await;
    host.stage.reaches("v2", Phase::Following).await;
    host.stage.reaches("v1", Phase::Following).await;
    let digest = guest::digest(&slides(1, "plain", 1)).to_string();
    assert_eq!(host.stage.status("v1").unwrap().digest, digest);
    assert_eq!(host.stage.live().await, "v2");
}

#[tokio::test]
async fn a_file_that_holds_another_projection_does_not_stop_the_one_before() {
    let host = Followed::new().await;
    host.put("a.wasm", &slides(1, "plain", 0));
    host.stage.reaches("v1", Phase::Following).await;
    host.put("a.wasm", &crate::guests::guest("liar"));
    host.until("a.wasm", |plugin| plugin.is_some_and(|plugin| plugin.name.as_deref() == Some("liar"))).await;
    host.stage.append(1).await;
    host.stage.reaches("v1", Phase::Following).await;
    assert_eq!(host.stage.shown().await["s-0"], (3, 4));
}

#[tokio::test]
async fn upcasters_that_come_with_a_projection_are_there_first() {
    let stage = Stage::with(READY).await;
    stage.append(2).await;
    std::fs::create_dir(stage.place.path("plugins")).unwrap();
    std::fs::write(stage.place.path("plugins").join("a_slides.wasm"), slides(1, "plain", 0)).unwrap();
    std::fs::write(stage.place.path("plugins").join("b_turner.wasm"), turner(1, 10)).unwrap();
    let host = Followed::open(stage).await;
    host.stage.reaches("v1", Phase::Following).await;
    assert_eq!(host.stage.shown().await, sums(2, 10));
}

/// A host that follows a folder, with version 1 live, on which an operation is under way that
/// takes as long as a call into a guest may.
async fn at_work(call_max: Duration) -> (Followed, tokio::task::JoinHandle<Result<Deployed, Fault>>) {
    let mut place = Place::new();
    place.limits.guest_call_ms_max = u64::try_from(call_max.as_millis()).unwrap();
    let stage = Stage::open(place, READY).await;
    let event = serde_json::from_value(serde_json::json!({ "event_type": "Slide", "event_data": { "n": 1 } }));
    stage.store.append("Show", "s-0", Expected::Any, vec![event.unwrap()]).await.unwrap();
    let host = Followed::open(stage).await;
    host.put("a.wasm", &slides(1, "plain", 0));
    host.until("a.wasm", is_active).await;
    host.stage.reaches("v1", Phase::Following).await;
    let deployments = host.stage.deployments.clone();
    let operation = tokio::spawn(async move {
        loop {
            let (bytes, options) = (slides(1, "endless", 0), DeployOptions::default());
            // What looks below whether it is at work may be in its way.
            match deployments.deploy("long.wasm", bytes, Source::Upload, options, "tester").await {
                Err(Fault::Busy { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                deployed => return deployed,
            }
        }
    });
    while !matches!(host.stage.deployments.pause("slides", "v9".parse().ok(), "tester").await, Err(Fault::Busy { .. }))
    {
        if operation.is_finished() {
            panic!("it was no long one: {:?}", operation.await);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (host, operation)
}

fn is_active(plugin: Option<&PluginInfo>) -> bool {
    plugin.is_some_and(|plugin| plugin.status == PluginStatus::Active)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_waits_holds_up_no_file_of_another_projection() {
    // Longer than anything is waited for here.
    let (host, operation) = at_work(Duration::from_secs(150)).await;
    host.put("a.wasm", &slides(1, "plain", 1));
    // It has begun to wait by then.
    tokio::time::sleep(Duration::from_millis(700)).await;
    host.put("b.wasm", &slides(1, "other", 0));
    host.until("b.wasm", is_active).await;
    operation.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_waits_for_an_operation_on_its_projection() {
    let (host, operation) = at_work(Duration::from_secs(3)).await;
    let (early, late) = (slides(1, "plain", 1), slides(1, "plain", 2));
    host.put("a.wasm", &early);
    tokio::time::sleep(Duration::from_millis(700)).await;
    // What it has become meanwhile counts.
    host.put("a.wasm", &late);
    assert_eq!(operation.await.unwrap().unwrap_err().code(), "trial_failed");
    let digest = guest::digest(&late).to_string();
    host.until("a.wasm", |plugin| is_active(plugin) && plugin.is_some_and(|plugin| plugin.digest == digest)).await;
    assert_eq!(host.stage.status("v1").unwrap().digest, digest);
}
