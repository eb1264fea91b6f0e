//! Upcasters: events of an old schema in, current ones out.

use std::rc::Rc;

use crate::batch::{Batch, Earliest};
use crate::error::{Error, Result};
use crate::event::{Event, Events as _, Pattern, Source, WriteEvents};
use crate::meta::Meta;
use crate::wire;

/// What becomes of an event of an old schema. What it becomes may be taken by
/// another step in turn, so each version needs to know the next one only.
///
/// ```
/// # use fantascope_sdk::prelude::*;
/// #[derive(Event, Deserialize)]
/// #[event("OrderPaid")]
/// struct OrderPaidV1 {
///     amount: String,
/// }
///
/// #[derive(Event, Serialize, Deserialize)]
/// #[event("OrderPaid", v = 2)]
/// struct OrderPaid {
///     amount_cents: i64,
/// }
///
/// impl Upcast for OrderPaidV1 {
///     type Into = OrderPaid;
///
///     fn upcast(self, _: &Meta) -> Result<Vec<OrderPaid>> {
///         let euros: f64 = self.amount.parse().at("amount")?;
///         let amount_cents = (euros * 100.0).round() as i64;
///         Ok(vec![OrderPaid { amount_cents }])
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no step of an upcaster",
    label = "not upcasted",
    note = "write `impl Upcast for {Self}`, which says what becomes of such an event"
)]
pub trait Upcast: Event {
    /// What such an event may become: an event, a set of events, or
    /// [`NoEvent`](crate::NoEvent) for one that is dropped.
    type Into: WriteEvents;

