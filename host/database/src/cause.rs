//! Why a database does not do what it was asked, in the terms of whoever asked.

use sqlx::error::DatabaseError;

use super::fault::{is_denied, is_lost, is_passing, mysql_number};
use super::identity::Replaced;

/// Why a statement failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The server, or the connection to it, is gone.
    Away,
    /// It is another database than the one that was opened, and not touched any more.
    Replaced,
    /// Others held a lock for as long as it was waited for.
    Busy,
    /// There is no room left on its disk.
    Full,
    /// The user may not write, or the database takes no writes.
    NotWritable,
    /// The values break a constraint, or do not fit into their columns.
    Refused,
    /// Its disk fails, or does not take more of this user.
    Disk,
    /// Anything else.
    Other,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Away => "the database is away",
            Self::Replaced => "the database was replaced",
            Self::Busy => "the database was locked by others for too long",
            Self::Full => "the disk of the database is full",
            Self::NotWritable => "the database does not let its user write",
            Self::Refused => "the database refuses the values",
            Self::Disk => "the disk of the database fails",
            Self::Other => "the database failed",
        })
    }
}

impl Cause {
    /// The cause of `fault`.
    #[must_use]
    pub fn of(fault: &sqlx::Error) -> Self {
        if is_lost(fault) {
            return Self::Away;
        }
        if is_passing(fault) {
            return Self::Busy;
        }
        if is_denied(fault) {
            return Self::NotWritable;
        }
        match fault {
            // A value that has no form there.
            sqlx::Error::Encode(_) => Self::Refused,
            sqlx::Error::Configuration(fault) if fault.is::<Replaced>() => Self::Replaced,
            sqlx::Error::Database(fault) => of_answer(fault.as_ref()),
            _ => Self::Other,
        }
    }
}

/// What a database says of values that it refuses.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub message: String,
    /// The constraint that they break, if it names one.
    pub constraint: Option<String>,
}

impl Refusal {
    /// What it says in `fault`.
    #[must_use]
    pub fn of(fault: &sqlx::Error) -> Self {
        match fault.as_database_error() {
            Some(answer) => {
                Self { message: answer.message().to_owned(), constraint: answer.constraint().map(str::to_owned) }
            }
            None => Self { message: fault.to_string(), constraint: None },
        }
    }
}

fn of_answer(fault: &dyn DatabaseError) -> Cause {
    let code = fault.code().unwrap_or_default();
    if fault.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        // What stands above the first byte says more than is asked here.
        return code.parse::<u32>().map_or(Cause::Other, |code| of_sqlite(code & 0xff));
    }
    match mysql_number(fault) {
        Some(number) => of_mysql(number, &code),
        None => of_sqlstate(&code),
    }
}

/// "Result and Error Codes" of SQLite.
fn of_sqlite(code: u32) -> Cause {
    match code {
        // BUSY, LOCKED
        5 | 6 => Cause::Busy,
        // FULL
        13 => Cause::Full,
        // PERM, READONLY, CANTOPEN, AUTH
        3 | 8 | 14 | 23 => Cause::NotWritable,
        // TOOBIG, CONSTRAINT, MISMATCH
        18..=20 => Cause::Refused,
        // IOERR
        10 => Cause::Disk,
        _ => Cause::Other,
    }
}

/// "Error Message Reference" of MySQL and "Error Codes" of MariaDB.
fn of_mysql(number: u16, sqlstate: &str) -> Cause {
    match number {
        // Disk full, table full.
        1021 | 1114 => Cause::Full,
        // An option, a transaction or a server that is read only.
        1290 | 1792 | 1836 => Cause::NotWritable,
        // A row, statement or undo record too large; a value cut, not of the character set, or against
        // a check: these have SQLSTATEs that say nothing.
        1118 | 1153 | 1265 | 1366 | 1713 | 3819 => Cause::Refused,
        // Writing a file, syncing it, the storage engine.
        1026 | 1030 | 1080 => Cause::Disk,
        // What a trigger signals.
        _ if sqlstate.starts_with("45") => Cause::Refused,
        _ => of_sqlstate(sqlstate),
    }
}

/// "PostgreSQL Error Codes", the classes of which are those of the standard.
fn of_sqlstate(code: &str) -> Cause {
    match code {
        "53100" => Cause::Full,
        "25006" => Cause::NotWritable,
        // What a trigger raises.
        "P0001" => Cause::Refused,
        "58030" => Cause::Disk,
        // Data exceptions, constraints, program limits.
        _ if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => Cause::Refused,
        _ => Cause::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_what_each_database_says() {
        for (code, cause) in [(5, Cause::Busy), (8, Cause::NotWritable), (13, Cause::Full), (19, Cause::Refused)] {
            assert_eq!(of_sqlite(code), cause, "{code}");
        }
        for (number, sqlstate, cause) in [
            (1114, "HY000", Cause::Full),
            (1290, "HY000", Cause::NotWritable),
            (1644, "45000", Cause::Refused),
            (3819, "HY000", Cause::Refused),
            (4025, "23000", Cause::Refused),
            (1064, "42000", Cause::Other),
        ] {
            assert_eq!(of_mysql(number, sqlstate), cause, "{number}");
        }
        for (code, cause) in [("53100", Cause::Full), ("25006", Cause::NotWritable), ("23514", Cause::Refused)] {
            assert_eq!(of_sqlstate(code), cause, "{code}");
        }
    }

    #[tokio::test]
    async fn sees_through_what_the_driver_makes_of_it() {
        use sqlx::Connection as _;
        let mut connection = sqlx::SqliteConnection::connect("sqlite::memory:").await.expect("a database");
        let mut run = async |sql: &'static str| sqlx::raw_sql(sql).execute(&mut connection).await;
        run("CREATE TABLE t (v TEXT NOT NULL CHECK (v <> '')); PRAGMA max_page_count = 8").await.expect("a table");
        let refused = run("INSERT INTO t VALUES ('')").await.expect_err("it is refused");
        assert_eq!(Cause::of(&refused), Cause::Refused);
        let full = run("INSERT INTO t VALUES (hex(zeroblob(100000)))").await.expect_err("there is no room");
        assert_eq!(Cause::of(&full), Cause::Full);
        assert_eq!(Cause::of(&sqlx::Error::PoolTimedOut), Cause::Away);
    }
}
