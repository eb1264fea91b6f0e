//! Events that must stand where they stood when a reader met them: whoever goes on behind them
//! reads the same history, and no other one that a restored database holds.

use uuid::Uuid;

use super::Error;
use super::head::changed;
use database::{Session, query};
use model::event::{Checkpoint, Position};

/// The last event that a reader has read, and the one at the head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    after: Checkpoint,
    head: Checkpoint,
}

impl Expected {
    pub(super) fn new(after: Checkpoint, head: Checkpoint) -> Self {
        Self { after, head }
    }

    /// None: for whoever knows that nobody else changes the store.
    pub(super) const NOTHING: Self = Self { after: Checkpoint::START, head: Checkpoint::START };

    /// Both of them; position 0 stands for one that is not known.
    pub(super) fn both(&self) -> [(Position, Uuid); 2] {
        [self.after, self.head].map(|at| at.last_event.unwrap_or_default())
    }

    /// Checks that both are in their places, and gives the position of the next event after
    /// `after`, up to `up_to`, if there is one: all at one moment.
    ///
    /// # Errors
    /// [`Error::HistoryChanged`] if one is not.
    pub(super) async fn next(
        &self,
        session: &mut dyn Session,
        after: Position,
        up_to: Position,
    ) -> Result<Option<Position>, Error> {
        let [(one, _), (other, _)] = self.both();
        let next = query(
            "SELECT (SELECT min(n.position) FROM events n WHERE n.position > ? AND n.position <= ?) AS next, \
             (SELECT a.event_id FROM events a WHERE a.position = ?) AS at_after, \
             (SELECT h.event_id FROM events h WHERE h.position = ?) AS at_head",
        );
        let next = next.bind(after.to_sql()).bind(up_to.to_sql()).bind(one.to_sql()).bind(other.to_sql());
        let row = next.one(session).await?;
        if let Some(fault) = changed(self.after, row.get("at_after")?).or(changed(self.head, row.get("at_head")?)) {
            return Err(fault);
        }
        Ok(row.get::<Option<i64>>("next")?.map(Position::from_sql))
    }
}
