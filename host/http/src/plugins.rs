//! Plugins: which there are; and taking them in and away.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::body::{PluginBody, Segments};
use super::operate::checked_workers;
use super::parameters::Parameters;
use super::state::Shared;
use super::{Code, Problem};
use deployment::{DeployOptions, Deployed, PluginInfo, WhenRowsDiffer};
use guest::digest;
use model::change::Digest;
use read_model::{Promote, Source};

/// The longest name of a plugin file.
const FILE_NAME_MAX: usize = 200;

/// The plugin files that the host knows of, and what became of each.
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
    Ok(Json(shared.api.deployments.plugins().get()))
}

/// Deploys a plugin: looks it over, tries it out, and lets it run. What is refused
/// changes nothing.
#[utoipa::path(
    put,
    path = "/v1/plugins/{file}",
    tag = "plugins",
    params(
        ("file" = String, Path, description = "A name for it that ends in `.wasm`"),
        ("sha256" = Option<String>, Query, description = "What the bytes must be, in hexadecimal"),
        ("promote" = Option<String>, Query, description = "`ready`, `verified` or `manual`; `deploy.promote`, unless given"),
        ("when_rows_differ" = Option<String>, Query, description = "`build`, `swap` or `refuse`; `deploy.when_rows_differ`, unless given"),
        ("workers" = Option<u32>, Query, description = "In how many partitions the history is folded; `deploy.workers`, unless given"),
    ),
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses(
        (status = 200, description = "What came of it", body = Deployed),
        (status = 409, description = "`version_lower`, `tables_changed`, `rows_differ` or `operation_in_progress`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`request_too_large`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`plugin_refused`, with `reason`; `trial_failed`; `digest_mismatch`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn put(
    State(shared): State<Arc<Shared>>,
    Segments(file): Segments<String>,
    mut parameters: Parameters,
    PluginBody(bytes): PluginBody,
) -> Result<Json<Deployed>, Problem> {
    let expected = parameters.parsed::<Digest>("sha256")?;
    let options = DeployOptions {
        promote: parameters.parsed::<Promote>("promote")?,
        when_rows_differ: parameters.parsed::<WhenRowsDiffer>("when_rows_differ")?,
        workers: checked_workers(parameters.number("workers")?, &shared)?,
    };
    parameters.finish()?;
    let is_fit = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    if !file.ends_with(".wasm") || file.starts_with('.') || !file.chars().all(is_fit) || file.len() > FILE_NAME_MAX {
        let reason = format!(
            "must be at most {FILE_NAME_MAX} of a-z, A-Z, 0-9, `.`, `_` and `-`, not begin with a dot, and end in .wasm"
        );
        return Err(Problem::parameter("file", reason));
    }
    if let Some(expected) = expected.filter(|&expected| expected != digest(&bytes)) {
        let detail = format!(
            "{} bytes arrived, but they are not those whose SHA-256 is {expected}: send them again",
            bytes.len()
        );
        return Err(Problem::new(Code::DigestMismatch, detail));
    }
    let deployed = shared.api.deployments.deploy(&file, bytes, Source::Upload, options, &shared.api.actor).await?;
    Ok(Json(deployed))
}

/// Takes a plugin away. A projection that is live goes only by force, with all of its
/// tables; its events stay.
#[utoipa::path(
    delete,
    path = "/v1/plugins/{file}",
    tag = "plugins",
    params(
        ("file" = String, Path, description = "The file, or the name of the plugin"),
        ("force" = Option<bool>, Query, description = "Also if it is live"),
    ),
    responses(
        (status = 200, description = "It is gone", body = PluginInfo),
        (status = 404, description = "`unknown_plugin`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`version_live` or `operation_in_progress`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    Segments(file): Segments<String>,
    mut parameters: Parameters,
) -> Result<(StatusCode, Json<PluginInfo>), Problem> {
    let force = parameters.parsed::<bool>("force")?.unwrap_or(false);
    parameters.finish()?;
    let info = shared.api.deployments.remove(&file, force, &shared.api.actor).await?;
    Ok((StatusCode::OK, Json(info)))
}
