//! Starting and stopping egress with presets, and the list of ingress.

use roomwatch::token::Grant;
use serde_json::{Value, json};

use crate::{
    commands::{meeting, record, refused, send},
    harness::{
        KEY, SECRET, Server, Start, admin_token,
        egress::{Service, moves},
        list_token,
        livekit::FakeLiveKit,
        operators::{login, users},
        token, until_async,
    },
};

/// Texts of the presets that no answer, record or log may have.
const CANARIES: [&str; 4] = ["CANARY-KEY", "CANARY-SECRET", "CANARY-STREAM", "canary-path"];

const PRESETS: &str = r#"
[[egress_presets]]
name = "archive"
kind = "room_composite"
description = "MP4 of the whole room"
[egress_presets.request]
layout = "speaker"
file_outputs = [{ filepath = "canary-path/{room_name}", s3 = { access_key = "CANARY-KEY", secret = "CANARY-SECRET" } }]

[[egress_presets]]
name = "stage"
kind = "room_composite"
request = { stream_outputs = [{ protocol = "RTMP", urls = ["rtmp://live.example/app/CANARY-STREAM"] }] }

[[egress_presets]]
name = "voice"
kind = "track"
request = { file = { filepath = "canary-path/{track_id}" } }

[[egress_presets]]
name = "slides"
kind = "web"
allowed_origins = ["https://slides.example.com"]
request = { audio_only = false, file_outputs = [{ filepath = "canary-path/web" }] }

[[egress_presets]]
name = "other"
project = "beta"
kind = "room_composite"
request = { file_outputs = [{ filepath = "canary-path/beta" }] }
"#;

fn server(livekit: &FakeLiveKit) -> Server {
    let project = |name: &str, key: &str, secret: &str| {
        let url = livekit.url();
        format!(
            "[[projects]]\nname = {name:?}\nurl = {url:?}\nkeys = [{{ key = {key:?}, secret = {secret:?} }}]\n"
        )
    };
    let file = format!(
        "reconcile_secs = 600\n{PRESETS}{}{}",
        project("default", KEY, SECRET),
        project("beta", "APIbetakey", "the-secret-of-beta")
    );
    Start::new()
        .env("LIVEKIT_API_KEY", "")
        .env("LIVEKIT_API_SECRET", "")
        .env("ROOMWATCH_DEV", "true")
        .file(&file)
        .start()
}

/// A LiveKit with Redis and an egress service, in which `standup` is live.
fn livekit() -> FakeLiveKit {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    livekit.world().egress = Some(Vec::new());
    livekit.world().ingress = Some(Vec::new());
    livekit
}

const EGRESS: &str = "/api/egress?project=default";

async fn start(server: &Server, body: Value) -> (u16, Value) {
    send(server, "", "POST", EGRESS, body).await
}

async fn stop(server: &Server, id: &str) -> (u16, Value) {
    send(server, "", "DELETE", &format!("/api/egress/{id}?project=default"), Value::Null).await
}

