//! A model of LiveKit: rooms, participants, tracks, egress and ingress, what it reports of them by webhooks, and how it
//! answers when it is asked. It follows livekit-server 1.13.5.
//!
//! It is the truth of a run. Its time is real time in milliseconds; what it writes into events and lists is the time
//! of LiveKit's clock, which differs by `skew`.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// Seconds for which LiveKit keeps a room that was never entered, and one that everybody has left.
const EMPTY_TIMEOUT: u64 = 30;
const DEPARTURE_TIMEOUT: u64 = 8;
/// LiveKit's store may be this old when it is listed.
const STORE_LAG_MAX: u64 = 5_000;
/// Time for which LiveKit lists an egress that has ended.
const EGRESS_KEPT: u64 = 300_000;
const NAMES: usize = 5;
const PEOPLE: usize = 12;

/// The habits of the LiveKit of a run.
#[derive(Clone, Debug)]
pub struct Habits {
    pub redis: bool,
    /// Its clock minus real time.
    pub skew: i64,
    /// The store that is listed may lag.
    pub lags: bool,
    /// Shares of 1,000 actions.
    pub crashes: u32,
    pub sid_comes_back: u32,
    pub hides: u32,
    /// Rooms without a name, of 1,000.
    pub unnamed: u32,
    pub egress: bool,
    /// Share of 1,000 rooms whose egress goes on after their end.
    pub egress_outlives: u32,
    pub page: usize,
}

#[derive(Clone, Debug)]
pub struct Room {
    pub sid: String,
    pub name: String,
    /// By LiveKit's clock.
    pub created_ms: u64,
    pub metadata: String,
    /// Time since which it has been empty.
    empty_since: Option<(u64, u64)>,
    pub participants: BTreeMap<String, Participant>,
    /// Its node has died, and it is not back yet: only the store has it.
    dead: bool,
}

#[derive(Clone, Debug)]
pub struct Participant {
    pub sid: String,
    pub identity: String,
    pub name: String,
    pub metadata: String,
    pub kind: &'static str,
    pub hidden: bool,
    pub active: bool,
    /// Its node has died: only the store has it.
    ghost: bool,
    joined_ms: u64,
    version: u32,
    pub tracks: BTreeMap<String, Track>,
}

#[derive(Clone, Debug)]
pub struct Track {
    pub sid: String,
    kind: &'static str,
    source: &'static str,
    pub muted: bool,
    version_us: u64,
    /// Its first packet has arrived, and the webhook was sent.
    flows: bool,
}

#[derive(Clone, Debug)]
pub struct Egress {
    pub id: String,
    room: String,
    room_sid: String,
    status: &'static str,
    started_ns: u64,
    updated_ns: u64,
    pub ended: bool,
}

#[derive(Clone, Debug)]
pub struct Ingress {
    pub id: String,
    room: String,
    pub publishing: bool,
    started_ns: u64,
    updated_ns: u64,
}

/// A webhook on its way into a queue.
pub struct Webhook {
    pub key: String,
    pub id: String,
    pub body: String,
}

/// Something that LiveKit finishes a moment later.
#[derive(Clone, Debug)]
enum Later {
    Active { room: String, sid: String },
    Joined { room: Value, participant: Value, room_sid: String, sid: String },
    Flows { room: String, participant: String, sid: String },
    Published { event: Value },
    Rejoin { name: String, identity: String },
}

type Store = BTreeMap<String, Arc<Room>>;

pub struct World {
    pub habits: Habits,
    pub now: u64,
    /// The live session of each name. One may have none.
    pub rooms: Store,
    pub egress: BTreeMap<String, Egress>,
    pub ingress: BTreeMap<String, Ingress>,
    /// When a sid or an id ended, in real time. One that came back is not here.
    pub ended: BTreeMap<String, u64>,
    /// When an ingress that had ended began to publish again, in real time.
    pub publishes_again: BTreeMap<String, u64>,
    pub outbox: Vec<Webhook>,
    /// Webhooks of a node that has died.
    pub queues_lost: bool,
    /// Former contents of the store, oldest first.
    history: VecDeque<(u64, Store)>,
    /// The time of the oldest content that its store can still show.
    listed_at: u64,
    later: BTreeMap<(u64, u64), Later>,
    serial: u64,
    rng: Rng,
    /// No more changes.
    pub quiet: bool,
    pub story: Vec<String>,
}

impl World {
    pub fn new(habits: Habits, now: u64, rng: Rng) -> World {
        World {
            habits,
            now,
            rooms: BTreeMap::new(),
            egress: BTreeMap::new(),
            ingress: BTreeMap::new(),
            ended: BTreeMap::new(),
            publishes_again: BTreeMap::new(),
            outbox: Vec::new(),
            queues_lost: false,
            history: VecDeque::from([(now, BTreeMap::new())]),
            listed_at: now,
            later: BTreeMap::new(),
            serial: 0,
            rng,
            quiet: false,
            story: Vec::new(),
        }
    }

