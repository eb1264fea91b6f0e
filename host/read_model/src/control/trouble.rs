//! What keeps a partition from going on, as its host tells the others.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::control::writing::CHANGES;
use crate::{Error, ReadModel};
use database::{Durability, query};
use model::change::VersionId;
use model::event::{Position, Timestamp};

/// The longest message that is recorded, in characters.
const MESSAGE_MAX: usize = 4_000;

/// What keeps a partition from going on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The name of what it is doing.
    pub phase: String,
    /// A stable code.
    pub code: String,
    /// For people.
    pub message: String,
    /// The event to blame, if one is.
    pub position: Option<Position>,
    pub event_id: Option<Uuid>,
    pub since: Timestamp,
}

impl Trouble {
    /// Reads what is recorded. What a newer host has written in another form is trouble too.
    pub(crate) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self {
            phase: String::new(),
            code: "unknown".to_owned(),
            message: format!("another host has written what this one can't read: {text}"),
            position: None,
            event_id: None,
            since: Timestamp(0),
        })
    }

    /// Whether others are told the same, of which `recorded` is what they were told.
    #[must_use]
    pub fn is_told(&self, recorded: &Self) -> bool {
        let mut told = self.short();
        // Since when it is stuck is but reckoned.
        if self.code == "stuck" {
            told.since = recorded.since;
        }
        told == *recorded
    }

    fn short(&self) -> Self {
        Self { message: self.message.chars().take(MESSAGE_MAX).collect(), ..self.clone() }
    }
}

impl ReadModel {
    /// Tells other hosts what keeps partitions of `id` from going on that this host folds; or
    /// that nothing does.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn note_trouble(
        &self,
        id: &VersionId,
        partitions: &[u32],
        trouble: Option<&Trouble>,
    ) -> Result<(), Error> {
        // Texts, numbers and times always serialise.
        let text = trouble.map(|trouble| serde_json::to_string(&trouble.short()).unwrap_or_default());
        let mut transaction = self.database.begin(Durability::Normal).await?;
        for &partition in partitions {
            query(
                "UPDATE fantascope_checkpoints SET trouble = ? \
                 WHERE projection = ? AND version = ? AND generation = ? AND \"partition\" = ? AND owner = ?",
            )
            .bind(text.clone())
            .bind(id.projection.to_string())
            .bind(id.version)
            .bind(id.generation)
            .bind(partition)
            .bind(self.host.to_string())
            .execute(&mut transaction)
            .await?;
        }
        if self.dialect().can_notify() {
            query(format!("NOTIFY {CHANGES}")).execute(&mut transaction).await?;
        }
        Ok(transaction.commit().await?)
    }
}
