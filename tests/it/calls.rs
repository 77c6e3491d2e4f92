//! The list of phone calls, over HTTP.

use serde_json::{Value, json};

use crate::harness::*;

const T: i64 = 1_787_486_400;

async fn send(server: &Server, mut event: Value) {
    event["id"] = json!(format!("EV_{}", fastrand::u64(..)));
    assert_eq!(server.webhook(&event.to_string()).await, 200);
}

fn caller(sid: &str, identity: &str, at: i64, attributes: Value) -> Value {
    json!({ "sid": sid, "identity": identity, "name": "Phone", "state": "ACTIVE", "kind": "SIP",
        "joinedAt": (T + at).to_string(), "attributes": attributes })
}

async fn joined(server: &Server, room: &str, at: i64, participant: Value) {
    send(
        server,
        json!({ "event": "participant_joined", "createdAt": (T + at).to_string(), "participant": participant,
        "room": { "sid": format!("RM_{room}"), "name": room, "creationTime": T.to_string() } }),
    )
    .await;
}

async fn left(server: &Server, room: &str, at: i64, mut participant: Value, reason: &str) {
    participant["state"] = "DISCONNECTED".into();
    participant["disconnectReason"] = reason.into();
    send(
        server,
        json!({ "event": "participant_left", "createdAt": (T + at).to_string(), "participant": participant,
        "room": { "sid": format!("RM_{room}"), "name": room, "creationTime": T.to_string() } }),
    )
    .await;
}

/// The attributes that LiveKit's SIP service sets.
fn sip(number: &str, status: &str, more: Value) -> Value {
    let mut all = json!({ "sip.callID": format!("SCL_{number}"), "sip.phoneNumber": number, "sip.trunkID": "ST_1",
        "sip.trunkPhoneNumber": "+15105550199", "sip.callStatus": status });
    all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    all
}

async fn server(server: Server) -> Server {
    let inbound = json!({ "sip.ruleID": "SDR_1" });
    joined(&server, "support", 10, caller("PA_in", "sip_+491511", 10, sip("+491511", "active", inbound)))
        .await;
    // An outbound call joins the room before it is dialed.
    let out = |status| caller("PA_busy", "callee-1", 20, sip("+491522", status, json!({})));
    joined(&server, "support", 20, out("dialing")).await;
    left(&server, "support", 50, out("hangup"), "USER_REJECTED").await;
    for (sid, reason, at) in [
        ("PA_none", "USER_UNAVAILABLE", 30),
        ("PA_trunk", "SIP_TRUNK_FAILURE", 40),
        ("PA_lost", "MEDIA_FAILURE", 50),
        ("PA_bye", "CLIENT_INITIATED", 60),
        ("PA_kicked", "PARTICIPANT_REMOVED", 70),
        ("PA_odd", "OF_TOMORROW", 80),
    ] {
        // LiveKit hides the number, or the session is of an earlier version.
        joined(&server, "Hotline", at, caller(sid, &format!("sip_+1555{at}"), at, json!({}))).await;
        left(&server, "Hotline", at + 5, caller(sid, &format!("sip_+1555{at}"), at, json!({})), reason).await;
    }
    joined(&server, "support", 90, json!({ "sid": "PA_ann", "identity": "sip_ann", "state": "ACTIVE" }))
        .await;
    server
}

async fn sids_as(server: &Server, token: &str, query: &str) -> Vec<String> {
    let (status, answer) = server.get_as(token, &format!("/api/calls{query}")).await;
    assert_eq!(status, 200, "{query}: {answer}");
    let list = answer["calls"].as_array().expect("a list");
    let sid =
        |call: &Value| call["participantSid"].as_str().expect("a sid").trim_start_matches("PA_").to_owned();
    list.iter().map(sid).collect()
}

