//! Every metric: one table with name, type, labels and help. To add one, add a line to the table.
//!
//! No room, participant or project names as labels: strangers choose them, and each would be a
//! series that stays (livekit#1189).

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// The outcome of something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    pub outcome: &'static str,
}

/// The transport of a stream: `sse` or `socketio`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Transport {
    pub transport: &'static str,
}

/// A follower of the log: `fold`, `watchers` and so on. Names of our own, so the list is short.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Follower {
    pub follower: &'static str,
}

/// A kind of condition, such as `agent_missing`. Names of our own, so the list is short.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Condition {
    pub condition: &'static str,
}

/// An endpoint of deliveries. Names of the configuration, so the list is short.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Endpoint {
    pub endpoint: String,
}

/// An endpoint of deliveries, and the outcome of something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Delivery {
    pub endpoint: String,
    pub outcome: &'static str,
}

/// A limit, by the name of its option.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Limit {
    pub limit: &'static str,
}

/// Bounds of the buckets of a time, in seconds.
const BUCKETS: [f64; 11] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0];

macro_rules! metrics {
    ($($name:ident: $kind:ident $(by $label:ident)?, $help:literal;)*) => {
        pub struct Metrics {
            registry: Registry,
            $(
                #[doc = $help]
                pub $name: metrics!(@type $kind $($label)?),
            )*
        }

        impl Default for Metrics {
            fn default() -> Metrics {
                let mut registry = Registry::with_prefix("roomwatch");
                $(
                    let $name = metrics!(@new $kind $($label)?);
                    metrics!(@register $kind registry, stringify!($name), $help, $name.clone());
                )*
                Metrics { registry, $($name),* }
            }
        }

        #[cfg(test)]
        impl Metrics {
            fn each(&self, mut f: impl FnMut(&'static str, &'static str, &dyn tests::Metric)) {
                $(f(stringify!($name), $help, &self.$name);)*
            }
        }
    };

    (@type counter) => { Counter };
    (@type counter outcome) => { Family<Outcome, Counter> };
    (@type counter follower) => { Family<Follower, Counter> };
    (@type counter delivery) => { Family<Delivery, Counter> };
    (@type counter limit) => { Family<Limit, Counter> };
    (@type gauge) => { Gauge };
    (@type gauge follower) => { Family<Follower, Gauge> };
    (@type gauge endpoint) => { Family<Endpoint, Gauge> };
    (@type gauge condition) => { Family<Condition, Gauge> };
    (@type gauge transport) => { Family<Transport, Gauge> };
    (@type seconds) => { Histogram };

    (@new seconds) => { Histogram::new(BUCKETS) };
    (@new $kind:ident $($label:ident)?) => { <metrics!(@type $kind $($label)?)>::default() };

    // The registry adds the unit to the name.
    (@register seconds $registry:ident, $name:expr, $help:literal, $metric:expr) => {
        $registry.register_with_unit($name.trim_end_matches("_seconds"), $help, Unit::Seconds, $metric)
    };
    (@register $kind:ident $registry:ident, $name:expr, $help:literal, $metric:expr) => {
        $registry.register($name, $help, $metric)
    };
}

