//! Copying a store into another database, event by event, positions and all.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::expected::Expected;
use super::placed::{self, aggregate_type};
use super::{Error, Page, Store};
use database::{Database, Durability, Error as DatabaseError, query};
use model::event::{Batch, Checkpoint, Position};

/// What a copy came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Up to this position it was copied: the head of the source when the copy began.
    pub up_to: Position,
    /// Events that were written.
    pub copied: u64,
    /// Those that were there from an earlier run.
    pub present: u64,
    pub from: Contents,
    pub to: Contents,
}

/// What a store holds, up to a position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contents {
    pub events: u64,
    /// SHA-256 over all columns of all events, in the order of positions, in hexadecimal.
    pub sha256: String,
}

impl Copied {
    /// Whether both stores hold the same.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.from == self.to
    }
}

/// Why a store can't be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyFault {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("the target holds another event than the source at position {position}: copy into an empty database")]
    Differs { position: Position },
    #[error(
        "the target goes up to position {target}, the source up to {origin}: something else was appended to it, copy into an empty database"
    )]
    Longer { target: Position, origin: Position },
}

impl From<sqlx::Error> for CopyFault {
    fn from(source: sqlx::Error) -> Self {
        Self::Store(source.into())
    }
}

/// What is done, while it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many events are to be compared or copied.
    Copying { events: u64 },
    /// So many are to be read again in the target.
    Verifying { events: u64 },
    /// So many more are done.
    Done { events: u64 },
}

impl Store {
    /// Whether there is an event store in `database`.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn is_in(database: &Database) -> Result<bool, DatabaseError> {
        database.holds(&super::open::CONCERN).await
    }

    /// Copies what this store holds now into `target`, where nobody else may append meanwhile.
    /// What is there from an earlier run is compared, and the copy goes on behind it. `tell` is
    /// told how it goes.
    ///
    /// # Errors
    /// If `target` holds other events, or one of the databases fails. What was copied stays.
    pub async fn copy_to(&self, target: &Self, tell: &mut (dyn FnMut(Step) + Send)) -> Result<Copied, CopyFault> {
        let up_to = self.refresh_head().await?;
        let events = self.count(up_to).await?;
        tell(Step::Copying { events });
        let mut run = Run { from: self, to: target, hash: Sha256::new(), tell };
        let last = target.last().await?;
        if last > up_to {
            return Err(CopyFault::Longer { target: last, origin: up_to });
        }
        let present = run.compare(last).await?;
        let copied = run.copy(last, up_to).await?;
        let from = Contents { events, sha256: hex(run.hash) };
        let mut transaction = target.database.begin(Durability::Full).await?;
        placed::go_on(&mut transaction).await?;
        transaction.commit().await?;
        target.refresh_head().await?;
        let to = target.contents(tell).await?;
        Ok(Copied { up_to, copied, present, from, to })
    }

    /// What this store holds, all of it, whoever appended it.
    async fn contents(&self, tell: &mut (dyn FnMut(Step) + Send)) -> Result<Contents, CopyFault> {
        let last = self.last().await?;
        let events = self.count(last).await?;
        tell(Step::Verifying { events });
        let (mut hash, mut after) = (Sha256::new(), Position::START);
        while after < last {
            let page = self.page_of_copy(after, last).await?;
            add(&mut hash, &page.events);
            tell(Step::Done { events: page.events.len() as u64 });
            after = page.up_to;
        }
        Ok(Contents { events, sha256: hex(hash) })
    }

    /// A page of what only the copy itself writes.
    async fn page_of_copy(&self, after: Position, up_to: Position) -> Result<Page, Error> {
        self.read_page(after.into(), up_to, &Expected::NOTHING).await
    }

    async fn count(&self, up_to: Position) -> sqlx::Result<u64> {
        let sql = query("SELECT count(*) AS n FROM events WHERE position <= ?").bind(up_to.to_sql());
        Ok(sql.one(&mut self.database.read().await?).await?.get::<i64>("n")?.cast_unsigned())
    }

    /// The last position that is committed, gates or no gates: there is no other writer.
    async fn last(&self) -> sqlx::Result<Position> {
        let sql = query("SELECT coalesce(max(position), 0) AS last FROM events");
        Ok(Position::from_sql(sql.one(&mut self.database.read().await?).await?.get("last")?))
    }
}

