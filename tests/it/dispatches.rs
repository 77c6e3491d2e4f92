//! Agent dispatches, and their audit record.

use serde_json::{Value, json};

use crate::{
    commands::{dev, meeting, record, refused, send},
    harness::{
        admin_token,
        livekit::{FakeLiveKit, dispatch},
    },
};

const DISPATCHES: &str = "/api/rooms/standup/dispatches";

/// The requests of this method that LiveKit has received.
fn asked(livekit: &FakeLiveKit, method: &str) -> Vec<Value> {
    let world = livekit.world();
    world
        .calls
        .iter()
        .filter(|(called, _, _)| called == method)
        .map(|(_, request, _)| request.clone())
        .collect()
}

#[tokio::test]
async fn an_agent_is_called_into_a_room_listed_and_sent_away() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    // LiveKit gives every room a dispatch without a name. One was deleted, one has failed.
    let mut deleted = dispatch("AD_gone", "gone", "standup", &[]);
    deleted["state"]["deleted_at"] = "1".into();
    let mut failed = dispatch("AD_failed", "scribe", "standup", &["JS_FAILED"]);
    failed["state"]["created_at"] = "1787486400123000000".into();
    failed["state"]["jobs"][0]["state"]["error"] = "no room key".into();
    failed["state"]["jobs"][0]["state"]["participant_identity"] = "agent-1".into();
    let every = dispatch("AD_every", "", "standup", &[]);
    livekit.world().dispatches.insert("standup".into(), vec![every, deleted, failed]);
    let server = dev(&livekit);

    let body = json!({ "agentName": "support", "metadata": "{\"lang\":\"de\"}" });
    let (status, created) = send(&server, "", "POST", DISPATCHES, body).await;
    assert_eq!(status, 201, "{created}");
    assert_eq!(
        (&created["id"], &created["agentName"], &created["metadata"], &created["jobs"]),
        (&json!("AD_4"), &json!("support"), &json!("{\"lang\":\"de\"}"), &json!([]))
    );
    assert_eq!(
        asked(&livekit, "CreateDispatch"),
        [json!({ "room": "standup", "agent_name": "support", "metadata": "{\"lang\":\"de\"}" })]
    );

    let (status, listed) = send(&server, &admin_token("standup"), "GET", DISPATCHES, Value::Null).await;
    assert_eq!(status, 200, "{listed}");
    let listed = listed["dispatches"].as_array().expect("a list");
    let ids: Vec<_> = listed.iter().map(|one| one["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, ["AD_failed", "AD_every", "AD_4"], "the oldest first, without the deleted one");
    assert_eq!(
        listed[0],
        json!({ "id": "AD_failed", "agentName": "scribe", "metadata": "", "createdAt": 1_787_486_400_123_u64,
            "jobs": [{ "id": "AJ_1", "status": "failed", "error": "no room key", "identity": "agent-1" }] })
    );

    assert_eq!(send(&server, "", "DELETE", &format!("{DISPATCHES}/AD_4"), Value::Null).await.0, 204);
    assert_eq!(asked(&livekit, "DeleteDispatch"), [json!({ "room": "standup", "dispatch_id": "AD_4" })]);
    // Lists are not commands.
    assert_eq!(
        record(&server).await,
        ["dev dispatch.create standup support/AD_4 done -", "dev dispatch.delete standup AD_4 done -",]
    );
}

#[tokio::test]
async fn what_livekit_refuses_is_said_and_recorded() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    let server = dev(&livekit);
    let gone = "/api/rooms/gone/dispatches";
    let body = json!({ "agentName": "support" });
    let twirp = |code: &str| json!({ "code": code, "msg": format!("twirp error unknown: {code}") });
    let lie = |method: &'static str, status: u16, code: &str| {
        livekit.world().lies.entry(method).or_default().push_back((status, twirp(code)));
    };
    let none = Value::Null;
    let of = |code: &str, status: u16| (status, code.to_owned());

    // LiveKit would create the room.
    assert_eq!(refused(&server, "", "POST", gone, body.clone()).await, of("room_not_live", 404));
    assert!(asked(&livekit, "CreateDispatch").is_empty());
    let unknown = format!("{DISPATCHES}/AD_none");
    assert_eq!(refused(&server, "", "DELETE", &unknown, none.clone()).await, of("dispatch_not_found", 404));
    // No node answers for a room that is not live.
    lie("DeleteDispatch", 503, "unavailable");
    let of_gone = format!("{gone}/AD_1");
    assert_eq!(refused(&server, "", "DELETE", &of_gone, none.clone()).await, of("room_not_live", 404));
    lie("ListDispatch", 503, "unavailable");
    assert_eq!(refused(&server, "", "GET", gone, none.clone()).await, of("room_not_live", 404));
    lie("ListDispatch", 503, "unavailable");
    assert_eq!(refused(&server, "", "GET", DISPATCHES, none.clone()).await, of("livekit_failed", 502));
    lie("CreateDispatch", 400, "invalid_argument");
    assert_eq!(refused(&server, "", "POST", DISPATCHES, body.clone()).await, of("livekit_refused", 400));
    lie("CreateDispatch", 404, "bad_route");
    assert_eq!(refused(&server, "", "POST", DISPATCHES, body.clone()).await, of("livekit_refused", 501));
    for name in [String::new(), "x".repeat(257)] {
        let body = json!({ "agentName": name });
        assert_eq!(refused(&server, "", "POST", DISPATCHES, body).await, of("bad_name", 400));
    }
    assert_eq!(refused(&server, "", "POST", DISPATCHES, json!({})).await, of("bad_body", 400));
    assert_eq!(
        record(&server).await,
        [
            "dev dispatch.create gone support failed room_not_live",
            "dev dispatch.delete standup AD_none failed dispatch_not_found",
            "dev dispatch.delete gone AD_1 failed room_not_live",
            "dev dispatch.create standup support failed livekit_refused",
            "dev dispatch.create standup support failed livekit_refused",
        ]
    );
}
