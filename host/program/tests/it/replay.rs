//! The same history gives the same bytes, however it is cut and whatever comes between.

use fantascope::limits::Limits;

use crate::history::{History, import_demo};
use crate::place::Place;

const SHIPPED: [&str; 5] = ["order_list", "daily_revenue", "family_account", "activity_feed", "schema_upcaster"];

fn with_batches_of(batch_events_max: usize) -> Place {
    Place::with(Limits { batch_events_max, ..Limits::default() })
}

fn events() -> u64 {
    if std::env::var_os("FANTASCOPE_SOAK").is_some() { 200_000 } else { 1_500 }
}

/// The tables, and what sets them apart from `expected`: the first row only, for there may be thousands.
async fn check(place: &Place, expected: &[String], what: &str) {
    let found = place.dump().await;
    let differs = found.iter().zip(expected).find(|(found, expected)| found != expected);
    assert_eq!(differs, None, "{what}");
    assert_eq!(found.len(), expected.len(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_any_size_give_the_same_tables() {
    let whole = with_batches_of(8_000);
    import_demo(&whole.store().await, events(), events()).await;
    let host = whole.run(&SHIPPED).await;
    for name in ["order_list", "daily_revenue", "family_account", "activity_feed"] {
        assert_eq!(host.status(name).error.map(|problem| problem.message), None);
    }
    let expected = whole.dump().await;
    assert!(expected.len() > 500, "{} rows show little", expected.len());
    for size in [1, 7] {
        let place = with_batches_of(size);
        import_demo(&place.store().await, events(), events()).await;
        place.run(&SHIPPED).await;
        check(&place, &expected, &format!("batches of {size}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_changes_nothing() {
    let whole = with_batches_of(8_000);
    import_demo(&whole.store().await, events(), events()).await;
    whole.run(&SHIPPED).await;
    let expected = whole.dump().await;

    // First half, restart, all, restart: the host that comes back knows no key that the
    // one before has written.
    let halves = with_batches_of(100);
    import_demo(&halves.store().await, events() / 2, events()).await;
    halves.run(&SHIPPED).await;
    import_demo(&halves.store().await, events(), events()).await;
    halves.run(&SHIPPED).await;
    halves.run(&SHIPPED).await;
    check(&halves, &expected, "a restart").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn following_gives_the_same_as_backfilling() {
    let whole = with_batches_of(8_000);
    import_demo(&whole.store().await, events(), events()).await;
    whole.run(&SHIPPED).await;
    let expected = whole.dump().await;

    let following = with_batches_of(8_000);
    let host = following.start(&SHIPPED).await;
    for part in 1..=10 {
        import_demo(&host.store, events() * part / 10, events()).await;
    }
    host.caught_up().await;
    host.projections.drain().await;
    check(&following, &expected, "following").await;
}

/// Random numbers, the order of hash maps and the time of day: the same in every
/// replay of the same batches.
#[tokio::test(flavor = "multi_thread")]
async fn dice_are_loaded_and_clocks_stand() {
    let mut dumps = Vec::new();
    for _ in 0..2 {
        let place = with_batches_of(4);
        History::of_types(&["Dice"; 10]).import(&place.store().await).await;
        let host = place.run(&["hostile"]).await;
        assert_eq!(host.status("hostile").error.map(|problem| problem.message), None);
        dumps.push(place.dump().await);
    }
    assert_eq!(dumps[0].len(), 10);
    assert_eq!(dumps[0], dumps[1]);
}
