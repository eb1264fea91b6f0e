//! The peak memory of a rebuild, in a process of its own, at one and four times the events: of one
//! table, and of three of which one is never touched.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use fantascope::change::{Changes, Column, Keys, Manifest, Rows, TableDefinition};
use fantascope::event::Batch;
use fantascope::guest::{Fault, Fold, LogLine, ProjectionPlugin};
use fantascope::projection::{Start, sandboxed};

use crate::history::{Shape, fill};
use crate::home::Home;
use crate::rebuild::rebuild_as;
use crate::report::Report;

pub(crate) async fn measure(folder: &Path, plugin: &Path, events: u64, report: &mut Report) -> anyhow::Result<()> {
    let mut peaks = Vec::new();
    for events in [events, 4 * events] {
        let store = folder.join(format!("memory-{events}.sqlite"));
        fill(&format!("sqlite:{}", store.display()), Shape::ManyOrders, events).await?;
        for tables in ["1", "3"] {
            let mut child = Command::new(std::env::current_exe()?);
            let output = child.arg("memory").arg(&store).arg(plugin).arg(tables).output()?;
            anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            peaks.push((events, tables, String::from_utf8(output.stdout)?.trim().parse()?));
        }
    }
    report.memory(&peaks);
    Ok(())
}

/// The child's side: one rebuild, then its peak in kilobytes.
pub(crate) async fn child(store: &Path, plugin: &Path, tables: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let plugin = crate::admit(plugin, folder.path())?;
    let store = format!("sqlite:{}", store.display());
    let (manifest, start) =
        if tables == "3" { with_idle_table(&plugin)? } else { ((*plugin.manifest).clone(), sandboxed(plugin)) };
    rebuild_as(&store, &Home::files(folder.path()), &manifest, start).await?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    println!("{}", peak.trim().trim_end_matches(" kB"));
    Ok(())
}

/// The same with two more tables: one gets the same rows, one none.
fn with_idle_table(plugin: &ProjectionPlugin) -> anyhow::Result<(Manifest, Start)> {
    let mut manifest = (*plugin.manifest).clone();
    for name in ["copies", "idle"] {
        let name = name.parse().map_err(anyhow::Error::msg)?;
        let table = TableDefinition { name, indexes: Vec::new(), ..manifest.tables[0].clone() };
        manifest.tables.push(table);
    }
    let (start, table) = (sandboxed(plugin.clone()), manifest.tables[2].clone());
    let start: Start = Arc::new(move || Ok(Box::new(WithIdle { guest: start()?, table: table.clone() })));
    Ok((manifest, start))
}

struct WithIdle {
    guest: Box<dyn Fold>,
    table: TableDefinition,
}

impl Fold for WithIdle {
    fn load(&mut self, batch: &Batch) -> Result<Vec<Keys>, Fault> {
        let mut keys = self.guest.load(batch)?;
        let columns = self.table.key().iter().map(|column| Column::empty(column.of_type)).collect();
        keys.extend([keys[0].clone(), Keys { count: 0, columns }]);
        Ok(keys)
    }

    fn apply(&mut self, existing: &[Rows]) -> Result<Vec<Changes>, Fault> {
        let mut changes = self.guest.apply(&existing[..1])?;
        let columns = self.table.values().iter().map(|column| Column::empty(column.of_type)).collect();
        changes.extend([changes[0].clone(), Changes { operations: Vec::new(), columns }]);
        Ok(changes)
    }

    fn take_lines(&mut self) -> Vec<LogLine> {
        self.guest.take_lines()
    }
}
