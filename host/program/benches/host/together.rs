//! Several guests at work at once: partitions of one history, and projections rebuilt together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fantascope::change::{Changes, Keys, Rows};
use fantascope::event::Batch;
use fantascope::guest::{Fault, Fold, LogLine, ProjectionPlugin};
use fantascope::projection::{Start, sandboxed};

use crate::Size;
use crate::home::Home;
use crate::rebuild::{Together, rebuild_in};
use crate::report::{Median, Report};

/// What a guest that does more than the order list takes for each event.
const MORE: Duration = Duration::from_micros(6);

/// A guest that takes more time: it is the slowest stage then, by far.
struct Slow(Box<dyn Fold>);

impl Fold for Slow {
    fn load(&mut self, batch: &Batch) -> Result<Vec<Keys>, Fault> {
        let end = Instant::now() + MORE * u32::try_from(batch.len()).unwrap_or(u32::MAX);
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        self.0.load(batch)
    }

    fn apply(&mut self, existing: &[Rows]) -> Result<Vec<Changes>, Fault> {
        self.0.apply(existing)
    }

    fn take_lines(&mut self) -> Vec<LogLine> {
        self.0.take_lines()
    }
}

fn slow(plugin: &ProjectionPlugin) -> Start {
    let start = sandboxed(plugin.clone());
    Arc::new(move || Ok(Box::new(Slow(start()?)) as Box<dyn Fold>))
}

/// Rebuilds with one worker and with two, and one projection against four.
pub(crate) async fn measure(
    store: &str,
    home: &Home,
    plugin: &ProjectionPlugin,
    size: &Size,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut arms: [Median; 5] = Default::default();
    let mut pages = (0, 0);
    let quick = || sandboxed(plugin.clone());
    let one = Together { projections: 1, workers: 1 };
    let two = Together { workers: 2, ..one };
    let four = Together { projections: 4, ..one };
    for _ in 0..size.rounds {
        let [slow_one, slow_two, quick_one, quick_two, quick_four] = &mut arms;
        slow_one.add(rebuild_in(store, home, &plugin.manifest, slow(plugin), one).await?.0);
        slow_two.add(rebuild_in(store, home, &plugin.manifest, slow(plugin), two).await?.0);
        let (seconds, alone) = rebuild_in(store, home, &plugin.manifest, quick(), one).await?;
        quick_one.add(seconds);
        quick_two.add(rebuild_in(store, home, &plugin.manifest, quick(), two).await?.0);
        let (seconds, together) = rebuild_in(store, home, &plugin.manifest, quick(), four).await?;
        quick_four.add(seconds);
        pages = (alone, together);
    }
    report.together(&arms, pages);
    Ok(())
}
