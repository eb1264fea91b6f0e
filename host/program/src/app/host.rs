//! A host: databases open, what ran before runs again, the plugin folder followed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use crate::config::{Config, DatabaseSettings};
use database::{Database, Error as DatabaseError};
use deployment::catalogue::{Watch, WatchSettings};
use deployment::{Deployments, Foundation, PluginList};
use guest::{Sandbox, Settings};
use model::event::Position;
use projection::{Projections, Status};
use read_model::ReadModel;
use store::Store;

/// A running host, without its HTTP server.
#[derive(Debug)]
pub struct Host {
    pub store: Store,
    pub read_model: ReadModel,
    pub deployments: Deployments,
    pub projections: Projections,
    pub plugins: PluginList,
}

impl Host {
    /// Opens the databases, runs what ran before, and deploys what the plugin folder
    /// holds, now and later.
    ///
    /// # Errors
    /// If a database or the plugin folder can't be used. A plugin that is not fit is
    /// refused by name, and the others run.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        say_who_starts(config);
        let (store, read_model) = open(config).await?;
        let settings = WatchSettings {
            folder: config.plugins.dir.clone(),
            settle: Duration::from_millis(config.plugins.settle_ms),
            rescan: Duration::from_millis(config.plugins.rescan_ms),
            plugin_bytes_max: config.limits.plugin_bytes_max,
            tasks: store.tasks().clone(),
        };
        let (watch, files) = tokio::task::spawn_blocking(move || Watch::open(settings)).await??;
        let deployments = Deployments::open(Foundation {
            store: store.clone(),
            read_model: read_model.clone(),
            sandbox: sandbox(config)?,
            limits: config.limits.clone(),
            policy: config.deploy,
            poll: config.store.poll(),
            membership: config.hosts.clone(),
        })
        .await?;
        deployments.resume_all().await?;
        deployments.deploy_folder(files).await?;
        tokio::spawn(deployments.clone().follow_folder(watch));
        let (projections, plugins) = (deployments.projections().clone(), deployments.plugins());
        say_what_runs(config, &plugins, &projections, &read_model).await?;
        Ok(Self { store, read_model, deployments, projections, plugins })
    }

    /// Closes the databases, once everything has ended that uses them.
    pub async fn close(&self) {
        self.store.database().close().await;
        self.read_model.database().close().await;
    }
}

/// Says in one line which program starts, under which name, on which databases.
fn say_who_starts(config: &Config) {
    let store = &config.store.database.url;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        host = config.hosts.host_name(),
        store,
        read_models = config.read_models.database.as_ref().map_or(store, |own| &own.url),
        "fantascope starts"
    );
}

/// Says how many plugins there are, and which live versions nobody keeps up to date.
async fn say_what_runs(
    config: &Config,
    plugins: &PluginList,
    projections: &Projections,
    read_model: &ReadModel,
) -> anyhow::Result<()> {
    let (all, folder) = (plugins.get(), config.plugins.dir.display());
    let fit = all.iter().filter(|plugin| plugin.error.is_none()).count();
    if all.is_empty() {
        tracing::info!("no plugins yet: put `.wasm` files into `{folder}`, or `fantascope plugin deploy FILE`");
    } else {
        tracing::info!("{fit} of {} plugins are fit to run; the folder is `{folder}`", all.len());
    }
    let running = projections.board().statuses(Position::START);
    for version in read_model.versions().await?.iter().filter(|version| version.live) {
        let id = &version.id;
        let is_it = |status: &Status| {
            status.projection == id.projection.as_str()
                && (status.version, status.generation) == (id.version, id.generation)
        };
        if !running.iter().any(is_it) {
            tracing::warn!("projection {id} is live, but no plugin here runs it: its tables stay as they are");
        }
    }
    Ok(())
}

/// Opens the event store and the read models, which may share a database.
pub(super) async fn open(config: &Config) -> anyhow::Result<(Store, ReadModel)> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let lease = config.hosts.lease;
    let events = open_database(&config.store.database, lease).await.context("cannot open store.url")?;
    let rows = match &config.read_models.database {
        None => events.clone(),
        Some(own) => open_database(own, lease).await.context("cannot open read_models.url")?,
    };
    let store = Store::open(&events, &config.limits).await.context("cannot open the event store")?;
    let read_model = ReadModel::open(&rows).await.context("cannot open the read models")?;
    Ok((store, read_model))
}

async fn open_database(settings: &DatabaseSettings, lease: Duration) -> Result<Database, DatabaseError> {
    let mut connections = settings.connections.clone();
    // A host that was stopped amid a transaction keeps others from taking its work over until
    // the server ends that: it must not outlast the lease.
    connections.idle_transaction_max = connections.idle_transaction_max.min(lease);
    Database::open(&settings.address, &connections).await
}

pub(super) fn sandbox(config: &Config) -> anyhow::Result<Sandbox> {
    sandbox_in(config.plugins.cache.clone(), config)
}

/// A sandbox that keeps compiled code in the folder `cache`.
pub(super) fn sandbox_in(cache: PathBuf, config: &Config) -> anyhow::Result<Sandbox> {
    let program = std::env::current_exe().context("cannot find this program, which compiles plugins")?;
    let settings = Settings { program, cache, limits: config.limits.clone() };
    Ok(Sandbox::new(settings)?)
}
