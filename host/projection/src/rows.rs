//! The rows that a batch needs: from what was written a moment ago, and from the
//! database in one statement per table.

use std::sync::Arc;

use super::recent::{Known, Recent};
use guest::Fault;
use model::change::{Column, Keys, Rows, TableDefinition, VersionId};
use model::limits::Limits;
use read_model::{Error, ReadModel, TableChanges};

/// Where the rows of one version come from.
#[derive(Debug)]
pub(super) struct RowSource {
    read_model: ReadModel,
    id: VersionId,
    tables: Vec<TableDefinition>,
    recent: Vec<Recent>,
    /// How many batches were remembered.
    remembered: u64,
}

/// The hashes of the keys of a batch, per table: computed once, used again for what is changed.
pub(super) type Hashes = Vec<Vec<u64>>;

impl RowSource {
    /// `is_new`: no row was ever written for this version, or of this partition of it.
    pub(super) fn new(
        read_model: ReadModel,
        id: VersionId,
        tables: &[TableDefinition],
        limits: &Limits,
        is_new: bool,
    ) -> Self {
        let filter_bytes = is_new.then_some(limits.key_filter_bytes);
        let bytes_max = limits.recent_rows_bytes_max / tables.len().max(1);
        let recent = tables.iter().map(|_| Recent::new(bytes_max, filter_bytes)).collect();
        Self { read_model, id, tables: tables.to_vec(), recent, remembered: 0 }
    }

    /// The hashes of `keys`, per table.
    ///
    /// # Errors
    /// If a key is named twice: of two changes of a row nobody could say which holds.
    pub(super) fn hashes(&self, keys: &[Keys]) -> Result<Hashes, Fault> {
        let of_table = |(table, keys): (&TableDefinition, &Keys)| {
            let hashes = keys.hashes();
            match keys.first_twice(table, &hashes) {
                None => Ok(hashes),
                Some(malformed) => Err(Fault::lied(table.name.as_str(), &malformed)),
            }
        };
        self.tables.iter().zip(keys).map(of_table).collect()
    }

    /// Those of the rows with `keys`, whose hashes these are, that exist, per table.
    pub(super) async fn read(&self, keys: &[Keys], hashes: &Hashes) -> Result<Vec<Rows>, Error> {
        let mut all = Vec::with_capacity(keys.len());
        for (((table, recent), keys), hashes) in self.tables.iter().zip(&self.recent).zip(keys).zip(hashes) {
            let known: Vec<Known<'_>> =
                hashes.iter().enumerate().map(|(row, &hash)| recent.find(keys, row, hash)).collect();
            all.push(self.complete(table, keys, &known).await?);
        }
        Ok(all)
    }

    /// Remembers what a batch writes; `committed` batches are in the database already.
    pub(super) fn remember(&mut self, tables: &[Arc<TableChanges>], committed: u64) {
        let recent = self.recent.iter_mut().zip(tables);
        recent.for_each(|(recent, changed)| recent.add(self.remembered, changed, committed));
        self.remembered += 1;
    }

    async fn complete(&self, table: &TableDefinition, keys: &Keys, known: &[Known<'_>]) -> Result<Rows, Error> {
        let unknown: Vec<u32> =
            (0_u32..).zip(known).filter(|(_, known)| matches!(known, Known::Unknown)).map(|(row, _)| row).collect();
        let read = self.read_model.rows(&self.id, table, &keys.gather(table, &unknown)).await?;
        let mut rows = Rows::none(table, keys.count);
        let (mut asked, mut found) = (0, 0);
        for (row, known) in known.iter().enumerate() {
            let source = match known {
                Known::Row(columns, at) => Some((*columns, *at)),
                Known::Absent => None,
                Known::Unknown => {
                    let present = read.present[asked] != 0;
                    asked += 1;
                    present.then(|| {
                        found += 1;
                        (read.columns.as_slice(), found - 1)
                    })
                }
            };
            if let Some((columns, at)) = source {
                rows.present[row] = 1;
                push(&mut rows.columns, columns, at);
            }
        }
        Ok(rows)
    }
}

fn push(to: &mut [Column], from: &[Column], row: usize) {
    to.iter_mut().zip(from).for_each(|(to, from)| to.push_from(from, row));
}
