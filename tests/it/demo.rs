//! `roomwatch demo` as a process: it has a month of history, and commands act on its meetings as on those of a LiveKit.

use serde_json::{Value, json};

use crate::harness::*;

/// Few meetings, so that it starts fast, and a quiet present, so that the participants stay.
fn demo() -> Server {
    let quiet = Start::new().subcommand("demo").arg("--rooms").arg("6").arg("--rate").arg("0.05");
    quiet.start()
}

async fn get(server: &Server, path: &str) -> Value {
    let (status, answer) = server.get_as("", path).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Gives a command, and returns the status and the answer.
async fn command(server: &Server, method: &str, path: &str, body: Value) -> (u16, Value) {
    let method = method.parse().expect("a method");
    let request = client().request(method, server.url(path)).json(&body);
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// Returns the room with the most participants, and its participants.
async fn largest(server: &Server) -> (Value, Vec<Value>) {
    let rooms = get(server, "/api/rooms").await["rooms"].as_array().cloned().expect("rooms");
    let room = rooms.into_iter().max_by_key(|room| room["participantCount"].as_u64()).expect("a room");
    let whole = get(server, &format!("/api/rooms/{}", room["name"].as_str().expect("a name"))).await;
    (room, whole["participants"].as_array().cloned().expect("participants"))
}

/// Waits for an event of this type that `is_it` accepts, and returns it.
async fn event(server: &Server, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    until_async(kind, async || {
        let page = get(server, &format!("/api/events?type={kind}")).await;
        let events = page["events"].as_array().cloned().expect("events");
        found = events.into_iter().find(|event| is_it(&event["data"])).unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}

#[tokio::test]
async fn commands_act_on_the_simulated_meetings() {
    let server = demo();
    until_async("LiveKit is compared", async || {
        let projects = get(&server, "/api/projects").await;
        projects["projects"][0]["state"] == "ok" && projects["projects"][0]["egress"] == "ok"
    })
    .await;

    // A mute has no webhook: it is found by comparison.
    let mut muted = Value::Null;
    until_async("a microphone is muted", async || {
        let (room, participants) = largest(&server).await;
        let loud = participants.iter().find_map(|participant| {
            let tracks = participant["tracks"].as_array()?;
            let track =
                tracks.iter().find(|track| track["source"] == "microphone" && track["muted"] == false)?;
            Some((participant["identity"].as_str()?.to_owned(), track["sid"].as_str()?.to_owned()))
        });
        let Some((identity, sid)) = loud else { return false };
        let room = room["name"].as_str().expect("a name");
        let path = format!("/api/rooms/{room}/participants/{identity}/tracks/{sid}/mute");
        let (status, answer) = command(&server, "POST", &path, json!({ "muted": true })).await;
        muted = sid.into();
        status == 200 && answer == json!({ "sid": muted, "muted": true })
    })
    .await;
    let found = event(&server, "track_muted", |data| data["track"]["sid"] == muted).await;
    assert_eq!(found["source"], "reconcile");

    let mut removed = Value::Null;
    until_async("a participant is removed", async || {
        let (room, participants) = largest(&server).await;
        let Some(participant) = participants.iter().find(|one| one["kind"] == "standard") else {
            return false;
        };
        removed = participant["sid"].clone();
        let (room, identity) = (room["name"].as_str().expect("a name"), participant["identity"].as_str());
        let path = format!("/api/rooms/{room}/participants/{}", identity.expect("an identity"));
        command(&server, "DELETE", &path, json!({})).await.0 == 204
    })
    .await;
    let found = event(&server, "participant_left", |data| data["participant"]["sid"] == removed).await;
    assert_eq!(found["source"], "webhook");
    assert_eq!(found["data"]["participant"]["disconnectReason"], "PARTICIPANT_REMOVED");

    let mut ended = (Value::Null, 0);
    until_async("a room is ended", async || {
        let (room, participants) = largest(&server).await;
        ended = (room["sid"].clone(), participants.len());
        let path = format!("/api/rooms/{}", room["name"].as_str().expect("a name"));
        !participants.is_empty() && command(&server, "DELETE", &path, json!({})).await.0 == 204
    })
    .await;
    let (sid, count) = ended;
    let found = event(&server, "room_finished", |data| data["room"]["sid"] == sid).await;
    assert_eq!(found["source"], "webhook");
    let page = get(&server, "/api/events?type=participant_left").await;
    let left = page["events"].as_array().expect("events").iter().filter(|event| {
        event["data"]["room"]["sid"] == sid
            && event["data"]["participant"]["disconnectReason"] == "ROOM_DELETED"
    });
    assert_eq!(left.count(), count, "{page}");
    let session = get(&server, &format!("/api/sessions/{}", sid.as_str().expect("a sid"))).await;
    assert_eq!(session["session"]["endReason"], "room_deleted", "{session}");

    let room = json!({ "name": "my-room", "metadata": "first", "maxParticipants": 3 });
    let (status, created) = command(&server, "POST", "/api/rooms", room).await;
    assert_eq!((status, &created["name"]), (201, &json!("my-room")), "{created}");
    event(&server, "room_started", |data| data["room"]["sid"] == created["sid"]).await;
    let (status, _) = command(&server, "PATCH", "/api/rooms/my-room", json!({ "metadata": "second" })).await;
    assert_eq!(status, 200);
    let found = event(&server, "room_updated", |data| data["room"]["metadata"] == "second").await;
    assert_eq!(found["source"], "reconcile");
    let (status, _) = command(&server, "POST", "/api/rooms/my-room/data", json!({ "text": "hello" })).await;
    assert_eq!(status, 204);
    let (status, answer) = command(&server, "DELETE", "/api/rooms/no-room", json!({})).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("room_not_live")), "{answer}");

    // The simulated LiveKit and the webhooks agree: a comparison finds only what has no webhook.
    let projects = get(&server, "/api/projects").await;
    let corrections = projects["projects"][0]["corrections"]["last"].as_array().expect("corrections");
    for correction in corrections {
        let kind = correction["type"].as_str().expect("a type");
        assert!(["track_muted", "track_unmuted", "room_updated"].contains(&kind), "{correction}");
    }
}

#[tokio::test]
async fn it_begins_with_a_month_of_history() {
    const DAY: i64 = 86_400;
    let server = demo();
    let today = now() / DAY * DAY;
    let (from, to) = ((today - 29 * DAY) * 1000, (today + DAY) * 1000);
    let activity = get(&server, &format!("/api/activity?from={from}&to={to}&step={}", DAY * 1000)).await;
    let points = activity["points"].as_array().expect("points");
    assert_eq!(points.len(), 30);
    for point in points {
        assert!(point["rooms"].as_i64() > Some(0) && point["joins"].as_i64() > Some(0), "{point}");
    }
    // The last hour has no gap before the present.
    let minute = now() / 60 * 60;
    let (from, to) = ((minute - 3_600) * 1000, minute * 1000);
    let activity = get(&server, &format!("/api/activity?from={from}&to={to}&step=60000")).await;
    for point in activity["points"].as_array().expect("points") {
        assert!(point["rooms"].as_i64() > Some(2), "{point}");
    }

    let week = now() * 1000 - 7 * DAY * 1000;
    let sessions = get(&server, &format!("/api/sessions?to={week}&limit=500")).await;
    let sessions = sessions["sessions"].as_array().expect("sessions");
    assert!(sessions.len() > 100, "{}", sessions.len());
    let outcomes: std::collections::BTreeSet<_> =
        sessions.iter().filter_map(|session| session["recordingOutcome"].as_str()).collect();
    assert!(outcomes.contains("complete") && outcomes.contains("failed"), "{outcomes:?}");
    assert!(sessions.iter().all(|session| session["endedAt"].is_i64()), "all of them have ended");

    // Old failures are not news.
    let attention = get(&server, "/api/attention").await;
    let open = attention["conditions"].as_array().expect("conditions");
    let began = now() * 1000 - 60_000;
    assert!(open.iter().all(|condition| condition["since"].as_i64() > Some(began)), "{attention}");
}
