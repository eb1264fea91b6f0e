//! Pages of current events for one projection. One reader tails the store for all that
//! have caught up; one that is behind reads ahead until it has.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, broadcast, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::pages::{Error, Page, Pages};
use database::Outage;
use model::event::{Checkpoint, Position};
use store::{Error as StoreError, Lineage, Store};

/// Pages of the tail that a projection may be late by before it has to catch up on its own.
const TAIL_PAGES: usize = 16;

/// Pages that are read ahead of a projection that is behind.
const PAGES_AHEAD: usize = 2;

/// How long is waited for the head to come where another host has read already.
const HEAD_AGAIN: Duration = Duration::from_millis(20);

/// How long the tail waits after the store failed.
const RETRY: Duration = Duration::from_millis(500);

/// The one reader of new events. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    reader: Pages,
    told: broadcast::Sender<Told>,
    place: watch::Sender<Place>,
    /// Whoever holds it keeps the tail where it is.
    gate: Arc<Mutex<()>>,
}

/// Where the tail is, and in which history.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: Checkpoint,
    lineage: Lineage,
}

/// What the tail hands out.
#[derive(Clone, Debug)]
enum Told {
    Page(Arc<Page>),
    /// The store holds another history: whoever follows must look whether it is still the one
    /// that was folded.
    StartOver,
}

impl Tail {
    /// Starts to tail the store from its head; ends when `stop` is cancelled.
    pub(super) fn start(reader: Pages, poll: Duration, stop: CancellationToken) -> Self {
        let (told, _) = broadcast::channel(TAIL_PAGES);
        let store = reader.store();
        let (place, _) = watch::channel(Place { lineage: store.lineage(), at: store.head_event() });
        let tail = Self { reader, told, place, gate: Arc::default() };
        let following = tail.clone();
        tokio::spawn(async move {
            let tasks = following.reader.store().tasks();
            let follow = async { while tasks.run("tail", following.follow(poll)).await.is_none() {} };
            stop.run_until_cancelled(follow).await;
        });
        tail
    }

    /// Keeps the tail where it is, as long as the guard is held; and says where that is.
    pub(super) async fn hold(&self) -> (OwnedMutexGuard<()>, Position) {
        let guard = Arc::clone(&self.gate).lock_owned().await;
        (guard, self.position())
    }

    fn position(&self) -> Position {
        self.place.borrow().at.position
    }

    /// The same, with all that is in the store handed out: nobody can have read further.
    pub(super) async fn hold_at_head(&self) -> Result<(OwnedMutexGuard<()>, Position), Error> {
        let guard = Arc::clone(&self.gate).lock_owned().await;
        loop {
            self.reader.store().refresh_head().await?;
            if !self.hand_out(None).await? {
                return Ok((guard, self.position()));
            }
        }
    }

    /// Lets whoever follows begin anew, at its checkpoint.
    pub(super) fn start_over(&self, _held: &OwnedMutexGuard<()>) {
        // Nobody may be listening.
        drop(self.told.send(Told::StartOver));
    }

    /// Hands out everything up to `position`, which is in the store, while the tail is held.
    pub(super) async fn advance(&self, _held: &OwnedMutexGuard<()>, position: Position) -> Result<(), Error> {
        while self.position() < position {
            let head = self.reader.store().refresh_head().await?;
            if head <= self.position() {
                // Another host could read so far; an append that is in flight now keeps this one.
                tokio::time::sleep(HEAD_AGAIN).await;
            }
            self.hand_out(Some(position)).await?;
        }
        Ok(())
    }

