//! Secrets: one in every possible place, and none in any output.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::Path,
};

use roomwatch::{
    accounts::hash,
    token::{Claims, Grant, Secret, sign},
};
use serde_json::json;

use crate::harness::{
    engineio::{WEBSOCKET, WebSocket},
    operators::{get, post},
    *,
};

/// A LiveKit that answers every call with `{}`.
fn livekit() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            std::thread::spawn(move || {
                let mut head = [0; 8192];
                let _ = socket.read(&mut head);
                let _ = socket.write_all(
                    b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: 38\r\n\
                      connection: close\r\n\r\n{\"code\":\"unauthenticated\",\"msg\":\"none\"}",
                );
            });
        }
    });
    format!("http://livekit-user:CANARY-url-password@{address}")
}

fn files(dir: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
        }
    }
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[tokio::test]
async fn no_output_contains_a_secret() {
    const API_SECRET: &str = "CANARY-api-secret-0123456789";
    const PASSWORD: &str = "CANARY-password";
    let password_hash = hash(&Secret::new(PASSWORD)).expect("a hash");
    let file = format!(
        "redact = [\"participant.metadata\", \"participant.attributes.*\"]\nreconcile_secs = 1\n\
         [[projects]]\nname = \"default\"\nurl = \"{}\"\nkeys = [{{ key = \"{KEY}\", secret = \"{API_SECRET}\" }}]\n\
         [[users]]\nname = \"ada\"\nrole = \"admin\"\npassword_hash = \"{}\"\n",
        livekit(),
        password_hash.reveal()
    );
    let mut server = Start::new()
        .env("LIVEKIT_API_KEY", "")
        .env("LIVEKIT_API_SECRET", "")
        .env("ROOMWATCH_LOG", "trace")
        .file(&file)
        .start();

    let claims = |video: Option<Grant>, sha256: Option<String>| Claims {
        iss: KEY.into(),
        sub: "alice".into(),
        exp: now() + 600,
        sha256,
        video,
        ..Claims::default()
    };
    let secret = Secret::new(API_SECRET);
    let access = sign(&claims(Some(Grant { room_list: true, ..Grant::default() }), None), &secret);
    let forged =
        sign(&claims(Some(Grant { room_list: true, ..Grant::default() }), None), &Secret::new("other"));
    let signature = |token: &str| token.rsplit('.').next().expect("a signature").to_owned();

    // These must be in no answer, no log and no file.
    let mut secrets: Vec<String> = [
        API_SECRET,
        PASSWORD,
        "CANARY-url-password",
        "CANARY-wrong-password",
        "CANARY-header",
        "CANARY-basic",
        "CANARY-query-token",
        "CANARY-cookie",
        "CANARY-turn",
        "CANARY-stream-key",
        "CANARY-s3",
        "CANARY-redacted",
        "CANARY-attribute",
    ]
    .map(str::to_owned)
    .to_vec();
    secrets.push(password_hash.reveal().rsplit('$').next().expect("the hash itself").to_owned());
    secrets.extend([signature(&access), signature(&forged)]);
    // These may be in answers to callers that may see them, and in no log and no metric.
    let private = ["CANARY-metadata", "CANARY-room-metadata", "CANARY-data"];

    let mut answers: Vec<(String, String)> = Vec::new();
    let mut keep = |what: &str, answer: (u16, reqwest::header::HeaderMap, serde_json::Value)| {
        answers.push((what.to_owned(), format!("{} {:?} {}", answer.0, answer.1, answer.2)));
    };
    let bodies = [
        json!({
            "event": "room_started", "id": "EV_1", "createdAt": "1787486400",
            "room": { "sid": "RM_1", "name": "standup", "turnPassword": "CANARY-turn", "metadata": "CANARY-room-metadata" }
        }),
        json!({
            "event": "participant_joined", "id": "EV_2", "createdAt": "1787486400",
            "room": { "sid": "RM_1", "name": "standup" },
            "participant": {
                "sid": "PA_1", "identity": "alice", "state": "ACTIVE", "metadata": "CANARY-redacted",
                "attributes": { "a": "CANARY-attribute" }
            }
        }),
        json!({
            "event": "ingress_started", "id": "EV_3", "createdAt": "1787486400",
            "ingressInfo": { "ingressId": "IN_1", "roomName": "standup", "streamKey": "CANARY-stream-key" }
        }),
        json!({
            "event": "egress_started", "id": "EV_4", "createdAt": "1787486400",
            "egressInfo": {
                "egressId": "EG_1", "roomName": "standup", "roomId": "RM_1",
                "roomComposite": {
                    "fileOutputs": [{ "filepath": "x", "s3": { "accessKey": "CANARY-s3", "secret": "CANARY-s3" } }],
                    "streamOutputs": [{ "urls": ["rtmp://live.example/app/CANARY-stream-key"] }]
                }
            }
        }),
        json!({ "event": "something_new", "id": "EV_5", "unheardOf": { "x": "CANARY-data" } }),
        json!({ "no": "event", "x": "CANARY-data" }),
    ];
    for body in &bodies {
        let body = body.to_string();
        let sha256 = webhook_claims(body.as_bytes()).sha256;
        let token = sign(&claims(None, sha256), &secret);
        secrets.push(signature(&token));
        let (status, answer) = server.webhook_as(&token, body.clone().into_bytes()).await;
        keep("a webhook", (status, Default::default(), answer));
        let (status, answer) = server.webhook_as(&forged, body.into_bytes()).await;
        keep("a forged webhook", (status, Default::default(), answer));
    }
    let bearer = format!("Bearer {access}");
    let sse = client().get(server.url("/api/events?after=start")).header("authorization", &bearer);
    let mut stream = Sse::of(sse.send().await.expect("an answer"));
    let _ = stream.connected().await;
    for _ in 0..5 {
        keep("the stream", (200, Default::default(), stream.next().await.data));
    }

    let wrong = json!({ "user": "ada", "password": "CANARY-wrong-password" });
    keep("a wrong password", post(&server, "/api/login", &[], wrong).await);
    let odd = json!({ "user": "ada", "password": ["CANARY-wrong-password"] });
    keep("an odd password", post(&server, "/api/login", &[], odd).await);
    let (status, headers, me) =
        post(&server, "/api/login", &[], json!({ "user": "ada", "password": PASSWORD })).await;
    assert_eq!(status, 200);
    keep("a login", (status, Default::default(), me));
    let set = headers["set-cookie"].to_str().expect("text").to_owned();
    let cookie = set.split(';').next().expect("a pair").to_owned();
    // Only the answer that hands it out contains it.
    secrets.push(cookie.split_once('=').expect("a pair").1.to_owned());

    let paths = [
        "/api/me",
        "/api/events",
        "/api/rooms",
        "/api/rooms/standup",
        "/api/rooms/standup/participants",
        "/api/projects",
        "/api/sessions",
        "/api/sessions/RM_1",
        "/api/activity",
        "/api/search?q=CAN",
        "/api/audit",
        "/api/none",
        "/metrics",
        "/readyz",
        "/readyz/append",
        "/",
    ];
    for path in paths {
        let separator = if path.contains('?') { '&' } else { '?' };
        let with = |token: &str| format!("{path}{separator}access_token={token}");
        keep(path, get(&server, path, &[]).await);
        keep(path, get(&server, path, &[("cookie", &cookie)]).await);
        keep(path, get(&server, path, &[("cookie", "roomwatch=CANARY-cookie; other=CANARY-cookie")]).await);
        keep(path, get(&server, path, &[("authorization", &bearer)]).await);
        keep(path, get(&server, path, &[("authorization", &format!("Bearer {forged}"))]).await);
        keep(path, get(&server, path, &[("authorization", "Basic CANARY-basic")]).await);
        keep(
            path,
            get(&server, path, &[("x-secret", "CANARY-header"), ("origin", "https://evil.example")]).await,
        );
        keep(path, get(&server, &with(&access), &[]).await);
        keep(path, get(&server, &with("CANARY-query-token"), &[]).await);
        keep(path, get(&server, &with("CANARY-query-token&access%5Ftoken=CANARY-query-token"), &[]).await);
        keep(path, get(&server, &format!("/api/events?access_token={access}&unknown=1"), &[]).await);
        // An unknown parameter is an error, and the token after it must still be masked.
        keep(path, get(&server, &format!("/api/events?Access_Token={access}"), &[]).await);
    }
    for path in ["/api/rooms/standup/data", "/api/rooms/standup/token", "/api/projects/default/test-webhook"]
    {
        let body = json!({ "text": "CANARY-data" });
        keep(path, post(&server, path, &[("cookie", &cookie)], body).await);
    }
    let socket = format!(
        "GET /socket.io/?EIO=4&transport=polling&access_token={access} HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n"
    );
    let opened = raw(server.address, socket.as_bytes());
    let sid =
        opened.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a sid").to_owned();
    for packet in [
        format!("40{{\"token\":\"{access}\"}}"),
        "40{\"token\":\"CANARY-query-token\"}".to_owned(),
        "40{\"unknown\":\"CANARY-query-token\"}".to_owned(),
        "40{\"token\":\"CANARY-query-token".to_owned(),
    ] {
        let request = format!(
            "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: localhost\r\n\
             content-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{packet}",
            packet.len()
        );
        let answer = raw(server.address, request.as_bytes());
        keep("Socket.IO", (0, Default::default(), json!(answer)));
    }

    // All files are written when the process has ended.
    let metrics =
        client().get(server.url("/metrics")).send().await.expect("an answer").text().await.expect("text");
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    let log = server.log();
    assert!(log.contains("access_token=***"), "the log has lines about requests");
    let mut kept = Vec::new();
    files(&server.dir.path().join("data"), &mut kept);
    assert!(kept.len() >= 2);
    for secret in &secrets {
        // The token to watch a room is newly signed, so no answer contains a secret.
        for (what, answer) in &answers {
            assert!(!answer.contains(secret), "{secret} is in the answer to {what}: {answer}");
        }
        for line in log.lines() {
            assert!(!line.contains(secret), "{secret} is in the log: {line}");
        }
        assert!(!metrics.contains(secret.as_str()), "{secret} is in the metrics");
        for (path, bytes) in &kept {
            let own_hash = path.ends_with("shared.db") || path.ends_with("shared.db-wal");
            assert!(!holds(bytes, secret) || (own_hash && secret.starts_with('$')), "{secret} is in {path}");
        }
    }
    for text in private {
        for line in log.lines() {
            assert!(!line.contains(text), "{text} is in the log: {line}");
        }
        assert!(!metrics.contains(text), "{text} is in the metrics");
    }
}

