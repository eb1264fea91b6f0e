//! The read models as a whole.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use database::{Concern, Database, Dialect, Error as DatabaseError, Tables, query};
use model::change::Name;

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
