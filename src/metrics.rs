//! Every metric: its name, help, type and labels.
//!
//! No room, participant or project names as labels: strangers choose them, and each would be a
//! series for ever (livekit#1189).

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// What a thing was and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    pub outcome: &'static str,
}

/// Which of the ways in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Transport {
    pub transport: &'static str,
}

pub struct Metrics {
    registry: Registry,
    /// Webhooks by outcome: stored, duplicate, unauthentic, malformed, too_large, slow, unavailable.
    pub webhooks: Family<Outcome, Counter>,
    /// From the first byte of the body to the answer.
    pub webhook_seconds: Histogram,
    /// Streams that are open now, by transport.
    pub streams_open: Family<Transport, Gauge>,
    /// Streams by how they began: started, resumed, reset, or why not: limited, drained.
    pub streams: Family<Outcome, Counter>,
    /// Connections that are open now, streams and all others.
    pub connections_open: Gauge,
    /// Connections that were closed to make room for others.
    pub connections_sent_away: Counter,
    /// Calls of LiveKit's API by reconciliation, by outcome: ok, unreachable, timeout, unauthorized,
    /// refused, garbage.
    pub reconcile_calls: Family<Outcome, Counter>,
    /// Full comparisons with LiveKit by how they ended: agreed, corrected, failed.
    pub reconcile_runs: Family<Outcome, Counter>,
    /// Events that reconciliation appended because no webhook had told of them.
    pub reconcile_corrections: Counter,
    /// Room commands by outcome: done, refused, failed.
    pub commands: Family<Outcome, Counter>,
    /// The newest durable event.
    pub log_last_seq: Gauge,
    /// The oldest event that is kept.
    pub log_first_seq: Gauge,
    /// The last event folded into the state.
    pub state_head_seq: Gauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("roomwatch");
        let webhooks = Family::default();
        registry.register("webhooks", "Webhooks by outcome", webhooks.clone());
        let buckets = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0];
        let webhook_seconds = Histogram::new(buckets);
        registry.register_with_unit(
            "webhook",
            "From the head of a webhook to its answer",
            Unit::Seconds,
            webhook_seconds.clone(),
        );
        let streams_open = Family::default();
        registry.register("streams_open", "Streams that are open now", streams_open.clone());
        let streams = Family::default();
        registry.register("streams", "Streams by how they began, or why not", streams.clone());
        let connections_open = Gauge::default();
        registry.register("connections_open", "Connections that are open now", connections_open.clone());
        let connections_sent_away = Counter::default();
        registry.register(
            "connections_sent_away",
            "Connections that were closed to make room for others",
            connections_sent_away.clone(),
        );
        let reconcile_calls = Family::default();
        registry.register(
            "reconcile_calls",
            "Calls of LiveKit's API by reconciliation, by outcome",
            reconcile_calls.clone(),
        );
        let reconcile_runs = Family::default();
        registry.register(
            "reconcile_runs",
            "Full comparisons with LiveKit by how they ended",
            reconcile_runs.clone(),
        );
        let reconcile_corrections = Counter::default();
        registry.register(
            "reconcile_corrections",
            "Events that no webhook had told of and reconciliation appended",
            reconcile_corrections.clone(),
        );
        let commands = Family::default();
        registry.register("commands", "Room commands by outcome", commands.clone());
        let log_last_seq = Gauge::default();
        registry.register("log_last_seq", "The newest durable event", log_last_seq.clone());
        let log_first_seq = Gauge::default();
        registry.register("log_first_seq", "The oldest event that is kept", log_first_seq.clone());
        let state_head_seq = Gauge::default();
        registry.register("state_head_seq", "The last event folded into the state", state_head_seq.clone());
        Metrics {
            registry,
            webhooks,
            webhook_seconds,
            streams_open,
            streams,
            connections_open,
            connections_sent_away,
            reconcile_calls,
            reconcile_runs,
            reconcile_corrections,
            commands,
            log_last_seq,
            log_first_seq,
            state_head_seq,
        }
    }
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

    pub fn stream(&self, outcome: &'static str) {
        self.streams.get_or_create(&Outcome { outcome }).inc();
    }
}
