//! A dump is put in the place of a database that hosts work on.

use std::path::{Path, PathBuf};
use std::process::Command;

use fantascope::database::Database;
use fantascope::event::NewEvent;
use fantascope::store::Expected;
use serde_json::json;

use super::{append, come_true, hosts, is_kept_off, rounds};
use crate::dice::Dice;
use crate::outage::server;
use crate::place::{Place, Raw};
use crate::servers::{Durability, Kind, Server};
use crate::stage::slides;

/// Runs a program to its end.
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The programs that write a dump and read it again; none if they are not installed.
fn dump_programs(server: &Server) -> Option<[PathBuf; 2]> {
    let names = match server.kind() {
        Kind::Postgres => ["pg_dump", "pg_restore"],
        Kind::MariaDb if server.is_mysql() => ["mysqldump", "mysql"],
        Kind::MariaDb => ["mariadb-dump", "mariadb"],
    };
    let found = names.map(|name| server.program(name));
    match found {
        [Some(dump), Some(restore)] => Some([dump, restore]),
        _ => {
            println!("skipped: {} and {} are not installed", names[0], names[1]);
            None
        }
    }
}

/// A dump of the database `shop` of `server`.
fn dump(server: &Server, program: &Path, into: &Path) {
    match server.kind() {
        Kind::Postgres => run(Command::new(program).args(["-Fc", "-f"]).arg(into).arg(server.url("shop"))),
        Kind::MariaDb => {
            let mut command = server.client(program);
            if server.is_mysql() {
                command.arg("--set-gtid-purged=OFF");
            }
            run(command.args(["--single-transaction", "--triggers", "--result-file"]).arg(into).arg("shop"));
        }
    }
}

/// Drops `shop`, and makes it anew from the dump. `halfway` is called while it is less than whole.
async fn restore(server: &Server, program: &Path, from: &Path, halfway: impl AsyncFnOnce()) {
    let raw = Raw(Database::at(&server.url(server.kind().administration())).await.unwrap());
    let drop = raw.dialect().pick("", "DROP DATABASE shop WITH (FORCE)", "DROP DATABASE shop");
    outside(&raw, drop).await;
    outside(&raw, raw.dialect().pick("", "CREATE DATABASE shop", "CREATE DATABASE shop CHARACTER SET utf8mb4")).await;
    match server.kind() {
        Kind::Postgres => {
            let part = |section: &str| {
                let mut command = Command::new(program);
                command.arg("-d").arg(server.url("shop")).arg(format!("--section={section}")).arg(from);
                run(&mut command);
            };
            part("pre-data");
            part("data");
            halfway().await;
            part("post-data");
        }
        Kind::MariaDb => {
            halfway().await;
            run(server.client(program).arg("shop").stdin(std::fs::File::open(from).unwrap()));
        }
    }
}

/// Runs a statement that no transaction may hold.
async fn outside(raw: &Raw, sql: &str) {
    crate::outage::outside(raw, sql).await;
}

/// A dump is put in the place of a database that hosts work on. They keep off what is half of it,
/// and when they are started anew everything is there.
async fn restored_from_dump(kind: Kind) {
    let Some(server) = server(kind, Durability::None) else { return };
    let Some([dumper, restorer]) = dump_programs(&server) else { return };
    let mut dice = Dice::new();
    println!("{dice}");
    let folder = tempfile::tempdir().unwrap();
    let raw = Raw(Database::at(&server.url(kind.administration())).await.unwrap());
    outside(&raw, "CREATE DATABASE shop").await;
    for round in 0..rounds() {
        let count = 1 + round % 2;
        let mut stages = hosts(Place::in_database(&server.url("shop")), count).await;
        if round == 0 {
            stages[0].deploy(slides(1, "plain", 0)).await.unwrap();
        }
        append(&stages[dice.below(count)].store, &mut dice, 60).await;
        let file = folder.path().join(format!("dump-{round}"));
        dump(&server, &dumper, &file);
        append(&stages[dice.below(count)].store, &mut dice, 60).await;
        if dice.percent(70) {
            come_true(&stages, &format!("round {round}, what will be lost")).await;
        }
        let kept_off = async || {
            for stage in &stages {
                let event = json!({ "event_type": "Slide", "event_data": { "n": 1 } });
                let event: NewEvent = serde_json::from_value(event).unwrap();
                let appended = stage.store.append("Show", "s-1", Expected::Any, vec![event]).await;
                assert!(appended.is_err(), "half of a database took {appended:?}");
            }
        };
        restore(&server, &restorer, &file, kept_off).await;
        for stage in &stages {
            is_kept_off(stage).await;
        }
        for stage in stages.drain(..) {
            stage.deployments.drain().await;
        }
        let stages = hosts(Place::in_database(&server.url("shop")), count).await;
        append(&stages[dice.below(count)].store, &mut dice, 80).await;
        come_true(&stages, &format!("round {round}, restored")).await;
        for stage in stages {
            stage.deployments.drain().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_keep_off_a_postgres_that_is_restored_from_a_dump() {
    restored_from_dump(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_keep_off_a_mariadb_that_is_restored_from_a_dump() {
    restored_from_dump(Kind::MariaDb).await;
}
