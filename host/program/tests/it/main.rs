//! The host as a whole, without its network: guests in their sandbox, real files,
//! every projection at work.
//!
//! The guests come from `cargo xtask guests`, which these tests call unless
//! `FANTASCOPE_GUESTS` names their folder. `FANTASCOPE_SOAK=1` makes some run long.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod admission;
mod apart;
mod appends;
mod away;
mod comparison;
mod copies;
mod deploy_examples;
mod deployment;
#[path = "../crash/dice.rs"]
#[expect(dead_code, reason = "the tests that kill hosts use more of it")]
mod dice;
#[path = "../disk/mod.rs"]
mod disk;
mod dropped;
mod floats;
mod folder;
mod full;
mod guests;
mod heard;
mod history;
mod hold;
mod hostile;
mod hosts;
mod idle;
mod kept;
mod lag;
mod lamp;
mod lies;
mod lost;
mod misfits;
mod newer;
mod outage;
mod packets;
mod pages;
mod panics;
mod place;
mod promotion;
mod refusals;
mod replay;
mod restored;
mod rewound;
mod rows;
mod scenarios;
mod scribe;
#[path = "../servers/mod.rs"]
mod servers;
mod side;
mod stage;
mod tail;
mod throwaway;
mod tidy;
mod tls;
mod together;
mod upcasters;
mod views;
mod watch;
