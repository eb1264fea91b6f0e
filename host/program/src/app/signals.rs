//! How the host is told to end: once to drain, twice to stop at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that was stopped at once, by custom.
const STOPPED_AT_ONCE: i32 = 130;

/// A token that is cancelled by the first interrupt or termination signal. The
/// second one ends the process on the spot; nothing is lost by it, for whatever was
/// not committed is folded again.
///
/// # Errors
/// If signals can't be heard.
pub(super) fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = stop.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if first {
                tracing::info!("stopping when all that was folded is committed; a second signal stops at once");
                token.cancel();
            }
        }
        std::process::exit(STOPPED_AT_ONCE);
    });
    Ok(stop)
}
