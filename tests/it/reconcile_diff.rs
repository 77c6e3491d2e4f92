//! The comparison as a pure function: whatever LiveKit lists and the log contains, afterwards they agree.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use roomwatch::{
    event::{Event, Kind, Source, body::Redaction},
    livekit::{ListedParticipant, ListedRoom, ListedTrack},
    reconcile::{
        correction::Correction,
        diff::{Asked, Compare, Compared, LastSeen},
        doubt::Doubts,
    },
    state::State,
};
use serde_json::{Value, json};

use crate::harness::cases;

/// The time of the tests, in unix milliseconds.
const BEGAN: u64 = 1_787_486_400_000;

struct Nobody;

impl LastSeen for Nobody {
    fn room(&self, _: &str) -> Option<u64> {
        None
    }

    fn participant(&self, _: &str, _: &str) -> Option<u64> {
        None
    }

    fn is_fresh(&self, _: &str, _: &str, _: u64) -> bool {
        false
    }
}

/// A log with its fold, and the doubts of the node that compares it.
struct Told {
    project: Arc<str>,
    doubts: Doubts,
    state: State,
    ids: Vec<Box<str>>,
    redaction: Redaction,
}

impl Told {
    fn new() -> Told {
        Told {
            project: "p".into(),
            doubts: Doubts::default(),
            state: State::default(),
            ids: Vec::new(),
            redaction: Redaction::default(),
        }
    }

    fn webhook(&mut self, at: u64, body: &Value) {
        self.apply(Source::Webhook, at, body["event"].as_str().unwrap_or(""), body.to_string());
    }

    fn apply(&mut self, source: Source, at: u64, kind: &str, body: String) {
        let read =
            roomwatch::event::body::Body::read(body.as_bytes(), &Redaction::default()).expect("a body");
        let event = Event {
            seq: self.state.head().next(),
            project: self.project.clone(),
            source,
            received_at: at,
            kind: Kind::from(kind),
            room: read.room,
            room_sid: read.room_sid,
            body: read.json,
        };
        self.state.apply(&event);
        self.ids.push(read.id);
    }

    fn asked(at: u64) -> Asked {
        Asked { at, running: Duration::from_millis(at), now: at }
    }

    fn compare(&self, asked: Asked) -> Compare<'_> {
        Compare { project: &self.project, state: &self.state, redaction: &self.redaction, asked }
    }

    fn vanished(&mut self, asked: Asked, listed: &[ListedRoom], may_end: bool) -> Compared {
        let mut doubts = std::mem::take(&mut self.doubts);
        let compared = self.compare(asked).vanished(listed, |_| true, may_end, &Nobody, &mut doubts);
        self.doubts = doubts;
        compared
    }

    /// One answer of LiveKit to each question. Returns the corrections.
    fn answer(&mut self, at: u64, world: &World) -> Vec<Correction> {
        let asked = Told::asked(at);
        let rooms: Vec<ListedRoom> = world.keys().map(|n| listed_room(*n)).collect();
        let mut made = self.vanished(asked, &rooms, true).corrections;
        self.append(at, &made);
        for (n, room) in world {
            let participants: Vec<_> =
                room.iter().map(|(p, tracks)| listed_participant(*n, *p, tracks)).collect();
            let mut doubts = std::mem::take(&mut self.doubts);
            let compared = self.compare(asked).room(&listed_room(*n), &participants, &Nobody, &mut doubts);
            self.doubts = doubts;
            self.append(at, &compared.corrections);
            made.extend(compared.corrections);
        }
        made
    }

    /// Two answers of LiveKit, as far apart as they have to be. Returns the corrections.
    fn reconcile(&mut self, at: u64, world: &World) -> Vec<Correction> {
        let mut made = self.answer(at, world);
        made.extend(self.answer(at + 2_000, world));
        made
    }

    fn append(&mut self, at: u64, corrections: &[Correction]) {
        for correction in corrections {
            let event = correction.event(at, &Redaction::default()).expect("an event");
            assert!(!self.ids.contains(&event.id), "the id of another: {correction:?}");
            let body = String::from_utf8(event.body.to_vec()).expect("text");
            self.apply(Source::Reconcile, at, correction.kind.as_str(), body);
        }
        self.doubts.settled(corrections);
    }

    /// Every sid that a webhook of these tests can have.
    fn sids(&self) -> Vec<Box<str>> {
        let rooms = (0..6_u8).map(|n| format!("RM_{n}"));
        let people = (0..6_u8).flat_map(|n| (0..6_u8).map(move |p| format!("PA_{n}_{p}")));
        let tracks = people.clone().flat_map(|p| (0..3_u8).map(move |t| format!("TR{}_{t}", &p[2..])));
        rooms.chain(people).chain(tracks).map(String::into_boxed_str).collect()
    }

    /// Rooms, participants and tracks by sid, and whether each track is muted.
    fn present(&self) -> World {
        let number = |sid: &str| sid.split('_').next_back().and_then(|n| n.parse().ok()).expect("a number");
        let rooms = self.state.rooms(|_, _| true).into_iter().map(|entry| {
            let participants = entry.participants().map(|participant| {
                let tracks = participant.tracks.iter().map(|track| (number(&track.sid), track.muted));
                (number(&participant.sid), tracks.collect())
            });
            (number(&entry.room.sid), participants.collect())
        });
        rooms.collect()
    }
}

