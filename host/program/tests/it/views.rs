//! The stable names, when others are in their way.

use std::time::Duration;

use fantascope::change::{ColumnType, TableDefinition};
use fantascope::database::{Address, Connections, Database, Dialect, query};
use fantascope::event::Position;
use fantascope::read_model::{Error, NewOperation, ReadModel};

use crate::place::{Place, Raw};
use crate::side::{Side, integers, table};

fn lines() -> Vec<TableDefinition> {
    vec![table("lines", 1, &[("id", ColumnType::Integer), ("total", ColumnType::Integer)])]
}

/// Two versions with a row each, whose total is the number of the version; the first is live.
struct Versions {
    raw: Raw,
    read_model: ReadModel,
    blue: Side,
    green: Side,
}

impl Versions {
    async fn new(place: &Place) -> Self {
        drop(place.database().await);
        let database = impatient(place).await;
        let read_model = ReadModel::open(&database).await.unwrap();
        let mut blue = Side::new(&read_model, 1, lines()).await;
        let mut green = Side::new(&read_model, 2, lines()).await;
        blue.put(1, vec![vec![integers(&[7]), integers(&[1])]]).await;
        green.put(1, vec![vec![integers(&[7]), integers(&[2])]]).await;
        let this = Self { raw: place.raw().await, read_model, blue, green };
        assert_eq!(this.shown().await, 1);
        this
    }

    async fn promote(&self) -> Result<(), Error> {
        self.read_model.promote(&self.green.prepared.id, NewOperation::default()).await
    }

    /// The version whose row is under the stable name.
    async fn shown(&self) -> i64 {
        self.raw.rows("SELECT total FROM orders_lines").await[0].get("total").unwrap()
    }

    /// The version that is live.
    async fn live(&self) -> u32 {
        let versions = self.read_model.versions().await.unwrap();
        versions.iter().find(|version| version.live).unwrap().id.version
    }
}

/// Statements wait no longer than a second for a lock, and a transaction may be idle for a minute.
async fn impatient(place: &Place) -> Database {
    let address = Address::parse(place.url(), None).unwrap();
    let connections = Connections {
        lock_wait_max: Duration::from_secs(1),
        idle_transaction_max: Duration::from_secs(60),
        ..Connections::default()
    };
    Database::open(&address, &connections).await.unwrap()
}

#[tokio::test]
async fn a_view_that_others_are_made_of_is_not_replaced() {
    let place = Place::new();
    let versions = Versions::new(&place).await;
    versions.raw.run("CREATE VIEW large AS SELECT * FROM orders_lines WHERE total > 0").await.unwrap();
    let promoted = versions.promote().await;
    if versions.raw.dialect() == Dialect::Postgres {
        let fault = promoted.unwrap_err();
        assert_eq!(fault.code(), "view_in_use");
        assert!(fault.to_string().contains("`orders_lines`"), "{fault}");
        assert_eq!((versions.live().await, versions.shown().await), (1, 1));
        versions.raw.run("DROP VIEW large").await.unwrap();
        versions.promote().await.unwrap();
    } else {
        // There a view goes by the name of the other, whatever that shows.
        promoted.unwrap();
        assert_eq!(versions.raw.rows("SELECT total FROM large").await[0].get::<i64>("total").unwrap(), 2);
    }
    assert_eq!((versions.live().await, versions.shown().await), (2, 2));
}

#[tokio::test]
async fn a_reader_in_the_way_holds_up_a_promotion_or_the_views() {
    let place = Place::new();
    let versions = Versions::new(&place).await;
    let database = impatient(&place).await;
    let mut reader = database.snapshot().await.unwrap();
    let seen = query("SELECT total FROM orders_lines").one(&mut reader).await.unwrap();
    assert_eq!(seen.get::<i64>("total").unwrap(), 1);
    let promoted = versions.promote().await;
    match versions.raw.dialect() {
        Dialect::Sqlite => promoted.unwrap(),
        Dialect::Postgres => {
            let fault = promoted.unwrap_err();
            assert_eq!(fault.code(), "view_busy");
            assert!(fault.to_string().contains("`orders_lines`"), "{fault}");
            assert_eq!((versions.live().await, versions.shown().await), (1, 1));
            drop(reader);
            versions.promote().await.unwrap();
        }
        Dialect::MySql => {
            // It is promoted, and the views follow as soon as they can.
            promoted.unwrap();
            assert_eq!((versions.live().await, versions.shown().await), (2, 1));
            drop(reader);
            versions.read_model.settle_left_over().await;
        }
    }
    assert_eq!((versions.live().await, versions.shown().await), (2, 2));
}

