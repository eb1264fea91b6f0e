//! Upcasters in their sandboxes, put together to chains, each on a thread of its own.
//!
//! Which upcasters work together changes at a position: a page before it is made
//! current by the old set, a page after it by the new one.

use std::sync::{Arc, PoisonError, RwLock};

use crate::change::{Digest, Upcasted};
use crate::event::{Batch, Position};
use crate::guest::{Fault, Gone, GuestUpcaster, Thread, UpcasterPlugin};
use crate::upcast::{Chain, Clash, Poisoned, Refused, Upcast};

/// All sets of upcasters that are in use. Cheap to clone; what is installed in one
/// clone is there for all.
#[derive(Clone, Debug)]
pub struct Upcasters {
    /// By number, and so by the position from which they hold.
    sets: Arc<RwLock<Vec<UpcasterSet>>>,
}

/// Upcasters that work together. Cheap to clone.
#[derive(Clone, Debug)]
pub struct UpcasterSet {
    number: u32,
    /// It holds for events after this position, but for versions that were begun with it.
    effective_after: Position,
    /// What it is made of.
    digests: Vec<Digest>,
    /// None if there is nothing to upcast, so that nothing waits for a thread.
    thread: Option<Arc<Thread<Chain>>>,
}

/// Why upcasters can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Clash(#[from] Clash),
    #[error("no thread for the upcasters: {0}")]
    Thread(#[from] std::io::Error),
}

impl UpcasterSet {
    /// Puts `plugins` together.
    ///
    /// # Errors
    /// If two take the same, or events would be upcast for ever.
    pub fn new(number: u32, effective_after: Position, plugins: Vec<(Digest, UpcasterPlugin)>) -> Result<Self, Error> {
        let (digests, plugins): (Vec<Digest>, Vec<UpcasterPlugin>) = plugins.into_iter().unzip();
        let sandboxed = |plugin: UpcasterPlugin| {
            let manifest = Arc::clone(&plugin.manifest);
            (manifest, Box::new(Sandboxed { plugin, guest: None }) as Box<dyn Upcast>)
        };
        let chain = Chain::new(plugins.into_iter().map(sandboxed).collect())?;
        let thread = if chain.is_empty() { None } else { Some(Arc::new(Thread::spawn("upcasters", move || chain)?)) };
        Ok(Self { number, effective_after, digests, thread })
    }

    /// The same upcasters under a number, from a position on.
    #[must_use]
    pub fn from(self, number: u32, effective_after: Position) -> Self {
        Self { number, effective_after, ..self }
    }

    /// Makes all of `batch` current.
    ///
    /// # Errors
    /// If the thread of the upcasters has ended.
    pub async fn run(&self, batch: Batch) -> Result<(Batch, Vec<Poisoned>), Gone> {
        match &self.thread {
            None => Ok((batch, Vec::new())),
            Some(thread) => thread.call(move |chain| chain.run(batch)).await,
        }
    }

