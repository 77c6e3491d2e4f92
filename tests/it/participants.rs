//! `GET /api/participants/{identity}`, events of one participant, and the search for participants.

use roomwatch::token::{Claims, Secret, sign};
use serde_json::{Value, json};

use crate::harness::{
    engineio::{Polling, auth},
    operators::{self, login, users},
    said::{Said, finished, joined, left, of_egress, of_track, room, said, send, send_all, started, track},
    *,
};

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn query(q: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("q", q).finish()
}

fn in_room(mut said: Said, sid: &str, name: &str) -> Said {
    said.body["room"] = room(sid, name);
    said
}

fn named(mut said: Said, name: &str) -> Said {
    said.body["participant"]["name"] = name.into();
    said
}

/// Alice was in the standup twice, and is in the retro. Her connection was lost once. Bob is hidden.
fn story() -> Vec<Said> {
    let mut lost = named(left(100, "RM_1", "PA_a1", "alice"), "Alice A.");
    lost.body["participant"]["disconnectReason"] = "SIGNAL_CLOSE".into();
    let mut hidden = joined(310, "RM_2", "PA_b", "bob");
    hidden.body["participant"]["permission"]["hidden"] = true.into();
    let mut again = started(300, "RM_2", "standup");
    again.body["room"]["creationTimeMs"] = "1787486700000".into();
    vec![
        started(0, "RM_1", "standup"),
        named(joined(40, "RM_1", "PA_a1", "alice"), "Alice A."),
        lost,
        named(joined(110, "RM_1", "PA_a2", "alice"), "Alice B."),
        left(130, "RM_1", "PA_a2", "alice"),
        finished(140, "RM_1", "standup"),
        again,
        joined(305, "RM_2", "PA_c", "carol"),
        hidden,
        in_room(joined(400, "RM_3", "PA_a3", "alice"), "RM_3", "retro"),
    ]
}

#[tokio::test]
async fn a_participant_is_known_by_identity_over_all_sessions() {
    let server = Server::start();
    send_all(&server, &story()).await;
    let (status, mut alice) = server.get("/api/participants/alice").await;
    assert_eq!(status, 200, "{alice}");
    // LiveKit's leaves say when the stay began: here one second after the start. She is still there, so this grows.
    let stays = alice["stays"].take();
    let present = alice["presentMs"].take().as_i64().expect("a time");
    assert!(present > 2 * 99_922, "{present}");
    assert_eq!(
        alice,
        json!({
            "project": "default", "identity": "alice", "name": "ALICE", "otherNames": ["Alice A."],
            "kinds": ["standard"], "phone": null, "firstSeenAt": 1_787_486_401_077_u64, "lastSeenAt": null,
            "present": [{ "room": "retro", "sessionSid": "RM_3", "participantSid": "PA_a3", "joinedAt": 1_787_486_800_077_u64,
                "leftAt": null, "leftNotBefore": null, "disconnectReason": null }],
            "stays": null,
            "sessions": 2, "rooms": 2, "presentMs": null, "connectionLosses": 1, "countedSince": null,
        })
    );
    let stays = stays.as_array().expect("stays").iter();
    let told = stays.map(|stay| {
        format!("{} {} {}", stay["participantSid"], stay["sessionSid"], stay["disconnectReason"])
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            r#""PA_a3" "RM_3" null"#,
            r#""PA_a2" "RM_1" "client_initiated""#,
            r#""PA_a1" "RM_1" "signal_close""#,
        ]
    );
    let (_, carol) = server.get("/api/participants/carol").await;
    assert_eq!((&carol["sessions"], &carol["present"][0]["room"]), (&json!(1), &json!("standup")));
    send(&server, "EV_end", &left(500, "RM_2", "PA_c", "carol")).await;
    let (_, carol) = server.get("/api/participants/carol").await;
    assert_eq!(carol["lastSeenAt"], 1_787_486_900_999_u64, "{carol}");
    assert_eq!((&carol["present"], &carol["presentMs"]), (&json!([]), &json!(499_922)));
    let (status, unknown) = server.get("/api/participants/unknown").await;
    assert_eq!((status, &unknown["error"]["code"]), (404, &json!("unknown_participant")));
    for (path, code) in
        [("alice?room=standup", "unknown_parameter"), ("alice?project=a&project=b", "duplicate_parameter")]
    {
        let (status, answer) = server.get(&format!("/api/participants/{path}")).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{path}");
    }
}