#[tokio::test]
async fn views_that_a_killed_host_has_left_behind_follow_at_the_next_start() {
    let place = Place::new();
    let versions = Versions::new(&place).await;
    let database = impatient(&place).await;
    if versions.raw.dialect() == Dialect::MySql {
        let mut reader = database.snapshot().await.unwrap();
        query("SELECT total FROM orders_lines").one(&mut reader).await.unwrap();
        versions.promote().await.unwrap();
        assert_eq!((versions.live().await, versions.shown().await), (2, 1));
        drop(reader);
    } else {
        versions.promote().await.unwrap();
    }
    // Another host knows nothing of what was left undone.
    let other = ReadModel::open(&impatient(&place).await).await.unwrap();
    other.settle_left_over().await;
    other.settle_all().await.unwrap();
    assert_eq!((versions.live().await, versions.shown().await), (2, 2));
}

#[tokio::test]
async fn grants_outlive_a_promotion() {
    let place = Place::new();
    let versions = Versions::new(&place).await;
    if versions.raw.dialect() != Dialect::Postgres {
        // SQLite has none, and those of MySQL go by the name.
        return versions.promote().await.unwrap();
    }
    let role = format!("Reader of {}", uuid::Uuid::now_v7().simple());
    versions.raw.run(&format!("CREATE ROLE \"{role}\"")).await.unwrap();
    versions.raw.run("GRANT SELECT ON orders_lines TO PUBLIC").await.unwrap();
    versions.raw.run(&format!("GRANT SELECT, UPDATE ON orders_lines TO \"{role}\" WITH GRANT OPTION")).await.unwrap();
    versions.raw.run("GRANT UPDATE (total) ON orders_lines TO PUBLIC").await.unwrap();
    let granted = async || -> Vec<(String, String, bool)> {
        let rows = versions
            .raw
            .rows(
                "SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee)::text END AS grantee, \
                        a.privilege_type || coalesce(' of ' || of_column, '') AS privilege, a.is_grantable AS passed_on \
                 FROM (SELECT relowner, relacl AS acl, NULL::name AS of_column FROM pg_class \
                       WHERE oid = to_regclass('orders_lines') UNION ALL \
                       SELECT 0, attacl, attname FROM pg_attribute WHERE attrelid = to_regclass('orders_lines')) g, \
                      aclexplode(g.acl) a \
                 WHERE a.grantee <> g.relowner OR of_column IS NOT NULL ORDER BY 1, 2",
            )
            .await;
        let grant = |row: &database::Row| {
            (row.get("grantee").unwrap(), row.get("privilege").unwrap(), row.get("passed_on").unwrap())
        };
        rows.iter().map(grant).collect()
    };
    let before = granted().await;
    versions.promote().await.unwrap();
    let after = granted().await;
    // A version without the column: what was granted of it is void.
    let others = vec![table("lines", 1, &[("id", ColumnType::Integer), ("sum", ColumnType::Integer)])];
    let third = Side::new(&versions.read_model, 3, others).await;
    versions.read_model.promote(&third.prepared.id, NewOperation::default()).await.unwrap();
    let without = granted().await;
    versions.raw.run(&format!("DROP OWNED BY \"{role}\"")).await.unwrap();
    versions.raw.run(&format!("DROP ROLE \"{role}\"")).await.unwrap();
    let of = |grantee: &str, privilege: &str, passed_on| (grantee.to_owned(), privilege.to_owned(), passed_on);
    let plain = [of("PUBLIC", "SELECT", false), of(&role, "SELECT", true), of(&role, "UPDATE", true)];
    let mut with_column = plain.to_vec();
    with_column.insert(1, of("PUBLIC", "UPDATE of total", false));
    assert_eq!(before, with_column);
    assert_eq!(after, with_column);
    assert_eq!(without, plain);
}

#[tokio::test]
async fn who_knows_only_earlier_upcasters_folds_nothing() {
    let place = Place::new();
    let versions = Versions::new(&place).await;
    let id = versions.blue.prepared.id.clone();
    let digest = versions.blue.prepared.digest;
    let host = &versions.read_model;
    host.lease(&id, 0, digest, 0..=0).await.unwrap().expect("it is this host's");
    let set = host.change_upcasters(Position(1)).await.unwrap();
    let (set, _) = set.record(Position(1), &[], NewOperation::default()).await.unwrap();
    let fault = host.lease(&id, 0, digest, 0..=set.number - 1).await.unwrap_err();
    assert!(matches!(fault, Error::Fenced { .. }), "{fault}");
    host.lease(&id, 0, digest, 0..=set.number).await.unwrap().expect("it is this host's");
}