#[tokio::test]
async fn a_call_has_its_number_its_trunk_and_its_outcome() {
    let server = server(Server::start()).await;
    let (_, answer) = server.get("/api/calls").await;
    let of = |sid: &str| {
        let list = answer["calls"].as_array().expect("a list");
        list.iter()
            .find(|one| one["participantSid"] == sid)
            .unwrap_or_else(|| panic!("{sid}: {answer}"))
            .clone()
    };
    assert_eq!(
        of("PA_in"),
        json!({ "project": "default", "room": "support", "roomSid": "RM_support", "participantSid": "PA_in",
            "identity": "sip_+491511", "name": "Phone", "number": "+491511", "trunkId": "ST_1",
            "trunkNumber": "+15105550199", "direction": "inbound", "callId": "SCL_+491511", "status": "active",
            "startedAt": (T + 10) * 1000, "endedAt": null, "endedNotBefore": null, "outcome": "live", "answered": true,
            "disconnectReason": null })
    );
    let busy = of("PA_busy");
    assert_eq!((&busy["direction"], &busy["status"]), (&json!("outbound"), &json!("hangup")));
    assert_eq!(
        (&busy["endedAt"], &busy["disconnectReason"]),
        (&json!((T + 50) * 1000 + 999), &json!("user_rejected"))
    );
    for (sid, outcome, answered) in [
        ("PA_busy", "declined", json!(false)),
        ("PA_none", "no_answer", json!(false)),
        ("PA_trunk", "trunk_error", json!(false)),
        ("PA_lost", "failed", Value::Null),
        ("PA_bye", "hung_up", Value::Null),
        ("PA_kicked", "ended", Value::Null),
        ("PA_odd", "unknown", Value::Null),
    ] {
        assert_eq!((&of(sid)["outcome"], &of(sid)["answered"]), (&json!(outcome), &answered), "{sid}");
    }
    let old = of("PA_bye");
    assert_eq!(
        (&old["number"], &old["direction"], &old["trunkId"]),
        (&json!("+155560"), &Value::Null, &Value::Null)
    );
    assert!(!answer.to_string().contains("PA_ann"), "a participant who is not of kind SIP");
    assert_eq!(
        answer["counts"],
        json!({ "declined": 1, "ended": 1, "failed": 1, "hung_up": 1, "live": 1, "no_answer": 1, "trunk_error": 1,
            "unknown": 1 })
    );
}

/// LiveKit reports `participant_connection_aborted` for one that has never been active.
#[tokio::test]
async fn a_call_that_was_aborted_before_it_was_active_is_listed_and_not_counted_as_a_participant() {
    let server = Server::start();
    joined(&server, "support", 5, json!({ "sid": "PA_ann", "identity": "ann", "state": "ACTIVE" })).await;
    let mut phone = caller("PA_dead", "callee-9", 20, sip("+491533", "dialing", json!({})));
    phone["state"] = "DISCONNECTED".into();
    phone["disconnectReason"] = "JOIN_FAILURE".into();
    let room = json!({ "sid": "RM_support", "name": "support", "creationTime": T.to_string() });
    let mut aborted =
        json!({ "event": "participant_connection_aborted", "room": room, "participant": phone });
    aborted["createdAt"] = (T + 35).to_string().into();
    send(&server, aborted.clone()).await;
    // The same of a browser is not a stay.
    aborted["participant"]["sid"] = "PA_web".into();
    aborted["participant"]["kind"] = "STANDARD".into();
    send(&server, aborted).await;
    let (_, answer) = server.get("/api/calls").await;
    let calls = answer["calls"].as_array().expect("a list");
    assert_eq!(calls.len(), 1, "{answer}");
    assert_eq!(
        (
            &calls[0]["participantSid"],
            &calls[0]["number"],
            &calls[0]["outcome"],
            &calls[0]["disconnectReason"]
        ),
        (&json!("PA_dead"), &json!("+491533"), &json!("failed"), &json!("join_failure"))
    );
    assert_eq!(
        (&calls[0]["startedAt"], &calls[0]["endedAt"]),
        (&json!((T + 20) * 1000), &json!((T + 35) * 1000 + 999))
    );
    let (_, answer) = server.get("/api/sessions/RM_support").await;
    let session = &answer["session"];
    assert_eq!(
        (&session["participantCount"], &session["callCount"], &session["failedCalls"]),
        (&json!(1), &json!(1), &json!(1)),
        "{session}"
    );
    let (_, answer) = server.get(&format!("/api/activity?from={}&to={}", T * 1000, (T + 60) * 1000)).await;
    assert!(!answer.to_string().contains("\"leaves\":1"), "a leave that no join has: {answer}");
}

