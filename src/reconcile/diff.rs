//! Compares LiveKit's lists with the state and returns the corrections that are due.
//!
//! Pure: no I/O, no clock. Parents come before their children; endings come in the opposite order.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value, json};

use crate::{
    event::{Kind, Seq, body::Redaction},
    livekit::{ListedParticipant, ListedRoom, integer},
    state::{Participant, Room, RoomEntry, State, Track},
};

use super::{
    correction::{About, Correction, Draft},
    doubt::{Claim, Doubts},
};

mod sides;

/// The existence of a sid is not corrected for this long after a webhook about it: LiveKit's store lags by up to 5 s.
const GRACE_MS: u64 = 10_000;
/// A room that is listed this much longer than its timeouts allow is stale.
const STALE_MARGIN_MS: u64 = 10_000;

const LISTED: &str = "LiveKit lists it, and no webhook has reported it";
const UNLISTED: &str = "LiveKit no longer lists it, and no webhook has reported its end";
const DIFFERS: &str = "LiveKit lists another value, and such changes have no webhook";
const LEFTOVER: &str = "it has been empty for longer than LiveKit keeps an empty room";

/// The moment of a question to LiveKit. Times are unix milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The time just before the request was sent.
    pub at: u64,
    /// The same moment on the monotonic clock.
    pub running: Duration,
    pub now: u64,
}

impl Asked {
    /// Returns true if the list may be older than this webhook.
    fn is_too_recent(&self, webhook_at: u64) -> bool {
        webhook_at + GRACE_MS > self.at
    }
}

/// The inputs of a comparison.
pub struct Compare<'a> {
    pub project: &'a Arc<str>,
    pub state: &'a State,
    pub redaction: &'a Redaction,
    pub asked: Asked,
}

/// When LiveKit last listed an entity, in unix milliseconds, as far as Roomwatch has asked.
pub trait LastSeen {
    fn room(&self, room_sid: &str) -> Option<u64>;
    fn participant(&self, room_sid: &str, sid: &str) -> Option<u64>;
    /// Returns true if the session was listed a moment before `at`, without the sid.
    fn is_fresh(&self, room_sid: &str, sid: &str, at: u64) -> bool;
}

/// Result of a comparison.
#[derive(Debug, Default)]
pub struct Compared {
    pub corrections: Vec<Correction>,
    /// Names of the rooms, or ids of the egress or ingress, about which LiveKit has to be asked again soon.
    pub ask_again: Vec<Arc<str>>,
}

