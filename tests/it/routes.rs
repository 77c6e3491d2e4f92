//! Every route, asked by every kind of caller.
//!
//! The routes are those of the router: those of its OpenAPI document, and a few that are not in it. A route without a row
//! in the table fails, and so does a row without a route.

mod foreign;

use std::collections::BTreeSet;

use roomwatch::token::{Claims, Grant, Secret, sign};
use serde_json::{Value, json};

use crate::harness::{
    operators::{login, users},
    *,
};

/// The kinds of callers, in the order of the table's columns.
const CALLERS: [&str; 11] = [
    "no credential",
    "a forged token",
    "a webhook's token",
    "roomList",
    "roomAdmin of standup",
    "roomJoin of standup",
    "roomCreate",
    "every grant, of another project",
    "viewer",
    "operator",
    "admin",
];

struct Row {
    method: &'static str,
    /// As in the OpenAPI document.
    route: &'static str,
    /// The path of the request.
    path: &'static str,
    body: Option<Value>,
    expected: [u16; 11],
}

fn row(method: &'static str, route: &'static str, path: &'static str, expected: [u16; 11]) -> Row {
    let body = match (method, route) {
        ("POST", "/api/login") => Some(json!({ "user": "ada", "password": "wrong" })),
        ("POST", "/api/rooms") => Some(json!({ "name": "standup" })),
        ("PATCH", _) => Some(json!({ "metadata": "x" })),
        ("POST", route) if route.ends_with("/mute") => Some(json!({ "muted": true })),
        ("POST", route) if route.ends_with("/data") => Some(json!({ "text": "x" })),
        ("POST", route) if route.ends_with("/dispatches") => Some(json!({ "agentName": "support" })),
        ("POST", "/api/egress") => Some(json!({ "preset": "archive", "room": "standup" })),
        ("POST" | "PUT", _) => Some(json!({})),
        _ => None,
    };
    Row { method, route, path, body, expected }
}