    /// The time of LiveKit's clock, in milliseconds.
    fn clock(&self) -> u64 {
        self.now.saturating_add_signed(self.habits.skew)
    }

    fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn tell(&mut self, what: String) {
        self.story.push(what);
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.rng.usize(..from.len())].clone())
    }

    fn chance(&mut self, of_thousand: u32) -> bool {
        self.rng.u32(..1000) < of_thousand
    }

    fn after(&mut self, ms: u64, later: Later) {
        let key = (self.now + ms, self.next());
        self.later.insert(key, later);
    }

    /// The time of the next thing that LiveKit does by itself.
    pub fn due(&self) -> Option<u64> {
        let later = self.later.keys().next().map(|(at, _)| *at);
        let idle = self.rooms.values().filter_map(|room| room.empty_since).map(|(at, wait)| at + wait);
        later.into_iter().chain(idle).min()
    }

    /// Does what is due.
    pub fn pass(&mut self) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let later = entry.remove();
            self.do_later(later);
        }
        let idle: Vec<String> = self
            .rooms
            .iter()
            .filter(|(_, room)| room.empty_since.is_some_and(|(at, wait)| at + wait <= self.now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in idle {
            self.close_room(&key, "idle");
        }
        if self.history.back().is_none_or(|(at, _)| at + 400 <= self.now) {
            self.history.push_back((self.now, self.rooms.clone()));
            while self.history.get(1).is_some_and(|(at, _)| at + STORE_LAG_MAX < self.now) {
                self.history.pop_front();
            }
        }
    }

    fn do_later(&mut self, later: Later) {
        match later {
            Later::Active { room, sid } => {
                let Some(p) = self.participant(&room, &sid) else { return };
                p.active = true;
                p.version += 1;
                let p = p.clone();
                let entry = self.rooms[&room].clone();
                self.tell(format!("{} ({sid}) is active in {room}", p.identity));
                let (room, participant) = (room_webhook(&entry), participant_webhook(&p, "ACTIVE", ""));
                // Its own goroutine reads the state again.
                let wait = if self.chance(700) { 0 } else { self.rng.u64(..120) };
                self.after(wait, Later::Joined { room, participant, room_sid: entry.sid.clone(), sid });
            }
            Later::Joined { room, participant, room_sid, sid } => {
                let there =
                    self.rooms.values().any(|r| r.sid == room_sid && r.participants.contains_key(&sid));
                if there {
                    self.send("participant_joined", json!({ "room": room, "participant": participant }));
                }
            }
            Later::Flows { room, participant, sid } => {
                let wait = if self.chance(800) { 0 } else { self.rng.u64(..150) };
                let brief = self.rooms.get(&room).map(|room| room_brief(room));
                let Some(p) = self.participant(&room, &participant) else { return };
                let who = json!({ "sid": p.sid, "identity": p.identity });
                let Some(track) = p.tracks.get_mut(&sid) else { return };
                if track.muted || track.flows {
                    return;
                }
                track.flows = true;
                let track = track_webhook(track);
                let event = json!({ "room": brief, "participant": who, "track": track });
                self.after(wait, Later::Published { event });
            }
            Later::Published { event } => self.send("track_published", event),
            Later::Rejoin { name, identity } => {
                let key = self.open_room(&name, None, EMPTY_TIMEOUT);
                self.enter(&key, identity);
            }
        }
    }

    fn participant(&mut self, room: &str, sid: &str) -> Option<&mut Participant> {
        let room = self.rooms.get_mut(room)?;
        Arc::make_mut(room).participants.get_mut(sid)
    }

    // Events of the meetings.

    /// Does one thing at random.
    pub fn act(&mut self) {
        if self.quiet {
            return;
        }
        if self.chance(self.habits.crashes) {
            return self.crash();
        }
        if self.chance(self.habits.sid_comes_back) {
            return self.come_back();
        }
        match self.rng.u32(..100) {
            0..=27 => self.join(),
            28..=45 => self.publish(),
            46..=55 => self.mute(),
            56..=68 => self.one_of_all(|world, room, sid| world.leave(room, sid, "CLIENT_INITIATED")),
            69..=74 => self.unpublish(),
            75..=81 => self.rename(),
            82..=83 => self.room_metadata(),
            84 => {
                let rooms: Vec<_> = self.rooms.keys().cloned().collect();
                if let Some(key) = self.pick(&rooms) {
                    self.close_room(&key, "deleted");
                }
            }
            85..=86 => {
                let name = self.name();
                self.open_room(&name, None, EMPTY_TIMEOUT);
            }
            87..=92 => self.record(),
            93..=95 => self.stream_in(),
            _ => self.rejoin(),
        }
    }

    fn name(&mut self) -> String {
        if self.chance(self.habits.unnamed) {
            return String::new();
        }
        format!("room-{}", self.rng.usize(..NAMES))
    }

    /// Opens a room if it is not open, and returns its key.
    fn open_room(&mut self, name: &str, sid: Option<String>, wait: u64) -> String {
        if let Some(room) = self.rooms.get_mut(name) {
            if room.dead {
                // Another node takes it from Redis, under its sid.
                Arc::make_mut(room).dead = false;
                let body = json!({ "room": room_webhook(room) });
                self.ended.remove(&room.sid);
                self.send("room_started", body);
            }
            return name.to_owned();
        }
        let sid = sid.unwrap_or_else(|| format!("RM_{}", self.next()));
        let key = name.to_owned();
        let room = Room {
            sid: sid.clone(),
            name: name.to_owned(),
            created_ms: self.clock(),
            metadata: String::new(),
            empty_since: Some((self.now, wait * 1000)),
            participants: BTreeMap::new(),
            dead: false,
        };
        self.ended.remove(&sid);
        self.tell(format!("room {key} begins as {sid}"));
        let body = json!({ "room": room_webhook(&room) });
        self.rooms.insert(key.clone(), Arc::new(room));
        self.send("room_started", body);
        key
    }

    /// Closes a room. The webhooks of its participants may come after its own.
    pub fn close_room(&mut self, key: &str, why: &str) {
        let Some(room) = self.rooms.get(key).filter(|room| !room.dead).cloned() else { return };
        let late = self.chance(300);
        let finish = |world: &mut World| {
            world.ended.insert(room.sid.clone(), world.now);
            world.tell(format!("room {key} ({}) ends: {why}", room.sid));
            world.send("room_finished", json!({ "room": room_webhook(&room) }));
        };
        if late {
            finish(self);
        }
        for sid in room.participants.keys() {
            self.leave(key, sid, "ROOM_DELETED");
        }
        if !late {
            finish(self);
        }
        self.rooms.remove(key);
        self.end_egress(&room.sid);
    }

    fn end_egress(&mut self, room_sid: &str) {
        if self.chance(self.habits.egress_outlives) {
            return;
        }
        let of_room = self.egress.values().filter(|egress| egress.room_sid == room_sid && !egress.ended);
        let ids: Vec<_> = of_room.map(|egress| egress.id.clone()).collect();
        for id in ids {
            self.advance(&id, true);
        }
    }

    fn join(&mut self) {
        let name = self.name();
        let key = self.open_room(&name, None, EMPTY_TIMEOUT);
        let identity = format!("person-{}", self.rng.usize(..PEOPLE));
        self.enter(&key, identity);
    }

    /// An identity comes again: LiveKit removes the former connection, before or after the new one is there.
    fn rejoin(&mut self) {
        let all = self.everybody();
        let Some((room, sid)) = self.pick(&all) else { return };
        let identity = self.rooms[&room].participants[&sid].identity.clone();
        if self.chance(500) {
            self.leave(&room, &sid, "DUPLICATE_IDENTITY");
            self.enter(&room, identity);
        } else {
            self.enter_beside(&room, identity);
            self.leave(&room, &sid, "DUPLICATE_IDENTITY");
        }
    }

    fn enter(&mut self, key: &str, identity: String) {
        let twin =
            self.rooms.get(key).and_then(|room| room.participants.values().find(|p| p.identity == identity));
        if let Some((twin, ghost)) = twin.map(|twin| (twin.sid.clone(), twin.ghost)) {
            if ghost {
                // The store is keyed by identity.
                self.rooms.get_mut(key).map(|room| Arc::make_mut(room).participants.remove(&twin));
            } else {
                self.leave(key, &twin, "DUPLICATE_IDENTITY");
            }
        }
        self.enter_beside(key, identity);
    }

    fn enter_beside(&mut self, key: &str, identity: String) {
        let sid = format!("PA_{}", self.next());
        let kind = match self.rng.u32(..20) {
            0 => "AGENT",
            1 => "SIP",
            _ => "STANDARD",
        };
        let hidden = self.chance(60);
        let joined_ms = self.clock();
        let Some(room) = self.rooms.get_mut(key) else { return };
        let room = Arc::make_mut(room);
        room.empty_since = None;
        let participant = Participant {
            sid: sid.clone(),
            name: identity.to_uppercase(),
            identity,
            metadata: String::new(),
            kind,
            hidden,
            active: false,
            ghost: false,
            joined_ms,
            version: 1,
            tracks: BTreeMap::new(),
        };
        room.participants.insert(sid.clone(), participant);
        if self.chance(40) && !self.quiet {
            // It never becomes active.
            let room = key.to_owned();
            self.leave(&room, &sid, "JOIN_FAILURE");
        } else {
            let wait = self.rng.u64(20..400);
            self.after(wait, Later::Active { room: key.to_owned(), sid });
        }
    }

    fn leave(&mut self, key: &str, sid: &str, reason: &str) {
        let tracks: Vec<String> = match self.participant(key, sid) {
            Some(p) => p.tracks.keys().cloned().collect(),
            None => return,
        };
        for track in tracks {
            self.close_track(key, sid, &track);
        }
        let Some(room) = self.rooms.get_mut(key) else { return };
        let room = Arc::make_mut(room);
        let Some(mut p) = room.participants.remove(sid) else { return };
        if room.participants.is_empty() {
            room.empty_since = Some((self.now, DEPARTURE_TIMEOUT * 1000));
        }
        let room = room.clone();
        p.version += 1;
        self.ended.insert(sid.to_owned(), self.now);
        // A join that its goroutine has not reported yet is never reported.
        let unsaid: Vec<_> = self
            .later
            .iter()
            .filter(|(_, later)| matches!(later, Later::Joined { sid: other, .. } if other == sid))
            .map(|(at, _)| *at)
            .collect();
        let aborted = !p.active || !unsaid.is_empty();
        for at in unsaid {
            self.later.remove(&at);
        }
        let kind = if aborted { "participant_connection_aborted" } else { "participant_left" };
        self.tell(format!("{} ({sid}) leaves {key}: {kind} {reason}", p.identity));
        let participant = participant_webhook(&p, "DISCONNECTED", reason);
        self.send(kind, json!({ "room": room_webhook(&room), "participant": participant }));
    }

    fn everybody(&self) -> Vec<(String, String)> {
        let of = |(key, room): (&String, &Arc<Room>)| {
            room.participants
                .values()
                .filter(|p| p.active && !p.ghost)
                .map(|p| (key.clone(), p.sid.clone()))
                .collect()
        };
        self.rooms.iter().flat_map(|entry| -> Vec<_> { of(entry) }).collect()
    }

    fn one_of_all(&mut self, then: impl FnOnce(&mut World, &str, &str)) {
        let all = self.everybody();
        if let Some((room, sid)) = self.pick(&all) {
            then(self, &room, &sid);
        }
    }

    fn publish(&mut self) {
        self.one_of_all(|world, room, sid| {
            let track = format!("TR_{}", world.next());
            let (kind, source) = match world.rng.u32(..3) {
                0 => ("AUDIO", "MICROPHONE"),
                1 => ("VIDEO", "CAMERA"),
                _ => ("VIDEO", "SCREEN_SHARE"),
            };
            let muted = world.chance(150);
            let version_us = world.clock() * 1000 + world.rng.u64(..1000);
            let wait = world.rng.u64(10..900);
            let Some(p) = world.participant(room, sid) else { return };
            p.version += 1;
            let new = Track { sid: track.clone(), kind, source, muted, version_us, flows: false };
            p.tracks.insert(track.clone(), new);
            world.tell(format!("{sid} announces {track} in {room}, muted {muted}"));
            world.after(wait, Later::Flows { room: room.into(), participant: sid.into(), sid: track });
        });
    }

    fn a_track(&mut self) -> Option<(String, String, String)> {
        let tracks: Vec<_> = self
            .rooms
            .iter()
            .flat_map(|(key, room)| room.participants.values().filter(|p| !p.ghost).map(move |p| (key, p)))
            .flat_map(|(key, p)| {
                p.tracks.keys().map(move |track| (key.clone(), p.sid.clone(), track.clone()))
            })
            .collect();
        self.pick(&tracks)
    }

    fn mute(&mut self) {
        let Some((room, sid, track)) = self.a_track() else { return };
        self.set_mute(&room, &sid, &track, None);
    }

    /// There is no webhook for it.
    pub fn set_mute(&mut self, room: &str, sid: &str, track: &str, muted: Option<bool>) -> Option<Value> {
        let version_us = self.clock() * 1000 + self.rng.u64(..1000);
        let later = Later::Flows { room: room.into(), participant: sid.into(), sid: track.into() };
        let p = self.participant(room, sid)?;
        p.version += 1;
        let of = p.tracks.get_mut(track)?;
        of.muted = muted.unwrap_or(!of.muted);
        of.version_us = of.version_us.max(version_us);
        let (of, starts) = (of.clone(), !of.muted && !of.flows);
        self.tell(format!("{track} of {sid} is muted: {}", of.muted));
        if starts {
            self.after(30, later);
        }
        Some(track_listed(&of))
    }

    fn unpublish(&mut self) {
        let Some((room, sid, track)) = self.a_track() else { return };
        if let Some(p) = self.participant(&room, &sid) {
            p.version += 1;
        }
        self.close_track(&room, &sid, &track);
    }

    fn close_track(&mut self, key: &str, sid: &str, track: &str) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        let brief = room_brief(room);
        let Some(p) = Arc::make_mut(room).participants.get_mut(sid) else { return };
        let Some(track) = p.tracks.remove(track) else { return };
        let who = json!({ "sid": p.sid, "identity": p.identity });
        self.ended.insert(track.sid.clone(), self.now);
        self.tell(format!("{} of {sid} ends", track.sid));
        if track.flows {
            let event = json!({ "room": brief, "participant": who, "track": track_webhook(&track) });
            self.send("track_unpublished", event);
        }
    }

    /// Changes a participant. There is no webhook for it.
    fn rename(&mut self) {
        let what = if self.chance(self.habits.hides) { 2 } else { self.rng.u32(..2) };
        let text = format!("m{}", self.next());
        self.one_of_all(|world, room, sid| {
            let Some(p) = world.participant(room, sid) else { return };
            p.version += 1;
            match what {
                0 => p.metadata = text,
                1 => p.name = text,
                _ => p.hidden = !p.hidden,
            }
            let said = format!("{sid} changes: {} {} hidden {}", p.name, p.metadata, p.hidden);
            world.tell(said);
        });
    }

    fn room_metadata(&mut self) {
        let rooms: Vec<_> = self.rooms.keys().cloned().collect();
        let Some(key) = self.pick(&rooms) else { return };
        let text = format!("t{}", self.next());
        self.set_metadata(&key, text);
    }

    /// There is no webhook for it.
    pub fn set_metadata(&mut self, key: &str, text: String) -> Option<Value> {
        let room = Arc::make_mut(self.rooms.get_mut(key)?);
        room.metadata = text;
        let said = format!("room {key} has the metadata {}", room.metadata);
        let listed = room_listed(room);
        self.tell(said);
        Some(listed)
    }

    pub fn remove(&mut self, key: &str, identity: &str) -> Option<()> {
        let sid = self.rooms.get(key)?.participants.values().find(|p| p.identity == identity)?.sid.clone();
        self.leave(key, &sid, "PARTICIPANT_REMOVED");
        Some(())
    }

    /// A node dies, and reports nothing. Without Redis its rooms are gone. With it they stay in the store, and come back
    /// under their sids as soon as their participants do.
    fn crash(&mut self) {
        self.tell("LiveKit dies".to_owned());
        self.queues_lost = true;
        self.outbox.clear();
        self.later.clear();
        let rooms = std::mem::take(&mut self.rooms);
        for (key, mut room) in rooms {
            for p in room.participants.values() {
                self.ended.insert(p.sid.clone(), self.now);
                for track in p.tracks.keys() {
                    self.ended.insert(track.clone(), self.now);
                }
            }
            self.ended.insert(room.sid.clone(), self.now);
            if !self.habits.redis || room.participants.is_empty() {
                self.end_egress(&room.sid);
                continue;
            }
            for p in room.participants.values() {
                let wait = self.rng.u64(500..6_000);
                self.after(wait, Later::Rejoin { name: key.clone(), identity: p.identity.clone() });
            }
            let entry = Arc::make_mut(&mut room);
            entry.dead = true;
            entry.empty_since = None;
            entry.participants.values_mut().for_each(|p| p.ghost = true);
            self.rooms.insert(key, room);
        }
        if !self.habits.redis {
            self.egress.clear();
            self.ingress.clear();
        }
    }

    /// CreateRoom meets DeleteRoom: the room begins again under its sid.
    fn come_back(&mut self) {
        let rooms: Vec<_> = self.rooms.iter().map(|(key, room)| (key.clone(), room.sid.clone())).collect();
        let Some((key, sid)) = self.pick(&rooms) else { return };
        let name = self.rooms[&key].name.clone();
        if self.rooms[&key].dead {
            return;
        }
        self.close_room(&key, "deleted, and created at the same time");
        self.open_room(&name, Some(sid), EMPTY_TIMEOUT);
        for _ in 0..self.rng.usize(1..3) {
            let identity = format!("person-{}", self.rng.usize(..PEOPLE));
            self.enter(&key, identity);
        }
    }

    // Egress and ingress: their queues are their own.

    fn record(&mut self) {
        if !self.habits.egress || !self.habits.redis {
            return;
        }
        let live: Vec<_> = self.egress.values().filter(|e| !e.ended).map(|e| e.id.clone()).collect();
        if self.chance(600)
            && let Some(id) = self.pick(&live)
        {
            return self.advance(&id, false);
        }
        let rooms: Vec<_> = self.rooms.values().filter(|room| !room.name.is_empty()).cloned().collect();
        let Some(room) = self.pick(&rooms) else { return };
        let id = format!("EG_{}", self.next());
        let ns = self.clock() * 1_000_000;
        let egress = Egress {
            id: id.clone(),
            room: room.name.clone(),
            room_sid: room.sid.clone(),
            status: "EGRESS_STARTING",
            started_ns: ns,
            updated_ns: ns,
            ended: false,
        };
        self.tell(format!("egress {id} of {} begins", room.name));
        self.send("egress_started", json!({ "egressInfo": egress_webhook(&egress) }));
        self.egress.insert(id, egress);
    }

    fn advance(&mut self, id: &str, ends: bool) {
        let ns = self.clock() * 1_000_000 + self.serial % 1_000_000;
        let Some(egress) = self.egress.get_mut(id) else { return };
        egress.updated_ns = ns.max(egress.updated_ns + 1);
        (egress.status, egress.ended) = match egress.status {
            _ if ends => ("EGRESS_COMPLETE", true),
            "EGRESS_STARTING" => ("EGRESS_ACTIVE", false),
            "EGRESS_ACTIVE" => ("EGRESS_ENDING", false),
            _ => ("EGRESS_COMPLETE", true),
        };
        let egress = egress.clone();
        self.tell(format!("egress {id} is {}", egress.status));
        let kind = if egress.ended { "egress_ended" } else { "egress_updated" };
        if egress.ended {
            self.ended.insert(id.to_owned(), self.now);
        }
        self.send(kind, json!({ "egressInfo": egress_webhook(&egress) }));
    }

    fn stream_in(&mut self) {
        if !self.habits.egress || !self.habits.redis {
            return;
        }
        let all: Vec<_> = self.ingress.keys().cloned().collect();
        let ns = self.clock() * 1_000_000 + self.serial % 1_000_000;
        if all.len() < 3 {
            let id = format!("IN_{}", self.next());
            let room = format!("room-{}", self.rng.usize(..NAMES));
            let ingress = Ingress { id: id.clone(), room, publishing: false, started_ns: 0, updated_ns: ns };
            self.ingress.insert(id, ingress);
            return;
        }
        let Some(id) = self.pick(&all) else { return };
        let Some(ingress) = self.ingress.get_mut(&id) else { return };
        ingress.publishing = !ingress.publishing;
        ingress.updated_ns = ns.max(ingress.updated_ns + 1);
        if ingress.publishing {
            ingress.started_ns = ns;
        }
        let ingress = ingress.clone();
        self.tell(format!("ingress {id} publishes: {}", ingress.publishing));
        if ingress.publishing {
            if self.ended.remove(&id).is_some() {
                self.publishes_again.insert(id, self.now);
            }
        } else {
            self.ended.insert(id, self.now);
        }
        let kind = if ingress.publishing { "ingress_started" } else { "ingress_ended" };
        self.send(
            kind,
            json!({ "ingressInfo": ingress_webhook(&ingress), "room": { "name": ingress.room } }),
        );
    }

    fn send(&mut self, kind: &str, members: Value) {
        let id = format!("EV_{}", self.next());
        let key = match (&members["egressInfo"]["egressId"], &members["ingressInfo"]["ingressId"]) {
            (Value::String(id), _) | (_, Value::String(id)) => id.clone(),
            _ => members["room"]["name"].as_str().unwrap_or_default().to_owned(),
        };
        let mut body = Map::from_iter([("event".to_owned(), kind.into())]);
        body.extend(members.as_object().cloned().unwrap_or_default());
        if let Some(egress) = body.get("egressInfo") {
            let room = json!({ "sid": egress["roomId"], "name": egress["roomName"] });
            body.insert("room".into(), room);
        }
        body.insert("id".into(), id.clone().into());
        body.insert("createdAt".into(), (self.clock() / 1000).to_string().into());
        self.outbox.push(Webhook { key, id, body: Value::Object(body).to_string() });
    }

    // Answers.

    /// Answers a call of its API, or nothing for a method that it does not have.
    pub fn answer(&mut self, method: &str, request: &Value, lag: u64) -> Result<Value, (u16, Value)> {
        let refused = |status: u16, code: &str, msg: &str| Err((status, json!({ "code": code, "msg": msg })));
        let key = request["room"].as_str().unwrap_or_default().to_owned();
        match method {
            "ListRooms" => {
                let names: Vec<&str> =
                    request["names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let asked = |room: &&Arc<Room>| names.is_empty() || names.contains(&&*room.name);
                let rooms: Vec<_> = self.rooms.values().filter(asked).map(|room| room_listed(room)).collect();
                Ok(json!({ "rooms": rooms }))
            }
            "ListParticipants" if key.is_empty() => refused(400, "invalid_argument", "room is required"),
            "ListParticipants" => {
                let lag = if self.habits.lags { lag.min(STORE_LAG_MAX) } else { 0 };
                // It is one store, so it never becomes older: what it has shown, it shows again. It has every room.
                self.listed_at = self.listed_at.max(self.now - lag);
                let sid = |store: &Store| store.get(&key).map(|room| room.sid.clone());
                let store = match self.history.iter().rposition(|(at, _)| *at <= self.listed_at) {
                    Some(n) if lag > 0 && sid(&self.history[n].1) == sid(&self.rooms) => &self.history[n].1,
                    _ => {
                        self.listed_at = self.now;
                        self.history.retain(|(at, _)| *at < self.now);
                        self.history.push_back((self.now, self.rooms.clone()));
                        &self.rooms
                    }
                };
                let people = store.get(&key).map(|room| room.participants.values().map(participant_listed));
                let people: Vec<_> = people.into_iter().flatten().collect();
                Ok(json!({ "participants": people }))
            }
            "ListEgress" | "ListIngress" if !self.habits.redis => {
                refused(500, "internal", "egress not connected (redis required)")
            }
            "ListEgress" => {
                // LiveKit forgets an egress some time after its end.
                let kept = self.now.saturating_sub(EGRESS_KEPT);
                let is_kept = |egress: &&Egress| self.ended.get(&egress.id).is_none_or(|at| *at > kept);
                let is_asked =
                    |egress: &&Egress| request["egress_id"].as_str().is_none_or(|id| id == egress.id);
                let items = self.egress.values().filter(is_kept).filter(is_asked);
                let items = items.map(egress_listed).collect();
                Ok(self.page(items, request))
            }
            "ListIngress" => {
                let is_asked =
                    |ingress: &&Ingress| request["ingress_id"].as_str().is_none_or(|id| id == ingress.id);
                let items = self.ingress.values().filter(is_asked).map(ingress_listed).collect();
                Ok(self.page(items, request))
            }
            "DeleteRoom" if self.rooms.contains_key(&key) => {
                self.close_room(&key, "deleted by a command");
                Ok(json!({}))
            }
            "RemoveParticipant" => {
                let identity = request["identity"].as_str().unwrap_or_default();
                match self.remove(&key, identity) {
                    Some(()) => Ok(json!({})),
                    None => refused(404, "not_found", "participant does not exist"),
                }
            }
            "MutePublishedTrack" => {
                let track = request["track_sid"].as_str().unwrap_or_default();
                let muted = request["muted"].as_bool();
                let owner = self.rooms.get(&key).and_then(|room| {
                    let of = room.participants.values().find(|p| p.tracks.contains_key(track));
                    of.map(|p| p.sid.clone())
                });
                match owner.and_then(|sid| self.set_mute(&key, &sid, track, muted)) {
                    Some(track) => Ok(json!({ "track": track })),
                    None => refused(404, "not_found", "track does not exist"),
                }
            }
            "UpdateRoomMetadata" => {
                let text = request["metadata"].as_str().unwrap_or_default().to_owned();
                match self.set_metadata(&key, text) {
                    Some(room) => Ok(room),
                    None => refused(404, "not_found", "room does not exist"),
                }
            }
            _ => refused(404, "not_found", "the requested thing does not exist"),
        }
    }

    /// Returns one page of a list, as livekit-server pages it.
    fn page(&self, items: Vec<Value>, request: &Value) -> Value {
        let token = &request["page_token"]["token"];
        let from = token.as_str().and_then(|token| token.parse().ok()).unwrap_or(0_usize);
        let page: Vec<_> = items.iter().skip(from).take(self.habits.page).cloned().collect();
        let next = from + page.len();
        if next < items.len() {
            json!({ "items": page, "next_page_token": { "token": next.to_string() } })
        } else {
            json!({ "items": page, "next_page_token": null })
        }
    }
}