fn code((status, answer): (u16, Value)) -> (u16, String) {
    (status, answer["error"]["code"].as_str().unwrap_or("").to_owned())
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// The starts that LiveKit has received.
fn starts(livekit: &FakeLiveKit) -> Vec<(String, Value)> {
    let world = livekit.world();
    let starts = world.calls.iter().filter(|(method, _, _)| method.starts_with("Start"));
    starts.map(|(method, request, _)| (method.clone(), request.clone())).collect()
}

/// Neither the record, nor the log of the server, nor an answer has a text of a preset. The name of a file is in LiveKit's
/// own list of egress.
async fn keeps_its_secrets(server: &Server) {
    let mut said = server.log();
    for path in ["/api/projects", "/api/audit?limit=1000", "/api/rooms"] {
        said += &server.get_as("", path).await.1.to_string();
    }
    let recordings = server.get_as("", "/api/egress?project=default").await.1.to_string();
    for canary in CANARIES {
        assert!(!said.contains(canary), "{canary} is in: {said}");
        assert!(canary == "canary-path" || !recordings.contains(canary), "{canary} is in: {recordings}");
    }
}

#[tokio::test]
async fn a_recording_is_started_and_stopped_with_a_preset() {
    let livekit = livekit();
    let server = server(&livekit);
    let (status, started) = start(&server, json!({ "preset": "archive", "room": "standup" })).await;
    assert_eq!(status, 201, "{started}");
    assert_eq!(started, json!({ "project": "default", "egressId": "EG_1", "status": "starting" }));
    assert_eq!(
        starts(&livekit),
        [(
            "StartRoomCompositeEgress".to_owned(),
            json!({ "room_name": "standup", "layout": "speaker", "file_outputs": [{
                "filepath": "canary-path/{room_name}", "s3": { "access_key": "CANARY-KEY", "secret": "CANARY-SECRET" } }] })
        )]
    );
    let (status, started) =
        start(&server, json!({ "preset": "voice", "room": "standup", "track": "TR_1" })).await;
    assert_eq!((status, &started["egressId"]), (201, &json!("EG_2")));
    let page = "https://slides.example.com/deck?n=7";
    let (status, started) = start(&server, json!({ "preset": "slides", "url": page })).await;
    assert_eq!((status, &started["egressId"]), (201, &json!("EG_3")));
    let starts = starts(&livekit);
    assert_eq!(starts[1].0, "StartTrackEgress");
    assert_eq!((&starts[1].1["room_name"], &starts[1].1["track_id"]), (&json!("standup"), &json!("TR_1")));
    assert_eq!((&*starts[2].0, &starts[2].1["url"]), ("StartWebEgress", &json!(page)));

    // LiveKit's webhooks follow, and the page of recordings has them.
    let status_of = async |id: &str| {
        let (_, list) = server.get_as("", "/api/egress?project=default").await;
        let one =
            list["egress"].as_array().expect("a list").iter().find(|one| one["egressId"] == id).cloned();
        one.map(|one| one["status"].as_str().expect("a status").to_owned())
    };
    for (status, word) in [("EGRESS_STARTING", "starting"), ("EGRESS_ACTIVE", "active")] {
        let webhook = moves(&mut livekit.world(), "EG_1", status);
        assert_eq!(server.webhook(&webhook).await, 200);
        until_async("the recordings have it", async || status_of("EG_1").await.as_deref() == Some(word))
            .await;
    }
    assert_eq!(
        stop(&server, "EG_1").await,
        (200, json!({ "project": "default", "egressId": "EG_1", "status": "ending" }))
    );
    let webhook = moves(&mut livekit.world(), "EG_1", "EGRESS_COMPLETE");
    assert_eq!(server.webhook(&webhook).await, 200);
    until_async("it has ended", async || status_of("EG_1").await.as_deref() == Some("complete")).await;
    // It is over: LiveKit says so.
    let (status, answer) = stop(&server, "EG_1").await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("livekit_refused")));
    assert!(
        answer["error"]["message"].as_str().expect("words").contains("EGRESS_COMPLETE cannot be stopped")
    );
    assert_eq!(code(stop(&server, "EG_none").await), is(404, "egress_not_found"));
    assert_eq!(
        record(&server).await,
        [
            "dev egress.start standup archive/EG_1 done -",
            "dev egress.start standup voice/EG_2 done -",
            "dev egress.start - slides/EG_3 done -",
            "dev egress.stop standup EG_1 done -",
            "dev egress.stop - EG_1 failed livekit_refused",
            "dev egress.stop - EG_none failed egress_not_found",
        ]
    );
    keeps_its_secrets(&server).await;
}

#[tokio::test]
async fn the_same_is_not_started_twice_unless_asked_to() {
    let livekit = livekit();
    let server = server(&livekit);
    let body = json!({ "preset": "archive", "room": "standup" });
    // At the same time: the second is refused while the first has no answer, or finds it in LiveKit's list.
    let (one, two) = tokio::join!(start(&server, body.clone()), start(&server, body.clone()));
    let mut statuses = [one.0, two.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{one:?} {two:?}");
    let (status, answer) = start(&server, body).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("egress_running")));
    assert!(answer["error"]["message"].as_str().expect("words").contains("EG_1"), "{answer}");
    assert_eq!(starts(&livekit).len(), 1);

    let stage = json!({ "preset": "stage", "room": "standup" });
    assert_eq!(code(start(&server, stage.clone()).await), is(409, "egress_running"));
    let another = json!({ "preset": "stage", "room": "standup", "another": true });
    assert_eq!(start(&server, another).await.1["egressId"], "EG_2");
    // Other sources are others.
    let of_track = |sid: &str| json!({ "preset": "voice", "room": "standup", "track": sid });
    for (body, expected) in [
        (of_track("TR_1"), 201),
        (of_track("TR_2"), 201),
        (of_track("TR_1"), 409),
        (json!({ "preset": "slides", "url": "https://slides.example.com/a" }), 201),
        (json!({ "preset": "slides", "url": "https://slides.example.com/b" }), 201),
        (json!({ "preset": "slides", "url": "https://slides.example.com/a" }), 409),
    ] {
        assert_eq!(start(&server, body.clone()).await.0, expected, "{body}");
    }
    // One that has ended is not running.
    for id in ["EG_1", "EG_2"] {
        moves(&mut livekit.world(), id, "EGRESS_ABORTED");
    }
    assert_eq!(start(&server, stage).await.0, 201);
}

