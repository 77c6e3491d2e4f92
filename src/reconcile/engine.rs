//! The loop of one project: when to ask LiveKit what.
//!
//! One call at a time, and never more than 20 a second: intervals stretch, and `checkedAt` shows it.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    clock::unix_ms,
    event::Kind,
    livekit::{CallError, ListedRoom, LiveKit},
    log::LogError,
    state::State,
};

use super::{
    Project, Shared,
    correction::Correction,
    diff::{Asked, Compare},
    health::Availability,
};

/// At most 20 calls a second for one project.
const CALL_EVERY: Duration = Duration::from_millis(50);
/// How often a watched room is asked about.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// How often LiveKit is asked about one room if nothing else is: an outage is noticed, and a restart
/// that lost the rooms.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// A full run ends this part of its interval before the next one begins.
const SPREAD: f64 = 0.8;
/// Corrections are a sign that webhooks are lost: the next full run comes at once, but not more often
/// than this, for some are only the race between a list and its webhook.
const SUSPICION_EVERY: Duration = Duration::from_secs(10);
/// LiveKit goes on delivering its backlog for this long after an outage of ours.
const BACKLOG: Duration = Duration::from_secs(15);
/// How long to wait before LiveKit is asked again after a failure: doubling, up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// A key that is refused is refused a second later too.
const BACKOFF_UNAUTHORIZED: Duration = Duration::from_secs(10);
/// How long the state may take to fold what is in the log before a comparison is put off.
const SETTLE_MAX: Duration = Duration::from_secs(10);
/// How many watched rooms one round asks about.
const WATCHED_ROOMS_MAX: usize = 100;
/// How many corrections are appended at a time.
const APPEND_EVENTS: usize = 256;
/// How often a correction is given a new id because its own is taken.
const APPEND_TRIES: usize = 4;
/// An egress may end this long before LiveKit lists it so.
const EGRESS_LATE_MS: u64 = 60_000;
/// What a heartbeat asks about when no room is live.
const NO_ROOM: &str = "roomwatch:heartbeat";

/// Why a step did not get to its end.
enum Stop {
    LiveKit(CallError),
    Log(LogError),
    /// The state has not folded the log yet.
    Behind,
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Stop {
        Stop::LiveKit(error)
    }
}

pub(super) struct Engine<'a> {
    shared: &'a Shared,
    project: &'a Project,
    every: Duration,
    /// Not before this may LiveKit be called again.
    next_call: Instant,
    next_full: Instant,
    next_watch: Instant,
    next_beat: Instant,
    /// Rooms of the full run that are still to be compared, and when the next one is due.
    full: VecDeque<ListedRoom>,
    full_due: Instant,
    full_gap: Duration,
    /// So many of them nobody has told of: they do not wait.
    full_unknown: usize,
    /// What the full run has corrected; none while there is no run.
    full_corrected: Option<u64>,
    /// Watched rooms that are still to be compared.
    watch: VecDeque<ListedRoom>,
    /// So that a long round of watched rooms does not keep the full run waiting for ever.
    full_turn: bool,
    /// A full run without pauses is due, from this time on.
    suspected: Option<Instant>,
    suspected_last: Option<Instant>,
    failures: u32,
    away_at: u64,
    /// The last loss of a webhook that has been dealt with.
    lost_at: u64,
    /// Egress that ended after this was heard of, or has been told.
    egress_since: u64,
    watch_rotation: usize,
}

