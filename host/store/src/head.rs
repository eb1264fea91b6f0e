//! Up to where the store can be read without missing anything.
//!
//! With one writer that is the last position. With many it is not: positions are drawn when
//! events are inserted, but seen when they are committed, and one that was drawn early may be
//! seen late. So each appender shows, before it draws, that it is in flight, and the head stays
//! below what is. `postgres` and `mysql` say how; no clock is asked, and nothing is skipped.
//!
//! What is remembered of the head is worth nothing once the database was restored to an older
//! state: its positions are given out again. So each look also asks whether the last event that
//! was known still stands where it stood. If not, the head goes back, and [`Lineage`] changes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::{Error, Readable, checks, mysql, postgres, sqlite};
use database::{Database, Dialect, query};
use model::event::{Checkpoint, Position, Timestamp};

/// How long is waited before looking again: first, and at most while an appender is in flight
/// or when nothing has come for a while. In between it is a part of the time that it is quiet,
/// and what comes is late by no more than that part.
const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK_IN_FLIGHT: Duration = Duration::from_millis(50);
const LOOK_IDLE: Duration = Duration::from_secs(2);
const LOOK_PART: u32 = 5;

/// How long who wants to know the head waits for a look.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// An appender that is in flight for so long is worth a word.
const HOLD_MIN: Duration = Duration::from_secs(1);
/// … and who that is may change.
const NAMES_AGAIN: Duration = Duration::from_secs(5);
/// … and worth a line in the log, again and again.
const ALERT_FIRST: Duration = Duration::from_secs(5);
const ALERT_AGAIN: Duration = Duration::from_secs(60);

/// How long is waited for a notification before it is looked whether the store still is used.
const LISTEN: Duration = Duration::from_secs(5);

/// What keeps the head from following the last append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Everything up to here can be read.
    pub at: Position,
    /// Since when it is so.
    pub since: Timestamp,
    /// The sessions with an append that is not committed, the oldest first, for people; empty
    /// if the database does not tell this user.
    pub sessions: Vec<String>,
}

/// Which history the store holds, as far as this process can tell. It changes when an event that
/// was read is not in its place any more: the database was restored or replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lineage(u64);

/// What one look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Everything up to here can be read; there is an event.
    pub(super) safe: Checkpoint,
    /// Whether appenders are in flight.
    pub(super) in_flight: bool,
    /// The event at the position of the head that was known.
    pub(super) at_known: Option<Uuid>,
}

/// What is known of the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    at: Checkpoint,
    lineage: Lineage,
}

/// The head of a store.
#[derive(Debug)]
pub(super) struct Head {
    database: Database,
    known: watch::Sender<Known>,
    /// The last position that this process has appended.
    appended: AtomicU64,
    /// Since when what can be read.
    readable: Readable,
    /// Somebody says that there may be more.
    woken: Notify,
    /// What was seen of the gates so far; whoever looks holds it.
    gates: tokio::sync::Mutex<mysql::Gates>,
    held: Mutex<Held>,
    /// When somebody began to look last. Those who wait look in turns.
    looked: Mutex<Instant>,
}

#[derive(Debug, Default)]
struct Held {
    hold: Option<(Hold, Instant)>,
    /// When those were looked up who hold it.
    named: Option<Instant>,
    alerted: Option<Instant>,
}

impl Head {
    pub(super) async fn open(database: &Database) -> Result<Self, Error> {
        let head = Self {
            database: database.clone(),
            known: watch::channel(Known::default()).0,
            appended: AtomicU64::default(),
            readable: Readable::default(),
            woken: Notify::new(),
            gates: tokio::sync::Mutex::default(),
            held: Mutex::default(),
            looked: Mutex::new(Instant::now()),
        };
        head.catch_up().await?;
        Ok(head)
    }

    pub(super) fn position(&self) -> Position {
        self.known.borrow().at.position
    }

    /// The head, and the event that is there.
    pub(super) fn at(&self) -> Checkpoint {
        self.known.borrow().at
    }

    /// Which history that is of.
    pub(super) fn lineage(&self) -> Lineage {
        self.known.borrow().lineage
    }

    pub(super) fn readable(&self) -> &Readable {
        &self.readable
    }

    /// What was appended up to here is committed.
    pub(super) fn reached(&self, at: Checkpoint) {
        self.known.send_if_modified(|known| {
            let grown = at.position > known.at.position;
            if grown {
                self.readable.note(at.position);
                known.at = at;
            }
            grown
        });
    }

