//! A projection that does what the type of the event says, most of it forbidden.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use fantascope_sdk::prelude::*;

#[derive(Row)]
#[row(table = "deeds")]
pub struct Deed {
    #[key]
    pub id: String,
    pub events: i64,
    pub text: String,
}

impl Fold for Deed {
    type Event = AnyEvent;

    fn apply(row: &mut Entry<Self>, event: &AnyEvent, _: &Meta) -> Result {
        let text = match event.event_type() {
            "Good" => "good".to_owned(),
            "Refuse" => bail!("this is not done here"),
            "Loop" => spin(),
            "Bomb" => hoard(),
            "Deep" => dig(1).to_string(),
            "Trap" => panic!("the lamp fell over"),
            "Huge" => "x".repeat(2 << 20),
            "Wait" => wait(),
            "Exit" => std::process::exit(3),
            "Chatter" => chatter(),
            "Newlines" => newlines(),
            "Dice" => dice(),
            _ => return Ok(()),
        };
        let deed = row.get_or_put(|id| Deed { id, events: 0, text: String::new() });
        deed.events += 1;
        deed.text = text;
        Ok(())
    }
}

fn spin() -> String {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

fn hoard() -> String {
    let mut all = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

#[expect(unconditional_recursion, reason = "that is what the test is about")]
fn dig(depth: u64) -> u64 {
    std::hint::black_box(dig(std::hint::black_box(depth + 1))) + 1
}

fn wait() -> String {
    std::thread::sleep(Duration::from_secs(3_600));
    "waited".to_owned()
}

fn chatter() -> String {
    for number in 0..5_000 {
        log::info!("line {number}");
        println!("printed {number}");
        eprintln!("{}", "long ".repeat(2_000));
    }
    "chatted".to_owned()
}

fn newlines() -> String {
    let part = vec![b'\n'; 64 << 10];
    let written: Vec<bool> = (0..256).map(|_| std::io::stdout().write_all(&part).is_ok()).collect();
    format!("printed: {}", written.iter().all(|&is_ok| is_ok))
}

/// Everything that is different each time, were it not for the host.
fn dice() -> String {
    let order: HashMap<u32, ()> = (0..20).map(|number| (number, ())).collect();
    let order: Vec<u32> = order.into_keys().collect();
    let hash = std::hash::RandomState::new().hash_one("lamp");
    let time = SystemTime::now();
    let address = Box::new(0_u8);
    format!("{order:?} {hash:x} {time:?} {address:p}")
}

fantascope_sdk::projection! { name = "hostile", version = 1, tables = [Deed] }
