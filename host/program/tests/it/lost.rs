//! A connection that is lost while it appends: before the database has heard of it, or before
//! its answer comes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fantascope::database::{Address, Connections, Database};
use fantascope::event::NewEvent;
use fantascope::limits::Limits;
use fantascope::store::{Appended, Error, Expected, Filter, Store};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::place::Place;
use crate::servers::Kind;

/// Whoever sends this loses the connection, the first time, and nothing comes to the server.
const CUT_BEFORE: &str = "cut before";
/// … or the server gets it, and its answer is lost.
const CUT_AFTER: &str = "cut after";
/// … and no other connection is to be had.
const CUT_FOR_GOOD: &str = "cut for good";

const WAIT_MAX: Duration = Duration::from_secs(1);

/// Between a host and its server.
#[derive(Debug, Default)]
struct Wire {
    /// What was cut.
    cut: Mutex<HashSet<String>>,
    is_down: AtomicBool,
}

impl Wire {
    /// Stands between a port of its own, which it gives, and `server`.
    async fn to(server: String) -> (Arc<Self>, u16) {
        let wire = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepting = Arc::clone(&wire);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (wire, server) = (Arc::clone(&accepting), server.clone());
                tokio::spawn(async move {
                    if !wire.is_down.load(Ordering::Relaxed)
                        && let Ok(server) = TcpStream::connect(server).await
                    {
                        // Whatever comes of it: both ends are closed then.
                        drop(wire.carry(client, server).await);
                    }
                });
            }
        });
        (wire, port)
    }

    async fn carry(&self, mut client: TcpStream, mut server: TcpStream) -> std::io::Result<()> {
        let (mut said, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                length = client.read(&mut said) => {
                    let said = &said[..length?];
                    if said.is_empty() || self.is_down.load(Ordering::Relaxed) || self.is_cut(said, CUT_BEFORE) {
                        return Ok(());
                    }
                    server.write_all(said).await?;
                    let is_for_good = self.is_cut(said, CUT_FOR_GOOD);
                    if is_for_good || self.is_cut(said, CUT_AFTER) {
                        self.is_down.store(is_for_good, Ordering::Relaxed);
                        // Whatever the answer is, and however long: nobody gets it.
                        return server.read(&mut answered).await.map(|_| ());
                    }
                }
                length = server.read(&mut answered) => {
                    let answered = &answered[..length?];
                    if answered.is_empty() {
                        return Ok(());
                    }
                    client.write_all(answered).await?;
                }
            }
        }
    }

    fn is_cut(&self, said: &[u8], marker: &str) -> bool {
        memchr::memmem::find(said, marker.as_bytes()).is_some() && self.cut.lock().unwrap().insert(marker.to_owned())
    }
}

fn event(marker: &str) -> NewEvent {
    serde_json::from_value(json!({ "event_type": "Good", "event_data": { "wire": marker } })).unwrap()
}

async fn append(store: &Store, marker: &str, version: u64) -> Result<Appended, Error> {
    store.append("Thing", "t", Expected::Version(version), vec![event(marker)]).await
}

async fn finds_out_what_came_of_it(kind: Kind) {
    let Some(place) = Place::of_kind(kind.name(), Limits::default()) else {
        println!("skipped: no {kind} is given");
        return;
    };
    drop(place.store().await);
    let url = place.url();
    let (start, rest) = url.split_once('@').unwrap();
    let (server, path) = rest.split_once('/').unwrap();
    let (wire, port) = Wire::to(server.to_owned()).await;
    // The wire must be able to read what goes over it; MySQL speaks TLS unless told otherwise.
    let without_tls = if kind == Kind::MariaDb { "?ssl-mode=DISABLED" } else { "" };
    let address = Address::parse(&format!("{start}@127.0.0.1:{port}/{path}{without_tls}"), None).unwrap();
    let connections = Connections { wait_max: WAIT_MAX, ..Connections::default() };
    let store = Store::open(&Database::open(&address, &connections).await.unwrap(), &place.limits).await.unwrap();

    for (version, marker) in (0..).zip(["nothing", CUT_BEFORE, "nothing", CUT_AFTER, "nothing"]) {
        let appended = append(&store, marker, version).await.unwrap();
        assert_eq!((appended.aggregate_version, appended.repeated), (version + 1, false), "{marker}");
    }
    assert_eq!(wire.cut.lock().unwrap().len(), 2, "both were cut");
    let lost = append(&store, CUT_FOR_GOOD, 5).await.unwrap_err();
    wire.is_down.store(false, Ordering::Relaxed);
    let ids = match lost {
        Error::Unknown { event_ids, .. } => event_ids,
        fault if fault.is_away() && kind == Kind::MariaDb => vec![uuid::Uuid::now_v7()],
        fault => panic!("{fault}"),
    };
    let again = NewEvent { event_id: Some(ids[0]), ..event(CUT_FOR_GOOD) };
    let again = store.append("Thing", "t", Expected::Version(5), vec![again]).await.unwrap();
    assert_eq!((again.aggregate_version, again.event_ids), (6, ids));
    let stored = store.events(&Filter::default(), 100).await.unwrap();
    let versions: Vec<u64> = stored.iter().map(|event| event.aggregate_version).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6], "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_over_which_postgres_is_lost_is_not_doubled() {
    finds_out_what_came_of_it(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_over_which_mariadb_is_lost_is_not_doubled() {
    finds_out_what_came_of_it(Kind::MariaDb).await;
}