metrics! {
    webhooks: counter by outcome,
        "Webhooks by outcome: stored, duplicate, unauthentic, malformed, too_large, slow, unavailable";
    webhook_seconds: seconds,
        "From the head of a webhook to its answer";
    streams_open: gauge by transport,
        "Streams that are open now, by transport";
    streams: counter by outcome,
        "Streams by how they began (started, resumed, reset), or why they did not (limited, drained)";
    connections_open: gauge,
        "Connections that are open now, streams and all others";
    connections_sent_away: counter,
        "Connections that were closed to make room for others";
    reconcile_calls: counter by outcome,
        "Calls of LiveKit's API by reconciliation, by outcome: ok, unreachable, timeout, unauthorized, refused, garbage";
    reconcile_runs: counter by outcome,
        "Full comparisons with LiveKit by outcome: agreed, corrected, failed";
    reconcile_corrections: counter,
        "Events that reconciliation appended because no webhook had reported them";
    commands: counter by outcome,
        "Room commands by outcome: done, refused, failed";
    clock_jump_seconds: gauge,
        "Seconds by which the wall clock has jumped, until the new time is believed; 0 if it has not";
    log_last_seq: gauge,
        "The newest durable event";
    log_first_seq: gauge,
        "The oldest event that is kept";
    state_head_seq: gauge,
        "The last event folded into the state";
    follower_cursor: gauge by follower,
        "The last event that a follower has acted on";
    follower_lag_events: gauge by follower,
        "Durable events that a follower has not acted on";
    follower_failures: counter by follower,
        "Errors and panics of a follower";
    follower_restarts: counter by follower,
        "Restarts of a follower after an error or a panic";
    follower_missed_events: counter by follower,
        "Events that retention removed before a follower got them";
    limits_reached: counter by limit,
        "Requests, streams and connections that a limit has refused or closed, by its option";
    cluster_silent_seconds: gauge,
        "Of several nodes: seconds since the NATS servers last told this node the newest event";
    cluster_stale_seconds: gauge,
        "Of several nodes: seconds since this node last had every event; 0 while that is less than five";
    cluster_lag_events: gauge,
        "Of several nodes: events of the log that this node does not have";
    cluster_servers_current: gauge,
        "Of several nodes: NATS servers that have the whole log; 0 on one node";
    cluster_log_bytes: gauge,
        "Of several nodes: bytes of the log on each NATS server";
    cluster_log_limit_bytes: gauge,
        "Of several nodes: bytes beyond which NATS refuses events";
    cluster_nodes: gauge,
        "Nodes that this one knows, itself included";
    cluster_nodes_silent: gauge,
        "Of several nodes: those that should have been heard";
    cluster_leases_held: gauge,
        "Of several nodes: jobs that this one does for all";
    cluster_streams_incomplete: gauge,
        "Of several nodes: streams that a NATS server does not have whole, or whose state is unknown";
    cluster_bootstrap_age_seconds: gauge,
        "Of several nodes: seconds since the derived data for new nodes was stored; -1 if that is unknown";
    disk_free_bytes: gauge,
        "Free bytes on the file system of the data directory, or on that of the log if it has less";
    storage_used_bytes: gauge,
        "Bytes that the files of this node use";
    storage_limit_bytes: gauge,
        "Bytes beyond which the oldest events and sessions are removed; 0 if there is no limit";
    conditions_open: gauge by condition,
        "Conditions that need attention and are open now, by kind";
    deliveries: counter by delivery,
        "Attempts to deliver an event to an endpoint, by outcome: delivered, failed, dead, missed";
    delivery_seconds: seconds,
        "From the beginning of an attempt to deliver an event to the status of its answer";
    delivery_lag_events: gauge by endpoint,
        "Events of the log that an endpoint has not come to; rooms that wait for a retry do not count";
    delivery_rooms_waiting: gauge by endpoint,
        "Rooms that wait for a retry at an endpoint";
}

