//! Faults on demand, for tests that must show that they would be caught.

use std::time::Duration;

use crate::control::writing::Writing;
use crate::{Error, ReadModel};

/// Whether rows and checkpoint are to be committed apart.
pub(super) fn commits_apart() -> bool {
    is("commit-apart")
}

/// Whether the stable names and the live pointer are to be switched apart.
pub(super) fn switches_apart() -> bool {
    is("switch-apart")
}

/// Whether commits are to be let through whoever owns the checkpoint.
pub(super) fn is_unfenced() -> bool {
    is("unfenced")
}

fn is(wanted: &str) -> bool {
    std::env::var("FANTASCOPE_FAULT").is_ok_and(|fault| fault == wanted)
}

/// Gives a killer time to hit between the two commits: much of the time of all, also on a machine that
/// is so busy that everything else takes ten times as long.
pub(super) async fn pause_between() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Commits what is done so far, and goes on in a second transaction.
pub(super) async fn commit_halfway(read_model: &ReadModel, writing: Writing) -> Result<Writing, Error> {
    writing.commit().await?;
    pause_between().await;
    read_model.begin().await
}
