//! Pages of current events. One reader tails the store for all projections that
//! have caught up; one that is behind reads ahead on its own until it has.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::upcasters::Upcasters;
use crate::event::{Batch, Position, Timestamp};
use crate::guest::Gone;
use crate::store::{Error as StoreError, Store};
use crate::upcast::Poisoned;

/// Pages of the tail that a projection may be late by before it has to catch up on its own.
const TAIL_PAGES: usize = 16;

/// Pages that are read ahead of a projection that is behind.
const PAGES_AHEAD: usize = 2;

/// How long the tail waits after the store failed.
const RETRY: Duration = Duration::from_secs(1);

/// A run of the store without a gap, with all events current.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// It holds every event after this position …
    pub(super) after: Position,
    /// … up to and including this one.
    pub(super) up_to: Position,
    pub(super) events: Arc<Batch>,
    /// Events that could not be upcast, in the order of positions.
    pub(super) poisoned: Vec<Poisoned>,
    /// The last event, before upcasting; none if there is none.
    pub(super) last_event: Option<(Position, Uuid)>,
    /// When it was read.
    pub(super) read_at: Timestamp,
}

/// Why no page comes.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Gone(#[from] Gone),
    #[error("the reader of the event store has ended")]
    Closed,
}

/// Reads pages and makes them current. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) store: Store,
    pub(super) upcasters: Upcasters,
}

impl Reader {
    async fn page(&self, after: Position, ceiling: Position) -> Result<Arc<Page>, Error> {
        let page = self.store.page(after, ceiling).await?;
        let last = page.events.len().checked_sub(1);
        let last_event = last.map(|row| (page.events.position(row), page.events.event_id(row)));
        let (events, mut poisoned) = self.upcasters.run(page.events).await?;
        poisoned.sort_by_key(|event| event.position);
        let (after, up_to) = (page.after, page.up_to);
        Ok(Arc::new(Page { after, up_to, events: Arc::new(events), poisoned, last_event, read_at: Timestamp::now() }))
    }
}

/// The one reader of new events. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    pages: broadcast::Sender<Arc<Page>>,
    position: watch::Receiver<Position>,
}

impl Tail {
    /// Starts to tail the store from its head; ends when `stop` is cancelled.
    pub(super) fn start(reader: Reader, poll: Duration, stop: CancellationToken) -> Self {
        let (pages, _) = broadcast::channel(TAIL_PAGES);
        let (moved, position) = watch::channel(reader.store.head());
        let tail = Self { pages: pages.clone(), position };
        tokio::spawn(async move {
            stop.run_until_cancelled(follow(&reader, poll, &pages, &moved)).await;
        });
        tail
    }
}

async fn follow(
    reader: &Reader,
    poll: Duration,
    pages: &broadcast::Sender<Arc<Page>>,
    moved: &watch::Sender<Position>,
) {
    loop {
        if let Err(fault) = follow_once(reader, poll, pages, moved).await {
            tracing::warn!(error = %fault, "the event store can't be read, trying again");
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn follow_once(
    reader: &Reader,
    poll: Duration,
    pages: &broadcast::Sender<Arc<Page>>,
    moved: &watch::Sender<Position>,
) -> Result<(), Error> {
    let position = *moved.borrow();
    let head = reader.store.wait_beyond(position, poll).await?;
    let page = reader.page(position, head).await?;
    let up_to = page.up_to;
    // Nobody may be listening yet; the page is in the store for whoever comes.
    drop(pages.send(page));
    moved.send_replace(up_to);
    Ok(())
}

/// The pages of one projection, from its checkpoint on, without a gap.
#[derive(Debug)]
pub(super) struct Feed {
    reader: Reader,
    tail: Tail,
    position: Position,
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
    pub(super) fn new(reader: Reader, tail: Tail, position: Position) -> Self {
        Self { reader, tail, position, source: Source::Undecided }
    }

    /// Whether everything that the tail has seen was handed out.
    pub(super) fn has_caught_up(&self) -> bool {
        matches!(self.source, Source::Tail(_)) && self.position >= *self.tail.position.borrow()
    }

    /// Decides where to read from. Returns whether the projection follows the tail.
    pub(super) fn decide(&mut self) -> bool {
        if matches!(self.source, Source::Undecided) {
            // First listen, then look: what comes in between is heard.
            let listener = self.tail.pages.subscribe();
            let until = *self.tail.position.borrow();
            self.source = if self.position >= until { Source::Tail(listener) } else { self.read_ahead(until) };
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
                    Ok(page) if page.after <= self.position => page,
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
        let (reader, mut position) = (self.reader.clone(), self.position);
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
