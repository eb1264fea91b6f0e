//! A host: databases open, plugins admitted, projections running.

use anyhow::Context as _;

use super::plugins;
use crate::catalogue::{self, Entry};
use crate::config::Config;
use crate::database::Database;
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
        Ok(Self { store, read_model, projections, plugins })
    }
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
