//! Talking to a host over HTTP.

use std::cell::Cell;
use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::arguments::{Format, Global};
use crate::config::{Config, Secret};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer must begin within this time.
/// Deploying compiles and tries out, which takes a while.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// The largest answer that is read; a page of events is far smaller.
const ANSWER_BYTES_MAX: u64 = 512 << 20;

/// A host, as its clients see it.
#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    server: String,
    token: Option<Secret>,
    /// Whether people are still to be told which host it is that they change something on.
    names_host: Cell<bool>,
}

/// Nobody answers where a host should be.
#[derive(Debug, thiserror::Error)]
#[error("nobody answers at {server}: `fantascope serve` starts a host, --server names another")]
pub(super) struct NoAnswer {
    server: String,
    source: ureq::Error,
}

/// A request that the host did not carry out.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refused {
    message: String,
    /// What the host answered.
    pub(super) problem: Value,
}

impl Client {
    pub(super) fn new(global: &Global, config: &Config) -> Self {
        let settings = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            // A redirect could lead the token elsewhere.
            .max_redirects(0)
            .user_agent(concat!("fantascope/", env!("CARGO_PKG_VERSION")))
            .build();
        let server = global.server.clone().unwrap_or_else(|| config.server_url());
        let names_host = Cell::new(!global.quiet && global.output != Format::Json);
        Self { agent: settings.into(), server, token: config.http.token.clone(), names_host }
    }

    /// What the host answers to `path`, which starts with a slash.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str, parameters: &[(&str, String)]) -> anyhow::Result<T> {
        self.decode(self.send(path, parameters, &[])?)
    }

    /// What the host answers when `path` is told `body`.
    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        self.name_host();
        let request = self.agent.post(format!("{}{path}", self.server)).header("content-type", "application/json");
        self.decode(self.check(self.authorized(request).send(body.to_string()))?)
    }

    /// What the host answers when `bytes` are put at `path`.
    pub(super) fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, String)],
        bytes: &[u8],
    ) -> anyhow::Result<T> {
        self.name_host();
        let mut request = self.agent.put(format!("{}{path}", self.server)).header("content-type", "application/wasm");
        for (name, value) in parameters {
            request = request.query(*name, value);
        }
        self.decode(self.check(self.authorized(request).send(bytes))?)
    }

    /// What the host answers when what is at `path` is taken away.
    pub(super) fn delete<T: DeserializeOwned>(&self, path: &str, parameters: &[(&str, String)]) -> anyhow::Result<T> {
        self.name_host();
        let mut request = self.agent.delete(format!("{}{path}", self.server));
        for (name, value) in parameters {
            request = request.query(*name, value);
        }
        self.decode(self.check(self.authorized(request).call())?)
    }

    fn decode<T: DeserializeOwned>(&self, mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<T> {
        let text = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string()
            .with_context(|| format!("the answer of {} broke off", self.server))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} does not answer as a host of this version does", self.server))
    }

    /// The body of what the host answers to `path`, as it comes.
    pub(super) fn stream(
        &self,
        path: &str,
        parameters: &[(&str, String)],
        headers: &[(&str, String)],
    ) -> anyhow::Result<ureq::BodyReader<'static>> {
        Ok(self.send(path, parameters, headers)?.into_body().into_reader())
    }

    fn send(
        &self,
        path: &str,
        parameters: &[(&str, String)],
        headers: &[(&str, String)],
    ) -> anyhow::Result<ureq::http::Response<ureq::Body>> {
        let mut request = self.agent.get(format!("{}{path}", self.server));
        for (name, value) in parameters {
            request = request.query(*name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.check(self.authorized(request).call())
    }

    fn authorized<Body>(&self, request: ureq::RequestBuilder<Body>) -> ureq::RequestBuilder<Body> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {}", token.reveal())),
            None => request,
        }
    }

    /// Says which host it is that is about to change something.
    fn name_host(&self) {
        if self.names_host.take() {
            eprintln!("host: {}", self.server);
        }
    }

    /// The answer, if it is none that says what went wrong.
    fn check(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> anyhow::Result<ureq::http::Response<ureq::Body>> {
        let mut response = answer.map_err(|source| NoAnswer { server: self.server.clone(), source })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let problem = serde_json::from_str::<Value>(&text).unwrap_or_default();
        let message = match (problem["code"].as_str(), problem["detail"].as_str()) {
            (Some("unauthorized"), Some(detail)) => {
                format!("{} asks for a token: {detail} (--token or FANTASCOPE__HTTP__TOKEN)", self.server)
            }
            (Some(code), Some(detail)) => format!("{detail} ({code})"),
            _ => anyhow::bail!("{} answers with status {status}: is it a host of fantascope?", self.server),
        };
        Err(Refused { message, problem }.into())
    }
}
