//! When to ask LiveKit what. Pure: no I/O and no clock.
//!
//! Every time is the caller's monotonic time, as [`Clock::running`](crate::clock::Clock::running) returns it. The engine
//! asks for the next [`Step`], does it, reports what came of it, and asks again. So there is one call at a time, and
//! never more than 20 a second: when there is more to ask, intervals stretch, and `checkedAt` shows it.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::doubt::CONFIRM_MS;

/// Minimum time between two calls for one project: 20 calls a second.
pub const CALL_EVERY: Duration = Duration::from_millis(50);
/// Interval at which watched rooms are compared.
pub const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Maximum time without any call. A heartbeat notices an outage, and a restart that lost the rooms.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);
/// Share of its interval over which the rooms of a full run are spread.
const SPREAD: f64 = 0.8;
/// Corrections are a sign that webhooks are lost, so the next full run is brought forward. It is not brought forward
/// more often than this, because some corrections are only a race between a list and a webhook. And one that was brought
/// forward compares rooms for so long: its list can take longer than that.
pub const SUSPICION_EVERY: Duration = Duration::from_secs(10);
/// LiveKit delivers its backlog for this long after an outage of Roomwatch.
const BACKLOG: Duration = Duration::from_secs(15);
/// Wait after a failure: the first doubles up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// Maximum wait after LiveKit has refused the key. A refused key is not accepted a second later.
const BACKOFF_UNAUTHORIZED: Duration = Duration::from_secs(10);
/// Maximum number of watched rooms in one round.
pub const WATCHED_ROOMS_MAX: usize = 100;
/// A room counts as watched for this long after its page was read.
const WATCHED_FOR: Duration = Duration::from_secs(10);
/// The effect of a command may reach LiveKit's store a little later than its answer reaches Roomwatch. So the room is
/// compared at once, and again.
const AFTER_COMMAND: &[Duration] = &[Duration::ZERO, Duration::from_millis(700), Duration::from_secs(3)];
/// The same for a command whose effect has a webhook, which gets time to arrive first.
const AFTER_WEBHOOK: &[Duration] = &[Duration::from_secs(1), Duration::from_secs(4)];
/// Time until LiveKit is asked again about what its last answer lacked.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(CONFIRM_MS);
/// Maximum number of missing rooms in one question.
const MISSING_MAX: usize = 500;
/// Maximum number of rooms with doubtful participants that are compared in one step.
const DOUBTFUL_MAX: usize = 20;
/// Maximum number of rooms of one project that wait for a comparison out of turn. Others wait for the next full run.
const REQUESTS_MAX: usize = 1_000;

/// Rooms that have to be compared out of turn: requests of readers and of commands.
#[derive(Default)]
pub struct Requests {
    /// Watched rooms by name, and until when.
    watched: HashMap<Arc<str>, Duration>,
    /// Rooms that a command has changed, and when to compare them.
    changed: Vec<(Duration, Arc<str>)>,
}

impl Requests {
    /// Notes that a reader looks at a room. Returns true if it was not watched before.
    pub fn watch(&mut self, now: Duration, room: &str) -> bool {
        self.watched.retain(|_, until| *until > now);
        self.watched.len() < REQUESTS_MAX && self.watched.insert(room.into(), now + WATCHED_FOR).is_none()
    }

    /// Notes that a command has changed a room.
    pub fn change(&mut self, now: Duration, room: &str, has_webhook: bool) {
        if self.changed.len() < REQUESTS_MAX {
            let room: Arc<str> = room.into();
            let waits = if has_webhook { AFTER_WEBHOOK } else { AFTER_COMMAND };
            self.changed.extend(waits.iter().map(|wait| (now + *wait, room.clone())));
        }
    }

    /// Notes that another node wants a room compared at once.
    pub fn ask(&mut self, now: Duration, room: &str) {
        if self.changed.len() < REQUESTS_MAX {
            self.changed.push((now, room.into()));
        }
    }

    /// Returns the rooms that readers look at.
    pub fn watched(&mut self, now: Duration) -> Vec<Arc<str>> {
        self.watched.retain(|_, until| *until > now);
        self.watched.keys().cloned().collect()
    }

    /// Takes the changed rooms that are due.
    pub fn take_due(&mut self, now: Duration) -> Vec<Arc<str>> {
        let mut names = Vec::new();
        self.changed.retain(|(at, name)| {
            let due = *at <= now;
            if due && !names.contains(name) {
                names.push(name.clone());
            }
            !due
        });
        names
    }

