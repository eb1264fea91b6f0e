//! What every event of a permit tells, whatever its type.

use fantascope_sdk::prelude::*;

/// The 27 types of event differ in their names only, so they are read as one:
/// an [`AnyEvent`], whose payload decodes to this.
#[derive(Serialize, Deserialize)]
pub struct Step {
    /// For example `T02 Check confirmation of receipt`.
    pub activity: String,
    pub channel: String,
    pub responsible: String,
}

/// Whether an event is a step of a permit: other things happen in a store too.
pub(crate) fn is_step(meta: &Meta) -> bool {
    meta.aggregate_type() == "Permit"
}
