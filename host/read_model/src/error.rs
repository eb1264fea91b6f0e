//! What can go wrong with read models.

use crate::rows::refused::reason;
use crate::schema::fits::Misfit;
use database::{is_data, is_lost, is_unwritable};
use model::change::{Name, VersionId};
use model::task::Panic;

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
