//! What the routes work with.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Token;
use super::auth::Strangers;
use super::metrics::Metrics;
use super::progress::Standing;
use deployment::Deployments;
use model::limits::Limits;
use projection::Board;
use read_model::ReadModel;
use store::Store;

/// What the host lets others see and do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    pub store: Store,
    pub read_model: ReadModel,
    /// How projections stand.
    pub board: Board,
    pub limits: Limits,
    /// What callers must know; without it the host must listen on the loopback alone.
    pub token: Option<Token>,
    /// What callers are called in the log of operations.
    pub actor: String,
    /// What changes the plugins and versions that run.
    pub deployments: Deployments,
}

/// The state of all routes.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) api: Api,
    pub(super) metrics: Metrics,
    pub(super) strangers: Strangers,
    /// A permit for each client that may follow the live events.
    pub(super) live_clients: Arc<Semaphore>,
    /// How versions stand, for all who follow that.
    pub(super) standing: Standing,
    /// Says that the host is about to end: whoever streams must end too.
    pub(super) shutdown: CancellationToken,
}

impl Shared {
    pub(super) fn new(api: Api, shutdown: CancellationToken) -> Self {
        let metrics = Metrics::new(&api);
        // A semaphore has a bound of its own, far beyond what a host can serve.
        let clients = api.limits.live_clients_max.min(Semaphore::MAX_PERMITS);
        Self {
            api,
            metrics,
            strangers: Strangers::default(),
            live_clients: Arc::new(Semaphore::new(clients)),
            standing: Standing::default(),
            shutdown,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use database::Database;
    use deployment::{Foundation, Membership, Policy};
    use guest::{Sandbox, Settings};

    /// A host in `folder`.
    pub(crate) async fn api(folder: &Path) -> Api {
        let url = format!("sqlite:{}/store.sqlite", folder.display());
        let (database, limits) = (Database::at(&url).await.expect("a database"), Limits::default());
        let store = Store::open(&database, &limits).await.expect("a store");
        let read_model = ReadModel::open(&database).await.expect("read models");
        let program = std::env::current_exe().expect("this program");
        let settings = Settings { program, cache: folder.join("cache"), limits: limits.clone() };
        let deployments = Deployments::open(Foundation {
            store: store.clone(),
            read_model: read_model.clone(),
            sandbox: Sandbox::new(settings).expect("a sandbox"),
            limits: limits.clone(),
            policy: Policy::default(),
            poll: Duration::from_secs(1),
            membership: Membership::default(),
        });
        let deployments = deployments.await.expect("deployments");
        let board = deployments.projections().board();
        Api { store, read_model, board, deployments, limits, token: None, actor: String::new() }
    }
}
