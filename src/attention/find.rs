//! Conditions that are still so, derived from the state and from the health of every part.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use crate::{
    config::AttentionRules,
    event::{Cursor, Epoch, Event, Seq},
    state::{
        RoomEntry, State,
        entity::{
            Word,
            condition::{About, Condition},
        },
    },
};

use super::{
    Kind, Rates,
    rates::{Counts, NOW_MINUTES, Recent},
};

const HOUR_MS: u64 = 3_600_000;

/// A condition that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Empty for a condition of Roomwatch itself.
    pub project: Arc<str>,
    /// Name and sid.
    pub room: Option<(Arc<str>, Arc<str>)>,
    pub about: About,
    /// Events that show it.
    pub evidence: Vec<Seq>,
}

impl Found {
    fn new(project: &Arc<str>, kind: Kind, subject: &str, since: u64) -> Found {
        let id =
            if subject.is_empty() { kind.name().into() } else { format!("{}:{subject}", kind.name()).into() };
        let about = About {
            id,
            kind: Word::Borrowed(kind.name()),
            severity: kind.severity(),
            since,
            ..About::default()
        };
        Found { project: project.clone(), room: None, about, evidence: Vec::new() }
    }

    /// Returns a condition that this event shows.
    pub(super) fn about(event: &Event, kind: Kind, subject: &str) -> Found {
        let mut found = Found::new(&event.project, kind, subject, event.received_at);
        found.room = event.room.clone().map(|room| (room, event.room_sid.clone().unwrap_or_default()));
        found.evidence = vec![event.seq];
        found
    }

    fn of_room(kind: Kind, entry: &RoomEntry, since: u64) -> Found {
        let room = &entry.room;
        let mut found = Found::new(&room.project, kind, &room.sid, since);
        found.room = Some((room.name.clone(), room.sid.clone()));
        found.evidence = vec![Seq(room.first_seq)];
        found
    }

    pub(super) fn value(&mut self, name: &str, value: Value) {
        self.about.values.insert(name.into(), value);
    }

    /// Returns what an event says about it.
    pub(super) fn said(&self, epoch: Epoch) -> About {
        let cursors = self.evidence.iter().map(|&seq| Cursor { epoch, seq }.to_string().into());
        About { evidence: cursors.collect(), ..self.about.clone() }
    }
}

/// Conditions that are still so.
#[derive(Debug, Default)]
pub struct Findings {
    pub found: Vec<Found>,
    /// Kinds of a project that cannot be known now. Open conditions of these kinds stay open.
    pub unknown: Vec<(Arc<str>, Kind)>,
}

/// The health of one project.
#[derive(Clone, Debug, Default)]
pub struct ProjectHealth {
    pub name: Arc<str>,
    /// None while Roomwatch has not asked.
    pub answers: Option<bool>,
    /// True if LiveKit refuses the key.
    pub key_rejected: bool,
    /// Unix milliseconds since which it does not answer.
    pub away_since: u64,
    pub error: Option<Box<str>>,
    /// When each of the last corrections was made that a webhook should have reported, the newest first.
    pub missed: Vec<u64>,
    pub last_webhook_at: Option<u64>,
    /// When an event could last not be stored.
    pub lost_at: Option<u64>,
}

