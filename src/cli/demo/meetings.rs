//! The simulated meetings: who meets when, and the webhooks that LiveKit sends about it.
//!
//! One simulation gives the month before the start and the present. It has a plan of actions with their times, and
//! [`Meetings::advance`] does those that are due. Commands change the rooms between two of them, as they do in LiveKit: an
//! action about a participant who has been removed does nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    cast::{PEOPLE, Special, TOPICS, Topic, load},
    entities::{
        DEPARTURE_TIMEOUT_SECS, EMPTY_TIMEOUT_SECS, Egress, Guest, Kind, Person, Room, Sid, Source, Track,
        agent_attributes, permission,
    },
    failures::Failure,
};
use crate::livekit::shape;

/// Time before the start that has meetings.
const HISTORY_MS: u64 = 30 * 86_400_000;
/// Maximum number of rooms that were live at a time before the start: a month of more takes too long to prepare.
const HISTORY_ROOMS_MAX: usize = 14;
/// Time before the start from which people switch cameras and share screens. A month of that would take too long too.
const LIVELY_MS: u64 = 3_600_000;
/// Time for which an ended recording is listed, as in LiveKit.
const EGRESS_LISTED_MS: u64 = 86_400_000;

pub const SECOND: u64 = 1_000;
pub const MINUTE: u64 = 60 * SECOND;

/// A webhook to be sent.
pub struct Webhook {
    pub at: u64,
    pub body: String,
}

/// The rooms, participants and recordings, and what is planned.
pub struct Meetings {
    pub(super) rng: fastrand::Rng,
    /// Time of the present action, in unix milliseconds.
    pub(super) now: u64,
    /// Time of the start of the demo. Before it is the history.
    pub(super) start: u64,
    /// Number of rooms that are live at a time after the start.
    rooms_wanted: usize,
    /// Events per second after the start, on average.
    rate: f64,
    pub(super) rooms: Vec<Room>,
    pub(super) egress: Vec<Egress>,
    plan: BTreeMap<(u64, u64), Action>,
    /// Number of actions that were ever planned. It keeps those of one moment in order.
    planned: u64,
    numbered: u32,
    /// LiveKit's API does not answer before this time.
    pub(super) api_away_until: u64,
    webhooks: Vec<Webhook>,
}

pub(super) enum Action {
    /// Begins a meeting if too few are live.
    Meet,
    /// Lets a participant do something.
    Fidget,
    Join(Sid, Guest),
    Leave(Sid, &'static str),
    /// A participant loses the connection, and joins again.
    DropOut(Sid),
    Publish(Sid, Source),
    /// The host ends the meeting.
    End(Sid),
    /// The room closes if it is still empty.
    Close(Sid),
    Record(Sid, Recording),
    Egress(Sid, &'static str),
    Fail(Failure),
}

/// Outcome of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recording {
    Complete,
    /// The upload is refused.
    Fails,
    /// It takes a minute and a half to start.
    Slow,
}

impl Meetings {
    /// Returns a month of meetings before `start` and all later ones. The same seed gives the same ones.
    pub fn new(seed: u64, rooms: u32, rate: f64, start: u64) -> Meetings {
        let began = start - HISTORY_MS;
        let mut meetings = Meetings {
            rng: fastrand::Rng::with_seed(seed),
            now: began,
            start,
            rooms_wanted: rooms as usize,
            rate,
            rooms: Vec::new(),
            egress: Vec::new(),
            plan: BTreeMap::new(),
            planned: 0,
            numbered: 4_000,
            api_away_until: 0,
            webhooks: Vec::new(),
        };
        meetings.plan(began, Action::Meet);
        meetings.plan(start - LIVELY_MS, Action::Fidget);
        for (failure, after) in Failure::FIRST {
            meetings.plan(start + after, Action::Fail(failure));
        }
        meetings
    }