fn room_brief(room: &Room) -> Value {
    let mut brief = json!({ "sid": room.sid });
    if !room.name.is_empty() {
        brief["name"] = room.name.as_str().into();
    }
    brief
}

/// A room as a webhook has it: without zero values.
fn room_webhook(room: &Room) -> Value {
    let mut json = room_brief(room);
    json["emptyTimeout"] = EMPTY_TIMEOUT.into();
    json["departureTimeout"] = DEPARTURE_TIMEOUT.into();
    json["creationTime"] = (room.created_ms / 1000).to_string().into();
    json["creationTimeMs"] = room.created_ms.to_string().into();
    json["turnPassword"] = "REDACT-ME".into();
    if !room.metadata.is_empty() {
        json["metadata"] = room.metadata.as_str().into();
    }
    json
}

fn room_listed(room: &Room) -> Value {
    json!({
        "sid": room.sid, "name": room.name, "empty_timeout": EMPTY_TIMEOUT,
        "departure_timeout": DEPARTURE_TIMEOUT, "max_participants": 0,
        "creation_time": (room.created_ms / 1000).to_string(), "creation_time_ms": room.created_ms.to_string(),
        "turn_password": "REDACT-ME", "enabled_codecs": [], "metadata": room.metadata,
        "num_participants": room.participants.len(), "num_publishers": 0, "active_recording": false,
        "version": null,
    })
}

