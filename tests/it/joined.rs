//! A caller with only `roomJoin` gets what joining the room would show, the same on every transport.

use serde_json::{Value, json};

use crate::harness::{
    engineio::Polling,
    said::{START, Said, finished, joined, left, of_egress, of_track, said, send, started, track},
    *,
};

/// One such reader on each transport, and the cursor at its start.
struct Joiner {
    stream: Sse,
    socket: Polling,
    after: String,
}

impl Joiner {
    /// `query` is that of the stream and of the socket; both begin at the head.
    async fn of(server: &Server, room: &str) -> Joiner {
        let token = join_token(room);
        let mut stream = server.stream_as(&token, "", None).await;
        let after = stream.connected().await["cursor"].as_str().expect("a cursor").to_owned();
        let mut socket = Polling::connected(server, json!({ "token": token })).await;
        assert_eq!(socket.event().await.expect("an event").0, "connected");
        Joiner { stream, socket, after }
    }

    /// The messages up to `EV_last`, which must be the same on every transport, live and replayed.
    async fn told(mut self, server: &Server, room: &str) -> Vec<Value> {
        let mut live = Vec::new();
        while live.last().is_none_or(|message: &Value| message["data"]["id"] != "EV_last") {
            live.push(self.stream.next().await.data);
        }
        let mut over_socket = Vec::new();
        for _ in &live {
            over_socket.push(self.socket.event().await.expect("an event").1);
        }
        assert_eq!(over_socket, live, "Socket.IO");
        let token = join_token(room);
        let mut again = server.stream_as(&token, &format!("?after={}", self.after), None).await;
        assert_eq!(again.connected().await["resumed"], true);
        let mut replayed = Vec::new();
        for _ in &live {
            replayed.push(again.next().await.data);
        }
        assert_eq!(replayed, live, "the replay");
        let (status, page) = server.get_as(&token, &format!("/api/events?after={}", self.after)).await;
        assert_eq!((status, &page["events"]), (200, &json!(live)), "the page");
        live
    }
}

async fn say(server: &Server, all: &[Said]) {
    // The ids differ between calls.
    let first = now_nanos();
    for (n, said) in all.iter().enumerate() {
        send(server, &format!("EV_{first}_{n}"), said).await;
    }
}

fn now_nanos() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos()
}

async fn say_last(server: &Server, said: &Said) {
    send(server, "EV_last", said).await;
}

fn types(told: &[Value]) -> Vec<&str> {
    told.iter().map(|message| message["type"].as_str().expect("a type")).collect()
}

/// The start of a later session with the same name.
fn started_later(at: u64, sid: &str) -> Said {
    let mut started = started(at, sid, "standup");
    started.body["room"]["creationTimeMs"] = json!(((START + at) * 1000).to_string());
    started
}

#[tokio::test]
async fn a_late_event_of_an_older_session_is_not_sent() {
    let server = Server::start();
    // The older session has no end yet: its webhook is late.
    say(
        &server,
        &[
            started(0, "RM_old", "standup"),
            joined(1, "RM_old", "PA_old", "olga"),
            started_later(60, "RM_new"),
        ],
    )
    .await;
    let reader = Joiner::of(&server, "standup").await;
    let mut waved = said(63, "participant_waved", json!({}));
    waved.body["room"] = json!({ "sid": "RM_old", "name": "standup" });
    say(
        &server,
        &[
            of_track(61, "track_published", "RM_old", "PA_old", "olga", track("TR_1", "AUDIO", "MICROPHONE")),
            joined(62, "RM_old", "PA_older", "otto"),
            waved,
            left(64, "RM_old", "PA_old", "olga"),
            finished(65, "RM_old", "standup"),
            // The same after its end.
            left(66, "RM_old", "PA_older", "otto"),
        ],
    )
    .await;
    say_last(&server, &joined(67, "RM_new", "PA_new", "nora")).await;
    let told = reader.told(&server, "standup").await;
    assert_eq!(types(&told), ["participant_joined"], "{told:?}");
    assert_eq!(told[0]["data"]["room"]["sid"], "RM_new");
}

