//! Conditions of a deployment of several nodes: its nodes, its log, the servers of its streams, and the data for new nodes.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use crate::{
    config::AttentionRules,
    event::Seq,
    log::Stream,
    nodes::{Away, Known, Saved},
};

use super::{
    Found, Kind,
    find::{Findings, HOUR_MS, millis},
};

/// The health of a deployment, as the node that opens conditions knows it.
#[derive(Clone, Debug, Default)]
pub struct DeploymentHealth {
    pub nodes: Vec<Known>,
    /// Time for which this node has been in touch with the others. `None` if it is not.
    pub touch: Option<Duration>,
    pub streams: Vec<Stream>,
    /// True if the servers do not answer.
    pub is_away: bool,
    /// The data for new nodes. The outer option is `None` while that is unknown.
    pub saved: Option<Option<Saved>>,
    /// The last event of the log.
    pub last: Seq,
    /// Unix milliseconds at which this node began to watch the deployment.
    pub since: u64,
}

pub(super) fn find_in_deployment(
    findings: &mut Findings,
    health: &DeploymentHealth,
    rules: &AttentionRules,
    now: u64,
) {
    find_nodes(findings, health, rules, now);
    find_log_away(findings, health, rules, now);
    find_replicas(findings, health, rules, now);
    find_bootstrap(findings, health, rules, now);
}

fn find_nodes(findings: &mut Findings, health: &DeploymentHealth, rules: &AttentionRules, now: u64) {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if let Some(after) = millis(rules.node_gone_secs) {
        if health.touch.is_none_or(|touch| ms(touch) < after) {
            findings.unknown.push(("".into(), Kind::NodeGone));
        }
        for node in health.nodes.iter().filter(|node| ms(node.silent) >= after) {
            let mut found =
                Found::new(&"".into(), Kind::NodeGone, &node.name, now.saturating_sub(ms(node.heard)));
            found.value("node", json!(node.name));
            found.value("version", json!(node.told.version));
            findings.found.push(found);
        }
    }
    if let Some(after) = millis(rules.node_behind_secs) {
        for node in health.nodes.iter().filter(|node| node.told.behind_ms >= after) {
            let since = now.saturating_sub(ms(node.heard)).saturating_sub(node.told.behind_ms);
            let mut found = Found::new(&"".into(), Kind::NodeBehind, &node.name, since);
            found.value("node", json!(node.name));
            findings.found.push(found);
        }
    }
}

/// No condition can be opened while the log is away. So this one is opened afterwards, and stays for some hours.
fn find_log_away(findings: &mut Findings, health: &DeploymentHealth, rules: &AttentionRules, now: u64) {
    let Some(after) = millis(rules.log_away_secs) else { return };
    let is_recent = |to: u64| now.saturating_sub(to) < u64::from(rules.failed_hours) * HOUR_MS;
    let times = health.nodes.iter().filter_map(|node| match node.told.away? {
        Away { from, to: Some(to) } if is_recent(to) && to.saturating_sub(from) >= after => {
            Some((from, to, &node.name))
        }
        _ => None,
    });
    let times: Vec<_> = times.collect();
    let (Some(from), Some(to)) =
        (times.iter().map(|time| time.0).min(), times.iter().map(|time| time.1).max())
    else {
        return;
    };
    let mut found = Found::new(&"".into(), Kind::LogAway, "", from);
    found.value("to", json!(to));
    found.value("nodes", json!(times.iter().map(|time| time.2).collect::<Vec<_>>()));
    findings.found.push(found);
}

fn find_replicas(findings: &mut Findings, health: &DeploymentHealth, rules: &AttentionRules, now: u64) {
    let Some(after) = millis(rules.replica_missing_secs) else { return };
    if health.is_away || health.streams.is_empty() {
        findings.unknown.push(("".into(), Kind::ReplicaMissing));
        return;
    }
    for stream in &health.streams {
        let Some(missing) = stream.missing_for else { continue };
        let missing = u64::try_from(missing.as_millis()).unwrap_or(u64::MAX);
        if missing < after {
            continue;
        }
        let mut found =
            Found::new(&"".into(), Kind::ReplicaMissing, &stream.name, now.saturating_sub(missing));
        let servers: Vec<_> =
            stream.replicas.iter().filter(|(_, is_current)| !is_current).map(|(name, _)| name).collect();
        found.value("stream", json!(stream.name));
        found.value("servers", json!(servers));
        found.value("error", json!(stream.error));
        findings.found.push(found);
    }
}

