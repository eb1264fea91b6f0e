//! The plugins that the host knows of, for others to see.

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::catalogue::Entry;
use guest::Kind;
use read_model::Source;

/// What has become of a plugin file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PluginStatus {
    /// Is being looked at, compiled and tried out.
    #[default]
    Loading,
    /// Runs, or is built.
    Active,
    /// Another file has taken its place.
    Superseded,
    /// Was not admitted, or could not be started; `error` says why.
    Refused,
}

impl PluginStatus {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Loading, Self::Active, Self::Superseded, Self::Refused];
}

impl std::fmt::Display for PluginStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Loading => "loading",
            Self::Active => "active",
            Self::Superseded => "superseded",
            Self::Refused => "refused",
        })
    }
}

/// A plugin file, and what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginInfo {
    /// Name of the file, without its folder.
    pub file: String,
    /// `folder` or `upload`.
    pub source: String,
    /// `projection` or `upcaster`; null if it could not be found out.
    pub kind: Option<String>,
    /// The name that it declares.
    pub name: Option<String>,
    /// The version that it declares.
    pub version: Option<u32>,
    /// Which SDK made it.
    pub sdk: Option<String>,
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
    pub size_bytes: u64,
    pub status: PluginStatus,
    /// The stable code of why it does not run.
    pub code: Option<String>,
    /// Why it does not run.
    pub error: Option<String>,
}

impl PluginInfo {
    /// What there is to say of `entry` before it is deployed.
    pub(super) fn of(entry: &Entry, source: Source) -> Self {
        let (kind, name, version, sdk) = match entry.outcome.as_ref().ok().map(|admitted| &admitted.kind) {
            Some(Kind::Projection(plugin)) => {
                let manifest = &plugin.manifest;
                (
                    Some("projection"),
                    Some(manifest.name.to_string()),
                    Some(manifest.version),
                    Some(manifest.sdk.clone()),
                )
            }
            Some(Kind::Upcaster(plugin)) => {
                let manifest = &plugin.manifest;
                (Some("upcaster"), Some(manifest.name.to_string()), Some(manifest.version), Some(manifest.sdk.clone()))
            }
            None => (None, None, None, None),
        };
        let rejected = entry.outcome.as_ref().err();
        Self {
            file: entry.file.clone(),
            source: source.as_str().to_owned(),
            kind: kind.map(str::to_owned),
            name,
            version,
            sdk,
            digest: entry.digest.map(|digest| digest.to_string()).unwrap_or_default(),
            size_bytes: entry.bytes,
            status: if rejected.is_none() { PluginStatus::Loading } else { PluginStatus::Refused },
            code: rejected.map(|rejected| rejected.code().to_owned()),
            error: rejected.map(ToString::to_string),
        }
    }

    /// It does not run, for this reason.
    pub(super) fn refuse(&mut self, code: &str, error: String) {
        (self.status, self.code, self.error) = (PluginStatus::Refused, Some(code.to_owned()), Some(error));
    }

    /// Whether both claim to be the same plugin.
    pub(super) fn claims_the_same_as(&self, other: &Self) -> bool {
        self.name.is_some() && (&self.kind, &self.name, self.version) == (&other.kind, &other.name, other.version)
    }
}

/// The plugins that the host knows of, as a list that one writes and many read.
/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct PluginList(Arc<RwLock<Vec<PluginInfo>>>);

impl PluginList {
    /// Adds a plugin, or replaces the one of the same file and source.
    pub fn put(&self, plugin: PluginInfo) {
        // Whoever panicked while writing left a whole list behind: each change is one assignment.
        let mut plugins = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &&mut PluginInfo| (&known.file, &known.source) == (&plugin.file, &plugin.source);
        match plugins.iter_mut().find(same) {
            Some(known) => *known = plugin,
            None => plugins.push(plugin),
        }
    }

    /// Forgets the plugin of `file`.
    pub fn remove(&self, file: &str, source: Source) {
        let mut plugins = self.0.write().unwrap_or_else(PoisonError::into_inner);
        plugins.retain(|known| known.file != file || known.source != source.as_str());
    }

    /// All plugins, by the names of their files.
    #[must_use]
    pub fn get(&self) -> Vec<PluginInfo> {
        let mut plugins = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        plugins.sort_by(|one, other| one.file.cmp(&other.file));
        plugins
    }
}
