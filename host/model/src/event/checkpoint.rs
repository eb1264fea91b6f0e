//! How far a reader of the store has come.

use uuid::Uuid;

use super::Position;

/// How far a reader of the store has come.
///
/// A position alone does not say which history was read: a store that is restored to an older
/// state gives its positions out again. So the last event that was read goes with it, and must
/// still stand where it stood when the reader goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// Everything up to here was read.
    pub position: Position,
    /// The last event at or before `position`, and where it stands. None before the first event,
    /// and if it is not known.
    pub last_event: Option<(Position, Uuid)>,
}

impl Checkpoint {
    /// Before the first event.
    pub const START: Self = Self { position: Position::START, last_event: None };

    /// Right behind the event `event_id` at `position`.
    #[must_use]
    pub fn behind(position: Position, event_id: Uuid) -> Self {
        Self { position, last_event: Some((position, event_id)) }
    }

    /// The same, without the positions behind the last event at which none was when they were
    /// read. A store that was restored may give them out.
    #[must_use]
    pub fn without_gap(self) -> Self {
        self.last_event.map_or(self, |(position, event_id)| Self::behind(position, event_id))
    }
}

/// A reader that does not know what stands before.
impl From<Position> for Checkpoint {
    fn from(position: Position) -> Self {
        Self { position, last_event: None }
    }
}