fn participant_webhook(p: &Participant, state: &str, reason: &str) -> Value {
    let mut json = json!({
        "sid": p.sid, "identity": p.identity, "state": state, "joinedAt": (p.joined_ms / 1000).to_string(),
        "joinedAtMs": p.joined_ms.to_string(), "name": p.name, "version": p.version,
        "permission": { "canSubscribe": true, "canPublish": true },
    });
    if p.kind != "STANDARD" {
        json["kind"] = p.kind.into();
    }
    if p.hidden {
        json["permission"]["hidden"] = true.into();
    }
    if !p.metadata.is_empty() {
        json["metadata"] = p.metadata.as_str().into();
    }
    if !reason.is_empty() {
        json["disconnectReason"] = reason.into();
    }
    json
}

fn participant_listed(p: &Participant) -> Value {
    json!({
        "sid": p.sid, "identity": p.identity, "state": if p.active { "ACTIVE" } else { "JOINED" },
        "tracks": p.tracks.values().map(track_listed).collect::<Vec<_>>(), "metadata": p.metadata,
        "joined_at": (p.joined_ms / 1000).to_string(), "joined_at_ms": p.joined_ms.to_string(), "name": p.name,
        "version": p.version,
        "permission": {
            "can_subscribe": true, "can_publish": true, "can_publish_data": false, "can_publish_sources": [],
            "hidden": p.hidden, "recorder": false, "agent": false,
        },
        "region": "", "is_publisher": !p.tracks.is_empty(), "kind": p.kind, "attributes": {},
        "disconnect_reason": "UNKNOWN_REASON", "kind_details": [],
    })
}