impl<'a> Engine<'a> {
    pub fn new(shared: &'a Shared, project: &'a Project, every: Duration) -> Engine<'a> {
        let now = Instant::now();
        Engine {
            shared,
            project,
            every,
            next_call: now,
            next_full: now + every,
            next_watch: now,
            next_beat: now,
            full: VecDeque::new(),
            full_due: now,
            full_gap: Duration::ZERO,
            full_unknown: 0,
            full_corrected: None,
            watch: VecDeque::new(),
            full_turn: false,
            // Nobody knows what has happened while there was nobody to listen.
            suspected: Some(now),
            suspected_last: None,
            failures: 0,
            away_at: 0,
            lost_at: 0,
            egress_since: 0,
            watch_rotation: 0,
        }
    }

    pub async fn run(mut self) {
        let Some(livekit) = &self.project.livekit else { return };
        while self.settle().await.is_err() {}
        // Of what ended before we listened the history knows, or never will.
        let last_known = self.shared.state.read().now();
        self.egress_since =
            if last_known > 0 { last_known.saturating_sub(EGRESS_LATE_MS) } else { unix_ms() };
        loop {
            match self.step(livekit).await {
                Ok(None) => {}
                Ok(Some(next)) => self.pause(next).await,
                Err(stop) => self.stopped(stop).await,
            }
        }
    }

    async fn pause(&self, until: Instant) {
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = self.project.wake.notified() => {}
        }
    }

    /// Does the most urgent thing that is due, or says when something will be.
    async fn step(&mut self, livekit: &LiveKit) -> Result<Option<Instant>, Stop> {
        if self.failures > 0 {
            self.beat(livekit).await?;
        }
        self.notice_losses();
        let now = Instant::now();
        let names = self.due_rooms(now);
        if !names.is_empty() {
            let rooms = self.list_named(livekit, &names).await?;
            for room in rooms {
                self.compare(livekit, room).await?;
            }
            return Ok(None);
        }
        if self.suspected.is_some_and(|at| at <= now) {
            self.suspected = None;
            self.suspected_last = Some(now);
            self.begin_full(livekit, Duration::ZERO).await?;
            return Ok(None);
        }
        if self.watch.is_empty() && self.next_watch <= now {
            self.next_watch = now + WATCH_EVERY;
            let names = self.watched();
            if !names.is_empty() {
                self.watch = self.list_named(livekit, &names).await?.into();
                return Ok(None);
            }
        }
        let full_due = !self.full.is_empty() && self.full_due <= now;
        if full_due && (self.full_turn || self.watch.is_empty()) {
            self.full_turn = false;
            if self.full_unknown > 0 {
                self.full_unknown -= 1;
            } else {
                self.full_due = now + self.full_gap;
            }
            if let Some(room) = self.full.pop_front() {
                self.compare(livekit, room).await?;
            }
            return Ok(None);
        }
        if let Some(room) = self.watch.pop_front() {
            self.full_turn = true;
            self.compare(livekit, room).await?;
            return Ok(None);
        }
        if self.full.is_empty() {
            self.end_full();
            if self.next_full <= now {
                self.begin_full(livekit, self.every).await?;
                return Ok(None);
            }
        }
        if self.next_beat <= now {
            self.beat(livekit).await?;
        }
        let next_of_full = if self.full.is_empty() { self.next_full } else { self.full_due };
        let due = self.project.asks.lock().due.iter().map(|(at, _)| (*at).into()).min();
        let times = [Some(self.next_watch), Some(self.next_beat), Some(next_of_full), self.suspected, due];
        Ok(times.into_iter().flatten().min())
    }

    /// A webhook that we could not store, and then one that we could: there may be more that LiveKit has
    /// given up on.
    fn notice_losses(&mut self) {
        let (receipt, _) = self.shared.receipts.of(&self.project.name);
        let Some(lost_at) = receipt.lost_at.filter(|at| *at > self.lost_at) else { return };
        if receipt.last_at.is_some_and(|last_at| last_at >= lost_at) {
            self.lost_at = lost_at;
            self.suspected = Some(Instant::now());
            self.next_full = self.next_full.min(Instant::now() + BACKLOG);
        }
    }

    /// The rooms that are due to be asked about after a command.
    fn due_rooms(&self, now: Instant) -> Vec<Arc<str>> {
        let mut names = Vec::new();
        self.project.asks.lock().due.retain(|(at, name)| {
            let due = Instant::from(*at) <= now;
            if due && !names.contains(name) {
                names.push(name.clone());
            }
            !due
        });
        names
    }

    /// The rooms that somebody watches. With too many of them each has its turn.
    fn watched(&mut self) -> Vec<Arc<str>> {
        let now = std::time::Instant::now();
        let mut names: HashSet<Arc<str>> = self.shared.feed.watched(&self.project.name).into_iter().collect();
        {
            let mut asks = self.project.asks.lock();
            asks.watched.retain(|_, until| *until > now);
            names.extend(asks.watched.keys().cloned());
        }
        let mut names: Vec<_> = names.into_iter().filter(|name| !name.is_empty()).collect();
        if names.len() > WATCHED_ROOMS_MAX {
            names.sort_unstable();
            self.watch_rotation = (self.watch_rotation + WATCHED_ROOMS_MAX) % names.len();
            names.rotate_left(self.watch_rotation);
            names.truncate(WATCHED_ROOMS_MAX);
        }
        names
    }

    /// Lists these rooms and ends the sessions that are not among them.
    async fn list_named(&mut self, livekit: &LiveKit, names: &[Arc<str>]) -> Result<Vec<ListedRoom>, Stop> {
        let asked_at = unix_ms();
        let rooms = self.rooms(livekit, names).await?;
        self.settle().await?;
        let vanished = self.vanished(&rooms, asked_at, |name| names.iter().any(|asked| **asked == *name));
        self.append(vanished, asked_at).await?;
        Ok(rooms)
    }

    fn vanished(
        &self,
        listed: &[ListedRoom],
        asked_at: u64,
        asked_for: impl Fn(&str) -> bool,
    ) -> Vec<Correction> {
        // All of them may have: a copy, which shares the rooms, keeps nobody from writing meanwhile.
        let state = self.shared.state.read().clone();
        self.against(&state, asked_at).vanished(listed, asked_for, &*self.project.checked.lock())
    }

    fn against<'s>(&'s self, state: &'s State, asked_at: u64) -> Compare<'s> {
        Compare {
            project: &self.project.name,
            state,
            redaction: &self.shared.redaction,
            asked: Asked { at: asked_at, now: unix_ms(), away_at: self.away_at },
        }
    }

    /// Begins a full run; its rooms are compared one by one, spread over `spread`.
    async fn begin_full(&mut self, livekit: &LiveKit, spread: Duration) -> Result<(), Stop> {
        let now = Instant::now();
        self.next_full = now + self.every;
        self.full.clear();
        self.full_corrected = Some(0);
        let asked_at = unix_ms();
        let rooms = self.rooms(livekit, &[]).await?;
        self.settle().await?;
        let vanished = self.vanished(&rooms, asked_at, |_| true);
        self.append(vanished, asked_at).await?;
        self.sides(livekit).await?;
        // What nobody has told of comes first.
        let (unknown, known): (Vec<_>, Vec<_>) = {
            let state = self.shared.state.read();
            self.project.checked.lock().retain(|sid| state.room(&self.project.name, sid).is_some());
            rooms.into_iter().partition(|room| state.room(&self.project.name, &room.sid).is_none())
        };
        self.full_unknown = unknown.len();
        self.full_gap = spread.mul_f64(SPREAD) / u32::try_from(known.len()).unwrap_or(u32::MAX).max(1);
        self.full = unknown.into_iter().chain(known).collect();
        self.full_due = Instant::now();
        Ok(())
    }

    fn end_full(&mut self) {
        let Some(corrected) = self.full_corrected.take() else { return };
        self.shared.metrics.reconcile_run(if corrected > 0 { "corrected" } else { "agreed" });
        self.project.health.lock().reconciled_at = Some(unix_ms());
        // It took longer than the interval: then the next one begins now.
        self.next_full = self.next_full.max(Instant::now());
    }

    /// Egress and ingress, where LiveKit has them.
    async fn sides(&mut self, livekit: &LiveKit) -> Result<(), Stop> {
        let asked_at = unix_ms();
        self.pace().await;
        let listed = livekit.list_egress().await;
        let (listed, availability) = self.side(listed)?;
        self.project.health.lock().egress = availability;
        if let Some(listed) = listed {
            self.settle().await?;
            let state = self.shared.state.read().clone();
            let corrections = self.against(&state, asked_at).egress(&listed, self.egress_since);
            self.append(corrections, asked_at).await?;
            self.egress_since = asked_at.saturating_sub(EGRESS_LATE_MS);
        }
        let asked_at = unix_ms();
        self.pace().await;
        let listed = livekit.list_ingress().await;
        let (listed, availability) = self.side(listed)?;
        self.project.health.lock().ingress = availability;
        if let Some(listed) = listed {
            self.settle().await?;
            let state = self.shared.state.read().clone();
            let corrections = self.against(&state, asked_at).ingress(&listed);
            self.append(corrections, asked_at).await?;
        }
        Ok(())
    }

    /// A list that not every LiveKit has. That it fails is no reason to do without the rooms.
    fn side<T>(
        &mut self,
        answer: Result<Option<T>, CallError>,
    ) -> Result<(Option<T>, Availability), CallError> {
        match self.answered(answer) {
            Ok(Some(list)) => Ok((Some(list), Availability::Ok)),
            Ok(None) => Ok((None, Availability::Unavailable)),
            Err(error @ (CallError::Refused { .. } | CallError::Garbage { .. })) => {
                tracing::debug!("LiveKit does not list egress or ingress: {error}");
                Ok((None, Availability::Unknown))
            }
            Err(error) => Err(error),
        }
    }

    /// Compares one listed room with the state.
    async fn compare(&mut self, livekit: &LiveKit, mut room: ListedRoom) -> Result<(), Stop> {
        let asked_at = unix_ms();
        self.pace().await;
        let participants = livekit.list_participants(&room.name).await;
        let participants = match self.answered(participants) {
            Ok(participants) => participants,
            Err(error @ (CallError::Unreachable { .. } | CallError::Unauthorized { .. })) => {
                return Err(error.into());
            }
            // One room that LiveKit cannot list is no reason to ask about no other, unless it is LiveKit
            // as a whole.
            Err(error) => {
                tracing::debug!("LiveKit does not list a room's participants: {error}");
                return self.beat(livekit).await;
            }
        };
        self.settle().await?;
        let diff = |engine: &Self, room: &ListedRoom| {
            let state = engine.shared.state.read();
            engine.against(&state, asked_at).room(room, &participants, &*engine.project.checked.lock())
        };
        let mut corrections = diff(self, &room);
        // Participants are listed by the room's name: they are of this session only if the name still
        // means it. And the list that named the room may be a minute old. And a webhook that was on its
        // way has arrived when this is answered.
        let doubtful = |correction: &Correction| {
            !matches!(correction.kind, Kind::TrackMuted | Kind::TrackUnmuted | Kind::ParticipantUpdated)
        };
        if corrections.iter().any(doubtful) {
            let now = self.rooms(livekit, std::slice::from_ref(&room.name)).await?;
            match now.into_iter().find(|now| now.sid == room.sid) {
                Some(now) => room = now,
                None => return Ok(()),
            }
            self.settle().await?;
            corrections = diff(self, &room);
        }
        self.append(corrections, asked_at).await?;
        let sids = participants.iter().flat_map(|participant| {
            let tracks = participant.tracks.iter().map(|track| track.sid.clone());
            tracks.chain([participant.sid.clone()])
        });
        self.project.checked.lock().note(&room.sid, asked_at, sids);
        Ok(())
    }

    /// Is LiveKit there, and does it still know a room that we know?
    async fn beat(&mut self, livekit: &LiveKit) -> Result<(), Stop> {
        let asked_at = unix_ms();
        let was_away = self.failures > 0;
        let known = {
            let state = self.shared.state.read();
            let mut rooms = state.rooms(|project, _| *project == *self.project.name).into_iter();
            rooms.find(|entry| !entry.room.stale).map(|entry| entry.room.clone())
        };
        let name = known.as_ref().map_or_else(|| NO_ROOM.into(), |room| room.name.clone());
        let listed = self.rooms(livekit, std::slice::from_ref(&name)).await?;
        let lost = known.is_some_and(|room| !listed.iter().any(|listed| listed.sid == room.sid));
        if was_away {
            self.suspected = Some(Instant::now());
        } else if lost {
            self.settle().await?;
            if !self.vanished(&listed, asked_at, |asked| *asked == *name).is_empty() {
                self.suspect();
            }
        }
        Ok(())
    }

    fn suspect(&mut self) {
        let earliest = self.suspected_last.map(|last| last + SUSPICION_EVERY);
        let at = earliest.unwrap_or_else(Instant::now).max(Instant::now());
        self.suspected = Some(self.suspected.map_or(at, |earlier| earlier.min(at)));
    }

    async fn rooms(&mut self, livekit: &LiveKit, names: &[Arc<str>]) -> Result<Vec<ListedRoom>, Stop> {
        self.pace().await;
        let rooms = livekit.list_rooms(names).await;
        match self.answered(rooms) {
            // A server that refuses even this is of no use.
            Err(CallError::Refused { code, message }) => Err(Stop::LiveKit(CallError::Garbage {
                address: livekit.address(),
                what: format!("{code}: {message}").into(),
            })),
            rooms => Ok(rooms?),
        }
    }

    async fn pace(&mut self) {
        tokio::time::sleep_until(self.next_call).await;
        self.next_call = Instant::now() + CALL_EVERY;
    }

    fn answered<T>(&mut self, answer: Result<T, CallError>) -> Result<T, CallError> {
        let outcome = match &answer {
            Ok(_) => "ok",
            Err(CallError::Unreachable { .. }) => "unreachable",
            Err(CallError::Timeout { .. }) => "timeout",
            Err(CallError::Unauthorized { .. }) => "unauthorized",
            Err(CallError::Refused { .. }) => "refused",
            Err(CallError::Garbage { .. }) => "garbage",
        };
        self.shared.metrics.reconcile_call(outcome);
        if answer.is_ok() {
            self.next_beat = Instant::now() + BEAT_EVERY;
            self.project.health.lock().answered();
            if self.failures > 0 {
                tracing::info!(project.name = %self.project.name, "LiveKit answers again");
                self.failures = 0;
            }
        }
        answer
    }

    /// Waits until the state has folded what is in the log: what is compared has to be up to date.
    async fn settle(&self) -> Result<(), Stop> {
        let last = self.shared.log.bounds().last;
        tokio::time::timeout(SETTLE_MAX, self.shared.feed.reached(last)).await.map_err(|_| Stop::Behind)
    }

    /// Appends corrections in order.
    async fn append(&mut self, corrections: Vec<Correction>, asked_at: u64) -> Result<(), Stop> {
        let missed = |correction: &Correction| {
            !matches!(
                correction.kind,
                Kind::TrackMuted | Kind::TrackUnmuted | Kind::ParticipantUpdated | Kind::RoomUpdated
            )
        };
        if corrections.iter().any(missed) && self.suspected_last.is_some() {
            self.suspect();
        }
        let mut waiting: VecDeque<Correction> = corrections.into();
        let mut tries = 0;
        while !waiting.is_empty() {
            let some = waiting.drain(..waiting.len().min(APPEND_EVENTS));
            let (some, events): (Vec<_>, Vec<_>) = some
                .filter_map(|correction| {
                    let event = correction.event(asked_at, &self.shared.redaction)?;
                    Some((correction, event))
                })
                .unzip();
            let appended = self.shared.log.append(events).await.map_err(Stop::Log)?;
            for (mut correction, appended) in some.into_iter().zip(appended) {
                if !appended.duplicate {
                    self.shared.metrics.reconcile_corrections.inc();
                    self.project.health.lock().corrected(&correction);
                    if let Some(corrected) = &mut self.full_corrected {
                        *corrected += 1;
                    }
                } else if tries < APPEND_TRIES {
                    // It was right before, then something undid it that the state has forgotten since.
                    tries += 1;
                    correction.again_after(appended.seq);
                    waiting.push_front(correction);
                }
            }
        }
        self.settle().await
    }

    async fn stopped(&mut self, stop: Stop) {
        self.watch.clear();
        self.full.clear();
        if self.full_corrected.take().is_some() {
            self.shared.metrics.reconcile_run("failed");
            // What this run was for is still to be done.
            self.suspected.get_or_insert_with(Instant::now);
        }
        let error = match stop {
            Stop::LiveKit(error) => error,
            Stop::Log(error) => {
                tracing::warn!(project.name = %self.project.name, "corrections cannot be stored: {error}");
                self.suspected = Some(Instant::now() + Duration::from_secs(1));
                return tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Stop::Behind => {
                tracing::warn!(project.name = %self.project.name, "the state is behind the log; comparing later");
                return;
            }
        };
        if self.failures == 0 {
            tracing::warn!(project.name = %self.project.name, "{error}; asking again until it answers");
        }
        if error.refused_connection() {
            self.away_at = unix_ms();
        }
        self.project.health.lock().failed(&error);
        self.failures += 1;
        let (first, most) = BACKOFF;
        let most = if matches!(error, CallError::Unauthorized { .. }) { BACKOFF_UNAUTHORIZED } else { most };
        let wait = first.saturating_mul(1 << (self.failures - 1).min(8)).min(most);
        // A little apart, so that many projects on one LiveKit do not ask in step.
        tokio::time::sleep(wait.mul_f64(fastrand::f64().mul_add(0.2, 0.9))).await;
    }
}
