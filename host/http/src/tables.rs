//! Rows of read models.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::body::Segments;
use super::parameters::Parameters;
use super::projections::{read_model_failed, those_there_are, unknown_projection};
use super::state::{Api, Shared};
use super::{Code, Problem};
use deployment::Wanted;
use model::change::{TableDefinition, VersionId};
use read_model::{Condition, Query, QueryFault};

/// Rows of a page, if the caller does not say how many.
const LIMIT_DEFAULT: usize = 100;

/// Some rows of a table, in the order of its key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RowPage {
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<Map<String, Value>>,
    /// `after` of the next page; null if there was nothing more.
    pub next: Option<String>,
}

/// Rows of a table, of the live version unless another is asked for. Any other
/// parameter is the name of a column, and the rows are those that have its value.
#[utoipa::path(
    get,
    path = "/v1/projections/{name}/tables/{table}",
    tag = "projections",
    params(
        ("name" = String, Path, description = "Name of the projection"),
        ("table" = String, Path, description = "Name of the table"),
        ("limit" = Option<usize>, Query, description = "At most so many (100, unless given)"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("version" = Option<String>, Query, description = "A version other than the live one, such as `2`, or a build of it, such as `v2g3`"),
        ("columns" = Option<Map<String, String>>, Query, style = Form, explode, description = "Columns and the values that they must have"),
    ),
    responses(
        (status = 200, description = "A page of rows", body = RowPage),
        (status = 400, description = "`unknown_column` or `invalid_parameter`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`unknown_projection`, `unknown_version` or `unknown_table`", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Any other problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rows(
    State(shared): State<Arc<Shared>>,
    Segments((name, table)): Segments<(String, String)>,
    mut parameters: Parameters,
) -> Result<Json<RowPage>, Problem> {
    let api = &shared.api;
    let limit = parameters.limit(LIMIT_DEFAULT, api.limits.page_events_max)?;
    let after = parameters.text("after")?;
    let version = parameters.parsed::<Wanted>("version")?;
    let conditions = parameters.rest().into_iter().map(|(column, value)| Condition { column, value }).collect();
    let query = Query { conditions, limit, after };
    let mut wanted = find(api, &name, version, &table).await?;
    loop {
        match api.read_model.query(&wanted.0, &wanted.1, &query).await {
            Ok(found) => return Ok(Json(RowPage { rows: found.rows, next: found.next })),
            Err(fault) => {
                // Another version may have become live just now, and this one been retired.
                let now = find(api, &name, version, &table).await?;
                if now.0 == wanted.0 {
                    return Err(refuse(fault));
                }
                wanted = now;
            }
        }
    }
}

fn refuse(fault: QueryFault) -> Problem {
    let detail = fault.to_string();
    match fault {
        QueryFault::Column { column, .. } => Problem::new(Code::UnknownColumn, detail).with("column", column),
        QueryFault::Value { column, .. } => Problem::new(Code::InvalidParameter, detail).with("parameter", column),
        QueryFault::Cursor => Problem::new(Code::InvalidParameter, detail).with("parameter", "after"),
        QueryFault::Failed(fault) => read_model_failed(&fault),
    }
}

/// The table: of a version that runs here, or of one that was built once.
async fn find(
    api: &Api,
    name: &str,
    version: Option<Wanted>,
    table: &str,
) -> Result<(VersionId, TableDefinition), Problem> {
    let is_wanted = |id: &VersionId, live: bool| version.map_or(live, |wanted| wanted.fits(id));
    if let Some(found) = api.board.table(name, table, is_wanted) {
        return Ok(found);
    }
    let versions = api.read_model.versions().await.map_err(|fault| read_model_failed(&fault))?;
    if !versions.iter().any(|known| known.id.projection.as_str() == name) {
        return Err(unknown_projection(name, versions.iter().map(|known| known.id.projection.as_str())));
    }
    let of_name = versions.iter().filter(|known| known.id.projection.as_str() == name);
    let fitting = of_name.filter(|known| is_wanted(&known.id, known.live));
    let Some(found) = fitting.max_by_key(|known| (known.live, known.as_of.is_none(), known.id.generation)) else {
        let detail = match version {
            Some(version) => format!("projection `{name}` has no version {version}"),
            None => format!("projection `{name}` has no live version yet: say which one with `version`"),
        };
        return Err(Problem::new(Code::UnknownVersion, detail));
    };
    match found.tables.iter().find(|known| known.name.as_str() == table) {
        Some(definition) => Ok((found.id.clone(), definition.clone())),
        None => {
            let known = those_there_are(found.tables.iter().map(|known| known.name.as_str()));
            Err(Problem::new(Code::UnknownTable, format!("projection {} has no table `{table}`: {known}", found.id)))
        }
    }
}