/// Also where a directive of the filter names a module of a library: the most specific one wins.
#[tokio::test]
async fn no_library_logs_a_handshake_at_any_level() {
    let modules = "engineioxide::engine=trace,engineioxide::transport::ws=trace,engineioxide::socket=trace,\
                   socketioxide::client=trace,socketioxide::ns=trace,tungstenite::protocol=trace,tungstenite=trace,\
                   hyper=trace,log=trace,rustls=trace";
    for filter in ["trace".to_owned(), format!("trace,{modules}")] {
        let start = Start::new().env("ROOMWATCH_LOG", &filter).env("RUST_LOG", "trace");
        let mut server = start.env("LIVEKIT_URL", "http://user:REDACT-ME-url@127.0.0.1:1").start();
        let headers = "cookie: roomwatch=REDACT-ME-cookie\r\nauthorization: Bearer REDACT-ME-header\r\n\
                       x-secret: REDACT-ME-unknown\r\n";
        let path = format!("{WEBSOCKET}&access_token=REDACT-ME-query");
        for (path, headers) in [(&*path, headers), (WEBSOCKET, "x-secret: REDACT-ME-unknown\r\n")] {
            let (_, mut socket) = WebSocket::open(&server, path, headers).await;
            if socket.frame().await.is_some() {
                socket.send("40{\"token\":\"REDACT-ME-packet\"}").await;
                let _ = socket.packet().await;
                socket.send("42[\"subscribe\",{\"room\":\"REDACT-ME-emitted\"}]").await;
            }
        }
        server.signal("TERM");
        assert_eq!(server.ended(), Some(0));
        let log = server.log();
        assert!(log.contains("DEBUG"), "the log has lines below info: {log}");
        let told: Vec<_> = log.lines().filter(|line| line.contains("REDACT-ME")).collect();
        assert_eq!(told, [""; 0], "{filter}");
    }
}

