//! Connections that work, out of pools in which those of a server that was restarted are dead.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::fault::is_lost;

/// How long a pool tries at a time. It asks a server that is away again after a fifth of that
/// at the latest.
pub(super) const TRY_MAX: Duration = Duration::from_millis(2_500);

/// How long is waited before a pool is asked again that has failed at once.
const PAUSE: Duration = Duration::from_millis(50);

/// One that was used so lately is believed to be there still, unless others were lost since.
const TRUSTED: Duration = Duration::from_secs(1);

/// When a connection was lost last, and how many were. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    last: Arc<Mutex<Option<Instant>>>,
    count: Arc<watch::Sender<u64>>,
}

impl Losses {
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

    /// What `attempt` gives, tried until `deadline` as long as connections are lost over it.
    pub(super) async fn insist<T, F>(&self, deadline: Instant, attempt: impl Fn() -> F) -> sqlx::Result<T>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        loop {
            let outcome = tokio::time::timeout_at(deadline, attempt()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
            match outcome {
                Err(fault) if is_lost(&fault) => {
                    if !matches!(fault, sqlx::Error::PoolTimedOut) {
                        self.note();
                    }
                    if Instant::now() + PAUSE >= deadline {
                        return Err(fault);
                    }
                }
                outcome => return outcome,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
