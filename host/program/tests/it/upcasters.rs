//! An upcaster that answers with nonsense stops those that want its events, and
//! nobody else.

use fantascope::event::Position;
use fantascope::guest::Kind;
use fantascope::projection::{Phase, Upcasters};
use serde_json::json;

use crate::guests::guest;
use crate::history::{History, event_id};
use crate::place::Place;

/// What the guest `crooked` answers, with which code, and what is said of it.
const ANSWERS: &[(&str, &str, &str)] = &[
    ("counts_few", "guest_answer_malformed", "0 counts for 1 events"),
    ("counts_without_end", "guest_answer_malformed", "1 types for 4294967295 events"),
    ("counts_nothing", "guest_answer_malformed", "1 types for 0 events"),
    ("type_unlisted", "guest_answer_malformed", "a type that it does not list"),
    ("type_nameless", "guest_answer_malformed", "a type without a name or a version"),
    ("type_itself", "guest_answer_malformed", "it gave Crooked v1, which it does not declare"),
    ("type_undeclared", "guest_answer_malformed", "it gave Surprise v1, which it does not declare"),
    ("data_none", "guest_answer_malformed", "0 payloads for 1 events"),
    ("data_beyond", "guest_answer_malformed", "the ends of the payloads do not fit their text"),
    ("data_no_object", "guest_answer_malformed", "a payload that is not a JSON object: []"),
    ("refuse", "event_refused", "no"),
    ("trap", "guest_trapped", "wasm `unreachable` instruction executed"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_nonsense_is_named_with_its_event() {
    for (lie, code, said) in ANSWERS {
        let place = Place::new();
        let mut history = History::of_types(&["Good", "Good"]);
        history.add("Thing/crooked", "Crooked", &json!({ "lie": lie }));
        history.add("Thing/fine", "Crooked", &json!({ "lie": "" }));
        history.add("Thing/t-1", "Good", &json!({}));
        history.import(&place.store().await).await;
        let host = place.run(&["crooked", "hostile", "order_list"]).await;

        let status = host.status("hostile");
        let problem = status.error.expect(lie);
        assert_eq!(
            (status.phase, problem.code.as_str(), problem.position),
            (Phase::Failed, *code, Some(Position(3))),
            "{lie}: {}",
            problem.message
        );
        let named = format!("upcaster crooked v1, position 3, event {}, Crooked v1: ", event_id(3));
        assert!(
            problem.message.contains(&named) && problem.message.contains(said),
            "{lie}: {} should say {said}",
            problem.message
        );
        assert_eq!((host.checkpoint("hostile").await, host.rows("hostile", "deeds").await.len()), (2, 2), "{lie}");

        // It wants no such event.
        let other = host.status("order_list");
        assert_eq!((other.phase, other.position, other.error.is_none()), (Phase::Stopped, Position(5), true), "{lie}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_take_the_same_are_refused_by_name() {
    let sandbox = Place::new().sandbox();
    let plugins = ["crooked", "schema_upcaster"].map(|name| {
        let admitted = sandbox.admit(&guest(name)).unwrap();
        match admitted.kind {
            Kind::Upcaster(plugin) => (admitted.digest, plugin),
            Kind::Projection(_) => panic!("{name} is an upcaster"),
        }
    });
    let fault = Upcasters::new(plugins.to_vec()).unwrap_err().to_string();
    assert_eq!(fault, "upcasters `crooked` and `schema_upcaster` both take PortalPinged v1: remove one of them");
}