#[tokio::test]
async fn every_identity_has_its_own_address() {
    let server = Server::start();
    let long = "x".repeat(500);
    let identities = [
        &*long,
        "a/b/../c",
        "\u{202e}gnp.exe",
        "a b?c#d&e=f%2f",
        "\"; DROP TABLE people; --",
        "Мария",
        "👩‍🚀",
        "a\u{0}b",
        "a\nb",
        "*",
    ];
    for (n, identity) in identities.iter().enumerate() {
        send(&server, &format!("EV_{n}"), &joined(n as u64, "RM_1", &format!("PA_{n}"), identity)).await;
    }
    for (n, identity) in identities.iter().enumerate() {
        let (status, found) = server.get(&format!("/api/participants/{}", encoded(identity))).await;
        assert_eq!((status, &found["identity"]), (200, &json!(identity)), "{identity:?}");
        assert_eq!(found["present"][0]["participantSid"], format!("PA_{n}"), "{identity:?}");
        let (status, page) = server.get(&format!("/api/events?participant={}", encoded(identity))).await;
        assert_eq!((status, page["events"].as_array().map(Vec::len)), (200, Some(1)), "{identity:?}: {page}");
        let (status, found) = server.get(&format!("/api/search?{}", query(identity))).await;
        let first = &found["results"][0];
        assert_eq!((status, &first["identity"]), (200, &json!(identity)), "{identity:?}: {found}");
    }
}