    /// Does everything that is planned up to `to`.
    pub fn advance(&mut self, to: u64) {
        while let Some(entry) = self.plan.first_entry()
            && entry.key().0 <= to
        {
            let ((at, _), action) = entry.remove_entry();
            self.now = self.now.max(at);
            self.act(action);
        }
        self.now = self.now.max(to);
    }

    /// Returns the webhooks since the last call, in LiveKit's order.
    pub fn webhooks(&mut self) -> Vec<Webhook> {
        std::mem::take(&mut self.webhooks)
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Meet => self.meet(),
            Action::Fidget => self.fidget(),
            Action::Join(room, guest) => self.join(&room, guest),
            Action::Leave(person, reason) => self.leave(&person, reason),
            Action::DropOut(person) => self.drop_out(&person, "CONNECTION_TIMEOUT", 5 * SECOND..15 * SECOND),
            Action::Publish(person, source) => self.publish(&person, source),
            Action::End(room) => self.end(&room),
            Action::Close(room) => {
                let now = self.now;
                if self.room(&room).is_some_and(|i| self.rooms[i].closes_at.is_some_and(|at| at <= now)) {
                    self.finish(&room);
                }
            }
            Action::Record(room, recording) => self.record(&room, recording),
            Action::Egress(id, status) => self.step_egress(&id, status),
            Action::Fail(failure) => self.fail(failure),
        }
    }

    pub(super) fn plan(&mut self, at: u64, action: Action) {
        self.planned += 1;
        self.plan.insert((at, self.planned), action);
    }

    /// Plans an action some milliseconds from now.
    pub(super) fn plan_in(&mut self, range: std::ops::Range<u64>, action: Action) {
        let at = self.now + self.rng.u64(range);
        self.plan(at, action);
    }

    pub(super) fn id(&mut self, prefix: &str) -> Sid {
        let mut id = prefix.to_owned();
        id.extend((0..12).map(|_| self.rng.alphanumeric()));
        id.into()
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    pub(super) fn room(&self, sid: &str) -> Option<usize> {
        self.rooms.iter().position(|room| *room.sid == *sid)
    }

    /// Returns the places of a participant's room and of the participant in it.
    pub(super) fn person(&self, sid: &str) -> Option<(usize, usize)> {
        self.rooms.iter().enumerate().find_map(|(i, room)| {
            room.people.iter().position(|person| *person.sid == *sid).map(|who| (i, who))
        })
    }

    fn meet(&mut self) {
        let wanted = if self.now >= self.start {
            self.rooms_wanted
        } else {
            let most = self.rooms_wanted.min(HISTORY_ROOMS_MAX) as f64;
            match most * load(self.now, self.start) {
                // Meetings at night and on Sundays are rare, and there are some.
                less if less < 0.5 => usize::from(self.rng.f64() < less / 20.0),
                more => more.round() as usize,
            }
        };
        for _ in 0..wanted.saturating_sub(self.rooms.len()).div_ceil(8) {
            if let Some(topic) = self.topic() {
                self.begin(topic);
            }
        }
        self.plan_in(15 * SECOND..60 * SECOND, Action::Meet);
    }

    /// Returns a kind of meeting that can begin now.
    fn topic(&mut self) -> Option<&'static Topic> {
        let is_free =
            |topic: &&Topic| topic.is_numbered || !self.rooms.iter().any(|room| room.name == topic.name);
        let free: Vec<&Topic> = TOPICS.iter().filter(is_free).collect();
        let mut at = self.rng.u32(0..free.iter().map(|topic| topic.weight).sum());
        free.into_iter().find(|topic| {
            let is_it = at < topic.weight;
            at = at.saturating_sub(topic.weight);
            is_it
        })
    }

    /// Begins a meeting.
    fn begin(&mut self, topic: &'static Topic) {
        let room = self.gather(topic);
        if topic.guest == Some(Special::Agent) {
            let agent = self.agent();
            self.plan_in(800..2_000, Action::Join(room, agent));
        }
    }

