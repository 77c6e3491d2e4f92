//! Callers learn nothing of the rooms and projects of others: no answer has them, and none shows that they exist.

use serde_json::{Value, json};

use super::*;

/// A room of another caller is answered exactly like a room that does not exist.
#[tokio::test]
async fn a_foreign_room_is_answered_like_an_unknown_one() {
    let server = server().await;
    let credentials = credentials(&server).await;
    for row in table().iter().filter(|row| row.path.contains("planning")) {
        let nowhere = row.path.replace("planning", "nowhere");
        // roomAdmin, roomJoin, roomCreate, and another project's.
        for i in 4..8 {
            if row.method == "DELETE" && row.route == "/api/rooms/{room}" && i == 6 {
                continue;
            }
            let (foreign, none) = (
                ask(&server, row.method, row.path, &row.body, &credentials[i]).await,
                ask(&server, row.method, &nowhere, &row.body, &credentials[i]).await,
            );
            if foreign.0 == 200 {
                let (path, caller, body) = (row.path, CALLERS[i], foreign.1);
                assert!(!body.contains("planning"), "{path} by {caller}: {body}");
            } else {
                assert_eq!(foreign, none, "{} {} by {}", row.method, row.path, CALLERS[i]);
            }
        }
    }
}

/// No answer contains anything of a foreign room.
#[tokio::test]
async fn a_narrow_token_reads_nothing_of_another_room() {
    let server = server().await;
    let credentials = credentials(&server).await;
    let paths = [
        "/api/events",
        "/api/events?room=standup&room=planning",
        "/api/events?type=*",
        "/api/rooms",
        "/api/rooms/planning",
        "/api/rooms/planning/participants",
        "/api/sessions",
        "/api/sessions?identity=alice",
        "/api/participants/alice",
        "/api/events?participant=alice",
        "/api/sessions?room=planning",
        "/api/sessions?roomContains=plan&totals=true",
        "/api/sessions?participantContains=alice&sort=minutes&totals=true",
        "/api/sessions/RM_planning",
        "/api/project/alpha/sessions",
        "/api/project/alpha/sessions/RM_planning",
        "/api/activity",
        "/api/activity?room=planning",
        "/api/search?q=plan",
        "/api/search?q=pl",
        "/api/search?q=alice",
        "/api/search?q=PA_",
        "/api/egress",
        "/api/egress?room=plan",
        "/api/egress?status=live",
        "/api/usage?groupBy=project",
        "/api/calls",
        "/api/calls?room=plan",
        "/api/calls?number=1",
        "/api/agents",
        "/api/attention",
        "/api/projects",
        "/api/audit",
        "/api/me",
        // Files.
        "/api/rooms?format=csv",
        "/api/rooms/planning/participants?format=csv",
        "/api/sessions?format=csv",
        "/api/sessions?format=json&room=planning",
        "/api/sessions/RM_planning?format=csv",
        "/api/events?format=csv",
        "/api/events?format=json&room=standup&room=planning",
        "/api/calls?format=csv",
        "/api/egress?format=csv",
        "/api/agents?format=csv",
        "/api/attention?format=csv",
        "/api/audit?format=csv",
        "/api/usage?format=csv&groupBy=project",
        // Tricks with the path.
        "/api/rooms/standup%2f..%2fplanning",
        "/api/rooms/standup/../planning",
        "/api/rooms/%2e%2e/rooms/planning",
        "/api/rooms/..%2fplanning/participants",
        "/api/rooms/planning%3froom=standup",
        "/api/rooms/planning%00",
        "/api//rooms/planning",
        "/api/rooms/planning/",
    ];
    for i in [4, 5, 6, 7] {
        for path in paths.into_iter().chain(reads()) {
            for project in ["", "project=alpha"] {
                let separator = if project.is_empty() {
                    ""
                } else if path.contains('?') {
                    "&"
                } else {
                    "?"
                };
                let (name, value) = credentials[i].as_ref().expect("a token");
                let request = format!(
                    "GET {path}{separator}{project} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n\
                     {name}: {value}\r\nconnection: close\r\n\r\n"
                );
                let answer = raw(server.address, request.as_bytes());
                assert!(answer.starts_with("HTTP/1.1 "), "{path}: {answer}");
                for secret in ["RM_planning", "PA_planning", "NAME-planning", "EV_planning"] {
                    assert!(!answer.contains(secret), "{path} by {}: {answer}", CALLERS[i]);
                }
            }
        }
    }
}

