//! What the process takes of its machine, under the names that Prometheus' own clients use.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::process::{Resource, getrlimit};

/// This process. Where the system has no `/proc`, nothing is known of it.
#[derive(Debug)]
pub(super) struct Process;

/// The unit of times in `/proc`, USER_HZ, which is the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process, as the system counts it.
#[derive(Debug, PartialEq)]
struct Counted {
    cpu_seconds: f64,
    threads: u64,
    /// Since the machine began.
    began_seconds: f64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(counted) = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| counted(&stat)) else {
            return Ok(());
        };
        let cpu = encoder.encode_descriptor(
            "process_cpu_seconds",
            "Time that its threads have run, in user and in system mode",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(counted.cpu_seconds).encode(cpu)?;
        let mut gauge = |name: &str, help: &str, value: f64| {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)
        };
        if let Some(resident) = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| resident(&status)) {
            gauge("process_resident_memory_bytes", "Memory that it has in RAM", resident as f64)?;
        }
        gauge("process_threads", "Its threads", counted.threads as f64)?;
        if let Some(machine_began) = machine_began() {
            let began = machine_began + counted.began_seconds;
            gauge("process_start_time_seconds", "When it began, in seconds since 1970", began)?;
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the folder itself.
            gauge("process_open_fds", "Files and sockets that it has open", open.count().saturating_sub(1) as f64)?;
        }
        let most = getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |most| most as f64);
        gauge("process_max_fds", "The most files and sockets that it may have open", most)
    }
}

/// What `/proc/PID/stat` says (proc(5)).
fn counted(stat: &str) -> Option<Counted> {
    // The name of the program, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let seconds = |ticks: u64| ticks as f64 / TICKS_PER_SECOND;
    Some(Counted {
        cpu_seconds: seconds(number(11)? + number(12)?),
        threads: number(17)?,
        began_seconds: seconds(number(19)?),
    })
}

/// The bytes that `/proc/PID/status` says are in RAM; it counts in KiB.
fn resident(status: &str) -> Option<u64> {
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kib.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024)
}

/// In seconds since 1970.
fn machine_began() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_system_counts() {
        let stat = "77 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 200 100 13 14 15 16 8 18 500 20 1000 22";
        let expected = Counted { cpu_seconds: 3.0, threads: 8, began_seconds: 5.0 };
        assert_eq!(counted(stat), Some(expected));
        assert_eq!(counted("77 (a) S 1"), None);
        assert_eq!(resident("VmPeak:\t  9 kB\nVmRSS:\t   2048 kB\n"), Some(2_097_152));
    }
}
