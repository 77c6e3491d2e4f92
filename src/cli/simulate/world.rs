//! Invented meetings: rooms start, participants join, publish and leave, rooms end. The events of each room are in the
//! order in which LiveKit sends them.

use std::collections::VecDeque;

use crate::clock::unix_ms;

/// Rooms and their participants, as a LiveKit server has them.
pub struct World {
    rng: fastrand::Rng,
    rooms: Vec<Room>,
    participants: usize,
}

struct Room {
    name: String,
    sid: String,
    created_ms: u64,
    live: bool,
    recording: Option<Recording>,
    people: Vec<Person>,
    /// Events that are decided and not sent yet: bodies without their last member, which is the time of sending.
    pending: VecDeque<String>,
}

struct Recording {
    id: String,
    started_ms: u64,
}

struct Person {
    sid: String,
    identity: String,
    name: String,
    kind: Kind,
    joined_ms: u64,
    tracks: Vec<Track>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Standard,
    Agent,
    Sip,
}

struct Track {
    sid: String,
    source: Source,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Microphone,
    Camera,
    Screen,
}

const PEOPLE: [&str; 32] = [
    "Alice", "Bob", "Chidi", "Dana", "Elif", "Farid", "Grace", "Hiro", "Ines", "Jonas", "Kavya", "Liam",
    "Mei", "Noor", "Oskar", "Priya", "Quinn", "Rosa", "Sami", "Tomás", "Uma", "Viktor", "Wanda", "Ximena",
    "Yusuf", "Zoë", "Anders", "Bea", "Carlo", "Delphine", "Emeka", "Fiona",
];
/// Weighted: most participants leave by themselves, some lose the connection.
const REASONS: [&str; 8] = [
    "CLIENT_INITIATED",
    "CLIENT_INITIATED",
    "CLIENT_INITIATED",
    "CLIENT_INITIATED",
    "CLIENT_INITIATED",
    "CONNECTION_TIMEOUT",
    "PARTICIPANT_REMOVED",
    "DUPLICATE_IDENTITY",
];

impl World {
    pub fn new(seed: u64, rooms: u32, participants: u32) -> World {
        let room = |i: u32| Room {
            name: format!("room-{:05}", i + 1),
            sid: String::new(),
            created_ms: 0,
            live: false,
            recording: None,
            people: Vec::new(),
            pending: VecDeque::new(),
        };
        World {
            rng: fastrand::Rng::with_seed(seed),
            rooms: (0..rooms).map(room).collect(),
            participants: participants as usize,
        }
    }

    /// Starts every room with its participants, and returns the events, interleaved room by room.
    pub fn fill(&mut self) -> Vec<(u32, String)> {
        for i in 0..self.rooms.len() {
            self.start(i);
            for _ in 0..self.rng.usize(1..=self.participants * 2 - 1) {
                self.join(i);
            }
        }
        self.drain()
    }

    /// Returns the next event of a random room.
    pub fn step(&mut self) -> (u32, String) {
        let i = self.rng.usize(..self.rooms.len());
        while self.rooms[i].pending.is_empty() {
            self.act(i);
        }
        let body = self.rooms[i].pending.pop_front().expect("something is pending");
        (i as u32, stamped(body))
    }

    /// Ends every meeting, and returns the events.
    pub fn finish(&mut self) -> Vec<(u32, String)> {
        for i in 0..self.rooms.len() {
            if self.rooms[i].live {
                self.end(i);
            }
        }
        self.drain()
    }

    fn drain(&mut self) -> Vec<(u32, String)> {
        let mut events = Vec::new();
        let mut left = true;
        while std::mem::take(&mut left) {
            for (i, room) in self.rooms.iter_mut().enumerate() {
                if let Some(body) = room.pending.pop_front() {
                    events.push((i as u32, stamped(body)));
                    left = true;
                }
            }
        }
        events
    }

    /// Decides the next events of a room.
    fn act(&mut self, i: usize) {
        let room = &self.rooms[i];
        if !room.live {
            self.start(i);
            self.join(i);
            return;
        }
        if room.people.is_empty() {
            self.end(i);
            return;
        }
        let crowded = room.people.len() >= self.participants * 2;
        match self.rng.u32(0..1000) {
            0..=19 => self.end(i),
            20..=239 if !crowded => self.join(i),
            240..=449 => {
                let who = self.rng.usize(..self.rooms[i].people.len());
                self.leave(i, who);
            }
            450..=474 => self.record(i),
            475..=744 => self.publish(i),
            _ => self.unpublish(i),
        }
    }

    fn id(&mut self, prefix: &str) -> String {
        let mut id = prefix.to_owned();
        id.extend((0..12).map(|_| self.rng.alphanumeric()));
        id
    }

    fn start(&mut self, i: usize) {
        let sid = self.id("RM_");
        let room = &mut self.rooms[i];
        room.sid = sid;
        room.created_ms = unix_ms();
        room.live = true;
        self.push(i, "room_started", "");
    }

