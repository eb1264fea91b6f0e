//! The demo, from its plugins to its end.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::history::{Teller, append_slowly};
use super::progress::{Progress, watch};
use super::story;
use crate::app::serve::{bind, say_failures, spawn_server};
use crate::app::signals::stop_on_signal;
use crate::app::{Host, start_logging};
use crate::config::{Config, Log};

/// The packages of the plugins that the demo shows.
pub const PLUGINS: &[&str] = &["order_list", "daily_revenue", "activity_feed", "family_account", "schema_upcaster"];

/// How many events the history begins with, unless the caller says otherwise.
pub const EVENTS: u64 = 20_000;

/// How the demo is to behave.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// How many events the history has to begin with.
    pub events: u64,
    /// End when all is folded and shown, instead of going on.
    pub exit_when_caught_up: bool,
    /// Say less.
    pub quiet: bool,
    /// Say it as JSON.
    pub json: bool,
    /// The built plugins.
    pub plugins: Vec<PathBuf>,
}

/// Runs the demo.
///
/// # Errors
/// If it can't start, or a projection has failed.
pub async fn run(config: &Config, options: DemoOptions) -> anyhow::Result<()> {
    // Between progress bars a log line for each step would only be noise.
    start_logging(&Log {
        level: if config.log.level == "info" { "warn".to_owned() } else { config.log.level.clone() },
        ..config.log.clone()
    })?;
    let stop = stop_on_signal()?;
    let listener = bind(config).await?;
    let url = format!("http://{}", listener.local_addr()?);
    install(&options.plugins, &config.plugins.dir)?;
    let progress = Progress::new(options.quiet || options.json);
    progress.say(&format!("Opening {} and starting {} plugins", config.store.database.url, options.plugins.len()));
    let host = Host::start(config).await?;
    let server = spawn_server(listener, &host, config, stop.clone());
    let outcome = show(&host, &options, &progress, &url, &stop).await;
    stop.cancel();
    host.deployments.drain().await;
    server.await??;
    host.close().await;
    outcome
}

async fn show(
    host: &Host,
    options: &DemoOptions,
    progress: &Progress,
    url: &str,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut teller = Teller::resume(&host.store, options.events).await?;
    let told = {
        let bars = watch(host, progress);
        let told = stop.run_until_cancelled(teller.tell(&host.store, options.events, progress)).await;
        if matches!(told, Some(Ok(()))) {
            stop.run_until_cancelled(host.projections.caught_up()).await;
        }
        bars.finish().await;
        told
    };
    let Some(told) = told else { return Ok(()) };
    told?;
    say_failures(host)?;
    story::tell(host, url, options.json).await?;
    if options.exit_when_caught_up {
        return Ok(());
    }
    progress.say(&format!(
        "\nA few more events come every second. Look further:\n  {url}/docs                  the HTTP interface\n  {url}/v1/projections        what is folded, and how far behind\n  {url}/v1/events/live        events as they come\n\nCtrl-C ends the demo; the next start goes on where this one stopped."
    ));
    stop.run_until_cancelled(append_slowly(&host.store, &mut teller)).await.unwrap_or(Ok(()))
}

/// Copies the built plugins to the folder that the host reads.
fn install(plugins: &[PathBuf], folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    for plugin in plugins {
        let name = plugin.file_name().with_context(|| format!("`{}` is no file", plugin.display()))?;
        let copy = || format!("cannot copy `{}` to `{}`", plugin.display(), folder.display());
        std::fs::copy(plugin, folder.join(name)).with_context(copy)?;
    }
    Ok(())
}