/// The status for each caller. LiveKit is away, so an allowed command is 502: rights are checked first.
fn table() -> Vec<Row> {
    const ANYBODY: [u16; 11] = [200; 11];
    const SIGNED_IN: [u16; 11] = [401, 401, 401, 200, 200, 200, 200, 200, 200, 200, 200];
    // Routes about the whole project.
    const OF_PROJECT: [u16; 11] = [401, 401, 401, 200, 200, 200, 403, 403, 200, 200, 200];
    // Routes about the whole project that do not answer for a part of it.
    const WHOLE_PROJECT: [u16; 11] = [401, 401, 401, 200, 403, 403, 403, 403, 200, 200, 200];
    const CLOUD_SESSIONS: [u16; 11] = [401, 401, 401, 200, 200, 200, 403, 404, 200, 200, 200];
    const SEE_STANDUP: [u16; 11] = [401, 401, 401, 200, 200, 200, 404, 404, 200, 200, 200];
    const SEE_PLANNING: [u16; 11] = [401, 401, 401, 200, 404, 404, 404, 404, 200, 200, 200];
    const MODERATE_STANDUP: [u16; 11] = [401, 401, 401, 403, 502, 403, 404, 404, 403, 502, 502];
    const MODERATE_PLANNING: [u16; 11] = [401, 401, 401, 403, 404, 404, 404, 404, 403, 502, 502];
    // No condition is open.
    const ACKNOWLEDGE: [u16; 11] = [401, 401, 401, 403, 403, 403, 403, 404, 403, 404, 404];
    let mut rows = vec![
        row("GET", "/healthz", "/healthz", ANYBODY),
        row("GET", "/readyz", "/readyz", ANYBODY),
        row("GET", "/readyz/append", "/readyz/append", ANYBODY),
        row("GET", "/metrics", "/metrics", ANYBODY),
        row("GET", "/api/openapi.json", "/api/openapi.json", ANYBODY),
        row("POST", "/api/login", "/api/login", [401; 11]),
        row("POST", "/api/logout", "/api/logout", ANYBODY),
        // Only the token of a webhook opens it, with its body.
        row("POST", "/api/webhooks/livekit", "/api/webhooks/livekit", [401; 11]),
        row("GET", "/api/me", "/api/me", SIGNED_IN),
        row("GET", "/api/events", "/api/events?project=alpha", OF_PROJECT),
        row("GET", "/api/events", "/api/events?project=alpha&room=standup", OF_PROJECT),
        row(
            "GET",
            "/api/events",
            "/api/events?project=alpha&room=planning",
            [401, 401, 401, 200, 403, 403, 403, 403, 200, 200, 200],
        ),
        row("GET", "/api/projects", "/api/projects", SIGNED_IN),
        row(
            "POST",
            "/api/projects/{project}/test-webhook",
            "/api/projects/alpha/test-webhook",
            [401, 401, 401, 403, 403, 403, 403, 404, 403, 200, 200],
        ),
        row("GET", "/api/rooms", "/api/rooms?project=alpha", OF_PROJECT),
        row("GET", "/api/rooms/{room}", "/api/rooms/standup?project=alpha", SEE_STANDUP),
        row("GET", "/api/rooms/{room}", "/api/rooms/planning?project=alpha", SEE_PLANNING),
        row(
            "GET",
            "/api/rooms/{room}/participants",
            "/api/rooms/standup/participants?project=alpha",
            SEE_STANDUP,
        ),
        row(
            "GET",
            "/api/rooms/{room}/participants",
            "/api/rooms/planning/participants?project=alpha",
            SEE_PLANNING,
        ),
        row(
            "POST",
            "/api/rooms",
            "/api/rooms?project=alpha",
            [401, 401, 401, 403, 403, 403, 502, 404, 403, 502, 502],
        ),
        row(
            "DELETE",
            "/api/rooms/{room}",
            "/api/rooms/standup?project=alpha",
            [401, 401, 401, 403, 403, 403, 502, 404, 403, 502, 502],
        ),
        row(
            "DELETE",
            "/api/rooms/{room}",
            "/api/rooms/planning?project=alpha",
            [401, 401, 401, 403, 404, 404, 502, 404, 403, 502, 502],
        ),
        // Roomwatch signs the token itself, without LiveKit.
        row(
            "POST",
            "/api/rooms/{room}/token",
            "/api/rooms/standup/token?project=alpha",
            [401, 401, 401, 403, 200, 403, 404, 404, 403, 200, 200],
        ),
        row(
            "POST",
            "/api/rooms/{room}/token",
            "/api/rooms/planning/token?project=alpha",
            [401, 401, 401, 403, 404, 404, 404, 404, 403, 200, 200],
        ),
        row("GET", "/api/sessions", "/api/sessions?project=alpha", OF_PROJECT),
        row("GET", "/api/sessions/{sid}", "/api/sessions/RM_standup?project=alpha", SEE_STANDUP),
        row("GET", "/api/sessions/{sid}", "/api/sessions/RM_planning?project=alpha", SEE_PLANNING),
        // She is in both rooms.
        row("GET", "/api/participants/{identity}", "/api/participants/alice?project=alpha", SEE_STANDUP),
        row("GET", "/api/activity", "/api/activity?project=alpha", OF_PROJECT),
        row("GET", "/api/search", "/api/search?q=planning&project=alpha", OF_PROJECT),
        row("GET", "/api/egress", "/api/egress?project=alpha", OF_PROJECT),
        row(
            "POST",
            "/api/egress",
            "/api/egress?project=alpha",
            [401, 401, 401, 403, 403, 403, 403, 404, 403, 502, 502],
        ),
        row(
            "DELETE",
            "/api/egress/{id}",
            "/api/egress/EG_standup?project=alpha",
            [401, 401, 401, 403, 403, 403, 403, 404, 403, 502, 502],
        ),
        row(
            "GET",
            "/api/ingress",
            "/api/ingress?project=alpha",
            [401, 401, 401, 403, 403, 403, 403, 404, 403, 502, 502],
        ),
        row("GET", "/api/usage", "/api/usage?project=alpha", WHOLE_PROJECT),
        row("GET", "/api/project/{id}/sessions", "/api/project/alpha/sessions", CLOUD_SESSIONS),
        row("GET", "/api/project/{id}/sessions/", "/api/project/alpha/sessions/", CLOUD_SESSIONS),
        row("GET", "/api/project/{id}/sessions/{sid}", "/api/project/alpha/sessions/RM_standup", SEE_STANDUP),
        row(
            "GET",
            "/api/project/{id}/sessions/{sid}",
            "/api/project/alpha/sessions/RM_planning",
            SEE_PLANNING,
        ),
        row("GET", "/api/calls", "/api/calls?project=alpha", OF_PROJECT),
        row("GET", "/api/agents", "/api/agents?project=alpha", OF_PROJECT),
        row("GET", "/api/attention", "/api/attention?project=alpha", OF_PROJECT),
        row(
            "PUT",
            "/api/attention/{id}",
            "/api/attention/agent_missing:RM_standup?project=alpha",
            ACKNOWLEDGE,
        ),
        row(
            "DELETE",
            "/api/attention/{id}",
            "/api/attention/agent_missing:RM_standup?project=alpha",
            ACKNOWLEDGE,
        ),
        row("GET", "/api/audit", "/api/audit", [401, 401, 401, 403, 403, 403, 403, 403, 403, 403, 200]),
    ];
    for (method, route, standup, planning) in [
        ("PATCH", "/api/rooms/{room}", "/api/rooms/standup", "/api/rooms/planning"),
        (
            "PATCH",
            "/api/rooms/{room}/participants/{identity}",
            "/api/rooms/standup/participants/alice",
            "/api/rooms/planning/participants/alice",
        ),
        (
            "DELETE",
            "/api/rooms/{room}/participants/{identity}",
            "/api/rooms/standup/participants/alice",
            "/api/rooms/planning/participants/alice",
        ),
        (
            "POST",
            "/api/rooms/{room}/participants/{identity}/tracks/{sid}/mute",
            "/api/rooms/standup/participants/alice/tracks/TR_1/mute",
            "/api/rooms/planning/participants/alice/tracks/TR_1/mute",
        ),
        ("POST", "/api/rooms/{room}/data", "/api/rooms/standup/data", "/api/rooms/planning/data"),
        (
            "GET",
            "/api/rooms/{room}/dispatches",
            "/api/rooms/standup/dispatches",
            "/api/rooms/planning/dispatches",
        ),
        (
            "POST",
            "/api/rooms/{room}/dispatches",
            "/api/rooms/standup/dispatches",
            "/api/rooms/planning/dispatches",
        ),
        (
            "DELETE",
            "/api/rooms/{room}/dispatches/{id}",
            "/api/rooms/standup/dispatches/AD_1",
            "/api/rooms/planning/dispatches/AD_1",
        ),
    ] {
        let in_alpha = |path: &str| -> &'static str { format!("{path}?project=alpha").leak() };
        rows.push(row(method, route, in_alpha(standup), MODERATE_STANDUP));
        rows.push(row(method, route, in_alpha(planning), MODERATE_PLANNING));
    }
    // A file has the rights of its list.
    for n in 0..rows.len() {
        let Row { method, route, path, expected, .. } = rows[n];
        if method == "GET" && FILES.contains(&route) {
            let separator = if path.contains('?') { '&' } else { '?' };
            rows.push(row(method, route, format!("{path}{separator}format=json").leak(), expected));
        }
    }
    rows
}

