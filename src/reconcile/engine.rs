//! The loop of one project: does what the [`Schedule`] says, and appends the corrections.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value};

use crate::{
    clock::Clock,
    event::Kind,
    livekit::{CallError, ListedRoom, LiveKit, Page},
    log::LogError,
    state::State,
};

use super::{
    Project, Shared,
    correction::Correction,
    diff::{Asked, Compare, Compared},
    health::Capability,
    schedule::{Schedule, Step},
};

/// Maximum time that the state may take to fold what is in the log. After it, the comparison is put off.
const SETTLE_MAX: Duration = Duration::from_secs(10);
/// Wait after the log has refused corrections.
const LOG_RETRY: Duration = Duration::from_secs(1);
/// Maximum number of corrections in one append.
const APPEND_EVENTS: usize = 256;
/// Maximum number of new ids for a correction whose id is taken.
const APPEND_TRIES: usize = 4;
/// An egress may end this long before LiveKit lists its end.
const EGRESS_LATE_MS: u64 = 60_000;
/// Maximum number of pages of one list. A list that goes on is cut there.
const PAGES_MAX: usize = 100;
/// Maximum number of egress or ingress that are asked about one by one. If more are missing, the list is read again.
const BY_ID_MAX: usize = 20;
/// Claims that no answer has made for this long are forgotten, and for three full runs.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// The room that a heartbeat asks about if no room is live.
const NO_ROOM: &str = "roomwatch:heartbeat";

/// Egress and ingress, which have separate services.
#[derive(Clone, Copy)]
enum Side {
    Egress,
    Ingress,
}

/// A list of egress or ingress.
struct Listing {
    items: Vec<Map<String, Value>>,
    /// False if it was cut: then what it lacks means nothing.
    is_whole: bool,
}

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
    clock: &'a Clock,
    schedule: Schedule<ListedRoom>,
    every: Duration,
    /// The last lost webhook that the schedule knows of, in unix milliseconds.
    lost_at: u64,
    /// Egress that ended before this has been reported, in unix milliseconds.
    egress_since: u64,
}

