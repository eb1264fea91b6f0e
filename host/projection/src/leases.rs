//! Which partitions of which versions this host may fold, where several share the database.
//!
//! Whoever belongs to the hosts (`deployment`) grants; versions obey. Without anybody who
//! grants, as in a trial, all may be folded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use model::change::VersionId;
use read_model::{Error, ReadModel};

/// Whoever grants is waited for this long. It does not answer while the database is away, and
/// then nobody goes on anyway.
const SYNC_MAX: Duration = Duration::from_secs(10);

/// A partition of a version.
pub type UnitId = (VersionId, u32);

/// What this host may fold. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leases {
    granted: watch::Sender<Arc<Granted>>,
    /// Somebody wants to know how things are.
    asked: Arc<Notify>,
    /// How often it was looked how things are.
    looks: watch::Sender<u64>,
    /// The epochs under which this host folds, or did last, until it hands over.
    held: Arc<Mutex<BTreeMap<UnitId, i64>>>,
    /// Whether other hosts have ever folded something too: only then is it news who folds what.
    had_others: Arc<AtomicBool>,
}

/// All, or some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// There is nobody else; and nobody who could take anything away.
    All,
    Some(BTreeSet<UnitId>),
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            granted: watch::channel(Arc::new(Granted::All)).0,
            asked: Arc::default(),
            looks: watch::channel(0).0,
            held: Arc::default(),
            had_others: Arc::default(),
        }
    }
}

impl Granted {
    /// Which of the `count` partitions of `id`.
    pub(super) fn of(&self, id: &VersionId, count: u32) -> Vec<u32> {
        let is_granted = |number: &u32| match self {
            Self::All => true,
            Self::Some(units) => units.contains(&(id.clone(), *number)),
        };
        (0..count).filter(is_granted).collect()
    }
}

impl Leases {
    /// Lets versions fold what is `granted`, and nothing else.
    pub fn grant(&self, granted: Granted) {
        self.had_others.fetch_or(granted != Granted::All, Ordering::Relaxed);
        self.granted.send_if_modified(|known| {
            let is_new = **known != granted;
            if is_new {
                *known = Arc::new(granted);
            }
            is_new
        });
    }

    /// Notes that `unit` is folded here under `epoch`.
    pub(super) fn holds(&self, unit: UnitId, epoch: i64) {
        let (id, partition) = unit.clone();
        let is_new = self.held().insert(unit, epoch).is_none();
        if is_new && self.had_others.load(Ordering::Relaxed) {
            tracing::info!(projection = %id, partition, "is folded by this host from now on");
        }
    }

    /// Hands over what is held of the `count` partitions of `id`, but for those that are `kept`.
    pub(super) async fn hand_over_but(
        &self,
        read_model: &ReadModel,
        id: &VersionId,
        kept: &[u32],
        count: u32,
    ) -> Result<(), Error> {
        for number in (0..count).filter(|number| !kept.contains(number)) {
            let unit = (id.clone(), number);
            if self.held().contains_key(&unit) {
                read_model.release(id, number).await?;
                self.held().remove(&unit);
                tracing::info!(projection = %id, partition = number, "is handed over to other hosts");
            }
        }
        Ok(())
    }

    /// Hands over all that is held of `id`.
    pub(super) async fn hand_over_all(&self, read_model: &ReadModel, id: &VersionId) -> Result<(), Error> {
        let held: Vec<u32> = self.held().keys().filter(|(of, _)| of == id).map(|&(_, number)| number).collect();
        let count = held.last().map_or(0, |last| last + 1);
        self.hand_over_but(read_model, id, &[], count).await
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<UnitId, i64>> {
        // Each change is one call to the map.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody has raised the epoch of `unit` to `epoch` since it was taken over here.
    #[must_use]
    pub fn is_raised(&self, unit: &UnitId, epoch: i64) -> bool {
        self.held().get(unit).is_some_and(|&held| held < epoch)
    }

    /// What is granted, and what will be.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Granted>> {
        self.granted.subscribe()
    }

    /// Notes that it was looked how things are, and everything is as others want it.
    pub fn looked(&self) {
        self.looks.send_modify(|looks| *looks += 1);
    }

    /// Waits until somebody wants to know how things are.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Asks for a look now.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Whether anybody looks.
    pub(super) fn is_shared(&self) -> bool {
        *self.looks.borrow() > 0
    }

    /// Whether other hosts fold something too.
    #[must_use]
    pub fn has_others(&self) -> bool {
        **self.granted.borrow() != Granted::All
    }

    /// Waits until it was looked how things are, later than now.
    pub async fn sync(&self) {
        let mut looks = self.looks.subscribe();
        // The look that is under way may have begun before.
        let wanted = *looks.borrow_and_update() + 2;
        let enough = async {
            while *looks.borrow_and_update() < wanted {
                self.asked.notify_one();
                if looks.changed().await.is_err() {
                    return;
                }
            }
        };
        // In vain if nobody looks: what others have changed shows itself at the next commit.
        drop(tokio::time::timeout(SYNC_MAX, enough).await);
    }
}