#[tokio::test]
async fn a_start_without_an_answer_is_looked_up_and_never_repeated() {
    let livekit = livekit();
    let server = server(&livekit);
    let body = json!({ "preset": "archive", "room": "standup" });
    // The answer is lost, the egress runs.
    livekit.world().service = Service::Mute;
    let (status, started) = start(&server, body.clone()).await;
    assert_eq!((status, &started["egressId"]), (201, &json!("EG_1")), "{started}");
    assert_eq!(code(start(&server, body.clone()).await), is(409, "egress_running"));
    moves(&mut livekit.world(), "EG_1", "EGRESS_COMPLETE");
    // The service has died with it.
    livekit.world().service = Service::Dead;
    let (status, answer) = start(&server, body.clone()).await;
    assert_eq!((status, &answer["error"]["code"]), (504, &json!("egress_unconfirmed")));
    assert!(answer["error"]["message"].as_str().expect("words").contains("may still start"), "{answer}");
    // A proxy answers in the place of LiveKit.
    for (status, text) in [(504, json!("gateway timeout")), (200, json!([1]))] {
        livekit.world().lies.entry("StartRoomCompositeEgress").or_default().push_back((status, text));
        assert_eq!(code(start(&server, body.clone()).await), is(504, "egress_unconfirmed"));
    }
    assert_eq!(starts(&livekit).len(), 4, "one for each request");
    // It is lost while it runs: nothing answers for it.
    livekit.world().service = Service::Runs;
    assert_eq!(start(&server, body).await.0, 201);
    livekit.world().service = Service::Dead;
    assert_eq!(code(stop(&server, "EG_2").await), is(504, "livekit_timeout"));
    assert_eq!(
        record(&server).await,
        [
            "dev egress.start standup archive/EG_1 done -",
            "dev egress.start standup archive failed egress_running",
            "dev egress.start standup archive failed egress_unconfirmed",
            "dev egress.start standup archive failed egress_unconfirmed",
            "dev egress.start standup archive failed egress_unconfirmed",
            "dev egress.start standup archive/EG_2 done -",
            "dev egress.stop - EG_2 failed livekit_timeout",
        ]
    );
    keeps_its_secrets(&server).await;
}

#[tokio::test]
async fn what_livekit_refuses_is_said_without_the_secrets_of_the_preset() {
    let livekit = livekit();
    let server = server(&livekit);
    let archive = json!({ "preset": "archive", "room": "standup" });
    let (status, answer) = start(&server, json!({ "preset": "archive", "room": "gone" })).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("room_not_live")), "{answer}");
    livekit.world().service = Service::Absent;
    let (status, answer) = start(&server, archive.clone()).await;
    assert_eq!((status, &answer["error"]["code"]), (502, &json!("livekit_failed")));
    assert!(
        answer["error"]["message"].as_str().expect("words").contains("no egress service took"),
        "{answer}"
    );
    livekit.world().service = Service::Runs;
    // LiveKit repeats what it refuses.
    let long = "x".repeat(190);
    for message in [
        "invalid output: canary-path/{room_name} with CANARY-SECRET",
        "invalid S3 key CANARY-KEY",
        &format!("{long}CANARY-SECRET"),
        "invalid url /canary-path",
    ] {
        let refusal = (400, json!({ "code": "invalid_argument", "msg": message }));
        livekit.world().lies.entry("StartRoomCompositeEgress").or_default().push_back(refusal);
        let (status, answer) = start(&server, archive.clone()).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("livekit_refused")));
        let text = answer.to_string();
        assert!(text.contains("***") && !CANARIES.iter().any(|canary| text.contains(&canary[..9])), "{text}");
    }
    let refusal = (
        400,
        json!({ "code": "invalid_argument", "msg": "invalid rtmp://live.example/app/CANARY-STREAM?x" }),
    );
    livekit.world().lies.entry("StartRoomCompositeEgress").or_default().push_back(refusal);
    let (_, answer) = start(&server, json!({ "preset": "stage", "room": "standup" })).await;
    assert!(!answer.to_string().contains("CANARY"), "{answer}");
    let (status, answer) = start(&server, json!({ "preset": "archive", "room": "standup" })).await;
    assert_eq!(status, 201, "{answer}");
    // Without Redis, LiveKit has no egress at all.
    livekit.world().egress = None;
    let (status, answer) = start(&server, archive).await;
    assert_eq!((status, &answer["error"]["code"]), (502, &json!("livekit_failed")));
    assert!(answer["error"]["message"].as_str().expect("words").contains("egress not connected"), "{answer}");
    assert_eq!(starts(&livekit).len(), 8, "LiveKit's list has refused; nothing was started");
    assert_eq!(code(stop(&server, "EG_1").await), is(502, "livekit_failed"));
    keeps_its_secrets(&server).await;
}