/// The lists that may be files.
const FILES: [&str; 11] = [
    "/api/rooms",
    "/api/rooms/{room}/participants",
    "/api/sessions",
    "/api/sessions/{sid}",
    "/api/events",
    "/api/calls",
    "/api/egress",
    "/api/agents",
    "/api/attention",
    "/api/audit",
    "/api/usage",
];

/// The paths of all routes of the table that read data. A new route is in every test that uses them.
fn reads() -> impl Iterator<Item = &'static str> {
    let rows = table().into_iter().filter(|row| row.method == "GET" && row.path.starts_with("/api/"));
    rows.map(|row| row.path).filter(|path| *path != "/api/openapi.json")
}

const BETA: (&str, &str) = ("APIbetakey", "the-secret-of-beta");

/// Two projects; in the first the rooms `standup` and `planning` are live.
async fn server() -> Server {
    server_with(&["standup", "planning"]).await
}

async fn server_with(rooms: &[&str]) -> Server {
    let file = format!(
        "reconcile_secs = 0\n\
         [limits]\nmax_logins_per_minute = 0\nmax_commands_per_minute = 0\n\
         [[egress_presets]]\nname = \"archive\"\nkind = \"room_composite\"\nrequest = {{ file_outputs = [] }}\n\
         [[projects]]\nname = \"alpha\"\nurl = \"http://127.0.0.1:9\"\n\
         keys = [{{ key = \"{KEY}\", secret = \"{SECRET}\" }}]\n\
         [[projects]]\nname = \"beta\"\nurl = \"http://127.0.0.1:9\"\n\
         keys = [{{ key = \"{}\", secret = \"{}\" }}]\n{}",
        BETA.0,
        BETA.1,
        users()
    );
    let server = Start::new().env("LIVEKIT_API_KEY", "").env("LIVEKIT_API_SECRET", "").file(&file).start();
    for room in rooms {
        assert_eq!(server.webhook(&event(&format!("EV_{room}"), room)).await, 200);
        for event in [joined(room), phone(room), agent(room), recording(room)] {
            assert_eq!(server.webhook(&event).await, 200);
        }
    }
    // A webhook is answered when it is durable, and folded a moment later; a page ends at the head.
    let last = format!("-{}", 5 * rooms.len());
    until_async("all of it is folded", async || {
        server.get("/api/events").await.1["last"].as_str().is_some_and(|cursor| cursor.ends_with(&last))
    })
    .await;
    server
}

