//! An upcaster that answers with nonsense: which, the event's payload says. It takes
//! `Crooked` v1 and promises `Straight` v1; it also claims a type that the shipped
//! `schema_upcaster` takes.
// There is nothing to it but the component.
#![cfg(target_arch = "wasm32")]

use fantascope_sdk::__private::wire::{
    EventType, Events, Failure, Step, Texts, Upcasted, UpcasterGuest, UpcasterManifest,
};

struct Crooked;

impl UpcasterGuest for Crooked {
    fn describe() -> UpcasterManifest {
        let straight = |name: &str| Step { takes: event_type(name, 1), gives: vec![event_type("Straight", 1)] };
        UpcasterManifest {
            sdk: "none".to_owned(),
            name: "crooked".to_owned(),
            version: 1,
            steps: vec![straight("Crooked"), straight("PortalPinged")],
        }
    }

    fn upcast(batch: Events) -> Result<Upcasted, Failure> {
        let events = batch.positions.len();
        let mut upcasted = Upcasted {
            counts: vec![1; events],
            types: vec![event_type("Straight", 1)],
            type_codes: vec![0; events],
            data: batch.data,
        };
        match lie(&upcasted.data.joined) {
            "counts_few" => upcasted.counts.clear(),
            "counts_without_end" => upcasted.counts = vec![u32::MAX; events],
            "counts_nothing" => upcasted.counts = vec![0; events],
            "type_unlisted" => upcasted.type_codes = vec![1; events],
            "type_nameless" => upcasted.types = vec![event_type("", 1)],
            "type_itself" => upcasted.types = vec![event_type("Crooked", 1)],
            "type_undeclared" => upcasted.types = vec![event_type("Surprise", 1)],
            "data_none" => upcasted.data = Texts { joined: String::new(), ends: Vec::new() },
            "data_beyond" => upcasted.data.ends.iter_mut().for_each(|end| *end += 1),
            "data_no_object" => {
                upcasted.data =
                    Texts { joined: "[]".repeat(events), ends: (1..).take(events).map(|row| row * 2).collect() }
            }
            "refuse" => return Err(Failure { event: Some(7_000), path: None, message: "no".to_owned() }),
            "trap" => panic!("bent too far"),
            _ => {}
        }
        Ok(upcasted)
    }
}

/// The lie that the payloads ask for, as `{"lie":"…"}`.
fn lie(payloads: &str) -> &str {
    let rest = payloads.split_once("\"lie\":\"").map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default()
}

fn event_type(name: &str, version: u32) -> EventType {
    EventType { name: name.to_owned(), version }
}

#[cfg(target_arch = "wasm32")]
fantascope_sdk::__private::bindings::upcaster::export_upcaster!(
    Crooked with_types_in fantascope_sdk::__private::bindings::upcaster
);
