//! Benchmarks of the host on the embedded store, and on servers of their own: everything in
//! one run, arms interleaved, medians of several rounds. Figures are compared within the run;
//! none is asserted.
//!
//! `cargo xtask bench [--quick | --together | --memory | --postgres | --mariadb | --appends]`;
//! `docs/performance.md` says what is measured and why.

mod append;
mod by_hand;
mod history;
mod home;
mod latency;
mod loops;
mod memory;
mod native;
mod rebuild;
mod report;
#[path = "../../tests/servers/mod.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod servers;
mod stages;
mod together;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fantascope::guest::{Kind, ProjectionPlugin, Sandbox, Settings};
use fantascope::limits::Limits;
use history::Shape;
use home::Home;
use report::{Median, Report};
use servers::Kind as ServerKind;

/// How much is measured.
struct Size {
    events: u64,
    rounds: usize,
    /// Events of the loops written by hand, with a transaction per page and with one
    /// per event: they are too slow for all of them.
    paged_events: u64,
    slow_events: u64,
}

const FULL: Size = Size { events: 1_000_000, rounds: 5, paged_events: 200_000, slow_events: 20_000 };
/// On a server.
const SERVER: Size = Size { events: 1_000_000, rounds: 3, paged_events: 30_000, slow_events: 20_000 };
const QUICK: Size = Size { events: 100_000, rounds: 3, paged_events: 50_000, slow_events: 5_000 };

fn main() -> anyhow::Result<()> {
    // As the program itself does, so that what is measured holds for it.
    fantascope::app::with_few_arenas();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        // The sandbox starts this program anew to compile.
        ["compile-component", bytes] => Ok(guest::compile_stdin(bytes.parse()?)?),
        // The benchmark starts itself anew to measure memory.
        ["memory", store, plugin, tables] => block_on(memory::child(Path::new(store), Path::new(plugin), tables)),
        [] => block_on(run(&FULL)),
        ["--quick"] => block_on(run(&QUICK)),
        ["--together"] => block_on(run_together(&QUICK)),
        ["--memory"] => block_on(run_memory(&FULL)),
        ["--appends"] => block_on(run_appends(None, &FULL)),
        ["--postgres", "--appends"] => block_on(run_appends(Some(ServerKind::Postgres), &SERVER)),
        ["--mariadb", "--appends"] => block_on(run_appends(Some(ServerKind::MariaDb), &SERVER)),
        ["--postgres"] => block_on(run_server(ServerKind::Postgres, &SERVER)),
        ["--mariadb"] => block_on(run_server(ServerKind::MariaDb, &SERVER)),
        ["--postgres", "--quick"] => block_on(run_server(ServerKind::Postgres, &QUICK)),
        ["--mariadb", "--quick"] => block_on(run_server(ServerKind::MariaDb, &QUICK)),
        _ => anyhow::bail!(
            "usage: cargo xtask bench [--quick | --together | --memory | --appends | --postgres [--quick | --appends] | --mariadb [--quick | --appends]]"
        ),
    }
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Runtime::new()?.block_on(work)
}

async fn run(size: &Size) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let plugin_path = built_plugin()?;
    let plugin = admit(&plugin_path, folder.path())?;
    let home = Home::files(folder.path());
    let mut report = Report::begin(size.events);
    for shape in [Shape::ManyOrders, Shape::FewOrders] {
        let store = home.fresh(&format!("{shape:?}")).await?;
        history::fill(&store, shape, size.events).await?;
        compare(shape, &store, &home, &plugin, size, &mut report).await?;
        if shape == Shape::FewOrders {
            together::measure(&store, &home, &plugin, size, &mut report).await?;
        }
    }
    append::measure(&home, size, &mut report).await?;
    latency::measure(&home, &plugin, &mut report).await?;
    memory::measure(folder.path(), &plugin_path, size.events, &mut report).await?;
    report.end();
    Ok(())
}

