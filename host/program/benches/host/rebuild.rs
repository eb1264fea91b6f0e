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
    rebuild_as(store, home, &plugin.manifest, start).await
}

/// The same of what `manifest` declares.
pub(crate) async fn rebuild_as(store: &str, home: &Home, manifest: &Manifest, start: Start) -> anyhow::Result<f64> {
    Ok(rebuild_in(store, home, manifest, start, Together { projections: 1, workers: 1 }).await?.0)
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
    manifest: &Manifest,
    start: Start,
    together: Together,
) -> anyhow::Result<(f64, u64)> {
    let rows = Database::at(&home.fresh("rows").await?).await?;
    let read_model = ReadModel::open(&rows).await?;
    let projections = open(store, read_model.clone()).await?;
    let host = Host { projections: &projections, read_model: &read_model, manifest, start };
    // A host that is asked for a rebuild is up, with its connections open, as they are of whatever
    // it is compared with.
    host.build("up", NewVersion { as_of: Some(Position(1)), ..NewVersion::plain(Digest([0; 32])) }).await?;
    projections.caught_up().await;
    let pages_before = projections.pages_read();
    let until = projections.head();
    let began = Instant::now();
    for number in 0..together.projections {
        let new = NewVersion { partitions: together.workers, until, ..NewVersion::plain(Digest([0; 32])) };
        host.build(&format!("rebuilt_{number}"), new).await?;
    }
    projections.caught_up().await;
    let seconds = began.elapsed().as_secs_f64();
    for status in projections.board().statuses(Position::START) {
        anyhow::ensure!(status.error.is_none(), "{:?}", status.error);
    }
    let pages = projections.pages_read() - pages_before;
    projections.drain().await;
    Ok((seconds, pages))
}

struct Host<'a> {
    projections: &'a Projections,
    read_model: &'a ReadModel,
    manifest: &'a Manifest,
    start: Start,
}

impl Host<'_> {
    /// Begins to build the plugin's projection under another name.
    async fn build(&self, name: &str, new: NewVersion) -> anyhow::Result<()> {
        let manifest = Manifest { name: name.parse().map_err(anyhow::Error::msg)?, ..self.manifest.clone() };
        let (id, _) = self.read_model.create(&manifest, &new, NewOperation::default()).await?;
        let code = Code { manifest: Arc::new(manifest), digest: Digest([0; 32]), start: Arc::clone(&self.start) };
        self.projections.run(&self.read_model.version(&id).await?, code);
        Ok(())
    }
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
