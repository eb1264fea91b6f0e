//! What is known of the store while requests are decided upon.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::append::Request;
use super::lookup::{Aggregate, events_by_id, versions};
use database::{Flavour, Session};
use model::event::{ImportedEvent, StoredEvent};

/// The events that requests name, as far as they are stored, and the versions of their
/// aggregates, which grow with what is decided.
#[derive(Debug, Default)]
pub(super) struct Known {
    stored: HashMap<Uuid, StoredEvent>,
    versions: HashMap<Aggregate, u64>,
}

impl Known {
    /// The aggregates are assumed to be at `versions`, and no event that is named to be stored.
    pub(super) fn assumed(versions: HashMap<Aggregate, u64>) -> Self {
        Self { stored: HashMap::new(), versions }
    }

    /// Looks up what `requests` are about.
    pub(super) async fn look_up(
        session: &mut dyn Session,
        flavour: Flavour,
        requests: &[Request],
    ) -> sqlx::Result<Self> {
        let (mut ids, mut aggregates) = (Vec::new(), HashSet::new());
        for request in requests {
            match request {
                Request::Append { append, .. } => {
                    ids.extend(append.ids_to_find());
                    aggregates.insert(append.aggregate());
                }
                Request::Import { events, .. } => {
                    ids.extend(events.iter().map(|event| event.event_id));
                    aggregates.extend(events.iter().map(aggregate_of));
                }
            }
        }
        let aggregates: Vec<Aggregate> = aggregates.into_iter().collect();
        // In this order: an append that is repeated while it is written is found by its ids, if
        // its aggregate was found to have gone on.
        let versions = versions(session, &aggregates, flavour).await?;
        Ok(Self { stored: events_by_id(session, &ids).await?, versions })
    }

    /// Looks up what importing `events` is about, where aggregates will have the versions
    /// `ahead` by then.
    pub(super) async fn look_ahead(
        session: &mut dyn Session,
        flavour: Flavour,
        events: &[ImportedEvent],
        ahead: &HashMap<Aggregate, u64>,
    ) -> sqlx::Result<Self> {
        let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
        let unknown: HashSet<Aggregate> =
            events.iter().map(aggregate_of).filter(|aggregate| !ahead.contains_key(aggregate)).collect();
        let stored = events_by_id(session, &ids).await?;
        let mut versions = versions(session, &unknown.into_iter().collect::<Vec<_>>(), flavour).await?;
        versions.extend(ahead.iter().map(|(aggregate, &version)| (aggregate.clone(), version)));
        Ok(Self { stored, versions })
    }

    /// The event with this id, if it is stored.
    pub(super) fn stored(&self, event_id: Uuid) -> Option<&StoredEvent> {
        self.stored.get(&event_id)
    }

    /// The version of an aggregate.
    pub(super) fn version(&mut self, aggregate_type: &str, aggregate_id: &str) -> &mut u64 {
        self.versions.entry((aggregate_type.to_owned(), aggregate_id.to_owned())).or_default()
    }

    pub(super) fn into_versions(self) -> HashMap<Aggregate, u64> {
        self.versions
    }
}

fn aggregate_of(event: &ImportedEvent) -> Aggregate {
    (event.aggregate_type.clone(), event.aggregate_id.clone())
}
