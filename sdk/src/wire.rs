//! The shapes that cross the boundary to the host, by short names.

pub use crate::bindings::projection::exports::fantascope::plugin::projection::{
    Changes, Guest as ProjectionGuest, Keys, Manifest as ProjectionManifest, Rows,
};
pub use crate::bindings::projection::fantascope::plugin::types::{
    Blobs, Cells, CodedTexts, Column, ColumnDefinition, ColumnType, EventType, Events, Failure, Keying, Subscription,
    TableDefinition, Texts,
};
pub use crate::bindings::upcaster::exports::fantascope::plugin::upcaster::{
    Guest as UpcasterGuest, Manifest as UpcasterManifest, Step, Upcasted,
};

/// Which SDK made a plugin, as its manifest says.
pub(crate) const SDK: &str = concat!("rust ", env!("CARGO_PKG_VERSION"));

/// What `operations` of `Changes` says about a row.
pub(crate) mod operation {
    pub(crate) const KEEP: u8 = 0;
    pub(crate) const PUT: u8 = 1;
    pub(crate) const DELETE: u8 = 2;
}

impl Texts {
    pub(crate) fn with_capacity(texts: usize, bytes: usize) -> Self {
        Self { joined: String::with_capacity(bytes), ends: Vec::with_capacity(texts) }
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.joined.push_str(text);
        self.ends.push(offset(self.joined.len()));
    }

    /// The text of a row.
    pub(crate) fn get(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.joined[start as usize..self.ends[row] as usize]
    }
}

impl Blobs {
    pub(crate) fn push(&mut self, blob: &[u8]) {
        self.joined.extend_from_slice(blob);
        self.ends.push(offset(self.joined.len()));
    }

    /// The bytes of a row.
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.joined[start as usize..self.ends[row] as usize]
    }
}

impl CodedTexts {
    /// The text of a row.
    pub(crate) fn get(&self, row: usize) -> &str {
        &self.entries[self.codes[row] as usize]
    }
}

/// A length as the offset that it crosses the boundary as.
pub(crate) fn offset(length: usize) -> u32 {
    u32::try_from(length).expect("a column of a batch holds less than 4 GiB")
}
