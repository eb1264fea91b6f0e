//! An upcaster in its sandbox.

use super::bindings::upcaster_plugin::{UpcasterPlugin, UpcasterPluginPre};
use super::call_limits::Cell;
use super::convert::{own_event_type, own_events, own_upcaster_manifest};
use super::state::{LogLine, State};
use super::{Fault, Sandbox};
use model::change::{Upcasted, UpcasterManifest};
use model::event::{Batch, Texts};

/// An upcaster in a sandbox of its own.
pub struct GuestUpcaster {
    cell: Cell,
    plugin: UpcasterPlugin,
}

impl std::fmt::Debug for GuestUpcaster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuestUpcaster").field("cell", &self.cell).finish_non_exhaustive()
    }
}

/// Asks the plugin what it is. The outer error is the host's, the inner one the plugin's.
pub(super) fn describe(
    sandbox: &Sandbox,
    pre: &UpcasterPluginPre<State>,
) -> Result<Result<UpcasterManifest, String>, Fault> {
    let mut guest = GuestUpcaster::start(sandbox, pre)?;
    let plugin = &guest.plugin;
    let manifest = guest.cell.call(0, |store| plugin.fantascope_plugin_upcaster().call_describe(store))?;
    Ok(own_upcaster_manifest(manifest).and_then(|manifest| manifest.check().map(|()| manifest)))
}

impl GuestUpcaster {
    pub(super) fn start(sandbox: &Sandbox, pre: &UpcasterPluginPre<State>) -> Result<Self, Fault> {
        let mut cell = Cell::new(&sandbox.engine, &sandbox.settings.limits);
        let plugin = cell.call(0, |store| pre.instantiate(store))?;
        Ok(Self { cell, plugin })
    }

    /// Upcasts every event of `batch` by one step.
    ///
    /// # Errors
    /// If one of them can't be upcast, or the answer does not fit the batch.
    pub fn upcast(&mut self, batch: Batch) -> Result<Upcasted, Fault> {
        let events = batch.len();
        let now = batch.timestamps.last().copied().unwrap_or(0);
        let batch = own_events(batch);
        let guest = self.plugin.fantascope_plugin_upcaster();
        let answer = self.cell.call(now, |store| guest.call_upcast(store, &batch))?;
        let answer = answer.map_err(|failure| self.cell.refused(failure.event, failure.path, &failure.message))?;
        let upcasted = Upcasted {
            counts: answer.counts,
            types: answer.types.into_iter().map(own_event_type).collect(),
            type_codes: answer.type_codes,
            data: Texts { joined: answer.data.joined, ends: answer.data.ends },
        };
        upcasted.check(events).map_err(|what| Fault::Lied { what })?;
        Ok(upcasted)
    }

    /// What it wrote to its log since the last time.
    pub fn take_lines(&mut self) -> Vec<LogLine> {
        self.cell.take_lines()
    }
}