/// Rooms, their participants, their tracks and whether they are muted: sids as numbers.
type World = BTreeMap<u8, BTreeMap<u8, BTreeMap<u8, bool>>>;

fn room_json(n: u8) -> Value {
    // Two sids share a name: two sessions of one room.
    json!({"sid": format!("RM_{n}"), "name": format!("room-{}", n / 2), "creationTimeMs": (BEGAN + u64::from(n)).to_string(),
        "emptyTimeout": 300, "departureTimeout": 20})
}

fn participant_json(n: u8, p: u8) -> Value {
    json!({"sid": format!("PA_{n}_{p}"), "identity": format!("i{p}"), "state": "ACTIVE", "version": 3,
        "joinedAtMs": (BEGAN + u64::from(p)).to_string(), "permission": {"hidden": p.is_multiple_of(5)}})
}

fn track_json(n: u8, p: u8, t: u8, muted: bool) -> Value {
    let mut track = json!({"sid": format!("TR_{n}_{p}_{t}"), "source": "CAMERA", "type": "VIDEO"});
    if muted {
        track["muted"] = true.into();
    }
    track
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("no object: {other}"),
    }
}

fn listed_room(n: u8) -> ListedRoom {
    let json = object(room_json(n));
    ListedRoom { sid: format!("RM_{n}").into(), name: format!("room-{}", n / 2).into(), json }
}

fn listed_participant(n: u8, p: u8, tracks: &BTreeMap<u8, bool>) -> ListedParticipant {
    let mut json = participant_json(n, p);
    let tracks: Vec<ListedTrack> = tracks
        .iter()
        .map(|(t, muted)| {
            let json = track_json(n, p, *t, *muted);
            ListedTrack { sid: format!("TR_{n}_{p}_{t}").into(), muted: *muted, json }
        })
        .collect();
    json["tracks"] = tracks.iter().map(|track| track.json.clone()).collect();
    ListedParticipant {
        sid: format!("PA_{n}_{p}").into(),
        identity: format!("i{p}").into(),
        state: "ACTIVE".into(),
        tracks,
        json: object(json),
    }
}

/// At most one session of each name, because LiveKit keys its rooms by name.
fn worlds() -> impl Strategy<Value = World> {
    let tracks = prop::collection::btree_map(0u8..3, any::<bool>(), 0..3);
    let participants = prop::collection::btree_map(0u8..6, tracks, 0..4);
    prop::collection::btree_map(0u8..6, participants, 0..4).prop_map(|mut world: World| {
        world.retain_names();
        world
    })
}

trait RetainNames {
    fn retain_names(&mut self);
}

impl RetainNames for World {
    fn retain_names(&mut self) {
        let second: Vec<u8> =
            self.keys().copied().filter(|n| n % 2 == 1 && self.contains_key(&(n - 1))).collect();
        for n in second {
            self.remove(&n);
        }
    }
}

