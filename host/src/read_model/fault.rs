//! Faults on demand, for tests that must show that they would be caught.

use std::time::Duration;

/// Whether rows and checkpoint are to be committed apart.
pub(super) fn commits_apart() -> bool {
    std::env::var("FANTASCOPE_FAULT").is_ok_and(|fault| fault == "commit-apart")
}

/// Gives a killer time to hit between the two commits.
pub(super) async fn pause_between() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}
