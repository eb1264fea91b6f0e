//! Upcasters in their sandboxes, put together to a chain on a thread of its own.

use std::sync::Arc;

use crate::change::Upcasted;
use crate::event::Batch;
use crate::guest::{Fault, Gone, GuestUpcaster, Thread, UpcasterPlugin};
use crate::upcast::{Chain, Clash, Poisoned, Refused, Upcast};

/// Upcasts batches, one after the other. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Upcasters {
    /// None if there is nothing to upcast, so that nothing waits for a thread.
    thread: Option<Arc<Thread<Chain>>>,
}

/// Why upcasters can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Clash(#[from] Clash),
    #[error("no thread for the upcasters: {0}")]
    Thread(#[from] std::io::Error),
}

impl Upcasters {
    /// Puts `plugins` together.
    ///
    /// # Errors
    /// If two take the same, or events would be upcast for ever.
    pub fn new(plugins: Vec<UpcasterPlugin>) -> Result<Self, Error> {
        let sandboxed = |plugin: UpcasterPlugin| {
            let manifest = Arc::clone(&plugin.manifest);
            (manifest, Box::new(Sandboxed { plugin, guest: None }) as Box<dyn Upcast>)
        };
        let chain = Chain::new(plugins.into_iter().map(sandboxed).collect())?;
        let thread = if chain.is_empty() { None } else { Some(Arc::new(Thread::spawn("upcasters", move || chain)?)) };
        Ok(Self { thread })
    }

    /// Makes all of `batch` current.
    pub(super) async fn run(&self, batch: Batch) -> Result<(Batch, Vec<Poisoned>), Gone> {
        match &self.thread {
            None => Ok((batch, Vec::new())),
            Some(thread) => thread.call(move |chain| chain.run(batch)).await,
        }
    }
}

/// An upcaster that is started anew after each trap, for a trap leaves a store unusable.
struct Sandboxed {
    plugin: UpcasterPlugin,
    guest: Option<GuestUpcaster>,
}

impl Upcast for Sandboxed {
    fn upcast(&mut self, batch: Batch) -> Result<Upcasted, Refused> {
        let mut guest = match self.guest.take() {
            Some(guest) => guest,
            None => self.plugin.start().map_err(|fault| refused(&fault))?,
        };
        let outcome = guest.upcast(batch);
        let name = &self.plugin.manifest.name;
        super::log::forward(name.as_str(), self.plugin.manifest.version, guest.take_lines());
        match outcome {
            Err(fault @ Fault::Refused { .. }) => {
                self.guest = Some(guest);
                Err(refused(&fault))
            }
            Err(fault) => Err(refused(&fault)),
            Ok(upcasted) => {
                self.guest = Some(guest);
                Ok(upcasted)
            }
        }
    }
}

fn refused(fault: &Fault) -> Refused {
    Refused { event: fault.event(), code: fault.code(), message: fault.to_string() }
}