    fn next_due(&self) -> Option<Duration> {
        self.changed.iter().map(|(at, _)| *at).min()
    }
}

/// The next thing to do. `R` is a room as LiveKit has listed it.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<R> {
    /// Ask about one room, to see whether LiveKit answers and still knows it.
    Heartbeat,
    /// List these rooms and compare each at once: commands have changed them.
    Changed(Vec<Arc<str>>),
    /// List these rooms: the last answer lacked them.
    Missing(Vec<Arc<str>>),
    /// Ask about the egress and ingress that the last answer lacked.
    Sides,
    /// List these rooms and hand the list to [`Schedule::watched_listed`].
    Watched(Vec<Arc<str>>),
    /// List all rooms and hand the list to [`Schedule::full_listed`].
    Full,
    /// Compare one room.
    Compare(R),
    /// The full run is done. It made this many corrections.
    Finished { corrections: u64 },
    /// Nothing is due before this time.
    Wait(Duration),
}

/// A full run: every room is compared once.
struct Run<R> {
    rooms: VecDeque<R>,
    /// When the next room is due, and the time between two rooms.
    due: Duration,
    gap: Duration,
    /// Number of rooms at the front that the state does not know. They are compared without a gap.
    unknown: usize,
    /// The time over which its rooms are spread.
    spread: Duration,
    /// When its rooms were known.
    listed: Duration,
    corrections: u64,
}

/// The schedule of one project.
pub struct Schedule<R> {
    /// The interval between two full runs.
    every: Duration,
    next_call: Duration,
    next_full: Duration,
    next_watch: Duration,
    next_heartbeat: Duration,
    run: Option<Run<R>>,
    /// Watched rooms that are still to be compared in this round.
    watch: VecDeque<R>,
    /// The full run is next, so that a long round of watched rooms does not keep it waiting.
    is_full_turn: bool,
    /// Webhooks may be lost: a full run without gaps is due from this time on.
    suspected: Option<Duration>,
    suspected_last: Option<Duration>,
    /// LiveKit may be delivering its backlog until this time. A full run follows.
    backlog_until: Option<Duration>,
    /// Failures since the last answer.
    failures: u32,
    watch_rotation: usize,
    /// Rooms that the last answer lacked, by name, and when to ask about them again.
    missing: BTreeMap<Arc<str>, Duration>,
    /// Rooms whose list of participants lacked someone, by name, and when to compare them again.
    doubtful: BTreeMap<Arc<str>, Duration>,
    /// When to ask again about egress and ingress.
    sides_again: Option<Duration>,
}

impl<R> Schedule<R> {
    pub fn new(now: Duration, every: Duration) -> Schedule<R> {
        Schedule {
            every,
            next_call: now,
            next_full: now + every,
            next_watch: now,
            next_heartbeat: now,
            run: None,
            watch: VecDeque::new(),
            is_full_turn: false,
            // Webhooks may have been lost while Roomwatch was not running.
            suspected: Some(now),
            suspected_last: None,
            backlog_until: None,
            failures: 0,
            watch_rotation: 0,
            missing: BTreeMap::new(),
            doubtful: BTreeMap::new(),
            sides_again: None,
        }
    }

