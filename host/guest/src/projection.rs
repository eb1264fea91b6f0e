//! A projection in its sandbox: load, apply.

use super::bindings::projection_plugin::exports::fantascope::plugin::projection as wit;
use super::bindings::projection_plugin::fantascope::plugin::types;
use super::bindings::projection_plugin::{ProjectionPlugin, ProjectionPluginPre};
use super::call_limits::Cell;
use super::convert::{borrow_columns, borrow_events, own_changes, own_keys, own_manifest};
use super::state::{LogLine, State};
use super::{Fault, Sandbox};
use model::change::{Changes, Keys, Manifest, Rows, TableDefinition};
use model::event::Batch;

/// Something that folds batches of events over rows.
pub trait Fold {
    /// Takes a batch in and says which rows it touches, per table.
    ///
    /// # Errors
    /// If the batch can't be folded; it is forgotten then.
    fn load(&mut self, batch: &Batch) -> Result<Vec<Keys>, Fault>;

    /// Folds the loaded batch over those of the rows that exist.
    ///
    /// # Errors
    /// If the batch can't be folded; it is forgotten then.
    fn apply(&mut self, existing: &[Rows]) -> Result<Vec<Changes>, Fault>;

    /// What it wrote to its log since the last time.
    fn take_lines(&mut self) -> Vec<LogLine>;
}

/// A projection in a sandbox of its own.
pub struct GuestProjection {
    cell: Cell,
    plugin: ProjectionPlugin,
    tables: Vec<TableDefinition>,
    wanted: Vec<usize>,
    now: i64,
}

impl std::fmt::Debug for GuestProjection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuestProjection").field("cell", &self.cell).finish_non_exhaustive()
    }
}

/// Asks the plugin what it is. The outer error is the host's, the inner one the plugin's.
pub(super) fn describe(sandbox: &Sandbox, pre: &ProjectionPluginPre<State>) -> Result<Result<Manifest, String>, Fault> {
    let mut cell = Cell::new(&sandbox.engine, &sandbox.settings.limits);
    let plugin = cell.call(0, |store| pre.instantiate(store))?;
    let manifest = cell.call(0, |store| plugin.fantascope_plugin_projection().call_describe(store))?;
    Ok(own_manifest(manifest).and_then(|manifest| manifest.check().map(|()| manifest)))
}

impl GuestProjection {
    /// A fresh instance that knows of no batch yet.
    pub(super) fn start(
        sandbox: &Sandbox,
        pre: &ProjectionPluginPre<State>,
        tables: &[TableDefinition],
    ) -> Result<Self, Fault> {
        let mut cell = Cell::new(&sandbox.engine, &sandbox.settings.limits);
        let plugin = cell.call(0, |store| pre.instantiate(store))?;
        Ok(Self { cell, plugin, tables: tables.to_vec(), wanted: Vec::new(), now: 0 })
    }

    fn refused(&self, failure: types::Failure) -> Fault {
        self.cell.refused(failure.event, failure.path, &failure.message)
    }
}

impl Fold for GuestProjection {
    fn load(&mut self, batch: &Batch) -> Result<Vec<Keys>, Fault> {
        let event_types: Vec<types::EventType<'_>> =
            batch.types.iter().map(|known| types::EventType { name: &known.name, version: known.version }).collect();
        let aggregate_types: Vec<&str> = batch.aggregate_types.iter().map(String::as_str).collect();
        let events = borrow_events(batch, &event_types, &aggregate_types);
        self.now = batch.timestamps.last().copied().unwrap_or(0);
        let guest = self.plugin.fantascope_plugin_projection();
        let answer = self.cell.call(self.now, |store| guest.call_load(store, events))?;
        let keys: Vec<Keys> = answer.map_err(|failure| self.refused(failure))?.into_iter().map(own_keys).collect();
        expect_tables(keys.len(), self.tables.len())?;
        for (table, keys) in self.tables.iter().zip(&keys) {
            keys.check(table).map_err(|malformed| Fault::lied(table.name.as_str(), &malformed))?;
        }
        self.wanted = keys.iter().map(|keys| keys.count).collect();
        Ok(keys)
    }

    fn apply(&mut self, existing: &[Rows]) -> Result<Vec<Changes>, Fault> {
        let columns: Vec<Vec<types::ColumnParam<'_>>> = existing.iter().map(borrow_columns).collect();
        let rows: Vec<wit::Rows<'_>> = existing
            .iter()
            .zip(&columns)
            .map(|(rows, columns)| wit::Rows { present: &rows.present, columns })
            .collect();
        let guest = self.plugin.fantascope_plugin_projection();
        let answer = self.cell.call(self.now, |store| guest.call_apply(store, &rows))?;
        let answer = answer.map_err(|failure| self.refused(failure))?;
        expect_tables(answer.len(), self.tables.len())?;
        let mut all = Vec::with_capacity(answer.len());
        for ((table, changes), &wanted) in self.tables.iter().zip(answer).zip(&self.wanted) {
            let changes = own_changes(changes).map_err(|code| Fault::Lied {
                what: format!("table `{}`: there is no operation {code}", table.name),
            })?;
            changes.check(table, wanted).map_err(|malformed| Fault::lied(table.name.as_str(), &malformed))?;
            all.push(changes);
        }
        Ok(all)
    }

    fn take_lines(&mut self) -> Vec<LogLine> {
        self.cell.take_lines()
    }
}

fn expect_tables(found: usize, expected: usize) -> Result<(), Fault> {
    if found == expected {
        Ok(())
    } else {
        Err(Fault::Lied { what: format!("it speaks of {found} tables, its manifest of {expected}") })
    }
}
