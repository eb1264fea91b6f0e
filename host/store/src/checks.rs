//! What the store depends on in the database, and others can change: looked at when it is opened.

use super::mysql::GATES;
use database::{Database, Dialect, Error, Flavour, Link, Session as _, query};

/// Looks whether positions are given out as `postgres` and `mysql` need it.
pub(super) async fn check(database: &Database) -> Result<(), Error> {
    let found = match database.dialect() {
        Dialect::Sqlite => return Ok(()),
        Dialect::Postgres => check_postgres(database).await,
        Dialect::MySql => check_mysql(database).await,
    };
    match found.map_err(|source| Error::open(database.name(), source))? {
        Some(fault) => Err(Error::Unsafe { database: database.name().to_owned(), fault }),
        None => Ok(()),
    }
}

async fn check_postgres(database: &Database) -> sqlx::Result<Option<String>> {
    let row = query(
        "SELECT coalesce((SELECT s.seqcache = 1 AND s.seqincrement = 1 AND NOT s.seqcycle FROM pg_sequence s \
                          WHERE s.seqrelid = to_regclass('events_position_seq')), false) AS is_even, \
                coalesce((SELECT t.tgenabled = 'A' FROM pg_trigger t \
                          WHERE t.tgrelid = to_regclass('events') AND t.tgname = 'fantascope_gate'), false) AS is_gated, \
                has_function_privilege('fantascope_tail()', 'EXECUTE') AS may_look, current_user::text AS name, \
                current_setting('fsync')::boolean AS is_synced",
    );
    let row = row.one(&mut database.read().await?).await?;
    if !row.get::<bool>("is_even")? {
        let fault = "the sequence `events_position_seq` does not give positions one by one: run \
                     `ALTER SEQUENCE events_position_seq CACHE 1 INCREMENT 1 NO CYCLE`";
        return Ok(Some(fault.to_owned()));
    }
    if !row.get::<bool>("is_gated")? {
        let fault = "the trigger `fantascope_gate` of the table `events` is gone or does not always fire, so that readers \
                     may miss events: run `ALTER TABLE events ENABLE ALWAYS TRIGGER fantascope_gate`, or restore a copy";
        return Ok(Some(fault.to_owned()));
    }
    if !row.get::<bool>("may_look")? {
        let name: String = row.get("name")?;
        return Ok(Some(format!(
            "the user `{name}` can't see how far they may be read: run \
             `GRANT EXECUTE ON FUNCTION fantascope_tail(), fantascope_holders() TO {name}`"
        )));
    }
    if !row.get::<bool>("is_synced")? {
        warn_of_loss(database, "`fsync` is off");
    }
    Ok(None)
}

/// Events are not on disk when they are seen.
fn warn_of_loss(database: &Database, why: &str) {
    tracing::warn!(
        "`{}` may lose events that were answered, and give their positions to others, which projections then miss: {why}",
        database.name()
    );
}

async fn check_mysql(database: &Database) -> sqlx::Result<Option<String>> {
    let mut connection = database.read().await?;
    let row = query(
        "SELECT CAST(@@auto_increment_increment AS SIGNED) AS increment, \
         (SELECT count(*) FROM fantascope_gates WHERE slot BETWEEN 0 AND 999) AS gates, \
         CAST(@@innodb_flush_log_at_trx_commit = 1 AS SIGNED) AS is_synced",
    );
    let row = row.one(&mut connection).await?;
    let (increment, gates): (i64, i64) = (row.get("increment")?, row.get("gates")?);
    if increment != 1 {
        return Ok(Some(format!(
            "the server counts in steps of {increment}, as where several servers take writes, whose order no reader can \
             know: set `auto_increment_increment = 1`, and let one server take the writes"
        )));
    }
    if gates != GATES {
        return Ok(Some(format!(
            "the table `fantascope_gates` has {gates} of its {GATES} rows: add those that are missing of 0 to {}",
            GATES - 1
        )));
    }
    if row.get::<i64>("is_synced")? == 0 {
        warn_of_loss(database, "`innodb_flush_log_at_trx_commit` is not 1");
    }
    // Which wants more rights than to read it.
    query("SELECT slot FROM fantascope_gates WHERE slot < 0 FOR UPDATE").all(&mut connection).await?;
    if let Link::MySql(session) = connection.link() {
        // Not every user may ask.
        let prepared = sqlx::raw_sql("XA RECOVER").fetch_all(session).await.map_or(0, |found| found.len());
        if prepared > 0 {
            let harm = match database.flavour() {
                Flavour::MySql => "no later event can be read before it is committed or rolled back",
                Flavour::MariaDb => {
                    "projections can miss its events, for MariaDB gives the locks of a transaction back when it is \
                     prepared: end it, rebuild the projections, and do not append within XA"
                }
            };
            tracing::warn!(
                "`{}` holds {prepared} prepared transactions (`XA RECOVER` lists them): if one of them has appended, {harm}",
                database.name()
            );
        }
    }
    Ok(None)
}