    /// The position after which it holds.
    pub(super) fn effective_after(&self) -> Position {
        self.effective_after
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

impl Upcasters {
    /// The sets, by number; the first holds from the start for those that were begun with it.
    #[must_use]
    pub fn of_sets(sets: Vec<UpcasterSet>) -> Self {
        Self { sets: Arc::new(RwLock::new(sets)) }
    }

    /// One set for all events.
    ///
    /// # Errors
    /// If the upcasters clash.
    pub fn new(plugins: Vec<(Digest, UpcasterPlugin)>) -> Result<Self, Error> {
        Ok(Self::of_sets(vec![UpcasterSet::new(0, Position::START, plugins)?]))
    }

    /// The number of the set in force.
    #[must_use]
    pub fn latest(&self) -> u32 {
        self.with(|sets| sets.last().map_or(0, |set| set.number))
    }

    /// Lets `set` hold from its position on. No page beyond that may have been read.
    pub fn install(&self, set: UpcasterSet) {
        self.sets.write().unwrap_or_else(PoisonError::into_inner).push(set);
    }

    /// Whether they are those that are `recorded`, each with its number, position and digests.
    /// Old ones that no version reads with may not be recorded any more, and later ones not be
    /// known here yet.
    #[must_use]
    pub fn agree_with(&self, recorded: &[(u32, Position, &[Digest])]) -> bool {
        let Some(&(first, ..)) = recorded.first() else { return self.latest() == 0 };
        self.with(|sets| {
            let is_recorded = |set: &UpcasterSet| {
                recorded.iter().any(|&(number, after, digests)| {
                    (number, after) == (set.number, set.effective_after) && *digests == set.digests
                })
            };
            sets.iter().filter(|set| set.number >= first).all(is_recorded)
        })
    }

    /// Lets `sets` hold in place of those that did.
    pub(super) fn replace(&self, sets: Vec<UpcasterSet>) {
        *self.sets.write().unwrap_or_else(PoisonError::into_inner) = sets;
    }

    /// The set for events after `after`, for a version that was begun with the set
    /// number `base`; and where the next one takes its place.
    pub(super) fn at(&self, base: u32, after: Position) -> Option<(UpcasterSet, Option<Position>)> {
        self.with(|sets| {
            let first = sets.iter().rposition(|set| set.number <= base).unwrap_or(0);
            let later = sets.get(first + 1..)?;
            let passed = later.partition_point(|set| set.effective_after <= after);
            let next = later.get(passed).map(|set| set.effective_after);
            Some((sets.get(first + passed)?.clone(), next))
        })
    }

    fn with<R>(&self, read: impl FnOnce(&[UpcasterSet]) -> R) -> R {
        // A writer that panicked left a whole list behind.
        read(&self.sets.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An upcaster that is started anew after each trap, for a trap leaves a store unusable.
struct Sandboxed {
    plugin: UpcasterPlugin,
    guest: Option<GuestUpcaster>,
}

impl Upcast for Sandboxed {
    fn upcast(&mut self, batch: Batch) -> Result<Upcasted, Refused> {
        let mut guest = match self.guest.take() {
            Some(guest) => guest,
            None => self.plugin.start().map_err(|fault| refused(&fault))?,
        };
        let outcome = guest.upcast(batch);
        let name = &self.plugin.manifest.name;
        super::log::forward(name.as_str(), self.plugin.manifest.version, guest.take_lines());
        match outcome {
            Err(fault @ Fault::Refused { .. }) => {
                self.guest = Some(guest);
                Err(refused(&fault))
            }
            Err(fault) => Err(refused(&fault)),
            Ok(upcasted) => {
                self.guest = Some(guest);
                Ok(upcasted)
            }
        }
    }
}

fn refused(fault: &Fault) -> Refused {
    Refused { event: fault.event(), code: fault.code(), message: fault.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_set_takes_over_at_its_position_for_those_that_were_begun_before() {
        let set = |number, effective_after| UpcasterSet {
            number,
            effective_after: Position(effective_after),
            digests: Vec::new(),
            thread: None,
        };
        let upcasters = Upcasters::of_sets(vec![set(1, 0), set(2, 100), set(3, 250)]);
        let check = |base: u32, after: u64, number: u32, next: Option<u64>| {
            let (found, until) = upcasters.at(base, Position(after)).expect("a set");
            assert_eq!((found.number, until.map(|position| position.0)), (number, next), "set {base} after {after}");
        };
        check(1, 0, 1, Some(100));
        check(1, 99, 1, Some(100));
        check(1, 100, 2, Some(250));
        check(1, 250, 3, None);
        check(2, 0, 2, Some(250));
        check(3, 0, 3, None);
        // Begun before any set that is still known, and by the tail, which reads with the latest.
        check(0, 0, 1, Some(100));
        check(u32::MAX, 0, 3, None);
    }
}