fn joined(room: &str) -> String {
    format!(
        r#"{{"event":"participant_joined","room":{{"sid":"RM_{room}","name":"{room}"}},"participant":{{"sid":"PA_{room}","identity":"alice","name":"NAME-{room}","state":"ACTIVE","joinedAt":"1787486401"}},"id":"EV_{room}_joined","createdAt":"1787486401"}}"#
    )
}

/// A participant of this kind joins. The identity and the number have the name of the room.
fn of_kind(kind: &str, room: &str, attributes: Value) -> String {
    let participant = json!({ "sid": format!("PA_{room}_{kind}"), "identity": format!("{kind}-NAME-{room}"), "kind": kind,
        "state": "ACTIVE", "joinedAt": "1787486402", "attributes": attributes });
    let room = json!({ "sid": format!("RM_{room}"), "name": room });
    let id = format!("EV_{}_{kind}", room["name"].as_str().expect("a name"));
    let event = json!({ "event": "participant_joined", "room": room, "participant": participant, "id": id,
        "createdAt": "1787486402" });
    event.to_string()
}

fn phone(room: &str) -> String {
    of_kind("SIP", room, json!({ "sip.phoneNumber": format!("+1-NAME-{room}"), "sip.callID": "SCL_1" }))
}

fn agent(room: &str) -> String {
    of_kind("AGENT", room, json!({ "lk.agent.name": format!("NAME-{room}") }))
}

fn recording(room: &str) -> String {
    let egress = json!({ "egressId": format!("EG_{room}"), "roomId": format!("RM_{room}"), "roomName": room,
        "status": "EGRESS_ACTIVE", "startedAt": "1787486403000000000", "roomComposite": {},
        "fileResults": [{ "filename": format!("NAME-{room}.mp4") }] });
    let event = json!({ "event": "egress_started", "egressInfo": egress, "id": format!("EV_{room}_egress"),
        "createdAt": "1787486403" });
    event.to_string()
}

fn beta_token() -> String {
    let grant = Grant {
        room_list: true,
        room_admin: true,
        room_join: true,
        room_create: true,
        room: "standup".into(),
        ..Grant::default()
    };
    let claims = Claims {
        iss: BETA.0.into(),
        sub: "bea".into(),
        exp: now() + 600,
        video: Some(grant),
        ..Claims::default()
    };
    sign(&claims, &Secret::new(BETA.1))
}

/// The credentials of each kind, in the order of [`CALLERS`].
async fn credentials(server: &Server) -> Vec<Option<(&'static str, String)>> {
    let bearer = |token: String| Some(("authorization", format!("Bearer {token}")));
    vec![
        None,
        bearer(list_token().replace('.', ".A")),
        bearer(webhook_token(b"another body")),
        bearer(list_token()),
        bearer(admin_token("standup")),
        bearer(join_token("standup")),
        bearer(token("creator", Grant { room_create: true, ..Grant::default() })),
        bearer(beta_token()),
        Some(("cookie", login(server, "vera").await)),
        Some(("cookie", login(server, "otto").await)),
        Some(("cookie", login(server, "ada").await)),
    ]
}