#[tokio::test]
async fn a_participant_is_shown_as_far_as_their_rooms_are() {
    let server = Server::start();
    send_all(&server, &story()).await;
    let seen = async |token: &str, identity: &str| {
        let (status, answer) = server.get_as(token, &format!("/api/participants/{identity}")).await;
        let present: Vec<_> =
            answer["present"].as_array().into_iter().flatten().map(|p| p["room"].clone()).collect();
        (status, answer["sessions"].as_u64(), json!(present))
    };
    assert_eq!(seen(&list_token(), "alice").await, (200, Some(2), json!(["retro"])));
    // She is in the retro now, which the standup's tokens must not learn.
    assert_eq!(seen(&admin_token("standup"), "alice").await, (200, Some(1), json!([])));
    assert_eq!(seen(&admin_token("standup"), "bob").await, (200, Some(1), json!(["standup"])));
    assert_eq!(seen(&admin_token("retro"), "alice").await, (200, Some(1), json!(["retro"])));
    assert_eq!(seen(&join_token("standup"), "carol").await, (200, Some(1), json!(["standup"])));
    // Not the former session, and no hidden participant.
    let gone = server.get_as(&join_token("standup"), "/api/participants/alice").await;
    let hidden = server.get_as(&join_token("standup"), "/api/participants/bob").await;
    let unknown = server.get_as(&join_token("standup"), "/api/participants/unknown").await;
    assert_eq!((gone.0, &gone.1["error"]["code"]), (404, &json!("unknown_participant")));
    assert_eq!((&gone, &hidden), (&unknown, &unknown));
    assert_eq!(server.get_as(&admin_token("elsewhere"), "/api/participants/alice").await, unknown);
    let (_, named) = server.get_as(&admin_token("retro"), "/api/participants/alice").await;
    assert_eq!((&named["name"], &named["otherNames"]), (&json!("ALICE"), &json!([])), "names of other rooms");
    // The search is held to the same.
    let search = async |token: &str, text: &str| {
        let (status, found) = server.get_as(token, &format!("/api/search?{}", query(text))).await;
        assert_eq!(status, 200, "{found}");
        let results = found["results"].as_array().expect("results").iter();
        results.map(|one| format!("{} {}", one["kind"], one["room"])).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(search(&list_token(), "alice").await, r#""identity" "retro""#);
    assert_eq!(search(&admin_token("standup"), "alice").await, r#""identity" "standup""#);
    assert_eq!(search(&join_token("standup"), "alice").await, "");
    assert_eq!(search(&join_token("standup"), "bob").await, "");
    assert_eq!(search(&join_token("standup"), "carol").await, r#""identity" "standup""#);
    assert_eq!(search(&admin_token("standup"), "ret").await, "");
    assert_eq!(search(&admin_token("standup"), "stand").await, r#""room" "standup""#);
}

#[tokio::test]
async fn an_identity_of_two_projects_is_two_participants() {
    let project = |name: &str, key: &str| {
        format!(
            "[[projects]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:9\"\nkeys = [{{ key = \"{key}\", secret = \"{SECRET}\" }}]\n"
        )
    };
    let file =
        format!("reconcile_secs = 0\n{}{}{}", project("alpha", KEY), project("beta", "APIbeta"), users());
    let server = Start::new().env("LIVEKIT_API_KEY", "").env("LIVEKIT_API_SECRET", "").file(&file).start();
    send(&server, "EV_1", &started(0, "RM_1", "standup")).await;
    send(&server, "EV_2", &named(joined(5, "RM_1", "PA_1", "alice"), "Alice of alpha")).await;
    let mut other = named(joined(5, "RM_9", "PA_9", "alice"), "Alice of beta").body;
    other["id"] = "EV_9".into();
    let body = other.to_string().into_bytes();
    let token = sign(&Claims { iss: "APIbeta".into(), ..webhook_claims(&body) }, &Secret::new(SECRET));
    assert_eq!(server.webhook_as(&token, body).await.0, 200);
    let cookie = login(&server, "ada").await;
    let get = async |path: &str| {
        let (status, _, answer) = operators::get(&server, path, &[("cookie", &cookie)]).await;
        (status, answer)
    };
    let (status, answer) = get("/api/participants/alice").await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("project_required")));
    for (project, name, sid) in [("alpha", "Alice of alpha", "RM_1"), ("beta", "Alice of beta", "RM_9")] {
        let (status, alice) = get(&format!("/api/participants/alice?project={project}")).await;
        assert_eq!((status, &alice["name"], &alice["sessions"]), (200, &json!(name), &json!(1)), "{alice}");
        assert_eq!(alice["present"][0]["sessionSid"], sid);
        let (_, found) = get(&format!("/api/search?q=alice&project={project}")).await;
        assert_eq!(
            (found["results"].as_array().map(Vec::len), &found["results"][0]["name"]),
            (Some(1), &json!(name))
        );
    }
    let (_, found) = get("/api/search?q=alice").await;
    assert_eq!(found["results"].as_array().map(Vec::len), Some(2), "{found}");
    let (status, answer) = get("/api/participants/alice?project=gamma").await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("unknown_project")));
}

fn ids(page: &Value) -> String {
    let events = page["events"].as_array().expect("events").iter();
    events
        .map(|event| event["data"]["id"].as_str().expect("an id")[3..].to_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn a_reader_may_ask_for_the_events_of_participants() {
    let server = Server::start();
    send_all(
        &server,
        &[
            started(0, "RM_1", "standup"),
            joined(1, "RM_1", "PA_a", "alice"),
            joined(2, "RM_1", "PA_b", "bob"),
            of_track(3, "track_published", "RM_1", "PA_a", "alice", track("TR_1", "AUDIO", "MICROPHONE")),
            of_egress(4, "egress_started", "RM_1", "EG_1", ""),
            // Text that only looks like a participant.
            said(5, "x", json!({ "room": room("RM_1", "standup"), "other": { "participant": { "identity": "alice" } } })),
            said(6, "x", json!({ "room": room("RM_1", "standup"), "participant": { "identity": 7 } })),
            said(7, "x", json!({ "room": room("RM_1", "standup"), "participant": "alice" })),
            in_room(joined(8, "RM_2", "PA_a2", "alice"), "RM_2", "retro"),
        ],
    )
    .await;
    let cursor = server.get("/api/events").await.1["cursor"].as_str().expect("a cursor").to_owned();
    let sixth = format!("{}6", cursor.strip_suffix('9').expect("nine events"));
    for (query, expected) in [
        ("participant=alice", "1 3 8"),
        ("participant=alice&participant=bob", "1 2 3 8"),
        ("participant=alice&room=standup", "1 3"),
        ("participant=alice&type=participant_*", "1 8"),
        ("participant=ALICE", ""),
        ("participant=al", ""),
        ("participant=", ""),
    ] {
        let (status, page) = server.get(&format!("/api/events?after=start&{query}")).await;
        assert_eq!((status, &*ids(&page)), (200, expected), "{query}");
        for event in page["events"].as_array().expect("events") {
            assert!(event.get("changes").is_none(), "changes of some events do not add up: {event}");
        }
        let mut stream = server.stream(&format!("?after=start&{query}")).await;
        let _ = stream.connected().await;
        for id in expected.split_whitespace() {
            assert_eq!(stream.next().await.data["data"]["id"], format!("EV_{id}"), "{query}");
        }
    }
    // It resumes, and a cursor that cannot be honoured is reset, as with every filter.
    let mut stream = server.stream_as(&list_token(), "?participant=alice", Some(&sixth)).await;
    assert_eq!(stream.connected().await["resumed"], true);
    assert_eq!(stream.next().await.data["data"]["id"], "EV_8");
    let mut lost = server.stream_as(&list_token(), "?participant=alice", Some("00000000-1")).await;
    assert_eq!(lost.connected().await["reset"], "unknown_epoch");
    // New events of others do not come, and hers do.
    send(&server, "EV_9", &left(20, "RM_1", "PA_b", "bob")).await;
    send(&server, "EV_10", &left(21, "RM_1", "PA_a", "alice")).await;
    for stream in [&mut stream, &mut lost] {
        let event = stream.next().await;
        assert_eq!((&event.data["data"]["id"], event.data.get("changes")), (&json!("EV_10"), None));
    }
    let many = (0..101).map(|i| format!("participant={i}&")).collect::<String>();
    assert_eq!(server.get(&format!("/api/events?{many}")).await.0, 400);
}

#[tokio::test]
async fn a_socket_may_ask_for_the_events_of_participants() {
    let server = Server::start();
    let mut socket = Polling::connected(&server, auth(json!({ "participant": "alice" }))).await;
    let _ = socket.event().await;
    send(&server, "EV_1", &joined(1, "RM_1", "PA_b", "bob")).await;
    send(&server, "EV_2", &joined(2, "RM_1", "PA_a", "alice")).await;
    let (_, message) = socket.event().await.expect("an event");
    assert_eq!((&message["data"]["id"], message.get("changes")), (&json!("EV_2"), None));
    assert!(socket.ask(json!(["subscribe", { "participant": ["bob"] }])).await["cursor"].is_string());
    assert!(socket.ask(json!(["unsubscribe", { "participant": "alice" }])).await["cursor"].is_string());
    send(&server, "EV_3", &left(3, "RM_1", "PA_a", "alice")).await;
    send(&server, "EV_4", &left(4, "RM_1", "PA_b", "bob")).await;
    assert_eq!(socket.event().await.expect("an event").1["data"]["id"], "EV_4");
}

/// With only `roomJoin`, a hidden participant has no events, also if they are asked for by identity.
#[tokio::test]
async fn the_events_of_a_hidden_participant_stay_hidden() {
    let server = Server::start();
    let mut hidden = joined(2, "RM_1", "PA_h", "hidden");
    hidden.body["participant"]["permission"]["hidden"] = true.into();
    send_all(&server, &[started(0, "RM_1", "standup"), joined(1, "RM_1", "PA_a", "alice"), hidden]).await;
    for (token, identity, expected) in [
        (admin_token("standup"), "hidden", "2"),
        (join_token("standup"), "hidden", ""),
        (join_token("standup"), "alice", "1"),
        (admin_token("retro"), "alice", ""),
    ] {
        let (status, page) = server.get_as(&token, &format!("/api/events?participant={identity}")).await;
        assert_eq!((status, &*ids(&page)), (200, expected), "{identity}");
    }
}

#[tokio::test]
async fn a_search_finds_callers_by_their_number_and_words_by_one_or_two_characters() {
    let server = Server::start();
    let call = |said: Said| {
        let mut said = named(said, "");
        said.body["participant"]["kind"] = "SIP".into();
        said.body["participant"]["attributes"] =
            json!({ "sip.callID": "SCL_1", "sip.phoneNumber": "+4915112345678" });
        said
    };
    send_all(
        &server,
        &[
            started(0, "RM_1", "standup"),
            call(joined(1, "RM_1", "PA_1", "sip_caller")),
            joined(2, "RM_1", "PA_2", "sip_+442079460000"),
            named(joined(3, "RM_1", "PA_3", "p3"), "田中太郎"),
            named(joined(4, "RM_1", "PA_4", "p4"), "Мария Иванова"),
            named(joined(5, "RM_1", "PA_5", "p5"), "Zoë Queue"),
            // They are found after they have left, too.
            call(left(6, "RM_1", "PA_1", "sip_caller")),
            finished(9, "RM_1", "standup"),
        ],
    )
    .await;
    let (_, caller) = server.get("/api/participants/sip_caller").await;
    assert_eq!((&caller["phone"], &caller["kinds"]), (&json!("+4915112345678"), &json!(["sip"])), "{caller}");
    for (text, expected) in [
        ("4915112345678", "sip_caller"),
        ("0151 1234", "sip_caller"),
        ("+49 (0)151/123", "sip_caller"),
        ("020 7946 0000", "sip_+442079460000"),
        ("0044 20 7946", "sip_+442079460000"),
        ("田", "p3"),
        ("太郎", "p3"),
        ("中太", "p3"),
        ("мария", "p4"),
        ("ИВ", "p4"),
        ("ов", "p4"),
        ("zo", "p5"),
        ("q", "p5"),
        // Inside of a word.
        ("eu", "p5"),
        ("0151 9", ""),
        ("郎太", ""),
        ("ивм", ""),
    ] {
        let (status, found) = server.get(&format!("/api/search?{}", query(text))).await;
        let results = found["results"].as_array().expect("results").iter();
        let people =
            results.filter(|one| one["kind"] == "identity").filter_map(|one| one["identity"].as_str());
        assert_eq!((status, &*people.collect::<Vec<_>>().join(" ")), (200, expected), "{text}: {found}");
    }
}

/// Text for the search is text, whatever it means to the index.
#[tokio::test]
async fn no_text_breaks_the_search() {
    let server = Server::start();
    let texts = [
        "\"",
        "\"\"\"",
        "a\"b",
        "AND",
        "OR NOT",
        "NEAR(a b)",
        "a*",
        "^a",
        "{grams}: a",
        "grams : a",
        "-a",
        "a + b",
        "(",
        "')--",
        "\u{0}",
        "a\u{0}b",
        "\u{1}\u{7f}",
        "\\",
        "%",
        "_",
        "\u{301}",
        "\u{202e}",
        "\u{fffd}",
        "👩‍🚀",
        "\u{10ffff}",
    ];
    for (n, text) in texts.iter().enumerate() {
        let name = format!("name {text} of {n}");
        let person = named(joined(1, "RM_1", &format!("PA_{n}"), &format!("p{n}")), &name);
        send(&server, &format!("EV_{n}"), &person).await;
    }
    for (n, text) in texts.iter().enumerate() {
        let (status, found) = server.get(&format!("/api/search?limit=100&{}", query(text))).await;
        assert_eq!(status, 200, "{text:?}: {found}");
        let results = found["results"].as_array().expect("results");
        // A text of nothing but accents matches nothing.
        let expected = *text != "\u{301}";
        assert_eq!(
            results.iter().any(|one| one["identity"] == format!("p{n}")),
            expected,
            "{text:?}: {found}"
        );
    }
    let long = "аб".repeat(500);
    assert_eq!(server.get(&format!("/api/search?{}", query(&long))).await.1, json!({ "results": [] }));
}
