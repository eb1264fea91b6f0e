//! Pages of the store, made current. Several that read the same part of the history
//! at about the same time share its pages: they are read and upcast once.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::upcasters::{UpcasterSet, Upcasters};
use crate::upcast::{Current, Poisoned};
use model::event::{Batch, Checkpoint, Position};
use model::task::Panic;
use store::{Error as StoreError, Lineage, Store};

/// How long the first of several readers waits at a page for those behind it. One that
/// is slower than that is left behind, and reads on its own.
const WAIT_FOR_OTHERS: Duration = Duration::from_millis(200);

/// A run of the store without a gap, with all events current.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// It holds every event behind this one …
    pub(super) after: Checkpoint,
    /// … up to and including this one; both before upcasting.
    pub(super) end: Checkpoint,
    pub(super) events: Arc<Batch>,
    /// Events that could not be upcast, in the order of positions.
    pub(super) poisoned: Vec<Poisoned>,
}

/// Why no page comes.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Panicked(#[from] Panic),
    #[error("the reader of the event store has ended")]
    Closed,
    #[error("there is no set of upcasters")]
    NoUpcasters,
}

impl Error {
    /// Whether the event store is away, which is told of its database.
    pub(super) fn is_away(&self) -> bool {
        matches!(self, Self::Store(fault) if fault.is_away())
    }
}

/// Reads pages for all. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    store: Store,
    upcasters: Upcasters,
    /// Pages that are kept for those behind, in bytes at the most.
    bytes_max: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Somebody has come to another position, or a page was read.
    moved: Notify,
    /// How many pages were read from the store.
    read: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    next_reader: u64,
    /// Where each of those that read ahead is.
    readers: BTreeMap<u64, Position>,
    /// Pages in the order of reading.
    kept: VecDeque<(Key, Arc<Page>)>,
    bytes: usize,
    /// Pages that are being read.
    coming: HashSet<Key>,
}

/// Which page it is: whoever reads it finds the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The history that it is a part of.
    lineage: Lineage,
    /// The set of upcasters that makes it current.
    set: u32,
    after: Checkpoint,
}

/// One that reads the history, page after page.
#[derive(Debug)]
pub(super) struct Reader {
    pages: Pages,
    number: u64,
    /// The set of upcasters that its version was begun with.
    base: u32,
}

