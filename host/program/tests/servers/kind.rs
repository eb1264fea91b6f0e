//! The databases that there are servers of, and in what they differ by name.

use std::fmt;

/// The user that tests connect as. It may do anything.
pub(crate) const USER: &str = "fantascope";

/// A database that runs as a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Postgres, Self::MariaDb];

    /// The name of its template's folder.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
        }
    }

    /// The variable that gives tests the URL of a server that they share.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "FANTASCOPE_TEST_POSTGRES",
            Self::MariaDb => "FANTASCOPE_TEST_MARIADB",
        }
    }

    /// The database that is always there, to make others from.
    pub(crate) const fn administration(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mysql",
        }
    }

    pub(crate) const fn scheme(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mysql",
        }
    }

    /// The user of the system that runs it when we are root, as its packages name it.
    pub(super) const fn system_user(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mysql",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
        })
    }
}