fn find_bootstrap(findings: &mut Findings, health: &DeploymentHealth, rules: &AttentionRules, now: u64) {
    let after = u64::from(rules.bootstrap_old_hours) * HOUR_MS;
    let kind = Kind::BootstrapOld;
    let Some(saved) = health.saved.filter(|_| after > 0) else {
        if after > 0 {
            findings.unknown.push(("".into(), kind));
        }
        return;
    };
    // Without new events it is not stored again.
    let is_whole = saved.map_or(Seq::ZERO, |saved| saved.cursor.seq) >= health.last;
    let at = saved.map(|saved| saved.at);
    let since = at.unwrap_or(health.since);
    if !is_whole && now.saturating_sub(since) >= after {
        let node: Arc<str> = "".into();
        let mut found = Found::new(&node, kind, "", since);
        found.value("storedAt", json!(at));
        findings.found.push(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Cursor, Epoch},
        nodes::Told,
    };

    const NOW: u64 = 1_787_486_400_000;

    fn node(name: &str, silent: u64, told: Told) -> Known {
        let silent = Duration::from_secs(silent);
        Known { name: name.into(), told, heard: silent, silent, is_own: false, leases: Vec::new() }
    }

    /// A deployment in which all is well.
    fn well() -> DeploymentHealth {
        DeploymentHealth {
            nodes: vec![node("a:1", 0, Told::default()), node("b:1", 5, Told::default())],
            touch: Some(Duration::from_secs(60)),
            streams: vec![Stream { name: "RW_x".into(), ..Stream::default() }],
            is_away: false,
            saved: Some(None),
            last: Seq(7),
            since: NOW - 1_000,
        }
    }

    /// The ids that are found, and the kinds that are unknown.
    fn found(health: &DeploymentHealth, rules: &AttentionRules) -> (Vec<String>, Vec<&'static str>) {
        let mut findings = Findings::default();
        find_in_deployment(&mut findings, health, rules, NOW);
        let ids = findings.found.iter().map(|found| found.about.id.to_string()).collect();
        (ids, findings.unknown.iter().map(|(_, kind)| kind.name()).collect())
    }

    #[test]
    fn each_kind_begins_at_its_threshold_and_can_be_turned_off() {
        let ids = |health: &DeploymentHealth| {
            let off = AttentionRules {
                node_gone_secs: 0,
                node_behind_secs: 0,
                log_away_secs: 0,
                replica_missing_secs: 0,
                bootstrap_old_hours: 0,
                ..AttentionRules::default()
            };
            assert_eq!(found(health, &off), (vec![], vec![]));
            found(health, &AttentionRules::default()).0
        };
        let with = |change: &dyn Fn(&mut DeploymentHealth)| {
            let mut health = well();
            change(&mut health);
            ids(&health)
        };
        assert_eq!(ids(&well()), [""; 0]);

        assert_eq!(with(&|health| health.nodes[1].silent = Duration::from_millis(29_999)), [""; 0]);
        assert_eq!(with(&|health| health.nodes[1].silent = Duration::from_secs(30)), ["node_gone:b:1"]);

        assert_eq!(with(&|health| health.nodes[0].told.behind_ms = 29_999), [""; 0]);
        assert_eq!(with(&|health| health.nodes[0].told.behind_ms = 30_000), ["node_behind:a:1"]);

        let away = |from, to| with(&|health| health.nodes[1].told.away = Some(Away { from: NOW - from, to }));
        const DAY: u64 = 24 * HOUR_MS;
        assert_eq!(away(20_000, None), [""; 0], "it cannot be told yet");
        assert_eq!(away(20_000, Some(NOW - 10_001)), [""; 0], "9.999 s");
        assert_eq!(away(20_000, Some(NOW - 10_000)), ["log_away"]);
        assert_eq!(away(DAY + 20_000, Some(NOW - DAY + 1)), ["log_away"]);
        assert_eq!(away(DAY + 20_000, Some(NOW - DAY)), [""; 0]);

        let missing = |secs| with(&|health| health.streams[0].missing_for = Some(Duration::from_secs(secs)));
        assert_eq!(missing(59), [""; 0]);
        assert_eq!(missing(60), ["replica_missing:RW_x"]);

        let saved = |seq, age| {
            let cursor = Cursor { epoch: Epoch(1), seq: Seq(seq) };
            with(&|health| health.saved = Some(Some(Saved { cursor, at: NOW - age })))
        };
        assert_eq!(saved(6, 2 * HOUR_MS - 1), [""; 0]);
        assert_eq!(saved(6, 2 * HOUR_MS), ["bootstrap_old"]);
        assert_eq!(saved(7, 2 * HOUR_MS), [""; 0], "nothing is new");
        assert_eq!(with(&|health| health.since = NOW - 2 * HOUR_MS), ["bootstrap_old"], "never stored");
    }

    #[test]
    fn a_node_that_is_out_of_touch_knows_nothing_of_the_others() {
        let unknown = |change: &dyn Fn(&mut DeploymentHealth)| {
            let mut health = well();
            change(&mut health);
            found(&health, &AttentionRules::default())
        };
        assert_eq!(unknown(&|_| {}), (vec![], vec![]));
        assert_eq!(unknown(&|health| health.touch = None), (vec![], vec!["node_gone"]));
        assert_eq!(
            unknown(&|health| health.touch = Some(Duration::from_millis(29_999))),
            (vec![], vec!["node_gone"])
        );
        let long = Some(Duration::from_secs(600));
        assert_eq!(
            unknown(&|health| (health.streams[0].missing_for, health.is_away) = (long, true)),
            (vec![], vec!["replica_missing"])
        );
        assert_eq!(unknown(&|health| health.streams.clear()), (vec![], vec!["replica_missing"]));
        assert_eq!(unknown(&|health| health.saved = None), (vec![], vec!["bootstrap_old"]));
    }
}
