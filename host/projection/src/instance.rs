//! The guest of one projection: on a thread of its own, started anew after a trap.

use std::sync::Arc;

use guest::{Fault, Fold, LogLine, ProjectionPlugin, Thread};
use model::change::{Changes, Keys, Rows};
use model::event::Batch;
use model::task::Panic;

/// Starts instances. What it starts is a guest in its sandbox; benchmarks start the
/// same code natively.
pub type Start = Arc<dyn Fn() -> Result<Box<dyn Fold>, Fault> + Send + Sync>;

/// How to start the guests of `plugin`.
#[must_use]
pub fn sandboxed(plugin: ProjectionPlugin) -> Start {
    Arc::new(move || plugin.start().map(|guest| Box::new(guest) as Box<dyn Fold>))
}

/// The guest of one projection.
#[derive(Debug)]
pub(super) struct Instance {
    thread: Thread<Slot>,
    name: String,
    version: u32,
}

struct Slot {
    start: Start,
    fold: Option<Box<dyn Fold>>,
}

impl Instance {
    pub(super) fn new(name: &str, version: u32, start: Start) -> std::io::Result<Self> {
        let thread = Thread::spawn(name, move || Slot { start: Arc::clone(&start), fold: None })?;
        Ok(Self { thread, name: name.to_owned(), version })
    }

    /// Starts the guest now rather than at the first batch.
    pub(super) async fn warm(&self) -> Result<Result<(), Fault>, Panic> {
        self.call(|_| Ok(())).await
    }

    /// Which rows `batch` touches, per table.
    pub(super) async fn load(&self, batch: Arc<Batch>) -> Result<Result<Vec<Keys>, Fault>, Panic> {
        self.call(move |fold| fold.load(&batch)).await
    }

    /// The loaded batch, folded over `rows`.
    pub(super) async fn apply(&self, rows: Vec<Rows>) -> Result<Result<Vec<Changes>, Fault>, Panic> {
        self.call(move |fold| fold.apply(&rows)).await
    }

    async fn call<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut dyn Fold) -> Result<R, Fault> + Send + 'static,
    ) -> Result<Result<R, Fault>, Panic> {
        let (outcome, lines) = self.thread.call(move |slot| slot.call(call)).await?;
        super::log::forward(&self.name, self.version, lines);
        Ok(outcome)
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("started", &self.fold.is_some()).finish_non_exhaustive()
    }
}

impl Slot {
    fn call<R>(&mut self, call: impl FnOnce(&mut dyn Fold) -> Result<R, Fault>) -> (Result<R, Fault>, Vec<LogLine>) {
        let mut fold = match self.fold.take().map_or_else(|| (self.start)(), Ok) {
            Ok(fold) => fold,
            Err(fault) => return (Err(fault), Vec::new()),
        };
        let outcome = call(fold.as_mut());
        let lines = fold.take_lines();
        // Whoever refuses an event is well; all else leaves a store that can't be entered again.
        if matches!(outcome, Ok(_) | Err(Fault::Refused { .. })) {
            self.fold = Some(fold);
        }
        (outcome, lines)
    }
}
