//! `config check` and `config show`.

use comfy_table::Cell;
use serde_json::{Value, json};

use super::output::Output;
use crate::config::{Config, Effective};

/// The settings have been read without a fault, or this would not be reached.
pub(super) fn check(config: &Config, output: Output) -> anyhow::Result<()> {
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    match (output.is_json, output.quiet) {
        (true, _) => output.json(&json!({ "ok": true })),
        (false, true) => Ok(()),
        (false, false) => output.line("ok"),
    }
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
