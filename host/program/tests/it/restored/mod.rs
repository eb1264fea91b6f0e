//! The database is restored to an older state, while hosts run or while none does: no event is
//! skipped, and none is folded twice. What can't be told apart is stopped by name.

mod dumps;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fantascope::event::{NewEvent, Position};
use fantascope::guest::Kind as PluginKind;
use fantascope::http;
use fantascope::limits::Limits;
use fantascope::projection::{Phase, Projections, Resources, Status, Upcasters, sandboxed};
use fantascope::read_model::ReadModel;
use fantascope::store::{Error, Expected, Filter, Store};
use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};
use uuid::Uuid;

use crate::away::{Client, api};
use crate::dice::Dice;
use crate::outage::server;
use crate::place::Place;
use crate::servers::{Durability, Kind};
use crate::stage::{POLICY, Stage, slides, turner};

/// Longer than anything takes here; what hangs fails instead of waiting for ever.
const HANGS: Duration = Duration::from_secs(90);

/// Events of one append.
const AT_ONCE: usize = 7;

fn rounds() -> usize {
    if std::env::var_os("FANTASCOPE_SOAK").is_some() { 50 } else { 2 }
}

/// Appends up to `most` events, each as often as it takes, and gives their ids.
async fn append(store: &Store, dice: &mut Dice, most: usize) -> Vec<Uuid> {
    let mut ids = Vec::new();
    let count = 1 + dice.below(most);
    while ids.len() < count {
        let some: Vec<Uuid> = (0..1 + dice.below(AT_ONCE)).map(|_| Uuid::now_v7()).collect();
        let event = |&id: &Uuid| -> NewEvent {
            let event = json!({ "event_id": id, "event_type": "Slide", "event_data": { "n": dice.below(100) } });
            serde_json::from_value(event).unwrap()
        };
        let events: Vec<NewEvent> = some.iter().map(event).collect();
        let aggregate = format!("s-{}", dice.below(5));
        loop {
            match store.append("Show", &aggregate, Expected::Any, events.clone()).await {
                Ok(_) => break,
                Err(fault) if fault.is_away() => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(fault) => panic!("{fault}"),
            }
        }
        ids.extend(some);
    }
    ids
}

/// What the events of the store add up to, read by somebody who has not read it before.
async fn folded(place: &Place) -> BTreeMap<String, (i64, i64)> {
    folded_tenfold(place, Position(u64::MAX)).await
}

/// The same, where `n` counts tenfold behind `after`.
async fn folded_tenfold(place: &Place, after: Position) -> BTreeMap<String, (i64, i64)> {
    let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for event in place.store().await.events(&Filter::default(), 1_000_000).await.unwrap() {
        let data: serde_json::Value = serde_json::from_str(event.event_data.get()).unwrap();
        let factor = if event.position > after { 10 } else { 1 };
        let sum = sums.entry(event.aggregate_id).or_default();
        *sum = (sum.0 + 1, sum.1 + factor * data["n"].as_i64().unwrap());
    }
    sums
}

/// How the versions stand at every host.
fn standing(stages: &[Stage]) -> Vec<Vec<Status>> {
    let statuses = |stage: &Stage| stage.deployments.projections().board().statuses(stage.store.head());
    stages.iter().map(statuses).collect()
}

/// Waits until the rows are what the events add up to.
async fn come_true(stages: &[Stage], what: &str) {
    become_rows(stages, what, folded(&stages[0].place).await).await;
}

