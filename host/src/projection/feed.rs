//! Pages of current events for one projection. One reader tails the store for all that
//! have caught up; one that is behind reads ahead until it has.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, broadcast, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::pages::{Error, Page, Pages};
use crate::database::Outage;
use crate::event::Position;

/// Pages of the tail that a projection may be late by before it has to catch up on its own.
const TAIL_PAGES: usize = 16;

/// Pages that are read ahead of a projection that is behind.
const PAGES_AHEAD: usize = 2;

/// How long the tail waits after the store failed.
const RETRY: Duration = Duration::from_millis(500);

/// The one reader of new events. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    reader: Pages,
    pages: broadcast::Sender<Arc<Page>>,
    position: watch::Sender<Position>,
    /// Whoever holds it keeps the tail where it is.
    gate: Arc<Mutex<()>>,
}

impl Tail {
    /// Starts to tail the store from its head; ends when `stop` is cancelled.
    pub(super) fn start(reader: Pages, poll: Duration, stop: CancellationToken) -> Self {
        let (pages, _) = broadcast::channel(TAIL_PAGES);
        let (position, _) = watch::channel(reader.store().head());
        let tail = Self { reader, pages, position, gate: Arc::default() };
        let following = tail.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(following.follow(poll)).await;
        });
        tail
    }

    /// Keeps the tail where it is, as long as the guard is held; and says where that is.
    pub(super) async fn hold(&self) -> (OwnedMutexGuard<()>, Position) {
        let guard = Arc::clone(&self.gate).lock_owned().await;
        let position = *self.position.borrow();
        (guard, position)
    }

    /// The same, with all that is in the store handed out: nobody can have read further.
    pub(super) async fn hold_at_head(&self) -> Result<(OwnedMutexGuard<()>, Position), Error> {
        let guard = Arc::clone(&self.gate).lock_owned().await;
        let head = self.reader.store().refresh_head().await?;
        while *self.position.borrow() < head {
            self.hand_out(head).await?;
        }
        let position = *self.position.borrow();
        Ok((guard, position))
    }

    /// Hands out everything up to `position`, which can be read, while the tail is held.
    pub(super) async fn advance(&self, _held: &OwnedMutexGuard<()>, position: Position) -> Result<(), Error> {
        while *self.position.borrow() < position {
            self.hand_out(position).await?;
        }
        Ok(())
    }

    async fn follow(&self, poll: Duration) {
        let outage = Outage::of("the event store can't be read");
        loop {
            match self.follow_once(poll, &outage).await {
                Ok(()) => outage.is_well(),
                Err(fault) => {
                    outage.failed(fault);
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn follow_once(&self, poll: Duration, outage: &Outage) -> Result<(), Error> {
        let position = *self.position.borrow();
        if outage.lasts() {
            // Else nothing would be heard of it until there is an event.
            self.reader.store().refresh_head().await?;
            outage.is_well();
        }
        self.reader.store().wait_beyond(position, poll).await?;
        let _open = self.gate.lock().await;
        self.hand_out(self.reader.store().head()).await
    }

    /// Hands out the next page, if there is one; whoever calls holds the gate.
    async fn hand_out(&self, head: Position) -> Result<(), Error> {
        let position = *self.position.borrow();
        if position >= head {
            return Ok(());
        }
        let page = self.reader.newest(position, head).await?;
        // First, so that whoever begins to listen in between knows that there is more.
        self.position.send_replace(page.up_to);
        // Nobody may be listening yet; the page is in the store for whoever comes.
        drop(self.pages.send(page));
        Ok(())
    }
}

/// The pages of one projection, from its checkpoint on, without a gap.
#[derive(Debug)]
pub(super) struct Feed {
    reader: Pages,
    tail: Tail,
    /// The set of upcasters that its version was begun with.
    base: u32,
    position: Position,
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
    Tail(broadcast::Receiver<Arc<Page>>),
}

impl Feed {
    pub(super) fn new(reader: Pages, tail: Tail, base: u32, position: Position, until: Option<Position>) -> Self {
        Self { reader, tail, base, position, until, source: Source::Undecided }
    }

    /// Whether everything that the tail has seen was handed out.
    pub(super) fn has_caught_up(&self) -> bool {
        matches!(self.source, Source::Tail(_)) && self.position >= *self.tail.position.borrow()
    }

    /// Whether everything was handed out that is to be.
    pub(super) fn has_ended(&self) -> bool {
        self.until.is_some_and(|until| self.position >= until)
    }

    /// Whether the next page is being read already, for it is history.
    pub(super) fn reads_ahead(&self) -> bool {
        matches!(self.source, Source::Ahead { .. })
    }

    /// Decides where to read from. Returns whether the projection follows the tail.
    pub(super) fn decide(&mut self) -> bool {
        if matches!(self.source, Source::Undecided) {
            // First listen, then look: what comes in between is heard.
            let listener = self.tail.pages.subscribe();
            let tail = *self.tail.position.borrow();
            self.source = match self.until {
                Some(until) => self.read_ahead(until),
                None if self.position >= tail => Source::Tail(listener),
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
                Source::Tail(pages) => match pages.recv().await {
                    Ok(page) if page.up_to <= self.position => continue,
                    Ok(page) if page.after == self.position => page,
                    // Another host had come further than this one's tail, and its work was taken over.
                    Ok(page) if page.after < self.position => Arc::new(page.beyond(self.position)),
                    // A gap: the tail was faster than this projection.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.source = Source::Undecided;
                        continue;
                    }
                    Err(broadcast::error::RecvError::Closed) => return Err(Error::Closed),
                },
            };
            self.position = page.up_to;
            if matches!(self.source, Source::Ahead { until, .. } if self.position >= until) {
                self.source = Source::Undecided;
            }
            return Ok(page);
        }
    }

    fn read_ahead(&self, until: Position) -> Source {
        let (sender, pages) = mpsc::channel(PAGES_AHEAD);
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let mut position = self.position;
        let reader = self.reader.reader(self.base, position);
        tokio::spawn(async move {
            let read = async {
                while position < until {
                    let page = reader.page(position, until).await;
                    let failed = page.is_err();
                    position = page.as_ref().map_or(position, |page| page.up_to);
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
