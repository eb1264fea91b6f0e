//! Fantascope: a projection host for event-sourced systems.
//!
//! The way of an event goes through these modules in one direction; a module
//! imports only from those above it in this list. `ARCHITECTURE.md` has the map.

// 0: events and changes; no I/O
pub mod limits;
pub mod event;
pub mod change;
// 1: databases, guests, and the pure stages; they don't know each other
pub mod database;
pub mod store;
pub mod read_model;
pub mod guest;
pub mod upcast;
pub mod route;
// 2: the loop
pub mod projection;
// 3: what the host is told by: files and HTTP
pub mod catalogue;
pub mod http;
// 4: putting it together
pub mod config;
pub mod demo;
pub mod app;
// 5: the command line
pub mod cli;
