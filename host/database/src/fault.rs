//! What can go wrong with a database as a whole.

use super::address::EXPECTED;
use super::cause::Cause;

/// What can go wrong with a database as a whole, each with the way out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Url(String),
    #[error("the SQLite library is {found}, but only {needed} and later keep a database safe")]
    Library { found: String, needed: &'static str },
    #[error("`{database}` is a server of version {found}: this program needs {needed} or later")]
    TooOld { database: String, found: String, needed: &'static str },
    #[error("`{database}` keeps texts as {found}: make a database with the encoding UTF8")]
    Encoding { database: String, found: String },
    #[error(
        "`{database}` takes no writes (it is a replica, or set to be read only): give the URL of the primary, which alone knows what is still on its way"
    )]
    ReadOnly { database: String },
    #[error("`{database}` is a database of another program{sign}: give this one a database or a schema of its own")]
    Foreign { database: String, sign: String },
    #[error("`{database}` was written by a newer version of fantascope: run that version, or restore an older copy")]
    Newer { database: String },
    #[error(
        "`{database}`: migration {number} of the {concern} was broken off before its end: restore a copy, or, if there is nothing in it yet, drop its tables and those whose names begin with `fantascope_`"
    )]
    HalfMigrated { database: String, concern: &'static str, number: i64 },
    #[error("`{database}`: the user `{user}` needs the right {right}: grant it, or let an administrator run this once")]
    Rights { database: String, user: String, right: String },
    #[error("`{database}` lets nobody in with this user and password ({reason})")]
    Credentials { database: String, reason: String },
    #[error("`{database}` is not there ({reason}): make it, or correct the URL, which reads {EXPECTED}")]
    NoDatabase { database: String, reason: String },
    #[error("`{database}` refuses its user something ({reason}): grant it, or let an administrator run this once")]
    Denied { database: String, reason: String },
    #[error(
        "`{database}` lets its user make no triggers, for it writes a binary log: set `log_bin_trust_function_creators = 1` on the server, or let an administrator run this once"
    )]
    Triggers { database: String },
    #[error("`{database}` is not reached ({reason}): start its server, or correct host and port in the URL")]
    Unreachable { database: String, reason: String },
    #[error(
        "`{database}` can't be spoken to over TLS ({reason}): name the file with the certificate of its authority in the URL (PostgreSQL: `sslrootcert`, MySQL: `ssl-ca`), and the host as its certificate does"
    )]
    Tls { database: String, reason: String },
    #[error(
        "`{database}` takes {found} bytes in a statement, and one event may have {needed}: set `max_allowed_packet` to that on the server, or lower `limits.event_bytes_max`"
    )]
    Statement { database: String, found: usize, needed: usize },
    #[error("`{database}` does not keep events safe: {fault}")]
    Unsafe { database: String, fault: String },
    #[error("cannot open `{database}`: {source}")]
    Open { database: String, source: sqlx::Error },
    #[error("cannot migrate `{database}`: {source}")]
    Migrate { database: String, source: Box<sqlx::migrate::MigrateError> },
}

impl Error {
    /// What `source`, met while opening `database`, comes to.
    pub fn open(database: &str, source: sqlx::Error) -> Self {
        let database = database.to_owned();
        let fault = match &source {
            sqlx::Error::Database(fault) => fault.as_ref(),
            _ => return Self::without_answer(database, source),
        };
        let reason = fault.message().to_owned();
        if is_denied(&source) {
            return Self::Denied { database, reason };
        }
        // SQLSTATE of PostgreSQL, and of MySQL, which has but a few of its own.
        match fault.code().as_deref() {
            Some("28P01" | "28000") => Self::Credentials { database, reason },
            Some("3D000") => Self::NoDatabase { database, reason },
            Some("42000") if mysql_number(fault) == Some(1049) => Self::NoDatabase { database, reason },
            _ => Self::Open { database, source },
        }
    }

