//! A rebuild from position 0 through the whole host.

use std::path::Path;
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

/// Seconds from start to caught up, indexes and all; read models in a fresh file.
pub(crate) async fn rebuild(
    store: &Path,
    folder: &Path,
    plugin: &ProjectionPlugin,
    start: Start,
) -> anyhow::Result<f64> {
    Ok(rebuild_in(store, folder, plugin, start, Together { projections: 1, workers: 1 }).await?.0)
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
    store: &Path,
    folder: &Path,
    plugin: &ProjectionPlugin,
    start: Start,
    together: Together,
) -> anyhow::Result<(f64, u64)> {
    let rows = Database::at(&fresh(folder, "rows")?).await?;
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

/// Projections over the events of one file, with their rows in another.
async fn open(store: &Path, read_model: ReadModel) -> anyhow::Result<Projections> {
    let limits = Limits::default();
    let events = Database::at(&format!("sqlite:{}", store.display())).await?;
    Ok(Projections::new(Resources {
        store: Store::open(&events, &limits).await?,
        read_model,
        upcasters: Upcasters::new(Vec::new())?,
        limits,
        poll: Duration::from_millis(100),
    }))
}

/// The URL of a file that is not there yet.
pub(crate) fn fresh(folder: &Path, name: &str) -> anyhow::Result<String> {
    let path = folder.join(format!("{name}.sqlite"));
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", path.display());
        if std::fs::exists(&file)? {
            std::fs::remove_file(file)?;
        }
    }
    Ok(format!("sqlite:{}", path.display()))
}
