//! A transaction that changes what all hosts share: one at a time, whoever begins it.

use crate::{Error, ReadModel};
use database::{Dialect, Durability, Link, Session, Transaction, query};

/// Where PostgreSQL makes changes known.
pub(crate) const CHANGES: &str = "fantascope_changes";

/// A transaction. Dropped without [`Writing::commit`] nothing of it is done.
#[derive(Debug)]
pub(crate) struct Writing {
    transaction: Transaction,
    /// Who writes.
    host: String,
}

impl ReadModel {
    /// Waits for the turn among all hosts, and begins. What is committed raises the revision,
    /// by which the others see that something has changed.
    pub(crate) async fn begin(&self) -> Result<Writing, Error> {
        let mut transaction = self.database.begin(Durability::Full).await?;
        query("UPDATE fantascope_revision SET revision = revision + 1").execute(&mut transaction).await?;
        if self.dialect().can_notify() {
            query(format!("NOTIFY {CHANGES}")).execute(&mut transaction).await?;
        }
        Ok(Writing { transaction, host: self.host.to_string() })
    }
}

impl Session for Writing {
    fn link(&mut self) -> Link<'_> {
        self.transaction.link()
    }

    fn dialect(&self) -> Dialect {
        self.transaction.dialect()
    }

    fn answered(&mut self, fault: Option<&sqlx::Error>) {
        self.transaction.answered(fault);
    }
}

impl Writing {
    pub(crate) fn host(&self) -> String {
        self.host.clone()
    }

    /// Makes it so, all at once.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        Ok(self.transaction.commit().await?)
    }
}
