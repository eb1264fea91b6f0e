//! What an author writes of a table: which keys an event touches, and what becomes
//! of the rows there.

use crate::entry::Entry;
use crate::error::Result;
use crate::event::Events;
use crate::meta::Meta;
use crate::row::Row;

/// A table as a fold of events by key.
///
/// ```
/// # use fantascope_sdk::prelude::*;
/// # #[derive(Event, Deserialize)] #[event("OrderPaid")] struct Paid { cents: i64 }
/// # #[derive(Row)] #[row(table = "revenue")]
/// # struct Revenue { #[key] period: String, cents: i64 }
/// impl Fold for Revenue {
///     type Event = Paid;
///
///     fn keys(_: &Paid, meta: &Meta) -> impl Keys<String> {
///         [meta.day(), meta.month()]
///     }
///
///     fn apply(row: &mut Entry<Self>, event: &Paid, _: &Meta) -> Result {
///         row.get_or_put(|period| Revenue { period, cents: 0 }).cents += event.cents;
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no fold",
    label = "no table of a projection",
    note = "write `impl Fold for {Self}`, which says what events do to its rows"
)]
pub trait Fold: Row {
    /// The events that the table reads.
    type Event: Events;

    /// The keys of the rows that an event touches; `apply` is called for each of
    /// them once. An array, a vector or an `Option` will do; an empty one for an
    /// event that touches no row.
    ///
    /// Without this method the key is the aggregate's id, and the host can fold
    /// several aggregates at a time. It must depend on nothing but the event.
    fn keys(_event: &Self::Event, _meta: &Meta<'_>) -> impl Keys<Self::Key> {
        AggregateId
    }

    /// Folds an event into the row at one of its keys.
    ///
    /// # Errors
    /// When the event can't be handled: the projection stops before it, and says
    /// where and why. `.at("field")?` adds a path to the error.
    fn apply(row: &mut Entry<Self>, event: &Self::Event, meta: &Meta<'_>) -> Result;
}

/// What `Fold::keys` gives: anything that can be iterated over, of keys.
#[diagnostic::on_unimplemented(
    message = "`{Self}` gives no keys of type `{K}`",
    label = "not something to iterate over that yields `{K}`",
    note = "an array will do, such as `[meta.day()]`, or a vector or an `Option`"
)]
pub trait Keys<K> {
    /// Whether the key is the aggregate's id, without there being any to give.
    #[doc(hidden)]
    const OF_AGGREGATE: bool = false;

    #[doc(hidden)]
    fn each(self, take: impl FnMut(K));
}

impl<K, I: IntoIterator<Item = K>> Keys<K> for I {
    fn each(self, take: impl FnMut(K)) {
        self.into_iter().for_each(take);
    }
}

/// The key is the id of the event's aggregate, and never copied for that.
struct AggregateId;

impl<K> Keys<K> for AggregateId {
    const OF_AGGREGATE: bool = true;

    fn each(self, _: impl FnMut(K)) {}
}

/// Whether a table's key is the aggregate's id, told by the type of what its
/// `keys` gives.
pub(crate) fn is_keyed_by_aggregate<F: Fold>() -> bool {
    const fn of<'a, E: 'a, K, I: Keys<K>>(_: &impl FnOnce(&'a E, &'a Meta<'a>) -> I) -> bool {
        I::OF_AGGREGATE
    }
    of::<F::Event, F::Key, _>(&|event, meta| F::keys(event, meta))
}

/// Fails the compilation if a table leaves `keys` out and its key isn't one text.
#[doc(hidden)]
pub const fn check_keys<'a, F: Fold, I: Keys<F::Key>>(_: &impl FnOnce(&'a F::Event, &'a Meta<'a>) -> I) {
    assert!(
        !I::OF_AGGREGATE || F::KEY_OF_AGGREGATE_ID.is_some(),
        "the key of this table isn't one text, so it can't be the aggregate's id: say in `Fold::keys` which keys an event touches"
    );
}
