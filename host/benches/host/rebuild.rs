//! A rebuild from position 0 through the whole host.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fantascope::change::{Digest, Manifest};
use fantascope::database::Database;
use fantascope::event::Position;
use fantascope::guest::ProjectionPlugin;
use fantascope::limits::Limits;
use fantascope::projection::{Code, Projections, Resources, Start, Upcasters};
use fantascope::read_model::{NewOperation, NewVersion, ReadModel};
use fantascope::store::Store;

use crate::home::Home;

/// Seconds from start to caught up, indexes and all; read models in a fresh database.
pub(crate) async fn rebuild(store: &str, home: &Home, plugin: &ProjectionPlugin, start: Start) -> anyhow::Result<f64> {
    Ok(rebuild_in(store, home, plugin, start, Together { projections: 1, workers: 1 }).await?.0)
}

/// What is rebuilt at once.
#[derive(Clone, Copy)]
pub(crate) struct Together {
    /// Projections of the same code, under names of their own.
    pub(crate) projections: usize,
    /// Partitions of each.
    pub(crate) workers: u32,
}

/// The same for several at once; gives the pages that were read, too.
pub(crate) async fn rebuild_in(
    store: &str,
    home: &Home,
    plugin: &ProjectionPlugin,
    start: Start,
    together: Together,
) -> anyhow::Result<(f64, u64)> {
    let rows = Database::at(&home.fresh("rows").await?).await?;
    let read_model = ReadModel::open(&rows).await?;
    let projections = open(store, read_model.clone()).await?;
    let head = projections.head();
    let began = Instant::now();
    for number in 0..together.projections {
        let manifest = Manifest {
            name: format!("rebuilt_{number}").parse().map_err(anyhow::Error::msg)?,
            ..(*plugin.manifest).clone()
        };
        let new = NewVersion { partitions: together.workers, until: head, ..NewVersion::plain(Digest([0; 32])) };
        let (id, _) = read_model.create(&manifest, &new, NewOperation::default()).await?;
        let code = Code { manifest: Arc::new(manifest), digest: Digest([0; 32]), start: Arc::clone(&start) };
        projections.run(&read_model.version(&id).await?, code);
    }
    projections.caught_up().await;
    let seconds = began.elapsed().as_secs_f64();
    for status in projections.board().statuses(Position::START) {
        anyhow::ensure!(status.error.is_none(), "{:?}", status.error);
    }
    let pages = projections.pages_read();
    projections.drain().await;
    Ok((seconds, pages))
}

/// Projections over the events of one database, with their rows in another.
async fn open(store: &str, read_model: ReadModel) -> anyhow::Result<Projections> {
    let limits = Limits::default();
    let events = Database::at(store).await?;
    Ok(Projections::new(Resources {
        store: Store::open(&events, &limits).await?,
        read_model,
        upcasters: Upcasters::new(Vec::new())?,
        limits,
        poll: Duration::from_millis(100),
    }))
}