#[tokio::test]
async fn a_call_that_was_active_once_was_answered() {
    let server = Server::start();
    let call = |status: &str, version: u32| {
        let mut call = caller("PA_1", "callee", 10, sip("+49", status, json!({})));
        call["version"] = version.into();
        call
    };
    joined(&server, "a", 10, call("dialing", 1)).await;
    let answered = async || server.get("/api/calls").await.1["calls"][0]["answered"].clone();
    assert_eq!(answered().await, Value::Null);
    // A later join event of the same sid brings the attributes of its time.
    joined(&server, "a", 20, call("active", 2)).await;
    assert_eq!(answered().await, true);
    left(&server, "a", 30, call("hangup", 3), "CLIENT_INITIATED").await;
    assert_eq!(answered().await, true);
}

#[tokio::test]
async fn calls_are_filtered_counted_and_paged() {
    let server = server(Server::start()).await;
    let sids = async |query: &str| sids_as(&server, &list_token(), query).await.join(" ");
    let to_20 = format!("?to={}", (T + 20) * 1000);
    let from_70 = format!("?from={}", (T + 70) * 1000);
    for (query, expected) in [
        ("", "odd kicked bye lost trunk none busy in"),
        ("?number=1511", "in"),
        ("?number=%2B49%20151-1", "in"),
        ("?number=callee", "busy"),
        ("?number=%2B49&outcome=live", "in"),
        ("?number=999", ""),
        ("?room=hot", "odd kicked bye lost trunk none"),
        ("?outcome=trouble", "lost trunk none busy"),
        ("?outcome=hung_up&outcome=ended", "kicked bye"),
        (&to_20, "busy in"),
        (&from_70, "odd kicked"),
        ("?project=default&limit=2", "odd kicked"),
    ] {
        assert_eq!(sids(query).await, expected, "{query}");
    }
    let (_, answer) = server.get("/api/calls?room=support&outcome=live&limit=1").await;
    assert_eq!(answer["counts"], json!({ "declined": 1, "live": 1 }), "also of outcomes that are not shown");
    let (mut seen, mut path) = (Vec::new(), "/api/calls?limit=3".to_owned());
    loop {
        let (status, page) = server.get(&path).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(
            page["calls"].as_array().expect("a list").iter().map(|one| one["participantSid"].clone()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/api/calls?limit=3&before={next}"),
            None => break,
        }
    }
    let all = ["PA_odd", "PA_kicked", "PA_bye", "PA_lost", "PA_trunk", "PA_none", "PA_busy", "PA_in"];
    assert_eq!(seen, all);
    for (query, code) in
        [("?before=1-1", "bad_cursor"), ("?limit=1001", "bad_limit"), ("?phone=1", "unknown_parameter")]
    {
        let (status, answer) = server.get(&format!("/api/calls{query}")).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{query}: {answer}");
    }
}

#[tokio::test]
async fn a_number_is_for_those_who_see_the_session() {
    let server = server(Server::start()).await;
    assert_eq!(sids_as(&server, &admin_token("support"), "").await, ["busy", "in"]);
    assert_eq!(sids_as(&server, &admin_token("support"), "?room=Hotline").await, [""; 0]);
    assert_eq!(sids_as(&server, &join_token("support"), "").await, ["busy", "in"], "as in the session");
    // The hotline has no live session.
    send(&server, json!({ "event": "room_finished", "createdAt": (T + 99).to_string(), "room": { "sid": "RM_Hotline", "name": "Hotline" } })).await;
    assert_eq!(sids_as(&server, &join_token("Hotline"), "").await, [""; 0]);
    let (_, answer) = server.get_as(&join_token("Hotline"), "/api/calls").await;
    assert_eq!(answer, json!({ "calls": [], "counts": {}, "next": null }));
}

#[tokio::test]
async fn calls_outlive_a_restart_and_end_with_their_room() {
    let mut first = server(Start::new().on_disk().start()).await;
    send(&first, json!({ "event": "room_finished", "createdAt": (T + 99).to_string(), "room": { "sid": "RM_support", "name": "support" } })).await;
    let (_, before) = first.get("/api/calls").await;
    assert_eq!(before["counts"]["live"], Value::Null, "{before}");
    assert_eq!(before["counts"]["unknown"], 2);
    first.kill();
    let second = first.again().start();
    second.until_ready();
    assert_eq!(second.get("/api/calls").await.1, before);
}