    /// Returns the most urgent step. `streamed` returns the names of the rooms that streams are open for.
    pub fn next<N: IntoIterator<Item = Arc<str>>>(
        &mut self,
        now: Duration,
        requests: &mut Requests,
        streamed: impl FnOnce() -> N,
    ) -> Step<R> {
        if self.failures > 0 {
            return Step::Heartbeat;
        }
        let changed = requests.take_due(now);
        if !changed.is_empty() {
            return Step::Changed(changed);
        }
        if let Some(names) = take_due(&mut self.missing, now, MISSING_MAX) {
            return Step::Missing(names);
        }
        if let Some(names) = take_due(&mut self.doubtful, now, DOUBTFUL_MAX) {
            return Step::Changed(names);
        }
        if self.sides_again.take_if(|at| *at <= now).is_some() {
            return Step::Sides;
        }
        if self.backlog_until.take_if(|until| *until <= now).is_some() {
            self.suspect_at(now);
        }
        if self.suspected_due().is_some_and(|at| at <= now) {
            self.suspected = None;
            self.suspected_last = Some(now);
            return self.begin_full(now, Duration::ZERO);
        }
        // Before the watched rooms, which may take every call there is.
        if let Some(Run { corrections, .. }) = self.run.take_if(|run| run.rooms.is_empty()) {
            // If it took longer than the interval, the next run begins now.
            self.next_full = self.next_full.max(now);
            return Step::Finished { corrections };
        }
        if self.run.is_none() && self.next_full <= now {
            return self.begin_full(now, self.every);
        }
        if self.watch.is_empty() && self.next_watch <= now {
            self.next_watch = now + WATCH_EVERY;
            let names = self.watched(now, requests, streamed());
            if !names.is_empty() {
                return Step::Watched(names);
            }
        }
        if (self.is_full_turn || self.watch.is_empty())
            && let Some(room) = self.run.as_mut().and_then(|run| run.next(now))
        {
            self.is_full_turn = false;
            return Step::Compare(room);
        }
        if let Some(room) = self.watch.pop_front() {
            self.is_full_turn = true;
            return Step::Compare(room);
        }
        if self.next_heartbeat <= now {
            return Step::Heartbeat;
        }
        let next_of_full = self.run.as_ref().map_or(self.next_full, |run| run.due);
        let asked_again = self.missing.values().chain(self.doubtful.values()).chain(&self.sides_again).min();
        let times = [
            Some(next_of_full),
            self.suspected_due(),
            self.backlog_until,
            requests.next_due(),
            asked_again.copied(),
        ];
        let first = times.into_iter().flatten().fold(self.next_watch.min(self.next_heartbeat), Duration::min);
        Step::Wait(first)
    }

    /// Returns when the full run that was brought forward begins.
    fn suspected_due(&self) -> Option<Duration> {
        let under_way = self.run.as_ref().filter(|run| run.spread.is_zero() && !run.rooms.is_empty());
        let compares_until = under_way.map_or(Duration::ZERO, |run| run.listed + SUSPICION_EVERY);
        self.suspected.map(|at| at.max(compares_until))
    }

    fn begin_full(&mut self, now: Duration, spread: Duration) -> Step<R> {
        self.next_full = now + self.every;
        self.run = Some(Run {
            rooms: VecDeque::new(),
            due: now,
            gap: Duration::ZERO,
            unknown: 0,
            spread,
            listed: now,
            corrections: 0,
        });
        Step::Full
    }

    /// Takes the rooms of a full run: those that the state does not know are compared first.
    pub fn full_listed(&mut self, now: Duration, unknown: Vec<R>, known: Vec<R>) {
        let Some(run) = &mut self.run else { return };
        let rooms = u32::try_from(known.len()).unwrap_or(u32::MAX).max(1);
        run.gap = run.spread.mul_f64(SPREAD) / rooms;
        (run.due, run.listed) = (now, now);
        run.unknown = unknown.len();
        run.rooms = unknown.into_iter().chain(known).collect();
    }

    /// Takes the rooms of a round of watched rooms.
    pub fn watched_listed(&mut self, rooms: Vec<R>) {
        self.watch = rooms.into();
    }

    /// Returns the watched rooms. If there are too many of them, they take turns.
    fn watched(
        &mut self,
        now: Duration,
        requests: &mut Requests,
        streamed: impl IntoIterator<Item = Arc<str>>,
    ) -> Vec<Arc<str>> {
        requests.watched.retain(|_, until| *until > now);
        let names: HashSet<Arc<str>> = streamed
            .into_iter()
            .chain(requests.watched.keys().cloned())
            .filter(|name| !name.is_empty())
            .collect();
        // In an order, so that equal inputs give equal steps.
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_unstable();
        if names.len() > WATCHED_ROOMS_MAX {
            self.watch_rotation = (self.watch_rotation + WATCHED_ROOMS_MAX) % names.len();
            names.rotate_left(self.watch_rotation);
            names.truncate(WATCHED_ROOMS_MAX);
        }
        names
    }

    /// Reserves the next call, and returns the time before which it must not begin.
    pub fn reserve_call(&mut self, now: Duration) -> Duration {
        let at = self.next_call.max(now);
        self.next_call = at + CALL_EVERY;
        at
    }

