//! Taking connections until the host ends.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::Peer;
use super::router::build;
use super::state::Api;

/// A client must send a request's headers within this time, or it holds a connection for nothing.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes of a request's line and headers.
const HEADERS_BYTES_MAX: usize = 64 * 1024;

/// Connections at once; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 1_024;

/// Requests that are under way when the host ends have this long to finish.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// After a connection could not be taken (no more files to open, mostly), for a loop
/// that tries again at once would take all the processor's time.
const PAUSE_AFTER_FAULT: Duration = Duration::from_millis(100);

/// Serves `api` on `listener` until `shutdown`, then lets requests that are under way finish.
///
/// # Errors
/// None so far: a connection that can't be taken is logged, and tried again.
pub async fn serve(listener: TcpListener, api: Api, shutdown: CancellationToken) -> std::io::Result<()> {
    let router = build(api, shutdown.clone());
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    loop {
        let taken = async {
            // Never closed, so a permit always comes.
            let permit = Arc::clone(&free).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            taken = taken => taken,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connect(stream, Peer(peer), router.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(fault) => {
                tracing::warn!("a connection could not be taken: {fault}");
                tokio::time::sleep(PAUSE_AFTER_FAULT).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
        tracing::warn!(
            "{} connections have not finished after {DRAIN_TIMEOUT:?} and are left behind",
            connections.len()
        );
    }
    Ok(())
}

async fn connect(stream: TcpStream, peer: Peer, router: axum::Router, shutdown: CancellationToken) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    // Answers are small and written at once: waiting for more would only delay them.
    drop(stream.set_nodelay(true));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_header_size(HEADERS_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(fault) = ended {
        // Clients that go away are no fault of the host.
        tracing::debug!("a connection ended early: {fault}");
    }
}
