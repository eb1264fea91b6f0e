//! The HTTP interface: what each route answers, and how each fault is told.

mod access;
mod appending;
mod deploying;
mod host;
mod operation;
mod reading;
mod socket;