#[test]
fn no_help_and_no_error_prints_a_secret() {
    let secrets = [
        ("LIVEKIT_API_SECRET", "REDACT-ME"),
        ("LIVEKIT_URL", "wss://user:REDACT-ME@lk.example"),
        ("ROOMWATCH_PASSWORD", "REDACT-ME"),
        ("ROOMWATCH_TOKEN", "REDACT-ME"),
        ("ROOMWATCH_URL", "http://user:REDACT-ME@127.0.0.1:1"),
        ("ROOMWATCH_PUBLIC_URL", "https://user:REDACT-ME@rooms.example"),
        ("ROOMWATCH_CORS_ORIGINS", "https://user:REDACT-ME@rooms.example"),
    ];
    let dir = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_roomwatch"));
        command.args(arguments).env_clear().current_dir(dir.path()).stdin(std::process::Stdio::null());
        let output = command.envs(variables.iter().copied()).output().expect("it runs");
        let told =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(!told.is_empty() && !told.contains("REDACT-ME"), "{arguments:?} {variables:?}: {told}");
        told
    };
    for command in ["serve", "demo", "tail", "simulate", "token", "user"] {
        for help in ["--help", "-h"] {
            assert!(run(&[command, help], &secrets).contains("Usage"));
        }
    }
    assert!(run(&["serve", "--help"], &secrets).contains("[env: LIVEKIT_URL]"));
    let key =
        [("LIVEKIT_API_KEY", "k"), ("LIVEKIT_API_SECRET", "REDACT-ME"), ("ROOMWATCH_LISTEN", "127.0.0.1:0")];
    for (name, value) in [
        ("LIVEKIT_URL", "ftp://user:REDACT-ME@lk.example"),
        ("LIVEKIT_URL", "wss:/user:REDACT-ME@lk.example"),
        ("LIVEKIT_URL", "user:REDACT-ME@lk.example"),
        ("ROOMWATCH_PUBLIC_URL", "https://user:REDACT-ME@rooms.example"),
        ("ROOMWATCH_PUBLIC_URL", "user:REDACT-ME@rooms.example/ "),
        ("ROOMWATCH_CORS_ORIGINS", "https://user:REDACT-ME@rooms.example"),
        ("ROOMWATCH_CORS_ORIGINS", "user:REDACT-ME@rooms example"),
        ("ROOMWATCH_LISTNE", "REDACT-ME"),
    ] {
        let variables = [&key[..], &[(name, value)]].concat();
        assert!(run(&["serve"], &variables).starts_with("Error"), "{name}");
    }
    for url in
        ["ftp://user:REDACT-ME@127.0.0.1", "http://user:REDACT-ME@[::1", "http://user:REDACT-ME@127.0.0.1:1"]
    {
        let _ = run(&["simulate", "--duration", "1", "--rooms", "1", "--url", url], &[]);
        if !url.ends_with(":1") {
            let _ = run(&["tail", "--url", url], &[("ROOMWATCH_TOKEN", "REDACT-ME")]);
        }
    }
}

