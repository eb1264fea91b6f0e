//! Events: single types of them, and the sets that a table or an upcaster reads.

use std::rc::Rc;

use serde::de::DeserializeOwned;

use crate::any_event::AnyEvent;
use crate::batch::{Batch, Earliest};
use crate::error::{Error, Result};
use crate::name::same;
use crate::wire;

/// One type of event in one version of its schema. Derive it, beside serde's
/// `Deserialize` (and `Serialize`, to give it in a test or out of an upcaster):
///
/// ```
/// # use fantascope_sdk::prelude::*;
/// #[derive(Event, Serialize, Deserialize)]
/// #[event("OrderPlaced", v = 2)]
/// pub struct OrderPlaced {
///     customer: String,
///     total_cents: i64,
/// }
/// ```
///
/// The name is that of the stored events; the version is 1 unless said otherwise.
/// A new field that may be missing needs `#[serde(default)]` alone; another shape
/// is a new version, and [`Upcast`](crate::Upcast) makes it of the old one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no event type",
    label = "no event type",
    note = "write `#[derive(Event, Deserialize)] #[event(\"{Self}\")]` above `struct {Self}`"
)]
pub trait Event: DeserializeOwned + 'static {
    /// The stored name of the type.
    const NAME: &'static str;
    /// The version of the schema, from 1.
    const VERSION: u32;
}

/// The set of events that a table reads or an upcaster gives: an enum with a
/// variant for each, so that `match` tells when one was forgotten. Derive it.
///
/// ```
/// # use fantascope_sdk::prelude::*;
/// # #[derive(Event, Deserialize)] #[event("OrderPlaced", v = 2)] pub struct OrderPlaced {}
/// # #[derive(Event, Deserialize)] #[event("OrderShipped")] pub struct OrderShipped {}
/// #[derive(Events)]
/// pub enum OrderEvent {
///     Placed(OrderPlaced),
///     Shipped(OrderShipped),
///     /// All other types that begin so, not decoded.
///     #[event(prefix = "Order")]
///     Other(AnyEvent),
/// }
/// ```
///
/// `#[event(any)]` takes whatever no other variant does. A single [`Event`] is a set
/// of one, and [`AnyEvent`] is the set of all.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no set of events",
    label = "neither an event nor a set of events",
    note = "write `#[derive(Events)]` above `enum {Self}`, or `#[derive(Event, Deserialize)]` above a single event"
)]
pub trait Events: Sized + 'static {
    /// What the variants read, in their order.
    #[doc(hidden)]
    const PATTERNS: &'static [Pattern];

    /// The event as the variant with that index in `PATTERNS`.
    #[doc(hidden)]
    fn decode(variant: usize, source: Source<'_>) -> Result<Self>;
}

/// A set of events that can be written: all its events are `Serialize`, and none is
/// an [`AnyEvent`].
#[diagnostic::on_unimplemented(
    message = "the events of `{Self}` can't be written",
    note = "derive serde's `Serialize` for each of them; an `AnyEvent` can't be given"
)]
pub trait WriteEvents: Events {
    /// The index in `PATTERNS` of the variant that this is.
    #[doc(hidden)]
    fn variant(&self) -> usize;

    #[doc(hidden)]
    fn write(&self, to: &mut Vec<u8>) -> Result;
}

/// No events: what an upcaster gives that drops what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEvent {}

impl Events for NoEvent {
    const PATTERNS: &'static [Pattern] = &[];

    fn decode(_: usize, _: Source<'_>) -> Result<Self> {
        unreachable!("no event is of no type")
    }
}

impl WriteEvents for NoEvent {
    fn variant(&self) -> usize {
        match *self {}
    }

    fn write(&self, _: &mut Vec<u8>) -> Result {
        match *self {}
    }
}

/// What a variant of a set of events reads.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    Type { name: &'static str, version: u32 },
    Prefix(&'static str),
    Any,
}

impl Pattern {
    #[must_use]
    pub const fn of<E: Event>() -> Self {
        Self::Type { name: E::NAME, version: E::VERSION }
    }

    const fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Type { name, version }, Self::Type { name: other_name, version: other_version }) => {
                *version == *other_version && same(name, other_name)
            }
            (Self::Prefix(a), Self::Prefix(b)) => same(a, b),
            (Self::Any, Self::Any) => true,
            _ => false,
        }
    }
}

/// Whether no two variants read the very same.
#[doc(hidden)]
#[must_use]
pub const fn are_distinct(patterns: &[Pattern]) -> bool {
    let mut a = 0;
    while a < patterns.len() {
        let mut b = a + 1;
        while b < patterns.len() {
            if patterns[a].overlaps(&patterns[b]) {
                return false;
            }
            b += 1;
        }
        a += 1;
    }
    true
}

/// An event of a batch that is to be decoded.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Source<'a> {
    batch: &'a Rc<Batch>,
    row: usize,
}

