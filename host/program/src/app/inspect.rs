//! `plugin inspect`: what a file is, and whether this host would run it.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::host::sandbox_in;
use crate::config::Config;
use deployment::catalogue::admit;
use guest::Kind;
use model::change::TableDefinition;

/// What a plugin file declares.
#[derive(Debug, Serialize)]
pub struct Inspection {
    pub file: String,
    pub size_bytes: u64,
    /// SHA-256, in hexadecimal.
    pub digest: String,
    pub kind: &'static str,
    pub name: String,
    pub version: u32,
    pub sdk: String,
    /// A projection's: which events it wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// A projection's: whether every table is keyed by the aggregate's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitioned_by_aggregate: Option<bool>,
    /// A projection's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableDefinition>,
    /// An upcaster's: `OrderPlaced v1 → OrderPlaced v2`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
}

/// Looks a plugin file over, compiles it and asks it what it is.
///
/// # Errors
/// Why this host would not run it.
pub fn inspect(path: &Path, config: &Config) -> anyhow::Result<Inspection> {
    // Nothing is left behind where it is called, least of all a folder of compiled code.
    let folder = tempfile::tempdir().context("cannot make a folder to compile in")?;
    let entry = admit(path, &sandbox_in(folder.path().join("cache"), config)?);
    let admitted = entry.outcome.map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))?;
    let mut inspection = Inspection {
        file: entry.file,
        size_bytes: entry.bytes,
        digest: admitted.digest.to_string(),
        kind: "",
        name: String::new(),
        version: 0,
        sdk: String::new(),
        subscription: None,
        partitioned_by_aggregate: None,
        tables: Vec::new(),
        steps: Vec::new(),
    };
    match admitted.kind {
        Kind::Projection(plugin) => {
            let manifest = &plugin.manifest;
            inspection.kind = "projection";
            inspection.name = manifest.name.to_string();
            inspection.version = manifest.version;
            inspection.sdk.clone_from(&manifest.sdk);
            inspection.subscription = Some(manifest.subscription.to_string());
            inspection.partitioned_by_aggregate = Some(manifest.is_partitioned_by_aggregate());
            inspection.tables.clone_from(&manifest.tables);
        }
        Kind::Upcaster(plugin) => {
            let manifest = &plugin.manifest;
            inspection.kind = "upcaster";
            inspection.name = manifest.name.to_string();
            inspection.version = manifest.version;
            inspection.sdk.clone_from(&manifest.sdk);
            inspection.steps = manifest.steps.iter().map(step_for_people).collect();
        }
    }
    Ok(inspection)
}

fn step_for_people(step: &model::change::Step) -> String {
    let gives: Vec<String> = step.gives.iter().map(ToString::to_string).collect();
    let gives = if gives.is_empty() { "nothing".to_owned() } else { gives.join(", ") };
    format!("{} → {gives}", step.takes)
}
