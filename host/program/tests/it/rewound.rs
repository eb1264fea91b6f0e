//! A projection that is set back folds again over the rows that it has.

use fantascope::event::Checkpoint;
use fantascope::projection::Phase;
use fantascope::read_model::NewOperation;

use crate::place::Place;
use crate::scribe::{PHYSICAL, plain, settled, start, write};

/// So many that PostgreSQL would copy new rows in.
const NOTES: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn set_back_to_the_beginning_it_finds_its_rows() {
    let place = Place::new();
    let host = place.start(&[]).await;
    write(&host.store, &plain("n", NOTES)).await;
    let id = start(&host, None).await;
    for round in 1..=3_i64 {
        let status = settled(&host).await;
        assert_eq!((status.phase, status.error), (Phase::Following, None));
        let sql = format!("SELECT count(*) AS n FROM \"{PHYSICAL}\" WHERE rounds = {round}");
        assert_eq!(place.raw().await.rows(&sql).await[0].at::<i64>(0).unwrap(), NOTES as i64, "round {round}");
        let operation = NewOperation::on("reset", &id, "tester");
        host.projections.rewind(&id, Checkpoint::default(), operation).await.unwrap();
    }
    // So it does if it is begun anew there.
    host.projections.drain().await;
    let host = place.start(&[]).await;
    start(&host, None).await;
    settled(&host).await;
    let sql = format!("SELECT count(*) AS n FROM \"{PHYSICAL}\" WHERE rounds = 4");
    assert_eq!(place.raw().await.rows(&sql).await[0].at::<i64>(0).unwrap(), NOTES as i64);
}
