//! `import`: the engine with its progress bar and its last line.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::human;
use super::import::{Imported, import};
use super::import_file::ImportFile;
use super::output::Output;
use crate::config::Config;
use database::Database;
use store::Store;

/// What an import did, and where.
#[derive(Serialize)]
struct Done<'a> {
    #[serde(flatten)]
    imported: &'a Imported,
    /// The database, without its password.
    into: &'a str,
}

pub(super) async fn run(path: &Path, config: &Config, output: Output) -> anyhow::Result<()> {
    // The file first: a name that is wrong must not leave a new, empty store behind.
    let mut file = ImportFile::open(path)?;
    let database = Database::open(&config.store.database.address, &config.store.database.connections)
        .await
        .context("cannot open store.url")?;
    let store = Store::open(&database, &config.limits).await.context("cannot open the event store")?;
    let bar = bar(output, "{msg:9} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")?;
    let outcome = import(&store, &mut file, &config.limits, &bar).await;
    bar.finish_and_clear();
    database.close().await;
    let done = outcome?;
    let into = &config.store.database.url;
    if output.is_json {
        return output.json(&Done { imported: &done, into });
    }
    output.line(&format!(
        "{} events read, {} added, {} were here already ({} events/s), in {into}",
        human::count(done.read),
        human::count(done.added),
        human::count(done.present),
        human::count(done.events_per_second.round() as u64)
    ))
}

/// A progress bar for people, of this template.
pub(super) fn bar(output: Output, template: &str) -> anyhow::Result<ProgressBar> {
    if output.quiet || output.is_json || !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(template)?);
    bar.enable_steady_tick(Duration::from_millis(100));
    Ok(bar)
}