async fn ask(
    server: &Server,
    method: &str,
    path: &str,
    body: &Option<Value>,
    credential: &Option<(&'static str, String)>,
) -> (u16, String) {
    let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
    let mut request = client().request(method, server.url(path)).header("accept", "application/json");
    if let Some(body) = body {
        request = request.json(body);
    }
    if let Some((name, value)) = credential {
        request = request.header(*name, value);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

/// Every method and path of the router.
async fn routes(server: &Server) -> BTreeSet<(String, String)> {
    let (_, document) = server.get("/api/openapi.json").await;
    let mut routes = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            routes.insert((method.to_uppercase(), path.clone()));
        }
    }
    // Routes that are not in the document.
    for after in include_str!("../../src/server.rs").split(".route(\"").skip(1) {
        let path = after.split('"').next().expect("a path");
        routes.insert(("GET".into(), path.into()));
    }
    routes
}

#[tokio::test]
async fn every_route_answers_every_caller_as_in_the_table() {
    let server = server().await;
    let table = table();
    let tabled: BTreeSet<_> = table.iter().map(|row| (row.method.to_owned(), row.route.to_owned())).collect();
    let routes = routes(&server).await;
    let without_row: Vec<_> = routes.difference(&tabled).collect();
    assert!(without_row.is_empty(), "routes that are in no row: {without_row:?}");
    let without_route: Vec<_> = tabled.difference(&routes).collect();
    assert!(without_route.is_empty(), "rows whose route is gone: {without_route:?}");
    let mut wrong = Vec::new();
    let credentials = credentials(&server).await;
    for row in &table {
        for (i, credential) in credentials.iter().enumerate() {
            // Signing out ends the sign-in, so the request has no cookie.
            if row.route == "/api/logout" && credential.as_ref().is_some_and(|(name, _)| *name == "cookie") {
                continue;
            }
            let (status, body) = ask(&server, row.method, row.path, &row.body, credential).await;
            if status != row.expected[i] {
                let short: String = body.chars().take(120).collect();
                let (method, path, caller, expected) = (row.method, row.path, CALLERS[i], row.expected[i]);
                wrong.push(format!("{method} {path} by {caller}: {status}, not {expected}: {short}"));
            }
            if status >= 400 && !body.is_empty() {
                let body: Value = serde_json::from_str(&body).expect("an error is JSON");
                let code = body["error"]["code"].as_str().expect("a code");
                assert!(body["error"]["docs"].as_str().expect("a link").ends_with(&format!("#{code}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// No cache keeps an answer for another caller, neither a proxy's nor the browser's.
#[tokio::test]
async fn no_answer_of_a_route_is_stored() {
    let server = server().await;
    let credentials = credentials(&server).await;
    let mut stored = Vec::new();
    for row in &table() {
        for (i, credential) in credentials.iter().enumerate() {
            if row.route == "/api/logout" && credential.as_ref().is_some_and(|(name, _)| *name == "cookie") {
                continue;
            }
            let method = reqwest::Method::from_bytes(row.method.as_bytes()).expect("a method");
            for accept in ["application/json", "text/event-stream"] {
                let mut request =
                    client().request(method.clone(), server.url(row.path)).header("accept", accept);
                if let Some(body) = &row.body {
                    request = request.json(body);
                }
                if let Some((name, value)) = credential {
                    request = request.header(*name, value);
                }
                let answer = request.send().await.expect("an answer");
                let cache = answer.headers().get("cache-control").and_then(|value| value.to_str().ok());
                if !cache.is_some_and(|cache| cache.split(", ").any(|word| word == "no-store")) {
                    let status = answer.status();
                    stored
                        .push(format!("{} {} by {}: {status}, {cache:?}", row.method, row.path, CALLERS[i]));
                }
                if row.route != "/api/events" {
                    break;
                }
            }
        }
    }
    assert!(stored.is_empty(), "{}", stored.join("\n"));
    for path in
        ["/socket.io/?EIO=4&transport=polling", "/socket.io/?EIO=4&transport=polling&sid=x", "/api/none"]
    {
        let answer = client().get(server.url(path)).send().await.expect("an answer");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
    }
}

/// Every cursor in this JSON, with the name of its member.
fn cursors(value: &Value, found: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if ["cursor", "first", "last", "prev", "next"].contains(&&**name) => {
                        found.insert((name.clone(), text.clone()));
                    }
                    value => cursors(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| cursors(value, found)),
        _ => {}
    }
}

/// Whatever a caller gets as a cursor, it may send back, to every route that takes one.
#[tokio::test]
async fn every_cursor_that_is_handed_out_is_accepted_back() {
    let mut refused = Vec::new();
    for rooms in [&[][..], &["planning"], &["standup", "planning"]] {
        let server = server_with(rooms).await;
        let credentials = credentials(&server).await;
        for (i, credential) in credentials.iter().enumerate().skip(3) {
            let (header, value) = credential.as_ref().expect("a credential");
            let mut found = BTreeSet::new();
            let paths =
                table().into_iter().filter(|row| row.method == "GET" && row.path.starts_with("/api/"));
            let paths: Vec<_> =
                paths.map(|row| row.path).chain(["/api/events?limit=1", "/api/rooms"]).collect();
            for path in paths.iter().filter(|path| !path.contains("openapi") && !path.contains("audit")) {
                let (status, body) = ask(&server, "GET", path, &None, credential).await;
                if status == 200 {
                    cursors(&serde_json::from_str(&body).expect("JSON"), &mut found);
                }
            }
            for (name, cursor) in &found {
                for path in [
                    format!("/api/events?after={cursor}"),
                    format!("/api/events?before={cursor}"),
                    format!("/api/rooms?at={cursor}"),
                ] {
                    let (status, body) = ask(&server, "GET", &path, &None, credential).await;
                    if status != 200 {
                        refused.push(format!("{name} {path} by {}: {status} {body}", CALLERS[i]));
                    }
                }
                let request = client().get(server.url("/api/events")).header(*header, value);
                let answer = request.header("last-event-id", cursor).send().await.expect("an answer");
                let connected = Sse::of(answer).connected().await;
                if connected["resumed"] != true {
                    refused.push(format!("{name} {cursor} by {}: {connected}", CALLERS[i]));
                }
            }
        }
        // The places in lists that are not the log.
        for path in [
            "/api/sessions?limit=1",
            "/api/sessions?limit=1&sort=minutes&order=asc",
            "/api/sessions?limit=1&sort=trouble",
            "/api/egress?limit=1",
            "/api/calls?limit=1",
            "/api/audit?limit=1",
        ] {
            let admin = &credentials[10];
            let (mut next, mut pages) = (String::new(), 0);
            loop {
                let (status, body) = ask(&server, "GET", &format!("{path}{next}"), &None, admin).await;
                assert_eq!(status, 200, "{path}{next}: {body}");
                let page: Value = serde_json::from_str(&body).expect("JSON");
                pages += 1;
                match &page["next"] {
                    Value::String(text) => next = format!("&before={text}"),
                    _ => break,
                }
            }
            assert!(pages >= rooms.len() || path.contains("audit"), "{path}: {pages} pages");
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// The routes that need no credential. A new one has to be added here by hand.
#[tokio::test]
async fn these_routes_are_public_and_no_others() {
    let server = server().await;
    let mut public = Vec::new();
    for row in table() {
        let (status, _) = ask(&server, row.method, row.path, &row.body, &None).await;
        let by_itself = matches!(row.route, "/api/login" | "/api/webhooks/livekit");
        if status != 401 || by_itself {
            public.push(format!("{} {}", row.method, row.route));
        }
    }
    public.sort();
    assert_eq!(
        public,
        [
            "GET /api/openapi.json",
            "GET /healthz",
            "GET /metrics",
            "GET /readyz",
            "GET /readyz/append",
            "POST /api/login",
            "POST /api/logout",
            "POST /api/webhooks/livekit",
        ]
    );
    // The dashboard is static files; its data comes from the API.
    assert_eq!(ask(&server, "GET", "/rooms/standup", &None, &None).await.0, 200);
    // Socket.IO accepts no caller without a credential; `socketio.rs` tests that.
}

/// A room name may be any text. Rights compare the text itself, and not texts that look like it.
#[tokio::test]
async fn a_rooms_name_is_not_a_path() {
    let server = server().await;
    let long = "x".repeat(500);
    let names = [
        "../planning",
        "a/b",
        "a%2fb",
        "%2e%2e",
        "?room=planning",
        "🦀 & ü",
        "planning ",
        "Planning",
        long.as_str(),
    ];
    for (i, name) in names.iter().enumerate() {
        let body = json!({
            "event": "room_started", "id": format!("EV_name{i}"), "createdAt": "1787486400",
            "room": { "sid": format!("RM_name{i}"), "name": name, "creationTime": "1787486400" }
        });
        assert_eq!(server.webhook(&body.to_string()).await, 200);
    }
    for (i, name) in names.iter().enumerate() {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for (j, owner) in names.iter().enumerate() {
            let (status, page) =
                server.get_as(&admin_token(owner), &format!("/api/events?room={encoded}")).await;
            assert_eq!(status, if i == j { 200 } else { 403 }, "{owner:?} asks for {name:?}");
            if i == j {
                let ids: Vec<_> = page["events"]
                    .as_array()
                    .expect("events")
                    .iter()
                    .map(|e| e["data"]["id"].clone())
                    .collect();
                assert_eq!(ids, [json!(format!("EV_name{i}"))]);
            }
            let (status, room) = server.get_as(&admin_token(owner), &format!("/api/rooms/{encoded}")).await;
            assert_eq!(status, if i == j { 200 } else { 404 }, "{owner:?} opens {name:?}: {room}");
        }
    }
}

/// Clients of the web take `.` and `..` for a path, also as `%2e%2e`, and a proxy may. Such a room has no path, as
/// docs/errors.md says; a query has no such trouble.
#[tokio::test]
async fn a_room_called_dot_dot_is_asked_for_in_the_query() {
    let server = server().await;
    for (sid, name) in [("RM_dot", "."), ("RM_dots", "..")] {
        let body = json!({
            "event": "room_started", "id": format!("EV_{sid}"), "createdAt": "1787486400",
            "room": { "sid": sid, "name": name, "creationTime": "1787486400" }
        });
        assert_eq!(server.webhook(&body.to_string()).await, 200);
        let token = admin_token(name);
        let (_, list) = server.get_as(&token, &format!("/api/rooms?room={name}")).await;
        assert_eq!(list["rooms"][0]["sid"], sid);
        let (_, page) = server.get_as(&token, &format!("/api/events?room={name}")).await;
        assert_eq!(page["events"][0]["data"]["room"]["sid"], sid);
        for path in [format!("/api/rooms/{name}/participants"), "/api/rooms/%2e%2e/participants".to_owned()] {
            // The client changes the path, and the changed path is not a room of the caller.
            let sent = client().get(server.url(&path)).build().expect("a request");
            assert!(["/api/rooms/participants", "/api/participants"].contains(&sent.url().path()), "{path}");
            assert_eq!(server.get_as(&token, &path).await.0, 404, "{path}");
        }
        // A raw request reaches the server as it was written.
        let request = format!(
            "GET /api/rooms/{} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n",
            name.replace('.', "%2e")
        );
        let answer = raw(server.address, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(sid), "{answer}");
    }
}

/// A request that no route takes has an error with a code and a documentation link, too.
#[tokio::test]
async fn unroutable_requests_have_an_error_code() {
    let server = server().await;
    let told = |method: &str, path: &str| {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
            list_token()
        );
        let answer = raw(server.address, request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{method} {path}: {answer}"));
        let code = body["error"]["code"].as_str().expect("a code").to_owned();
        (head.split(' ').nth(1).expect("a status").to_owned(), code, head.to_ascii_lowercase())
    };
    let routes = routes(&server).await;
    let all = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FROB"];
    for (_, route) in &routes {
        let path = route.replace(['{', '}'], "");
        for method in all.iter().filter(|method| !routes.contains(&((**method).to_owned(), route.clone()))) {
            let (status, code, head) = told(method, &path);
            assert_eq!((&*status, &*code), ("405", "method_not_allowed"), "{method} {path}");
            assert!(head.contains("\r\nallow: "), "{method} {path}: {head}");
        }
    }
    // A name that is not UTF-8.
    for (method, route) in &routes {
        let (Some(from), Some(to)) = (route.find('{'), route.rfind('}')) else { continue };
        let names = route[from..=to].split('/');
        let names: Vec<_> = names.map(|name| if name.starts_with('{') { "%ff" } else { name }).collect();
        let path = format!("{}{}{}?project=alpha", &route[..from], names.join("/"), &route[to + 1..]);
        let (status, code, _) = told(method, &path);
        assert_eq!((&*status, &*code), ("400", "bad_path"), "{method} {path}");
    }
    // A proxy in front may have used the other one.
    let two =
        raw(server.address, b"GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n");
    assert!(two.starts_with("HTTP/1.1 400") && two.contains("bad_host"), "{two}");
}
