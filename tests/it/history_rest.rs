//! Past sessions, over HTTP.

use roomwatch::token::Grant;
use serde_json::{Value, json};

use crate::harness::{
    said::{Said, finished, joined, left, of_egress, room, send, send_all, started},
    *,
};

/// The standup ended and is live again. Alice was there, Bob is there, and a recorder was and is there.
fn days() -> Vec<Said> {
    let recorder = |at, room_sid, sid| {
        let mut recorder = joined(at, room_sid, sid, "EG_1");
        recorder.body["participant"]["kind"] = "EGRESS".into();
        recorder
    };
    let mut retro = joined(7, "RM_3", "PA_z", "zoe");
    retro.body["room"] = room("RM_3", "retro");
    let mut again = started(300, "RM_2", "standup");
    again.body["room"]["creationTimeMs"] = "1787486700000".into();
    vec![
        started(0, "RM_1", "standup"),
        joined(5, "RM_1", "PA_a", "alice"),
        recorder(6, "RM_1", "PA_e1"),
        of_egress(6, "egress_started", "RM_1", "EG_1", ""),
        of_egress(60, "egress_ended", "RM_1", "EG_1", "EGRESS_COMPLETE"),
        left(100, "RM_1", "PA_a", "alice"),
        finished(120, "RM_1", "standup"),
        again,
        joined(310, "RM_2", "PA_b", "bob"),
        recorder(311, "RM_2", "PA_e2"),
        retro,
    ]
}

fn sids(answer: &(u16, Value)) -> Vec<String> {
    assert_eq!(answer.0, 200, "{}", answer.1);
    let sessions = answer.1["sessions"].as_array().expect("sessions");
    sessions.iter().map(|session| session["sid"].as_str().expect("a sid").to_owned()).collect()
}

#[tokio::test]
async fn an_ended_session_is_found_by_identity_after_a_restart() {
    let mut server = Start::new().on_disk().start();
    send_all(&server, &days()).await;
    let found = sids(&server.get("/api/sessions?identity=alice").await);
    assert_eq!(found, ["RM_1"]);
    let (_, story) = server.get("/api/sessions/RM_1").await;
    let (_, now) = server.get("/api/rooms/standup").await;
    assert_eq!(
        (&story["participations"][0]["identity"], &story["egress"][0]["status"]),
        (&json!("alice"), &json!("complete"))
    );
    // First with SIGKILL, then with SIGTERM.
    for kill in [true, false] {
        if kill {
            server.kill();
        } else {
            server.signal("TERM");
            until("it has ended", || server.ended().is_some());
        }
        let next = server.again().start();
        server = next;
        server.until_ready();
        assert_eq!(sids(&server.get("/api/sessions?identity=alice").await), found);
        assert_eq!(server.get("/api/sessions/RM_1").await.1, story);
        assert_eq!(server.get("/api/rooms/standup").await.1["participants"], now["participants"]);
        let mut carol = joined(400, "RM_3", "PA_c", "carol");
        carol.body["room"] = room("RM_3", "retro");
        send(&server, &format!("EV_after_{kill}"), &carol).await;
    }
    assert_eq!(sids(&server.get("/api/sessions?identity=carol").await), ["RM_3"]);
}

#[tokio::test]
async fn pages_of_sessions_end() {
    let server = Server::start();
    send_all(&server, &days()).await;
    let (mut seen, mut path) = (Vec::new(), "/api/sessions?limit=1".to_owned());
    loop {
        let page = server.get(&path).await;
        seen.extend(sids(&page));
        let Some(next) = page.1["next"].as_str() else { break };
        path = format!("/api/sessions?limit=1&before={next}");
    }
    assert_eq!(seen, ["RM_2", "RM_3", "RM_1"]);
    assert_eq!(sids(&server.get("/api/sessions?room=standup").await), ["RM_2", "RM_1"]);
    assert_eq!(sids(&server.get("/api/sessions?from=1787486530000&to=1787486600000").await), ["RM_3"]);
}

/// The examples are those of the lists in the browser too.
#[tokio::test]
async fn a_search_finds_names_of_rooms_and_people_whatever_their_case_and_accents() {
    let server = Server::start();
    let examples: Value = serde_json::from_str(include_str!("../../fixtures/fold.json")).expect("JSON");
    let pairs =
        |name: &str| serde_json::from_value::<Vec<(String, String)>>(examples[name].clone()).expect("pairs");
    for (at, (text, part)) in pairs("found").into_iter().chain(pairs("missing")).enumerate() {
        let expected = at < pairs("found").len();
        let [room, person] = [format!("room {text}"), format!("person {text}")];
        let started = json!({ "event": "participant_joined", "id": format!("EV_{at}"), "createdAt": "1787486400",
            "room": { "sid": format!("RM_{at}"), "name": room, "creationTime": "1787486400" },
            "participant": { "sid": format!("PA_{at}"), "identity": format!("p{at}"), "name": person, "state": "ACTIVE" } });
        assert_eq!(server.webhook(&started.to_string()).await, 200);
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("q", &part).finish();
        let (status, found) = server.get(&format!("/api/search?limit=100&{query}")).await;
        assert_eq!(status, 200, "{found}");
        let results = found["results"].as_array().expect("results");
        for (kind, key, name) in [("room", "room", &room), ("identity", "name", &person)] {
            let is_found = results.iter().any(|one| one["kind"] == kind && one[key] == **name);
            assert_eq!(is_found, expected, "{kind} {name} by {part}");
        }
    }
}

