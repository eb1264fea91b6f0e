//! A projection: several tables under one name and version, as the host calls it.

use std::cell::RefCell;
use std::rc::Rc;

use crate::batch::{Batch, Earliest};
use crate::event::Pattern;
use crate::fold::Fold;
use crate::table::{AnyTable, Decoders, Table};
use crate::wire;

/// Exports a projection from this crate:
/// `projection! { name = "orders", version = 1, tables = [Order, Revenue] }`.
///
/// `replayable = true` behind the tables promises that folding events once more over
/// rows that hold them already gives the same rows: `apply` sets what an event says, and
/// adds nothing up. Then operators may have the host fold again from a position on.
///
/// The version is yours to raise: a higher one is folded anew, from the first event,
/// beside the one that is live. Raise it when a table or what `apply` does to old
/// events has changed.
#[macro_export]
macro_rules! projection {
    (
        name = $name:literal,
        version = $version:literal,
        tables = [$($table:ty),+ $(,)?]
        $(, replayable = $replayable:literal)?
        $(,)?
    ) => {
        const _: () = {
            const {
                assert!(
                    $crate::__private::is_name($name),
                    "the name of a projection must match ^[a-z][a-z0-9_]{{0,62}}$"
                );
                assert!($version >= 1, "the version of a projection is at least 1");
                assert!(
                    $crate::__private::are_distinct_names(&[
                        $(<$table as $crate::Row>::TABLE.name),+
                    ]),
                    "two tables of this projection have the same name"
                );
                $($crate::__private::check_keys::<$table, _>(
                    &|event, meta| <$table as $crate::Fold>::keys(event, meta),
                );)+
            }

            #[cfg(target_arch = "wasm32")]
            $crate::__private::export_projection! { $name, $version, (false $(|| $replayable)?), $($table),+ }
        };
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "write `projection! { name = \"orders\", version = 1, tables = [Order] }`"
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_projection {
    ($name:literal, $version:literal, $replayable:expr, $($table:ty),+) => {
        struct Plugin;

        ::std::thread_local! {
            static PROJECTION: $crate::__private::Projection = $crate::__private::Projection::new(
                $name,
                $version,
                ::std::vec![$($crate::__private::table::<$table>()),+],
            )
            .replayable($replayable);
        }

        impl $crate::__private::wire::ProjectionGuest for Plugin {
            fn describe() -> $crate::__private::wire::ProjectionManifest {
                PROJECTION.with(|projection| projection.describe())
            }

            fn load(
                batch: $crate::__private::wire::Events,
            ) -> ::core::result::Result<
                ::std::vec::Vec<$crate::__private::wire::Keys>,
                $crate::__private::wire::Failure,
            > {
                PROJECTION.with(|projection| projection.load(batch))
            }

            fn apply(
                existing: ::std::vec::Vec<$crate::__private::wire::Rows>,
            ) -> ::core::result::Result<
                ::std::vec::Vec<$crate::__private::wire::Changes>,
                $crate::__private::wire::Failure,
            > {
                PROJECTION.with(|projection| projection.apply(existing))
            }
        }

        $crate::__private::bindings::projection::export_projection!(
            Plugin with_types_in $crate::__private::bindings::projection
        );
    };
}

/// A table of a projection, whatever its rows are.
pub struct TableBox(Box<dyn AnyTable>);

/// The table of rows of a type.
#[must_use]
pub fn table<F: Fold>() -> TableBox {
    TableBox(Box::new(Table::<F>::new()))
}

/// A projection, and what it keeps of a batch between `load` and `apply`.
pub struct Projection {
    name: &'static str,
    version: u32,
    replayable: bool,
    state: RefCell<State>,
}

struct State {
    tables: Vec<TableBox>,
    loaded: Option<Loaded>,
}

struct Loaded {
    batch: Rc<Batch>,
    earliest: Earliest,
}

impl Projection {
    #[must_use]
    pub fn new(name: &'static str, version: u32, tables: Vec<TableBox>) -> Self {
        crate::log::panics_to_log();
        Self { name, version, replayable: false, state: RefCell::new(State { tables, loaded: None }) }
    }

    /// Whether folding events once more over rows that hold them gives the same rows.
    #[must_use]
    pub fn replayable(self, replayable: bool) -> Self {
        Self { replayable, ..self }
    }

    #[must_use]
    pub fn describe(&self) -> wire::ProjectionManifest {
        let tables = &self.state.borrow().tables;
        wire::ProjectionManifest {
            sdk: wire::SDK.to_owned(),
            name: self.name.to_owned(),
            version: self.version,
            subscription: subscription(tables.iter().flat_map(|table| table.0.patterns())),
            tables: tables.iter().map(|table| table.0.definition()).collect(),
            replayable: self.replayable,
        }
    }

    /// # Errors
    /// When the batch's first event can't be decoded. Of a later one `apply` tells,
    /// for an event before it may fail there.
    pub fn load(&self, events: wire::Events) -> Result<Vec<wire::Keys>, wire::Failure> {
        let state = &mut *self.state.borrow_mut();
        let batch = Rc::new(Batch::new(events));
        let mut earliest = Earliest::none_of(&batch);
        let mut decoders = Decoders::default();
        let keys = state.tables.iter_mut().map(|table| table.0.load(&batch, &mut decoders, &mut earliest)).collect();
        if earliest.end == 0 {
            earliest.take()?;
        }
        state.loaded = Some(Loaded { batch, earliest });
        Ok(keys)
    }

    /// # Errors
    /// When an event can't be decoded or folded.
    ///
    /// # Panics
    /// When no batch is loaded: the host's fault, not the plugin's.
    pub fn apply(&self, existing: Vec<wire::Rows>) -> Result<Vec<wire::Changes>, wire::Failure> {
        let state = &mut *self.state.borrow_mut();
        let Loaded { batch, mut earliest } = state.loaded.take().expect("the host loads a batch before it applies it");
        assert!(existing.len() == state.tables.len(), "the host gives rows of each table");
        let tables = state.tables.iter_mut().zip(existing);
        let changes = tables.map(|(table, rows)| table.0.apply(&batch, rows, &mut earliest)).collect();
        earliest.take()?;
        Ok(changes)
    }
}

/// What all tables together subscribe to. Types and prefixes can't be mixed; a type
/// is its own prefix then, and what comes in beside it is read by no table.
fn subscription<'a>(patterns: impl Iterator<Item = &'a Pattern>) -> wire::Subscription {
    let mut names: Vec<&str> = Vec::new();
    let mut is_by_prefix = false;
    for pattern in patterns {
        let name = match *pattern {
            Pattern::Any => return wire::Subscription::All,
            Pattern::Prefix(prefix) => {
                is_by_prefix = true;
                prefix
            }
            Pattern::Type { name, .. } => name,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let is_needed = |name: &&str| {
        let is_covered = |prefix: &&str| prefix.len() < name.len() && name.starts_with(prefix);
        !is_by_prefix || !names.iter().any(is_covered)
    };
    let needed = names.iter().copied().filter(is_needed);
    let needed = needed.map(str::to_owned).collect();
    if is_by_prefix { wire::Subscription::Prefixes(needed) } else { wire::Subscription::Types(needed) }
}
