//! Conditions that are still so, derived from the state and from the health of every part.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::{
    config::AttentionRules,
    derived::Gap,
    event::{Cursor, Epoch, Event, Seq},
    state::{
        CONDITIONS_MAX, RoomEntry, State,
        entity::{
            Word,
            condition::{About, Condition},
        },
    },
    storage::{Damaged, Space},
};

use super::{
    Dispatches, Kind, Rates,
    deployment::{DeploymentHealth, find_in_deployment},
    dispatches::{Known, waits_since},
    rates::{Counts, NOW_MINUTES, Recent},
    refusals::Refused,
};

pub(super) const HOUR_MS: u64 = 3_600_000;
/// Maximum space that must be free beyond a threshold before `disk_nearly_full` is closed.
const SLACK_BYTES_MAX: u64 = 1 << 30;

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
    pub(super) fn new(project: &Arc<str>, kind: Kind, subject: &str, since: u64) -> Found {
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
    pub damaged: Vec<Damaged>,
    /// Times of which the history has lost rows.
    pub gaps: Vec<Gap>,
    /// Seconds by which the wall clock has jumped, if it has.
    pub jump_secs: Option<i64>,
    pub space: Option<Space>,
    /// True if events are removed for their age.
    pub removes_by_age: bool,
    pub refused: Vec<Refused>,
    /// `None` on a single node.
    pub deployment: Option<DeploymentHealth>,
}