    async fn follow(&self, poll: Duration) {
        let outage = Outage::of("the event store can't be read");
        loop {
            match self.follow_once(poll, &outage).await {
                Ok(()) => outage.is_well(),
                Err(fault) => {
                    // That a database is away is told of it.
                    if !fault.is_away() {
                        outage.failed(fault);
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn follow_once(&self, poll: Duration, outage: &Outage) -> Result<(), Error> {
        let Place { at, lineage } = *self.place.borrow();
        if outage.lasts() {
            // Else nothing would be heard of it until there is an event.
            self.reader.store().refresh_head().await?;
            outage.is_well();
        }
        match self.reader.store().wait_within(lineage, at.position, poll).await {
            // Seen below.
            Ok(_) | Err(StoreError::Restored { .. }) => {}
            Err(fault) => return Err(fault.into()),
        }
        let _open = self.gate.lock().await;
        self.hand_out(None).await?;
        Ok(())
    }

    /// Hands out the next page, up to `ceiling` or the head, and says whether there was one; whoever
    /// calls holds the gate.
    async fn hand_out(&self, ceiling: Option<Position>) -> Result<bool, Error> {
        let Place { at, lineage } = *self.place.borrow();
        let store = self.reader.store();
        if store.lineage() != lineage {
            // All is read anew by whoever needs it: the tail itself goes on at the head.
            store.refresh_head().await?;
            self.place.send_replace(Place { lineage: store.lineage(), at: store.head_event() });
            drop(self.told.send(Told::StartOver));
            return Ok(true);
        }
        let head = store.head();
        let ceiling = ceiling.map_or(head, |ceiling| ceiling.min(head));
        if at.position >= ceiling {
            return Ok(false);
        }
        let page = self.reader.newest(at, ceiling).await?;
        // First, so that whoever begins to listen in between knows that there is more.
        self.place.send_replace(Place { at: page.end, lineage });
        // Nobody may be listening yet; the page is in the store for whoever comes.
        drop(self.told.send(Told::Page(page)));
        Ok(true)
    }
}

/// The pages of one projection, from its checkpoint on, without a gap.
#[derive(Debug)]
pub(super) struct Feed {
    reader: Pages,
    tail: Tail,
    /// The set of upcasters that its version was begun with.
    base: u32,
    at: Checkpoint,
    /// Where it ends; none if it follows the tail then.
    until: Option<Position>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Must find out how far behind it is.
    Undecided,
    Ahead {
        pages: mpsc::Receiver<Result<Arc<Page>, Error>>,
        until: Position,
        _guard: DropGuard,
    },
    Tail(broadcast::Receiver<Told>),
}

impl Feed {
    /// One that goes on behind `at`.
    pub(super) fn new(reader: Pages, tail: Tail, base: u32, at: Checkpoint, until: Option<Position>) -> Self {
        Self { reader, tail, base, at, until, source: Source::Undecided }
    }

    /// Whether everything that the tail has seen was handed out.
    pub(super) fn has_caught_up(&self) -> bool {
        matches!(self.source, Source::Tail(_)) && self.at.position >= self.tail.position()
    }

    /// Whether everything was handed out that is to be.
    pub(super) fn has_ended(&self) -> bool {
        self.until.is_some_and(|until| self.at.position >= until)
    }

    /// Whether the next page is being read already, for it is history.
    pub(super) fn reads_ahead(&self) -> bool {
        matches!(self.source, Source::Ahead { .. })
    }

    /// Decides where to read from. Returns whether the projection follows the tail.
    pub(super) fn decide(&mut self) -> bool {
        if matches!(self.source, Source::Undecided) {
            // First listen, then look: what comes in between is heard.
            let listener = self.tail.told.subscribe();
            let tail = self.tail.position();
            self.source = match self.until {
                Some(until) => self.read_ahead(until),
                None if self.at.position >= tail => Source::Tail(listener),
                None => self.read_ahead(tail),
            };
        }
        matches!(self.source, Source::Tail(_))
    }

    /// The next page. Safe to cancel: a page is handed out or it is not.
    pub(super) async fn next(&mut self) -> Result<Arc<Page>, Error> {
        loop {
            self.decide();
            let page = match &mut self.source {
                Source::Undecided => continue,
                Source::Ahead { pages, .. } => pages.recv().await.ok_or(Error::Closed)??,
                Source::Tail(told) => match told.recv().await {
                    Ok(Told::StartOver) => {
                        let head = self.reader.store().head();
                        return Err(StoreError::Restored { head }.into());
                    }
                    Ok(Told::Page(page)) if page.end.position <= self.at.position => continue,
                    Ok(Told::Page(page)) if page.after == self.at => page,
                    // The tail was faster than this projection, or another host, whose work was
                    // taken over, had come further than the tail: it is read from the store.
                    Ok(Told::Page(_)) | Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.source = Source::Undecided;
                        continue;
                    }
                    Err(broadcast::error::RecvError::Closed) => return Err(Error::Closed),
                },
            };
            self.at = page.end;
            if matches!(self.source, Source::Ahead { until, .. } if self.at.position >= until) {
                self.source = Source::Undecided;
            }
            return Ok(page);
        }
    }

    fn read_ahead(&self, until: Position) -> Source {
        let (sender, pages) = mpsc::channel(PAGES_AHEAD);
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let mut at = self.at;
        let reader = self.reader.reader(self.base, at.position);
        let store = self.reader.store().clone();
        tokio::spawn(async move {
            let read = async {
                while at.position < until {
                    let page = match reachable(&store, at.position, until).await {
                        Ok(ceiling) => reader.page(at, ceiling).await,
                        Err(fault) => Err(fault.into()),
                    };
                    let failed = page.is_err();
                    at = page.as_ref().map_or(at, |page| page.end);
                    if sender.send(page).await.is_err() || failed {
                        break;
                    }
                }
            };
            stop.run_until_cancelled(read).await;
        });
        Source::Ahead { pages, until, _guard: guard }
    }
}

/// How far may be read that is beyond `position`: up to `until`, and no further than the head.
/// The end of a build may lie beyond the head if the store was restored to an older state.
async fn reachable(store: &Store, position: Position, until: Position) -> Result<Position, StoreError> {
    let head = store.head();
    let head = if head > position { head } else { store.wait_beyond(position, HEAD_AGAIN).await? };
    Ok(head.min(until))
}
