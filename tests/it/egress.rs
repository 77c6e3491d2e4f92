//! The list of recordings and streams, over HTTP.

use serde_json::{Value, json};

use crate::harness::*;

const T: i64 = 1_787_486_400_000;

/// An event of an egress that began `at` seconds after [`T`].
fn of_egress(id: &str, room: &str, at: i64, info: Value) -> Value {
    let mut egress = json!({ "egressId": id, "roomId": format!("RM_{room}"), "roomName": room,
        "startedAt": ((T / 1000 + at) * 1_000_000_000).to_string(), "updatedAt": ((T / 1000 + at) * 1_000_000_000 + 1).to_string() });
    egress.as_object_mut().expect("an object").extend(info.as_object().expect("an object").clone());
    let ended = ["EGRESS_COMPLETE", "EGRESS_FAILED", "EGRESS_ABORTED", "EGRESS_LIMIT_REACHED"];
    let ended = ended.iter().any(|status| egress["status"] == *status);
    json!({ "event": if ended { "egress_ended" } else { "egress_updated" }, "egressInfo": egress })
}

async fn send(server: &Server, n: usize, mut event: Value) {
    event["id"] = json!(format!("EV_{n}"));
    event["createdAt"] = json!((T / 1000 + n as i64).to_string());
    assert_eq!(server.webhook(&event.to_string()).await, 200);
}

async fn server() -> Server {
    let server = Server::start();
    let recording = json!({ "roomName": "standup", "fileOutputs": [{ "filepath": "standup.mp4" }] });
    let events = [
        of_egress(
            "EG_old",
            "standup",
            10,
            json!({ "status": "EGRESS_COMPLETE", "roomComposite": recording,
            "details": "End reason: StopEgress API", "endedAt": ((T / 1000 + 70) * 1_000_000_000).to_string(),
            "fileResults": [{ "filename": "standup.mp4", "size": "18874368", "duration": "60000000000",
                "location": "https://rec.s3.amazonaws.com/standup.mp4?X-Amz-Signature=SECRET" }] }),
        ),
        of_egress(
            "EG_live",
            "planning",
            40,
            json!({ "status": "EGRESS_ACTIVE",
            "web": { "url": "https://u:SECRET@example.com/?k=SECRET", "streamOutputs": [{ "urls": ["rtmp://a.youtube.com/live2/SECRET"] }] },
            "streamResults": [{ "url": "rtmp://a.youtube.com/live2/SECRET" }] }),
        ),
        of_egress(
            "EG_failed",
            "standup",
            30,
            json!({ "status": "EGRESS_FAILED", "error": "S3 answered 403",
            "participant": { "fileOutputs": [{ "filepath": "p.mp4" }] } }),
        ),
        of_egress(
            "EG_limit",
            "Städtetag",
            20,
            json!({ "status": "EGRESS_LIMIT_REACHED", "track": { "websocketUrl": "wss://h.example/a?token=SECRET" } }),
        ),
        of_egress(
            "EG_starting",
            "planning",
            50,
            json!({ "egress": { "template": {}, "outputs": [
            { "segments": { "playlistName": "a.m3u8" } }, { "images": { "filenamePrefix": "i" } }] } }),
        ),
    ];
    for (n, event) in events.into_iter().enumerate() {
        send(&server, n, event).await;
    }
    server
}

async fn ids_as(server: &Server, token: &str, query: &str) -> Vec<String> {
    let (status, answer) = server.get_as(token, &format!("/api/egress{query}")).await;
    assert_eq!(status, 200, "{query}: {answer}");
    let list = answer["egress"].as_array().expect("a list");
    list.iter()
        .map(|one| one["egressId"].as_str().unwrap_or("none").trim_start_matches("EG_").to_owned())
        .collect()
}

#[tokio::test]
async fn every_egress_is_listed_with_its_reason_and_its_output_and_without_secrets() {
    let server = server().await;
    // LiveKit gives an egress that it could not launch neither an id nor a start.
    send(
        &server,
        9,
        json!({ "event": "egress_ended", "egressInfo": { "roomId": "RM_x", "roomName": "x",
        "status": "EGRESS_FAILED", "participant": { "fileOutputs": [{ "filepath": "x.mp4" }] },
        "error": "no response from servers" } }),
    )
    .await;
    let (_, answer) = server.get("/api/egress").await;
    assert!(!answer.to_string().contains("SECRET"), "{answer}");
    let of = |id: &str| {
        let list = answer["egress"].as_array().expect("a list");
        list.iter().find(|one| one["egressId"] == id).unwrap_or_else(|| panic!("{id}: {answer}")).clone()
    };
    assert_eq!(
        of("EG_old"),
        json!({ "project": "default", "room": "standup", "roomSid": "RM_standup", "egressId": "EG_old",
            "kind": "room_composite", "status": "complete", "startedAt": T + 10_000, "endedAt": T + 70_000, "error": null,
            "details": "End reason: StopEgress API", "beganAt": T + 10_000, "live": false,
            "sizeBytes": 18_874_368, "durationMs": 60_000, "outputs": [{ "kind": "file", "name": "standup.mp4",
                "location": "https://rec.s3.amazonaws.com/standup.mp4?***", "status": null, "error": null,
                "sizeBytes": 18_874_368, "durationMs": 60_000 }] })
    );
    let output = |id: &str, n: usize| {
        let one = &of(id)["outputs"][n];
        format!("{} {}", one["kind"].as_str().expect("a kind"), one["name"].as_str().expect("a name"))
    };
    for (id, kind, status, live, outputs) in [
        ("EG_live", "web", "active", true, vec!["stream rtmp://a.youtube.com/live2/***"]),
        ("EG_failed", "participant", "failed", false, vec!["file p.mp4"]),
        ("EG_limit", "track", "limit_reached", false, vec!["stream wss://h.example/a?***"]),
        ("EG_starting", "template", "starting", true, vec!["segments a.m3u8", "images i"]),
    ] {
        let one = of(id);
        assert_eq!(
            (&one["kind"], &one["status"], &one["live"]),
            (&json!(kind), &json!(status), &json!(live)),
            "{one}"
        );
        let found: Vec<_> =
            (0..one["outputs"].as_array().map_or(0, Vec::len)).map(|n| output(id, n)).collect();
        assert_eq!(found, outputs, "{id}");
        assert_eq!((&one["sizeBytes"], &one["durationMs"]), (&Value::Null, &Value::Null));
    }
    let newest = &answer["egress"][0];
    assert_eq!((&newest["egressId"], &newest["error"]), (&Value::Null, &json!("no response from servers")));
    assert_eq!((&newest["startedAt"], &newest["outputs"][0]["name"]), (&Value::Null, &json!("x.mp4")));
    assert!(newest["beganAt"].as_i64().expect("a time") > T + 60_000);
    // The session page has the same egress.
    send(&server, 10, json!({ "event": "room_started", "room": { "sid": "RM_standup", "name": "standup" } }))
        .await;
    let (_, session) = server.get("/api/sessions/RM_standup").await;
    assert_eq!(session["egress"][0]["outputs"], of("EG_old")["outputs"], "{session}");
    assert_eq!(session["egress"][0]["details"], "End reason: StopEgress API");
}