async fn become_rows(stages: &[Stage], what: &str, expected: BTreeMap<String, (i64, i64)>) {
    let mut found = BTreeMap::new();
    let wait = async {
        loop {
            found = stages[0].shown().await;
            if found == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(HANGS, wait).await.is_err() {
        panic!("{what}: {found:?} is shown, not {expected:?}; {:#?}", standing(stages));
    }
}

async fn hosts(place: Place, count: usize) -> Vec<Stage> {
    let mut stages = vec![Stage::open(place, POLICY).await];
    while stages.len() < count {
        stages.push(stages[0].beside().await);
    }
    stages
}

/// One round: a copy is made by `copy`, and later put in the place of what came to be by then.
async fn round<Copy>(
    stages: &[Stage],
    dice: &mut Dice,
    what: &str,
    copy: impl AsyncFnOnce() -> Copy,
    put_back: impl AsyncFnOnce(Copy),
) {
    let count = stages.len();
    append(&stages[dice.below(count)].store, dice, 40).await;
    if dice.percent(50) {
        come_true(stages, &format!("{what}, before")).await;
    }
    let copied = copy().await;
    append(&stages[dice.below(count)].store, dice, 60).await;
    if dice.percent(70) {
        come_true(stages, &format!("{what}, what will be lost")).await;
    }
    put_back(copied).await;
    append(&stages[dice.below(count)].store, dice, 80).await;
    come_true(stages, &format!("{what}, restored")).await;
}

/// Hosts go on over a server that is stopped, put back to what its files were, and started again.
async fn restored_from_files(kind: Kind, count: usize) {
    let Some(server) = server(kind, Durability::Full) else { return };
    let mut dice = Dice::new();
    println!("{dice}");
    let place = Place::on_server(&server.url(kind.administration()), Limits::default());
    let stages = hosts(place, count).await;
    append(&stages[0].store, &mut dice, 40).await;
    stages[0].deploy(slides(1, "plain", 0)).await.unwrap();
    let server = Mutex::new(server);
    for number in 0..rounds() {
        let copy = async || server.lock().unwrap().copy_data().unwrap();
        let put_back = async |copy| server.lock().unwrap().put_back(&copy).unwrap();
        round(&stages, &mut dice, &format!("round {number}"), copy, put_back).await;
    }
    for stage in stages {
        stage.deployments.drain().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_goes_on_over_a_postgres_whose_files_were_put_back() {
    restored_from_files(Kind::Postgres, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_go_on_over_a_postgres_whose_files_were_put_back() {
    restored_from_files(Kind::Postgres, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_goes_on_over_a_mariadb_whose_files_were_put_back() {
    restored_from_files(Kind::MariaDb, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_go_on_over_a_mariadb_whose_files_were_put_back() {
    restored_from_files(Kind::MariaDb, 2).await;
}

/// Puts what `copy` holds in the place of what is in the file at `place`, in one transaction, as
/// `.restore` of the shell does it.
async fn restore_in_place(place: &Place, copy: &Path) {
    let path = place.url().strip_prefix("sqlite:").unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).foreign_keys(false);
    let mut connection = options.busy_timeout(HANGS).connect().await.unwrap();
    let run = async |connection: &mut SqliteConnection, sql: String| {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
    };
    run(&mut connection, format!("ATTACH '{}' AS copy", copy.display())).await;
    run(&mut connection, "BEGIN IMMEDIATE".to_owned()).await;
    let objects = "SELECT type, name, sql FROM main.sqlite_schema WHERE type IN ('table', 'trigger') \
                   AND (name NOT LIKE 'sqlite_%' OR name = 'sqlite_sequence') ORDER BY type DESC";
    let objects: Vec<(String, String, String)> = sqlx::query_as(objects).fetch_all(&mut connection).await.unwrap();
    let triggers = objects.iter().filter(|(of_type, ..)| of_type == "trigger");
    for (_, name, _) in triggers.clone() {
        run(&mut connection, format!("DROP TRIGGER {name}")).await;
    }
    for (_, name, _) in objects.iter().filter(|(of_type, ..)| of_type == "table") {
        let sql = format!("DELETE FROM main.\"{name}\"; INSERT INTO main.\"{name}\" SELECT * FROM copy.\"{name}\"");
        run(&mut connection, sql).await;
    }
    for (.., sql) in triggers {
        run(&mut connection, sql.clone()).await;
    }
    run(&mut connection, "COMMIT".to_owned()).await;
    connection.close().await.unwrap();
}

async fn copy_of_file(place: &Place, name: &str) -> PathBuf {
    let copy = place.path(name);
    let mut connection: SqliteConnection = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(place.url().strip_prefix("sqlite:").unwrap())
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("VACUUM INTO '{}'", copy.display()))).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_go_on_over_a_file_that_was_restored_in_place() {
    let mut dice = Dice::new();
    println!("{dice}");
    for count in [1, 2] {
        let stages = hosts(Place::on_file(), count).await;
        append(&stages[0].store, &mut dice, 40).await;
        stages[0].deploy(slides(1, "plain", 0)).await.unwrap();
        let place = &stages[0].place;
        for number in 0..rounds() {
            let copy = async || copy_of_file(place, &format!("copy-{number}")).await;
            let put_back = async |copy: PathBuf| restore_in_place(place, &copy).await;
            round(&stages, &mut dice, &format!("{count} hosts, round {number}"), copy, put_back).await;
        }
        for stage in stages {
            stage.deployments.drain().await;
        }
    }
}

/// The host does not touch its database any more, and says so to whoever reads and appends.
async fn is_kept_off(stage: &Stage) {
    let fault = stage.store.refresh_head().await.unwrap_err().to_string();
    assert!(fault.contains("start it anew"), "{fault}");
    let client = Client(http::router(api(stage)));
    for (status, problem) in [client.append().await, client.get("/v1/events").await] {
        assert_eq!((status, problem["code"].as_str()), (503, Some("store_replaced")), "{problem}");
    }
}

/// Whoever has the file open goes on writing to what nobody will ever read.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_does_not_go_on_with_a_file_that_was_replaced() {
    let stage = Stage::open(Place::on_file(), POLICY).await;
    let mut dice = Dice::new();
    append(&stage.store, &mut dice, 10).await;
    let copy = copy_of_file(&stage.place, "copy").await;
    std::fs::rename(copy, stage.place.url().strip_prefix("sqlite:").unwrap()).unwrap();
    let event: NewEvent = serde_json::from_value(json!({ "event_type": "Slide", "event_data": { "n": 1 } })).unwrap();
    let fault = stage.store.append("Show", "s-1", Expected::Any, vec![event]).await.unwrap_err().to_string();
    assert!(fault.contains("replaced while this program ran"), "{fault}");
    is_kept_off(&stage).await;
}

/// Read models that are not restored with their store know of events that are not there.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_know_of_lost_events_are_not_gone_on_with() {
    let (events, rows) = (Place::on_file(), Place::on_file());
    let PluginKind::Projection(plugin) = rows.sandbox().admit(&slides(1, "plain", 0)).unwrap().kind else {
        panic!("slides are a projection")
    };
    let open = async || {
        let store = Store::open(&events.database().await, &events.limits).await.unwrap();
        let projections = Projections::new(Resources {
            store: store.clone(),
            read_model: ReadModel::open(&rows.database().await).await.unwrap(),
            upcasters: Upcasters::new(Vec::new()).unwrap(),
            limits: events.limits.clone(),
            poll: Duration::from_millis(5),
        });
        let digest = guest::digest(b"any");
        let id = projections.start(Arc::clone(&plugin.manifest), digest, sandboxed(plugin.clone())).await.unwrap();
        (store, projections, id)
    };
    let fails = async |store: &Store, projections: &Projections, id| {
        let failed = async {
            loop {
                let status = projections.board().status(id, store.head()).unwrap();
                if status.phase == Phase::Failed {
                    return status.error.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let error = tokio::time::timeout(HANGS, failed).await.expect("it is stopped by name");
        assert_eq!(error.code, "history_changed", "{error:?}");
    };
    let mut dice = Dice::new();
    let (store, projections, id) = open().await;
    append(&store, &mut dice, 30).await;
    let copy = copy_of_file(&events, "copy").await;
    append(&store, &mut dice, 30).await;
    projections.caught_up().await;
    restore_in_place(&events, &copy).await;
    append(&store, &mut dice, 90).await;
    fails(&store, &projections, &id).await;
    projections.drain().await;
    let (store, projections, id) = open().await;
    fails(&store, &projections, &id).await;
    projections.drain().await;
}

/// A reader is told, whatever it was at.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_told_that_the_history_is_another_one() {
    let place = Place::on_file();
    let store = place.store().await;
    let mut dice = Dice::new();
    append(&store, &mut dice, 30).await;
    let copy = copy_of_file(&place, "copy").await;
    let before = store.refresh_head().await.unwrap();
    append(&store, &mut dice, 30).await;
    let head = store.refresh_head().await.unwrap();
    let page = store.page(Position::START, head).await.unwrap();
    assert_eq!(page.end().position, head);
    let lineage = store.lineage();
    restore_in_place(&place, &copy).await;
    assert!(matches!(store.page(page.end(), Position(head.0 + 10)).await, Err(Error::Restored { .. })));
    assert!(matches!(store.page(Position::START, head).await, Err(Error::HistoryChanged { .. })));
    assert_eq!(store.head(), before, "the head goes back");
    assert_ne!(store.lineage(), lineage);
    assert!(matches!(store.page(page.end(), head).await, Err(Error::Restored { .. })));
    append(&store, &mut dice, 90).await;
    let now = store.refresh_head().await.unwrap();
    assert!(now <= head || matches!(store.page(page.end(), now).await, Err(Error::HistoryChanged { .. })));
    assert_eq!(store.page(Position::START, now).await.unwrap().end().position, now);
}

/// A build that is retired, or folded another history, does not say how far this one was read.
#[tokio::test(flavor = "multi_thread")]
async fn upcasters_hold_from_where_the_store_is() {
    let stage = Stage::open(Place::on_file(), POLICY).await;
    stage.append(10).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.deploy(slides(2, "plain", 0)).await.unwrap();
    stage.reaches("v2", Phase::Following).await;
    stage.reaches("v1", Phase::Following).await;
    stage.deployments.cancel("slides", Some("v2".parse().unwrap()), "tester").await.unwrap();
    let far = "UPDATE fantascope_checkpoints SET position = 1000, event_position = 1000 WHERE version = 2";
    assert_eq!(stage.place.raw().await.run(far).await.unwrap(), 1);
    stage.deploy(turner(1, 10)).await.unwrap();
    let set = stage.read_model.upcaster_sets().await.unwrap().pop().unwrap();
    assert_eq!(set.effective_after, Position(50));
    append(&stage.store, &mut Dice::new(), 40).await;
    let expected = folded_tenfold(&stage.place, set.effective_after).await;
    become_rows(std::slice::from_ref(&stage), "with the upcaster", expected).await;
    stage.deployments.drain().await;
}

/// The sets of upcasters are restored with the read models.
#[tokio::test(flavor = "multi_thread")]
async fn upcasters_are_those_that_were_restored() {
    let stage = Stage::open(Place::on_file(), POLICY).await;
    let mut dice = Dice::new();
    stage.append(10).await;
    stage.deploy(slides(1, "plain", 0)).await.unwrap();
    stage.reaches("v1", Phase::Following).await;
    let copy = copy_of_file(&stage.place, "copy").await;
    stage.deploy(turner(1, 10)).await.unwrap();
    append(&stage.store, &mut dice, 40).await;
    let expected = folded_tenfold(&stage.place, Position(50)).await;
    become_rows(std::slice::from_ref(&stage), "with the upcaster", expected).await;
    restore_in_place(&stage.place, &copy).await;
    append(&stage.store, &mut dice, 40).await;
    come_true(std::slice::from_ref(&stage), "without it").await;
    stage.deployments.drain().await;
}