    /// Notes that LiveKit has answered. Returns true if it had failed before.
    pub fn answered(&mut self, now: Duration) -> bool {
        self.next_heartbeat = now + HEARTBEAT_EVERY;
        std::mem::take(&mut self.failures) > 0
    }

    /// Returns true if the last call failed.
    pub fn is_away(&self) -> bool {
        self.failures > 0
    }

    /// Notes that LiveKit has failed. Returns how long to wait before it is asked again.
    pub fn failed(&mut self, unauthorized: bool) -> Duration {
        let (first, most) = BACKOFF;
        let most = if unauthorized { BACKOFF_UNAUTHORIZED } else { most };
        let wait = first.saturating_mul(1 << self.failures.min(8)).min(most);
        self.failures += 1;
        wait
    }

    /// Drops what was under way. A full run begins again at once, or at `again`. Returns true if there was one.
    pub fn abort(&mut self, again: Duration) -> bool {
        self.watch.clear();
        let had_run = self.run.take().is_some();
        if had_run {
            self.suspected.get_or_insert(again);
        }
        had_run
    }

    /// Notes rooms that an answer lacks. They are asked about again by name.
    pub fn missing(&mut self, now: Duration, names: Vec<Arc<str>>) {
        for name in names {
            self.missing.entry(name).or_insert(now + ASK_AGAIN_AFTER);
        }
    }

    /// Notes rooms whose participants or tracks are not as an answer lists them. They are compared again.
    pub fn doubtful(&mut self, now: Duration, names: Vec<Arc<str>>) {
        for name in names {
            self.doubtful.entry(name).or_insert(now + ASK_AGAIN_AFTER);
        }
    }

    /// Notes that a list of egress or ingress lacks some.
    pub fn sides_again(&mut self, now: Duration) {
        self.sides_again.get_or_insert(now + ASK_AGAIN_AFTER);
    }

    /// Counts a correction for the full run, if there is one.
    pub fn corrected(&mut self) {
        if let Some(run) = &mut self.run {
            run.corrections += 1;
        }
    }

    /// Brings the next full run forward: a webhook seems to be lost. Before the first full run this changes nothing.
    pub fn suspect(&mut self, now: Duration) {
        if let Some(last) = self.suspected_last {
            self.suspect_at(now.max(last + SUSPICION_EVERY));
        }
    }

    /// Brings the next full run forward to this time, however recent the last one is.
    pub fn suspect_at(&mut self, at: Duration) {
        self.suspected = Some(self.suspected.map_or(at, |earlier| earlier.min(at)));
    }

    /// Brings full runs forward because Roomwatch could not store a webhook: one now, and one when LiveKit has
    /// delivered its backlog.
    pub fn webhook_lost(&mut self, now: Duration) {
        self.suspect_at(now);
        self.backlog_until = Some(now + BACKLOG);
    }
}

/// Takes up to `most` names that are due.
fn take_due(names: &mut BTreeMap<Arc<str>, Duration>, now: Duration, most: usize) -> Option<Vec<Arc<str>>> {
    let due: Vec<_> =
        names.iter().filter(|(_, at)| **at <= now).take(most).map(|(name, _)| name.clone()).collect();
    for name in &due {
        names.remove(name);
    }
    (!due.is_empty()).then_some(due)
}