#[tokio::test]
async fn egress_is_filtered_counted_and_paged() {
    let server = server().await;
    let ids = async |query: &str| ids_as(&server, &list_token(), query).await.join(" ");
    let to_20 = format!("?to={}", T + 20_000);
    let from_40 = format!("?from={}", T + 40_000);
    for (query, expected) in [
        ("", "starting live failed limit old"),
        ("?status=trouble", "failed limit"),
        ("?status=failed&status=complete", "failed old"),
        ("?status=live", "starting live"),
        ("?status=starting", "starting"),
        ("?status=of_tomorrow", ""),
        ("?room=stand", "failed old"),
        ("?room=stadtetag", "limit"),
        ("?room=STAND&status=trouble", "failed"),
        ("?room=none", ""),
        (&to_20, "limit old"),
        (&from_40, "starting live"),
        ("?project=default&limit=2", "starting live"),
    ] {
        assert_eq!(ids(query).await, expected, "{query}");
    }
    let counts = async |query: &str| server.get(&format!("/api/egress{query}")).await.1["counts"].clone();
    let all = json!({ "active": 1, "complete": 1, "failed": 1, "limit_reached": 1, "starting": 1 });
    assert_eq!(counts("").await, all);
    assert_eq!(
        counts("?status=failed&limit=1").await,
        all,
        "the number of each status, also of those not shown"
    );
    assert_eq!(counts("?room=standup").await, json!({ "complete": 1, "failed": 1 }));

    let (mut seen, mut path) = (Vec::new(), "?limit=1".to_owned());
    loop {
        let (status, page) = server.get(&format!("/api/egress{path}")).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(page["egress"].as_array().expect("a list").iter().map(|one| one["egressId"].clone()));
        match page["next"].as_str() {
            Some(next) => path = format!("?limit=1&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["EG_starting", "EG_live", "EG_failed", "EG_limit", "EG_old"]);
    for (query, code) in [
        ("?before=x", "bad_cursor"),
        ("?limit=0", "bad_limit"),
        ("?from=-1", "bad_time"),
        ("?state=failed", "unknown_parameter"),
    ] {
        let (status, answer) = server.get(&format!("/api/egress{query}")).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{query}: {answer}");
    }
}

#[tokio::test]
async fn a_caller_of_one_room_sees_its_egress_alone_and_a_participant_none() {
    let server = server().await;
    assert_eq!(ids_as(&server, &admin_token("standup"), "").await, ["failed", "old"]);
    assert_eq!(ids_as(&server, &admin_token("stand"), "").await, [""; 0], "the right is for a whole name");
    assert_eq!(ids_as(&server, &admin_token("standup"), "?room=plan").await, [""; 0]);
    assert_eq!(ids_as(&server, &join_token("standup"), "").await, [""; 0]);
    let (_, answer) = server.get_as(&admin_token("standup"), "/api/egress").await;
    assert_eq!(answer["counts"], json!({ "complete": 1, "failed": 1 }));
    let (_, answer) = server.get_as(&join_token("planning"), "/api/egress").await;
    assert_eq!(answer, json!({ "egress": [], "counts": {}, "next": null }));
}

#[tokio::test]
async fn an_egress_that_ends_is_listed_as_ended_also_after_a_restart() {
    let mut server = Start::new().on_disk().start();
    let active = json!({ "status": "EGRESS_ACTIVE", "roomComposite": {} });
    send(&server, 0, of_egress("EG_1", "standup", 10, active)).await;
    assert_eq!(server.get("/api/egress?status=live").await.1["egress"][0]["live"], true);
    let mut failed = of_egress(
        "EG_1",
        "standup",
        10,
        json!({ "status": "EGRESS_ABORTED", "error": "Start signal not received" }),
    );
    failed["egressInfo"]["updatedAt"] = json!(((T / 1000 + 99) * 1_000_000_000).to_string());
    send(&server, 1, failed).await;
    for _ in 0..2 {
        let (_, answer) = server.get("/api/egress").await;
        assert_eq!(answer["counts"], json!({ "aborted": 1 }), "{answer}");
        let one = &answer["egress"][0];
        assert_eq!((&one["live"], &one["error"]), (&json!(false), &json!("Start signal not received")));
        server.kill();
        server = server.again().start();
        server.until_ready();
    }
}
