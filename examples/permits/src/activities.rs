//! The table `activities`: a row for each kind of step.

use fantascope_sdk::prelude::*;

use crate::step::{Step, is_step};

#[derive(Row)]
#[row(table = "activities", index(count))]
pub struct Activity {
    #[key]
    pub event_type: String,
    /// As people call it.
    pub name: String,
    pub count: i64,
}

impl Fold for Activity {
    type Event = AnyEvent;

    fn keys(_: &AnyEvent, meta: &Meta) -> impl Keys<String> {
        is_step(meta).then(|| meta.event_type().to_owned())
    }

    fn apply(row: &mut Entry<Self>, event: &AnyEvent, _: &Meta) -> Result {
        if !row.exists() {
            let Step { activity: name, .. } = event.decode()?;
            row.put(Activity {
                event_type: row.key().clone(),
                name,
                count: 0,
            });
        }
        row.get()?.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_over_all_applications() {
        let step = |activity: &str| json!({ "activity": activity, "channel": "Internet", "responsible": "Resource26" });
        let activity = |event_type: &str, name: &str, count| Activity {
            event_type: event_type.into(),
            name: name.into(),
            count,
        };
        Spec::of::<Activity>()
            .aggregate_type("Permit")
            .given_json(
                "permit-1",
                "ConfirmationOfReceipt",
                1,
                step("Confirmation of receipt"),
            )
            .given_json(
                "permit-1",
                "CheckConfirmationOfReceipt",
                1,
                step("T02 Check confirmation of receipt"),
            )
            .given_json(
                "permit-2",
                "ConfirmationOfReceipt",
                1,
                step("Confirmation of receipt"),
            )
            .then_rows([
                activity("ConfirmationOfReceipt", "Confirmation of receipt", 2),
                activity(
                    "CheckConfirmationOfReceipt",
                    "T02 Check confirmation of receipt",
                    1,
                ),
            ]);
    }
}