impl Compare<'_> {
    fn draft<'a>(&'a self, rooms: &[&str], sids: &[&str]) -> Draft<'a> {
        let part = self.state.part(self.project, rooms.iter().copied(), sids.iter().copied());
        Draft::new(self.project, part, self.redaction, self.asked.at, self.asked.now)
    }

    /// Ends the live sessions that two lists of rooms do not have. `asked_for` returns true for the names that were asked
    /// for. A list of all rooms ends nothing by what it lacks (`may_end`): it can be cut anywhere, so each room that is
    /// missing is asked about by its name.
    pub fn vanished(
        &self,
        listed: &[ListedRoom],
        asked_for: impl Fn(&str) -> bool,
        may_end: bool,
        seen: &dyn LastSeen,
        doubts: &mut Doubts,
    ) -> Compared {
        let by_name: HashMap<&str, &ListedRoom> = listed.iter().map(|room| (&*room.name, room)).collect();
        let mut compared = Compared::default();
        if !may_end {
            let listed: HashSet<&str> = listed.iter().map(|room| &*room.sid).collect();
            doubts.still_there(None, |sid| listed.contains(sid));
        }
        let mut entries = self.state.rooms(|project, name| *project == **self.project && asked_for(name));
        entries.sort_unstable_by_key(|entry| entry.room.first_seq);
        for entry in entries {
            let room = &entry.room;
            let namesake = by_name.get(&*room.name);
            if namesake.is_some_and(|other| other.sid == room.sid) {
                doubts.is_there(&room.sid);
                continue;
            }
            // LiveKit has one session of a name at a time: a later one means that this one has ended.
            let later = |other: &&ListedRoom| integer(&other.json, "creationTimeMs") > room.started_at;
            let replaced = room.started_at > 0 && namesake.is_some_and(later);
            if !replaced {
                if self.asked.is_too_recent(room.webhook_at) {
                    doubts.is_there(&room.sid);
                    continue;
                }
                let claim = doubts.absent(&room.sid, room.webhook_at, self.asked);
                // LiveKit's API cannot be asked about a room without a name. Only a webhook ends it.
                if room.name.is_empty() || claim == Claim::Waits {
                    continue;
                }
                if !may_end || claim == Claim::Asked {
                    compared.ask_again.push(room.name.clone());
                    continue;
                }
            }
            let mut draft = self.draft(&[&room.sid], &[]);
            for participant in entry.in_order() {
                leave(&mut draft, participant, seen.participant(&room.sid, &participant.sid));
            }
            let mut members = Map::from_iter([("room".to_owned(), room_json(room))]);
            not_before(&mut members, seen.room(&room.sid));
            draft.offer(about(Kind::RoomFinished, &room.name, &room.sid, room.last_seq, UNLISTED), members);
            compared.corrections.append(&mut draft.finish());
        }
        compared
    }

    /// Compares one listed room and its listed participants.
    pub fn room(
        &self,
        room: &ListedRoom,
        participants: &[ListedParticipant],
        seen: &dyn LastSeen,
        doubts: &mut Doubts,
    ) -> Compared {
        let entry = self.state.room(self.project, &room.sid);
        let mut sids: Vec<&str> = vec![&room.sid];
        for participant in participants {
            sids.push(&participant.sid);
            sids.extend(participant.tracks.iter().map(|track| &*track.sid));
        }
        let mut draft = self.draft(&[&room.sid], &sids);
        let listed: HashMap<&str, &ListedParticipant> =
            participants.iter().filter(|p| &*p.state != "DISCONNECTED").map(|p| (&*p.sid, p)).collect();

        let mut again = false;
        let returned = match entry {
            Some(_) => Some(false),
            None => self.may_begin(&room.sid, &room.sid, doubts, &mut again),
        };
        doubts.still_there(Some(&room.sid), |sid| sids.contains(&sid));
        if let Some(entry) = entry {
            for known in entry.in_order() {
                match listed.get(&*known.sid) {
                    Some(listed) => {
                        doubts.is_there(&known.sid);
                        again |= self.unpublished(&mut draft, known, listed, doubts);
                    }
                    None if self.has_vanished(&known.sid, known.webhook_at, doubts, &mut again) => {
                        leave(&mut draft, known, seen.participant(&room.sid, &known.sid));
                    }
                    None => {}
                }
            }
        }

        // An empty room that LiveKit has not removed from its store after its end has not come back.
        let is_leftover = returned == Some(true) && listed.is_empty() && self.leftover(room, None);
        if let Some(returned) = returned.filter(|_| !is_leftover) {
            self.room_itself(&mut draft, room, entry, listed.is_empty(), returned);
        }
        let mut active: Vec<_> = listed.values().collect();
        active.sort_unstable_by_key(|p| (integer(&p.json, "joinedAtMs"), p.sid.clone()));
        for participant in active {
            let known = entry.and_then(|entry| entry.participant(&participant.sid));
            again |= self.present(&mut draft, room, participant, known.map(|known| &**known), seen, doubts);
        }
        // What is in a room begins with it or after it: the fold ignores the rest.
        let ask_again = if again { vec![room.name.clone()] } else { Vec::new() };
        Compared { corrections: draft.finish(), ask_again }
    }

    /// Returns how a listed entity that is not live may begin: `Some(true)` if a webhook has ended it and two answers have
    /// it since, `None` if one answer has it. Sets `again` if LiveKit has to be asked again.
    fn may_begin(
        &self,
        room_sid: &Arc<str>,
        sid: &Arc<str>,
        doubts: &mut Doubts,
        again: &mut bool,
    ) -> Option<bool> {
        let tombstone = self.state.tombstone(self.project, sid);
        let Some(tombstone) = tombstone.filter(|tombstone| !tombstone.source.is_inferred()) else {
            return Some(false);
        };
        if tombstone.buried_at() + GRACE_MS > self.asked.at {
            return None;
        }
        let claim = doubts.returned(room_sid, sid, self.asked);
        *again |= claim == Claim::Asked;
        (claim == Claim::Confirmed).then_some(true)
    }

    /// Returns true if two answers lack an entity, and no webhook about it is as new as they are. Sets `again` if
    /// LiveKit has to be asked again.
    fn has_vanished(&self, sid: &Arc<str>, webhook_at: u64, doubts: &mut Doubts, again: &mut bool) -> bool {
        if self.asked.is_too_recent(webhook_at) {
            doubts.is_there(sid);
            return false;
        }
        let claim = doubts.absent(sid, webhook_at, self.asked);
        *again |= claim == Claim::Asked;
        claim == Claim::Confirmed
    }

    fn room_itself(
        &self,
        draft: &mut Draft<'_>,
        room: &ListedRoom,
        entry: Option<&Arc<RoomEntry>>,
        empty: bool,
        returned: bool,
    ) {
        let stale = empty && self.leftover(room, entry.map(|entry| &*entry.room));
        let mut members = Map::from_iter([("room".to_owned(), Value::Object(room.json.clone()))]);
        if returned {
            members.insert("roomwatch".into(), json!({ "returned": true }));
        } else if stale != entry.is_some_and(|entry| entry.room.stale) {
            members.insert("roomwatch".into(), json!({ "stale": stale }));
        }
        let (kind, touched, why) = match entry {
            Some(entry) if stale && !entry.room.stale => {
                (Kind::RoomUpdated, Seq(entry.room.last_seq), LEFTOVER)
            }
            Some(entry) => (Kind::RoomUpdated, Seq(entry.room.last_seq), DIFFERS),
            None => (Kind::RoomStarted, self.tombstone(&room.sid), if stale { LEFTOVER } else { LISTED }),
        };
        draft.offer(About { touched, ..about(kind, &room.name, &room.sid, 0, why) }, members);
    }

    /// Returns true for the entry of a room that cannot have participants. LiveKit never removes the rooms of a node that
    /// died from its store (livekit/livekit#3766). An empty room lives for `emptyTimeout` after its start and for
    /// `departureTimeout` after its last participant has left.
    fn leftover(&self, listed: &ListedRoom, known: Option<&Room>) -> bool {
        if known.is_some_and(|room| room.stale) {
            return true;
        }
        let secs = |member| integer(&listed.json, member).saturating_mul(1000);
        let started_at = integer(&listed.json, "creationTimeMs").max(secs("creationTime"));
        let started_at = self.state.ours(self.project, started_at);
        let last_at = known.map_or(0, |room| room.last_event_at);
        let lives_until = (started_at.saturating_add(secs("emptyTimeout")))
            .max(last_at.saturating_add(secs("departureTimeout")));
        started_at > 0 && lives_until.saturating_add(STALE_MARGIN_MS) < self.asked.at
    }

    /// Compares a listed participant: joins, publications, mutes and changes. Returns true if LiveKit has to be asked
    /// again.
    fn present(
        &self,
        draft: &mut Draft<'_>,
        room: &ListedRoom,
        listed: &ListedParticipant,
        known: Option<&Participant>,
        seen: &dyn LastSeen,
        doubts: &mut Doubts,
    ) -> bool {
        // Before they are ACTIVE, other participants do not see them, and LiveKit sends no webhook.
        let active = &*listed.state == "ACTIVE";
        let is_known = known.is_some_and(|known| known.state != "unknown");
        if !active && !is_known {
            return false;
        }
        let mut again = false;
        let returned = match known {
            Some(_) => Some(false),
            None => self.may_begin(&room.sid, &listed.sid, doubts, &mut again),
        };
        let identity = &*listed.identity;
        let brief = json!({ "sid": &*listed.sid, "identity": identity });
        let room_brief = json!({ "sid": &*room.sid, "name": &*room.name });
        let touched = known.map_or_else(|| self.tombstone(&listed.sid), |known| Seq(known.last_seq));
        if let Some(returned) = returned.filter(|_| !is_known) {
            let mut joined = listed.json.clone();
            // LiveKit sends this webhook before there are tracks; each track has its own event.
            joined.remove("tracks");
            let mut members = Map::from_iter([
                ("room".to_owned(), Value::Object(room.json.clone())),
                ("participant".to_owned(), Value::Object(joined)),
            ]);
            if returned {
                members.insert("roomwatch".into(), json!({ "returned": true }));
            }
            let about =
                About { touched, ..about(Kind::ParticipantJoined, &room.name, &listed.sid, 0, LISTED) };
            draft.offer(about, members);
        }
        for track in &listed.tracks {
            let before = known.and_then(|known| known.track(&track.sid));
            let returned = match before {
                Some(_) => Some(false),
                None => self.may_begin(&room.sid, &track.sid, doubts, &mut again),
            };
            let Some(returned) = returned else { continue };
            let (kind, why) = match before {
                // LiveKit lists a track when it is announced, and sends its webhook with the first packet: a moment
                // later, or never if the track begins muted.
                None if seen.is_fresh(&room.sid, &track.sid, self.asked.at) => continue,
                None => (Kind::TrackPublished, LISTED),
                Some(before) if before.muted == track.muted => continue,
                Some(_) if track.muted => (Kind::TrackMuted, DIFFERS),
                Some(_) => (Kind::TrackUnmuted, DIFFERS),
            };
            let touched = before.map_or_else(|| self.tombstone(&track.sid), |track| Seq(track.last_seq));
            let mut members = Map::from_iter([
                ("room".to_owned(), room_brief.clone()),
                ("participant".to_owned(), brief.clone()),
                ("track".to_owned(), track.json.clone()),
            ]);
            if returned {
                members.insert("roomwatch".into(), json!({ "returned": true }));
            }
            draft.offer(About { touched, ..about(kind, &room.name, &track.sid, 0, why) }, members);
        }
        if is_known {
            let members = Map::from_iter([
                ("room".to_owned(), room_brief),
                ("participant".to_owned(), Value::Object(listed.json.clone())),
            ]);
            let about =
                About { touched, ..about(Kind::ParticipantUpdated, &room.name, &listed.sid, 0, DIFFERS) };
            draft.offer(about, members);
        }
        again
    }

    /// Ends the tracks that a listed participant no longer has. Returns true if LiveKit has to be asked again.
    fn unpublished(
        &self,
        draft: &mut Draft<'_>,
        known: &Participant,
        listed: &ListedParticipant,
        doubts: &mut Doubts,
    ) -> bool {
        let mut again = false;
        for track in &known.tracks {
            if listed.tracks.iter().any(|other| *other.sid == *track.sid) {
                doubts.is_there(&track.sid);
            } else if self.has_vanished(&Arc::from(&*track.sid), track.webhook_at, doubts, &mut again) {
                unpublish(draft, known, track, None);
            }
        }
        again
    }

    fn tombstone(&self, sid: &str) -> Seq {
        self.state.tombstone(self.project, sid).map_or(Seq::ZERO, |tombstone| Seq(tombstone.seq))
    }
}