/// The end of the present session and the start of the next one are sent to callers with `roomJoin`.
#[tokio::test]
async fn the_end_of_the_present_session_is_sent_and_later_events_are_not() {
    let server = Server::start();
    say(&server, &[started(0, "RM_1", "standup"), joined(1, "RM_1", "PA_1", "ada")]).await;
    let reader = Joiner::of(&server, "standup").await;
    say(
        &server,
        &[
            finished(60, "RM_1", "standup"),
            left(61, "RM_1", "PA_1", "ada"),
            finished(62, "RM_1", "standup"),
            started_later(120, "RM_2"),
            left(121, "RM_1", "PA_1", "ada"),
        ],
    )
    .await;
    say_last(&server, &joined(122, "RM_2", "PA_2", "bea")).await;
    // A cursor of the former session is expired now, so only the live messages are compared.
    let mut stream = reader.stream;
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(stream.next().await.data);
    }
    assert_eq!(types(&told), ["room_finished", "room_started", "participant_joined"]);
}

#[tokio::test]
async fn recording_is_sent_and_the_recorder_is_not() {
    let server = Server::start();
    say(&server, &[started(0, "RM_1", "standup")]).await;
    let reader = Joiner::of(&server, "standup").await;
    let mut recorder = joined(3, "RM_1", "PA_rec", "EG_CANARY");
    recorder.body["participant"]["kind"] = "EGRESS".into();
    recorder.body["participant"]["permission"] = json!({ "hidden": true, "recorder": true });
    say(
        &server,
        &[
            of_egress(2, "egress_started", "RM_1", "EG_CANARY", ""),
            recorder,
            of_egress(4, "egress_updated", "RM_1", "EG_CANARY", "EGRESS_ACTIVE"),
        ],
    )
    .await;
    say_last(&server, &joined(5, "RM_1", "PA_1", "ada")).await;
    let (_, list) = server.get_as(&join_token("standup"), "/api/rooms").await;
    let told = reader.told(&server, "standup").await;
    assert_eq!(types(&told), ["room_updated", "participant_joined"], "{told:?}");
    assert!(!json!(told).to_string().contains("CANARY"), "{told:?}");
    assert_eq!(
        (&told[0]["data"], &told[0]["changes"]),
        (
            &json!({ "event": "room_updated", "room": { "sid": "RM_1", "name": "standup" } }),
            &json!([{ "op": "patch", "kind": "room", "id": "RM_1", "project": "default", "room": "standup",
                "roomSid": "RM_1", "value": { "recording": true } }])
        )
    );
    // The list says the same.
    assert_eq!(list["rooms"][0]["recording"], true);
    // With a `type` filter there are no changes, so nothing is left to send.
    let token = join_token("standup");
    let (_, page) = server.get_as(&token, "/api/events?type=room_updated&type=egress_*").await;
    assert_eq!(page["events"], json!([]));
    // All other callers get LiveKit's event.
    let (_, page) = server.get("/api/events?type=egress_started").await;
    assert_eq!(page["events"][0]["data"]["egressInfo"]["egressId"], "EG_CANARY");
}

#[tokio::test]
async fn a_room_that_a_hidden_participant_opened_is_sent() {
    let server = Server::start();
    let reader = Joiner::of(&server, "standup").await;
    let mut watcher = joined(1, "RM_1", "PA_w", "roomwatch:CANARY");
    watcher.body["participant"]["permission"] = json!({ "hidden": true });
    say(&server, &[watcher]).await;
    say_last(&server, &joined(5, "RM_1", "PA_1", "ada")).await;
    let mut stream = reader.stream;
    let opened = stream.next().await.data;
    assert_eq!((&opened["type"], &opened["changes"][0]["op"]), (&json!("room_updated"), &json!("set")));
    assert_eq!(opened["changes"].as_array().map(Vec::len), Some(1));
    assert!(!opened.to_string().contains("CANARY"), "{opened}");
    assert_eq!(stream.next().await.data["data"]["id"], "EV_last");
}