/// A webhook with some sids, which may not fit the rooms.
fn webhooks() -> impl Strategy<Value = Vec<Value>> {
    let one = (0u8..8, 0u8..6, 0u8..6, 0u8..3, any::<bool>()).prop_map(|(kind, n, p, t, muted)| {
        let brief = json!({"sid": format!("RM_{n}"), "name": format!("room-{}", n / 2)});
        let mut body = match kind {
            0 => json!({"event": "room_started", "room": room_json(n)}),
            1 => json!({"event": "room_finished", "room": room_json(n)}),
            2 | 3 => json!({"event": "participant_joined", "room": brief, "participant": participant_json(n, p)}),
            4 => json!({"event": "participant_left", "room": brief, "participant": participant_json(n, p)}),
            5 | 6 => json!({"event": "track_published", "room": brief, "participant": {"sid": format!("PA_{n}_{p}"), "identity": format!("i{p}")},
                "track": track_json(n, p, t, muted)}),
            _ => json!({"event": "track_unpublished", "room": brief, "participant": {"sid": format!("PA_{n}_{p}"), "identity": format!("i{p}")},
                "track": track_json(n, p, t, muted)}),
        };
        body["createdAt"] = (BEGAN / 1000).to_string().into();
        body
    });
    prop::collection::vec(one, 0..30)
}

