//! The HTTP server on a real socket: events as they come, and how it ends.

use std::net::SocketAddr;
use std::time::Duration;

use fantascope::deployment::{DeployOptions, Deployments};
use fantascope::event::NewEvent;
use fantascope::http;
use fantascope::limits::Limits;
use fantascope::read_model::Source;
use fantascope::store::{Expected, Store};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Nothing takes longer, however busy the machine is, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Less than a host that ends waits for connections that do not: 10 s.
const DRAINED: Duration = Duration::from_secs(9);

struct Server {
    _folder: tempfile::TempDir,
    store: Store,
    address: SocketAddr,
    deployments: Deployments,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// A connection on which a request was sent.
struct Client(BufReader<TcpStream>);

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = Limits { live_clients_max: 2, ..Limits::default() };
        let api = crate::host::api(folder.path(), limits).await;
        let (store, deployments) = (api.store.clone(), api.deployments.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let running = tokio::spawn(http::serve(listener, api, stop.clone()));
        Self { _folder: folder, store, address, deployments, stop, running }
    }

    async fn append(&self, event_type: &str, data: &str) {
        let event: NewEvent =
            serde_json::from_str(&format!(r#"{{"event_type":"{event_type}","event_data":{data}}}"#)).expect("an event");
        self.store.append("Order", "o-1", Expected::Any, vec![event]).await.expect("appended");
    }

    async fn get(&self, path: &str, headers: &str) -> Client {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{headers}\r\n", self.address)).await
    }

    async fn send(&self, request: &str) -> Client {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("sent");
        Client(BufReader::new(stream))
    }
}

impl Client {
    /// The next line, without its end; none when the connection is closed.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read =
            tokio::time::timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("a line in time").expect("read");
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Reads until `wanted` begins a line, and gives that line.
    async fn until(&mut self, wanted: &str) -> String {
        loop {
            let line = self.line().await.unwrap_or_else(|| panic!("the connection ended before `{wanted}`"));
            if line.starts_with(wanted) {
                return line;
            }
        }
    }

    async fn status(&mut self) -> String {
        self.line().await.expect("a status")
    }
}

#[tokio::test]
async fn tells_its_health_to_whoever_asks_in_an_old_way() {
    let server = Server::start().await;
    for (path, version, headers, expected) in [
        ("/livez", "1.0", "", "200 OK"),
        ("/readyz", "1.0", "", "200 OK"),
        ("/livez", "1.1", "", "200 OK"),
        ("/readyz", "1.1", "", "200 OK"),
        ("/livez", "1.1", "host: rebound.example\r\n", "421 Misdirected Request"),
        ("/v1/events", "1.0", "", "421 Misdirected Request"),
        ("/v1/events", "1.1", "", "421 Misdirected Request"),
    ] {
        let mut client = server.send(&format!("GET {path} HTTP/{version}\r\n{headers}\r\n")).await;
        assert_eq!(client.status().await, format!("HTTP/{version} {expected}"), "{path} {headers}");
    }
}

#[tokio::test]
async fn sends_what_was_there_and_what_comes() {
    let server = Server::start().await;
    server.append("A", "{}").await;
    let mut client = server.get("/v1/events/live?after=0", "").await;
    assert_eq!(client.status().await, "HTTP/1.1 200 OK");
    assert_eq!(client.until("content-type:").await, "content-type: text/event-stream");
    assert_eq!(client.until("id:").await, "id: 1");
    assert_eq!(client.until("event:").await, "event: event");
    server.append("B", "{\"n\":2}").await;
    assert_eq!(client.until("id:").await, "id: 2");
    assert!(client.until("data:").await.contains("\"event_data\":{\"n\":2}"));
}

#[tokio::test]
async fn begins_at_the_end_unless_told_where() {
    let server = Server::start().await;
    server.append("A", "{}").await;
    let mut client = server.get("/v1/events/live", "").await;
    client.until("content-type:").await;
    server.append("B", "{}").await;
    assert_eq!(client.until("id:").await, "id: 2");
}

#[tokio::test]
async fn goes_on_after_the_last_event_that_was_received() {
    let server = Server::start().await;
    for _ in 0..3 {
        server.append("A", "{}").await;
    }
    let mut client = server.get("/v1/events/live?after=0", "last-event-id: 2\r\n").await;
    assert_eq!(client.until("id:").await, "id: 3");
    let mut client = server.get("/v1/events/live", "last-event-id: two\r\n").await;
    assert_eq!(client.status().await, "HTTP/1.1 400 Bad Request");
}

#[tokio::test]
async fn leaves_out_what_the_filter_does_not_want() {
    let server = Server::start().await;
    let mut client = server.get("/v1/events/live?after=0&type=Wanted", "").await;
    for number in 0..200 {
        server.append(if number % 70 == 69 { "Wanted" } else { "Other" }, "{}").await;
    }
    assert_eq!(client.until("id:").await, "id: 70");
    assert_eq!(client.until("id:").await, "id: 140");
    server.append("Wanted", "{}").await;
    assert_eq!(client.until("id:").await, "id: 201");
}

#[tokio::test]
async fn an_event_is_one_line_whatever_its_payload_is() {
    let server = Server::start().await;
    server.append("A", "{\r\n \"text\":\n\"a\\nb\"}").await;
    let mut client = server.get("/v1/events/live?after=0", "").await;
    let data = client.until("data: ").await;
    let event: serde_json::Value =
        serde_json::from_str(&data["data: ".len()..]).unwrap_or_else(|fault| panic!("{fault}: {data}"));
    assert_eq!(event["event_data"]["text"], "a\nb");
}

#[tokio::test]
async fn bounds_the_clients_and_frees_their_places() {
    let server = Server::start().await;
    let mut first = server.get("/v1/events/live", "").await;
    first.until("content-type:").await;
    let mut second = server.get("/v1/events/live", "").await;
    second.until("content-type:").await;
    let mut third = server.get("/v1/events/live", "").await;
    assert_eq!(third.status().await, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(third.until("content-type:").await, "content-type: application/problem+json");
    drop(first);
    tokio::time::timeout(PATIENCE, async {
        while server.get("/v1/events/live", "").await.status().await != "HTTP/1.1 200 OK" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("a place in time");
}

#[tokio::test]
async fn ends_streams_and_idle_connections_when_it_is_told_to() {
    let server = Server::start().await;
    let mut live = server.get("/v1/events/live", "").await;
    live.until("content-type:").await;
    let mut idle = server.get("/livez", "").await;
    idle.until("content-length:").await;
    server.stop.cancel();
    tokio::time::timeout(DRAINED, server.running).await.expect("ended in time").expect("no panic").expect("no fault");
    while live.line().await.is_some() {}
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn refuses_headers_without_an_end() {
    let server = Server::start().await;
    let mut client = server.get("/livez", &format!("x: {}\r\n", "x".repeat(100_000))).await;
    assert_eq!(client.status().await, "HTTP/1.1 431 Request Header Fields Too Large");
}

#[tokio::test]
async fn an_upload_that_breaks_off_changes_nothing() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    let header = format!("PUT /v1/plugins/a.wasm HTTP/1.1\r\nhost: {}\r\ncontent-length: 1000\r\n\r\n", server.address);
    stream.write_all(header.as_bytes()).await.expect("sent");
    stream.write_all(b"\0asm").await.expect("sent");
    stream.shutdown().await.expect("closed");
    let mut client = Client(BufReader::new(stream));
    while client.line().await.is_some() {}
    assert!(server.deployments.plugins().get().is_empty());
}

#[tokio::test]
async fn tells_how_a_projection_stands_as_it_changes() {
    let server = Server::start().await;
    let mut live = server.get("/v1/projections/slides/live", "").await;
    assert_eq!(live.status().await, "HTTP/1.1 404 Not Found");
    server.deployments.resume_all().await.expect("resumed");
    server.append("Slide", r#"{"n":1}"#).await;
    let bytes = crate::deploying::slides(1, "plain");
    let deployed = server.deployments.deploy("a.wasm", bytes, Source::Upload, DeployOptions::default(), "a test").await;
    assert_eq!(deployed.expect("deployed").outcome, "building");
    let mut live = server.get("/v1/projections/slides/live", "").await;
    loop {
        assert_eq!(live.until("event:").await, "event: projection");
        let data = live.until("data: ").await;
        let statuses: serde_json::Value = serde_json::from_str(&data["data: ".len()..]).expect("JSON");
        if statuses[0]["phase"] == "following" {
            assert_eq!((&statuses[0]["version"], &statuses[0]["progress"]), (&1.into(), &1.0.into()));
            return;
        }
    }
}