fn about<'a>(kind: Kind, room: &'a str, sid: &'a str, touched: u64, why: &'static str) -> About<'a> {
    About { kind, room, sid, touched: Seq(touched), why }
}

/// Ends a participant who is no longer listed: first the tracks, then the participant.
fn leave(draft: &mut Draft<'_>, known: &Participant, seen_at: Option<u64>) {
    for track in &known.tracks {
        unpublish(draft, known, track, seen_at);
    }
    let mut participant = json!({
        "sid": &*known.sid,
        "identity": &*known.identity,
        "name": &*known.name,
        "state": "DISCONNECTED",
        "kind": known.kind.to_uppercase(),
        "joinedAt": (known.joined_at / 1000).to_string(),
        "joinedAtMs": known.joined_at.to_string(),
        "metadata": &*known.metadata,
        "region": &*known.region,
        "version": known.version,
    });
    if let Some(permission) = &known.permission {
        participant["permission"] = written(&permission.json);
    }
    if let Some(attributes) = &known.attributes {
        participant["attributes"] = written(attributes);
    }
    let mut members = Map::from_iter([
        ("room".to_owned(), json!({ "sid": &*known.room_sid, "name": &*known.room })),
        ("participant".to_owned(), Value::Object(crate::livekit::shape::object(participant))),
    ]);
    not_before(&mut members, seen_at);
    draft.offer(about(Kind::ParticipantLeft, &known.room, &known.sid, known.last_seq, UNLISTED), members);
}

