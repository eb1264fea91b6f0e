//! A host that is killed at random moments comes back to exactly the same read model, and of
//! several hosts another one goes on.
//!
//! `FANTASCOPE_SOAK=1` kills more often. The seed of a failed run is in its message;
//! `FANTASCOPE_SEED` runs it again.

mod deployments;
mod dice;
mod host;
mod look;
mod requests;
mod server;
mod several;
mod slides;

use host::{Fault, Killed, Playground};

/// Kills over imports and rebuilds together.
fn kills() -> usize {
    if std::env::var_os("FANTASCOPE_SOAK").is_some() { 1_000 } else { 60 }
}

#[test]
fn a_killed_host_comes_back_to_the_same_read_model() {
    let mut playground = Playground::new();
    let undisturbed = playground.undisturbed();
    assert!(undisturbed.lines().count() > 100, "a read model to speak of:\n{undisturbed}");
    let mut kills_left = kills();
    let mut rounds = 0;
    while kills_left > 0 {
        let data = playground.fresh_data();
        while kills_left > 0 && playground.import_to_kill(&data) == Killed::Yes {
            kills_left -= 1;
        }
        playground.import(&data, None);
        while kills_left > 0 && playground.serve_to_kill(&data, Fault::None) == Killed::Yes {
            kills_left -= 1;
        }
        playground.serve(&data, Fault::None, None);
        rounds += 1;
        assert_eq!(playground.read_models(&data), undisturbed, "round {rounds}, {}", playground.dice);
    }
    println!("{} kills in {rounds} rounds, every read model the same", kills());
}

/// The same kills, with rows and checkpoint committed apart: if this did not differ,
/// the test above would prove nothing.
#[cfg(feature = "fault-injection")]
#[test]
fn rows_and_checkpoint_committed_apart_are_caught() {
    let mut playground = Playground::new();
    let undisturbed = playground.undisturbed();
    for _ in 0..10 {
        let data = playground.fresh_data();
        playground.import(&data, None);
        for _ in 0..8 {
            if playground.serve_to_kill(&data, Fault::CommitApart) == Killed::No {
                break;
            }
        }
        playground.serve(&data, Fault::None, None);
        if playground.read_models(&data) != undisturbed {
            return;
        }
    }
    panic!("80 kills between two commits went unnoticed: the crash test is blind, {}", playground.dice);
}
