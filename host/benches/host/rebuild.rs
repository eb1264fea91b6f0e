//! A rebuild from position 0 through the whole host.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fantascope::change::Digest;
use fantascope::database::Database;
use fantascope::event::Position;
use fantascope::guest::ProjectionPlugin;
use fantascope::limits::Limits;
use fantascope::projection::{Projections, Resources, Start, Upcasters};
use fantascope::read_model::ReadModel;
use fantascope::store::Store;

/// Seconds from start to caught up, indexes and all; read models in a fresh file.
pub(crate) async fn rebuild(
    store: &Path,
    folder: &Path,
    plugin: &ProjectionPlugin,
    start: Start,
) -> anyhow::Result<f64> {
    let projections = open(store, &fresh(folder, "rows")?).await?;
    let began = Instant::now();
    projections.start(Arc::clone(&plugin.manifest), Digest([0; 32]), start).await?;
    projections.caught_up().await;
    let seconds = began.elapsed().as_secs_f64();
    for status in projections.board().statuses(Position::START) {
        anyhow::ensure!(status.error.is_none(), "{:?}", status.error);
    }
    projections.drain().await;
    Ok(seconds)
}

/// Projections over the events of one file, with their rows in another.
pub(crate) async fn open(store: &Path, rows: &str) -> anyhow::Result<Projections> {
    let limits = Limits::default();
    let events = Database::open(&format!("sqlite:{}", store.display())).await?;
    let rows = Database::open(rows).await?;
    Ok(Projections::new(Resources {
        store: Store::open(&events, &limits).await?,
        read_model: ReadModel::open(&rows).await?,
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
