//! Plugins as the catalogue found them, in the words of the HTTP interface.

use crate::catalogue::Entry;
use crate::guest::{Kind, UpcasterPlugin};
use crate::http::{PluginInfo, PluginStatus};

/// The upcasters among `entries`.
pub(super) fn upcasters(entries: &[Entry]) -> Vec<UpcasterPlugin> {
    let upcaster = |entry: &Entry| match &entry.outcome.as_ref().ok()?.kind {
        Kind::Upcaster(plugin) => Some(plugin.clone()),
        Kind::Projection(_) => None,
    };
    entries.iter().filter_map(upcaster).collect()
}

/// What others are told of `entry`, which does not run because of `error`, if there is one.
pub(super) fn info(entry: &Entry, error: Option<String>) -> PluginInfo {
    let declared = entry.outcome.as_ref().ok().map(|admitted| match &admitted.kind {
        Kind::Projection(plugin) => {
            ("projection", plugin.manifest.name.to_string(), plugin.manifest.version, plugin.manifest.sdk.clone())
        }
        Kind::Upcaster(plugin) => {
            ("upcaster", plugin.manifest.name.to_string(), plugin.manifest.version, plugin.manifest.sdk.clone())
        }
    });
    let (kind, name, version, sdk) = match declared {
        Some((kind, name, version, sdk)) => (Some(kind.to_owned()), Some(name), Some(version), Some(sdk)),
        None => (None, None, None, None),
    };
    PluginInfo {
        file: entry.file.clone(),
        kind,
        name,
        version,
        sdk,
        digest: entry.digest.map(|digest| digest.to_string()).unwrap_or_default(),
        size_bytes: entry.bytes,
        status: if error.is_none() { PluginStatus::Active } else { PluginStatus::Refused },
        error,
    }
}
