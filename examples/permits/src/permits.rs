//! The table `permits`: a row for each application.

use fantascope_sdk::prelude::*;

use crate::step::{Step, is_step};

const MICROS_PER_SECOND: i64 = 1_000_000;

#[derive(Row)]
#[row(table = "permits", index(last_activity), index(duration_seconds))]
pub struct Permit {
    #[key]
    pub id: String,
    pub channel: String,
    pub last_activity: String,
    /// Who did the last step.
    pub responsible: String,
    pub steps: i64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// From the first step to the last, in whole seconds.
    pub duration_seconds: i64,
}

impl Fold for Permit {
    type Event = AnyEvent;

    fn apply(row: &mut Entry<Self>, event: &AnyEvent, meta: &Meta) -> Result {
        if !is_step(meta) {
            return Ok(());
        }
        let Step {
            activity,
            channel,
            responsible,
        } = event.decode()?;
        let at = meta.timestamp();
        let permit = row.get_or_put(|id| Permit {
            id,
            channel,
            last_activity: String::new(),
            responsible: String::new(),
            steps: 0,
            first_at: at,
            last_at: at,
            duration_seconds: 0,
        });
        permit.last_activity = activity;
        permit.responsible = responsible;
        permit.steps += 1;
        permit.last_at = at;
        permit.duration_seconds =
            (at.as_micros() - permit.first_at.as_micros()) / MICROS_PER_SECOND;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_an_application_step_by_step() {
        Spec::of::<Permit>()
            .aggregate_type("Permit")
            .at("2010-10-02T07:20:39.266Z")
            .given_json("permit-891", "ConfirmationOfReceipt", 1, json!({
                "activity": "Confirmation of receipt", "channel": "Internet", "responsible": "Resource26",
            }))
            .at("2010-10-02T07:21:41.265Z")
            .given_json("permit-891", "CheckConfirmationOfReceipt", 1, json!({
                "activity": "T02 Check confirmation of receipt", "channel": "Internet", "responsible": "Resource10",
            }))
            .then(Permit {
                id: "permit-891".into(),
                channel: "Internet".into(),
                last_activity: "T02 Check confirmation of receipt".into(),
                responsible: "Resource10".into(),
                steps: 2,
                first_at: "2010-10-02T07:20:39.266Z".parse().expect("a time"),
                last_at: "2010-10-02T07:21:41.265Z".parse().expect("a time"),
                duration_seconds: 61,
            });
    }

    #[test]
    fn leaves_other_aggregates_alone() {
        Spec::of::<Permit>()
            .aggregate_type("Order")
            .given_json("order-1", "OrderPlaced", 2, json!({}))
            .then_none();
    }

    #[test]
    fn names_the_field_that_is_missing() {
        Spec::of::<Permit>()
            .aggregate_type("Permit")
            .given_json(
                "permit-1",
                "ConfirmationOfReceipt",
                1,
                json!({ "activity": "Confirmation of receipt" }),
            )
            .then_error("ConfirmationOfReceipt v1: missing field `channel`");
    }
}