impl Pages {
    pub(super) fn new(store: Store, upcasters: Upcasters, bytes_max: usize) -> Self {
        Self { store, upcasters, bytes_max, shared: Arc::default() }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// How many pages were read from the store, for whomever.
    pub(super) fn read_so_far(&self) -> u64 {
        self.shared.read.load(Ordering::Relaxed)
    }

    pub(super) fn upcasters(&self) -> &Upcasters {
        &self.upcasters
    }

    /// A reader that begins after `after`.
    pub(super) fn reader(&self, base: u32, after: Position) -> Reader {
        let mut state = self.state();
        state.next_reader += 1;
        let number = state.next_reader;
        state.readers.insert(number, after);
        Reader { pages: self.clone(), number, base }
    }

    /// A page of new events, which are read with the latest upcasters and shared in another way.
    pub(super) async fn newest(&self, after: Checkpoint, ceiling: Position) -> Result<Arc<Page>, Error> {
        let (set, _) = self.upcasters.at(u32::MAX, after.position).ok_or(Error::NoUpcasters)?;
        self.read(&set, after, ceiling).await
    }

    async fn read(&self, set: &UpcasterSet, after: Checkpoint, ceiling: Position) -> Result<Arc<Page>, Error> {
        let page = self.store.page(after, ceiling).await?;
        self.shared.read.fetch_add(1, Ordering::Relaxed);
        let after = page.after;
        let end = page.end();
        let Current { events, mut poisoned, cut } = set.run(page.events).await?;
        // If it was cut, the rest is read again, as the page after this one.
        let end = cut.unwrap_or(end);
        poisoned.sort_by_key(|event| event.position);
        Ok(Arc::new(Page { after, end, events: Arc::new(events), poisoned }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked while holding it left at worst a page too many.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a reader finds.
enum Found {
    Page(Arc<Page>),
    /// Somebody else reads it just now.
    Coming,
    /// The others are too far behind to go on at once.
    TooFarAhead,
    /// It is to be read here.
    Nothing,
}

impl Reader {
    /// The page after `after`, none of it beyond `ceiling`.
    pub(super) async fn page(&self, after: Checkpoint, ceiling: Position) -> Result<Arc<Page>, Error> {
        let (set, next) = self.pages.upcasters.at(self.base, after.position).ok_or(Error::NoUpcasters)?;
        let ceiling = next.map_or(ceiling, |next| next.min(ceiling));
        let key = Key { lineage: self.pages.store.lineage(), set: set.number(), after };
        let shared = &self.pages.shared;
        let mut waited = false;
        loop {
            let moved = shared.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            match self.find(key, ceiling, waited) {
                Found::Page(page) => return Ok(page),
                Found::Coming => moved.await,
                Found::TooFarAhead => {
                    waited = tokio::time::timeout(WAIT_FOR_OTHERS, moved).await.is_err();
                }
                Found::Nothing => break,
            }
        }
        // Whatever becomes of the reading, the others must not wait for it.
        let coming = Coming { pages: &self.pages, key };
        let page = self.pages.read(&set, after, ceiling).await?;
        self.keep(key, &page);
        drop(coming);
        Ok(page)
    }

    fn find(&self, key: Key, ceiling: Position, waited: bool) -> Found {
        let mut state = self.pages.state();
        let after = key.after.position;
        if state.readers.insert(self.number, after) != Some(after) {
            self.pages.shared.moved.notify_waiters();
        }
        let fits = |(of, page): &&(Key, Arc<Page>)| *of == key && page.end.position <= ceiling;
        if let Some((_, page)) = state.kept.iter().find(fits) {
            return Found::Page(Arc::clone(page));
        }
        if state.coming.contains(&key) {
            return Found::Coming;
        }
        if !waited && state.bytes >= self.pages.bytes_max && state.holds_what_others_need(after) {
            return Found::TooFarAhead;
        }
        state.coming.insert(key);
        Found::Nothing
    }

    /// Keeps `page` for those behind, if there are any.
    fn keep(&self, key: Key, page: &Arc<Page>) {
        let mut state = self.pages.state();
        if state.readers.len() < 2 {
            state.kept.clear();
            state.bytes = 0;
            return;
        }
        state.bytes += bytes_of(page);
        state.kept.push_back((key, Arc::clone(page)));
        let mut bytes = state.bytes;
        while bytes > self.pages.bytes_max {
            let Some((_, gone)) = state.kept.pop_front() else { break };
            bytes -= bytes_of(&gone);
        }
        state.bytes = bytes;
    }
}

impl State {
    /// Whether a reader behind `after` is where a page is kept.
    fn holds_what_others_need(&self, after: Position) -> bool {
        let first = self.kept.front().map_or(after, |(key, _)| key.after.position);
        self.readers.values().any(|&position| first <= position && position < after)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.pages.state();
        state.readers.remove(&self.number);
        if state.readers.len() < 2 {
            state.kept.clear();
            state.bytes = 0;
        }
        drop(state);
        self.pages.shared.moved.notify_waiters();
    }
}

/// A page that is being read.
struct Coming<'a> {
    pages: &'a Pages,
    key: Key,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.pages.state().coming.remove(&self.key);
        self.pages.shared.moved.notify_waiters();
    }
}

/// What a page takes, for the most part.
fn bytes_of(page: &Page) -> usize {
    let events = &page.events;
    let texts = [&events.data, &events.metadata, &events.aggregate_ids, &events.correlation_ids, &events.user_ids];
    texts.iter().map(|column| column.joined.len()).sum::<usize>() + events.len() * 64
}
