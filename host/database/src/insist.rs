//! Connections that work, out of pools in which those of a server that was restarted are dead.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Outage;
use super::fault::is_lost;

/// How long a pool tries at a time. It asks a server that is away again after a fifth of that
/// at the latest.
pub(super) const TRY_MAX: Duration = Duration::from_millis(2_500);

/// How long is waited before a pool is asked again that has failed at once.
const PAUSE: Duration = Duration::from_millis(50);

/// One that was used so lately is believed to be there still, unless others were lost since.
const TRUSTED: Duration = Duration::from_secs(1);

/// When a connection was lost last, how many were, and whether the server is away. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Losses {
    last: Arc<Mutex<Option<Instant>>>,
    count: Arc<watch::Sender<u64>>,
    pub(super) outage: Arc<Outage>,
}

impl Losses {
    pub(super) fn of(database: &str) -> Self {
        let outage = Arc::new(Outage::of(format!("database `{database}`")));
        Self { last: Arc::default(), count: Arc::default(), outage }
    }

    /// Whether one that was not used for `idle` is to be tried before it is given out.
    pub(super) fn cast_doubt(&self, idle: Duration) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        idle > TRUSTED || last.is_some_and(|last| last.elapsed() < idle + PAUSE)
    }

    pub(super) fn note(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.count.send_modify(|count| *count += 1);
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// What `attempt` gives, tried until `deadline` as long as connections are lost over it. `probe`
    /// opens a connection beside the pool, and closes it.
    pub(super) async fn insist<T, F, P>(
        &self,
        deadline: Instant,
        attempt: impl Fn() -> F,
        probe: impl Fn() -> P,
    ) -> sqlx::Result<T>
    where
        F: Future<Output = sqlx::Result<T>>,
        P: Future<Output = sqlx::Result<()>>,
    {
        let begun = std::time::Instant::now();
        loop {
            let outcome = tokio::time::timeout_at(deadline, attempt()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
            let fault = match outcome {
                Err(sqlx::Error::PoolTimedOut) => match probe().await {
                    // All connections are in use.
                    Ok(()) => sqlx::Error::PoolTimedOut,
                    // A pool does not tell why it could not connect.
                    Err(cause) => {
                        self.outage.failed_since(begun, &cause);
                        cause
                    }
                },
                Err(fault) if is_lost(&fault) => {
                    self.note();
                    fault
                }
                outcome => {
                    if outcome.is_ok() {
                        self.outage.is_well();
                    }
                    return outcome;
                }
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(fault);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