impl<R> Run<R> {
    /// Takes the next room if it is due.
    fn next(&mut self, now: Duration) -> Option<R> {
        if self.due > now {
            return None;
        }
        let room = self.rooms.pop_front()?;
        if self.unknown > 0 {
            self.unknown -= 1;
        } else {
            self.due = now + self.gap;
        }
        Some(room)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVERY: Duration = Duration::from_secs(30);
    const NO_STREAMS: [Arc<str>; 0] = [];

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// An engine without I/O: every step takes one call and succeeds.
    struct Engine {
        now: Duration,
        schedule: Schedule<u32>,
        requests: Requests,
        streamed: Vec<Arc<str>>,
        /// The rooms that LiveKit lists, all of them known to the state.
        rooms: u32,
        calls: Vec<Duration>,
    }

    impl Engine {
        fn new(rooms: u32) -> Engine {
            let schedule = Schedule::new(Duration::ZERO, EVERY);
            let (requests, streamed) = (Requests::default(), Vec::new());
            Engine { now: Duration::ZERO, schedule, requests, streamed, rooms, calls: Vec::new() }
        }

        /// Does one step. Time passes in calls and in waits.
        fn step(&mut self) -> Step<u32> {
            let streamed = self.streamed.clone();
            let step = self.schedule.next(self.now, &mut self.requests, || streamed);
            match &step {
                Step::Wait(until) => self.now = *until,
                Step::Finished { .. } => {}
                _ => {
                    self.now = self.schedule.reserve_call(self.now);
                    self.calls.push(self.now);
                    self.schedule.answered(self.now);
                }
            }
            match &step {
                Step::Full => self.schedule.full_listed(self.now, Vec::new(), (0..self.rooms).collect()),
                Step::Watched(names) => {
                    let listed = (0..names.len()).map(|n| 1_000 + u32::try_from(n).expect("few"));
                    self.schedule.watched_listed(listed.collect());
                }
                _ => {}
            }
            step
        }

        /// Does steps until this time. Returns when each that is not a wait was done.
        fn run_until(&mut self, end: Duration) -> Vec<(Duration, Step<u32>)> {
            let mut steps = Vec::new();
            while self.now < end {
                let step = self.step();
                if !matches!(step, Step::Wait(_)) {
                    steps.push((self.now, step));
                }
            }
            steps
        }
    }

    fn starts(steps: &[(Duration, Step<u32>)]) -> Vec<Duration> {
        steps.iter().filter(|(_, step)| *step == Step::Full).map(|(at, _)| *at).collect()
    }

    #[test]
    fn a_full_run_comes_first_and_then_each_interval() {
        let mut engine = Engine::new(4);
        let steps = engine.run_until(EVERY * 3);
        let starts = starts(&steps);
        assert_eq!(starts[0], Duration::ZERO);
        assert_eq!(starts.len(), 3, "{starts:?}");
        for pair in starts.windows(2) {
            assert!(pair[1] - pair[0] >= EVERY && pair[1] - pair[0] < EVERY + ms(200), "{starts:?}");
        }
        // The first is compared without gaps, the later ones over most of the interval.
        let compared: Vec<_> = steps.iter().filter(|(_, step)| matches!(step, Step::Compare(_))).collect();
        assert!(compared[3].0 - compared[0].0 < ms(200));
        let (spread, expected) = (compared[7].0 - compared[4].0, EVERY.mul_f64(SPREAD) / 4 * 3);
        assert!(spread + CALL_EVERY * 2 >= expected && spread <= expected + CALL_EVERY, "{spread:?}");
    }

    #[test]
    fn without_rooms_a_heartbeat_is_the_only_call() {
        let mut engine = Engine::new(0);
        engine.run_until(ms(1_000));
        let steps = engine.run_until(ms(20_000));
        assert!(steps.iter().all(|(_, step)| *step == Step::Heartbeat), "{steps:?}");
        assert_eq!(steps.len(), 9, "{steps:?}");
    }

    #[test]
    fn a_changed_room_is_compared_at_once_and_again() {
        let mut engine = Engine::new(0);
        engine.run_until(ms(1_000));
        let now = engine.now;
        engine.requests.change(now, "standup", false);
        let changed = |engine: &mut Engine| -> Vec<_> {
            let steps = engine.run_until(engine.now + ms(5_000));
            steps.into_iter().filter(|(_, step)| matches!(step, Step::Changed(_))).map(|(at, _)| at).collect()
        };
        let at = changed(&mut engine);
        assert_eq!(at, AFTER_COMMAND.iter().map(|wait| now + *wait).collect::<Vec<_>>());
        let now = engine.now;
        engine.requests.change(now, "standup", true);
        assert_eq!(changed(&mut engine), AFTER_WEBHOOK.iter().map(|wait| now + *wait).collect::<Vec<_>>());
    }

    #[test]
    fn a_watched_room_is_compared_every_two_seconds_until_its_reader_is_gone() {
        let mut engine = Engine::new(0);
        engine.run_until(ms(1_000));
        assert!(engine.requests.watch(engine.now, "standup"));
        assert!(!engine.requests.watch(engine.now, "standup"), "it is watched already");
        let steps = engine.run_until(engine.now + ms(20_000));
        let rounds = steps.iter().filter(|(_, step)| matches!(step, Step::Watched(_))).count();
        assert_eq!(rounds, 5);
    }

    #[test]
    fn many_watched_rooms_take_turns() {
        let mut engine = Engine::new(0);
        engine.streamed = (0..250).map(|n| format!("room-{n}").into()).collect();
        let mut seen = HashSet::new();
        for (_, step) in engine.run_until(ms(30_000)) {
            if let Step::Watched(names) = step {
                assert!(names.len() <= WATCHED_ROOMS_MAX);
                seen.extend(names);
            }
        }
        assert_eq!(seen.len(), 250);
    }

    #[test]
    fn watched_rooms_do_not_keep_a_full_run_waiting() {
        let mut engine = Engine::new(50);
        engine.streamed = (0..100).map(|n| format!("room-{n}").into()).collect();
        let steps = engine.run_until(EVERY * 3);
        assert!(starts(&steps).len() >= 3, "{:?}", starts(&steps));
        assert!(steps.iter().any(|(_, step)| matches!(step, Step::Finished { .. })));
    }

    #[test]
    fn a_failure_is_followed_by_heartbeats_and_a_full_run() {
        let mut engine = Engine::new(2);
        engine.run_until(ms(1_000));
        let waits: Vec<_> = (0..6).map(|_| engine.schedule.failed(false).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 2_000, 2_000]);
        assert_eq!((0..3).map(|_| engine.schedule.failed(true).as_secs()).collect::<Vec<_>>(), [10, 10, 10]);
        let next = engine.schedule.next(engine.now, &mut engine.requests, || NO_STREAMS);
        assert_eq!(next, Step::Heartbeat);
        assert!(engine.schedule.answered(engine.now), "it had failed");
        engine.schedule.suspect_at(engine.now);
        let next = engine.schedule.next(engine.now, &mut engine.requests, || NO_STREAMS);
        assert_eq!(next, Step::Full);
        assert_eq!(engine.schedule.failed(false).as_millis(), 250, "an answer resets the wait");
    }

