//! Progress bars: one for the events, one for each projection.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::Host;
use projection::{Board, Phase, Status};
use store::Store;

const REFRESH: Duration = Duration::from_millis(100);

/// Where progress is shown: on a terminal, or nowhere.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    bars: MultiProgress,
    quiet: bool,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self { bars: MultiProgress::with_draw_target(target), quiet }
    }

    /// Says a line, unless it is to be quiet.
    pub(super) fn say(&self, line: &str) {
        if !self.quiet {
            eprintln!("{line}");
        }
    }

    pub(super) fn bar(&self, name: &str, length: u64) -> ProgressBar {
        let style = ProgressStyle::with_template("{prefix:>18} {bar:32} {human_pos:>9} of {human_len} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bars.add(ProgressBar::new(length).with_style(style).with_prefix(name.to_owned()))
    }
}

/// Bars that follow the projections until told to finish.
pub(super) struct Bars {
    task: JoinHandle<()>,
    done: CancellationToken,
}

/// Shows how the projections of `host` come on.
pub(super) fn watch(host: &Host, progress: &Progress) -> Bars {
    let done = CancellationToken::new();
    let (board, store, progress, stop) = (host.projections.board(), host.store.clone(), progress.clone(), done.clone());
    let task = tokio::spawn(async move {
        let mut bars = BTreeMap::new();
        while stop.run_until_cancelled(tokio::time::sleep(REFRESH)).await.is_some() {
            refresh(&board, &store, &progress, &mut bars);
        }
        refresh(&board, &store, &progress, &mut bars);
        bars.values().for_each(ProgressBar::abandon);
    });
    Bars { task, done }
}

impl Bars {
    /// Draws them once more, and ends.
    pub(super) async fn finish(self) {
        self.done.cancel();
        // Bars that could not be drawn are nobody's loss.
        self.task.await.unwrap_or(());
    }
}

fn refresh(board: &Board, store: &Store, progress: &Progress, bars: &mut BTreeMap<String, ProgressBar>) {
    for status in board.statuses(store.head()) {
        let name = format!("{} v{}", status.projection, status.version);
        let bar = bars.entry(name.clone()).or_insert_with(|| progress.bar(&name, status.head.0));
        bar.set_length(status.head.0);
        bar.set_position(status.position.0);
        bar.set_message(words(&status));
    }
}

fn words(status: &Status) -> String {
    match status.phase {
        Phase::Following if status.lag_events == 0 => "caught up".to_owned(),
        Phase::Failed => "failed".to_owned(),
        _ => format!("{:.0}/s", status.events_per_second),
    }
}