    /// Opens a room, and plans everything in it except for its agent. Returns the sid of the room.
    pub(super) fn gather(&mut self, topic: &'static Topic) -> Sid {
        let name = if topic.is_numbered {
            self.numbered += 1;
            format!("{}{}", topic.name, self.numbered)
        } else {
            topic.name.to_owned()
        };
        let people = self.rng.usize(topic.people.0..=topic.people.1);
        // A call has two sides.
        let people_max = if people > 2 { people + 2 } else { people };
        let room = self.open(name, String::new(), EMPTY_TIMEOUT_SECS, 0, people_max);
        let time = self.rng.u64(topic.minutes.0 * MINUTE..=topic.minutes.1 * MINUTE);
        let ends_at = self.now + time;
        // The people of one kind of meeting are always from the same team.
        let team = topic.name.bytes().map(usize::from).sum::<usize>();
        let mut who: Vec<usize> = (0..people * 2).map(|n| (team + n) % PEOPLE.len()).collect();
        self.rng.shuffle(&mut who);
        for (n, who) in who.into_iter().take(people).enumerate() {
            let mut guest = self.guest(who, topic, ends_at);
            let after = match n {
                0 => self.rng.u64(400..1_500),
                _ if self.chance(10) => self.rng.u64(0..time / 2),
                _ => self.rng.u64(2 * SECOND..100 * SECOND),
            };
            if n > 0 && self.chance(10) {
                guest.leaves_at = self.now + time / 2 + self.rng.u64(0..time / 2);
            }
            self.plan(self.now + after, Action::Join(room.clone(), guest));
        }
        if topic.guest == Some(Special::Call) {
            let fails = self.now < self.start && self.chance(3);
            let leaves_at = if fails { self.now + 30 * SECOND } else { ends_at };
            let call = self.call(leaves_at, if fails { "ringing" } else { "active" });
            self.plan_in(2 * SECOND..6 * SECOND, Action::Join(room.clone(), call));
        }
        if self.chance(20) {
            self.plan(ends_at - 45 * SECOND, Action::End(room.clone()));
        }
        if self.chance(topic.recorded) {
            let fails = self.now < self.start && self.chance(5);
            let recording = if fails { Recording::Fails } else { Recording::Complete };
            self.plan_in(20 * SECOND..120 * SECOND, Action::Record(room.clone(), recording));
        }
        room
    }

    fn guest(&mut self, who: usize, topic: &Topic, ends_at: u64) -> Guest {
        let (identity, name) = PEOPLE[who];
        Guest {
            identity: identity.into(),
            name: name.into(),
            kind: Kind::Standard,
            has_camera: self.chance(topic.cameras),
            attributes: BTreeMap::new(),
            leaves_at: ends_at - self.rng.u64(0..40 * SECOND),
        }
    }

    pub(super) fn agent(&mut self) -> Guest {
        Guest {
            identity: format!("agent-{}", self.id("AJ_")),
            name: "Assistant".into(),
            kind: Kind::Agent,
            has_camera: false,
            attributes: agent_attributes(),
            // It leaves after the last person.
            leaves_at: u64::MAX,
        }
    }

    /// Returns a caller by phone.
    pub(super) fn call(&mut self, leaves_at: u64, status: &str) -> Guest {
        let number = format!("+4930{:07}", self.rng.u32(1_000_000..10_000_000));
        let attributes = [
            ("sip.callID", &*self.id("SCL_")),
            ("sip.callStatus", status),
            ("sip.phoneNumber", &number),
            ("sip.trunkID", "ST_berlin"),
            ("sip.trunkPhoneNumber", "+49305550100"),
        ];
        Guest {
            identity: format!("sip_{number}"),
            name: format!("Phone {number}"),
            kind: Kind::Sip,
            has_camera: false,
            attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            leaves_at,
        }
    }