    /// What this process appended up to here is committed. On a server an earlier position may
    /// still be on its way, from another appender: so it is looked, by those who wait for events
    /// or by who needs to know. Whoever appended does not wait for that.
    pub(super) fn appended(&self, last: Checkpoint) {
        if self.database.dialect().has_one_writer() {
            return self.reached(last);
        }
        self.appended.fetch_max(last.position.0, Ordering::Relaxed);
        self.wake();
    }

    /// The head, looked at if it is known to be behind what this process has appended.
    pub(super) async fn with_appended(&self) -> Position {
        if self.position().0 < self.appended.load(Ordering::Relaxed) {
            drop(tokio::time::timeout(LOOK_MAX, self.catch_up()).await);
        }
        self.position()
    }

    /// Says that there may be more.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Looks, and gives the head.
    pub(super) async fn refresh(&self) -> Result<Position, Error> {
        self.look().await?;
        Ok(self.position())
    }

    /// Looks until the head has come to what is committed by now, and gives it; if an appender
    /// in flight does not let it for a while, where it is. One look is not enough on MySQL: it
    /// may end the wait for an earlier position, and spares the gate whose turn it is.
    pub(super) async fn catch_up(&self) -> Result<Position, Error> {
        if self.database.dialect().finds_head_at_once() {
            return self.refresh().await;
        }
        let sql = query("SELECT coalesce(max(position), 0) AS last FROM events");
        let last = Position::from_sql(sql.one(&mut self.database.read().await?).await?.get("last")?);
        let start = Instant::now();
        while self.refresh().await? < last && start.elapsed() < LOOK_IN_FLIGHT {
            tokio::time::sleep(LOOK_FIRST).await;
        }
        Ok(self.position())
    }

    async fn look(&self) -> Result<Look, Error> {
        let known = *self.known.borrow();
        let look = self.try_to_look(known.at).await.inspect_err(|fault| self.database.note(fault))?;
        if let Some(fault) = changed(known.at, look.at_known) {
            return self.start_over(known.lineage, fault).await;
        }
        self.note(look);
        self.known.send_if_modified(|now| {
            // Somebody may have found meanwhile that it is another history.
            let grown = now.lineage == known.lineage && look.safe.position > now.at.position;
            if grown {
                self.readable.note(look.safe.position);
                now.at = look.safe;
            }
            grown
        });
        Ok(look)
    }

    /// Looks once, where `known` is what was found before.
    async fn try_to_look(&self, known: Checkpoint) -> sqlx::Result<Look> {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        match self.database.dialect() {
            Dialect::Sqlite => sqlite::look(&mut self.database.read().await?, known).await,
            Dialect::Postgres => postgres::look(&mut self.database.read().await?, known).await,
            Dialect::MySql => self.gates.lock().await.look(&self.database, known).await,
        }
    }

    /// The database was restored to another state than the one of `lineage`: what is known of it
    /// is forgotten, and it is looked anew whether it can be read from.
    pub(super) async fn start_over(&self, lineage: Lineage, fault: Error) -> Result<Look, Error> {
        checks::check(&self.database).await?;
        let look = self.try_to_look(Checkpoint::START).await.inspect_err(|fault| self.database.note(fault))?;
        let is_new = self.known.send_if_modified(|now| {
            let is_new = now.lineage == lineage;
            if is_new {
                self.readable.note(look.safe.position);
                *now = Known { at: look.safe, lineage: Lineage(lineage.0 + 1) };
            }
            is_new
        });
        if is_new {
            *self.held() = Held::default();
            // What was appended to the other history is no measure.
            self.appended.store(0, Ordering::Relaxed);
            tracing::error!(
                head = look.safe.position.0,
                "{fault}. Projections go on from their checkpoints if these fit, and stop with `history_changed` if not"
            );
        }
        Ok(look)
    }

    /// Waits until the head is beyond `position`, as long as the history is that of `lineage`.
    pub(super) async fn wait_beyond(
        &self,
        position: Position,
        lineage: Lineage,
        poll: Duration,
    ) -> Result<Position, Error> {
        let is_file = self.database.dialect().has_one_writer();
        let mut known = self.known.subscribe();
        let (mut quiet_since, mut was_in_flight) = (Instant::now(), false);
        loop {
            let now = *known.borrow_and_update();
            if now.lineage != lineage {
                return Err(Error::Restored { head: now.at.position });
            }
            let head = now.at.position;
            if head > position {
                return Ok(head);
            }
            let pause = if is_file { poll } else { pause(quiet_since.elapsed(), was_in_flight, poll) };
            let is_woken = tokio::select! {
                changed = known.changed() => {
                    changed.map_err(|_| Error::Closed)?;
                    continue;
                }
                () = self.woken.notified() => true,
                () = tokio::time::sleep(pause) => false,
            };
            let look = if is_woken || self.last_look().elapsed() >= pause { self.look().await? } else { continue };
            if is_woken || look.in_flight != was_in_flight {
                (quiet_since, was_in_flight) = (Instant::now(), look.in_flight);
            }
            if !is_file {
                self.alert().await?;
            }
        }
    }

