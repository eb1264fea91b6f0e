//! TLS to a database, as its URL says.

use std::path::Path;
use std::process::{Command, Stdio};

use fantascope::database::Database;
use sqlx::{Connection as _, PgConnection};

use crate::place::Raw;
use crate::servers::{Durability, Kind, Server, Template};

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' ')).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority `NAME.crt` with its key.
fn make_authority(folder: &Path, name: &str) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(folder, &format!("req -x509 {key} -keyout {name}.key -out {name}.crt -days 2 -subj /CN={name}"));
}

/// A certificate of `ours` for `localhost`, in the folder of the server's data.
fn certify(folder: &Path, data: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(folder, &format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost"));
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(
        folder,
        "x509 -req -in server.csr -CA ours.crt -CAkey ours.key -CAcreateserial -days 2 -out server.crt -extfile names",
    );
    for name in ["server.key", "server.crt"] {
        std::fs::copy(folder.join(name), data.join(name)).unwrap();
        let reference = format!("--reference={}", data.join("PG_VERSION").display());
        for tool in ["chown", "chmod"] {
            let status = Command::new(tool).arg(&reference).arg(data.join(name)).status().unwrap();
            assert!(status.success(), "{tool} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_spoken_to_over_tls_as_the_url_says() {
    let Some(template) = Template::given(Kind::Postgres).unwrap() else {
        println!("skipped: {} is not set", Template::VARIABLE);
        return;
    };
    let mut server = Server::start(&template, Durability::None).unwrap();
    let url = server.url("postgres");
    let refused = async |url: &str, expected: &[&str]| {
        let fault = Database::at(url).await.unwrap_err().to_string();
        for words in expected {
            assert!(fault.contains(words), "{url}: `{fault}` should say `{words}`");
        }
    };
    refused(&format!("{url}?sslmode=require"), &["can't be spoken to over TLS"]).await;

    let folder = tempfile::tempdir().unwrap();
    make_authority(folder.path(), "ours");
    make_authority(folder.path(), "other");
    certify(folder.path(), &server.folder().join("data"));
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("ALTER SYSTEM SET ssl = on").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    server.restart().unwrap();

    let localhost = url.replace("127.0.0.1", "localhost");
    let root = |name: &str| format!("sslrootcert={}", folder.path().join(name).display());
    for (url, encrypted) in [
        (format!("{url}?sslmode=disable"), false),
        (format!("{url}?sslmode=prefer"), true),
        (format!("{url}?sslmode=require"), true),
        (format!("{url}?sslmode=verify-ca&{}", root("ours.crt")), true),
        (format!("{localhost}?sslmode=verify-full&{}", root("ours.crt")), true),
    ] {
        let raw = Raw(Database::at(&url).await.unwrap());
        let rows = raw.rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").await;
        assert_eq!(rows[0].get::<bool>("ssl").unwrap(), encrypted, "{url}");
    }
    let expected = ["can't be spoken to over TLS (invalid peer certificate", "`sslrootcert`"];
    refused(&format!("{localhost}?sslmode=verify-full&{}", root("other.crt")), &expected).await;
    refused(&format!("{localhost}?sslmode=verify-full"), &expected).await;
    refused(&format!("{url}?sslmode=verify-full&{}", root("ours.crt")), &expected).await;
    refused(&format!("{url}?sslmode=verify-full&{}", root("none.crt")), &["No such file"]).await;
}