impl<'a> Source<'a> {
    pub(crate) fn new(batch: &'a Rc<Batch>, row: usize) -> Self {
        Self { batch, row }
    }

    pub fn decode<E: Event>(self) -> Result<E> {
        crate::json::decode(self.batch.data.get(self.row))
    }

    #[must_use]
    pub fn any(self) -> AnyEvent {
        AnyEvent::new(Rc::clone(self.batch), self.row)
    }
}

/// The payload of a variant that reads by prefix, or any event.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a variant that reads by prefix, or any event, holds an `AnyEvent`",
    label = "not `AnyEvent`",
    note = "such events have no type of their own; `AnyEvent::decode` makes one of the payload"
)]
pub trait Untyped {
    fn of(source: Source<'_>) -> Self;
}

impl Untyped for AnyEvent {
    fn of(source: Source<'_>) -> Self {
        source.any()
    }
}

/// Writes an event's payload.
#[doc(hidden)]
pub fn write(event: &impl serde::Serialize, to: &mut Vec<u8>) -> Result {
    Ok(serde_json::to_writer(to, event)?)
}

/// How the events of one type and version are read by a set.
pub(crate) enum Reading {
    /// As the variant with that index.
    As(usize),
    /// Not at all: they are for other tables.
    Not,
    /// They ought to be, but not in this version.
    UnknownVersion,
}

impl Reading {
    /// An exact type comes before a prefix, a longer prefix before a shorter one,
    /// and any event last.
    pub(crate) fn of(patterns: &[Pattern], event: &wire::EventType) -> Self {
        let mut best: Option<(usize, usize)> = None;
        for (variant, pattern) in patterns.iter().enumerate() {
            let weight = match *pattern {
                Pattern::Type { name, version } if name == event.name => {
                    if version == event.version {
                        return Self::As(variant);
                    }
                    usize::MAX
                }
                Pattern::Prefix(prefix) if event.name.starts_with(prefix) => prefix.len() + 1,
                Pattern::Any => 0,
                Pattern::Type { .. } | Pattern::Prefix(_) => continue,
            };
            if best.is_none_or(|(_, other)| weight > other) {
                best = Some((variant, weight));
            }
        }
        match best {
            None => Self::Not,
            Some((_, usize::MAX)) => Self::UnknownVersion,
            Some((variant, _)) => Self::As(variant),
        }
    }
}

/// The failure of an event that came in a version which no variant reads.
#[cold]
fn unknown_version(patterns: &[Pattern], event: &wire::EventType) -> Error {
    let name = &event.name;
    let came = event.version;
    let mut newest = 0;
    let mut read = String::new();
    for pattern in patterns {
        match *pattern {
            Pattern::Type { name, version } if name == event.name => {
                let comma = if read.is_empty() { "" } else { ", " };
                read.push_str(&format!("{comma}v{version}"));
                newest = newest.max(version);
            }
            _ => {}
        }
    }
    let way_out = if came > newest { "a newer plugin that reads" } else { "an upcaster that takes" };
    Error::new(format_args!("v{came} of `{name}` came, but only {read} is read: deploy {way_out} v{came}"))
}

/// Those events of a batch that a set reads.
pub(crate) struct Decoded<E> {
    /// For each event, its row in the batch.
    pub(crate) rows: Vec<u32>,
    pub(crate) events: Vec<E>,
}

impl<E> Default for Decoded<E> {
    fn default() -> Self {
        Self { rows: Vec::new(), events: Vec::new() }
    }
}

impl<E: Events> Decoded<E> {
    pub(crate) fn new(batch: &Rc<Batch>, earliest: &mut Earliest) -> Self {
        let readings: Vec<Reading> =
            batch.types.iter().map(|event_type| Reading::of(E::PATTERNS, event_type)).collect();
        let mut rows = Vec::with_capacity(earliest.end);
        let mut events = Vec::with_capacity(earliest.end);
        for (row, code) in batch.type_codes[..earliest.end].iter().enumerate() {
            let decoded = match readings[*code as usize] {
                Reading::As(variant) => E::decode(variant, Source::new(batch, row)),
                Reading::Not => continue,
                Reading::UnknownVersion => Err(unknown_version(E::PATTERNS, batch.event_type(row))),
            };
            match decoded {
                Ok(event) => {
                    rows.push(wire::offset(row));
                    events.push(event);
                }
                Err(error) => {
                    earliest.fail(row, &error);
                    break;
                }
            }
        }
        Self { rows, events }
    }

    /// The events before a row of the batch, each with its row.
    pub(crate) fn before(&self, end: usize) -> impl Iterator<Item = (usize, &E)> {
        let rows = self.rows.iter().map(|row| *row as usize);
        rows.zip(&self.events).take_while(move |(row, _)| *row < end)
    }
}