    /// What this event becomes: one event, several, or none.
    ///
    /// # Errors
    /// When the event can't be upcasted. Everything that reads it stops before it.
    fn upcast(self, meta: &Meta<'_>) -> Result<Vec<Self::Into>>;
}

/// Exports an upcaster from this crate:
/// `upcaster! { name = "orders", version = 1, steps = [OrderPlacedV1] }`.
#[macro_export]
macro_rules! upcaster {
    (name = $name:literal, version = $version:literal, steps = [$($step:ty),+ $(,)?] $(,)?) => {
        const _: () = {
            const {
                assert!(
                    $crate::__private::is_name($name),
                    "the name of an upcaster must match ^[a-z][a-z0-9_]{{0,62}}$"
                );
                assert!($version >= 1, "the version of an upcaster is at least 1");
                assert!(
                    $crate::__private::are_distinct_patterns(&[
                        $($crate::__private::takes::<$step>()),+
                    ]),
                    "two steps of this upcaster take the same type and version"
                );
            }

            #[cfg(target_arch = "wasm32")]
            $crate::__private::export_upcaster! { $name, $version, $($step),+ }
        };
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "write `upcaster! { name = \"orders\", version = 1, steps = [OrderPlacedV1] }`"
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_upcaster {
    ($name:literal, $version:literal, $($step:ty),+) => {
        struct Plugin;

        ::std::thread_local! {
            static UPCASTER: $crate::__private::Upcaster = $crate::__private::Upcaster::new(
                $name,
                $version,
                ::std::vec![$($crate::__private::step::<$step>()),+],
            );
        }

        impl $crate::__private::wire::UpcasterGuest for Plugin {
            fn describe() -> $crate::__private::wire::UpcasterManifest {
                UPCASTER.with(|upcaster| upcaster.describe())
            }

            fn upcast(
                batch: $crate::__private::wire::Events,
            ) -> ::core::result::Result<
                $crate::__private::wire::Upcasted,
                $crate::__private::wire::Failure,
            > {
                UPCASTER.with(|upcaster| upcaster.upcast(batch))
            }
        }

        $crate::__private::bindings::upcaster::export_upcaster!(
            Plugin with_types_in $crate::__private::bindings::upcaster
        );
    };
}

/// The type and version that a step takes.
#[must_use]
pub const fn takes<U: Upcast>() -> Pattern {
    Pattern::of::<U>()
}

/// A step of an upcaster, whatever it takes.
pub struct Step {
    takes: (&'static str, u32),
    gives: &'static [Pattern],
    run: Run,
}

/// Upcasts an event: writes the payloads of what it becomes to the end of the bytes,
/// and tells of each the index of its variant and where its payload ends.
type Run = fn(Source<'_>, &Meta<'_>, &mut Vec<u8>, &mut dyn FnMut(usize, usize)) -> Result;

/// The step that takes events of a type.
#[must_use]
pub fn step<U: Upcast>() -> Step {
    Step {
        takes: (U::NAME, U::VERSION),
        gives: U::Into::PATTERNS,
        run: |source, meta, data, gave| {
            for event in source.decode::<U>()?.upcast(meta)? {
                event.write(data)?;
                gave(event.variant(), data.len());
            }
            Ok(())
        },
    }
}

/// An upcaster, as the host calls it.
pub struct Upcaster {
    name: &'static str,
    version: u32,
    steps: Vec<Step>,
}

impl Upcaster {
    #[must_use]
    pub fn new(name: &'static str, version: u32, steps: Vec<Step>) -> Self {
        crate::log::panics_to_log();
        Self { name, version, steps }
    }

    #[must_use]
    pub fn describe(&self) -> wire::UpcasterManifest {
        let event_type = |name: &str, version| wire::EventType { name: name.to_owned(), version };
        wire::UpcasterManifest {
            sdk: wire::SDK.to_owned(),
            name: self.name.to_owned(),
            version: self.version,
            steps: self
                .steps
                .iter()
                .map(|step| wire::Step {
                    takes: event_type(step.takes.0, step.takes.1),
                    gives: step.gives.iter().filter_map(event_type_of).collect(),
                })
                .collect(),
        }
    }

    /// # Errors
    /// When an event can't be decoded or upcasted.
    pub fn upcast(&self, events: wire::Events) -> Result<wire::Upcasted, wire::Failure> {
        let batch = Rc::new(Batch::new(events));
        let mut earliest = Earliest::none_of(&batch);
        let steps: Vec<Option<&Step>> = batch
            .types
            .iter()
            .map(|taken| {
                let takes = |step: &&Step| step.takes == (taken.name.as_str(), taken.version);
                self.steps.iter().find(takes)
            })
            .collect();
        let mut out = Output::with_capacity(&batch);
        for row in 0..batch.len() {
            let code = batch.type_codes[row] as usize;
            let done = match steps[code] {
                Some(step) => out.run(step, code, &batch, row),
                None => Err(Error::new("this upcaster takes no such event")),
            };
            if let Err(error) = done {
                earliest.fail(row, &error);
                break;
            }
        }
        earliest.take()?;
        Ok(out.finish())
    }
}

fn event_type_of(pattern: &Pattern) -> Option<wire::EventType> {
    match *pattern {
        Pattern::Type { name, version } => Some(wire::EventType { name: name.to_owned(), version }),
        Pattern::Prefix(_) | Pattern::Any => None,
    }
}

/// What has come out of a batch so far.
struct Output {
    counts: Vec<u32>,
    types: Vec<wire::EventType>,
    /// For each type that came in and each variant that its step may give, the code
    /// of what came out; filled when it first does.
    codes: Vec<Vec<Option<u32>>>,
    type_codes: Vec<u32>,
    data: Vec<u8>,
    ends: Vec<u32>,
}

impl Output {
    fn with_capacity(batch: &Batch) -> Self {
        Self {
            counts: Vec::with_capacity(batch.len()),
            types: Vec::new(),
            codes: vec![Vec::new(); batch.types.len()],
            type_codes: Vec::with_capacity(batch.len()),
            data: Vec::with_capacity(batch.data.joined.len()),
            ends: Vec::with_capacity(batch.len()),
        }
    }

    fn run(&mut self, step: &Step, code: usize, batch: &Rc<Batch>, row: usize) -> Result {
        let Self { counts, types, codes, type_codes, data, ends } = self;
        let codes = &mut codes[code];
        codes.resize(step.gives.len(), None);
        let before = ends.len();
        let source = Source::new(batch, row);
        (step.run)(source, &Meta::new(batch, row), data, &mut |variant, end| {
            let code = *codes[variant].get_or_insert_with(|| code_of(&step.gives[variant], types));
            type_codes.push(code);
            ends.push(wire::offset(end));
        })?;
        counts.push(wire::offset(ends.len() - before));
        Ok(())
    }

    fn finish(self) -> wire::Upcasted {
        wire::Upcasted {
            counts: self.counts,
            types: self.types,
            type_codes: self.type_codes,
            data: wire::Texts { joined: String::from_utf8(self.data).expect("JSON is UTF-8"), ends: self.ends },
        }
    }
}

/// The code of a type in the dictionary of those that came out.
fn code_of(pattern: &Pattern, types: &mut Vec<wire::EventType>) -> u32 {
    let is = |known: &wire::EventType| matches!(*pattern, Pattern::Type { name, version } if known.name == name && known.version == version);
    let code = types.iter().position(is).unwrap_or_else(|| {
        types.extend(event_type_of(pattern));
        types.len() - 1
    });
    wire::offset(code)
}