fn track_webhook(track: &Track) -> Value {
    let mut json = json!({
        "sid": track.sid, "source": track.source, "mimeType": "video/VP8",
        "version": { "unixMicro": track.version_us.to_string() },
    });
    if track.kind != "AUDIO" {
        json["type"] = track.kind.into();
    }
    if track.muted {
        json["muted"] = true.into();
    }
    json
}

fn track_listed(track: &Track) -> Value {
    json!({
        "sid": track.sid, "type": track.kind, "name": "", "muted": track.muted, "width": 0, "height": 0,
        "simulcast": false, "source": track.source, "layers": [], "mime_type": "video/VP8", "mid": "",
        "codecs": [], "stereo": false, "encryption": "NONE", "stream": "",
        "version": { "unix_micro": track.version_us.to_string(), "ticks": 0 },
    })
}

fn egress_webhook(egress: &Egress) -> Value {
    let mut json = json!({
        "egressId": egress.id, "roomId": egress.room_sid, "roomName": egress.room,
        "startedAt": egress.started_ns.to_string(), "updatedAt": egress.updated_ns.to_string(),
        "roomComposite": { "roomName": egress.room },
    });
    if egress.status != "EGRESS_STARTING" {
        json["status"] = egress.status.into();
    }
    if egress.ended {
        json["endedAt"] = egress.updated_ns.to_string().into();
    }
    json
}

