//! The table `correlations`: a row for each matter, such as an order with its payment.

use fantascope_sdk::prelude::*;

#[derive(Row)]
#[row(table = "correlations", index(last_at))]
pub struct Correlation {
    #[key]
    pub correlation_id: String,
    pub events: i64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// The type of its last event.
    pub last_type: String,
}

impl Fold for Correlation {
    type Event = AnyEvent;

    fn keys(_: &AnyEvent, meta: &Meta) -> impl Keys<String> {
        meta.correlation_id().map(str::to_owned)
    }

    fn apply(row: &mut Entry<Self>, _: &AnyEvent, meta: &Meta) -> Result {
        let at = meta.timestamp();
        let matter = row.get_or_put(|correlation_id| Correlation {
            correlation_id,
            events: 0,
            first_at: at,
            last_at: at,
            last_type: String::new(),
        });
        matter.events += 1;
        matter.last_at = at;
        matter.last_type = meta.event_type().into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_when_a_matter_began_and_how_it_ended() {
        Spec::of::<Correlation>()
            .given_json("order-0", "OrderPlaced", 2, json!({}))
            .correlation_id("checkout-1")
            .at("2026-01-02T08:00:00Z")
            .given_json("order-1", "OrderPlaced", 2, json!({}))
            .at("2026-01-03T08:00:00Z")
            .given_json("order-1", "OrderPaid", 1, json!({}))
            .then(Correlation {
                correlation_id: "checkout-1".into(),
                events: 2,
                first_at: "2026-01-02T08:00:00Z".parse().expect("a time"),
                last_at: "2026-01-03T08:00:00Z".parse().expect("a time"),
                last_type: "OrderPaid".into(),
            });
    }
}