    fn end(&mut self, i: usize) {
        if self.rooms[i].recording.is_some() {
            self.record(i);
        }
        while !self.rooms[i].people.is_empty() {
            self.leave(i, 0);
        }
        self.push(i, "room_finished", "");
        self.rooms[i].live = false;
    }

    fn join(&mut self, i: usize) {
        let kind = match self.rng.u32(0..12) {
            0 => Kind::Agent,
            1 => Kind::Sip,
            _ => Kind::Standard,
        };
        let taken =
            |room: &Room, identity: &str| room.people.iter().any(|person| person.identity == identity);
        let (identity, name) = match kind {
            Kind::Agent => (self.id("agent-AJ_"), "Assistant".to_owned()),
            Kind::Sip => {
                let number = format!("+4930{:07}", self.rng.u32(..10_000_000));
                (format!("sip_{number}"), format!("Phone {number}"))
            }
            Kind::Standard => {
                let first = PEOPLE[self.rng.usize(..PEOPLE.len())];
                let mut identity = first.to_lowercase();
                if taken(&self.rooms[i], &identity) {
                    identity = format!("{identity}-{}", self.rng.u32(100..1000));
                }
                (identity, first.to_owned())
            }
        };
        if taken(&self.rooms[i], &identity) {
            return;
        }
        let sid = self.id("PA_");
        let person = Person { sid, identity, name, kind, joined_ms: unix_ms(), tracks: Vec::new() };
        let members = format!(",\"participant\":{}", full(&person, "ACTIVE", ""));
        self.rooms[i].people.push(person);
        self.push(i, "participant_joined", &members);
        let who = self.rooms[i].people.len() - 1;
        self.publish_source(i, who, Source::Microphone);
        if kind == Kind::Standard && self.rng.u32(0..3) > 0 {
            self.publish_source(i, who, Source::Camera);
        }
    }

    fn leave(&mut self, i: usize, who: usize) {
        while let Some(track) = self.rooms[i].people[who].tracks.pop() {
            let members = track_members(&self.rooms[i].people[who], &track);
            self.push(i, "track_unpublished", &members);
        }
        let person = self.rooms[i].people.remove(who);
        let reason = REASONS[self.rng.usize(..REASONS.len())];
        let members = format!(",\"participant\":{}", full(&person, "DISCONNECTED", reason));
        self.push(i, "participant_left", &members);
    }

    fn publish(&mut self, i: usize) {
        let who = self.rng.usize(..self.rooms[i].people.len());
        let source = match self.rng.u32(0..10) {
            0..=1 => Source::Screen,
            2..=6 => Source::Camera,
            _ => Source::Microphone,
        };
        if self.rooms[i].people[who].kind == Kind::Standard {
            self.publish_source(i, who, source);
        }
    }

    fn publish_source(&mut self, i: usize, who: usize, source: Source) {
        if self.rooms[i].people[who].tracks.iter().any(|track| track.source == source) {
            return;
        }
        let sid = self.id(match source {
            Source::Microphone => "TR_AM",
            Source::Camera => "TR_VC",
            Source::Screen => "TR_VS",
        });
        let track = Track { sid, source };
        let members = track_members(&self.rooms[i].people[who], &track);
        self.rooms[i].people[who].tracks.push(track);
        self.push(i, "track_published", &members);
    }

    fn unpublish(&mut self, i: usize) {
        let who = self.rng.usize(..self.rooms[i].people.len());
        // Microphones stay published: participants mute them, and mutes have no webhook.
        let tracks = &mut self.rooms[i].people[who].tracks;
        let Some(at) = tracks.iter().rposition(|track| track.source != Source::Microphone) else { return };
        let track = tracks.remove(at);
        let members = track_members(&self.rooms[i].people[who], &track);
        self.push(i, "track_unpublished", &members);
    }

    /// Starts or stops a recording.
    fn record(&mut self, i: usize) {
        let now = unix_ms();
        match self.rooms[i].recording.take() {
            None => {
                let id = self.id("EG_");
                self.rooms[i].recording = Some(Recording { id: id.clone(), started_ms: now });
                let members = egress(&self.rooms[i], &id, now, "");
                self.push(i, "egress_started", &members);
                let members = egress(&self.rooms[i], &id, now, ",\"status\":\"EGRESS_ACTIVE\"");
                self.push(i, "egress_updated", &members);
            }
            Some(Recording { id, started_ms }) => {
                let more = format!(",\"status\":\"EGRESS_COMPLETE\",\"endedAt\":\"{now}000000\"");
                let members = egress(&self.rooms[i], &id, started_ms, &more);
                self.push(i, "egress_ended", &members);
            }
        }
    }