/// A copy under way.
struct Run<'a> {
    from: &'a Store,
    to: &'a Store,
    /// Over what was read of the source.
    hash: Sha256,
    tell: &'a mut (dyn FnMut(Step) + Send),
}

impl Run<'_> {
    /// Compares what both hold up to `last`, and gives how many events that are.
    async fn compare(&mut self, last: Position) -> Result<u64, CopyFault> {
        let (mut after, mut compared) = (Checkpoint::START, 0);
        while after.position < last {
            let page = self.from.page(after, last).await?;
            let there = self.read_target(after.position, page.up_to).await?;
            if let Some(position) = difference(&page, &there) {
                return Err(CopyFault::Differs { position });
            }
            compared += self.note(&page);
            after = page.end();
        }
        Ok(compared)
    }

    /// What the target holds from `after` to `up_to`: where that is the same as in the source, one page.
    async fn read_target(&self, after: Position, up_to: Position) -> Result<Vec<Batch>, CopyFault> {
        let (mut pages, mut after) = (Vec::new(), after);
        while after < up_to {
            let page = self.to.page_of_copy(after, up_to).await?;
            after = page.up_to;
            pages.push(page.events);
        }
        Ok(pages)
    }

    /// Copies what the source holds from `after` to `up_to`, and gives how many events that are.
    async fn copy(&mut self, after: Position, up_to: Position) -> Result<u64, CopyFault> {
        let (mut after, mut copied) = (Checkpoint::from(after), 0);
        while after.position < up_to {
            let page = self.from.page(after, up_to).await?;
            let mut transaction = self.to.database.begin(Durability::Full).await?;
            placed::insert(&self.to.database, &mut transaction, &page.events).await?;
            transaction.commit().await?;
            copied += self.note(&page);
            after = page.end();
        }
        Ok(copied)
    }

    fn note(&mut self, page: &Page) -> u64 {
        add(&mut self.hash, &page.events);
        let events = page.events.len() as u64;
        (self.tell)(Step::Done { events });
        events
    }
}

/// The first position at which `there` is not what `page` holds.
fn difference(page: &Page, there: &[Batch]) -> Option<Position> {
    let prints = |batch: &Batch| -> Vec<(Position, [u8; 32])> {
        let print = |row: usize| {
            let mut hash = Sha256::new();
            add_row(&mut hash, batch, row);
            (batch.position(row), hash.finalize().into())
        };
        (0..batch.len()).map(print).collect()
    };
    let here = prints(&page.events);
    let there: Vec<_> = there.iter().flat_map(prints).collect();
    let differing = here.iter().zip(&there).find(|(here, there)| here != there);
    let longer = here.get(there.len()).or(there.get(here.len()));
    differing.map(|(here, there)| here.0.min(there.0)).or(longer.map(|(position, _)| *position))
}

fn add(hash: &mut Sha256, events: &Batch) {
    (0..events.len()).for_each(|row| add_row(hash, events, row));
}

/// Numbers big-endian in eight bytes, texts behind their lengths; a text that is absent has none.
fn add_row(hash: &mut Sha256, events: &Batch, row: usize) {
    let event_type = events.event_type(row);
    hash.update(events.positions[row].to_be_bytes());
    hash.update(events.event_id(row).as_bytes());
    for number in [u64::from(event_type.version), events.aggregate_versions[row]] {
        hash.update(number.to_be_bytes());
    }
    hash.update(events.timestamps[row].to_be_bytes());
    let texts = [
        &*event_type.name,
        aggregate_type(events, row),
        events.aggregate_ids.get(row),
        events.user_ids.get(row),
        events.correlation_ids.get(row),
        events.causation_ids.get(row),
        events.metadata.get(row),
        events.data.get(row),
    ];
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
