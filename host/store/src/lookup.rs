//! What the store knows of the events that are about to be written: in a few statements,
//! however many events there are.

use std::collections::HashMap;

use uuid::Uuid;

use super::query::{COLUMNS, decode};
use database::{Dialect, Flavour, Query, Session, pieces, query};
use model::event::StoredEvent;

/// Ids, or aggregates, that one statement names.
const PER_STATEMENT: usize = 256;

/// An aggregate's type and id.
pub(super) type Aggregate = (String, String);

/// Those events of `ids` that are stored.
pub(super) async fn events_by_id(session: &mut dyn Session, ids: &[Uuid]) -> sqlx::Result<HashMap<Uuid, StoredEvent>> {
    let mut found = HashMap::new();
    for piece in pieces(ids.len(), PER_STATEMENT) {
        let places = vec!["?"; piece.len()].join(",");
        let sql = format!("SELECT {COLUMNS} FROM events WHERE event_id IN ({places})");
        let wanted = ids[piece].iter().fold(query(sql), |query, &id| query.bind(id));
        for row in wanted.all(session).await? {
            let event = decode(&row)?;
            found.insert(event.event_id, event);
        }
    }
    Ok(found)
}

/// The versions of `aggregates`; 0 for one that has no events yet.
pub(super) async fn versions(
    session: &mut dyn Session,
    aggregates: &[Aggregate],
    flavour: Flavour,
) -> sqlx::Result<HashMap<Aggregate, u64>> {
    let mut found: HashMap<Aggregate, u64> = aggregates.iter().map(|aggregate| (aggregate.clone(), 0)).collect();
    for piece in pieces(aggregates.len(), PER_STATEMENT) {
        let wanted = versions_of(session.dialect(), flavour, &aggregates[piece]);
        for row in wanted.all(session).await? {
            let version: i64 = row.get("version")?;
            found.insert((row.get("of_type")?, row.get("of_id")?), version.cast_unsigned());
        }
    }
    Ok(found)
}

fn versions_of(dialect: Dialect, flavour: Flavour, aggregates: &[Aggregate]) -> Query {
    // Each one is looked up at the end of its part of the index.
    let exact = format!(" COLLATE {}", flavour.exact_collation());
    let text = dialect.pick("?", "?::text", "CAST(? AS CHAR)");
    let exact = if dialect == Dialect::MySql { exact.as_str() } else { "" };
    let first = format!("SELECT {text}{exact} AS of_type, {text}{exact} AS of_id");
    let next = format!(" UNION ALL SELECT {text}{exact}, {text}{exact}");
    let sql = format!(
        "SELECT w.of_type, w.of_id, (SELECT coalesce(max(e.aggregate_version), 0) FROM events e \
         WHERE e.aggregate_type = w.of_type AND e.aggregate_id = w.of_id) AS version FROM ({first}{}) w",
        next.repeat(aggregates.len() - 1)
    );
    aggregates.iter().fold(query(sql), |query, (of_type, id)| query.bind(of_type.clone()).bind(id.clone()))
}
