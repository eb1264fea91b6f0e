//! 1→0: of old, the portal wrote down that somebody was still there.

use fantascope_sdk::prelude::*;

#[derive(Event, Deserialize)]
#[event("PortalPinged")]
pub struct PortalPingedV1 {}

impl Upcast for PortalPingedV1 {
    type Into = NoEvent;

    fn upcast(self, _: &Meta) -> Result<Vec<NoEvent>> {
        Ok(vec![])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_dropped() {
        Spec::upcast::<PortalPingedV1>().given("family-0042", json!({ "visit": "visit-0042-1" })).then_none();
    }
}