    fn without_answer(database: String, source: sqlx::Error) -> Self {
        match source {
            sqlx::Error::Tls(fault) => Self::Tls { database, reason: fault.to_string() },
            // What rustls finds wrong with a certificate comes as this.
            sqlx::Error::Io(fault) if fault.kind() == std::io::ErrorKind::InvalidData => {
                Self::Tls { database, reason: fault.to_string() }
            }
            sqlx::Error::Io(fault) => Self::Unreachable { database, reason: fault.to_string() },
            sqlx::Error::PoolTimedOut => {
                Self::Unreachable { database, reason: "it gave no connection in time".to_owned() }
            }
            source => Self::Open { database, source },
        }
    }
}

/// The number that MySQL gives a fault.
pub(super) fn mysql_number(fault: &dyn sqlx::error::DatabaseError) -> Option<u16> {
    fault.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(sqlx::mysql::MySqlDatabaseError::number)
}

/// Whether `fault` says that the user has not the right to do something.
pub(super) fn is_denied(fault: &sqlx::Error) -> bool {
    let Some(fault) = fault.as_database_error() else { return false };
    // Insufficient privilege; in MySQL: to the database, to do something, on a table, on a column, a special one.
    fault.code().as_deref() == Some("42501") || matches!(mysql_number(fault), Some(1044 | 1142 | 1143 | 1227))
}

/// Whether `fault` says that a row with this key is there already.
#[must_use]
pub fn is_taken(fault: &sqlx::Error) -> bool {
    fault.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Whether `fault` says that another session has made the index that was to be made: on PostgreSQL
/// `IF NOT EXISTS` does not see one that is not committed yet, and then meets it in the catalogue.
#[must_use]
pub fn is_made_meanwhile(fault: &sqlx::Error) -> bool {
    let Some(fault) = fault.as_database_error() else { return false };
    match mysql_number(fault) {
        Some(number) => number == 1061,
        None => fault.constraint() == Some("pg_class_relname_nsp_index"),
    }
}

/// Whether to try the same again at once may well help: what stood in the way was another
/// transaction.
#[must_use]
pub fn is_passing(fault: &sqlx::Error) -> bool {
    let Some(fault) = fault.as_database_error() else { return false };
    // Serialisation failure, deadlock, lock not available; in MySQL: deadlock, lock wait timeout.
    matches!(fault.code().as_deref(), Some("40001" | "40P01" | "55P03"))
        || matches!(mysql_number(fault), Some(1213 | 1205))
}

/// Whether `fault` says that the server, or the connection to it, is gone, or that none is
/// to be had: it is not the statement that is to blame, and the same may work later.
#[must_use]
pub fn is_lost(fault: &sqlx::Error) -> bool {
    use sqlx::Error;
    match fault {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::PoolTimedOut | Error::WorkerCrashed => true,
        Error::Database(fault) => match mysql_number(fault.as_ref()) {
            // Too many connections, shutdown, interrupted, killed, gone, lost, idle for too long.
            Some(number) => matches!(number, 1040 | 1053 | 1317 | 1927 | 2006 | 2013 | 4031),
            // Connection exceptions, shutdown, crash, starting, too many connections, idle for too long.
            None => fault.code().is_some_and(|code| {
                code.starts_with("08")
                    || matches!(&*code, "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "25P03" | "25P04")
            }),
        },
        _ => false,
    }
}

/// Whether `fault` says that the disk is full, or fails, so that nothing can be written; of SQLite.
#[must_use]
pub fn is_unwritable(fault: &sqlx::Error) -> bool {
    // Read only, full; can't write, sync a file, sync a folder, truncate, grow shared memory.
    sqlite_code(fault).is_some_and(|code| matches!(code, 8 | 13 | 778 | 1034 | 1290 | 1546 | 4874))
}

/// The code that SQLite gives a fault; what stands above its lower byte says more.
fn sqlite_code(fault: &sqlx::Error) -> Option<u32> {
    let fault = fault.as_database_error()?;
    fault.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    fault.code()?.parse().ok()
}

/// Whether `fault` says that the database does not keep a value, or a row: the same fails each
/// time it is tried.
#[must_use]
pub fn is_data(fault: &sqlx::Error) -> bool {
    Cause::of(fault) == Cause::Refused
}