#[tokio::test]
async fn a_participant_that_may_be_hidden_is_not_sent() {
    let server = Server::start();
    say(&server, &[started(0, "RM_1", "standup")]).await;
    let reader = Joiner::of(&server, "standup").await;
    // A track event may overtake its participant, and does not say whether they are hidden.
    let shadow =
        of_track(1, "track_published", "RM_1", "PA_CANARY", "CANARY", track("TR_1", "AUDIO", "MICROPHONE"));
    let mut waved = said(1, "participant_waved", json!({ "participant": { "sid": "PA_CANARY2" } }));
    waved.body["room"] = json!({ "sid": "RM_1", "name": "standup" });
    say(&server, &[shadow, waved]).await;
    let token = join_token("standup");
    let (_, now) = server.get_as(&token, "/api/rooms/standup").await;
    assert_eq!(now["participants"], json!([]));
    let mut came = joined(2, "RM_1", "PA_CANARY", "CANARY");
    came.body["participant"]["permission"] = json!({ "hidden": true });
    let alice = of_track(3, "track_published", "RM_1", "PA_a", "alice", track("TR_2", "VIDEO", "CAMERA"));
    say(&server, &[came, alice]).await;
    say_last(&server, &joined(4, "RM_1", "PA_a", "alice")).await;
    let (_, page) = server.get_as(&token, "/api/sessions/RM_1").await;
    let told = reader.told(&server, "standup").await;
    assert!(!json!([told, page]).to_string().contains("CANARY"), "{told:?}\n{page}");
    // A visible participant is then sent as a whole, with the track.
    let last = told.last().expect("a message");
    assert_eq!((&last["changes"][0]["op"], &last["changes"][0]["id"]), (&json!("set"), &json!("PA_a")));
    assert_eq!(last["changes"][0]["value"]["tracks"][0]["sid"], "TR_2");
    // The counts from the changes are those of the list.
    let (_, list) = server.get_as(&token, "/api/rooms").await;
    let mut room = json!({});
    for change in told.iter().flat_map(|message| message["changes"].as_array().expect("changes")) {
        if change["kind"] == "room" {
            room.as_object_mut()
                .expect("an object")
                .extend(change["value"].as_object().expect("fields").clone());
        }
    }
    for (name, value) in room.as_object().expect("an object") {
        assert_eq!(value, &list["rooms"][0][name], "{name}");
    }
    assert_eq!((&room["participantCount"], &room["trackCounts"]["audio"]), (&json!(1), &json!(0)));
}

/// A participant who becomes hidden is gone for a caller with only `roomJoin`, in the list and on the stream.
#[tokio::test]
async fn a_participant_who_becomes_hidden_is_deleted() {
    let server = Server::start();
    let shown = |at, event: &str, hidden: bool| {
        let mut said = joined(at, "RM_1", "PA_h", "CANARY");
        said.body["event"] = event.into();
        said.body["participant"]["version"] = at.into();
        said.body["participant"]["permission"] = json!({ "hidden": hidden });
        said
    };
    say(&server, &[started(0, "RM_1", "standup"), shown(1, "participant_joined", false)]).await;
    let token = join_token("standup");
    let reader = Joiner::of(&server, "standup").await;
    say(&server, &[shown(2, "participant_joined", true)]).await;
    let (_, now) = server.get_as(&token, "/api/rooms/standup").await;
    assert_eq!(now["participants"], json!([]));
    say_last(&server, &joined(5, "RM_1", "PA_1", "ada")).await;
    let told = reader.told(&server, "standup").await;
    assert_eq!(types(&told), ["room_updated", "participant_joined"], "{told:?}");
    let delete = json!({ "op": "delete", "kind": "participant", "id": "PA_h", "project": "default", "room": "standup",
        "roomSid": "RM_1", "value": null });
    assert_eq!(told[0]["changes"][0], delete);
    assert_eq!(told[0]["changes"][1]["value"], json!({ "participantCount": 0 }));
    assert!(!json!(told).to_string().contains("CANARY"), "{told:?}");
}

/// The next session may begin before the last has ended, and a late event may show that it began earlier.
#[tokio::test]
async fn a_caller_who_sees_another_session_gets_all_of_it() {
    let server = Server::start();
    say(&server, &[started(0, "RM_1", "standup"), joined(1, "RM_1", "PA_1", "ada")]).await;
    let reader = Joiner::of(&server, "standup").await;
    let next = started_later(60, "RM_2");
    let mut end = finished(70, "RM_2", "standup");
    end.body["room"] = next.body["room"].clone();
    say(&server, &[next, end]).await;
    let mut stream = reader.stream;
    let changes = |message: &Value| {
        let changes = message["changes"].as_array().expect("changes");
        changes
            .iter()
            .map(|change| format!("{} {}", change["op"], change["id"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    let begins = stream.next().await.data;
    assert_eq!((&begins["type"], &begins["data"]["event"]), (&json!("room_started"), &json!("room_started")));
    assert_eq!(changes(&begins), ["delete RM_1", "set RM_2"]);
    let ends = stream.next().await.data;
    assert_eq!(ends["type"], "room_finished");
    assert_eq!(changes(&ends), ["delete RM_2", "set RM_1", "set PA_1"]);
    // Callers that see both sessions get only what the event changed.
    let (_, page) = server.get("/api/events?limit=2").await;
    assert_eq!(changes(&page["events"][0]), ["set RM_2"]);
    assert_eq!(changes(&page["events"][1]), ["delete RM_2"]);
}
