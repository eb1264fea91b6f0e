//! The stages of a rebuild, each by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fantascope::change::{Cells, Changes, Digest, Keys, Operation, Rows};
use fantascope::database::Database;
use fantascope::event::{Batch, Checkpoint, Position};
use fantascope::guest::{Fold as _, ProjectionPlugin};
use fantascope::limits::Limits;
use fantascope::read_model::{Commit, ReadModel, TableChanges};
use fantascope::store::Store;

use crate::home::Home;

/// Seconds to read all events, at the fastest way there is here.
pub(crate) async fn read(store: &str) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut events = 0;
    for_each_page(store, |batch| events += batch.len()).await?;
    anyhow::ensure!(events > 0, "nothing was read");
    Ok(began.elapsed().as_secs_f64())
}

/// Seconds in the guest (load and apply), and seconds to write what it changed.
/// Rows come from memory, so that neither waits for anything.
pub(crate) async fn guest_and_write(store: &str, home: &Home, plugin: &ProjectionPlugin) -> anyhow::Result<(f64, f64)> {
    let mut batches = Vec::new();
    for_each_page(store, |batch| batches.push(batch)).await?;
    let mut guest = plugin.start()?;
    let mut in_guest = Duration::ZERO;
    let mut known = Known::default();
    let mut commits = Vec::with_capacity(batches.len());
    for batch in batches {
        let began = Instant::now();
        let mut keys = guest.load(&batch)?;
        in_guest += began.elapsed();
        let rows = known.rows(plugin, &keys[0]);
        let hashes = keys[0].hashes();
        let existing = rows.present.clone();
        let began = Instant::now();
        let mut changes = guest.apply(&[rows])?;
        in_guest += began.elapsed();
        let changed = Arc::new(TableChanges::new(keys.remove(0), hashes, changes.remove(0), existing));
        known.remember(&changed);
        let position = Position(batch.positions.last().copied().unwrap_or(0));
        commits.push(Commit { tables: vec![changed], checkpoint: Checkpoint { position, last_event: None } });
    }
    Ok((in_guest.as_secs_f64(), write(home, plugin, &commits).await?))
}

async fn write(home: &Home, plugin: &ProjectionPlugin, commits: &[Commit]) -> anyhow::Result<f64> {
    let database = Database::at(&home.fresh("written").await?).await?;
    let read_model = ReadModel::open(&database).await?;
    let prepared = read_model.prepare(&plugin.manifest, Digest([0; 32])).await?;
    let mut writer = read_model.writer(&prepared, &plugin.manifest.tables);
    let began = Instant::now();
    for commit in commits {
        writer.commit(std::slice::from_ref(commit)).await?;
    }
    read_model.finish_indexes(&prepared.id, &plugin.manifest.tables).await?;
    Ok(began.elapsed().as_secs_f64())
}

async fn for_each_page(store: &str, mut then: impl FnMut(Batch)) -> anyhow::Result<()> {
    let database = Database::at(store).await?;
    let store = Store::open(&database, &Limits::default()).await?;
    let mut position = Position::START;
    while position < store.head() {
        let page = store.page(position, store.head()).await?;
        position = page.up_to;
        then(page.events);
    }
    Ok(())
}

/// All rows of the one table of the order list, by key.
#[derive(Default)]
struct Known {
    written: Vec<Arc<TableChanges>>,
    rows: HashMap<String, (usize, usize)>,
}

impl Known {
    fn rows(&self, plugin: &ProjectionPlugin, keys: &Keys) -> Rows {
        let mut rows = Rows::none(&plugin.manifest.tables[0], keys.count);
        for row in 0..keys.count {
            if let Some(&(batch, at)) = self.rows.get(text(keys, row)) {
                rows.present[row] = 1;
                for (to, from) in rows.columns.iter_mut().zip(&self.written[batch].changes.columns) {
                    to.push_from(from, at);
                }
            }
        }
        rows
    }

    fn remember(&mut self, changed: &Arc<TableChanges>) {
        let TableChanges { keys, changes: Changes { operations, .. }, .. } = &**changed;
        let mut at = 0;
        for (row, operation) in operations.iter().enumerate() {
            if *operation == Operation::Put {
                self.rows.insert(text(keys, row).to_owned(), (self.written.len(), at));
                at += 1;
            }
        }
        self.written.push(Arc::clone(changed));
    }
}

fn text(keys: &Keys, row: usize) -> &str {
    match &keys.columns[0].cells {
        Cells::Texts(texts) => texts.get(row),
        _ => "",
    }
}
