//! Which plugins there are.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::parameters::Parameters;
use super::state::Shared;

/// What has become of a plugin file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PluginStatus {
    /// Is being looked at and compiled.
    Loading,
    /// Runs.
    Active,
    /// Was not admitted, or could not be started; `error` says why.
    Refused,
}

impl std::fmt::Display for PluginStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Loading => "loading",
            Self::Active => "active",
            Self::Refused => "refused",
        })
    }
}

/// A plugin file, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginInfo {
    /// Name of the file, without its folder.
    pub file: String,
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
    /// Why it does not run.
    pub error: Option<String>,
}

/// The plugins that the host knows of, as a list that one writes and many read.
/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct PluginList(Arc<RwLock<Vec<PluginInfo>>>);

impl PluginList {
    /// Replaces the list.
    pub fn set(&self, plugins: Vec<PluginInfo>) {
        // Whoever panicked while writing left a whole list behind: it is one assignment.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = plugins;
    }

    /// Adds a plugin, or replaces the one of the same file.
    pub fn put(&self, plugin: PluginInfo) {
        let mut plugins = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match plugins.iter_mut().find(|known| known.file == plugin.file) {
            Some(known) => *known = plugin,
            None => plugins.push(plugin),
        }
    }

    /// Forgets the plugin of `file`.
    pub fn remove(&self, file: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|known| known.file != file);
    }

    /// All plugins, by the names of their files.
    #[must_use]
    pub fn get(&self) -> Vec<PluginInfo> {
        let mut plugins = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        plugins.sort_by(|one, other| one.file.cmp(&other.file));
        plugins
    }
}

/// The plugin files that the host found, and what became of each.
#[utoipa::path(
    get,
    path = "/v1/plugins",
    tag = "plugins",
    responses(
        (status = 200, description = "The plugins, by file", body = Vec<PluginInfo>),
        (status = "default", description = "Any problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    parameters: Parameters,
) -> Result<Json<Vec<PluginInfo>>, Problem> {
    parameters.finish()?;
    Ok(Json(shared.api.plugins.get()))
}