fn egress_listed(egress: &Egress) -> Value {
    json!({
        "egress_id": egress.id, "room_id": egress.room_sid, "room_name": egress.room, "status": egress.status,
        "started_at": egress.started_ns.to_string(),
        "ended_at": if egress.ended { egress.updated_ns.to_string() } else { "0".to_owned() },
        "updated_at": egress.updated_ns.to_string(), "error": "",
        "room_composite": { "room_name": egress.room },
    })
}

fn ingress_status(ingress: &Ingress) -> &'static str {
    if ingress.publishing { "ENDPOINT_PUBLISHING" } else { "ENDPOINT_INACTIVE" }
}

fn ingress_webhook(ingress: &Ingress) -> Value {
    let mut state = json!({ "updatedAt": ingress.updated_ns.to_string() });
    if ingress.publishing {
        state["status"] = ingress_status(ingress).into();
        state["startedAt"] = ingress.started_ns.to_string().into();
    }
    json!({ "ingressId": ingress.id, "name": "obs", "streamKey": "REDACT-ME", "roomName": ingress.room, "state": state })
}

fn ingress_listed(ingress: &Ingress) -> Value {
    json!({
        "ingress_id": ingress.id, "name": "obs", "stream_key": "REDACT-ME", "url": "", "input_type": "RTMP_INPUT",
        "room_name": ingress.room, "participant_identity": "", "reusable": true,
        "state": {
            "status": ingress_status(ingress), "error": "", "room_id": "",
            "started_at": ingress.started_ns.to_string(), "ended_at": "0",
            "updated_at": ingress.updated_ns.to_string(),
        },
    })
}
