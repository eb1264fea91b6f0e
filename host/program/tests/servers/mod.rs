//! Throwaway database servers for tests: each with a data folder, a socket and a port of
//! its own, reached on the loopback alone, gone with the process that started it.
//!
//! A [`Template`] is made once per machine and copied for each [`Server`], which takes a
//! fraction of a second. Used by `cargo xtask` and by tests, hence on the standard library
//! and little else. Servers that run already are never touched. Linux only.

mod installation;
mod kind;
mod process;
mod server;
mod template;
mod watchdog;

pub(crate) use installation::Installation;
pub(crate) use kind::Kind;
pub(crate) use server::{Durability, Server};
pub(crate) use template::Template;
