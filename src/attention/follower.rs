//! The follower that opens and closes conditions.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::{Mutex, RwLock};
use serde_json::json;

use crate::{
    clock::Clock,
    config::{AttentionRules, Limits},
    derived::Derived,
    event::{NewEvent, Seq, body::Redaction, own::OwnEvent},
    feed::Feed,
    follow::{Folded, Follower, Followers, Phase},
    ingest::Receipts,
    log::{EventLog, LogError},
    metrics::{Condition as Label, Metrics},
    nodes::Nodes,
    reconcile::{Reach, Reconcile},
    state::{REOPENED_AFTER_MS, State, entity::condition::About},
    storage::Storage,
};

use super::{
    DeploymentHealth, Dispatches, Found, Health, Kind, ProjectHealth, Rates, Refusals, find,
    find::{Findings, Step, steps},
    occurred::{body, occurred},
};

/// Minimum time between two looks at the whole state.
const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// Maximum number of events in one append.
const APPEND_MAX: usize = 256;

/// The parts that conditions are derived from.
pub struct Sources {
    pub log: Arc<dyn EventLog>,
    pub feed: Arc<Feed>,
    pub state: Arc<RwLock<State>>,
    pub reconcile: Arc<Reconcile>,
    pub receipts: Arc<Receipts>,
    pub followers: Arc<Followers>,
    pub nodes: Arc<Nodes>,
    pub storage: Arc<Storage>,
    pub derived: Arc<Derived>,
    pub limits: Limits,
    /// True if events are removed for their age.
    pub removes_by_age: bool,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub redaction: Redaction,
    pub projects: Vec<Arc<str>>,
    pub rules: AttentionRules,
    /// Shared by the followers that are created after failures.
    pub rates: Mutex<Rates>,
    pub refusals: Mutex<Refusals>,
    /// False while another node opens and closes conditions that are still so. Those that have happened are opened by all
    /// nodes: their events are the same everywhere.
    pub leads: AtomicBool,
    /// Filled by [`ask`](super::ask).
    pub dispatches: Mutex<Dispatches>,
}

/// The follower. An event that comes again opens nothing twice: its condition is open, or the id of its event is
/// known to the log.
pub struct Attention {
    sources: Arc<Sources>,
    /// Running time of the clock at the last look.
    looked_at: Option<Duration>,
    /// Conditions that have happened and are not opened yet.
    happened: Vec<Found>,
    /// The last event that was appended here. Until it is folded, the state does not have its condition.
    appended: Seq,
}

impl Attention {
    pub fn new(sources: Arc<Sources>) -> Attention {
        Attention { sources, looked_at: None, happened: Vec::new(), appended: Seq::ZERO }
    }

    /// Compares the conditions that are open with those that should be, and appends the difference.
    async fn look(&mut self) -> anyhow::Result<()> {
        let sources = &*self.sources;
        let leads = sources.leads.load(Ordering::Acquire);
        if !leads && self.happened.is_empty() {
            return Ok(());
        }
        // Conditions begin and end by a time that does not jump. Events are stamped by the wall clock, as all others.
        let (now, wall) = (sources.clock.believed().unix_ms, sources.clock.unix_ms());
        let health = sources.health(now);
        let steps = {
            // Without the events of the last look, it would open the same conditions again.
            sources.feed.reached(self.appended).await;
            let state = sources.state.read().clone();
            let mut findings = if leads {
                let (rates, dispatches) = (sources.rates.lock(), sources.dispatches.lock());
                find(&state, &health, &rates, &dispatches, &sources.rules, now)
            } else {
                self.happened.retain(|found| state.condition(&found.project, &found.about.id).is_none());
                Findings::default()
            };
            findings.found.append(&mut self.happened);
            // A wall clock that was set back must not keep conditions from being opened.
            let may_open = |found: &Found| {
                let last = state.last_opened(&found.project, &found.about.id);
                last.is_none_or(|last| wall.abs_diff(last) >= REOPENED_AFTER_MS)
            };
            sources.show(&state);
            steps(state.all_conditions().filter(|_| leads), findings, now, may_open)
        };
        let events = steps.into_iter().filter_map(|step| sources.event(step, wall)).collect::<Vec<_>>();
        for events in events.chunks(APPEND_MAX) {
            let appended = sources.log.append(events.to_vec()).await?;
            self.appended = appended.iter().map(|appended| appended.seq).max().unwrap_or(self.appended);
        }
        Ok(())
    }
}

