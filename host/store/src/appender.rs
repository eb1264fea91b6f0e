//! The one task that writes events: whatever waits goes into one transaction.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::append::{Outcome, Request};
use super::complaints::Complaints;
use super::head::Head;
use super::import;
use super::insert::{NewRow, Placed, insert, insert_if};
use super::known::Known;
use super::premises::Premises;
use super::redo::{self, Redo};
use database::{Cause, Database, Durability, Writer, is_lost, is_passing, is_taken};
use model::event::{Checkpoint, Position};

/// Appends that go into one transaction, and so share one sync to disk.
const APPENDS_PER_COMMIT: usize = 64;

/// How often a transaction is tried again that another one stood in the way of.
const TRIES: u32 = 20;

/// How often one is tried again over which a connection was lost before anything was done.
const TRIES_LOST: u32 = 2;

/// How long a connection is kept for the next append: for less than it is trusted untried.
const WRITER_KEPT: Duration = Duration::from_millis(500);

/// The one task that writes events.
#[derive(Debug)]
pub(super) struct Appender {
    database: Database,
    head: Arc<Head>,
    complaints: Complaints,
    /// The connection that wrote last, on a server: as long as one append follows another.
    writer: Option<Writer>,
}

/// Why nothing was written, as far as is known. All who are concerned are told the same.
#[derive(Debug)]
pub(super) enum Failure {
    /// For certain, nothing was.
    Before(Arc<sqlx::Error>),
    /// The database was lost while it committed.
    Unknown(Arc<sqlx::Error>),
}

impl From<sqlx::Error> for Failure {
    fn from(fault: sqlx::Error) -> Self {
        Self::Before(Arc::new(fault))
    }
}

/// What came of requests, and where their rows are.
#[derive(Debug)]
struct Written {
    outcomes: Vec<Outcome>,
    placed: Vec<Placed>,
    /// The last event.
    last: Option<Checkpoint>,
}

impl Written {
    fn new(outcomes: Vec<Outcome>, placed: Vec<Placed>, rows: &[NewRow<'_>]) -> Self {
        let last = placed.last().zip(rows.last());
        let last = last.map(|(placed, row)| Checkpoint::behind(placed.position, row.event_id));
        Self { outcomes, placed, last }
    }
}

impl Appender {
    pub(super) fn new(database: Database, head: Arc<Head>) -> Self {
        Self { database, head, complaints: Complaints::default(), writer: None }
    }

    pub(super) async fn run(&mut self, requests: &mut mpsc::Receiver<Request>) {
        // Begun again after a panic, it is not to go on amid what that left.
        self.writer = None;
        let mut waiting = Vec::with_capacity(APPENDS_PER_COMMIT);
        loop {
            let received = requests.recv_many(&mut waiting, APPENDS_PER_COMMIT);
            let received = match &self.writer {
                Some(_) => tokio::time::timeout(WRITER_KEPT, received).await,
                None => Ok(received.await),
            };
            match received {
                Err(_) => self.writer = None,
                Ok(0) => return,
                Ok(_) => self.take(&mut waiting).await,
            }
        }
    }

    async fn take(&mut self, waiting: &mut Vec<Request>) {
        while !waiting.is_empty() {
            // One that repeats what another of them adds must see it written first.
            let later = import::split_off_repetitions(waiting);
            self.commit(std::mem::replace(waiting, later)).await;
        }
    }

    /// Commits `requests` together. If that fails each one is tried for itself, so that one
    /// which the database does not take does not take its neighbours along; but not if the
    /// database is away or replaced, for then none is to blame.
    async fn commit(&mut self, mut requests: Vec<Request>) {
        match self.write(&mut requests).await {
            Ok(written) => self.answer(requests, written),
            Err(failure) if requests.len() == 1 || matches!(failure.cause(), Cause::Away | Cause::Replaced) => {
                self.fail(requests, &failure);
            }
            Err(_) => {
                for request in requests {
                    let mut one = vec![request];
                    match self.write(&mut one).await {
                        Ok(written) => self.answer(one, written),
                        Err(failure) => self.fail(one, &failure),
                    }
                }
            }
        }
    }

    /// Lets everybody know, the log too, that nothing of `requests` was done, as far as is known.
    fn fail(&mut self, requests: Vec<Request>, failure: &Failure) {
        match failure.cause() {
            // That is told of the database.
            Cause::Away | Cause::Replaced => {}
            cause => self.complaints.tell(cause, failure.fault()),
        }
        requests.into_iter().for_each(|request| request.fail(failure));
    }

    /// Lets everybody know of what is committed.
    fn answer(&self, requests: Vec<Request>, Written { outcomes, placed, last }: Written) {
        if let Some(last) = last {
            self.head.appended(last);
        }
        for (request, outcome) in requests.into_iter().zip(outcomes) {
            request.answer(outcome, &placed);
        }
    }

