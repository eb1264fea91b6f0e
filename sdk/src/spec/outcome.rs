//! What came of a case, in a form in which two ways to it can be compared.

use std::fmt::Write as _;

use serde_json::Value;

use crate::wire;

/// What came of a case: rows or events, each as JSON; or the text of its failure.
pub(super) type Outcome = Result<Vec<Value>, String>;

/// The failure of an event, as people read it:
/// `position 3, event 0192…, OrderPlaced v2, at total_cents: invalid type …`.
pub(super) fn failure_text(batch: &wire::Events, failure: &wire::Failure) -> String {
    let Some(row) = failure.event else {
        return described(failure.path.as_deref(), &failure.message);
    };
    let row = row as usize;
    let mut id = [0; 16];
    id.copy_from_slice(&batch.ids[row * 16..][..16]);
    let of_type = &batch.types[batch.type_codes[row] as usize];
    blamed(
        batch.positions[row],
        &crate::Uuid::from_bytes(id).to_string(),
        &of_type.name,
        of_type.version.into(),
        failure.path.as_deref(),
        &failure.message,
    )
}

/// A failure with the event that is to blame.
pub(super) fn blamed(
    position: u64,
    event_id: &str,
    event_type: &str,
    event_version: u64,
    path: Option<&str>,
    message: &str,
) -> String {
    let before = if path.is_some() { ", " } else { ": " };
    let what = described(path, message);
    format!("position {position}, event {event_id}, {event_type} v{event_version}{before}{what}")
}

fn described(path: Option<&str>, message: &str) -> String {
    match path {
        Some(path) => format!("at {path}: {message}"),
        None => message.to_owned(),
    }
}

/// What a case was to come to.
pub(super) enum Expected {
    /// Exactly these, in this order.
    These(Vec<Value>),
    /// A failure that says this, among else.
    Failure(String),
}

impl Expected {
    /// Fails the test if an outcome isn't what was expected. `way` says how it came
    /// about, and `what` of which things it consists.
    #[track_caller]
    pub(super) fn check(&self, outcome: &Outcome, what: &str, way: &str) {
        match (self, outcome) {
            (Self::These(expected), Ok(found)) => {
                assert!(expected == found, "{what} are not as expected {way}:\n{}", difference(expected, found));
            }
            (Self::Failure(expected), Err(failure)) => {
                assert!(
                    failure.contains(expected),
                    "the failure is not as expected {way}:\n  expected: {expected}\n  found:    {failure}"
                );
            }
            (Self::These(_), Err(failure)) => panic!("failed {way}:\n  {failure}"),
            (Self::Failure(expected), Ok(found)) => {
                panic!("did not fail {way}:\n  expected: {expected}\n  found {what}:\n{}", difference(found, found))
            }
        }
    }
}

/// Fails the test if two batchings of the same events come to different ends.
#[track_caller]
pub(super) fn check_same(at_once: &Outcome, one_by_one: &Outcome) {
    let text = |outcome: &Outcome| match outcome {
        Ok(things) => difference(things, things),
        Err(failure) => format!("    {failure}\n"),
    };
    assert!(
        at_once == one_by_one,
        "the outcome depends on how the events are cut into batches; does `keys` or `apply` keep \
         something between calls?\n  all in one batch:\n{}  a batch for each:\n{}",
        text(at_once),
        text(one_by_one)
    );
}

/// Lines of both lists: those that are expected and missing with `-`, those that
/// are found and not expected with `+`.
fn difference(expected: &[Value], found: &[Value]) -> String {
    let mut lines = String::new();
    let mut line = |sign: char, thing: &Value| {
        // Writing to a string never fails.
        let _ = writeln!(lines, "  {sign} {thing}");
    };
    for thing in expected {
        line(if found.contains(thing) { ' ' } else { '-' }, thing);
    }
    for thing in found.iter().filter(|thing| !expected.contains(thing)) {
        line('+', thing);
    }
    if expected.is_empty() && found.is_empty() {
        lines.push_str("    (none)\n");
    }
    lines
}