/// Returns true if a webhook has ended this sid.
fn is_buried(told: &Told, sid: &str) -> bool {
    told.state.tombstone("p", sid).is_some_and(|tombstone| tombstone.source == Source::Webhook)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), ..ProptestConfig::default() })]

    /// After two answers the state is what LiveKit lists, even what webhooks have ended, and two more change nothing.
    #[test]
    fn afterwards_they_agree(webhooks in webhooks(), worlds in prop::collection::vec(worlds(), 1..4)) {
        let mut told = Told::new();
        for (n, body) in webhooks.iter().enumerate() {
            told.webhook(BEGAN + n as u64, body);
        }
        for (n, world) in worlds.iter().enumerate() {
            let at = BEGAN + 60_000 * (n as u64 + 1);
            // Otherwise what came back has to be absent for longer.
            told.doubts = Doubts::default();
            told.reconcile(at, world);
            prop_assert_eq!(&told.present(), world);
            let again = told.reconcile(at + 10_000, world);
            prop_assert!(again.is_empty(), "{:?}", again);
        }
    }

    /// One answer ends nothing, whatever it lacks, unless it has a later session of the same name. Nor do two that are less
    /// than two seconds apart, nor two with one between them that has everything.
    #[test]
    fn one_answer_ends_nothing(webhooks in webhooks(), full in worlds(), lack in worlds()) {
        let mut told = Told::new();
        for body in &webhooks {
            told.webhook(BEGAN, body);
        }
        told.reconcile(BEGAN + 60_000, &full);
        let all = told.present();
        let replaced = |n: u8| n.is_multiple_of(2) && [&lack, &all].iter().any(|world| world.contains_key(&(n + 1)));
        for (after, world) in [(0, &lack), (1_999, &lack), (2_500, &all), (4_000, &lack), (5_999, &lack)] {
            for correction in told.answer(BEGAN + 120_000 + after, world) {
                let ends = matches!(correction.kind, Kind::RoomFinished | Kind::ParticipantLeft | Kind::TrackUnpublished);
                let n: u8 = correction.sid.split('_').nth(1).and_then(|n| n.parse().ok()).expect("a number");
                prop_assert!(!ends || replaced(n), "{:?} at {}", correction, after);
            }
        }
    }

    /// One answer raises nothing that a webhook has ended, and neither do two with one between them that lacks it.
    #[test]
    fn one_answer_raises_nothing(webhooks in webhooks(), world in worlds()) {
        let mut told = Told::new();
        for body in &webhooks {
            told.webhook(BEGAN, body);
        }
        for (after, world) in [(60_000, &world), (61_999, &world), (70_000, &World::new()), (71_000, &world)] {
            let buried: Vec<Box<str>> = told.sids().into_iter().filter(|sid| is_buried(&told, sid)).collect();
            // A list of all rooms comes first in each run.
            let rooms: Vec<ListedRoom> = world.keys().map(|n| listed_room(*n)).collect();
            told.vanished(Told::asked(BEGAN + after), &rooms, false);
            for correction in told.answer(BEGAN + after, world) {
                let begins = matches!(correction.kind, Kind::RoomStarted | Kind::ParticipantJoined | Kind::TrackPublished);
                prop_assert!(!begins || !buried.contains(&Box::from(&*correction.sid)), "{:?} at {}", correction, after);
            }
        }
    }

    /// LiveKit's clock may differ as far as its tokens allow: nothing ends because of it while lists lag, and a webhook
    /// still revokes an inferred end.
    #[test]
    fn another_clock_makes_nothing_flap(behind in -50_i64..=340, late_ms in 0_u64..900, p in 1_u8..5) {
        let mut told = Told::new();
        let theirs = |at: u64| at.saturating_add_signed(-behind * 1_000);
        let send = |told: &mut Told, at: u64, mut body: Value| {
            body["createdAt"] = (theirs(at) / 1_000).to_string().into();
            told.webhook(at + late_ms, &body);
        };
        let mut room = room_json(1);
        room["creationTimeMs"] = theirs(BEGAN).to_string().into();
        let mut person = participant_json(1, p);
        person["joinedAtMs"] = theirs(BEGAN + 60_000).to_string().into();
        let nanos = (theirs(BEGAN + 60_000) * 1_000_000).to_string();
        let track = json!({"event": "track_published", "room": {"sid": "RM_1", "name": "room-0"}, "participant": {"sid": person["sid"], "identity": person["identity"]},
            "track": track_json(1, p, 0, false)});
        send(&mut told, BEGAN, json!({"event": "room_started", "room": room}));
        send(&mut told, BEGAN + 60_000, json!({"event": "participant_joined", "room": room, "participant": person}));
        send(&mut told, BEGAN + 60_000, track.clone());
        send(&mut told, BEGAN + 60_000, json!({"event": "egress_started", "egressInfo": {"egressId": "EG_1", "roomId": "RM_1", "roomName": "room-0", "updatedAt": nanos}}));
        send(&mut told, BEGAN + 60_000, json!({"event": "ingress_started", "ingressInfo": {"ingressId": "IN_1", "roomName": "room-0",
            "state": {"status": "ENDPOINT_PUBLISHING", "updatedAt": nanos}}}));
        let listed = ListedRoom { json: object(room.clone()), ..listed_room(1) };
        let ends = |told: &mut Told, after: u64| {
            let (asked, mut doubts) = (Told::asked(BEGAN + after), std::mem::take(&mut told.doubts));
            let compare = told.compare(asked);
            let mut made = compare.room(&listed, &[], &Nobody, &mut doubts).corrections;
            made.extend(compare.egress(&[], 0, |_| true, true, &mut doubts).corrections);
            made.extend(compare.ingress(&[], |_| true, true, &mut doubts).corrections);
            told.doubts = doubts;
            told.append(BEGAN + after, &made);
            made
        };
        for after in [61_000, 64_000, 68_000] {
            let made = ends(&mut told, after);
            prop_assert!(made.is_empty(), "{:?} at {}", made, after);
        }
        // The room was created a minute ago, so it is not a leftover, whatever its time says.
        let leftover = |told: &Told| told.state.room("p", "RM_1").is_some_and(|entry| entry.room.stale);
        ends(&mut told, 80_000);
        prop_assert_eq!(kinds(&ends(&mut told, 83_000)).len(), 4, "track, person, egress, ingress");
        prop_assert!(!leftover(&told) && told.present()[&1].is_empty());
        send(&mut told, BEGAN + 85_000, track);
        prop_assert_eq!(told.present()[&1].len(), 1);
        // A webhook from before the inferred end does not revoke it.
        ends(&mut told, 100_000);
        ends(&mut told, 100_000 + 601_000);
        prop_assert_eq!(told.present()[&1].len(), 0);
        let (at, mut late) = (BEGAN + 800_000, json!({"event": "participant_joined", "room": room, "participant": person}));
        send(&mut told, at, json!({"event": "room_started", "room": room}));
        late["createdAt"] = (theirs(BEGAN + 690_000) / 1_000).to_string().into();
        told.webhook(at, &late);
        prop_assert_eq!(told.present()[&1].len(), 0);
    }

    /// An egress and an ingress are corrected once, whatever has become of their room.
    #[test]
    fn a_list_of_egress_and_ingress_is_corrected_once(
        webhooks in webhooks(),
        finished in prop::collection::btree_set(0..6_u8, 0..6),
        listed in prop::collection::vec((0..6_u8, 0..4_usize, any::<bool>(), any::<bool>()), 1..4),
    ) {
        const STATUS: [&str; 4] = ["EGRESS_STARTING", "EGRESS_ACTIVE", "EGRESS_ENDING", "EGRESS_COMPLETE"];
        let mut told = Told::new();
        for body in &webhooks {
            told.webhook(BEGAN, body);
        }
        let nanos = (BEGAN * 1_000_000).to_string();
        let (mut egress, mut ingress) = (Vec::new(), Vec::new());
        for (n, (room, status, has_webhook, publishes)) in listed.iter().enumerate() {
            let room = room_json(*room);
            let info = json!({"egressId": format!("EG_{n}"), "roomId": room["sid"], "roomName": room["name"], "updatedAt": nanos});
            if *has_webhook {
                told.webhook(BEGAN, &json!({"event": "egress_started", "egressInfo": info}));
            }
            let mut info = object(info);
            info.insert("status".into(), STATUS[*status].into());
            egress.push(info);
            let status = if *publishes { "ENDPOINT_PUBLISHING" } else { "ENDPOINT_INACTIVE" };
            ingress.push(object(json!({"ingressId": format!("IN_{n}"), "roomName": room["name"],
                "state": {"status": status, "updatedAt": nanos, "roomId": room["sid"]}})));
        }
        for n in &finished {
            told.webhook(BEGAN, &json!({"event": "room_finished", "room": room_json(*n)}));
        }
        for (after, most) in [(60_000, usize::MAX), (90_000, 0)] {
            let (asked, mut doubts) = (Told::asked(BEGAN + after), std::mem::take(&mut told.doubts));
            let compare = told.compare(asked);
            let mut made = compare.egress(&egress, BEGAN, |_| true, true, &mut doubts).corrections;
            made.extend(compare.ingress(&ingress, |_| true, true, &mut doubts).corrections);
            told.doubts = doubts;
            prop_assert!(made.len() <= most, "{:?} again", made);
            told.append(BEGAN + after, &made);
        }
    }

    /// A webhook of the last 10 s is not reverted, and nothing that depends on it.
    #[test]
    fn a_recent_webhook_is_not_reverted(webhooks in webhooks(), world in worlds()) {
        let mut told = Told::new();
        for body in &webhooks {
            told.webhook(BEGAN, body);
        }
        let before = told.present();
        let mut corrections = told.answer(BEGAN + 7_000, &world);
        corrections.extend(told.answer(BEGAN + 9_500, &world));
        let gone: Vec<_> = corrections.iter().filter(|c| matches!(c.kind, Kind::RoomFinished | Kind::ParticipantLeft | Kind::TrackUnpublished)).collect();
        for correction in &gone {
            // A later session of the name proves that this one is over.
            let n: u8 = correction.sid.split('_').nth(1).and_then(|n| n.parse().ok()).expect("a number");
            prop_assert!(n.is_multiple_of(2) && world.contains_key(&(n + 1)), "{:?} of {:?}", correction, before);
        }
    }
}