impl<'a> Engine<'a> {
    pub fn new(shared: &'a Shared, project: &'a Project, every: Duration) -> Engine<'a> {
        let clock = &shared.clock;
        let schedule = Schedule::new(clock.running(), every);
        Engine { shared, project, clock, schedule, every, lost_at: 0, egress_since: 0 }
    }

    pub async fn run(mut self) {
        let Some(livekit) = &self.project.livekit else { return };
        while self.settle().await.is_err() {}
        // Egress that ended earlier is in the log, or LiveKit does not list it any more.
        let last_known = self.shared.state.read().time();
        self.egress_since =
            if last_known > 0 { last_known.saturating_sub(EGRESS_LATE_MS) } else { self.clock.unix_ms() };
        loop {
            self.notice_lost_webhooks();
            let step = {
                let mut requests = self.project.requests.lock();
                let streamed = || self.shared.feed.watched(&self.project.name);
                self.schedule.next(self.clock.running(), &mut requests, streamed)
            };
            if let Err(stop) = self.take(livekit, step).await {
                self.stopped(stop).await;
            }
        }
    }

    async fn take(&mut self, livekit: &LiveKit, step: Step<ListedRoom>) -> Result<(), Stop> {
        match step {
            Step::Heartbeat => self.heartbeat(livekit).await,
            Step::Changed(names) => {
                for room in self.list_named(livekit, &names).await? {
                    self.compare(livekit, room).await?;
                }
                Ok(())
            }
            Step::Watched(names) => {
                let rooms = self.list_named(livekit, &names).await?;
                self.schedule.watched_listed(rooms);
                Ok(())
            }
            Step::Missing(names) => self.list_named(livekit, &names).await.map(drop),
            Step::Sides => self.sides(livekit, true).await,
            Step::Full => self.list_all(livekit).await,
            Step::Compare(room) => self.compare(livekit, room).await,
            Step::Finished { corrections } => {
                self.shared.metrics.reconcile_run(if corrections > 0 { "corrected" } else { "agreed" });
                self.project.health.lock().reconciled_at = Some(self.clock.unix_ms());
                Ok(())
            }
            Step::Wait(until) => {
                let time = until.saturating_sub(self.clock.running());
                tokio::select! {
                    () = self.clock.sleep(time) => {}
                    () = self.project.wake.notified() => {}
                }
                Ok(())
            }
        }
    }

    /// Brings full runs forward after Roomwatch has failed to store a webhook and has then stored one: LiveKit may have
    /// given up on more of them.
    fn notice_lost_webhooks(&mut self) {
        let (receipt, _) = self.shared.receipts.of(&self.project.name);
        let Some(lost_at) = receipt.lost_at.filter(|at| *at > self.lost_at) else { return };
        if receipt.last_at.is_some_and(|last_at| last_at >= lost_at) {
            self.lost_at = lost_at;
            self.schedule.webhook_lost(self.clock.running());
        }
    }

    /// Returns the moment of a question.
    fn asked(&self) -> Asked {
        let at = self.clock.unix_ms();
        Asked { at, running: self.clock.running(), now: at }
    }

    /// Lists these rooms, and ends the sessions that are not among them.
    async fn list_named(&mut self, livekit: &LiveKit, names: &[Arc<str>]) -> Result<Vec<ListedRoom>, Stop> {
        let asked = self.asked();
        let rooms = self.rooms(livekit, names).await?;
        self.settle().await?;
        let names: HashSet<&str> = names.iter().map(|name| &**name).collect();
        let vanished = self.vanished(&rooms, asked, |name| names.contains(name), true);
        self.end_rooms(vanished, asked).await?;
        Ok(rooms)
    }

    /// Lists everything for a full run. The sessions that are not listed are asked about by name.
    async fn list_all(&mut self, livekit: &LiveKit) -> Result<(), Stop> {
        let asked = self.asked();
        let rooms = self.rooms(livekit, &[]).await?;
        self.settle().await?;
        let vanished = self.vanished(&rooms, asked, |_| true, false);
        self.end_rooms(vanished, asked).await?;
        self.sides(livekit, false).await?;
        self.project.doubts.lock().forget(self.clock.running(), FORGET_AFTER.max(self.every * 3));
        let (unknown, known): (Vec<_>, Vec<_>) = {
            let state = self.shared.state.read();
            let mut checked = self.project.checked.lock();
            checked.retain(|sid| state.room(&self.project.name, sid).is_some());
            // The participants of a room without a name cannot be listed.
            let mut named: Vec<_> = rooms.into_iter().filter(|room| !room.name.is_empty()).collect();
            checked.sort(&mut named, |room| &room.sid);
            named.into_iter().partition(|room| state.room(&self.project.name, &room.sid).is_none())
        };
        self.schedule.full_listed(self.clock.running(), unknown, known);
        Ok(())
    }

    fn vanished(
        &self,
        listed: &[ListedRoom],
        asked: Asked,
        asked_for: impl Fn(&str) -> bool,
        may_end: bool,
    ) -> Compared {
        // All sessions may have vanished: the copy shares the rooms, and the fold need not wait.
        let state = self.shared.state.read().clone();
        let (checked, mut doubts) = (self.project.checked.lock(), self.project.doubts.lock());
        self.against(&state, asked).vanished(listed, asked_for, may_end, &*checked, &mut doubts)
    }

    /// Ends the sessions that LiveKit lacks, and has the doubtful ones asked about again.
    async fn end_rooms(&mut self, vanished: Compared, asked: Asked) -> Result<(), Stop> {
        self.schedule.missing(self.clock.running(), vanished.ask_again);
        self.append(vanished.corrections, asked.at).await
    }

    fn against<'s>(&'s self, state: &'s State, asked: Asked) -> Compare<'s> {
        Compare {
            project: &self.project.name,
            state,
            redaction: &self.shared.redaction,
            asked: Asked { now: self.clock.unix_ms(), ..asked },
        }
    }

    /// Compares egress and ingress, if LiveKit has them: all, or (`again`) those that the last list lacked.
    async fn sides(&mut self, livekit: &LiveKit, again: bool) -> Result<(), Stop> {
        for side in [Side::Egress, Side::Ingress] {
            let only = if again { self.missing(side) } else { Vec::new() };
            if again && only.is_empty() {
                continue;
            }
            self.side(livekit, side, &only, again).await?;
        }
        Ok(())
    }

    /// Returns the ids of the live egress or ingress that the last list lacked.
    fn missing(&self, side: Side) -> Vec<Arc<str>> {
        let state = self.shared.state.read();
        let doubts = self.project.doubts.lock();
        match side {
            Side::Egress => doubts.among(state.egress(&self.project.name).map(|egress| &egress.egress_id)),
            Side::Ingress => {
                doubts.among(state.ingress(&self.project.name).map(|ingress| &ingress.ingress_id))
            }
        }
    }

    /// Compares egress or ingress: those with these ids, or all if there are none or too many.
    async fn side(
        &mut self,
        livekit: &LiveKit,
        side: Side,
        only: &[Arc<str>],
        may_end: bool,
    ) -> Result<(), Stop> {
        let only = if only.len() > BY_ID_MAX { &[] } else { only };
        let asked = self.asked();
        let (listing, capability) = self.listing(livekit, side, only).await?;
        {
            let mut health = self.project.health.lock();
            match side {
                Side::Egress => health.egress = capability,
                Side::Ingress => health.ingress = capability,
            }
        }
        let Some(Listing { items, is_whole }) = listing else { return Ok(()) };
        self.settle().await?;
        let compared = {
            let state = self.shared.state.read().clone();
            let mut doubts = self.project.doubts.lock();
            let asked_for = |id: &str| is_whole && (only.is_empty() || only.iter().any(|only| **only == *id));
            let against = self.against(&state, asked);
            match side {
                Side::Egress => against.egress(&items, self.egress_since, asked_for, may_end, &mut doubts),
                Side::Ingress => against.ingress(&items, asked_for, may_end, &mut doubts),
            }
        };
        if !compared.ask_again.is_empty() {
            self.schedule.sides_again(self.clock.running());
        }
        self.append(compared.corrections, asked.at).await?;
        if matches!(side, Side::Egress) && is_whole && only.is_empty() {
            self.egress_since = asked.at.saturating_sub(EGRESS_LATE_MS);
        }
        Ok(())
    }

    /// Reads every page of a list, or asks about these ids one by one.
    async fn listing(
        &mut self,
        livekit: &LiveKit,
        side: Side,
        only: &[Arc<str>],
    ) -> Result<(Option<Listing>, Capability), CallError> {
        let mut ids: VecDeque<_> = only.iter().map(|id| Some(&**id)).collect();
        if only.is_empty() {
            ids.push_back(None);
        }
        let mut listing = Listing { items: Vec::new(), is_whole: true };
        let (mut pages, mut token) = (0, None::<Box<str>>);
        while let Some(id) = ids.front().copied() {
            self.pace().await;
            let page = match side {
                Side::Egress => livekit.list_egress(id, token.as_deref()).await,
                Side::Ingress => livekit.list_ingress(id, token.as_deref()).await,
            };
            let page = match page {
                Err(error) if id.is_some() && error.is("not_found") => {
                    Ok(Some(Page { items: Vec::new(), next: None }))
                }
                page => page,
            };
            let (page, capability) = self.optional(page)?;
            let Some(Page { items, next }) = page else {
                if pages == 0 {
                    return Ok((None, capability));
                }
                listing.is_whole = false;
                break;
            };
            pages += 1;
            listing.items.extend(items);
            if next.is_none() {
                ids.pop_front();
            } else if pages >= PAGES_MAX {
                listing.is_whole = false;
                break;
            }
            token = next;
        }
        Ok((Some(listing), Capability::Ok))
    }

    /// Handles a list that not every LiveKit has. Its failure must not keep the rooms from being compared.
    fn optional<T>(
        &mut self,
        answer: Result<Option<T>, CallError>,
    ) -> Result<(Option<T>, Capability), CallError> {
        match self.answered(answer) {
            Ok(Some(list)) => Ok((Some(list), Capability::Ok)),
            Ok(None) => Ok((None, Capability::Unavailable)),
            Err(error @ (CallError::Refused { .. } | CallError::Garbage { .. })) => {
                tracing::debug!(project.name = %self.project.name, "LiveKit does not list egress or ingress: {error}");
                Ok((None, Capability::Unknown))
            }
            Err(error) => Err(error),
        }
    }

    /// Compares one listed room with the state.
    async fn compare(&mut self, livekit: &LiveKit, mut room: ListedRoom) -> Result<(), Stop> {
        let asked = self.asked();
        self.pace().await;
        let participants = livekit.list_participants(&room.name).await;
        let participants = match self.answered(participants) {
            Ok(participants) => participants,
            Err(error @ (CallError::Unreachable { .. } | CallError::Unauthorized { .. })) => {
                return Err(error.into());
            }
            // Other rooms can be compared although LiveKit cannot list this one. The heartbeat shows whether LiveKit
            // as a whole has failed.
            Err(error) => {
                tracing::debug!(project.name = %self.project.name, "LiveKit does not list a room's participants: {error}");
                return self.heartbeat(livekit).await;
            }
        };
        self.settle().await?;
        let diff = |engine: &Self, room: &ListedRoom| {
            let state = engine.shared.state.read();
            let (checked, mut doubts) = (engine.project.checked.lock(), engine.project.doubts.lock());
            engine.against(&state, asked).room(room, &participants, &*checked, &mut doubts)
        };
        let Compared { mut corrections, mut ask_again } = diff(self, &room);
        // Participants are listed by the room's name: they are of this session only if the name still means it. The
        // list that named the room may be a minute old. And a webhook that was on its way has arrived when this second
        // question is answered.
        let is_doubtful = |correction: &Correction| {
            !matches!(correction.kind, Kind::TrackMuted | Kind::TrackUnmuted | Kind::ParticipantUpdated)
        };
        if corrections.iter().any(is_doubtful) {
            let now = self.rooms(livekit, std::slice::from_ref(&room.name)).await?;
            match now.into_iter().find(|now| now.sid == room.sid) {
                Some(now) => room = now,
                None => return Ok(()),
            }
            self.settle().await?;
            Compared { corrections, ask_again } = diff(self, &room);
        }
        self.schedule.doubtful(self.clock.running(), ask_again);
        self.append(corrections, asked.at).await?;
        let sids = participants.iter().flat_map(|participant| {
            let tracks = participant.tracks.iter().map(|track| track.sid.clone());
            tracks.chain([participant.sid.clone()])
        });
        self.project.checked.lock().note(&room.sid, asked.at, sids);
        Ok(())
    }

    /// Asks whether LiveKit answers, and whether it still has a room that the state has.
    async fn heartbeat(&mut self, livekit: &LiveKit) -> Result<(), Stop> {
        let asked = self.asked();
        let was_away = self.schedule.is_away();
        let known = {
            let state = self.shared.state.read();
            let rooms = state.rooms(|project, _| *project == *self.project.name).into_iter();
            let live = rooms.filter(|entry| !entry.room.stale);
            live.min_by_key(|entry| entry.room.first_seq).map(|entry| entry.room.clone())
        };
        let name = known.as_ref().map_or_else(|| NO_ROOM.into(), |room| room.name.clone());
        let listed = self.rooms(livekit, std::slice::from_ref(&name)).await?;
        let is_lost = known.is_some_and(|room| !listed.iter().any(|listed| listed.sid == room.sid));
        if was_away {
            self.schedule.suspect_at(self.clock.running());
        } else if is_lost {
            self.settle().await?;
            let vanished = self.vanished(&listed, asked, |asked| *asked == *name, true);
            if !vanished.corrections.is_empty() || !vanished.ask_again.is_empty() {
                self.schedule.suspect(self.clock.running());
            }
            self.end_rooms(vanished, asked).await?;
        }
        Ok(())
    }

    async fn rooms(&mut self, livekit: &LiveKit, names: &[Arc<str>]) -> Result<Vec<ListedRoom>, Stop> {
        self.pace().await;
        let rooms = livekit.list_rooms(names).await;
        match self.answered(rooms) {
            // A server that refuses even this is not a LiveKit that can be compared with.
            Err(CallError::Refused { code, message }) => Err(Stop::LiveKit(CallError::Garbage {
                address: livekit.address(),
                what: format!("{code}: {message}").into(),
            })),
            rooms => Ok(rooms?),
        }
    }

    /// Waits until the next call may begin.
    async fn pace(&mut self) {
        let now = self.clock.running();
        let at = self.schedule.reserve_call(now);
        if at > now {
            self.clock.sleep(at - now).await;
        }
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
            self.project.health.lock().answered(self.clock.unix_ms());
            if self.schedule.answered(self.clock.running()) {
                tracing::info!(project.name = %self.project.name, "LiveKit answers again");
            }
        }
        answer
    }

    /// Waits until the state has folded what is in the log: a comparison with an old state finds old differences.
    async fn settle(&self) -> Result<(), Stop> {
        let last = self.shared.log.bounds().last;
        tokio::time::timeout(SETTLE_MAX, self.shared.feed.reached(last)).await.map_err(|_| Stop::Behind)
    }

    /// Appends corrections in order.
    async fn append(&mut self, corrections: Vec<Correction>, asked_at: u64) -> Result<(), Stop> {
        if corrections.iter().any(|correction| correction.kind.has_webhook()) {
            self.schedule.suspect(self.clock.running());
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
                    self.project.doubts.lock().settled([&correction]);
                    self.shared.metrics.reconcile_corrections.inc();
                    self.project.health.lock().corrected(&correction);
                    self.schedule.corrected();
                } else if tries < APPEND_TRIES {
                    // The same correction was appended before, and then undone by an event that the state has
                    // forgotten.
                    tries += 1;
                    correction.again_after(appended.seq);
                    waiting.push_front(correction);
                }
            }
        }
        self.settle().await
    }

    async fn stopped(&mut self, stop: Stop) {
        if self.schedule.abort(self.clock.running()) {
            self.shared.metrics.reconcile_run("failed");
        }
        let error = match stop {
            Stop::LiveKit(error) => error,
            Stop::Log(error) => {
                tracing::warn!(project.name = %self.project.name, "corrections cannot be stored: {error}");
                self.schedule.suspect_at(self.clock.running() + LOG_RETRY);
                return self.clock.sleep(LOG_RETRY).await;
            }
            Stop::Behind => {
                tracing::warn!(project.name = %self.project.name, "the state is behind the log; comparing later");
                return;
            }
        };
        if !self.schedule.is_away() {
            tracing::warn!(project.name = %self.project.name, "{error}; retrying until LiveKit answers");
        }
        self.project.health.lock().failed(&error, self.clock.unix_ms());
        let wait = self.schedule.failed(matches!(error, CallError::Unauthorized { .. }));
        // Random, so that the projects of one LiveKit do not ask at the same moment.
        self.clock.sleep(wait.mul_f64(fastrand::f64().mul_add(0.2, 0.9))).await;
    }
}