impl Metrics {
    /// In the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes it");
        text
    }

    pub fn webhook(&self, outcome: &'static str) {
        self.webhooks.get_or_create(&Outcome { outcome }).inc();
    }

    pub fn reconcile_call(&self, outcome: &'static str) {
        self.reconcile_calls.get_or_create(&Outcome { outcome }).inc();
    }

    pub fn reconcile_run(&self, outcome: &'static str) {
        self.reconcile_runs.get_or_create(&Outcome { outcome }).inc();
    }

    pub fn command(&self, outcome: &'static str) {
        self.commands.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts what a limit has refused or closed.
    pub fn limit_reached(&self, limit: &'static str) {
        self.limits_reached.get_or_create(&Limit { limit }).inc();
    }

    pub fn delivery(&self, endpoint: &str, outcome: &'static str, count: u64) {
        self.deliveries.get_or_create(&Delivery { endpoint: endpoint.to_owned(), outcome }).inc_by(count);
    }

    pub fn stream(&self, outcome: &'static str) {
        self.streams.get_or_create(&Outcome { outcome }).inc();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A metric as it is printed.
    pub(super) trait Metric {
        /// The type, and the end of the name of its value.
        fn kind(&self) -> (&'static str, &'static str);
        /// Gives it the value 1, because a family without one is not printed. Returns its labels.
        fn touch(&self) -> &'static str;
    }

    macro_rules! metric {
        ($type:ty, $kind:literal, $end:literal, $labels:literal, |$metric:ident| $touch:expr) => {
            impl Metric for $type {
                fn kind(&self) -> (&'static str, &'static str) {
                    ($kind, $end)
                }

                fn touch(&self) -> &'static str {
                    let $metric = self;
                    $touch;
                    $labels
                }
            }
        };
    }

    metric!(Counter, "counter", "_total", "", |counter| counter.inc());
    metric!(Gauge, "gauge", "", "", |gauge| gauge.inc());
    metric!(Histogram, "histogram", "_count", "", |histogram| histogram.observe(1.0));
    metric!(Family<Outcome, Counter>, "counter", "_total", "{outcome=\"x\"}", |family| family
        .get_or_create(&Outcome { outcome: "x" })
        .inc());
    metric!(Family<Follower, Counter>, "counter", "_total", "{follower=\"x\"}", |family| family
        .get_or_create(&Follower { follower: "x" })
        .inc());
    metric!(Family<Follower, Gauge>, "gauge", "", "{follower=\"x\"}", |family| family
        .get_or_create(&Follower { follower: "x" })
        .inc());
    metric!(
        Family<Delivery, Counter>,
        "counter",
        "_total",
        "{endpoint=\"x\",outcome=\"y\"}",
        |family| family.get_or_create(&Delivery { endpoint: "x".to_owned(), outcome: "y" }).inc()
    );
    metric!(Family<Endpoint, Gauge>, "gauge", "", "{endpoint=\"x\"}", |family| family
        .get_or_create(&Endpoint { endpoint: "x".to_owned() })
        .inc());
    metric!(Family<Limit, Counter>, "counter", "_total", "{limit=\"x\"}", |family| family
        .get_or_create(&Limit { limit: "x" })
        .inc());
    metric!(Family<Condition, Gauge>, "gauge", "", "{condition=\"x\"}", |family| family
        .get_or_create(&Condition { condition: "x" })
        .inc());
    metric!(Family<Transport, Gauge>, "gauge", "", "{transport=\"x\"}", |family| family
        .get_or_create(&Transport { transport: "x" })
        .inc());

    #[test]
    fn the_table_is_what_is_printed() {
        let metrics = Metrics::default();
        let mut expected = BTreeSet::from(["# EOF".to_owned()]);
        metrics.each(|name, help, metric| {
            let (labels, (kind, end)) = (metric.touch(), metric.kind());
            expected.insert(format!("# HELP roomwatch_{name} {help}."));
            expected.insert(format!("# TYPE roomwatch_{name} {kind}"));
            expected.insert(format!("roomwatch_{name}{end}{labels} 1"));
        });
        let text = metrics.render();
        let beside = |line: &str| {
            line.starts_with("# UNIT") || line.contains("_bucket{le=") || line.contains("_seconds_sum ")
        };
        let printed: BTreeSet<String> =
            text.lines().filter(|line| !beside(line)).map(str::to_owned).collect();
        assert_eq!(printed, expected);
    }

    #[test]
    fn each_metric_in_the_docs_exists() {
        let docs = include_str!("../docs/deploy.md");
        let names = docs.split("roomwatch_").skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
            rest[..end].to_owned()
        });
        let named: BTreeSet<String> = names.collect();
        let mut known = BTreeSet::new();
        Metrics::default().each(|name, _, metric| {
            known.insert(format!("{name}{}", metric.kind().1));
        });
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(!named.is_empty() && unknown.is_empty(), "docs/deploy.md names {unknown:?}");
    }
}
