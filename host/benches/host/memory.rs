//! The peak memory of a rebuild, in a process of its own, at one and four times the events.

use std::path::Path;
use std::process::Command;

use crate::history::{Shape, fill};
use crate::home::Home;
use crate::rebuild::rebuild;
use crate::report::Report;
use fantascope::projection::sandboxed;

pub(crate) async fn measure(folder: &Path, plugin: &Path, events: u64, report: &mut Report) -> anyhow::Result<()> {
    let mut peaks = Vec::new();
    for events in [events, 4 * events] {
        let store = folder.join(format!("memory-{events}.sqlite"));
        fill(&format!("sqlite:{}", store.display()), Shape::ManyOrders, events).await?;
        let output = Command::new(std::env::current_exe()?).arg("memory").arg(&store).arg(plugin).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        peaks.push((events, String::from_utf8(output.stdout)?.trim().parse()?));
    }
    report.memory(&peaks);
    Ok(())
}

/// The child's side: one rebuild, then its peak in kilobytes.
pub(crate) async fn child(store: &Path, plugin: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let plugin = crate::admit(plugin, folder.path())?;
    let store = format!("sqlite:{}", store.display());
    rebuild(&store, &Home::files(folder.path()), &plugin, sandboxed(plugin.clone())).await?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    println!("{}", peak.trim().trim_end_matches(" kB"));
    Ok(())
}
