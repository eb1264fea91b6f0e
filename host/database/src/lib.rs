//! Opening databases: URLs, connections with the right settings, transactions,
//! migrations, and statements that all of them understand.
//!
//! Level 1, below `store` and `read_model`, which may share one database without
//! knowing each other.

mod address;
mod cause;
mod connections;
mod dialect;
mod fault;
mod identity;
mod insist;
mod instant;
mod migrate;
mod mysql;
mod open;
mod outage;
mod pieces;
mod pooled;
mod postgres;
mod query;
mod rights;
mod session;
mod sqlite;

pub use address::{Address, without_password};
pub use cause::{Cause, Refusal};
pub use connections::Connections;
pub use dialect::{Dialect, quote};
pub use fault::{Error, is_data, is_lost, is_made_meanwhile, is_passing, is_taken, is_unwritable};
pub use instant::{PgInstant, date_time, micros};
pub use migrate::{Concern, Tables};
pub use mysql::Flavour;
pub use open::{Database, Durability, PoolStatus};
pub use outage::Outage;
pub use pieces::{pieces, pieces_within};
pub use query::{Cell, Query, Row, Value, query};
pub use session::{Connection, Link, Session, Transaction, Writer};
