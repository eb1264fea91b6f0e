//! An upcaster that is whatever its marker says: it makes `Slide` v2 of `Slide` v1, with
//! `n` so many times as large. A test writes another marker over it in the bytes of the
//! component.
// There is nothing to it but the component.
#![cfg(target_arch = "wasm32")]

use fantascope_sdk::__private::wire::{
    EventType, Events, Failure, Step, Texts, Upcasted, UpcasterGuest, UpcasterManifest,
};

/// Version, factor, and a note that means nothing. A factor of 0 refuses all.
static MARKER: &str = "turner:v=01;factor=10;note=0000;";

struct Turner;

impl UpcasterGuest for Turner {
    fn describe() -> UpcasterManifest {
        let steps = vec![Step { takes: slide(1), gives: vec![slide(2)] }];
        let version = u32::try_from(part("v=")).unwrap_or(1);
        UpcasterManifest { sdk: "none".to_owned(), name: "turner".to_owned(), version, steps }
    }

    fn upcast(batch: Events) -> Result<Upcasted, Failure> {
        let factor = part("factor=");
        if factor == 0 {
            return Err(Failure { event: Some(0), path: None, message: "the slide is upside down".to_owned() });
        }
        let mut data = Texts { joined: String::new(), ends: Vec::new() };
        let mut start = 0;
        for &end in &batch.data.ends {
            let payload = &batch.data.joined[start..end as usize];
            start = end as usize;
            data.joined.push_str(&format!("{{\"n\":{}}}", number(payload) * factor));
            data.ends.push(u32::try_from(data.joined.len()).unwrap_or(u32::MAX));
        }
        let events = batch.positions.len();
        Ok(Upcasted { counts: vec![1; events], types: vec![slide(2)], type_codes: vec![0; events], data })
    }
}

fn slide(version: u32) -> EventType {
    EventType { name: "Slide".to_owned(), version }
}

/// The number that stands behind `name` in the marker, which the compiler must not know.
fn part(name: &str) -> i64 {
    let marker: &'static str = std::hint::black_box(MARKER);
    let rest = marker.split_once(name).map_or("", |(_, rest)| rest);
    rest.get(..2).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The `n` of a payload such as `{"n":7}`.
fn number(payload: &str) -> i64 {
    let rest = payload.split_once("\"n\":").map_or("", |(_, rest)| rest.trim_start());
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

#[cfg(target_arch = "wasm32")]
fantascope_sdk::__private::bindings::upcaster::export_upcaster!(
    Turner with_types_in fantascope_sdk::__private::bindings::upcaster
);