#[tokio::test]
async fn a_request_that_does_not_fit_its_preset_never_reaches_livekit() {
    let livekit = livekit();
    let server = server(&livekit);
    let slides = |url: &str| json!({ "preset": "slides", "url": url });
    for (body, expected) in [
        (json!({}), is(400, "bad_body")),
        (json!({ "preset": "archive" }), is(400, "bad_body")),
        (json!({ "preset": "archive", "room": "" }), is(400, "bad_body")),
        (json!({ "preset": "archive", "room": "standup", "track": "TR_1" }), is(400, "bad_body")),
        (
            json!({ "preset": "archive", "room": "standup", "url": "https://slides.example.com" }),
            is(400, "bad_body"),
        ),
        (json!({ "preset": "archive", "room": "standup", "layout": "grid" }), is(400, "bad_body")),
        (json!({ "preset": "voice", "room": "standup" }), is(400, "bad_body")),
        (json!({ "preset": "none", "room": "standup" }), is(404, "unknown_preset")),
        (json!({ "preset": "other", "room": "standup" }), is(404, "unknown_preset")),
        (slides(""), is(400, "bad_body")),
        (slides("https://slides.example.com.evil.example/"), is(403, "origin_not_allowed")),
        (slides("https://slides.example.com@evil.example/"), is(403, "origin_not_allowed")),
        (slides("http://slides.example.com/"), is(403, "origin_not_allowed")),
        (slides("http://169.254.169.254/latest/meta-data"), is(403, "origin_not_allowed")),
        (slides("file:///etc/passwd"), is(403, "origin_not_allowed")),
        (slides("slides.example.com"), is(403, "origin_not_allowed")),
    ] {
        assert_eq!(code(start(&server, body.clone()).await), expected, "{body}");
    }
    assert!(starts(&livekit).is_empty());
    assert_eq!(record(&server).await, Vec::<String>::new(), "nothing has begun");
}

#[tokio::test]
async fn presets_are_offered_by_name_to_those_who_may_use_them() {
    let livekit = livekit();
    let server = server(&livekit);
    let presets = async |token: &str, project: &str| {
        let (_, answer) = server.get_as(token, "/api/projects").await;
        let all = answer["projects"].as_array().expect("a list").clone();
        all.iter().find(|one| one["name"] == project).map(|one| one["egressPresets"].clone())
    };
    let expected = json!([
        { "name": "archive", "kind": "room_composite", "description": "MP4 of the whole room", "allowedOrigins": [] },
        { "name": "stage", "kind": "room_composite", "description": "", "allowedOrigins": [] },
        { "name": "voice", "kind": "track", "description": "", "allowedOrigins": [] },
        { "name": "slides", "kind": "web", "description": "", "allowedOrigins": ["https://slides.example.com"] },
    ]);
    assert_eq!(presets("", "default").await, Some(expected));
    let of_beta = presets("", "beta").await.expect("the project");
    assert_eq!(of_beta[4]["name"], "other");
    assert_eq!(presets(&list_token(), "default").await, Some(json!([])));
    let recorder = |room_list| token("rec", Grant { room_list, room_record: true, ..Grant::default() });
    assert_eq!(
        presets(&recorder(true), "default").await.map(|list| list[0]["name"].clone()),
        Some(json!("archive"))
    );

    // The right is LiveKit's own: roomRecord, which is for every room of the project. No other grant has it.
    let body = json!({ "preset": "archive", "room": "standup" });
    for who in [list_token(), admin_token("standup")] {
        assert_eq!(refused(&server, &who, "POST", "/api/egress", body.clone()).await, is(403, "forbidden"));
        assert_eq!(
            refused(&server, &who, "DELETE", "/api/egress/EG_1", Value::Null).await,
            is(403, "forbidden")
        );
        assert_eq!(refused(&server, &who, "GET", "/api/ingress", Value::Null).await, is(403, "forbidden"));
    }
    assert_eq!(send(&server, &recorder(false), "POST", "/api/egress", body).await.0, 201);
    assert_eq!(send(&server, &recorder(false), "DELETE", "/api/egress/EG_1", Value::Null).await.0, 200);

    // Without Redis nothing is offered.
    let livekit = FakeLiveKit::start();
    let server = self::server(&livekit);
    until_async("LiveKit was asked", async || presets_of(&server).await == json!([])).await;
}

