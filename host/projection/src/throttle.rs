//! What a backfill beside a live version may take of the machine.

use std::time::Duration;

use super::board::Board;
use super::status::Doing;
use model::change::VersionId;
use model::limits::Limits;

/// How long a backfill waits before it looks again whether the live versions keep up.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The longest that a backfill makes way at one page: it must end some day.
const MAKE_WAY_MAX: Duration = Duration::from_secs(2);

/// Holds a backfill back.
#[derive(Clone, Debug)]
pub(super) struct Throttle {
    board: Board,
    /// Of its time it may work so much, from 1 to 100.
    percent: u32,
    /// It makes way while a live version is later than this.
    lag_max: Duration,
}

impl Throttle {
    pub(super) fn new(board: Board, limits: &Limits) -> Self {
        let percent = u32::try_from(limits.backfill_percent_max).unwrap_or(100).clamp(1, 100);
        Self { board, percent, lag_max: Duration::from_millis(limits.backfill_yield_lag_ms) }
    }

    /// Waits after `worked`, so that the share is kept, and while live versions are late.
    pub(super) async fn rest(&self, id: &VersionId, worked: Duration) {
        self.board.doing(id, Doing::Resting);
        tokio::time::sleep(rest_after(worked, self.percent)).await;
        self.board.doing(id, Doing::MakingWay);
        let mut waited = Duration::ZERO;
        while waited < MAKE_WAY_MAX && self.board.live_lag() > self.lag_max {
            tokio::time::sleep(LOOK_AGAIN).await;
            waited += LOOK_AGAIN;
        }
    }
}

fn rest_after(worked: Duration, percent: u32) -> Duration {
    worked.mul_f64(f64::from(100 - percent) / f64::from(percent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_so_long_that_the_share_is_kept() {
        let check = |percent: u32, rest_ms: u64| {
            assert_eq!(rest_after(Duration::from_millis(60), percent), Duration::from_millis(rest_ms), "{percent} %");
        };
        check(100, 0);
        check(50, 60);
        check(25, 180);
    }
}