    /// Opens a room, and returns its sid.
    pub(super) fn open(
        &mut self,
        name: String,
        metadata: String,
        empty_timeout_secs: u64,
        max_participants: u64,
        people_max: usize,
    ) -> Sid {
        let sid = self.id("RM_");
        let closes_at = self.now + empty_timeout_secs * SECOND;
        self.rooms.push(Room {
            sid: sid.clone(),
            name,
            metadata,
            created_ms: self.now,
            empty_timeout_secs,
            max_participants,
            closes_at: Some(closes_at),
            people_max,
            people: Vec::new(),
        });
        self.plan(closes_at, Action::Close(sid.clone()));
        let room = self.whole(self.rooms.len() - 1);
        self.send("room_started", [("room", room)]);
        sid
    }

    fn join(&mut self, room: &str, guest: Guest) {
        let Some(i) = self.room(room) else { return };
        let is_taken = self.rooms[i].people.iter().any(|person| person.guest.identity == guest.identity);
        if is_taken || guest.leaves_at <= self.now {
            return;
        }
        let sid = self.id("PA_");
        let failure = guest.call_failure();
        if guest.leaves_at < u64::MAX {
            let reason = failure.unwrap_or("CLIENT_INITIATED");
            self.plan(guest.leaves_at, Action::Leave(sid.clone(), reason));
        }
        if failure.is_none() {
            self.plan_in(300..1_500, Action::Publish(sid.clone(), Source::Microphone));
        }
        if guest.has_camera {
            self.plan_in(500..3_000, Action::Publish(sid.clone(), Source::Camera));
        }
        let joined_ms = self.now;
        let permission = permission(guest.kind);
        let person = Person {
            sid,
            guest,
            metadata: String::new(),
            permission,
            joined_ms,
            version: 2,
            tracks: Vec::new(),
        };
        let participant = person.json("ACTIVE", "UNKNOWN_REASON");
        self.rooms[i].closes_at = None;
        self.rooms[i].people.push(person);
        let room = self.whole(i);
        self.send("participant_joined", [("room", room), ("participant", participant)]);
    }

    /// Ends a participant's stay. As in LiveKit, their tracks end first.
    pub(super) fn leave(&mut self, person: &str, reason: &str) {
        let Some((i, who)) = self.person(person) else { return };
        while let Some(track) = self.rooms[i].people[who].tracks.pop() {
            self.send_track("track_unpublished", i, who, track.json());
        }
        let person = self.rooms[i].people.remove(who);
        let room = self.whole(i);
        let participant = person.json("DISCONNECTED", reason);
        self.send("participant_left", [("room", room), ("participant", participant)]);
        if self.rooms[i].people.is_empty() {
            let closes_at = self.now + DEPARTURE_TIMEOUT_SECS * SECOND;
            self.rooms[i].closes_at = Some(closes_at);
            self.plan(closes_at, Action::Close(self.rooms[i].sid.clone()));
        } else if self.rooms[i].counted() == 0 {
            let agents: Vec<Sid> = self.rooms[i].people.iter().map(|person| person.sid.clone()).collect();
            for agent in agents {
                self.plan_in(1_000..3_000, Action::Leave(agent, "CLIENT_INITIATED"));
            }
        }
    }

    /// Ends a room that may have participants.
    pub(super) fn end(&mut self, room: &str) {
        while let Some(i) = self.room(room)
            && let Some(person) = self.rooms[i].people.first()
        {
            let sid = person.sid.clone();
            self.leave(&sid, "ROOM_DELETED");
        }
        self.finish(room);
    }

    /// Ends an empty room.
    fn finish(&mut self, room: &str) {
        let Some(i) = self.room(room) else { return };
        let whole = self.whole(i);
        let ended = self.rooms.remove(i);
        self.send("room_finished", [("room", whole)]);
        let is_its = |egress: &&Egress| egress.is_live() && egress.room_sid == ended.sid;
        let live: Vec<Sid> = self.egress.iter().filter(is_its).map(|egress| egress.id.clone()).collect();
        for id in live {
            self.plan_in(1_000..3_000, Action::Egress(id, "EGRESS_ENDING"));
        }
    }

