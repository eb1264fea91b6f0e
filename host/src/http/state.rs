//! What the routes work with.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Token;
use super::auth::Strangers;
use super::metrics::Metrics;
use crate::deployment::Deployments;
use crate::limits::Limits;
use crate::projection::Board;
use crate::read_model::ReadModel;
use crate::store::Store;

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
            shutdown,
        }
    }
}