    fn last_look(&self) -> Instant {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hold(&self) -> Option<Hold> {
        let held = self.held();
        held.hold.as_ref().filter(|(_, since)| since.elapsed() > HOLD_MIN).map(|(hold, _)| hold.clone())
    }

    fn note(&self, look: Look) {
        let mut held = self.held();
        let at = look.safe.position;
        let is_new = held.hold.as_ref().is_none_or(|(hold, _)| hold.at != at);
        if !look.in_flight {
            *held = Held::default();
        } else if is_new {
            let hold = Hold { at, since: Timestamp::now(), sessions: Vec::new() };
            *held = Held { hold: Some((hold, Instant::now())), named: None, alerted: None };
        }
    }

    /// Names those who hold the head, once they have for long, and then now and again.
    async fn alert(&self) -> Result<(), Error> {
        let due = {
            let held = self.held();
            let lasts = held.hold.as_ref().map(|(_, since)| since.elapsed()).unwrap_or_default();
            let is_due = |last: Option<Instant>, again: Duration| last.is_none_or(|last| last.elapsed() > again);
            (lasts > HOLD_MIN && is_due(held.named, NAMES_AGAIN))
                || (lasts > ALERT_FIRST && is_due(held.alerted, ALERT_AGAIN))
        };
        if !due {
            return Ok(());
        }
        let mut connection = self.database.read().await?;
        let sessions = match self.database.dialect() {
            // Nobody is in flight there.
            Dialect::Sqlite => return Ok(()),
            Dialect::Postgres => postgres::holders(&mut connection).await,
            Dialect::MySql => mysql::holders(&mut connection, self.database.flavour()).await,
        };
        // Not every user may see the sessions of others.
        let sessions = sessions.unwrap_or_else(|fault| vec![format!("a session that this user can't see ({fault})")]);
        let mut held = self.held();
        let Held { hold: Some((hold, since)), named, alerted } = &mut *held else { return Ok(()) };
        hold.sessions = sessions;
        *named = Some(Instant::now());
        if since.elapsed() > ALERT_FIRST && alerted.is_none_or(|last| last.elapsed() > ALERT_AGAIN) {
            *alerted = Some(Instant::now());
            tracing::warn!(
                position = hold.at.0,
                seconds = since.elapsed().as_secs(),
                "no event after position {} can be read, for an append before them is neither committed nor rolled back, by {}",
                hold.at,
                if hold.sessions.is_empty() { "an unknown session".to_owned() } else { hold.sessions.join(", or ") }
            );
        }
        Ok(())
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        // Each change is one assignment.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it means that `found` stands at the position of `known`.
pub(super) fn changed(known: Checkpoint, found: Option<Uuid>) -> Option<Error> {
    let (position, expected) = known.last_event?;
    (found != Some(expected)).then_some(Error::HistoryChanged { position, expected, found })
}

/// How long to wait before looking again, when nothing has changed for `quiet`.
fn pause(quiet: Duration, in_flight: bool, poll: Duration) -> Duration {
    let most = if in_flight { LOOK_IN_FLIGHT } else { LOOK_IDLE.max(poll) };
    (quiet / LOOK_PART).clamp(LOOK_FIRST.min(poll), most)
}

/// Wakes the head whenever the database notifies of an append, as long as the store is used.
pub(super) async fn listen(database: Database, head: Weak<Head>) {
    let mut pause = LOOK_FIRST;
    while head.strong_count() > 0 {
        let mut listener = match database.listen(postgres::CHANNEL).await {
            Ok(Some(listener)) => listener,
            // The database has nothing of the kind.
            Ok(None) => return,
            Err(fault) => {
                tracing::debug!("can't listen to appends, so they are looked for: {fault}");
                pause = (pause * 2).min(LISTEN);
                tokio::time::sleep(pause).await;
                continue;
            }
        };
        pause = LOOK_FIRST;
        loop {
            let heard = tokio::time::timeout(LISTEN, listener.try_recv()).await;
            let Some(head): Option<Arc<Head>> = head.upgrade() else { return };
            match heard {
                // Nothing, for a while.
                Err(_) => {}
                Ok(Ok(Some(_))) => head.wake(),
                // The connection was lost, and what was said meanwhile with it.
                Ok(Ok(None) | Err(_)) => {
                    head.wake();
                    break;
                }
            }
        }
    }
}
