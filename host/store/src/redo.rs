//! Up to where MySQL and MariaDB have their redo log on disk.
//!
//! InnoDB shows a commit before it has written it to disk, unless a binary log has it by then.
//! A server that is killed in between forgets the commit, and gives its positions out again.
//! Nobody was told that it is done, but a reader may have seen it: so what is seen counts once
//! the log is on disk as far as it was written then.

use database::{Flavour, Session, query};

/// The redo log, in bytes since ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Redo {
    /// What was written, by whomever.
    written: i64,
    /// … and is on disk.
    synced: i64,
}

impl Redo {
    /// How it is now. Where commits don't wait for it, be it that they are kept elsewhere or
    /// not at all, it is as much on disk as it will be. Of a server that does not say, MySQL
    /// before 8.0.30, nothing is.
    pub(super) async fn look(session: &mut dyn Session, flavour: Flavour) -> sqlx::Result<Self> {
        let (table, written, synced) = match flavour {
            Flavour::MySql => {
                let schema = "performance_schema.global_status";
                (schema, "Innodb_redo_log_current_lsn", "Innodb_redo_log_flushed_to_disk_lsn")
            }
            Flavour::MariaDb => ("information_schema.global_status", "INNODB_LSN_CURRENT", "INNODB_LSN_FLUSHED"),
        };
        let of = |name: &str, default: u8| {
            let value = format!("max(CASE WHEN variable_name = '{name}' THEN variable_value END)");
            format!("CAST(coalesce({value}, {default}) AS SIGNED)")
        };
        let redo = query(format!(
            "SELECT {} AS written, {} AS synced, \
             CAST(@@innodb_flush_log_at_trx_commit = 1 AND @@log_bin = 0 AS SIGNED) AS is_waited_for \
             FROM {table} WHERE variable_name IN ('{written}', '{synced}')",
            of(written, 1),
            of(synced, 0)
        ));
        let redo = redo.one(session).await?;
        let synced = redo.get("synced")?;
        let written = if redo.get::<i64>("is_waited_for")? == 1 { redo.get("written")? } else { synced };
        Ok(Self { written, synced })
    }

    /// Whether all of it is on disk.
    pub(super) fn is_on_disk(self) -> bool {
        self.has_on_disk(self)
    }

    /// Whether it has on disk what was written when it was `seen`.
    pub(super) fn has_on_disk(self, seen: Self) -> bool {
        self.synced >= seen.written
    }
}

/// Writes something, so that whoever commits brings the log to disk.
pub(super) async fn write(session: &mut dyn Session) -> sqlx::Result<()> {
    query("UPDATE fantascope_sync SET syncs = syncs + 1").execute(session).await?;
    Ok(())
}
