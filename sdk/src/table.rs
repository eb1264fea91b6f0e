//! Folds the events of a batch into the rows of one table.

use std::any::Any;
use std::hash::BuildHasher as _;
use std::rc::Rc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::batch::{Batch, Earliest};
use crate::entry::Entry;
use crate::event::{Decoded, Events, Pattern};
use crate::fold::{Fold, Keys, is_keyed_by_aggregate};
use crate::meta::Meta;
use crate::wire;

/// A table of a projection, whatever its rows are.
pub(crate) trait AnyTable {
    fn definition(&self) -> wire::TableDefinition;
    fn patterns(&self) -> &'static [Pattern];
    fn load(&mut self, batch: &Rc<Batch>, decoders: &mut Decoders, earliest: &mut Earliest) -> wire::Keys;
    fn apply(&mut self, batch: &Batch, existing: wire::Rows, earliest: &mut Earliest) -> wire::Changes;
}

/// The events of a batch, decoded once for each set of events that a table reads.
#[derive(Default)]
pub(crate) struct Decoders(Vec<Rc<dyn Any>>);

impl Decoders {
    fn decode<E: Events>(&mut self, batch: &Rc<Batch>, earliest: &mut Earliest) -> Rc<Decoded<E>> {
        let earlier = self.0.iter().find_map(|any| Rc::clone(any).downcast().ok());
        earlier.unwrap_or_else(|| {
            let decoded = Rc::new(Decoded::<E>::new(batch, earliest));
            self.0.push(Rc::clone(&decoded) as Rc<dyn Any>);
            decoded
        })
    }
}

/// A table, and what it keeps of a batch between `load` and `apply`.
pub(crate) struct Table<F: Fold> {
    decoded: Rc<Decoded<F::Event>>,
    /// One per key that the batch touches.
    entries: Vec<Entry<F>>,
    /// Finds an entry by its key; only in use during `load`.
    index: HashTable<u32>,
    /// In the order of the events.
    touches: Vec<Touch>,
}

/// An event touches an entry. Both are indexes, of `decoded` and of `entries`.
struct Touch {
    event: u32,
    entry: u32,
}

/// Always seeded alike, so that a batch takes the same course however often it is
/// replayed. Whoever chooses keys that collide slows down no more than one batch.
const HASHER: FixedState = FixedState::with_seed(0);

impl<F: Fold> Table<F> {
    pub(crate) fn new() -> Self {
        Self { decoded: Rc::default(), entries: Vec::new(), index: HashTable::new(), touches: Vec::new() }
    }

    fn clear(&mut self) {
        self.decoded = Rc::default();
        self.entries.clear();
        self.index.clear();
        self.touches.clear();
    }

    fn touch<K: Keys<F::Key>>(&mut self, event: usize, meta: &Meta<'_>, keys: K) {
        let event = wire::offset(event);
        if K::OF_AGGREGATE {
            let id = meta.aggregate_id();
            let entry = self.entry(
                HASHER.hash_one(id),
                |key| F::is_aggregate_id(key, id),
                || F::KEY_OF_AGGREGATE_ID.map(|key_of| key_of(id)),
            );
            // `check_keys` has seen to it that there is such a key.
            self.touches.extend(entry.map(|entry| Touch { event, entry }));
            return;
        }
        let first = self.touches.len();
        keys.each(|key| {
            let hash = HASHER.hash_one(&key);
            // `Some` always: the key is at hand.
            let entry = self.entry(hash, |other| *other == key, || Some(key.clone()));
            let is_new = |entry: &u32| self.touches[first..].iter().all(|t| t.entry != *entry);
            let entry = entry.filter(is_new);
            self.touches.extend(entry.map(|entry| Touch { event, entry }));
        });
    }

    /// The entry of a key; made when it isn't there yet.
    fn entry(
        &mut self,
        hash: u64,
        is_key: impl Fn(&F::Key) -> bool,
        make_key: impl FnOnce() -> Option<F::Key>,
    ) -> Option<u32> {
        let entries = &self.entries;
        let found = self.index.find(hash, |entry| is_key(entries[*entry as usize].key()));
        if let Some(entry) = found {
            return Some(*entry);
        }
        let entry = wire::offset(self.entries.len());
        self.entries.push(Entry::new(make_key()?));
        let entries = &self.entries;
        self.index.insert_unique(hash, entry, |entry| HASHER.hash_one(entries[*entry as usize].key()));
        Some(entry)
    }

    /// Gives the entries the rows that the host found.
    fn fill(&mut self, existing: wire::Rows, earliest: &mut Earliest) {
        assert!(
            existing.present.len() == self.entries.len(),
            "the host says of each key of `{}` whether there is a row",
            F::TABLE.name
        );
        let mut read = F::read(existing.columns);
        for (at, present) in existing.present.iter().enumerate() {
            if *present == 0 {
                continue;
            }
            let entry = &mut self.entries[at];
            match read(entry.key()) {
                Ok(row) => entry.fill(row),
                Err(error) => {
                    let first = self.touches.iter().find(|t| t.entry as usize == at);
                    let row = first.map_or(0, |touch| self.row_of(touch));
                    if row < earliest.end {
                        earliest.fail(row, &error);
                    }
                }
            }
        }
    }

    fn row_of(&self, touch: &Touch) -> usize {
        self.decoded.rows[touch.event as usize] as usize
    }

    /// Folds the events before `earliest.end`.
    fn fold(&mut self, batch: &Batch, earliest: &mut Earliest) {
        for touch in &self.touches {
            let row = self.row_of(touch);
            if row >= earliest.end {
                return;
            }
            let entry = &mut self.entries[touch.entry as usize];
            let event = &self.decoded.events[touch.event as usize];
            let applied = F::apply(entry, event, &Meta::new(batch, row));
            if let Err(error) = applied.and_then(|()| entry.check_key()) {
                earliest.fail(row, &error);
                return;
            }
        }
    }

    fn changes(&self) -> wire::Changes {
        let mut operations = Vec::with_capacity(self.entries.len());
        let mut rows = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let (operation, row) = entry.change();
            operations.push(operation);
            rows.extend(row);
        }
        wire::Changes { operations, columns: F::write(&rows) }
    }
}

impl<F: Fold> AnyTable for Table<F> {
    fn definition(&self) -> wire::TableDefinition {
        F::TABLE.definition(if is_keyed_by_aggregate::<F>() { wire::Keying::AggregateId } else { wire::Keying::Own })
    }

    fn patterns(&self) -> &'static [Pattern] {
        F::Event::PATTERNS
    }

    fn load(&mut self, batch: &Rc<Batch>, decoders: &mut Decoders, earliest: &mut Earliest) -> wire::Keys {
        self.clear();
        let decoded = decoders.decode::<F::Event>(batch, earliest);
        self.touches.reserve(decoded.events.len());
        for (at, (row, event)) in decoded.before(earliest.end).enumerate() {
            let meta = Meta::new(batch, row);
            self.touch(at, &meta, F::keys(event, &meta));
        }
        self.decoded = decoded;
        wire::Keys {
            count: wire::offset(self.entries.len()),
            columns: F::write_keys(self.entries.iter().map(Entry::key)),
        }
    }

    fn apply(&mut self, batch: &Batch, existing: wire::Rows, earliest: &mut Earliest) -> wire::Changes {
        self.fill(existing, earliest);
        self.fold(batch, earliest);
        let changes = self.changes();
        self.clear();
        changes
    }
}
