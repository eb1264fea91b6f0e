//! The description of all routes, and a page to try them.

use axum::Router;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// What is not said at the routes themselves.
#[derive(OpenApi)]
#[openapi(
    info(title = "Fantascope", description = "Append events, read them, and see what projections make of them. Faults are RFC 9457 problem details with a stable `code`."),
    modifiers(&Bearer),
    security(("token" = []), ()),
    tags(
        (name = "events", description = "The event store"),
        (name = "projections", description = "Projections and their read models"),
        (name = "plugins", description = "The components that fold and upcast events"),
        (name = "operation", description = "For those who run the host"),
        (name = "operations", description = "Versions: paused, rebuilt, compared, promoted, rolled back; and the log of it"),
    ),
)]
pub(super) struct Description;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("Needed if the host was given a token"))
            .build();
        document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// `/openapi.json`, and `/docs` from files inside this program.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(document: Document) -> Router<S> {
    // The page would else ask a server on the internet to validate the document.
    let config = Config::from("/openapi.json").validator_url("none");
    SwaggerUi::new("/docs").url("/openapi.json", document).config(config).into()
}