    pub(super) fn publish(&mut self, person: &str, source: Source) {
        let Some((i, who)) = self.person(person) else { return };
        if self.rooms[i].people[who].tracks.iter().any(|track| track.source == source) {
            return;
        }
        let sid = self.id(match source {
            Source::Microphone => "TR_AM",
            Source::Camera => "TR_VC",
            Source::Screen => "TR_VS",
        });
        let track = Track { sid, source, muted: false };
        let json = track.json();
        self.rooms[i].people[who].tracks.push(track);
        self.rooms[i].people[who].version += 1;
        self.send_track("track_published", i, who, json);
    }

    fn unpublish(&mut self, i: usize, who: usize, source: Source) {
        let tracks = &mut self.rooms[i].people[who].tracks;
        let Some(at) = tracks.iter().position(|track| track.source == source) else { return };
        let track = tracks.remove(at);
        self.send_track("track_unpublished", i, who, track.json());
    }

    pub(super) fn record(&mut self, room: &str, recording: Recording) {
        let Some(i) = self.room(room) else { return };
        let id = self.id("EG_");
        let now = self.now;
        self.egress.retain(|egress| egress.ended_ms.is_none_or(|at| at + EGRESS_LISTED_MS > now));
        let active_after = if recording == Recording::Slow { 90 * SECOND } else { 2 * SECOND };
        self.plan(now + active_after, Action::Egress(id.clone(), "EGRESS_ACTIVE"));
        if recording == Recording::Fails {
            self.plan_in(15 * SECOND..40 * SECOND, Action::Egress(id.clone(), "EGRESS_FAILED"));
        } else if self.chance(30) {
            self.plan_in(5 * MINUTE..30 * MINUTE, Action::Egress(id.clone(), "EGRESS_ENDING"));
        }
        let egress = Egress {
            id,
            room_sid: self.rooms[i].sid.clone(),
            room: self.rooms[i].name.clone(),
            status: "EGRESS_STARTING",
            error: None,
            started_ms: now,
            updated_ms: now,
            ended_ms: None,
        };
        self.egress.push(egress);
        self.send_egress("egress_started", self.egress.len() - 1);
    }

    fn step_egress(&mut self, id: &str, status: &'static str) {
        let Some(at) = self.egress.iter().position(|egress| *egress.id == *id && egress.is_live()) else {
            return;
        };
        let egress = &mut self.egress[at];
        if status == "EGRESS_ACTIVE" && egress.status != "EGRESS_STARTING" {
            return;
        }
        egress.status = status;
        egress.updated_ms = self.now;
        match status {
            "EGRESS_ACTIVE" => self.send_egress("egress_updated", at),
            "EGRESS_ENDING" => {
                self.send_egress("egress_updated", at);
                self.plan_in(1_000..3_000, Action::Egress(id.into(), "EGRESS_COMPLETE"));
            }
            _ => {
                egress.ended_ms = Some(self.now);
                if status == "EGRESS_FAILED" {
                    egress.error = Some(
                        "upload failed: S3: AccessDenied: the role may not write to acme-recordings (status code 403)",
                    );
                }
                self.send_egress("egress_ended", at);
            }
        }
    }

