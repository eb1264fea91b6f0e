//! The read models as a whole.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use super::fits::Misfit;
use super::refused::reason;
use database::{Concern, Database, Dialect, Error as DatabaseError, Tables, is_data, is_lost, is_unwritable, query};
use model::change::{Name, VersionId};
use model::task::Panic;

macro_rules! migration {
    ($number:literal, $name:literal, $file:literal) => {
        (
            $number,
            $name,
            [
                include_str!(concat!("../../../migrations/sqlite/read_model/", $file)),
                include_str!(concat!("../../../migrations/postgres/read_model/", $file)),
                include_str!(concat!("../../../migrations/mysql/read_model/", $file)),
            ],
        )
    };
}

const CONCERN: Concern = Concern {
    name: "read models",
    table: "fantascope_read_model_migrations",
    mark: "fantascope_versions",
    migrations: &[
        migration!(1, "projections", "0001_projections.sql"),
        migration!(2, "versions side by side", "0002_versions_side_by_side.sql"),
        migration!(3, "several hosts", "0003_several_hosts.sql"),
        migration!(5, "trouble and workers", "0005_trouble_and_workers.sql"),
        migration!(6, "hosts of operations", "0006_hosts_of_operations.sql"),
    ],
    makes_with: &["CREATE", "ALTER", "INDEX", "CREATE VIEW", "DROP"],
    goes_on_making: true,
    needs: &[
        ("fantascope_versions", &["SELECT", "INSERT", "UPDATE"]),
        ("fantascope_checkpoints", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
        ("fantascope_hosts", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
        ("fantascope_operations", &["SELECT", "INSERT", "UPDATE"]),
    ],
    needs_on_mysql: &[],
};

/// What can go wrong with read models.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the read models failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the writer of the read models has ended")]
    Closed,
    #[error(transparent)]
    Panicked(#[from] Panic),
    #[error("projection {id}: another host has taken it over, so nothing more is written here")]
    Fenced { id: VersionId },
    #[error(
        "projection {id}: the database was killed or restored, and does not have the last commits; what is missing is folded again"
    )]
    Receded { id: VersionId },
    #[error(
        "projection {id} declares other tables than it was built with ({difference}): raise its version, so that it is built anew beside the old one, or put the tables back as they were"
    )]
    TablesChanged { id: VersionId, difference: String },
    #[error("projection {projection}: the name `{view}` of its table is taken in the database, choose another")]
    NameTaken { projection: Name, view: String },
    #[error(
        "projection {projection}: the name `{name}` is too long for the database, which takes {most} bytes: shorten the name of the projection or of its table"
    )]
    NameTooLong { projection: Name, name: String, most: usize },
    #[error(
        "the view `{view}` can't be pointed at another version, for views of others are made of it: drop those, promote, and make them again ({reason})"
    )]
    ViewInUse { view: String, reason: String },
    #[error(
        "the view `{view}` can't be pointed at another version now, for a transaction that has read it does not end: end it, and try again"
    )]
    ViewBusy { view: String },
    #[error("projection {id} is not there: it was never built, or it is retired")]
    UnknownVersion { id: VersionId },
    #[error("projection {id} is live, so its tables are not dropped")]
    Live { id: VersionId },
    #[error("the partitions of projection {id} stand at different positions")]
    Uneven { id: VersionId },
    #[error(transparent)]
    Misfit(#[from] Misfit),
    #[error(
        "the plugin has {bytes} bytes, and the database takes {most} in a statement: raise `max_allowed_packet` on the server and start the host anew, or make the plugin smaller"
    )]
    PluginTooLarge { bytes: usize, most: usize },
    #[error("projection {id}: the index `{index}` can't be made: {reason}")]
    IndexRefused { id: VersionId, index: String, reason: String },
    #[error(
        "projection {id} is left alone here: a newer program has recorded {what}, which this one does not know; upgrade this host"
    )]
    Foreign { id: VersionId, what: String },
    #[error("what the host wrote about projection {id} cannot be read: {reason}")]
    Unreadable { id: VersionId, reason: String },
}

impl Error {
    /// Whether the database is away, or its disk is full, which it tells the log by itself: the
    /// same may work later.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Database(fault) if is_lost(fault) || is_unwritable(fault))
    }

    /// What `fault`, met while rows were read or written, comes to.
    pub(super) fn of_rows(fault: sqlx::Error) -> Self {
        if is_data(&fault) {
            return Misfit { at: "a row".to_owned(), reason: reason(&fault) }.into();
        }
        Self::Database(fault)
    }

    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "fenced",
            Self::TablesChanged { .. } => "tables_changed",
            Self::NameTaken { .. } => "name_taken",
            Self::NameTooLong { .. } => "name_too_long",
            Self::ViewInUse { .. } => "view_in_use",
            Self::ViewBusy { .. } => "view_busy",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::Live { .. } => "version_live",
            Self::Panicked(_) => Panic::CODE,
            Self::PluginTooLarge { .. } => "plugin_too_large",
            Self::Misfit(_) | Self::IndexRefused { .. } => "row_refused",
            Self::Foreign { .. } => "version_unknown_here",
            _ => "unavailable",
        }
    }
}

/// The read models of all projections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReadModel {
    pub(super) database: Database,
    /// What this host is called among those that share the database.
    pub(super) host: Arc<str>,
    /// Projections whose views do not show yet what is recorded, for somebody was in the way.
    pub(super) unsettled: Arc<Mutex<BTreeSet<Name>>>,
    /// Whether the events that are folded are in the same database.
    pub(super) has_events: bool,
}

impl ReadModel {
    /// Opens the read models in `database`, making the host's own tables where they are missing.
    ///
    /// # Errors
    /// If the database can't be migrated.
    pub async fn open(database: &Database) -> Result<Self, DatabaseError> {
        database.migrate(&CONCERN).await?;
        database.remember(CONCERN.mark).await.map_err(|fault| DatabaseError::open(database.name(), fault))?;
        let host = Uuid::now_v7().to_string().into();
        Ok(Self { database: database.clone(), host, unsettled: Arc::default(), has_events: false })
    }

    /// The same, where the events that are folded are in `store`. If that is the same database, a
    /// commit requires that the last event that it knows of is there.
    #[must_use]
    pub fn beside(self, store: &Database) -> Self {
        Self { has_events: self.database.is(store), ..self }
    }

    /// How the tables of read models in `database` stand, and of how many projections there are
    /// any; writes nothing.
    ///
    /// # Errors
    /// If the database can't be read, or is not fit.
    pub async fn look_at(database: &Database) -> Result<(Tables, u64), DatabaseError> {
        let tables = database.tables(&CONCERN).await?;
        if tables == Tables::Missing {
            return Ok((tables, 0));
        }
        let count = async {
            let count = query("SELECT count(DISTINCT projection) AS n FROM fantascope_versions");
            Ok(count.one(&mut database.read().await?).await?.get::<i64>("n")?.unsigned_abs())
        };
        Ok((tables, count.await.map_err(|source| DatabaseError::open(database.name(), source))?))
    }

    /// The database that they are in.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.database.dialect()
    }
}
