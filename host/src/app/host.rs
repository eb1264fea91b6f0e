//! A host: databases open, plugins admitted, projections running.

use anyhow::Context as _;

use super::plugins;
use crate::catalogue::{self, Entry};
use crate::config::Config;
use crate::database::Database;
use crate::event::Position;
use crate::guest::{Kind, Sandbox, Settings};
use crate::http::PluginList;
use crate::projection::{Projections, Resources, Upcasters, sandboxed};
use crate::read_model::ReadModel;
use crate::store::Store;

/// A running host, without its HTTP server.
#[derive(Debug)]
pub struct Host {
    pub store: Store,
    pub read_model: ReadModel,
    pub projections: Projections,
    pub plugins: PluginList,
}

impl Host {
    /// Opens the databases, admits the plugins and starts the projections.
    ///
    /// # Errors
    /// If a database or the plugin folder can't be used, or upcasters clash. A plugin
    /// that is not fit is refused by name, and the others run.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        let (store, read_model) = open(config).await?;
        let sandbox = sandbox(config)?;
        let folder = config.plugins.dir.clone();
        let entries = tokio::task::spawn_blocking(move || catalogue::scan(&folder, &sandbox)).await??;
        let upcasters = Upcasters::new(plugins::upcasters(&entries))?;
        let projections = Projections::new(Resources {
            store: store.clone(),
            read_model: read_model.clone(),
            upcasters,
            limits: config.limits.clone(),
            poll: config.store.poll(),
        });
        let plugins = PluginList::default();
        for entry in &entries {
            let outcome = start_entry(entry, &projections).await;
            if let Err(reason) = &outcome {
                tracing::error!(file = entry.file, "plugin refused: {reason}");
            }
            plugins.put(plugins::info(entry, outcome.err()));
        }
        say_what_runs(config, &entries, &projections, &read_model).await?;
        Ok(Self { store, read_model, projections, plugins })
    }
}

/// Says how many plugins there are, and which live versions nobody keeps up to date.
async fn say_what_runs(
    config: &Config,
    entries: &[Entry],
    projections: &Projections,
    read_model: &ReadModel,
) -> anyhow::Result<()> {
    let fit = entries.iter().filter(|entry| entry.outcome.is_ok()).count();
    tracing::info!("{fit} of {} plugins in `{}` are fit to run", entries.len(), config.plugins.dir.display());
    let running = projections.board().statuses(Position::START);
    for version in read_model.versions().await?.iter().filter(|version| version.live) {
        let id = &version.id;
        if !running.iter().any(|status| status.projection == id.projection.as_str() && status.version == id.version) {
            tracing::warn!("projection {id} is live, but no plugin here runs it: its tables stay as they are");
        }
    }
    Ok(())
}

/// Opens the event store and the read models, which may share a database.
pub(super) async fn open(config: &Config) -> anyhow::Result<(Store, ReadModel)> {
    let events = Database::open(&config.store.url).await.context("cannot open store.url")?;
    let rows = if config.read_models.url == config.store.url {
        events.clone()
    } else {
        Database::open(&config.read_models.url).await.context("cannot open read_models.url")?
    };
    let store = Store::open(&events, &config.limits).await.context("cannot open the event store")?;
    let read_model = ReadModel::open(&rows).await.context("cannot open the read models")?;
    Ok((store, read_model))
}

pub(super) fn sandbox(config: &Config) -> anyhow::Result<Sandbox> {
    let program = std::env::current_exe().context("cannot find this program, which compiles plugins")?;
    let settings = Settings { program, cache: config.plugins.cache.clone(), limits: config.limits.clone() };
    Ok(Sandbox::new(settings)?)
}

/// Starts what `entry` holds; or says why it does not run.
async fn start_entry(entry: &Entry, projections: &Projections) -> Result<(), String> {
    let admitted = entry.outcome.as_ref().map_err(ToString::to_string)?;
    let Kind::Projection(plugin) = &admitted.kind else { return Ok(()) };
    let plugin = plugin.clone();
    let manifest = std::sync::Arc::clone(&plugin.manifest);
    let started = projections.start(manifest, admitted.digest, move || sandboxed(plugin.clone())).await;
    started.map(|_| ()).map_err(|fault| fault.to_string())
}