async fn presets_of(server: &Server) -> Value {
    let (_, answer) = server.get_as("", "/api/projects").await;
    let all = answer["projects"].as_array().expect("a list").clone();
    all.iter().find(|one| one["name"] == "default").expect("the project")["egressPresets"].clone()
}

#[tokio::test]
async fn a_viewer_starts_and_stops_nothing_and_sees_no_presets() {
    let livekit = livekit();
    let file = format!("reconcile_secs = 600\n{}{}", PRESETS.replace("project = \"beta\"\n", ""), users());
    let server = Start::new().env("LIVEKIT_URL", &livekit.url()).file(&file).start();
    let cookie = login(&server, "vera").await;
    let ask = async |method: &str, path: &str, body: Value| {
        let method = method.parse().expect("a method");
        let request =
            crate::harness::client().request(method, server.url(path)).header("cookie", &cookie).json(&body);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let body = json!({ "preset": "archive", "room": "standup" });
    assert_eq!(code(ask("POST", "/api/egress", body).await), is(403, "forbidden"));
    assert_eq!(code(ask("DELETE", "/api/egress/EG_1", json!({})).await), is(403, "forbidden"));
    assert_eq!(code(ask("GET", "/api/ingress", json!({})).await), is(403, "forbidden"));
    assert_eq!(ask("GET", "/api/projects", json!({})).await.1["projects"][0]["egressPresets"], json!([]));
    assert!(starts(&livekit).is_empty());
}

#[tokio::test]
async fn ingress_is_listed_without_keys_and_addresses() {
    let livekit = livekit();
    let server = server(&livekit);
    let ingress = |n: usize, status: &str| {
        json!({ "ingress_id": format!("IN_{n:04}"), "name": "camera", "stream_key": "CANARY-STREAM", "url": "rtmp://x/CANARY-KEY",
            "input_type": if n.is_multiple_of(2) { "RTMP_INPUT" } else { "URL_INPUT" }, "room_name": "standup",
            "participant_identity": "cam", "state": { "status": status, "started_at": "1787486400123000000",
                "error": if status == "ENDPOINT_ERROR" { "cannot pull https://x/CANARY-SECRET now" } else { "" } } })
    };
    livekit.world().ingress = Some(vec![
        ingress(1, "ENDPOINT_INACTIVE"),
        ingress(2, "ENDPOINT_PUBLISHING"),
        ingress(3, "ENDPOINT_ERROR"),
    ]);
    livekit.world().page_items = Some(2);
    let path = "/api/ingress?project=default";
    let (status, answer) = send(&server, "", "GET", path, Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    let one = |id: &str, kind: &str, status: &str, error: Value| {
        json!({ "ingressId": id, "name": "camera", "kind": kind, "room": "standup", "participantIdentity": "cam",
            "status": status, "error": error, "startedAt": 1_787_486_400_123_u64 })
    };
    let expected = json!([
        one("IN_0002", "rtmp", "publishing", Value::Null),
        one("IN_0001", "url", "inactive", Value::Null),
        one("IN_0003", "url", "error", json!("cannot pull *** now")),
    ]);
    assert_eq!(answer, json!({ "ingress": expected, "more": false, "available": true }));
    livekit.world().page_items = None;
    livekit.world().ingress = Some((0..1_001).map(|n| ingress(n, "ENDPOINT_INACTIVE")).collect());
    let (_, answer) = send(&server, "", "GET", path, Value::Null).await;
    assert_eq!((answer["ingress"].as_array().expect("a list").len(), &answer["more"]), (1_000, &json!(true)));
    livekit.world().ingress = None;
    let (_, answer) = send(&server, "", "GET", path, Value::Null).await;
    assert_eq!(answer, json!({ "ingress": [], "more": false, "available": false }));
    let admin = token("in", Grant { ingress_admin: true, ..Grant::default() });
    assert_eq!(send(&server, &admin, "GET", "/api/ingress", Value::Null).await.0, 200);
}