    #[test]
    fn a_full_run_that_was_aborted_begins_again() {
        let mut engine = Engine::new(10);
        engine.step();
        engine.step();
        assert!(engine.schedule.abort(engine.now));
        assert!(!engine.schedule.abort(engine.now));
        assert_eq!(engine.step(), Step::Full);
    }

    #[test]
    fn rooms_are_compared_although_a_list_takes_longer_than_suspicions_are_apart() {
        let mut engine = Engine::new(3);
        engine.run_until(ms(1_000));
        let mut compared = 0;
        for _ in 0..100 {
            // Each list finds a correction, twelve seconds after it began.
            match engine.step() {
                Step::Full => {
                    engine.schedule.suspect(engine.now);
                    engine.now += ms(12_000);
                    engine.schedule.full_listed(engine.now, Vec::new(), (0..3).collect());
                }
                Step::Compare(_) => compared += 1,
                _ => {}
            }
            engine.schedule.suspect(engine.now);
        }
        assert!(compared > 20, "{compared} rooms");
    }

    #[test]
    fn corrections_bring_the_next_full_run_forward_but_not_too_often() {
        let mut engine = Engine::new(0);
        let mut starts = Vec::new();
        while engine.now < ms(29_000) {
            let step = engine.step();
            if step == Step::Full {
                starts.push(engine.now);
            }
            engine.schedule.suspect(engine.now);
        }
        assert_eq!(starts, [ms(0), ms(10_000), ms(20_000)]);
    }

    #[test]
    fn corrections_are_counted_for_their_run() {
        let mut engine = Engine::new(1);
        engine.schedule.corrected();
        engine.step();
        engine.schedule.corrected();
        engine.step();
        assert_eq!(engine.step(), Step::Finished { corrections: 1 });
    }

    #[test]
    fn a_lost_webhook_brings_a_full_run_now_and_one_after_the_backlog() {
        let mut engine = Engine::new(0);
        engine.run_until(ms(1_000));
        let now = engine.now;
        engine.schedule.webhook_lost(now);
        assert_eq!(starts(&engine.run_until(now + EVERY)), [now, now + BACKLOG]);
    }

