//! Up to where MySQL and MariaDB have their redo log on disk.
//!
//! InnoDB shows a commit before it has written it to disk, unless a binary log has it by then.
//! A server that is killed in between forgets the commit, and gives its positions out again.
//! Nobody was told that it is done, but a reader may have seen it: so what is seen counts once
//! the log is on disk as far as it was written then.

use std::time::Duration;

use crate::database::{Flavour, Session, query};

/// How long is waited before looking again.
const PAUSE: Duration = Duration::from_millis(1);

/// The redo log, in bytes since ever.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Redo {
    /// What was written, by whomever.
    pub(super) written: i64,
    /// … and is on disk.
    pub(super) synced: i64,
}

impl Redo {
    /// How it is now. Where commits don't wait for it, be it that they are kept elsewhere or
    /// not at all, all is as on disk as it will be. None of a server that does not say: MySQL
    /// before 8.0.30.
    pub(super) async fn look(session: &mut dyn Session, flavour: Flavour) -> sqlx::Result<Option<Self>> {
        let (table, written, synced) = match flavour {
            Flavour::MySql => {
                let schema = "performance_schema.global_status";
                (schema, "Innodb_redo_log_current_lsn", "Innodb_redo_log_flushed_to_disk_lsn")
            }
            Flavour::MariaDb => ("information_schema.global_status", "INNODB_LSN_CURRENT", "INNODB_LSN_FLUSHED"),
        };
        let of =
            |name: &str| format!("CAST(max(CASE WHEN variable_name = '{name}' THEN variable_value END) AS SIGNED)");
        let redo = query(format!(
            "SELECT {} AS written, {} AS synced, \
             CAST(@@innodb_flush_log_at_trx_commit = 1 AND @@log_bin = 0 AS SIGNED) AS is_waited_for \
             FROM {table} WHERE variable_name IN ('{written}', '{synced}')",
            of(written),
            of(synced)
        ));
        let redo = redo.one(session).await?;
        if redo.get::<i64>("is_waited_for")? == 0 {
            return Ok(Some(Self::default()));
        }
        let (written, synced) = (redo.get::<Option<i64>>("written")?, redo.get::<Option<i64>>("synced")?);
        Ok(written.zip(synced).map(|(written, synced)| Self { written, synced }))
    }
}

/// Waits until what was seen before is on disk. The server brings it there once a second at
/// the latest.
pub(super) async fn settle(session: &mut dyn Session, flavour: Flavour) -> sqlx::Result<()> {
    let Some(seen) = Redo::look(session, flavour).await? else { return Ok(()) };
    let mut now = seen;
    while now.synced < seen.written {
        tokio::time::sleep(PAUSE).await;
        let Some(later) = Redo::look(session, flavour).await? else { return Ok(()) };
        now = later;
    }
    Ok(())
}