fn kinds(corrections: &[Correction]) -> Vec<(&str, &str)> {
    corrections.iter().map(|correction| (correction.kind.as_str(), &*correction.sid)).collect()
}

#[test]
fn parents_come_first_and_endings_last() {
    let mut told = Told::new();
    let world: World = [(2, [(1, [(0, false), (1, true)].into())].into())].into();
    let first = told.reconcile(BEGAN, &world);
    assert_eq!(
        kinds(&first),
        [
            ("room_started", "RM_2"),
            ("participant_joined", "PA_2_1"),
            ("track_published", "TR_2_1_0"),
            ("track_published", "TR_2_1_1")
        ]
    );
    let last = told.reconcile(BEGAN + 60_000, &World::new());
    assert_eq!(
        kinds(&last),
        [
            ("track_unpublished", "TR_2_1_0"),
            ("track_unpublished", "TR_2_1_1"),
            ("participant_left", "PA_2_1"),
            ("room_finished", "RM_2")
        ]
    );
    // LiveKit had lost it for a while: it returns, with new event ids.
    assert_eq!(kinds(&told.reconcile(BEGAN + 120_000, &world)), kinds(&first));
}

#[test]
fn a_live_room_that_no_list_has_ends_once() {
    let mut told = Told::new();
    let nothing = World::new();
    let mut ends = Vec::new();
    // A webhook about the room arrives each minute, and a list without it every two seconds, for three hours.
    for secs in 0..3 * 3600_u64 {
        let at = BEGAN + secs * 1_000;
        if secs % 60 == 0 {
            let mut body = json!({"event": "room_started", "room": room_json(1)});
            body["createdAt"] = (at / 1000).to_string().into();
            told.webhook(at, &body);
            assert_eq!(told.present().len(), 1, "{secs}");
        }
        if secs % 2 == 1 {
            ends.extend(told.answer(at, &nothing).into_iter().map(|correction| (secs, correction.kind)));
        }
    }
    assert_eq!(ends, [(13, Kind::RoomFinished)]);
    // It is over when LiveKit has been silent about it for ten minutes.
    let last = BEGAN + 3 * 3_600_000;
    assert_eq!(told.answer(last + 500_000, &nothing).len(), 0);
    assert_eq!(told.answer(last + 700_000, &nothing).len(), 1);
}

