//! A projection whose tables would meet those of the host.

use fantascope_sdk::prelude::*;

#[derive(Row)]
#[row(table = "checkpoints")]
pub struct Checkpoint {
    #[key]
    pub id: String,
}

impl Fold for Checkpoint {
    type Event = AnyEvent;

    fn apply(row: &mut Entry<Self>, _: &AnyEvent, _: &Meta) -> Result {
        row.put(Checkpoint { id: row.key().clone() });
        Ok(())
    }
}

fantascope_sdk::projection! { name = "fantascope", version = 1, tables = [Checkpoint] }
