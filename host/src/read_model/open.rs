//! The read models as a whole.

use sqlx::SqlitePool;

use crate::change::{Name, VersionId};
use crate::database::{Database, Error as DatabaseError};

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "projections", include_str!("../../../migrations/sqlite/read_model/0001_projections.sql")),
    (2, "versions side by side", include_str!("../../../migrations/sqlite/read_model/0002_versions_side_by_side.sql")),
];

/// Readers of the read models at once; further ones wait.
const READERS: u32 = 8;

/// What can go wrong with read models.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the read models failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the writer of the read models has ended")]
    Closed,
    #[error("projection {id}: another host has taken it over, so nothing more is written here")]
    Fenced { id: VersionId },
    #[error(
        "projection {id} declares other tables than it was built with ({difference}): raise its version, so that it is built anew beside the old one, or put the tables back as they were"
    )]
    TablesChanged { id: VersionId, difference: String },
    #[error("projection {projection}: the name `{view}` of its table is taken in the database, choose another")]
    NameTaken { projection: Name, view: String },
    #[error("projection {id} is not there: it was never built, or it is retired")]
    UnknownVersion { id: VersionId },
    #[error("projection {id} is live, so its tables are not dropped")]
    Live { id: VersionId },
    #[error("the partitions of projection {id} stand at different positions")]
    Uneven { id: VersionId },
    #[error("{reason}")]
    Trial { reason: String },
    #[error("the event store can't be read: {reason}")]
    Tail { reason: String },
    #[error("what the host wrote about projection {id} cannot be read: {reason}")]
    Unreadable { id: VersionId, reason: String },
}

impl Error {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "fenced",
            Self::TablesChanged { .. } => "tables_changed",
            Self::NameTaken { .. } => "name_taken",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::Live { .. } => "version_live",
            _ => "unavailable",
        }
    }
}

/// The read models of all projections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReadModel {
    pub(super) database: Database,
    pub(super) readers: SqlitePool,
}

impl ReadModel {
    /// Opens the read models in `database`, making the host's own tables where they are missing.
    ///
    /// # Errors
    /// If the database can't be migrated.
    pub async fn open(database: &Database) -> Result<Self, DatabaseError> {
        database.migrate("fantascope_read_model_migrations", MIGRATIONS).await?;
        Ok(Self { database: database.clone(), readers: database.readers(READERS) })
    }
}
