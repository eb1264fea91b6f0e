//! The table `users`: a row for everybody who ever did something.

use fantascope_sdk::prelude::*;

#[derive(Row)]
#[row(table = "users", index(last_seen))]
pub struct User {
    #[key]
    pub user_id: String,
    pub events: i64,
    pub last_seen: Timestamp,
}

impl Fold for User {
    type Event = AnyEvent;

    fn keys(_: &AnyEvent, meta: &Meta) -> impl Keys<String> {
        meta.user_id().map(str::to_owned)
    }

    fn apply(row: &mut Entry<Self>, _: &AnyEvent, meta: &Meta) -> Result {
        let at = meta.timestamp();
        let user = row.get_or_put(|user_id| User { user_id, events: 0, last_seen: at });
        user.events += 1;
        // Events of an import need not be in order of time.
        user.last_seen = user.last_seen.max(at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_each_user_did() {
        let user = |user_id: &str, events, last_seen: &str| User {
            user_id: user_id.into(),
            events,
            last_seen: last_seen.parse().expect("a time"),
        };
        Spec::of::<User>()
            .given_json("order-1", "OrderPlaced", 2, json!({}))
            .by("sarah")
            .at("2026-01-03T08:00:00Z")
            .given_json("order-1", "OrderPaid", 1, json!({}))
            .at("2026-01-02T08:00:00Z")
            .given_json("order-2", "OrderPaid", 1, json!({}))
            .by("system")
            .given_json("order-2", "OrderShipped", 1, json!({}))
            .then_rows([user("sarah", 2, "2026-01-03T08:00:00Z"), user("system", 1, "2026-01-02T08:00:00Z")]);
    }
}
