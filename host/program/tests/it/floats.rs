//! Floats come back from the database as they went in, to the last bit.

use std::sync::Arc;

use fantascope::change::{
    Cells, Changes, Column, ColumnDefinition, ColumnType, Digest, Keys, Manifest, Operation, Subscription,
    TableDefinition,
};
use fantascope::event::{Checkpoint, Position};
use fantascope::read_model::{Commit, ReadModel, TableChanges};

use crate::place::Place;

/// The edges of what there is, of what SQLite prints exactly, and many others.
fn values() -> Vec<f64> {
    let edges = [0.0, 0.1, 0.1 + 0.2, 1e22, 1e300, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e115, 1e118, 1e-81, 1e-200];
    let near = |value: f64| [value, -value, value.next_up(), -value.next_down()];
    let mut bits = 1_u64;
    let random = std::iter::repeat_with(|| {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from_bits(bits ^ (bits >> 32))
    });
    let all = edges.into_iter().flat_map(near).chain(random.take(20_000));
    // Minus zero is none of them: it becomes zero when a guest answers it.
    all.filter(|value| value.is_finite() && value.to_bits() != (-0.0_f64).to_bits()).collect()
}

fn manifest() -> Manifest {
    let column = |name: &str, of_type| ColumnDefinition { name: name.parse().unwrap(), of_type, nullable: false };
    Manifest {
        sdk: String::new(),
        name: "scale".parse().unwrap(),
        version: 1,
        subscription: Subscription::All,
        replayable: false,
        tables: vec![TableDefinition {
            name: "weights".parse().unwrap(),
            columns: vec![column("id", ColumnType::Integer), column("weight", ColumnType::Float)],
            key_columns: 1,
            keyed_by_aggregate: false,
            indexes: Vec::new(),
        }],
    }
}

#[tokio::test]
async fn floats_survive_a_restart_exactly() {
    let (place, manifest, values) = (Place::new(), manifest(), values());
    let column = |cells| vec![Column { nulls: Vec::new(), cells }];
    let keys = Keys { count: values.len(), columns: column(Cells::Integers((0..values.len() as i64).collect())) };
    let changes =
        Changes { operations: vec![Operation::Put; values.len()], columns: column(Cells::Floats(values.clone())) };
    let id = {
        let read_model = ReadModel::open(&place.database().await).await.unwrap();
        let prepared = read_model.prepare(&manifest, Digest([0; 32])).await.unwrap();
        let mut writer = read_model.writer(&prepared, &manifest.tables);
        let tables = vec![Arc::new(TableChanges::new(keys.clone(), keys.hashes(), changes, Vec::new()))];
        let checkpoint = Checkpoint { position: Position(1), last_event: None };
        writer.commit(&[Commit { tables, checkpoint }]).await.unwrap();
        prepared.id
    };
    let read_model = ReadModel::open(&place.database().await).await.unwrap();
    let rows = read_model.rows(&id, &manifest.tables[0], &keys).await.unwrap();
    let Cells::Floats(found) = &rows.columns[0].cells else { panic!("floats are floats") };
    assert_eq!(found.len(), values.len());
    for (found, value) in found.iter().zip(&values) {
        assert_eq!(found.to_bits(), value.to_bits(), "{value:e} came back as {found:e}");
    }
}