/// The health of this node and of the projects.
#[derive(Clone, Debug, Default)]
pub struct Health {
    pub projects: Vec<ProjectHealth>,
    /// Name, events behind, and last error if it does not run.
    pub followers: Vec<(&'static str, u64, Option<Box<str>>)>,
}

/// Finds every condition that is still so.
pub fn find(state: &State, health: &Health, rates: &Rates, rules: &AttentionRules, now: u64) -> Findings {
    let mut findings = Findings::default();
    for project in &health.projects {
        find_in_project(&mut findings, project, rates, rules, now);
        find_egress(&mut findings, state, project, rules, now);
    }
    for entry in state.rooms(|_, _| true) {
        findings.found.extend(find_in_room(&entry, rules, now));
    }
    find_in_node(&mut findings, health, rules, now);
    findings
}

fn find_in_project(
    findings: &mut Findings,
    project: &ProjectHealth,
    rates: &Rates,
    rules: &AttentionRules,
    now: u64,
) {
    let name = &project.name;
    let new = |kind, since| Found::new(name, kind, "", since);
    match (project.answers, millis(rules.livekit_unreachable_secs)) {
        (None, Some(_)) => {
            findings
                .unknown
                .extend([(name.clone(), Kind::LivekitUnreachable), (name.clone(), Kind::KeyRejected)]);
        }
        (Some(false), Some(after)) => {
            let kind = if project.key_rejected { Kind::KeyRejected } else { Kind::LivekitUnreachable };
            if now.saturating_sub(project.away_since) >= after {
                let mut found = new(kind, project.away_since);
                found.value("error", json!(project.error));
                findings.found.push(found);
            }
        }
        _ => {}
    }
    let missed = project.missed.iter().filter(|at| now.saturating_sub(**at) < 600_000).count();
    if rules.webhooks_missing > 0 && missed >= rules.webhooks_missing as usize {
        let since = project.missed.iter().copied().min().unwrap_or(now);
        let mut found = new(Kind::WebhooksMissing, since);
        found.value("missed", json!(missed));
        found.value("lastWebhookAt", json!(project.last_webhook_at));
        findings.found.push(found);
    }
    if let Some(at) = project.lost_at
        && rules.failed_hours > 0
        && now.saturating_sub(at) < u64::from(rules.failed_hours) * HOUR_MS
    {
        findings.found.push(new(Kind::WebhookLost, at));
    }
    find_rates(findings, name, rates.recent(name, now), rates.is_young(now), rules);
}

fn find_rates(
    findings: &mut Findings,
    project: &Arc<str>,
    recent: Option<Recent>,
    is_young: bool,
    rules: &AttentionRules,
) {
    type Of = fn(&Counts) -> u32;
    let recent = recent.unwrap_or_default();
    let kinds: [(Kind, u32, Of, &Vec<Seq>, u64); 2] = [
        (Kind::JoinsFailing, rules.joins_failing, |c| c.failed, &recent.failed, recent.failed_since),
        (Kind::ConnectionsLost, rules.connections_lost, |c| c.lost, &recent.lost, recent.lost_since),
    ];
    for (kind, at_least, of, seqs, since) in kinds {
        let count = of(&recent.now);
        // The usual number for as many minutes as count as now.
        let usual = of(&recent.usual) as f64 * NOW_MINUTES as f64 / recent.usual_minutes.max(1) as f64;
        let is_known = recent.usual_minutes >= NOW_MINUTES;
        let is_unusual = !is_known || f64::from(count) >= usual * f64::from(rules.times_usual);
        if at_least > 0 && count >= at_least && is_unusual {
            let mut found = Found::new(project, kind, "", since);
            found.evidence.clone_from(seqs);
            found.value("minutes", json!(NOW_MINUTES));
            found.value("usual", if is_known { json!((usual * 10.0).round() / 10.0) } else { Value::Null });
            findings.found.push(found);
        } else if is_young {
            findings.unknown.push((project.clone(), kind));
        }
    }
}

fn find_in_room(entry: &RoomEntry, rules: &AttentionRules, now: u64) -> Vec<Found> {
    let mut found = Vec::new();
    let room = &entry.room;
    let counted = || entry.participants().filter(|p| p.counted());
    let agent = entry.participants().find(|p| p.agent());
    if let Some(after) = millis(rules.agent_missing_secs)
        && rules.needs_agent(&room.project, &room.name)
        && let Some(since) = counted().map(|p| p.joined_at.max(room.began_at())).min()
        && now.saturating_sub(since) >= after
        && agent.is_none()
    {
        found.push(Found::of_room(Kind::AgentMissing, entry, since));
    }
    if let Some(after) = millis(rules.agent_alone_secs)
        && now.saturating_sub(room.last_event_at) >= after
        && counted().next().is_none()
        && let Some(agent) = agent
    {
        let mut alone = Found::of_room(Kind::AgentAlone, entry, room.last_event_at);
        alone.value("agent", json!(agent.identity));
        found.push(alone);
    }
    if rules.room_leftover > 0 && room.stale {
        found.push(Found::of_room(Kind::RoomLeftover, entry, room.last_event_at));
    }
    let old = u64::from(rules.room_old_hours) * HOUR_MS;
    if old > 0 && now.saturating_sub(room.began_at()) >= old {
        found.push(Found::of_room(Kind::RoomOld, entry, room.began_at()));
    }
    found
}

fn find_egress(
    findings: &mut Findings,
    state: &State,
    project: &ProjectHealth,
    rules: &AttentionRules,
    now: u64,
) {
    for egress in state.egress(&project.name) {
        let mut about = |kind, since| {
            let mut found = Found::new(&project.name, kind, &egress.egress_id, since);
            found.room = egress.room.clone().map(|room| (room, egress.room_sid.clone().unwrap_or_default()));
            found.about.egress_id = Some((*egress.egress_id).into());
            found.evidence = vec![Seq(egress.last_seq)];
            findings.found.push(found);
        };
        let changed_at = (egress.updated_at_ns / 1_000_000).max(egress.started_at);
        if let Some(after) = millis(rules.egress_starting_secs)
            && egress.status == "starting"
            && changed_at > 0
            && now.saturating_sub(changed_at) >= after
        {
            about(Kind::EgressStarting, changed_at);
        }
        if let Some(after) = millis(rules.egress_orphaned_secs)
            && let Some(sid) = egress.room_sid.as_deref().filter(|sid| !sid.is_empty())
            && state.room(&project.name, sid).is_none()
        {
            // Tombstones expire, and then the last change of the egress is the best that is known.
            let since = state.tombstone(&project.name, sid).map_or(changed_at, |ended| ended.at);
            if now.saturating_sub(since) >= after {
                about(Kind::EgressOrphaned, since);
            }
        }
    }
}

fn find_in_node(findings: &mut Findings, health: &Health, rules: &AttentionRules, now: u64) {
    let node: Arc<str> = "".into();
    for (name, behind, error) in &health.followers {
        let is_behind =
            rules.follower_behind_events > 0 && *behind >= u64::from(rules.follower_behind_events);
        if is_behind || error.is_some() {
            let mut found = Found::new(&node, Kind::FollowerBehind, name, now);
            found.value("follower", json!(name));
            found.value("error", json!(error));
            findings.found.push(found);
        }
    }
}

/// Returns a threshold in milliseconds, or none if it is turned off.
fn millis(secs: u32) -> Option<u64> {
    (secs > 0).then(|| u64::from(secs) * 1000)
}

/// A difference between the open conditions and what was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Open(Found),
    Close(Arc<Condition>),
}

/// Compares the open conditions with what was found.
pub(super) fn steps<'a>(
    open: impl Iterator<Item = &'a Arc<Condition>>,
    findings: Findings,
    now: u64,
    may_open: impl Fn(&Found) -> bool,
) -> Vec<Step> {
    let Findings { found, unknown } = findings;
    let mut found: BTreeMap<(Arc<str>, Arc<str>), Found> =
        found.into_iter().map(|found| ((found.project.clone(), found.about.id.clone()), found)).collect();
    let mut steps = Vec::new();
    for condition in open {
        let key = (condition.project.clone(), condition.about.id.clone());
        let is_still_so = found.remove(&key).is_some();
        let is_unknown = || {
            unknown
                .iter()
                .any(|(project, kind)| *project == condition.project && kind.name() == condition.about.kind)
        };
        let stays = match condition.about.ends_at {
            Some(ends_at) => now < ends_at,
            None => is_still_so || is_unknown(),
        };
        if !stays {
            steps.push(Step::Close(condition.clone()));
        }
    }
    steps.extend(found.into_values().filter(|found| may_open(found)).map(Step::Open));
    steps
}