fn unpublish(draft: &mut Draft<'_>, known: &Participant, track: &Track, seen_at: Option<u64>) {
    let mut members = Map::from_iter([
        ("room".to_owned(), json!({ "sid": &*known.room_sid, "name": &*known.room })),
        ("participant".to_owned(), json!({ "sid": &*known.sid, "identity": &*known.identity })),
        (
            "track".to_owned(),
            json!({
                "sid": &*track.sid,
                "type": track.kind.to_uppercase(),
                "name": &*track.name,
                "source": track.source.to_uppercase(),
            }),
        ),
    ]);
    not_before(&mut members, seen_at);
    draft.offer(about(Kind::TrackUnpublished, &known.room, &track.sid, track.last_seq, UNLISTED), members);
}

fn not_before(members: &mut Map<String, Value>, seen_at: Option<u64>) {
    if let Some(seen_at) = seen_at {
        members.insert("roomwatch".into(), json!({ "notBefore": seen_at }));
    }
}

fn room_json(room: &Room) -> Value {
    json!({
        "sid": &*room.sid,
        "name": &*room.name,
        "creationTime": (room.started_at / 1000).to_string(),
        "creationTimeMs": room.started_at.to_string(),
        "metadata": &*room.metadata,
    })
}

fn written(json: &serde_json::value::RawValue) -> Value {
    serde_json::from_str(json.get()).unwrap_or_default()
}