/// Every file of a server and its directory are the operator's only, whatever the umask of the shell is.
#[tokio::test]
async fn no_file_is_open_to_other_users() {
    for umask in ["000", "022", "077", "777"] {
        let start = Start::new().on_disk().umask(umask).file(&operators::user("ada", "admin"));
        let mut server = start.start();
        let _ = operators::login(&server, "ada").await;
        assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
        assert_eq!(server.get("/api/sessions").await.0, 200);
        let cookie = operators::login(&server, "ada").await;
        let body = json!({ "name": "a room" });
        let _ = post(&server, "/api/rooms", &[("cookie", &cookie)], body).await;
        let mut seen = Vec::new();
        let data = server.dir.path().join("data");
        for round in ["running", "stopped"] {
            if round == "stopped" {
                server.signal("TERM");
                assert_eq!(server.ended(), Some(0));
            }
            let mut open = vec![data.clone()];
            while let Some(path) = open.pop() {
                use std::os::unix::fs::PermissionsExt;
                let metadata = std::fs::metadata(&path).expect("it is there");
                let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
                let mode = metadata.permissions().mode() & 0o777;
                assert_eq!(
                    format!("{mode:o}"),
                    format!("{expected:o}"),
                    "{} with {umask}, {round}",
                    path.display()
                );
                if metadata.is_dir() {
                    let entries = std::fs::read_dir(&path).expect("a directory");
                    open.extend(entries.map(|entry| entry.expect("an entry").path()));
                }
                seen.push(path);
            }
        }
        assert!(seen.len() > 10, "{seen:?}");
    }
}
