//! A guest that misbehaves is stopped, by name, and nobody else notices.

use fantascope::event::Position;
use fantascope::limits::Limits;
use fantascope::projection::Phase;

use crate::history::{History, event_id};
use crate::place::Place;

/// Small, so that each is hit soon; but for the time of a call, of which a busy machine has little.
fn limits() -> Limits {
    Limits {
        guest_call_ms_max: 60_000,
        guest_memory_bytes_max: 16 << 20,
        guest_answer_bytes_max: 1 << 20,
        guest_log_lines_max: 50,
        ..Limits::default()
    }
}

/// Three good events, a bad one, two more good ones.
async fn check(limits: Limits, bad: &str, code: &str, said: &str) {
    let place = Place::with(limits);
    History::of_types(&["Good", "Good", "Good", bad, "Good", "Good"]).import(&place.store().await).await;
    let host = place.run(&["hostile", "activity_feed"]).await;

    let status = host.status("hostile");
    let problem = status.error.expect(bad);
    assert_eq!((status.phase, problem.code.as_str()), (Phase::Failed, code), "{}", problem.message);
    assert_eq!((problem.position, problem.event_id.map(|id| id.to_string())), (Some(Position(4)), Some(event_id(4))));
    let named = format!("projection hostile v1, position 4, event {}, {bad} v1", event_id(4));
    assert!(
        problem.message.replace("projection hostile", "hostile").contains(&named.replace("projection ", "")),
        "{}",
        problem.message
    );
    assert!(problem.message.contains(said), "{} should say {said}", problem.message);

    // What came before is committed, with its checkpoint.
    let ids: Vec<_> =
        host.rows("hostile", "deeds").await.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, ["t-1", "t-2", "t-3"]);
    assert_eq!((host.checkpoint("hostile").await, status.position), (3, Position(3)));

    // Nobody else is held up.
    let other = host.status("activity_feed");
    assert_eq!((other.error.map(|problem| problem.message), other.position), (None, Position(6)));
    assert_eq!(host.rows("activity_feed", "activity").await.len(), 6);
}

macro_rules! stops {
    ($($name:ident: $bad:literal, $code:literal, $said:literal;)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            check(limits(), $bad, $code, $said).await;
        }
    )+};
}

stops! {
    one_that_refuses_an_event: "Refuse", "event_refused", "this is not done here";
    one_that_takes_all_memory: "Bomb", "guest_memory_bytes_max", "limits.guest_memory_bytes_max (16777216)";
    one_that_recurses_without_end: "Deep", "guest_trapped", "stack";
    one_that_panics: "Trap", "guest_trapped", "the lamp fell over";
    one_that_answers_too_much: "Huge", "guest_answer_bytes_max", "limits.guest_answer_bytes_max (1048576)";
    one_that_waits: "Wait", "guest_not_granted", "asked for a wait";
    one_that_ends_the_process: "Exit", "guest_not_granted", "asked for the end of the process";
}

/// The calls that do return take a thousandth of the time that there is for each.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_returns() {
    let limits = Limits { guest_call_ms_max: 3_000, ..limits() };
    check(limits, "Loop", "guest_call_ms_max", "limits.guest_call_ms_max (3000 ms)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_talks_without_end_is_cut_short_and_goes_on() {
    let place = Place::with(limits());
    History::of_types(&["Good", "Chatter", "Newlines", "Good"]).import(&place.store().await).await;
    let host = place.run(&["hostile"]).await;
    let status = host.status("hostile");
    assert_eq!(status.error.map(|problem| problem.message), None);
    assert_eq!((status.position, host.rows("hostile", "deeds").await.len()), (Position(4), 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_projection_stays_where_it_is_over_a_restart() {
    let place = Place::with(limits());
    History::of_types(&["Good", "Trap", "Good"]).import(&place.store().await).await;
    for _ in 0..2 {
        let host = place.run(&["hostile"]).await;
        let problem = host.status("hostile").error.unwrap();
        assert_eq!((problem.code.as_str(), problem.position), ("guest_trapped", Some(Position(2))));
        assert_eq!((host.checkpoint("hostile").await, host.rows("hostile", "deeds").await.len()), (1, 1));
    }
}