#[tokio::test]
async fn each_caller_sees_its_part_of_the_past() {
    let server = Server::start();
    send_all(&server, &days()).await;
    let admin = admin_token("standup");
    assert_eq!(sids(&server.get_as(&admin, "/api/sessions").await), ["RM_2", "RM_1"]);
    assert_eq!(server.get_as(&admin, "/api/sessions?room=retro").await.0, 403);
    let foreign = server.get_as(&admin, "/api/sessions/RM_3").await;
    let nowhere = server.get_as(&admin, "/api/sessions/RM_none").await;
    assert_eq!(foreign, nowhere);
    assert_eq!((foreign.0, &foreign.1["error"]["code"]), (404, &json!("unknown_session")));
    // A roomJoin caller sees the present session, without the recorder.
    let join = join_token("standup");
    assert_eq!(sids(&server.get_as(&join, "/api/sessions").await), ["RM_2"]);
    assert_eq!(server.get_as(&join, "/api/sessions/RM_1").await.0, 404);
    let (_, story) = server.get_as(&join, "/api/sessions/RM_2").await;
    let people = story["participations"].as_array().expect("people");
    assert_eq!(people.iter().map(|p| &p["identity"]).collect::<Vec<_>>(), ["bob"]);
    let found = async |token: &str, text: &str| {
        let (status, found) = server.get_as(token, &format!("/api/search?q={text}")).await;
        assert_eq!(status, 200, "{found}");
        found["results"].as_array().expect("results").len()
    };
    for text in ["alice", "EG_1", "zoe", "PA_e2", "RM_1"] {
        assert_eq!(found(&join, text).await, 0, "{text}");
    }
    assert_eq!(
        (found(&join, "bob").await, found(&admin, "alice").await, found(&admin, "zoe").await),
        (1, 1, 0)
    );
    let (_, activity) = server.get_as(&join, "/api/activity").await;
    let joins = |activity: &Value| {
        activity["points"]
            .as_array()
            .expect("points")
            .iter()
            .map(|p| p["joins"].as_i64().unwrap_or(0))
            .sum::<i64>()
    };
    assert!(joins(&activity) <= 1, "{activity}");
    let nobody = token("unknown", Grant::default());
    for path in ["/api/sessions", "/api/activity", "/api/search?q=a"] {
        assert_eq!(server.get_as(&nobody, path).await.0, 403, "{path}");
        assert_eq!(server.get_as("", path).await.0, 401, "{path}");
        assert_eq!(server.get_as(&join_token("elsewhere"), path).await.0, 200, "{path}");
    }
    assert_eq!(server.get_as(&nobody, "/api/sessions/RM_1").await.0, 404);
}

#[tokio::test]
async fn activity_includes_the_present() {
    let server = Server::start();
    send_all(&server, &days()).await;
    // Joins count when they were received, which is now; the participants are still there.
    let (status, day) = server.get("/api/activity").await;
    assert_eq!(status, 200);
    let points = day["points"].as_array().expect("points");
    assert!(points.len() <= 300, "{}", points.len());
    let sum = |field: &str| points.iter().map(|p| p[field].as_i64().unwrap_or(0)).sum::<i64>();
    assert_eq!((sum("joins"), sum("leaves")), (3, 1));
    assert_eq!((&points[points.len() - 1]["rooms"], &points[0]["rooms"]), (&json!(2), &Value::Null));
    // The same for one room, from its sessions, which use LiveKit's times.
    let (_, room) =
        server.get("/api/activity?room=standup&from=1787486400000&to=1787487000000&step=60000").await;
    let people: Vec<_> = room["points"]
        .as_array()
        .expect("points")
        .iter()
        .map(|p| p["participants"].as_i64().unwrap_or(-1))
        .collect();
    assert_eq!(people[..6], [1, 1, 0, 0, 0, 1]);
}

#[tokio::test]
async fn invalid_queries_are_400_with_a_code() {
    let server = Server::start();
    let long = "x".repeat(3_000);
    for (path, code) in [
        ("/api/sessions?limit=0", "bad_limit"),
        ("/api/sessions?limit=1001", "bad_limit"),
        ("/api/sessions?limit=ten", "bad_limit"),
        ("/api/sessions?before=junk", "bad_cursor"),
        ("/api/sessions?before=-1--2", "bad_cursor"),
        ("/api/sessions?from=yesterday", "bad_time"),
        ("/api/sessions?from=-1", "bad_time"),
        ("/api/sessions?room=a&room=b", "duplicate_parameter"),
        ("/api/sessions?rooms=a", "unknown_parameter"),
        ("/api/activity?from=2000&to=1000", "bad_time"),
        ("/api/activity?from=253402300700000", "bad_time"),
        ("/api/activity?from=0&step=60000", "too_many_points"),
        ("/api/search", "empty_query"),
        ("/api/search?q=%20", "empty_query"),
        ("/api/search?q=a&limit=101", "bad_limit"),
        (&format!("/api/search?q={long}"), "filter_too_large"),
    ] {
        let (status, answer) = server.get(path).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{path}");
    }
    // A quotation mark is text.
    for path in
        ["/api/search?q=%27%22%3B--", "/api/sessions?identity=%27%20OR%201%3D1", "/api/sessions?room=%00"]
    {
        assert_eq!(server.get(path).await.0, 200, "{path}");
    }
}
