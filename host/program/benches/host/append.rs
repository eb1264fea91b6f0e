//! Appending: in lists of 100, one by one, and one by one from several callers at once; and one by
//! one over HTTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fantascope::database::Database;
use fantascope::deployment::{Deployments, Foundation, Membership, Policy};
use fantascope::event::NewEvent;
use fantascope::guest::{Sandbox, Settings};
use fantascope::http::{self, Api};
use fantascope::limits::Limits;
use fantascope::read_model::ReadModel;
use fantascope::store::{Expected, Store};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::Size;
use crate::home::Home;
use crate::report::{Median, Report};

const FEW: u64 = 4;
const CALLERS: u64 = 32;

const DATA: &str = r#"{"payment_id":"payment-1","amount_cents":4200,"currency":"EUR"}"#;

pub(crate) async fn measure(home: &Home, size: &Size, report: &mut Report) -> anyhow::Result<()> {
    let mut rates: [Median; 6] = Default::default();
    for round in 0..size.rounds {
        let database = Database::at(&home.fresh("appended").await?).await?;
        let store = Store::open(&database, &Limits::default()).await?;
        let [lists, singles, few, callers, over_http, callers_over_http] = &mut rates;
        let singly = size.slow_events / 10;
        lists.add(rate(&store, &format!("list-{round}"), size.slow_events * 5, 100).await?);
        singles.add(rate(&store, &format!("single-{round}"), singly, 1).await?);
        few.add(at_once(&store, &format!("few-{round}"), singly, FEW).await?);
        callers.add(at_once(&store, &format!("many-{round}"), size.slow_events, CALLERS).await?);
        let stop = CancellationToken::new();
        let address = serve(&database, store, home, stop.clone()).await?;
        over_http.add(requests(address, &format!("http-{round}"), singly, 1).await?);
        callers_over_http.add(requests(address, &format!("https-{round}"), size.slow_events, CALLERS).await?);
        stop.cancel();
    }
    report.appends(&rates);
    Ok(())
}

/// Events a second, appended `list` at a time by one caller.
async fn rate(store: &Store, aggregate: &str, events: u64, list: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    for number in 0..events / list {
        let page = (0..list).map(|_| event()).collect();
        store.append("Order", aggregate, Expected::Version(number * list), page).await?;
    }
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

/// Events a second, appended one by one by many callers.
async fn at_once(store: &Store, aggregate: &str, events: u64, callers: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let running: Vec<_> = (0..callers)
        .map(|caller| {
            let (store, aggregate) = (store.clone(), format!("{aggregate}-{caller}"));
            tokio::spawn(async move { rate(&store, &aggregate, events / callers, 1).await })
        })
        .collect();
    for caller in running {
        caller.await??;
    }
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

/// A host without projections, and where it listens.
async fn serve(database: &Database, store: Store, home: &Home, stop: CancellationToken) -> anyhow::Result<SocketAddr> {
    let (limits, read_model) = (Limits::default(), ReadModel::open(database).await?);
    let program = std::env::current_exe()?;
    let sandbox = Sandbox::new(Settings { program, cache: home.folder().join("cache"), limits: limits.clone() })?;
    let deployments = Deployments::open(Foundation {
        store: store.clone(),
        read_model: read_model.clone(),
        sandbox,
        limits: limits.clone(),
        policy: Policy::default(),
        poll: Duration::from_millis(100),
        membership: Membership::default(),
    })
    .await?;
    let board = deployments.projections().board();
    let api = Api { store, read_model, board, deployments, limits, token: None, actor: "a benchmark".to_owned() };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(http::serve(listener, api, stop));
    Ok(address)
}

/// Events a second, appended one by one over connections that are kept.
async fn requests(address: SocketAddr, aggregate: &str, events: u64, callers: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let running: Vec<_> = (0..callers)
        .map(|caller| tokio::spawn(request_all(address, format!("{aggregate}-{caller}"), events / callers)))
        .collect();
    for caller in running {
        caller.await??;
    }
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

async fn request_all(address: SocketAddr, aggregate: String, events: u64) -> anyhow::Result<()> {
    let mut connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let mut answer = vec![0; 1 << 16];
    for number in 0..events {
        let body = format!(
            r#"{{"expected_version":{number},"events":[{{"event_type":"OrderPaid","user_id":"user-1","event_data":{DATA}}}]}}"#
        );
        let request = format!(
            "POST /v1/aggregates/Order/{aggregate}/events HTTP/1.1\r\nHost: {address}\r\nContent-Type: \
             application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(request.as_bytes()).await?;
        // An answer as small as this comes at once.
        let length = connection.read(&mut answer).await?;
        let answer = std::str::from_utf8(&answer[..length])?;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 201") && answer.ends_with('}'), "{answer}");
    }
    connection.shutdown().await.context("the connection is not closed")
}

fn event() -> NewEvent {
    NewEvent {
        event_id: None,
        event_type: "OrderPaid".to_owned(),
        event_version: 1,
        event_timestamp: None,
        user_id: Some("user-1".to_owned()),
        correlation_id: None,
        causation_id: None,
        metadata: None,
        event_data: RawValue::from_string(DATA.to_owned()).unwrap_or_default(),
    }
}
