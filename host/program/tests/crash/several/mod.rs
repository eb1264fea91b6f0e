//! Several hosts on one database, as processes: killed, stopped, woken, told to end.
//!
//! `FANTASCOPE_TEST_POSTGRES` and `FANTASCOPE_TEST_MARIADB` name servers in which databases may
//! be made; a server that is not given is named, and its tests are skipped.

mod foreign;
mod ground;
mod operations;
mod split_brain;
mod take_over;
mod writers;
