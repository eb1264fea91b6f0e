//! Fantascope: a projection host for event-sourced systems.
//!
//! The way of an event goes through these modules in one direction; a module
//! imports only from those above it in this list. `ARCHITECTURE.md` has the map.

// 0: events and changes; no I/O
pub mod change;
pub mod event;
pub mod limits;
pub mod task;
// 1: databases, guests, and the pure stages; they don't know each other
pub mod database;
pub mod guest;
pub mod read_model;
pub mod route;
pub mod store;
pub mod upcast;
// 2: the loop
pub mod projection;
// 3: plugin files
pub mod catalogue;
// 4: changing what runs
pub mod deployment;
// 5: routes
pub mod http;
// 6: putting it together
pub mod app;
pub mod config;
pub mod demo;
// 7: the command line
pub mod cli;
