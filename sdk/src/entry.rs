//! The place of a row in its table.

use crate::error::{Error, Result};
use crate::row::Row;
use crate::wire::operation;

/// The place of a row in its table, where there is a row or not yet: like the entry
/// of a map. Doing nothing to it changes nothing.
///
/// However often a batch changes it, the row is written once.
pub struct Entry<R: Row> {
    key: R::Key,
    row: Option<R>,
    was_there: bool,
    is_changed: bool,
}

impl<R: Row> Entry<R> {
    pub(crate) fn new(key: R::Key) -> Self {
        Self { key, row: None, was_there: false, is_changed: false }
    }

    /// The key of the place.
    #[must_use]
    pub fn key(&self) -> &R::Key {
        &self.key
    }

    /// Whether there is a row.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.row.is_some()
    }

    /// Puts a row here, in the place of the one that was here, if any. Its key must
    /// be the place's.
    pub fn put(&mut self, row: R) {
        self.is_changed = true;
        self.row = Some(row);
    }

    /// The row, to be changed.
    ///
    /// # Errors
    /// When there is none; the error names table and key.
    pub fn get(&mut self) -> Result<&mut R> {
        match &mut self.row {
            Some(row) => {
                self.is_changed = true;
                Ok(row)
            }
            None => Err(absent::<R>(&self.key)),
        }
    }

    /// The row, to be changed, if there is one.
    pub fn get_mut(&mut self) -> Option<&mut R> {
        self.is_changed |= self.row.is_some();
        self.row.as_mut()
    }

    /// The row, to be changed; if there is none, the one that `make` makes of the key.
    ///
    /// ```
    /// # use fantascope_sdk::prelude::*;
    /// # #[derive(Row)] #[row(table = "revenue")]
    /// # struct Revenue { #[key] period: String, cents: i64 }
    /// fn add(row: &mut Entry<Revenue>, cents: i64) {
    ///     row.get_or_put(|period| Revenue { period, cents: 0 }).cents += cents;
    /// }
    /// ```
    pub fn get_or_put(&mut self, make: impl FnOnce(R::Key) -> R) -> &mut R {
        self.is_changed = true;
        self.row.get_or_insert_with(|| make(self.key.clone()))
    }

    /// The row, to be looked at only.
    #[must_use]
    pub fn peek(&self) -> Option<&R> {
        self.row.as_ref()
    }

    /// Deletes the row, if there is one.
    pub fn delete(&mut self) {
        self.is_changed |= self.row.is_some();
        self.row = None;
    }

    /// Deletes the row and gives it, if there is one.
    pub fn take(&mut self) -> Option<R> {
        self.is_changed |= self.row.is_some();
        self.row.take()
    }

    /// The row that the table held before the batch.
    pub(crate) fn fill(&mut self, row: R) {
        self.was_there = true;
        self.row = Some(row);
    }

    /// Fails if the row that is here belongs elsewhere.
    pub(crate) fn check_key(&self) -> Result {
        match &self.row {
            Some(row) if self.is_changed && !row.has_key(&self.key) => Err(misplaced::<R>(&self.key)),
            _ => Ok(()),
        }
    }

    /// What the batch made of the row, and the row if it is to be put.
    pub(crate) fn change(&self) -> (u8, Option<&R>) {
        match &self.row {
            _ if !self.is_changed => (operation::KEEP, None),
            Some(row) => (operation::PUT, Some(row)),
            None if self.was_there => (operation::DELETE, None),
            None => (operation::KEEP, None),
        }
    }
}

#[cold]
fn absent<R: Row>(key: &R::Key) -> Error {
    Error::new(format_args!("no `{}` row at key {key:?}", R::TABLE.name))
}

#[cold]
fn misplaced<R: Row>(key: &R::Key) -> Error {
    Error::new(format_args!(
        "the `{}` row at key {key:?} was given another key: a row keeps the key that `keys` named",
        R::TABLE.name
    ))
}
