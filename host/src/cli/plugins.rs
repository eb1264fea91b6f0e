//! `plugin list` and `plugin inspect`.

use std::path::Path;

use comfy_table::{Cell, Color};

use super::client::Client;
use super::human;
use super::output::Output;
use crate::app;
use crate::config::Config;
use crate::http::{PluginInfo, PluginStatus};

pub(super) fn list(client: &Client, output: Output) -> anyhow::Result<()> {
    let plugins: Vec<PluginInfo> = client.get("/v1/plugins", &[])?;
    if output.is_json {
        return output.json(&plugins);
    }
    let row = |plugin: &PluginInfo| {
        let color = match plugin.status {
            PluginStatus::Loading => Color::Cyan,
            PluginStatus::Active => Color::Green,
            PluginStatus::Refused => Color::Red,
        };
        let mut cells = vec![Cell::new(human::one_line(&plugin.file, 200)), output.colored(plugin.status, color)];
        if !output.quiet {
            let version = plugin.version.map(|version| format!("v{version}"));
            cells.extend(
                [plugin.kind.clone(), plugin.name.clone(), version].map(|cell| Cell::new(cell.unwrap_or_default())),
            );
            cells.push(Cell::new(human::bytes(plugin.size_bytes)));
            cells.push(Cell::new(plugin.digest.get(..12).unwrap_or(&plugin.digest)));
            cells.push(Cell::new(human::one_line(plugin.error.as_deref().unwrap_or_default(), 300)));
        }
        cells
    };
    let rows = plugins.iter().map(row).collect();
    output.table(&["file", "status", "kind", "name", "version", "size", "sha-256", ""], rows, "no plugins")
}

pub(super) fn inspect(file: &Path, config: &Config, output: Output) -> anyhow::Result<()> {
    let inspection = app::inspect(file, config)?;
    // What a plugin declares is nested; JSON shows that best, to people too.
    output.json(&inspection)
}
