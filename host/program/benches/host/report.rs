//! What is printed: figures, and how they compare within the run.

use std::time::Duration;

use crate::history::Shape;

/// Several measurements of the same.
#[derive(Default)]
pub(crate) struct Median(Vec<f64>);

impl Median {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    fn value(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// `median (best to worst)` in thousands a second, of seconds for `events`.
    fn rates(&self, events: u64) -> String {
        let rate = |seconds: f64| events as f64 / seconds / 1e3;
        let (best, worst) = (self.0.first().copied().unwrap_or(f64::NAN), self.0.last().copied().unwrap_or(f64::NAN));
        format!("{:8.1} k/s  ({:.1} to {:.1})", rate(self.value()), rate(worst), rate(best))
    }
}

pub(crate) struct Report {
    events: u64,
}

impl Report {
    pub(crate) fn begin(events: u64) -> Self {
        println!(
            "Benchmarks of fantascope {} with {events} events; medians (worst to best)",
            env!("CARGO_PKG_VERSION")
        );
        Self { events }
    }

    pub(crate) fn rebuilds(&mut self, shape: Shape, arms: &[Median; 7]) {
        let names = [
            "reading alone",
            "guest alone",
            "writing alone",
            "rebuild, sandboxed",
            "rebuild, native",
            "by hand, transaction per page",
            "by hand, transaction per event",
        ];
        println!("\n{shape:?}");
        for (name, arm) in names.iter().zip(arms) {
            println!("  {name:32} {}", arm.rates(self.events));
        }
        let [read, guest, write, sandbox, native, page, event] = arms.each_ref().map(Median::value);
        let slowest = read.max(guest).max(write);
        println!("  price of the sandbox (sandboxed / native, time)   {:.2}", sandbox / native);
        println!("  rebuild's rate / slowest stage's                  {:.2}", slowest / sandbox);
        println!("  rebuild's rate / reading's                        {:.2}", read / sandbox);
        println!("  rebuild's rate / by hand, transaction per page    {:.1}", page / sandbox);
        println!("  rebuild's rate / by hand, transaction per event   {:.1}", event / sandbox);
    }

    pub(crate) fn on(&self, server: &str) {
        println!("On a {server} server of its own, which syncs to disk; events and rows in one database");
    }

    pub(crate) fn server_rebuilds(&mut self, shape: Shape, arms: &[Median; 6]) {
        let names = [
            "COPY to standard output",
            "reading alone",
            "guest alone",
            "writing alone",
            "rebuild, sandboxed",
            "by hand, transaction per page",
        ];
        println!("\n{shape:?}");
        for (name, arm) in names.iter().zip(arms).filter(|(_, arm)| !arm.0.is_empty()) {
            println!("  {name:32} {}", arm.rates(self.events));
        }
        let [limit, read, guest, write, rebuilt, by_hand] = arms.each_ref().map(Median::value);
        if limit.is_finite() {
            println!("  rebuild's rate / COPY's                           {:.2}", limit / rebuilt);
        }
        let slowest = read.max(guest).max(write);
        println!("  rebuild's rate / slowest stage's                  {:.2}", slowest / rebuilt);
        println!("  rebuild's rate / by hand, transaction per page    {:.1}", by_hand / rebuilt);
    }

    pub(crate) fn together(&mut self, arms: &[Median; 5], (alone, together): (u64, u64)) {
        println!("\nSeveral at once");
        let names = [
            "slow guest, 1 worker",
            "slow guest, 2 workers",
            "order list, 1 worker",
            "order list, 2 workers",
            "order list, 4 projections",
        ];
        for (name, arm) in names.iter().zip(arms) {
            println!("  {name:32} {}", arm.rates(self.events));
        }
        let [slow_one, slow_two, one, two, four] = arms.each_ref().map(Median::value);
        println!("  2 workers / 1 worker, rate, slow guest            {:.2}", slow_one / slow_two);
        println!("  2 workers / 1 worker, rate, order list            {:.2}", one / two);
        println!("  4 projections together / 1 alone, time            {:.2}", four / one);
        println!("  4 projections together / 1 alone, pages read      {:.2}", together as f64 / alone as f64);
    }

    pub(crate) fn appends(&mut self, rates: &[Median; 6]) {
        println!("\nAppends, events a second, synced to disk before the answer: median (worst to best)");
        let names = [
            "lists of 100",
            "one by one",
            "one by one, 4 callers",
            "one by one, 32 callers",
            "one by one, over HTTP",
            "one by one, over HTTP, 32 callers",
        ];
        for (name, rate) in names.iter().zip(rates) {
            let (worst, best) =
                (rate.0.first().copied().unwrap_or(f64::NAN), rate.0.last().copied().unwrap_or(f64::NAN));
            println!("  {name:32} {:10.0}  ({worst:.0} to {best:.0})", rate.value());
        }
    }

    /// `delays` are sorted.
    pub(crate) fn latency(&mut self, delays: &[Duration]) {
        let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!("\nFrom an append's answer to the readable row, at 200 appends a second");
        println!("  median {:.2} ms, 99th percentile {:.2} ms, worst {:.2} ms", at(0.5), at(0.99), at(1.0));
    }

    pub(crate) fn memory(&mut self, peaks: &[(u64, &str, u64)]) {
        println!("\nPeak memory of a rebuild");
        for (events, tables, kilobytes) in peaks {
            let of = if *tables == "1" { "one table" } else { "three tables, one of them idle" };
            println!("  {events:>10} events, {of:<30}  {:.0} MiB", *kilobytes as f64 / 1024.0);
        }
    }

    pub(crate) fn end(self) {
        println!();
    }
}
