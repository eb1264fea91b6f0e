//! `serve`: the host with its HTTP server, until it is told to end.

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::signals::stop_on_signal;
use super::{Host, start_logging};
use crate::config::Config;
use http::{self, Api, Token};
use projection::Phase;

/// How `serve` is to behave.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServeOptions {
    /// End when every projection has caught up with the store, or has failed.
    pub exit_when_caught_up: bool,
}

/// Runs a host until it is told to end.
///
/// # Errors
/// If it can't start, or, with `exit_when_caught_up`, if a projection has failed.
pub async fn serve(config: &Config, options: ServeOptions) -> anyhow::Result<()> {
    start_logging(&config.log)?;
    let stop = stop_on_signal()?;
    let listener = bind(config).await?;
    let host = Host::start(config).await?;
    tracing::info!("serving on http://{}", listener.local_addr()?);
    let server = spawn_server(listener, &host, config, stop.clone());
    if options.exit_when_caught_up {
        stop.run_until_cancelled(host.projections.caught_up()).await;
    } else {
        stop.cancelled().await;
    }
    stop.cancel();
    host.deployments.drain().await;
    server.await??;
    host.close().await;
    if options.exit_when_caught_up { say_failures(&host) } else { Ok(()) }
}

/// Binds the address before any work starts, so that a taken one is known at once.
pub(super) async fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let address = config.http.listen;
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: choose another with --listen or http.listen"))
}

pub(super) fn spawn_server(
    listener: TcpListener,
    host: &Host,
    config: &Config,
    stop: CancellationToken,
) -> tokio::task::JoinHandle<std::io::Result<()>> {
    let api = Api {
        store: host.store.clone(),
        read_model: host.read_model.clone(),
        board: host.projections.board(),
        limits: config.limits.clone(),
        token: config.http.token.as_ref().map(|secret| Token::new(secret.reveal())),
        actor: config.http.actor(),
        deployments: host.deployments.clone(),
    };
    tokio::spawn(http::serve(listener, api, stop))
}

/// An error that names every projection which has failed, and every plugin that was refused.
pub(super) fn say_failures(host: &Host) -> anyhow::Result<()> {
    let failed = host.projections.board().statuses(host.store.head()).into_iter();
    let failed = failed.filter(|status| status.phase == Phase::Failed);
    let failed = failed.filter_map(|status| status.error.map(|error| error.message));
    let refused = host.plugins.get().into_iter();
    let refused = refused.filter_map(|plugin| plugin.error.map(|error| format!("plugin {}: {error}", plugin.file)));
    let reasons: Vec<String> = failed.chain(refused).collect();
    match reasons.as_slice() {
        [] => Ok(()),
        _ => anyhow::bail!("{}", reasons.join("\n")),
    }
}
