//! LiveKit Cloud's analytics API: the shape that programs for it read.

use serde_json::{Value, json};

use crate::harness::{
    said::{START, Said, finished, joined, left, of_egress, room, send_all, started},
    *,
};

/// 23 August 2026, noon of UTC, is the start. Session `n` begins `n` days later.
const DAY: u64 = 86_400;

fn session(n: u64, ends: bool) -> Vec<Said> {
    let (sid, at) = (format!("RM_{n}"), n * DAY);
    let name = format!("room-{n}");
    let of_room = |mut said: Said| {
        said.body["room"] = room(&sid, &name);
        said.body["room"]["creationTimeMs"] = ((START + at) * 1000).to_string().into();
        said
    };
    let stay = |identity: &str, kind: &str| {
        let pa = format!("PA_{n}_{identity}");
        let (mut came, mut gone) = (joined(at, &sid, &pa, identity), left(at + 89, &sid, &pa, identity));
        came.body["participant"]["joinedAtMs"] = ((START + at) * 1000).to_string().into();
        came.body["participant"]["kind"] = kind.into();
        for field in ["name", "kind", "joinedAt", "joinedAtMs"] {
            gone.body["participant"][field] = came.body["participant"][field].clone();
        }
        [of_room(came), of_room(gone)]
    };
    let [ann, ann_left] = stay("ann", "STANDARD");
    let [agent, agent_left] = stay("helper", "AGENT");
    let mut hidden = stay("spy", "STANDARD");
    hidden[0].body["participant"]["permission"]["hidden"] = true.into();
    let mut all = vec![of_room(started(at, &sid, &name)), ann, agent, hidden[0].clone()];
    if ends {
        all.extend([ann_left, agent_left, of_room(finished(at + 100, &sid, &name))]);
    }
    all
}

async fn server() -> Server {
    let server = Server::start();
    let mut all: Vec<Said> = (0..5).flat_map(|n| session(n, n < 4)).collect();
    all.push(of_egress(4 * DAY + 5, "egress_started", "RM_4", "EG_4", "EGRESS_ACTIVE"));
    send_all(&server, &all).await;
    server
}

async fn listed(server: &Server, query: &str) -> String {
    let (status, answer) = server.get(&format!("/api/project/default/sessions{query}")).await;
    assert_eq!(status, 200, "{query}: {answer}");
    let sessions = answer["sessions"].as_array().expect("sessions");
    sessions.iter().map(|one| &one["sessionId"].as_str().expect("a sid")[3..]).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn sessions_have_the_shape_of_livekit_cloud() {
    let server = server().await;
    let (_, answer) = server.get("/api/project/default/sessions").await;
    let sessions = answer["sessions"].as_array().expect("sessions");
    assert_eq!(
        sessions[1],
        json!({
            "sessionId": "RM_3", "roomName": "room-3", "createdAt": "2026-08-26T12:00:00.000Z",
            "endedAt": "2026-08-26T12:01:40.999Z", "lastActive": "2026-08-26T12:01:40.999Z", "bandwidthIn": null,
            "bandwidthOut": null, "egress": 0, "numParticipants": 2, "numActiveParticipants": 0
        })
    );
    let live = &sessions[0];
    assert_eq!(
        (&live["endedAt"], &live["egress"], &live["numActiveParticipants"]),
        (&Value::Null, &json!(1), &json!(2)),
        "{live}"
    );
    let participant = |identity: &str, name: &str| {
        json!({
            "participantIdentity": identity, "participantName": name, "roomId": "RM_3", "isActive": false,
            "joinedAt": "2026-08-26T12:00:00.000Z", "leftAt": "2026-08-26T12:01:29.999Z", "region": null,
            "connectionType": null, "sdkVersion": null
        })
    };
    let (status, detail) = server.get("/api/project/default/sessions/RM_3").await;
    assert_eq!(status, 200);
    assert_eq!(
        detail,
        json!({
            "roomId": "RM_3", "roomName": "room-3", "status": 0, "bandwidth": null,
            "startTime": "2026-08-26T12:00:00.000Z", "endTime": "2026-08-26T12:01:40.999Z", "numParticipants": 2,
            "connectionMinutes": 3.0,
            "participants": [participant("ann", "ANN"), participant("helper", "HELPER")]
        })
    );
}

#[tokio::test]
async fn pages_are_numbered_and_days_are_those_of_utc() {
    let server = server().await;
    for (query, expected) in [
        ("", "4 3 2 1 0"),
        ("/", "4 3 2 1 0"),
        ("?limit=2", "4 3"),
        ("?limit=2&page=1", "2 1"),
        ("?limit=2&page=2", "0"),
        ("?limit=2&page=3", ""),
        ("?start=2026-08-25", "4 3 2"),
        ("?end=2026-08-25", "2 1 0"),
        ("?start=2026-08-24&end=2026-08-25", "2 1"),
        ("?start=2026-08-24&limit=2&page=1", "2 1"),
        ("?start=2026-08-25&limit=2&page=1", "2"),
        ("?start=2027-01-01", ""),
    ] {
        assert_eq!(listed(&server, query).await, expected, "{query}");
    }
    for (query, code) in [
        ("?limit=0", "bad_limit"),
        ("?limit=1001", "bad_limit"),
        ("?page=-1", "bad_limit"),
        ("?limit=100&page=1001", "bad_limit"),
        ("?start=yesterday", "bad_time"),
        ("?end=2026-02-30", "bad_time"),
        ("?room=a", "unknown_parameter"),
    ] {
        let (status, answer) = server.get(&format!("/api/project/default/sessions{query}")).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{query}: {answer}");
    }
    for path in ["/api/project/other/sessions", "/api/project/other/sessions/RM_3"] {
        assert_eq!(server.get(path).await.1["error"]["code"], "unknown_project", "{path}");
    }
    assert_eq!(server.get("/api/project/default/sessions/RM_9").await.1["error"]["code"], "unknown_session");
}