    /// Adds an event. As in LiveKit, room and participant events have the whole room, the others its sid and name only.
    fn push(&mut self, i: usize, event: &str, members: &str) {
        let id = self.id("EV_");
        let room = &self.rooms[i];
        let name = quoted(&room.name);
        let whole = event.starts_with("room_") || event.starts_with("participant_");
        let rest = if whole {
            let standard = room.people.iter().filter(|person| person.kind != Kind::Agent).count();
            format!(
                ",\"emptyTimeout\":300,\"departureTimeout\":20,\"creationTime\":\"{}\",\"creationTimeMs\":\"{}\",\
                 \"turnPassword\":\"REDACT-ME-simulated\",\"enabledCodecs\":[{{\"mime\":\"audio/opus\"}},{{\"mime\":\"video/VP8\"}}]{}",
                room.created_ms / 1000,
                room.created_ms,
                if standard > 0 { format!(",\"numParticipants\":{standard}") } else { String::new() },
            )
        } else {
            String::new()
        };
        let body = format!(
            "{{\"event\":\"{event}\",\"room\":{{\"sid\":\"{}\",\"name\":{name}{rest}}}{members},\"id\":\"{id}\"",
            room.sid,
        );
        self.rooms[i].pending.push_back(body);
    }
}

/// Adds the time of sending: LiveKit stamps an event when its queue gets to it.
fn stamped(mut body: String) -> String {
    body.push_str(&format!(",\"createdAt\":\"{}\"}}", unix_ms() / 1000));
    body
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

fn full(person: &Person, state: &str, reason: &str) -> String {
    let kind = match person.kind {
        Kind::Standard => String::new(),
        Kind::Agent => ",\"kind\":\"AGENT\"".into(),
        Kind::Sip => format!(
            ",\"kind\":\"SIP\",\"attributes\":{{\"sip.callStatus\":\"active\",\"sip.phoneNumber\":{},\"sip.trunkPhoneNumber\":\"+49305550100\"}}",
            quoted(person.identity.trim_start_matches("sip_")),
        ),
    };
    let agent = if person.kind == Kind::Agent { ",\"agent\":true" } else { "" };
    let reason =
        if reason.is_empty() { String::new() } else { format!(",\"disconnectReason\":\"{reason}\"") };
    format!(
        "{{\"sid\":\"{}\",\"identity\":{},\"state\":\"{state}\",\"joinedAt\":\"{}\",\"joinedAtMs\":\"{}\",\"name\":{},\"version\":2,\
         \"permission\":{{\"canSubscribe\":true,\"canPublish\":true,\"canPublishData\":true{agent}}}{kind}{reason}}}",
        person.sid,
        quoted(&person.identity),
        person.joined_ms / 1000,
        person.joined_ms,
        quoted(&person.name),
    )
}

fn track_members(person: &Person, track: &Track) -> String {
    let about = match track.source {
        Source::Microphone => "\"source\":\"MICROPHONE\",\"mimeType\":\"audio/opus\"",
        Source::Camera => {
            "\"type\":\"VIDEO\",\"width\":1280,\"height\":720,\"simulcast\":true,\"source\":\"CAMERA\",\"mimeType\":\"video/VP8\""
        }
        Source::Screen => {
            "\"type\":\"VIDEO\",\"width\":1920,\"height\":1080,\"source\":\"SCREEN_SHARE\",\"mimeType\":\"video/VP8\""
        }
    };
    format!(
        ",\"participant\":{{\"sid\":\"{}\",\"identity\":{}}},\"track\":{{\"sid\":\"{}\",{about}}}",
        person.sid,
        quoted(&person.identity),
        track.sid,
    )
}

fn egress(room: &Room, id: &str, started_ms: u64, more: &str) -> String {
    format!(
        ",\"egressInfo\":{{\"egressId\":\"{id}\",\"roomId\":\"{}\",\"roomName\":{name}{more},\"startedAt\":\"{started_ms}000000\",\
         \"updatedAt\":\"{}000000\",\"roomComposite\":{{\"roomName\":{name},\"layout\":\"grid\",\"fileOutputs\":[{{\"fileType\":\"MP4\",\"filepath\":\"recordings/{id}.mp4\"}}]}}}}",
        room.sid,
        unix_ms(),
        name = quoted(&room.name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::body::{Body, Redaction};

    #[test]
    fn every_body_is_an_event_and_rooms_keep_their_order() {
        let mut world = World::new(1, 20, 4);
        let mut events = world.fill();
        events.extend((0..5_000).map(|_| world.step()));
        events.extend(world.finish());
        let mut live = std::collections::HashMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for (room, text) in &events {
            let body = Body::read(text.as_bytes(), &Redaction::default()).expect(text);
            let sid = body.room_sid.expect("a sid");
            seen.insert(body.event.clone());
            match &*body.event {
                "room_started" => assert_eq!(live.insert(*room, sid), None, "a second start: {text}"),
                "room_finished" => assert_eq!(live.remove(room), Some(sid), "an end without a start: {text}"),
                _ => assert_eq!(live.get(room), Some(&sid), "outside of a session: {text}"),
            }
        }
        assert!(live.is_empty());
        assert_eq!(seen.len(), 9, "{seen:?}");
    }

    #[test]
    fn a_seed_gives_the_same_meetings() {
        let names = |seed| {
            let mut world = World::new(seed, 3, 3);
            let _ = world.fill();
            (0..50).map(|_| world.step().1.split("\"id\"").count()).collect::<Vec<_>>()
        };
        assert_eq!(names(5), names(5));
    }
}