/// On a server: rebuilds against their stages, against a loop written by hand, and on PostgreSQL
/// against what it can give out at all; then appends, and the delay to the readable row.
async fn run_server(kind: ServerKind, size: &Size) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let plugin = admit(&built_plugin()?, folder.path())?;
    let home = Home::server(kind, folder.path())?;
    let mut report = Report::begin(size.events);
    report.on(kind.name());
    for (shape, name) in [(Shape::ManyOrders, "many_orders"), (Shape::FewOrders, "few_orders")] {
        let store = home.fresh(name).await?;
        history::fill(&store, shape, size.events).await?;
        let mut arms: [Median; 6] = Default::default();
        for _ in 0..size.rounds {
            let [limit, read, guest, write, rebuilt, by_hand] = &mut arms;
            if kind == ServerKind::Postgres {
                limit.add(by_hand::copied_out(&store).await?);
            }
            read.add(stages::read(&store).await?);
            let (in_guest, in_writer) = stages::guest_and_write(&store, &home, &plugin).await?;
            guest.add(in_guest);
            write.add(in_writer);
            let start = projection::sandboxed(plugin.clone());
            rebuilt.add(rebuild::rebuild(&store, &home, &plugin, start).await?);
            let paged = by_hand::per_page(kind, &store, &home, size.paged_events).await?;
            by_hand.add(paged * size.events as f64 / size.paged_events as f64);
        }
        report.server_rebuilds(shape, &arms);
    }
    append::measure(&home, size, &mut report).await?;
    latency::measure(&home, &plugin, &mut report).await?;
    report.end();
    Ok(())
}

/// Several guests at once, and nothing else.
async fn run_together(size: &Size) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let plugin = admit(&built_plugin()?, folder.path())?;
    let home = Home::files(folder.path());
    let store = home.fresh("events").await?;
    history::fill(&store, Shape::FewOrders, size.events).await?;
    let mut report = Report::begin(size.events);
    together::measure(&store, &home, &plugin, size, &mut report).await?;
    report.end();
    Ok(())
}

/// Appends, and nothing else.
async fn run_appends(kind: Option<ServerKind>, size: &Size) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let home = match kind {
        Some(kind) => Home::server(kind, folder.path())?,
        None => Home::files(folder.path()),
    };
    let mut report = Report::begin(size.events);
    if let Some(kind) = kind {
        report.on(kind.name());
    }
    append::measure(&home, size, &mut report).await?;
    report.end();
    Ok(())
}

/// The memory of a rebuild, and nothing else.
async fn run_memory(size: &Size) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut report = Report::begin(size.events);
    memory::measure(folder.path(), &built_plugin()?, size.events, &mut report).await?;
    report.end();
    Ok(())
}

/// Rebuilds, their stages, and loops written by hand, in turns.
async fn compare(
    shape: Shape,
    store: &str,
    home: &Home,
    plugin: &ProjectionPlugin,
    size: &Size,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut arms: [Median; 7] = Default::default();
    for _ in 0..size.rounds {
        let [read, guest, write, sandbox, native, page_loop, event_loop] = &mut arms;
        read.add(stages::read(store).await?);
        let (in_guest, in_writer) = stages::guest_and_write(store, home, plugin).await?;
        guest.add(in_guest);
        write.add(in_writer);
        sandbox.add(rebuild::rebuild(store, home, plugin, projection::sandboxed(plugin.clone())).await?);
        native.add(rebuild::rebuild(store, home, plugin, native::order_list()).await?);
        let paged = loops::per_page(store, home, size.paged_events).await?;
        page_loop.add(paged * size.events as f64 / size.paged_events as f64);
        let slow = loops::per_event(store, home, size.slow_events).await?;
        event_loop.add(slow * size.events as f64 / size.slow_events as f64);
    }
    report.rebuilds(shape, &arms);
    Ok(())
}

fn admit(path: &Path, folder: &Path) -> anyhow::Result<ProjectionPlugin> {
    let settings =
        Settings { program: std::env::current_exe()?, cache: folder.join("cache"), limits: Limits::default() };
    let admitted = Sandbox::new(settings)?.admit(&std::fs::read(path)?)?;
    match admitted.kind {
        Kind::Projection(plugin) => Ok(plugin),
        Kind::Upcaster(_) => anyhow::bail!("`{}` is no projection", path.display()),
    }
}

fn built_plugin() -> anyhow::Result<PathBuf> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = fantascope::cli::plugin_build::build_packages(&tree, &["order_list"])?;
    built.into_iter().next().context("the order list was not built")
}