    #[test]
    fn what_an_answer_lacks_is_asked_about_again_two_seconds_later() {
        let mut engine = Engine::new(0);
        engine.run_until(ms(1_000));
        let now = engine.now;
        engine.schedule.missing(now, (0..501).map(|n| format!("room-{n}").into()).collect());
        engine.schedule.doubtful(now, vec!["full".into()]);
        engine.schedule.sides_again(now);
        let mut steps = engine.run_until(now + ms(4_000));
        steps.retain(|(_, step)| *step != Step::Heartbeat);
        let asked: Vec<_> = steps
            .iter()
            .map(|(at, step)| match step {
                Step::Missing(names) => (*at - now, "missing", names.len()),
                Step::Changed(names) => (*at - now, "changed", names.len()),
                Step::Sides => (*at - now, "sides", 0),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            (ms(2_000), "missing", 500),
            (ms(2_050), "missing", 1),
            (ms(2_100), "changed", 1),
            (ms(2_150), "sides", 0),
        ];
        assert_eq!(asked, expected);
    }

    #[derive(Clone, Debug)]
    enum Input {
        Step,
        Pass(u64),
        Watch(u8),
        Change(u8, bool),
        Suspect,
        Lost,
        Fail,
        Correct,
        Miss(u8),
        Doubt(u8),
        Sides,
    }

    fn inputs() -> impl Strategy<Value = Vec<Input>> {
        let input = prop_oneof![
            8 => Just(Input::Step),
            2 => (0_u64..3_000).prop_map(Input::Pass),
            1 => (0_u8..4).prop_map(Input::Watch),
            1 => (0_u8..4, any::<bool>()).prop_map(|(room, has_webhook)| Input::Change(room, has_webhook)),
            1 => Just(Input::Suspect),
            1 => Just(Input::Lost),
            1 => Just(Input::Fail),
            1 => Just(Input::Correct),
            1 => (0_u8..4).prop_map(Input::Miss),
            1 => (0_u8..4).prop_map(Input::Doubt),
            1 => Just(Input::Sides),
        ];
        prop::collection::vec(input, 1..400)
    }

    proptest! {
        /// Whatever happens: calls are paced, a wait ends in the future and soon, a full run that began compares each
        /// of its rooms once unless it is aborted, and LiveKit is asked at least every two seconds.
        #[test]
        fn the_schedule_keeps_its_promises(inputs in inputs(), rooms in 0_u32..40) {
            let mut engine = Engine::new(rooms);
            let mut compared = Vec::new();
            for input in inputs {
                let now = engine.now;
                match input {
                    Input::Pass(time) => engine.now += ms(time),
                    Input::Watch(room) => drop(engine.requests.watch(now, &format!("room-{room}"))),
                    Input::Change(room, webhook) => engine.requests.change(now, &format!("room-{room}"), webhook),
                    Input::Suspect => engine.schedule.suspect(now),
                    Input::Lost => engine.schedule.webhook_lost(now),
                    Input::Correct => engine.schedule.corrected(),
                    Input::Miss(room) => engine.schedule.missing(now, vec![format!("room-{room}").into()]),
                    Input::Doubt(room) => engine.schedule.doubtful(now, vec![format!("room-{room}").into()]),
                    Input::Sides => engine.schedule.sides_again(now),
                    Input::Fail => {
                        engine.schedule.abort(now);
                        engine.now += engine.schedule.failed(false);
                    }
                    Input::Step => match engine.step() {
                        Step::Wait(until) => prop_assert!(until > now && until <= now + HEARTBEAT_EVERY, "{now:?} {until:?}"),
                        Step::Full => compared.clear(),
                        Step::Compare(room) if room < 1_000 => compared.push(room),
                        Step::Finished { .. } => prop_assert_eq!(&compared, &(0..rooms).collect::<Vec<_>>()),
                        _ => {}
                    },
                }
            }
            for pair in engine.calls.windows(2) {
                prop_assert!(pair[1] >= pair[0] + CALL_EVERY, "{pair:?}");
            }
        }

        /// From any situation a full run begins and ends within two intervals, if every call succeeds.
        #[test]
        fn a_full_run_is_never_far_away(inputs in inputs(), rooms in 0_u32..40) {
            let mut engine = Engine::new(rooms);
            for input in inputs {
                match input {
                    Input::Pass(time) => engine.now += ms(time),
                    Input::Fail => {
                        engine.schedule.abort(engine.now);
                        engine.now += engine.schedule.failed(false);
                    }
                    Input::Step => drop(engine.step()),
                    _ => {}
                }
            }
            let steps = engine.run_until(engine.now + EVERY * 2);
            prop_assert!(steps.iter().any(|(_, step)| matches!(step, Step::Finished { .. })), "{steps:?}");
        }
    }
}