    /// Writes `requests`, or nothing of them: by one statement if they are as they are expected to
    /// be, else by looking first. What other transactions did meanwhile is looked at anew: an
    /// aggregate may have gone on, an id may be taken.
    async fn write(&mut self, requests: &mut [Request]) -> Result<Written, Failure> {
        // Nobody waits for longer, however many came before.
        let oldest = requests.iter().filter_map(Request::since).min().unwrap_or_else(Instant::now);
        let deadline = oldest + self.database.wait_max();
        let mut written = match self.write_at_once(requests, deadline).await {
            Ok(Some(written)) => Ok(written),
            Err(Failure::Before(fault)) if is_lost(&fault) => Err(Failure::Before(fault)),
            Err(Failure::Unknown(fault)) => Err(Failure::Unknown(fault)),
            // What stands in the way is named by whoever looks.
            Err(Failure::Before(fault)) => {
                tracing::debug!("an append by one statement failed, and is looked into: {fault}");
                self.write_by_looking(requests, deadline).await
            }
            Ok(None) => self.write_by_looking(requests, deadline).await,
        };
        if matches!(written, Err(Failure::Unknown(_))) && requests.iter_mut().all(Request::doubt) {
            // Their events have ids, by which it is found out whether it is done.
            written = self.write_by_looking(requests, deadline).await;
        }
        written.map_err(|failure| match failure {
            Failure::Before(fault) if requests.iter().any(Request::is_in_doubt) => Failure::Unknown(fault),
            failure => failure,
        })
    }

    /// Writes `requests` by one statement that is a transaction of its own, if all is as they
    /// say: else nothing is done.
    async fn write_at_once(&mut self, requests: &[Request], deadline: Instant) -> Result<Option<Written>, Failure> {
        let Some((premises, mut known)) = Premises::of(requests) else { return Ok(None) };
        let mut rows = Vec::new();
        let outcomes: Vec<Outcome> = requests.iter().map(|request| request.decide(&mut known, &mut rows)).collect();
        if !premises.suit(&rows, self.database.dialect()) {
            return Ok(None);
        }
        let mut writer = match self.writer.take().filter(|writer| self.database.trusts(writer)) {
            Some(writer) => writer,
            None => self.database.writer(deadline).await?,
        };
        let placed = insert_if(&mut writer, &rows, &premises).await;
        // Of a single one that writes, others have need too.
        self.writer = writer.end(placed.as_ref().err()).filter(|_| self.database.writers() > 1);
        match placed {
            Ok(placed) => Ok(placed.map(|placed| Written::new(outcomes, placed, &rows))),
            Err(fault) if is_lost(&fault) => Err(Failure::Unknown(Arc::new(fault))),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Looks up what `requests` are about, decides and writes, again if others were faster.
    async fn write_by_looking(&self, requests: &[Request], deadline: Instant) -> Result<Written, Failure> {
        let (mut tries, mut losses) = (0, 0);
        loop {
            match self.look_and_write(requests, deadline).await {
                Err(Failure::Before(fault)) if (is_taken(&fault) || is_passing(&fault)) && tries < TRIES => tries += 1,
                Err(Failure::Before(fault)) if is_lost(&fault) && losses < TRIES_LOST => losses += 1,
                written => return written,
            }
        }
    }

    async fn look_and_write(&self, requests: &[Request], deadline: Instant) -> Result<Written, Failure> {
        let mut transaction = self.database.begin_by(Durability::Full, deadline).await?;
        let mut known = Known::look_up(&mut transaction, self.database.flavour(), requests).await?;
        let mut rows = Vec::new();
        let outcomes: Vec<Outcome> = requests.iter().map(|request| request.decide(&mut known, &mut rows)).collect();
        let positions = insert(&self.database, &mut transaction, &rows).await?;
        if rows.is_empty()
            && !self.database.dialect().syncs_empty_commits()
            && !Redo::look(&mut transaction, self.database.flavour()).await?.is_on_disk()
        {
            // A commit without anything in it would not wait for the disk, and what others have
            // written, as a repetition tells of its events, must outlive the answer.
            redo::write(&mut transaction).await?;
        }
        let committed = transaction.commit().await;
        committed.map_err(|fault| if is_lost(&fault) { Failure::Unknown(Arc::new(fault)) } else { fault.into() })?;
        let place =
            |(row, position): (&NewRow<'_>, Position)| Placed { position, aggregate_version: row.aggregate_version };
        let placed = rows.iter().zip(positions).map(place).collect();
        Ok(Written::new(outcomes, placed, &rows))
    }
}

impl Failure {
    pub(super) fn fault(&self) -> &Arc<sqlx::Error> {
        match self {
            Self::Before(fault) | Self::Unknown(fault) => fault,
        }
    }

    pub(super) fn cause(&self) -> Cause {
        Cause::of(self.fault())
    }
}