impl Follower for Attention {
    fn apply<'a>(&'a mut self, events: &'a [Folded]) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            self.sources.fill_rates().await?;
            for Folded { event, .. } in events {
                let body = body(event);
                self.sources.rates.lock().count(event, &body);
                self.happened.extend(occurred(event, &body, &self.sources.rules));
            }
            let running = self.sources.clock.running();
            let is_due = self.looked_at.is_none_or(|at| running.saturating_sub(at) >= LOOKS_EVERY);
            if is_due || !self.happened.is_empty() {
                self.looked_at = Some(running);
                self.look().await?;
            }
            Ok(())
        }
        .boxed()
    }

    /// Events in the gap open no condition. Conditions that are still so are found in the state.
    fn gap(&mut self, _from: Seq, _to: Seq) -> BoxFuture<'_, anyhow::Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn wakes_in(&self) -> Option<Duration> {
        Some(LOOKS_EVERY)
    }
}

impl Sources {
    /// Reads the rates of the last hours from the log, once after a start. If the log is damaged there, they begin now.
    async fn fill_rates(&self) -> anyhow::Result<()> {
        if !self.rates.lock().is_filled() {
            let (now, head) = (self.clock.believed().unix_ms, self.feed.head().seq);
            let rates = match Rates::of_log(&*self.log, head, now).await {
                Err(LogError::Damaged(_)) => Rates::from(head, now),
                rates => rates?,
            };
            *self.rates.lock() = rates;
        }
        Ok(())
    }

    fn health(&self, now: u64) -> Health {
        let projects = self.projects.iter().map(|name| {
            let health = self.reconcile.health(name).unwrap_or_default();
            let (receipt, _) = self.receipts.of(name);
            ProjectHealth {
                name: name.clone(),
                answers: match health.reach {
                    Reach::Ok | Reach::Unconfigured => Some(true),
                    Reach::Unreachable | Reach::Unauthorized => Some(false),
                    Reach::Unknown => None,
                },
                key_rejected: health.reach == Reach::Unauthorized,
                away_since: health.away_since.unwrap_or_default(),
                error: health.error,
                missed: health.missed.into(),
                last_webhook_at: receipt.last_at,
                lost_at: receipt.lost_at,
            }
        });
        let last = self.log.bounds().last;
        let followers = self.followers.statuses().into_iter().map(|status| {
            let error = status.last_error().filter(|_| status.phase() == Phase::Waiting);
            (status.name, last.0.saturating_sub(status.cursor().0), error)
        });
        Health {
            projects: projects.collect(),
            followers: followers.collect(),
            damaged: self.storage.damage().all(),
            gaps: self.derived.gaps(),
            jump_secs: self.clock.jump_secs(),
            space: self.storage.now(),
            removes_by_age: self.removes_by_age,
            refused: self.refusals.lock().recent(
                &self.metrics,
                &self.limits,
                self.rules.limits_reached_secs,
                now,
            ),
            deployment: self.deployment(),
        }
    }

    fn deployment(&self) -> Option<DeploymentHealth> {
        let servers = self.log.servers()?;
        Some(DeploymentHealth {
            nodes: self.nodes.all(),
            touch: self.nodes.touch(),
            streams: servers.streams,
            is_away: self.log.contact().is_away,
            saved: self.nodes.saved(),
            last: self.log.bounds().last,
            since: self.nodes.since(),
        })
    }

    /// Returns the event of a step, or none if it cannot be written.
    fn event(&self, step: Step, now: u64) -> Option<NewEvent> {
        // `openedAt` makes the event another one than that of an earlier opening of the same condition. Of what has
        // happened there is one opening only, also if its event comes again.
        let (name, project, room, about, opened_at) = match step {
            Step::Open(found) => {
                let said = found.said(self.log.bounds().epoch);
                let opened_at = if said.ends_at.is_some() { said.since } else { now };
                ("condition_opened", found.project, found.room, said, opened_at)
            }
            Step::Close(condition) => {
                let room = condition.room.clone().zip(condition.room_sid.clone());
                let about = About { evidence: Vec::new(), ..condition.about.clone() };
                ("condition_closed", condition.project.clone(), room, about, condition.opened_at)
            }
        };
        let mut members = serde_json::Map::new();
        members.insert("condition".into(), json!(about));
        members.insert("openedAt".into(), json!(opened_at));
        let room = room.as_ref().map(|(name, sid)| (&**name, &**sid));
        match (OwnEvent { project: &project, name, room, members }).at(now, &self.redaction) {
            Ok(event) => Some(event),
            Err(error) => {
                tracing::error!("a condition cannot be written: {error}");
                None
            }
        }
    }

    /// Updates the gauges.
    fn show(&self, state: &State) {
        let mut open: HashMap<&str, i64> = HashMap::new();
        for condition in state.all_conditions() {
            *open.entry(&condition.about.kind).or_default() += 1;
        }
        for kind in Kind::ALL {
            let label = Label { condition: kind.name() };
            let open = open.get(kind.name()).copied().unwrap_or_default();
            self.metrics.conditions_open.get_or_create(&label).set(open);
        }
    }
}
