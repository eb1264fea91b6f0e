//! The table `activity`: a row for every event there is, of whatever type.

use fantascope_sdk::prelude::*;

use crate::summary::summary;

#[derive(Row)]
#[row(table = "activity", index(aggregate_id, position), index(correlation_id), index(user_id, at))]
pub struct Activity {
    #[key]
    pub position: i64,
    /// Which of the events that an upcaster made of one; 0 for all others.
    #[key]
    pub part: u32,
    pub event_id: Uuid,
    pub at: Timestamp,
    pub event_type: String,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub user_id: Option<String>,
    pub correlation_id: Option<String>,
    pub causation_id: Option<String>,
    /// One line for people: `amount_cents 1250, currency EUR`.
    pub summary: String,
}

impl Fold for Activity {
    type Event = AnyEvent;

    fn keys(_: &AnyEvent, meta: &Meta) -> impl Keys<(i64, u32)> {
        // Positions are 63 bits wide in every database.
        [(meta.position().cast_signed(), meta.index())]
    }

    fn apply(row: &mut Entry<Self>, event: &AnyEvent, meta: &Meta) -> Result {
        let (position, part) = *row.key();
        row.put(Activity {
            position,
            part,
            event_id: meta.event_id(),
            at: meta.timestamp(),
            event_type: meta.event_type().into(),
            aggregate_type: meta.aggregate_type().into(),
            aggregate_id: meta.aggregate_id().into(),
            user_id: meta.user_id().map(Into::into),
            correlation_id: meta.correlation_id().map(Into::into),
            causation_id: meta.causation_id().map(Into::into),
            summary: summary(&event.decode()?),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_a_row_for_every_event() {
        Spec::of::<Activity>()
            .aggregate_type("Family")
            .at("2024-10-16T06:00:00Z")
            .by("system")
            .correlation_id("dues-0042-2024-10")
            .given_json("family-0042", "PaymentOverdue", 1, json!({ "amount_cents": 45000, "due_on": "2024-10-01" }))
            .causation_id("01920000-0000-7000-8000-000000000001")
            .given_json("family-0042", "PortalAccessLocked", 1, json!({ "automatic": true }))
            .then_rows([
                Activity { summary: "amount_cents 45000, due_on 2024-10-01".into(), ..row(1, "PaymentOverdue") },
                Activity {
                    causation_id: Some("01920000-0000-7000-8000-000000000001".into()),
                    summary: "automatic true".into(),
                    ..row(2, "PortalAccessLocked")
                },
            ]);
    }

    fn row(position: i64, event_type: &str) -> Activity {
        Activity {
            position,
            part: 0,
            event_id: format!("01920000-0000-7000-8000-{position:012}").parse().expect("a UUID"),
            at: "2024-10-16T06:00:00Z".parse().expect("a time"),
            event_type: event_type.into(),
            aggregate_type: "Family".into(),
            aggregate_id: "family-0042".into(),
            user_id: Some("system".into()),
            correlation_id: Some("dues-0042-2024-10".into()),
            causation_id: None,
            summary: String::new(),
        }
    }
}
