//! Upcasters in their sandboxes, put together to chains, each on a thread of its own.
//!
//! Which upcasters work together changes at a position: a page before it is made
//! current by the old set, a page after it by the new one.

use std::sync::{Arc, PoisonError, RwLock};

use crate::upcast::{Chain, Clash, Current, Refused, Steps, Upcast};
use guest::{Fault, GuestUpcaster, Thread, UpcasterPlugin};
use model::change::{Digest, Upcasted, UpcasterManifest};
use model::event::{Batch, Position};
use model::task::Panic;

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
    /// If two take the same, or events would be upcast for ever or in too many steps.
    pub fn new(number: u32, effective_after: Position, plugins: Vec<(Digest, UpcasterPlugin)>) -> Result<Self, Error> {
        let (digests, plugins): (Vec<Digest>, Vec<UpcasterPlugin>) = plugins.into_iter().unzip();
        let Some(limits) = plugins.first().map(|plugin| plugin.limits().clone()) else {
            return Ok(Self { number, effective_after, digests, thread: None });
        };
        let manifests: Vec<&UpcasterManifest> = plugins.iter().map(|plugin| &*plugin.manifest).collect();
        let steps = Arc::new(Steps::of(&manifests, &limits)?);
        let sandboxed = |plugin: &UpcasterPlugin| {
            let upcaster = Sandboxed { plugin: plugin.clone(), guest: None };
            (Arc::clone(&plugin.manifest), Box::new(upcaster) as Box<dyn Upcast>)
        };
        let make = move || Chain::new(plugins.iter().map(sandboxed).collect(), Arc::clone(&steps), &limits);
        Ok(Self { number, effective_after, digests, thread: Some(Arc::new(Thread::spawn("upcasters", make)?)) })
    }

    /// The same upcasters under a number, from a position on.
    #[must_use]
    pub fn from(self, number: u32, effective_after: Position) -> Self {
        Self { number, effective_after, ..self }
    }

    /// Makes `batch` current, or as much of it as there is room for.
    ///
    /// # Errors
    /// If an upcaster has panicked on the host's side. The next call begins with new ones.
    pub async fn run(&self, batch: Batch) -> Result<Current, Panic> {
        match &self.thread {
            None => Ok(Current { events: batch, ..Current::default() }),
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
    use model::change::Step;
    use model::event::EventType;
    use model::limits::Limits;

    /// Gives events back as they are; one of type `Bad` makes it panic.
    struct Native;

    impl Upcast for Native {
        fn upcast(&mut self, batch: Batch) -> Result<Upcasted, Refused> {
            assert!(batch.types.iter().all(|known| known.name.as_ref() != "Bad"), "a lamp fell over");
            let (counts, types) = (vec![1; batch.len()], vec![good(2)]);
            Ok(Upcasted { counts, types, type_codes: vec![0; batch.len()], data: batch.data })
        }
    }

    fn good(version: u32) -> EventType {
        EventType { name: "Good".into(), version }
    }

    fn event(known: EventType) -> Batch {
        Batch {
            positions: vec![1],
            indexes: vec![0],
            ids: vec![0; 16],
            types: vec![known],
            type_codes: vec![0],
            aggregate_types: vec!["A".to_owned()],
            aggregate_type_codes: vec![0],
            aggregate_versions: vec![1],
            timestamps: vec![0],
            data: ["{}"].into_iter().collect(),
            aggregate_ids: ["a"].into_iter().collect(),
            user_ids: [""].into_iter().collect(),
            correlation_ids: [""].into_iter().collect(),
            causation_ids: [""].into_iter().collect(),
            metadata: [""].into_iter().collect(),
        }
    }

    #[tokio::test]
    async fn a_panic_is_told_and_the_next_page_is_made_current_all_the_same() {
        let bad = EventType { name: "Bad".into(), version: 1 };
        let step = |takes| Step { takes, gives: vec![good(2)] };
        let manifest = Arc::new(UpcasterManifest {
            sdk: String::new(),
            name: "native".parse().expect("a name"),
            version: 1,
            steps: vec![step(bad.clone()), step(good(1))],
        });
        let steps = Arc::new(Steps::of(&[&manifest], &Limits::default()).expect("steps"));
        let make = move || {
            let upcaster: Box<dyn Upcast> = Box::new(Native);
            Chain::new(vec![(Arc::clone(&manifest), upcaster)], Arc::clone(&steps), &Limits::default())
        };
        let thread = Thread::spawn("upcasters", make).expect("a thread");
        let (number, effective_after, digests) = (1, Position::START, Vec::new());
        let set = UpcasterSet { number, effective_after, digests, thread: Some(Arc::new(thread)) };
        let panic = set.run(event(bad)).await.expect_err("a panic");
        assert!(panic.to_string().ends_with("a lamp fell over"), "{panic}");
        let current = set.run(event(good(1))).await.expect("no panic");
        assert_eq!((current.events.event_type(0), current.poisoned.len()), (&good(2), 0));
    }

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
