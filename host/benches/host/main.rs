//! Benchmarks of the host on the embedded store: one run, interleaved, medians.

mod history;
mod native;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use fantascope::database::Database;
use fantascope::event::Position;
use fantascope::guest::{Kind, Sandbox, Settings};
use fantascope::limits::Limits;
use fantascope::projection::{Projections, Resources, Start, Upcasters, sandboxed};
use fantascope::read_model::ReadModel;
use fantascope::store::Store;
use history::Shape;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == "compile-component") {
        fantascope::guest::compile_stdin(arguments[2].parse()?)?;
        return Ok(());
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let folder = PathBuf::from("/tmp/fbench");
    std::fs::create_dir_all(&folder)?;
    let events: u64 = std::env::var("EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let path = folder.join(format!("many-{events}.sqlite"));
    if !path.exists() {
        let start = Instant::now();
        history::fill(&path, Shape::ManyOrders, events).await?;
        println!("filled in {:?}", start.elapsed());
    }
    let sandbox = Sandbox::new(Settings { program: std::env::current_exe()?, cache: folder.join("cache"), limits: Limits::default() })?;
    let admitted = sandbox.admit(&std::fs::read(std::env::var("WASM").unwrap_or("/tmp/order_list.wasm".into()))?)?;
    let Kind::Projection(plugin) = admitted.kind else { anyhow::bail!("no projection") };
    for _ in 0..3 {
        let t = read_alone(&path).await?;
        println!("read     {:.0} ns/event", t * 1e9 / events as f64);
        let p = plugin.clone();
        let t = rebuild(&path, &folder, &plugin, Box::new(move || sandboxed(p.clone()))).await?;
        println!("sandbox  {:.0} ns/event", t * 1e9 / events as f64);
        let t = rebuild(&path, &folder, &plugin, Box::new(native::order_list)).await?;
        println!("native   {:.0} ns/event", t * 1e9 / events as f64);
    }
    Ok(())
}

async fn read_alone(path: &Path) -> anyhow::Result<f64> {
    let database = Database::open(&format!("sqlite:{}", path.display())).await?;
    let store = Store::open(&database, &Limits::default()).await?;
    let start = Instant::now();
    let mut position = Position::START;
    while position < store.head() {
        position = store.page(position, store.head()).await?.up_to;
    }
    Ok(start.elapsed().as_secs_f64())
}

async fn rebuild(path: &Path, folder: &Path, plugin: &fantascope::guest::ProjectionPlugin, start: Box<dyn Fn() -> Start + Send>) -> anyhow::Result<f64> {
    let events = Database::open(&format!("sqlite:{}", path.display())).await?;
    let rows_path = folder.join("rows.sqlite");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", rows_path.display()));
    }
    let rows = Database::open(&format!("sqlite:{}", rows_path.display())).await?;
    let mut limits = Limits::default(); if let Ok(n) = std::env::var("BATCH") { limits.batch_events_max = n.parse()?; }
    let store = Store::open(&events, &limits).await?;
    let projections = Projections::new(Resources {
        store,
        read_model: ReadModel::open(&rows).await?,
        upcasters: Upcasters::new(vec![])?,
        limits,
        poll: std::time::Duration::from_millis(100),
    });
    let began = Instant::now();
    projections.start(Arc::clone(&plugin.manifest), fantascope::change::Digest([0; 32]), start).await?;
    projections.caught_up().await;
    let elapsed = began.elapsed().as_secs_f64();
    for status in projections.board().statuses(Position::START) {
        anyhow::ensure!(status.error.is_none(), "{:?}", status.error);
    }
    projections.drain().await;
    Ok(elapsed)
}
