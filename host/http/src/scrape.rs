//! Numbers that are not counted but looked up when they are asked for.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::state::Api;
use database::PoolStatus;
use deployment::{PluginInfo, PluginStatus};
use model::event::Timestamp;
use projection::{Phase, Status};
use store::Hold;

/// How the store and the projections stand. There is a label for each version, but
/// never one for an aggregate: nobody bounds how many of those there are.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) api: Api,
}

impl Standing {
    /// The connections of each database; of the store alone where read models share its.
    fn encode_connections(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (events, rows) = (self.api.store.database(), self.api.read_model.database());
        let own = (rows.name() != events.name()).then_some(("read_models", rows));
        let databases = [("store", events)].into_iter().chain(own);
        let pools: Vec<_> = databases.flat_map(|(name, of)| of.pools().map(move |pool| (name, pool))).collect();
        let mut family = |name: &str, help: &str, value: fn(&PoolStatus) -> f64| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (database, pool) in &pools {
                let labels = [("database", *database), ("pool", pool.name)];
                ConstGauge::new(value(pool)).encode(family.encode_family(&labels)?)?;
            }
            Ok(())
        };
        family("database_connections", "Connections that are open", |pool| pool.open.into())?;
        family("database_connections_idle", "Open connections that nobody uses", |pool| pool.idle as f64)?;
        family("database_connections_max", "The most connections that may be open", |pool| pool.max.into())
    }
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Api { store, board, deployments, .. } = &self.api;
        let head = store.head();
        let gauge = encoder.encode_descriptor(
            "store_head_position",
            "The last position of the event store",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(signed(head.0)).encode(gauge)?;
        let held = encoder.encode_descriptor(
            "tail_held_seconds",
            "How long an append that has not ended keeps later ones from being read; 0 if none does",
            None,
            MetricType::Gauge,
        )?;
        let seconds = |hold: Hold| Timestamp::now().seconds_since(hold.since).max(0.0);
        ConstGauge::new(store.hold().map_or(0.0, seconds)).encode(held)?;
        let hosts = encoder.encode_descriptor(
            "hosts",
            "Hosts that share the read models, this one among them, at the last look",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(i64::from(deployments.hosts_alive())).encode(hosts)?;
        encode_plugins(&mut encoder, &deployments.plugins().get())?;
        self.encode_connections(&mut encoder)?;
        let mut panics = encoder.encode_descriptor(
            "panics",
            "How often a task of the host, or one of its versions, has panicked and was begun again",
            None,
            MetricType::Counter,
        )?;
        for (task, count) in store.tasks().panics() {
            let counter = ConstCounter::new(count);
            counter.encode(panics.encode_family(&[("task", task)])?)?;
        }
        let statuses = board.statuses(head);
        let mut family =
            |name: &str, help: &str, value: fn(&Status) -> f64| each(&mut encoder, &statuses, name, help, value);
        family("projection_position", "Everything up to here is folded", |status| status.position.0 as f64)?;
        family("projection_lag_events", "Events that are not folded yet", |status| status.lag_events as f64)?;
        family("projection_lag_seconds", "Age of the oldest event that is not folded yet", |status| {
            status.lag_seconds
        })?;
        family("projection_events_per_second", "Events folded per second", |status| status.events_per_second)?;
        family("projection_failed", "Whether it has stopped at an event", |status| {
            flag(status.phase == Phase::Failed)
        })?;
        family("projection_live", "Whether the stable names show this version", |status| flag(status.live))?;
        let mut phases = encoder.encode_descriptor(
            "projection_phase",
            "What it is doing: 1 for its phase, else 0",
            None,
            MetricType::Gauge,
        )?;
        for status in &statuses {
            for &phase in Phase::ALL {
                let labels = [
                    ("projection", status.projection.clone()),
                    ("version", status.version.to_string()),
                    ("generation", status.generation.to_string()),
                    ("phase", phase.to_string()),
                ];
                ConstGauge::new(flag(status.phase == phase)).encode(phases.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn encode_plugins(encoder: &mut DescriptorEncoder<'_>, plugins: &[PluginInfo]) -> Result<(), std::fmt::Error> {
    let mut family = encoder.encode_descriptor("plugins", "Plugin files, by status", None, MetricType::Gauge)?;
    for status in PluginStatus::ALL {
        let count = plugins.iter().filter(|plugin| plugin.status == status).count();
        let labels = [("status", status.to_string())];
        ConstGauge::new(count as f64).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn each(
    encoder: &mut DescriptorEncoder<'_>,
    statuses: &[Status],
    name: &str,
    help: &str,
    value: fn(&Status) -> f64,
) -> Result<(), std::fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for status in statuses {
        let labels = [
            ("projection", status.projection.clone()),
            ("version", status.version.to_string()),
            ("generation", status.generation.to_string()),
        ];
        ConstGauge::new(value(status)).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn flag(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
