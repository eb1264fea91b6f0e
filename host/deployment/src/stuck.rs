//! Versions that make no progress: the log is told when that begins, and when it is over.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Deployments;
use model::change::Label;
use projection::{Phase, Status};

/// How often it looks. It looks at what is in memory.
const LOOK: Duration = Duration::from_secs(1);

impl Deployments {
    /// Tells the log, until the host ends.
    pub(super) async fn tell_of_stuck(self) {
        let stop = self.stop.clone();
        let work = async {
            let mut stuck = BTreeSet::new();
            loop {
                tokio::time::sleep(LOOK).await;
                for change in changes(&mut stuck, &self.projections.board().statuses(self.store.head())) {
                    match change {
                        Change::Begins { projection, why } => tracing::warn!(projection, "is stuck: {why}"),
                        Change::Ends { projection } => tracing::info!(projection, "is not stuck any more"),
                    }
                }
            }
        };
        stop.run_until_cancelled(work).await;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Begins { projection: String, why: String },
    Ends { projection: String },
}

/// What is new in `statuses`, where those in `known` were stuck. What another host folds is its
/// to tell.
fn changes(known: &mut BTreeSet<String>, statuses: &[Status]) -> Vec<Change> {
    let is_stuck = |status: &&Status| status.phase == Phase::Stuck && status.host.is_none();
    let mut stuck = BTreeSet::new();
    let mut changes = Vec::new();
    for status in statuses.iter().filter(is_stuck) {
        let label = Label { version: status.version, generation: status.generation };
        let projection = format!("{} {label}", status.projection);
        if !known.contains(&projection) {
            let why = status.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
            changes.push(Change::Begins { projection: projection.clone(), why });
        }
        stuck.insert(projection);
    }
    let over = known.difference(&stuck).map(|projection| Change::Ends { projection: projection.clone() });
    changes.extend(over);
    *known = stuck;
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(phase: &str, host: Option<&str>) -> Status {
        let status = serde_json::json!({
            "projection": "lamp", "version": 2, "generation": 1, "live": true, "phase": phase, "position": 1,
            "head": 2, "lag_events": 1, "lag_seconds": 1.0, "events_per_second": 0.0, "built_until": 0,
            "progress": 1.0, "eta_seconds": null, "error": null, "created_at": "2026-01-31T09:30:00Z",
            "as_of": null, "promote": null, "live_to": null, "partitions": [], "digest": "", "subscription": "",
            "tables": [], "host": host,
        });
        serde_json::from_value(status).expect("a status")
    }

    #[test]
    fn tells_once_that_it_begins_and_once_that_it_is_over() {
        let mut known = BTreeSet::new();
        let projection = || "lamp v2".to_owned();
        assert_eq!(changes(&mut known, &[status("following", None)]), []);
        let begins = Change::Begins { projection: projection(), why: String::new() };
        assert_eq!(changes(&mut known, &[status("stuck", None)]), [begins]);
        assert_eq!(changes(&mut known, &[status("stuck", None)]), []);
        assert_eq!(changes(&mut known, &[status("following", None)]), [Change::Ends { projection: projection() }]);
        assert_eq!(changes(&mut known, &[status("stuck", Some("another"))]), []);
    }
}
