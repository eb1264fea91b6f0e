//! Which plugins there are: the files of a folder, each admitted or refused; and
//! which of them come, change and go.
//!
//! Knows guests and what upcasters need of each other; runs nothing.

mod folder;
mod scan;
mod watch;

pub use folder::Change;
pub use scan::{Entry, Rejected, Unusable, admit, admit_bytes, reject_clashes, reject_superseded, reject_twins, what};
pub use watch::{Watch, WatchSettings};