#[test]
fn an_end_that_only_a_lagging_list_has_contradicted_is_inferred_again_at_once() {
    let mut told = Told::new();
    let world: World = [(2, [(1, [].into())].into())].into();
    let empty: World = [(2, [].into())].into();
    told.reconcile(BEGAN, &world);
    for after in [60_000, 90_000, 120_000] {
        assert_eq!(kinds(&told.reconcile(BEGAN + after, &empty)), [("participant_left", "PA_2_1")]);
        assert_eq!(kinds(&told.answer(BEGAN + after + 3_000, &world)), [("participant_joined", "PA_2_1")]);
    }
}

#[test]
fn a_list_of_all_rooms_ends_nothing_by_what_it_lacks() {
    let mut told = Told::new();
    told.webhook(BEGAN, &json!({"event": "room_started", "room": room_json(0)}));
    for after in [60_000, 90_000, 600_000] {
        let compared = told.vanished(Told::asked(BEGAN + after), &[], false);
        assert_eq!((compared.corrections.len(), &*compared.ask_again), (0, &["room-0".into()][..]));
    }
}

#[test]
fn a_room_without_a_name_is_ended_by_webhooks_only() {
    let mut told = Told::new();
    let room = json!({"sid": "RM_0", "creationTimeMs": BEGAN.to_string()});
    told.webhook(BEGAN, &json!({"event": "room_started", "room": room}));
    told.webhook(
        BEGAN,
        &json!({"event": "participant_joined", "room": room, "participant": participant_json(0, 1)}),
    );
    let listed = ListedRoom { sid: "RM_0".into(), name: "".into(), json: object(room.clone()) };
    for (after, listed) in [(60_000, vec![]), (90_000, vec![listed]), (600_000, vec![]), (7_200_000, vec![])]
    {
        let compared = told.vanished(Told::asked(BEGAN + after), &listed, true);
        assert!(compared.corrections.is_empty() && compared.ask_again.is_empty(), "{compared:?}");
    }
    assert_eq!(told.present()[&0].len(), 1);
    told.webhook(BEGAN, &json!({"event": "room_finished", "room": room}));
    assert_eq!(told.present(), World::new());
}

#[test]
fn only_requested_names_can_be_missing() {
    let mut told = Told::new();
    told.webhook(BEGAN, &json!({"event": "room_started", "room": room_json(0)}));
    told.webhook(BEGAN, &json!({"event": "room_started", "room": room_json(2)}));
    let mut doubts = Doubts::default();
    let mut vanished =
        |at| told.compare(Told::asked(at)).vanished(&[], |name| name == "room-1", true, &Nobody, &mut doubts);
    let first = vanished(BEGAN + 60_000);
    assert_eq!((kinds(&first.corrections).len(), &*first.ask_again), (0, &["room-1".into()][..]));
    let vanished = vanished(BEGAN + 62_000).corrections;
    assert_eq!(kinds(&vanished), [("room_finished", "RM_2")]);
}