/// Finds every condition that is still so.
pub fn find(
    state: &State,
    health: &Health,
    rates: &Rates,
    dispatches: &Dispatches,
    rules: &AttentionRules,
    now: u64,
) -> Findings {
    let mut findings = Findings::default();
    for project in &health.projects {
        find_in_project(&mut findings, project, rates, rules, now);
        find_egress(&mut findings, state, project, rules, now);
    }
    for entry in state.rooms(|_, _| true) {
        findings.found.extend(find_missing_agent(state, &entry, dispatches, rules, now));
        findings.found.extend(find_in_room(&entry, rules, now));
    }
    find_in_node(&mut findings, health, rules, now);
    find_space(&mut findings, state, health, rules, now);
    find_refused(&mut findings, health, rules, now);
    if let Some(deployment) = &health.deployment {
        find_in_deployment(&mut findings, deployment, rules, now);
    }
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
    recent: Recent,
    is_young: bool,
    rules: &AttentionRules,
) {
    type Of = fn(&Counts) -> u32;
    let kinds: [(Kind, u32, Of, &Vec<Seq>, u64); 2] = [
        (Kind::JoinsFailing, rules.joins_failing, |c| c.failed, &recent.failed, recent.failed_since),
        (Kind::ConnectionsLost, rules.connections_lost, |c| c.lost, &recent.lost, recent.lost_since),
    ];
    for (kind, at_least, of, seqs, since) in kinds {
        let count = of(&recent.now);
        // The usual number for as many minutes as count as now.
        let usual = f64::from(of(&recent.usual)) * NOW_MINUTES as f64 / recent.usual_minutes.max(1) as f64;
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

fn find_missing_agent(
    state: &State,
    entry: &RoomEntry,
    dispatches: &Dispatches,
    rules: &AttentionRules,
    now: u64,
) -> Option<Found> {
    let room = &entry.room;
    let after = millis(rules.agent_missing_secs)?;
    let waits_since = waits_since(entry)?;
    let has_rule = rules.needs_agent(&room.project, &room.name);
    let known = dispatches.of(&room.project, &room.sid);
    let since = match &known {
        _ if has_rule => waits_since,
        Known::Dispatch(dispatch) => waits_since.max(dispatch.since),
        Known::None => return None,
        Known::Unknown => {
            // Right after a start: an open condition stays open until LiveKit has answered.
            let found = Found::of_room(Kind::AgentMissing, entry, waits_since);
            return state.condition(&room.project, &found.about.id).map(|_| found);
        }
    };
    if now.saturating_sub(since) < after {
        return None;
    }
    let mut found = Found::of_room(Kind::AgentMissing, entry, since);
    if let Known::Dispatch(dispatch) = known {
        found.value("agent", json!(dispatch.agent));
        found.value("dispatch", json!(dispatch.id));
    }
    Some(found)
}

fn find_in_room(entry: &RoomEntry, rules: &AttentionRules, now: u64) -> Vec<Found> {
    let mut found = Vec::new();
    let room = &entry.room;
    if let Some(after) = millis(rules.agent_alone_secs)
        && now.saturating_sub(room.last_event_at) >= after
        && !entry.participants().any(|p| p.counted())
        && let Some(agent) = entry.participants().find(|p| p.agent())
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
    if let Some(secs) = health.jump_secs {
        let mut found = Found::new(&node, Kind::ClockJumped, "", now);
        found.value("seconds", json!(secs));
        findings.found.push(found);
    }
    for damaged in &health.damaged {
        let mut found = Found::new(&node, Kind::FileDamaged, damaged.file, now);
        found.value("file", json!(damaged.file));
        found.value("error", json!(damaged.error));
        found.value("remedy", json!(damaged.remedy()));
        findings.found.push(found);
    }
    if let (Some(first), Some(last)) = (health.gaps.first(), health.gaps.iter().map(|gap| gap.to).max()) {
        let mut found = Found::new(&node, Kind::HistoryLost, "", now);
        found.value("from", json!(first.from));
        found.value("to", json!(last));
        found.value("gaps", json!(health.gaps.len()));
        findings.found.push(found);
    }
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

fn find_space(findings: &mut Findings, state: &State, health: &Health, rules: &AttentionRules, now: u64) {
    let node: Arc<str> = "".into();
    let Some(space) = health.space else {
        findings.unknown.push((node, Kind::DiskNearlyFull));
        return;
    };
    let percent = |of: u64, percent: u32| (of as f64 / 100.0 * f64::from(percent)) as u64;
    // An open condition is closed when some more is free: else one that wavers would open again and again.
    let slack = |needed: u64, subject: &str| {
        let is_open = state.condition("", &format!("{}:{subject}", Kind::DiskNearlyFull.name())).is_some();
        if is_open { (needed / 10).min(SLACK_BYTES_MAX) } else { 0 }
    };
    let needed = percent(space.disk, rules.disk_free_percent).max(u64::from(rules.disk_free_mib) << 20);
    if space.free < needed + slack(needed, "free") {
        let mut found = Found::new(&node, Kind::DiskNearlyFull, "free", now);
        found.value("freeBytes", json!(space.free));
        found.value("diskBytes", json!(space.disk));
        findings.found.push(found);
    }
    // Without a limit of age, the limit of bytes is the one that is meant to remove events.
    if let Some(limit) = space.limit.filter(|_| health.removes_by_age && rules.storage_percent > 0) {
        let needed = limit.saturating_sub(percent(limit, rules.storage_percent));
        if limit.saturating_sub(space.used) > needed + slack(needed, "limit") {
            return;
        }
        let mut found = Found::new(&node, Kind::DiskNearlyFull, "limit", now);
        found.value("usedBytes", json!(space.used));
        found.value("limitBytes", json!(limit));
        findings.found.push(found);
    }
}

fn find_refused(findings: &mut Findings, health: &Health, rules: &AttentionRules, now: u64) {
    for refused in &health.refused {
        if rules.limits_reached > 0 && refused.count >= u64::from(rules.limits_reached) {
            let mut found = Found::new(&"".into(), Kind::LimitsReached, refused.limit, now);
            found.value("limit", json!(refused.limit));
            found.value("max", json!(refused.max));
            found.value("count", json!(refused.count));
            found.value("seconds", json!(rules.limits_reached_secs));
            findings.found.push(found);
        }
    }
}

/// Returns a threshold in milliseconds, or none if it is turned off.
pub(super) fn millis(secs: u32) -> Option<u64> {
    (secs > 0).then(|| u64::from(secs) * 1000)
}

/// A difference between the open conditions and what was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Open(Box<Found>),
    Close(Arc<Condition>),
}

/// Compares the open conditions with what was found. A project has at most [`CONDITIONS_MAX`] open ones; the worst are
/// opened first.
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
    let mut stay: HashMap<Arc<str>, usize> = HashMap::new();
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
        if stays {
            *stay.entry(condition.project.clone()).or_default() += 1;
        } else {
            steps.push(Step::Close(condition.clone()));
        }
    }
    let mut new: Vec<Found> = found.into_values().filter(may_open).collect();
    new.sort_by_key(|found| (Reverse(found.about.severity), found.about.since));
    for found in new {
        let count = stay.entry(found.project.clone()).or_default();
        if *count < CONDITIONS_MAX {
            *count += 1;
            steps.push(Step::Open(Box::new(found)));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        Kind as EventKind, Source,
        body::{Body, Redaction},
    };

    const NOW: u64 = 1_787_486_400_000;
    const MINUTE: u64 = 60_000;

    /// A state after these events, one second apart.
    fn state(bodies: &[String]) -> State {
        let mut state = State::default();
        for (n, body) in bodies.iter().enumerate() {
            let body = Body::read(body.as_bytes(), &Redaction::default()).expect("an event");
            state.apply(&Event {
                seq: Seq(n as u64 + 1),
                project: "p".into(),
                source: Source::Webhook,
                received_at: NOW + n as u64 * 1000,
                kind: EventKind::from(&*body.event),
                room: body.room,
                room_sid: body.room_sid,
                body: body.json,
            });
        }
        state
    }

    fn started(room: &str) -> String {
        format!(
            r#"{{"event":"room_started","id":"{room}","createdAt":"{0}","room":{{"sid":"RM_{room}","name":"{room}","creationTime":"{0}"}}}}"#,
            NOW / 1000
        )
    }

    fn joined(room: &str, identity: &str, kind: &str, hidden: bool) -> String {
        format!(
            r#"{{"event":"participant_joined","id":"{room}{identity}","createdAt":"{0}","room":{{"sid":"RM_{room}","name":"{room}","creationTime":"{0}"}},"participant":{{"sid":"PA_{identity}","identity":"{identity}","kind":"{kind}","state":"ACTIVE","joinedAt":"{0}","permission":{{"hidden":{hidden}}}}}}}"#,
            NOW / 1000
        )
    }

    /// The ids of what is found after `time`.
    fn ids(bodies: &[String], health: &Health, rules: &AttentionRules, time: u64) -> Vec<String> {
        let findings =
            find(&state(bodies), health, &Rates::new(NOW), &Dispatches::default(), rules, NOW + time);
        findings.found.iter().map(|found| found.about.id.to_string()).collect()
    }

    fn rules() -> AttentionRules {
        let agents = vec![crate::config::AgentRule { project: None, rooms: "voice*".into() }];
        AttentionRules { agents, ..AttentionRules::default() }
    }

    #[test]
    fn a_room_has_each_condition_from_its_threshold_on_and_none_before() {
        let (ann, bot) = (joined("voice", "ann", "STANDARD", false), joined("voice", "bot", "AGENT", false));
        let recorder = joined("voice", "rec", "EGRESS", false);
        let watcher = joined("voice", "roomwatch:x", "STANDARD", true);
        let room = || started("voice");
        for (name, bodies, time, expected) in [
            ("before", vec![room(), ann.clone()], 29_999, vec![]),
            ("missing", vec![room(), ann.clone()], 30_000, vec!["agent_missing:RM_voice"]),
            ("there", vec![room(), ann.clone(), bot.clone()], 10 * MINUTE, vec![]),
            ("without participants", vec![room(), recorder, watcher], 10 * MINUTE, vec![]),
            ("empty", vec![room()], 10 * MINUTE, vec![]),
            ("alone, before", vec![room(), bot.clone()], 5 * MINUTE, vec![]),
            ("alone", vec![room(), bot.clone()], 5 * MINUTE + 1_000, vec!["agent_alone:RM_voice"]),
            ("old", vec![started("other")], 12 * HOUR_MS, vec!["room_old:RM_other"]),
            ("not old", vec![started("other")], 12 * HOUR_MS - 1, vec![]),
            ("another room", vec![started("x"), joined("x", "ann", "STANDARD", false)], HOUR_MS, vec![]),
        ] {
            assert_eq!(ids(&bodies, &Health::default(), &rules(), time), expected, "{name}");
        }
    }

    #[test]
    fn a_threshold_of_0_turns_a_kind_off() {
        let off: AttentionRules = toml::from_str(
            "agent_missing_secs = 0\nagent_alone_secs = 0\nroom_old_hours = 0\nlivekit_unreachable_secs = 0\n\
             webhooks_missing = 0\nfailed_hours = 0\nfollower_behind_events = 0\ndisk_free_percent = 0\n\
             disk_free_mib = 0\nstorage_percent = 0\nlimits_reached = 0\n\
             [[agents]]\nrooms = \"*\"",
        )
        .expect("rules");
        let health = Health {
            projects: vec![ProjectHealth {
                name: "p".into(),
                answers: Some(false),
                missed: vec![NOW; 9],
                lost_at: Some(NOW),
                ..ProjectHealth::default()
            }],
            followers: vec![("fold", 1_000_000, None)],
            damaged: Vec::new(),
            gaps: Vec::new(),
            jump_secs: None,
            space: Some(Space { used: 9, limit: Some(9), free: 1, disk: 1_000, days: None }),
            removes_by_age: true,
            refused: vec![Refused { limit: "max_streams", max: Some(1), count: 9 }],
            deployment: None,
        };
        let bodies = [started("a"), joined("a", "ann", "STANDARD", false)];
        assert_eq!(ids(&bodies, &health, &off, 100 * HOUR_MS), [""; 0]);
    }

    #[test]
    fn the_health_of_a_project_and_of_the_node() {
        let project = |answers, key_rejected| ProjectHealth {
            name: "p".into(),
            answers,
            key_rejected,
            away_since: NOW,
            ..ProjectHealth::default()
        };
        let found = |project: ProjectHealth, time| {
            let health = Health { projects: vec![project], ..Health::default() };
            ids(&[], &health, &rules(), time)
        };
        assert_eq!(found(project(Some(false), false), 19_999), [""; 0]);
        assert_eq!(found(project(Some(false), false), 20_000), ["livekit_unreachable"]);
        assert_eq!(found(project(Some(false), true), 20_000), ["key_rejected"]);
        assert_eq!(found(project(Some(true), false), HOUR_MS), [""; 0]);
        let missed = |times: Vec<u64>| ProjectHealth { missed: times, ..project(Some(true), false) };
        assert_eq!(found(missed(vec![NOW; 2]), 0), [""; 0]);
        assert_eq!(found(missed(vec![NOW; 3]), 0), ["webhooks_missing"]);
        assert_eq!(found(missed(vec![NOW; 3]), 10 * MINUTE), [""; 0], "they are old");
        let lost = || ProjectHealth { lost_at: Some(NOW), ..project(Some(true), false) };
        assert_eq!(found(lost(), 24 * HOUR_MS - 1), ["webhook_lost"]);
        assert_eq!(found(lost(), 24 * HOUR_MS), [""; 0]);

        let node = |followers, jump_secs| {
            let health = Health { followers, jump_secs, ..Health::default() };
            ids(&[], &health, &rules(), 0)
        };
        assert_eq!(node(vec![("fold", 9_999, None)], None), [""; 0]);
        assert_eq!(node(vec![("fold", 10_000, None)], None), ["follower_behind:fold"]);
        assert_eq!(node(vec![("watchers", 0, Some("x".into()))], None), ["follower_behind:watchers"]);
        assert_eq!(node(vec![], Some(-90)), ["clock_jumped"]);
    }

    #[test]
    fn space_that_wavers_around_its_threshold_opens_one_condition() {
        let rules = AttentionRules { disk_free_percent: 5, disk_free_mib: 0, storage_percent: 95, ..rules() };
        let found = |state: &State, used, free| {
            let space = Space { used, limit: Some(1_000), free, disk: 10_000, days: None };
            let health = Health { space: Some(space), removes_by_age: true, ..Health::default() };
            let found = find(state, &health, &Rates::new(NOW), &Dispatches::default(), &rules, NOW).found;
            found.into_iter().map(|found| found.about.id.to_string()).collect::<Vec<_>>()
        };
        let mut state = State::default();
        assert_eq!(found(&state, 949, 500), [""; 0]);
        assert_eq!(found(&state, 950, 499), ["disk_nearly_full:free", "disk_nearly_full:limit"]);
        for subject in ["free", "limit"] {
            let about = Found::new(&"".into(), Kind::DiskNearlyFull, subject, NOW).about;
            let body = json!({ "event": "roomwatch.condition_opened", "condition": about, "openedAt": NOW });
            state.apply(&Event {
                seq: Seq(state.head().0 + 1),
                project: "".into(),
                source: Source::Roomwatch,
                received_at: NOW,
                kind: EventKind::from("roomwatch.condition_opened"),
                room: None,
                room_sid: None,
                body: body.to_string().into_bytes().into(),
            });
        }
        assert_eq!(
            found(&state, 949, 500),
            ["disk_nearly_full:free", "disk_nearly_full:limit"],
            "still open"
        );
        assert_eq!(found(&state, 945, 549), ["disk_nearly_full:free", "disk_nearly_full:limit"]);
        assert_eq!(found(&state, 944, 550), [""; 0], "a tenth more is free");
    }

    #[test]
    fn a_project_has_at_most_1000_conditions_and_the_worst_are_opened_first() {
        let (p, q): (Arc<str>, Arc<str>) = ("p".into(), "q".into());
        let old = |n: usize| Found::new(&p, Kind::RoomOld, &format!("RM_{n}"), NOW);
        let mut found: Vec<Found> = (0..CONDITIONS_MAX + 500).map(old).collect();
        found.push(Found::new(&p, Kind::AgentMissing, "RM_z", NOW + 9));
        found.push(Found::new(&q, Kind::RoomOld, "RM_q", NOW));
        let steps = steps([].iter(), Findings { found, unknown: Vec::new() }, NOW, |_| true);
        let opened = |project: &Arc<str>| {
            let of = steps.iter().filter_map(|step| match step {
                Step::Open(found) if found.project == *project => Some(found.about.kind.clone()),
                _ => None,
            });
            of.collect::<Vec<_>>()
        };
        assert_eq!((opened(&p).len(), opened(&q).len()), (1_000, 1));
        assert_eq!(opened(&p)[0], "agent_missing");
    }

    #[test]
    fn a_condition_whose_cause_is_unknown_stays_and_one_that_happened_stays_until_its_end() {
        let condition = |kind: Kind, subject: &str, ends_at| {
            let mut about = Found::new(&"p".into(), kind, subject, NOW).about;
            about.ends_at = ends_at;
            Arc::new(Condition {
                project: "p".into(),
                room: None,
                room_sid: None,
                opened_at: NOW,
                last_seq: 1,
                about,
                acknowledged: None,
            })
        };
        let open = [
            condition(Kind::LivekitUnreachable, "", None),
            condition(Kind::RoomOld, "RM_1", None),
            condition(Kind::CallFailed, "PA_1", Some(NOW + 10)),
            condition(Kind::CallFailed, "PA_2", Some(NOW)),
        ];
        let unknown = vec![("p".into(), Kind::LivekitUnreachable)];
        let of_room = Found::new(&"p".into(), Kind::RoomOld, "RM_2", NOW);
        let found = vec![of_room.clone(), of_room.clone()];
        let steps = steps(open.iter(), Findings { found, unknown }, NOW, |_| true);
        assert_eq!(
            steps,
            [Step::Close(open[1].clone()), Step::Close(open[3].clone()), Step::Open(Box::new(of_room))],
            "found twice, opened once"
        );
    }
}
