//! `?at=`: the rooms as they were at a cursor or a time.

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use parking_lot::RwLock;
use roomwatch::{
    cli::simulate::world::World,
    clock::Clock,
    derived::{Derived, Options},
    event::{Cursor, NewEvent, Seq},
    feed::Feed,
    follow::encode,
    log::{EventLog, LogOptions, memory::MemoryLog},
    snapshot::{Moment, Snapshot, SnapshotError, Snapshots},
    state::State,
    token::Grant,
};
use serde_json::{Value, json};

use crate::harness::{
    Server, Start, admin_token, join_token, list_token,
    said::{START, Said, finished, joined, left, of_egress, room, send, send_all, started},
    token, until,
};

/// Removes what is about now.
fn without_the_present(answer: &mut Value) {
    for now in ["livekit", "checkedAt", "unconfirmedSince"] {
        answer.as_object_mut().expect("an object").remove(now);
    }
}

/// The list, and each room of it, without what is about now.
async fn everything(server: &Server, at: &str) -> Value {
    let (status, mut list) = server.get(&format!("/api/rooms{at}")).await;
    assert_eq!(status, 200, "{at}: {list}");
    let mut rooms = Vec::new();
    for room in list["rooms"].as_array_mut().expect("rooms") {
        let name = room["name"].as_str().expect("a name");
        let (status, mut whole) = server.get(&format!("/api/rooms/{name}{at}")).await;
        assert_eq!(status, 200, "{at}: {whole}");
        without_the_present(&mut whole);
        without_the_present(&mut whole["room"]);
        without_the_present(room);
        rooms.push(whole);
    }
    without_the_present(&mut list);
    json!([list, rooms])
}

fn seq(answer: &Value) -> u64 {
    let cursor: Cursor = answer["cursor"].as_str().expect("a cursor").parse().expect("a cursor");
    cursor.seq.0
}