/// The same of conditions: a failed call, a failed recording and a missing agent in a foreign room.
#[tokio::test]
async fn a_narrow_token_reads_no_condition_of_another_room() {
    let rules = format!(
        "{}[attention]\nagent_missing_secs = 1\ndisk_free_percent = 0\n[[attention.agents]]\nrooms = \"*\"\n",
        users()
    );
    let server = Start::new().env("ROOMWATCH_OPEN_CONDITIONS", "").on_disk().file(&rules).start();
    for room in ["standup", "planning"] {
        let sid = format!("RM_{room}");
        let of_room = json!({ "sid": sid, "name": room, "creationTime": (now() - 9).to_string() });
        let phone = json!({ "sid": format!("PA_{room}_phone"), "identity": format!("phone-NAME-{room}"), "kind": "SIP",
            "state": "DISCONNECTED", "disconnectReason": "USER_REJECTED" });
        let egress = json!({ "egressId": format!("EG_{room}"), "roomId": sid, "roomName": room,
            "status": "EGRESS_FAILED", "error": format!("no NAME-{room}") });
        for (n, mut event) in [
            json!({ "event": "participant_left", "room": of_room, "participant": phone }),
            json!({ "event": "egress_ended", "egressInfo": egress }),
        ]
        .into_iter()
        .enumerate()
        {
            event["id"] = json!(format!("EV_{room}_{n}"));
            event["createdAt"] = json!(now().to_string());
            assert_eq!(server.webhook(&event.to_string()).await, 200);
        }
        assert_eq!(server.webhook(&joined(room)).await, 200);
    }
    let ids = async |token: &str| -> Vec<String> {
        let (status, answer) = server.get_as(token, "/api/attention").await;
        assert_eq!(status, 200, "{answer}");
        let open = answer["conditions"].as_array().expect("a list").iter();
        let mut ids: Vec<_> = open.map(|one| one["id"].as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids
    };
    until_async("all conditions", async || ids(&list_token()).await.len() == 6).await;
    let own = ["agent_missing:RM_standup", "call_failed:PA_standup_phone", "egress_failed:EG_standup"];
    assert_eq!(ids(&admin_token("standup")).await, own);
    assert_eq!(ids(&join_token("standup")).await, [""; 0]);
    for token in [admin_token("standup"), join_token("standup"), admin_token("nowhere")] {
        for path in [
            "/api/attention",
            "/api/agents",
            "/api/events?type=roomwatch.*",
            "/api/events",
            "/api/search?q=plan",
        ] {
            let (_, answer) = server.get_as(&token, path).await;
            let told = answer.to_string();
            assert!(!told.contains("planning"), "{path}: {told}");
        }
    }
    // To acknowledge is for users, and a token learns nothing by trying.
    let put = async |id: &str| {
        let request =
            client().put(server.url(&format!("/api/attention/{id}"))).bearer_auth(admin_token("standup"));
        let answer = request.json(&json!({})).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    assert_eq!(put("agent_missing:RM_planning").await, put("agent_missing:RM_nowhere").await);
    // A viewer sees all of it, and may not acknowledge.
    let vera = login(&server, "vera").await;
    let request = client().get(server.url("/api/attention")).header("cookie", &vera);
    let seen: Value = request.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(seen["conditions"].as_array().map(Vec::len), Some(6), "{seen}");
    let request =
        client().put(server.url("/api/attention/agent_missing:RM_planning")).header("cookie", &vera);
    let answer = request.header("origin", server.url("")).json(&json!({})).send().await.expect("an answer");
    assert_eq!(answer.status(), 403);
}

/// Removes the differences between any two servers: times, and positions in the log.
fn comparable(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.retain(|name, _| {
                let of_log = ["cursor", "epoch", "first", "last", "prev", "next"].contains(&name.as_str());
                !of_log
                    && !name.ends_with("At")
                    // Of what is live they grow.
                    && !name.to_ascii_lowercase().contains("minutes")
                    && !["from", "to", "at", "timestamp", "presentMs", "lastActive"].contains(&name.as_str())
            });
            members.values_mut().for_each(|member| *member = comparable(member.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = comparable(item.take())),
        _ => {}
    }
    value
}

/// No list, no count and no error reveals that another room exists.
#[tokio::test]
async fn a_narrow_token_cannot_tell_whether_there_is_another_room() {
    let (alone, full) = (server_with(&["standup"]).await, server_with(&["standup", "planning"]).await);
    let paths = [
        "/api/events",
        "/api/rooms",
        "/api/rooms/standup",
        "/api/rooms/standup/participants",
        "/api/sessions",
        "/api/sessions?identity=alice",
        "/api/sessions?totals=true&sort=participants",
        "/api/sessions?participantContains=a&totals=true",
        "/api/participants/alice",
        "/api/events?participant=alice",
        "/api/sessions/RM_standup",
        "/api/activity",
        "/api/search?q=alice",
        "/api/search?q=a",
        "/api/egress",
        "/api/egress?room=a",
        "/api/calls",
        "/api/calls?number=1",
        "/api/agents",
        "/api/attention",
        "/api/projects",
        "/api/me",
        "/api/project/alpha/sessions",
        "/api/project/alpha/sessions/RM_standup",
    ];
    for token in [admin_token("standup"), join_token("standup")] {
        for path in paths {
            let (status, told) = alone.get_as(&token, path).await;
            assert_eq!(status, 200, "{path}: {told}");
        }
        for path in paths.into_iter().chain(reads()) {
            let (of_alone, of_full) = (alone.get_as(&token, path).await, full.get_as(&token, path).await);
            let told = of_full.1.to_string();
            assert_eq!(
                (of_alone.0, comparable(of_alone.1)),
                (of_full.0, comparable(of_full.1)),
                "{path}: {told}"
            );
        }
    }
    // A caller that may see both does see a difference.
    let (_, rooms) = full.get("/api/rooms").await;
    assert_eq!(rooms["rooms"].as_array().map(Vec::len), Some(2), "{rooms}");
}

/// A cursor from a caller with more rights does not show more.
#[tokio::test]
async fn a_cursor_of_more_rights_opens_nothing() {
    let server = server().await;
    let (_, all) = server.get("/api/events").await;
    let start = all["first"].as_str().expect("a cursor");
    let before_all = format!("{}0", start.strip_suffix('1').expect("the first"));
    let mut stream = server.stream_as(&admin_token("standup"), "", Some(&before_all)).await;
    assert_eq!(stream.connected().await["resumed"], true);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let event = stream.next().await;
        assert_eq!(event.data["room"], "standup");
        seen.push(event.data["data"]["id"].clone());
    }
    let own = ["EV_standup", "EV_standup_joined", "EV_standup_SIP", "EV_standup_AGENT", "EV_standup_egress"];
    assert_eq!(seen, own);
    // The next message is from its own room: nothing was skipped in between.
    assert_eq!(server.webhook(&event("EV_more", "planning")).await, 200);
    assert_eq!(server.webhook(&event("EV_own", "standup")).await, 200);
    assert_eq!(stream.next().await.data["data"]["id"], "EV_own");
    // A roomJoin caller sees nothing from before this meeting, with any cursor.
    let mut joiner = server.stream_as(&join_token("planning"), "", Some(&before_all)).await;
    assert_eq!(joiner.connected().await["reset"], "expired");
    let mut nobody_there = server.stream_as(&join_token("empty"), "", Some(&before_all)).await;
    assert_eq!(nobody_there.connected().await["reset"], "expired");
    let (status, page) = server.get_as(&join_token("empty"), "/api/events").await;
    assert_eq!((status, &page["events"]), (200, &json!([])));
}

/// Rooms of two projects may have the same name and the same participants.
#[tokio::test]
async fn a_room_of_the_same_name_in_another_project_is_another_room() {
    let server = server().await;
    let of_beta = |body: String| {
        let body = body.replace("RM_standup", "RM_beta").replace("PA_standup", "PA_beta");
        let body = body.replace("NAME-standup", "NAME-beta").replace("EV_standup", "EV_beta");
        let claims = Claims { iss: BETA.0.into(), ..webhook_claims(body.as_bytes()) };
        (sign(&claims, &Secret::new(BETA.1)), body.into_bytes())
    };
    for body in [event("EV_standup", "standup"), joined("standup")] {
        let (token, body) = of_beta(body);
        assert_eq!(server.webhook_as(&token, body).await.0, 200);
    }
    let cookie = login(&server, "ada").await;
    until_async("both are folded", async || {
        let (_, body) =
            ask(&server, "GET", "/api/rooms?room=standup", &None, &Some(("cookie", cookie.clone()))).await;
        body.contains("RM_standup") && body.contains("PA_beta") || body.contains("RM_beta")
    })
    .await;
    for own in [admin_token("standup"), join_token("standup"), list_token()] {
        for path in [
            "/api/events",
            "/api/events?room=standup",
            "/api/rooms",
            "/api/rooms/standup",
            "/api/rooms/standup/participants",
            "/api/sessions",
            "/api/sessions?identity=alice",
            "/api/sessions?roomContains=standup&totals=true&sort=minutes",
            "/api/participants/alice",
            "/api/activity",
            "/api/search?q=standup",
            "/api/search?q=alice",
            "/api/search?q=RM_",
            "/api/egress",
            "/api/calls",
            "/api/agents",
            "/api/projects",
            "/api/me",
        ] {
            let (status, body) = server.get_as(&own, path).await;
            let body = body.to_string();
            assert_eq!(status, 200, "{path}: {body}");
            assert!(!body.contains("beta"), "{path}: {body}");
        }
        for path in reads() {
            let (_, body) = server.get_as(&own, path).await;
            assert!(!body.to_string().contains("_beta"), "{path}: {body}");
        }
        for (path, expected) in [
            ("/api/events?project=beta", 403),
            ("/api/events?project=beta&room=standup", 403),
            ("/api/rooms?project=beta", 403),
            ("/api/rooms/standup?project=beta", 404),
            ("/api/rooms/standup/participants?project=beta", 404),
            ("/api/sessions?project=beta", 403),
            ("/api/egress?project=beta", 403),
            ("/api/calls?project=beta", 403),
            ("/api/usage?project=beta", 403),
            ("/api/agents?project=beta", 403),
            ("/api/sessions/RM_beta", 404),
            ("/api/sessions/RM_beta?project=beta", 404),
            ("/api/participants/alice?project=beta", 404),
        ] {
            let (status, body) = server.get_as(&own, path).await;
            assert_eq!(status, expected, "{path}: {body}");
            assert!(!body.to_string().contains("RM_beta"), "{path}: {body}");
        }
        for (method, path, body) in [
            ("PATCH", "/api/rooms/standup?project=beta", Some(json!({ "metadata": "x" }))),
            ("DELETE", "/api/rooms/standup?project=beta", None),
            ("POST", "/api/rooms/standup/token?project=beta", Some(json!({}))),
        ] {
            let credential = Some(("authorization", format!("Bearer {own}")));
            assert_eq!(ask(&server, method, path, &body, &credential).await.0, 404, "{method} {path}");
        }
        let mut stream = server.stream_as(&own, "?after=start", None).await;
        let _ = stream.connected().await;
        // Its own meeting, with two events (two more for a caller that sees the whole project), and then the new events.
        assert_eq!(server.webhook(&event(&format!("EV_{own:.40}"), "standup")).await, 200);
        loop {
            let event = stream.next().await;
            assert_eq!(event.data["project"], "alpha");
            if event.data["data"]["id"] == format!("EV_{own:.40}") {
                break;
            }
        }
    }
}