    /// Lets a random participant do something, and plans the next time.
    fn fidget(&mut self) {
        let rate = if self.now < self.start { self.rate / 4.0 } else { self.rate };
        let pause = (2_000.0 * self.rng.f64() / rate) as u64;
        self.plan(self.now + pause.max(1), Action::Fidget);
        let places =
            self.rooms.iter().enumerate().filter(|(_, room)| room.people_max > 1).flat_map(|(i, room)| {
                let standard = |(_, person): &(usize, &Person)| person.guest.kind == Kind::Standard;
                room.people.iter().enumerate().filter(standard).map(move |(who, _)| (i, who))
            });
        let places: Vec<_> = places.collect();
        let Some((i, who)) = self.rng.choice(places) else { return };
        let room = &self.rooms[i];
        let (person, people, sid) = (&room.people[who], room.people.len(), room.sid.clone());
        let has = |source| person.tracks.iter().any(|track| track.source == source);
        let is_shared =
            room.people.iter().flat_map(|person| &person.tracks).any(|t| t.source == Source::Screen);
        let (has_camera, shares) = (has(Source::Camera), has(Source::Screen));
        let (person, people_max) = (person.sid.clone(), room.people_max);
        match self.rng.u32(0..100) {
            // Mutes have no webhook: Roomwatch finds them when it compares.
            0..20 if self.now >= self.start => self.rooms[i].people[who].mute_self(),
            20..60 if has_camera => self.unpublish(i, who, Source::Camera),
            20..60 => self.publish(&person, Source::Camera),
            60..85 if shares => self.unpublish(i, who, Source::Screen),
            60..85 if !is_shared && people > 1 => self.publish(&person, Source::Screen),
            85..90 if people < people_max => {
                let leaves_at = self.rooms[i].people[who].guest.leaves_at;
                let (identity, name) = PEOPLE[self.rng.usize(0..PEOPLE.len())];
                let guest = Guest {
                    identity: identity.into(),
                    name: name.into(),
                    leaves_at,
                    ..self.rooms[i].people[who].guest.clone()
                };
                self.join(&sid, guest);
            }
            96..99 if people > 2 => self.leave(&person, "CLIENT_INITIATED"),
            99 => self.drop_out(&person, "DUPLICATE_IDENTITY", 0..1),
            _ => {}
        }
    }

    /// Ends a participant's connection. They join again after a time in `back_in`.
    pub(super) fn drop_out(&mut self, person: &str, reason: &'static str, back_in: std::ops::Range<u64>) {
        let Some((i, who)) = self.person(person) else { return };
        let (room, guest) = (self.rooms[i].sid.clone(), self.rooms[i].people[who].guest.clone());
        self.leave(person, reason);
        self.plan_in(back_in, Action::Join(room, guest));
    }

    pub(super) fn is_recorded(&self, room: &str) -> bool {
        self.egress.iter().any(|egress| *egress.room_sid == *room && egress.status == "EGRESS_ACTIVE")
    }

    /// Returns a room as LiveKit lists it.
    pub(super) fn whole(&self, i: usize) -> Value {
        self.rooms[i].json(self.is_recorded(&self.rooms[i].sid))
    }

    fn send_track(&mut self, event: &str, i: usize, who: usize, track: Value) {
        let (room, participant) = (self.rooms[i].brief(), self.rooms[i].people[who].brief());
        self.send(event, [("room", room), ("participant", participant), ("track", track)]);
    }

    fn send_egress(&mut self, event: &str, at: usize) {
        let egress = &self.egress[at];
        let room = serde_json::json!({ "sid": &*egress.room_sid, "name": egress.room });
        self.send(event, [("room", room), ("egressInfo", egress.json())]);
    }

    /// Adds a webhook with these members, which are in Twirp's spelling.
    pub(super) fn send<const N: usize>(&mut self, event: &str, members: [(&str, Value); N]) {
        let mut body = Map::new();
        body.insert("event".into(), event.into());
        for (name, value) in members {
            body.insert(name.into(), Value::Object(shape::object(value)));
        }
        body.insert("id".into(), (*self.id("EV_")).into());
        body.insert("createdAt".into(), (self.now / 1000).to_string().into());
        self.webhooks.push(Webhook { at: self.now, body: Value::Object(body).to_string() });
    }
}