#[tokio::test]
async fn a_past_state_is_the_one_that_was_live_then() {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut world = World::new(5, 8, 4);
    let mut server = Start::new().on_disk().start();
    let mut live = Vec::new();
    let mut bodies = world.fill();
    let mut sent = 0;
    while live.len() < 100 {
        for (_, body) in std::mem::take(&mut bodies) {
            assert_eq!(server.webhook(&body).await, 200);
            sent += 1;
        }
        live.push(everything(&server, "").await);
        // A clean end writes a checkpoint, and after a crash the log is folded from the one before.
        if live.len() % 25 == 0 {
            if live.len() == 50 {
                server.kill();
            } else {
                server.signal("TERM");
                until("the server has ended", || server.ended().is_some());
            }
            server = server.again().start();
        }
        bodies.extend((0..rng.usize(1..12)).map(|_| world.step()));
    }
    assert!(sent > 500, "a long run: {sent} events");
    rng.shuffle(&mut live);
    for then in &live {
        let cursor = then[0]["cursor"].as_str().expect("a cursor");
        let past = everything(&server, &format!("?at={cursor}")).await;
        assert_eq!(past, *then, "{cursor}");
        assert_eq!((&past[0]["exact"], past[0]["at"].is_u64()), (&json!(true), true));
    }

    // Times, by the log itself.
    let (_, page) = server.get("/api/events?after=start&limit=1000").await;
    let events: Vec<(u64, u64)> = page["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| (event["timestamp"].as_u64().expect("a time"), seq(event)))
        .collect();
    let (first, last) = (events[0].0, events[events.len() - 1].0);
    for _ in 0..50 {
        let time = rng.u64(first..=last);
        let expected = events.iter().filter(|(at, _)| *at <= time).map(|(_, seq)| *seq).max();
        let (status, past) = server.get(&format!("/api/rooms?at={time}")).await;
        assert_eq!((status, Some(seq(&past))), (200, expected), "{time}: {past}");
        assert!(past["at"].as_u64().is_some_and(|at| at <= time), "{time}: {past}");
        let cursor = past["cursor"].as_str().expect("a cursor");
        assert_eq!(everything(&server, &format!("?at={cursor}")).await[0], {
            let mut past = past.clone();
            for room in past["rooms"].as_array_mut().expect("rooms") {
                assert_eq!((&room["checkedAt"], &room["unconfirmedSince"]), (&Value::Null, &Value::Null));
                without_the_present(room);
            }
            assert_eq!(past["livekit"], json!([]));
            without_the_present(&mut past);
            past
        });
    }
    // The future is not known: the present state answers.
    let (_, now) = server.get("/api/rooms").await;
    let (_, later) = server.get(&format!("/api/rooms?at={}", last + 86_400_000)).await;
    assert_eq!((&later["cursor"], &later["at"]), (&now["cursor"], &now["at"]));

    let code = async |at: &str| {
        let (status, answer) = server.get(&format!("/api/rooms?at={at}")).await;
        (status, answer["error"]["code"].as_str().unwrap_or("none").to_owned())
    };
    assert_eq!(code(&(first - 1).to_string()).await, (410, "expired".into()), "before the oldest");
    let epoch = now["cursor"].as_str().and_then(|cursor| cursor.split('-').next()).expect("an epoch");
    assert_eq!(code(&format!("{epoch}-999999")).await, (400, "ahead".into()));
    assert_eq!(code("00000000-5").await, (410, "unknown_epoch".into()));
    for junk in ["now", "-5", "1.5", "5eed5eed", &format!("{epoch}-")] {
        assert_eq!(code(junk).await.0, 400, "{junk}");
    }
    // An epoch may consist of digits. Without a seq it is a time, here one in 1970.
    assert_eq!(code("77563985").await, (410, "expired".into()));
    assert_eq!(code("5&at=6").await, (400, "duplicate_parameter".into()));
}

/// A person of the room, with a version that is newer than that of `joined`.
fn updated(at: u64, sid: &str, identity: &str, hidden: bool) -> Said {
    let mut said = joined(at, "RM_1", sid, identity);
    said.body["participant"]["version"] = (at * 10).into();
    said.body["participant"]["permission"] = json!({"canSubscribe": true, "hidden": hidden});
    said
}

#[tokio::test]
async fn the_rights_are_those_of_now_and_whoever_is_hidden_stays_hidden() {
    let server = Server::start();
    let cursor = async || {
        let (_, list) = server.get("/api/rooms").await;
        list["cursor"].as_str().expect("a cursor").to_owned()
    };
    let mut before = joined(1, "RM_0", "PA_z", "zoe");
    before.body["room"]["creationTimeMs"] = ((START - 50) * 1000).to_string().into();
    let mut other = joined(2, "RM_x", "PA_x", "xaver");
    other.body["room"] = room("RM_x", "retro");
    send_all(&server, &[before, other]).await;
    let earlier = cursor().await;
    let mut end = finished(3, "RM_0", "standup");
    end.body["id"] = "EV_end".into();
    assert_eq!(server.webhook(&end.body.to_string()).await, 200);
    let mut n = 0;
    let mut say = async |said: Said| {
        n += 1;
        send(&server, &format!("EV_more_{n}"), &said).await;
    };
    say(started(5, "RM_1", "standup")).await;
    say(joined(6, "RM_1", "PA_a", "alice")).await;
    say(joined(7, "RM_1", "PA_b", "bob")).await;
    say(updated(8, "PA_s", "shadow", true)).await;
    say(joined(9, "RM_1", "PA_c", "carol")).await;
    say(of_egress(10, "egress_started", "RM_1", "EG_1", "")).await;
    let then = cursor().await;
    // Bob hides, Carol hides and leaves, and the shadow shows itself.
    say(updated(20, "PA_b", "bob", true)).await;
    say(updated(21, "PA_c", "carol", true)).await;
    say(left(22, "RM_1", "PA_c", "carol")).await;
    say(updated(23, "PA_s", "shadow", false)).await;

    let (all, join, admin) = (list_token(), join_token("standup"), admin_token("standup"));
    let see = async |token: &str, at: &str| {
        let (status, answer) = server.get_as(token, &format!("/api/rooms/standup{at}")).await;
        let people = answer["participants"].as_array().into_iter().flatten();
        let people: Vec<_> = people.map(|p| p["identity"].as_str().unwrap_or_default().to_owned()).collect();
        let (same, list) = server.get_as(token, &format!("/api/rooms/standup/participants{at}")).await;
        assert_eq!((same, &list["participants"]), (status, &answer["participants"]));
        let egress = answer["egress"].as_array().map_or(0, Vec::len);
        (status, people.join(" "), answer["room"]["participantCount"].as_u64().unwrap_or(0), egress)
    };
    let (now, then, earlier) = (String::new(), format!("?at={then}"), format!("?at={earlier}"));
    let table = [
        (&all, &now, (200, "alice bob shadow", 2, 1)),
        (&all, &then, (200, "alice bob shadow carol", 3, 1)),
        (&all, &earlier, (200, "zoe", 1, 0)),
        (&admin, &then, (200, "alice bob shadow carol", 3, 1)),
        (&admin, &earlier, (200, "zoe", 1, 0)),
        (&join, &now, (200, "alice shadow", 2, 0)),
        (&join, &then, (200, "alice", 1, 0)),
        (&join, &earlier, (410, "", 0, 0)),
    ];
    for (token, at, (status, people, count, egress)) in table {
        assert_eq!(see(token, at).await, (status, people.to_owned(), count, egress), "{at:?}");
    }
    // The list of a caller has the same rooms, and the same counts.
    let list = async |token: &str, at: &str| {
        let (status, answer) = server.get_as(token, &format!("/api/rooms{at}")).await;
        let rooms = answer["rooms"].as_array().into_iter().flatten();
        let rooms: Vec<_> =
            rooms.map(|room| format!("{} {}", room["sid"], room["participantCount"])).collect();
        (status, rooms.join(", ").replace('"', ""))
    };
    for (token, at, expected) in [
        (&all, &then, (200, "RM_x 1, RM_1 3")),
        (&all, &earlier, (200, "RM_x 1, RM_0 1")),
        (&admin, &earlier, (200, "RM_0 1")),
        (&join, &then, (200, "RM_1 1")),
        (&join, &earlier, (410, "")),
        (&join_token("nowhere"), &then, (410, "")),
        (&token("none", Grant::default()), &then, (403, "")),
    ] {
        assert_eq!(list(token, at).await, (expected.0, expected.1.to_owned()), "{at}");
    }
    // The end of the session takes its past away from those who may only join.
    say(finished(30, "RM_1", "standup")).await;
    assert_eq!(see(&join, &then).await.0, 410);
    assert_eq!(see(&admin, &then).await.0, 200);
}

/// A log in memory, folded and kept by hand.
struct Kept {
    clock: Clock,
    log: Arc<MemoryLog>,
    derived: Arc<Derived>,
    state: State,
}

impl Kept {
    fn new(dir: &Path) -> Kept {
        let clock = Clock::held(START * 1000);
        let options = LogOptions {
            retain_age: Some(Duration::from_secs(3600)),
            clock: clock.clone(),
            ..LogOptions::default()
        };
        let log = Arc::new(MemoryLog::new(options));
        let (derived, state) = Derived::open(dir, log.bounds(), Options::default()).expect("it opens");
        Kept { clock, log, derived: Arc::new(derived), state }
    }

    /// Appends an event a minute later, and folds it.
    async fn take(&mut self, id: u64) {
        self.clock.advance(Duration::from_secs(60));
        let event = joined(id, "RM_1", &format!("PA_{id}"), &format!("guest-{id}")).event(0);
        let new = NewEvent {
            id: format!("EV_{id}").into(),
            project: event.project,
            source: event.source,
            received_at: self.clock.unix_ms(),
            kind: event.kind,
            room: event.room,
            room_sid: event.room_sid,
            body: event.body,
        };
        self.log.append(vec![new]).await.expect("appended");
        let events = self.log.read(self.state.head(), 1).await.expect("it reads");
        let applied = self.state.apply(&events[0]);
        self.derived.record(encode(&events[0], applied));
    }

    fn checkpoint(&self) {
        self.derived.checkpoint(self.state.clone());
    }

    fn snapshots(&self) -> Snapshots {
        let log: Arc<dyn EventLog> = self.log.clone();
        let feed = Feed::new(log.clone(), self.derived.clone(), self.state.head());
        Snapshots::new(log, self.derived.clone(), Arc::new(RwLock::new(self.state.clone())), feed)
    }
}

#[tokio::test]
async fn where_the_log_has_lost_the_events_the_nearest_step_answers_with_its_own_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut kept = Kept::new(dir.path());
    // Event n comes n minutes after the start; a checkpoint every two hours, as an hour is the finest that stays.
    for n in 1..=480 {
        kept.take(n).await;
        if n % 120 == 0 {
            kept.checkpoint();
        }
    }
    let derived = kept.derived.clone();
    until("the checkpoints are written", || derived.written() == Seq(480));
    kept.log.retain(Seq(480));
    let first = kept.log.bounds().first.0;
    assert_eq!(first, 420, "an hour of the log is left");
    let snapshots = kept.snapshots();
    let at = async |minute: f64| {
        let time = START * 1000 + (minute * 60_000.0) as u64;
        snapshots.at(Moment::Time(time), None).await.map(|Snapshot { cursor, at, exact, .. }| {
            (cursor.seq.0, (at.expect("a time") - START * 1000) / 60_000, exact)
        })
    };
    for (minute, expected) in [
        // The log has every event after the step.
        (480.5, (480, 480, true)),
        // The log has no event between the step at 360 and its first one, so neither is folded.
        (419.5, (360, 360, false)),
        (420.5, (480, 480, false)),
        (470.2, (480, 480, false)),
        // The steps themselves.
        (120.0, (120, 120, false)),
        (360.0, (360, 360, false)),
        (200.0, (240, 240, false)),
        (170.0, (120, 120, false)),
        (180.0, (120, 120, false)),
    ] {
        assert_eq!(at(minute).await.expect("a state"), expected, "minute {minute}");
    }
    for minute in [0.0, 1.0, 119.9] {
        assert!(matches!(at(minute).await, Err(SnapshotError::Expired)), "minute {minute}");
    }
    // A cursor of a step is exact, whatever the log has lost.
    let cursor = |seq| Cursor { epoch: kept.log.bounds().epoch, seq: Seq(seq) };
    let of = async |seq| snapshots.at(Moment::Cursor(cursor(seq)), None).await.expect("a state");
    let step = of(240).await;
    assert!(step.exact && step.read().rooms(|_, _| true)[0].participants().count() == 240);
    let step = of(250).await;
    assert!(!step.exact && step.cursor == cursor(240));
    // What comes before the first event that a caller may see is gone for it.
    let hidden = snapshots.at(Moment::Cursor(cursor(240)), Some(Seq(241))).await;
    assert!(matches!(hidden, Err(SnapshotError::Expired)));
}

#[tokio::test]
async fn many_moments_at_once_are_each_folded_right() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut kept = Kept::new(dir.path());
    for n in 1..=50 {
        kept.take(n).await;
        if n % 10 == 0 {
            kept.checkpoint();
        }
    }
    let snapshots = Arc::new(kept.snapshots());
    let epoch = kept.log.bounds().epoch;
    let asked = (0..30).map(|n| {
        let snapshots = snapshots.clone();
        let seq = Seq(n % 10 * 5 + 1);
        tokio::spawn(async move { (seq, snapshots.at(Moment::Cursor(Cursor { epoch, seq }), None).await) })
    });
    let mut seen = HashSet::new();
    for asked in asked.collect::<Vec<_>>() {
        let (seq, snapshot) = asked.await.expect("no panic");
        let snapshot = snapshot.expect("a state");
        assert_eq!(snapshot.cursor.seq, seq);
        let rooms = snapshot.read().rooms(|_, _| true);
        assert_eq!(rooms[0].participants().count() as u64, seq.0);
        seen.insert(seq);
    }
    assert_eq!(seen.len(), 10);
}
