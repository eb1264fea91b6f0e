//! `config check` and `config show`.

use comfy_table::Cell;
use serde_json::{Value, json};

use super::output::Output;
use crate::app::FoundDatabase;
use crate::config::{Config, Effective};

/// The settings have been read without a fault, or this would not be reached.
pub(super) fn check(config: &Config, found: &[FoundDatabase], output: Output) -> anyhow::Result<()> {
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    if output.is_json {
        return output.json(&json!({ "ok": true, "warnings": config.warnings, "databases": found }));
    }
    if output.quiet {
        return Ok(());
    }
    for FoundDatabase { key, url, server, holds } in found {
        let parts: Vec<&str> = server.iter().chain(holds).map(String::as_str).collect();
        output.line(&format!("{key} ({url}): {}", parts.join("; ")))?;
    }
    output.line("ok")
}

pub(super) fn show(config: &Config, output: Output) -> anyhow::Result<()> {
    if output.is_json {
        let object = |setting: &Effective| json!({ "key": setting.key, "value": setting.value, "origin": setting.origin.to_string() });
        let settings: Vec<Value> = config.effective.iter().map(object).collect();
        return output.json(&settings);
    }
    let row = |setting: &Effective| {
        let mut cells = vec![Cell::new(&setting.key), Cell::new(setting.value.as_deref().unwrap_or("(not set)"))];
        if !output.quiet {
            cells.push(Cell::new(&setting.origin));
        }
        cells
    };
    output.table(&["setting", "value", "from"], config.effective.iter().map(row).collect(), "")
}
