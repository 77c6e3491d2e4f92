//! Sign-ins, tokens and roles: which callers get in, with which rights, and for how long.

use std::time::{Duration, Instant};

use roomwatch::token::{Claims, Grant, Secret, sign};
use serde_json::{Value, json};

use crate::harness::{
    engineio::{WEBSOCKET, WebSocket},
    operators::{PASSWORD, cookie, get, login, post, user, users},
    *,
};

/// Operators need the names of the keys for `livekit.yaml`. Secrets never leave the server.
#[tokio::test]
async fn operators_see_the_names_of_the_keys_and_no_secret() {
    let keys = "[{ key = \"APIold\", secret = \"CANARY-a\" }, { key = \"APInew\", secret = \"CANARY-b\" }]";
    let file = format!(
        "public_url = \"https://rooms.example.com/watch/\"\n{}[[projects]]\nname = \"alpha\"\nkeys = {keys}\n",
        users()
    );
    let alone = Start::new().env("LIVEKIT_API_KEY", "").env("LIVEKIT_API_SECRET", "");
    let server = alone.file(&file).start();
    for name in ["vera", "otto", "ada"] {
        let cookie = login(&server, name).await;
        let (_, _, projects) = get(&server, "/api/projects", &[("cookie", &cookie)]).await;
        assert_eq!(projects["projects"][0]["keys"], json!(["APInew", "APIold"]), "{name}");
        let (_, _, me) = get(&server, "/api/me", &[("cookie", &cookie)]).await;
        assert_eq!(me["publicUrl"], "https://rooms.example.com/watch", "{name}");
        assert!(!format!("{projects}{me}").contains("CANARY"), "{name}");
    }
    let grant = Grant { room_list: true, ..Grant::default() };
    let claims = Claims { iss: "APIold".into(), exp: now() + 60, video: Some(grant), ..Claims::default() };
    let token = sign(&claims, &Secret::new("CANARY-a"));
    let (_, _, projects) =
        get(&server, "/api/projects", &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(projects["projects"][0]["keys"], json!([]));
}

fn code(body: &Value) -> &str {
    body["error"]["code"].as_str().unwrap_or("")
}

async fn stream_with(server: &Server, header: (&str, &str)) -> Sse {
    let request = client().get(server.url("/api/events")).header(header.0, header.1);
    Sse::of(request.send().await.expect("an answer"))
}

#[tokio::test]
async fn an_operator_signs_in_and_out() {
    let server = Start::new().env("ROOMWATCH_PASSWORD", PASSWORD).start();
    let (status, _, body) = get(&server, "/api/me", &[]).await;
    assert_eq!((status, code(&body)), (401, "unauthorized"));
    let (status, _, body) = post(&server, "/api/login", &[], json!({ "password": "wrong" })).await;
    assert_eq!((status, code(&body)), (401, "wrong_credentials"));
    let (status, headers, body) = post(&server, "/api/login", &[], json!({ "password": PASSWORD })).await;
    assert_eq!(status, 200);
    let set = headers["set-cookie"].to_str().expect("text");
    assert!(
        set.contains("; HttpOnly") && set.contains("; SameSite=Strict") && set.contains("; Path=/;"),
        "{set}"
    );
    // Without TLS a browser would never send a Secure cookie back.
    assert!(!set.contains("Secure"), "{set}");
    assert_eq!(body["user"], "operator");
    let cookie = cookie(&headers);
    let (status, _, me) = get(&server, "/api/me", &[("cookie", &cookie)]).await;
    assert_eq!(status, 200);
    assert_eq!(
        (&me["kind"], &me["role"], &me["projects"], &me["grants"], &me["streams"], &me["demo"]),
        (
            &json!("session"),
            &json!("admin"),
            &json!(["default"]),
            &Value::Null,
            &json!({ "open": 0, "max": 5 }),
            &json!(false)
        )
    );
    assert!(me["expiresAt"].as_u64().expect("a time") > (now() as u64) * 1000);
    let (status, headers, _) = post(&server, "/api/logout", &[("cookie", &cookie)], json!({})).await;
    assert_eq!(status, 200);
    assert!(headers["set-cookie"].to_str().expect("text").contains("Max-Age=0"));
    let (status, headers, body) = get(&server, "/api/me", &[("cookie", &cookie)]).await;
    assert_eq!((status, code(&body)), (401, "session_ended"));
    assert!(
        headers["set-cookie"].to_str().expect("text").contains("Max-Age=0"),
        "a dead cookie is taken away"
    );
    let (status, _, _) = post(&server, "/api/logout", &[], json!({})).await;
    assert_eq!(status, 200, "signing out without a sign-in is allowed");
}

#[tokio::test]
async fn sign_ins_survive_a_restart_and_end_when_the_password_changes() {
    let mut server = Start::new().env("ROOMWATCH_PASSWORD", PASSWORD).start();
    let (_, headers, _) = post(&server, "/api/login", &[], json!({ "password": PASSWORD })).await;
    let cookie = cookie(&headers);
    server.kill();
    let mut server = server.again().start();
    assert_eq!(get(&server, "/api/me", &[("cookie", &cookie)]).await.0, 200);
    server.kill();
    let mut server = server.again().env("ROOMWATCH_PASSWORD", "another").start();
    assert_eq!(get(&server, "/api/me", &[("cookie", &cookie)]).await.0, 401);
    server.kill();
    // The old password does not bring the old sign-in back.
    let mut server = server.again().env("ROOMWATCH_PASSWORD", PASSWORD).start();
    assert_eq!(get(&server, "/api/me", &[("cookie", &cookie)]).await.0, 401);
    server.kill();
    // A damaged file costs the sign-ins, and not the start.
    std::fs::write(server.dir.path().join("data/shared.db"), "junk").expect("written");
    let server = server.again().start();
    assert_eq!(post(&server, "/api/login", &[], json!({ "password": PASSWORD })).await.0, 200);
}

#[tokio::test]
async fn signing_in_always_makes_a_new_cookie() {
    let server = Start::new().file(&users()).start();
    // A planted cookie is never adopted.
    let planted = "roomwatch=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let (_, headers, _) =
        post(&server, "/api/login", &[("cookie", planted)], json!({ "user": "ada", "password": PASSWORD }))
            .await;
    let first = cookie(&headers);
    assert_ne!(first, planted);
    assert_eq!(get(&server, "/api/me", &[("cookie", planted)]).await.0, 401);
    // A second sign-in ends the first one of this browser.
    let (_, headers, _) =
        post(&server, "/api/login", &[("cookie", &first)], json!({ "user": "vera", "password": PASSWORD }))
            .await;
    let second = cookie(&headers);
    assert_ne!(first, second);
    assert_eq!(get(&server, "/api/me", &[("cookie", &first)]).await.0, 401);
    assert_eq!(get(&server, "/api/me", &[("cookie", &second)]).await.2["user"], "vera");
    // A planted cookie of the same name does not lock the user out.
    let both = format!("{planted}; {second}");
    assert_eq!(get(&server, "/api/me", &[("cookie", &both)]).await.0, 200);
}

#[tokio::test]
async fn an_unknown_name_takes_as_long_as_a_wrong_password() {
    let server = Start::new().file(&users()).env("ROOMWATCH_MAX_LOGINS_PER_MINUTE", "0").start();
    let mut times = [Vec::new(), Vec::new()];
    for i in 0..12 {
        let name = ["ada", "unknown"][i % 2];
        let began = Instant::now();
        let (status, _, body) =
            post(&server, "/api/login", &[], json!({ "user": name, "password": "wrong" })).await;
        times[i % 2].push(began.elapsed());
        assert_eq!((status, code(&body)), (401, "wrong_credentials"));
        assert_eq!(body["error"]["message"], "the name or the password is wrong");
    }
    for times in &mut times {
        times.sort();
    }
    // Without a comparison the answer to an unknown name would be a hundred times as fast.
    let [known, unknown] = times.map(|times| times[times.len() / 2]);
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    assert!((0.33..3.0).contains(&ratio), "known {known:?}, unknown {unknown:?}");
}

#[tokio::test]
async fn a_thousand_logins_are_limited() {
    let server = Start::new().file(&users()).start();
    let cookie = login(&server, "ada").await;
    let mut tries = tokio::task::JoinSet::new();
    let client = client();
    for _ in 0..1000 {
        let request =
            client.post(server.url("/api/login")).json(&json!({ "user": "ada", "password": "wrong" }));
        tries.spawn(async move {
            let answer = request.send().await.expect("an answer");
            let after = answer.headers().get("retry-after").map(|v| v.to_str().expect("text").to_owned());
            (answer.status().as_u16(), after, answer.json::<Value>().await.expect("JSON"))
        });
    }
    let (mut wrong, mut many) = (0, 0);
    while let Some(done) = tries.join_next().await {
        let (status, after, body) = done.expect("done");
        match (status, code(&body)) {
            (401, "wrong_credentials") => wrong += 1,
            (429, "too_many_logins") => {
                many += 1;
                assert!((1..=60).contains(&after.expect("a time").parse::<u32>().expect("seconds")));
            }
            other => panic!("{other:?}"),
        }
    }
    // Nine of the ten sign-ins of this minute are left, and a few more become free during the test.
    assert!((9..40).contains(&wrong), "{wrong} were tried");
    assert_eq!(wrong + many, 1000);
    assert_eq!(get(&server, "/api/me", &[("cookie", &cookie)]).await.0, 200, "who is in stays in");
}

#[tokio::test]
async fn login_accepts_only_credentials() {
    let server = Start::new().file(&users()).start();
    for (body, kind, expected) in [
        ("{}", "application/json", (400, "bad_body")),
        ("CANARY", "application/json", (400, "bad_body")),
        ("\"CANARY\"", "application/json", (400, "bad_body")),
        (r#"{"password":770077}"#, "application/json", (400, "bad_body")),
        (r#"{"password":"a","password":"b"}"#, "application/json", (400, "bad_body")),
        (r#"{"password":"a","role":"admin"}"#, "application/json", (400, "bad_body")),
        // The content types that a form of another site can send.
        (r#"{"password":"a"}"#, "text/plain", (415, "not_json")),
        ("password=a", "application/x-www-form-urlencoded", (415, "not_json")),
    ] {
        let request = client().post(server.url("/api/login")).header("content-type", kind).body(body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("text");
        assert!(!text.contains("CANARY") && !text.contains("770077"), "{text}");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((status, code(&answer)), expected, "{body}");
    }
    let long = json!({ "user": "ada", "password": "x".repeat(2000) });
    assert_eq!(post(&server, "/api/login", &[], long).await.0, 401);
    let huge = json!({ "user": "ada", "password": "x".repeat(3 << 20) });
    let (status, _, body) = post(&server, "/api/login", &[], huge).await;
    assert_eq!((status, code(&body)), (413, "body_too_large"));
    let server = Server::start();
    let (status, _, body) = post(&server, "/api/login", &[], json!({ "password": "x" })).await;
    assert_eq!((status, code(&body)), (403, "no_users"));
}

#[tokio::test]
async fn a_stream_ends_when_its_sign_in_ends() {
    // Heartbeats are long, so that the stream does not end because of a check at a heartbeat.
    let server = Start::new().file(&users()).env("ROOMWATCH_HEARTBEAT_SECS", "20").start();
    let (ada, vera) = (login(&server, "ada").await, login(&server, "vera").await);
    let mut signed_out = stream_with(&server, ("cookie", &ada)).await;
    let mut removed = stream_with(&server, ("cookie", &vera)).await;
    let _ = (signed_out.connected().await, removed.connected().await);
    let began = Instant::now();
    let (_, mut socket) = WebSocket::open(&server, WEBSOCKET, &format!("cookie: {ada}\r\n")).await;
    assert!(socket.frame().await.expect("a handshake").starts_with('0'));
    socket.send("40").await;
    for beginning in ["40{", "42[\"connected\","] {
        let packet = socket.packet().await.expect("an answer");
        assert!(packet.starts_with(beginning), "{packet}");
    }
    assert_eq!(post(&server, "/api/logout", &[("cookie", &ada)], json!({})).await.0, 200);
    // Vera is removed from the file, and SIGHUP makes the server read it again.
    let path = server.dir.path().join("roomwatch.toml");
    std::fs::write(&path, user("ada", "admin")).expect("written");
    server.signal("HUP");
    for stream in [&mut signed_out, &mut removed] {
        let bye = stream.next().await;
        assert_eq!((bye.event.as_str(), &bye.data), ("bye", &json!({ "reason": "expired" })));
        assert!(stream.any().await.is_none(), "and the end");
    }
    assert_eq!(socket.packet().await.as_deref(), Some("42[\"bye\",{\"reason\":\"expired\"}]"));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(get(&server, "/api/me", &[("cookie", &vera)]).await.0, 401);
    assert_eq!(
        post(&server, "/api/login", &[], json!({ "user": "vera", "password": PASSWORD })).await.0,
        401
    );
    // A file that cannot be read changes nothing.
    std::fs::write(&path, "[[users]]\nname = 1\n").expect("written");
    server.signal("HUP");
    until("the mistake is logged", || server.log().contains("the users stay as they are"));
    let _ = login(&server, "ada").await;
}

#[tokio::test]
async fn a_changed_role_counts_at_once() {
    let server = Start::new().file(&users()).start();
    let cookie = login(&server, "ada").await;
    std::fs::write(server.dir.path().join("roomwatch.toml"), user("ada", "viewer")).expect("written");
    server.signal("HUP");
    until("the users are read", || server.log().contains("read the users again"));
    assert_eq!(get(&server, "/api/me", &[("cookie", &cookie)]).await.2["role"], "viewer");
}

/// A token with these claims in addition to the usual ones; `null` removes one.
fn forged(changes: Value) -> String {
    let mut claims = json!({
        "iss": KEY, "sub": "alice", "nbf": now(), "exp": now() + 600,
        "video": { "roomList": true }
    });
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    raw_token(json!({ "alg": "HS256", "typ": "JWT" }), &claims.to_string(), SECRET)
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let server = Server::start();
    let good = forged(json!({}));
    let claims = json!({ "iss": KEY, "exp": now() + 600, "video": { "roomList": true } });
    let mut forgeries = vec![
        ("", "empty".to_owned()),
        ("junk", "junk".to_owned()),
        ("Basic", "x".to_owned()),
        ("unsigned", raw_token(json!({ "alg": "none" }), &claims.to_string(), SECRET)),
        ("another algorithm", raw_token(json!({ "alg": "HS512" }), &claims.to_string(), SECRET)),
        ("another secret", raw_token(json!({ "alg": "HS256" }), &claims.to_string(), "another")),
        ("another key", forged(json!({ "iss": "APIother" }))),
        ("no iss", forged(json!({ "iss": null }))),
        ("no exp", forged(json!({ "exp": null }))),
        ("expired", forged(json!({ "exp": now() - 65 }))),
        ("for later", forged(json!({ "nbf": now() + 120 }))),
        ("no grants", forged(json!({ "video": null }))),
        ("a webhook's", webhook_token(b"")),
        (
            "a webhook's with grants",
            forged(json!({ "sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" })),
        ),
    ];
    // Each letter of the payload and of the signature, changed.
    for at in [good.find('.').expect("a dot") + 5, good.len() - 5] {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        forgeries.push(("changed", String::from_utf8(changed).expect("ASCII")));
    }
    assert_eq!(get(&server, "/api/me", &[("authorization", &format!("Bearer {good}"))]).await.0, 200);
    for (what, token) in forgeries {
        for header in
            [format!("Bearer {token}"), format!("bearer {token}"), token.clone(), format!("Basic {token}")]
        {
            let (status, _, body) = get(&server, "/api/me", &[("authorization", &header)]).await;
            assert_eq!((status, code(&body)), (401, "unauthorized"), "{what}");
        }
        let (status, _, body) = get(&server, &format!("/api/me?access_token={token}"), &[]).await;
        assert_eq!((status, code(&body)), (401, "unauthorized"), "{what} in the query");
    }
    // 60 s of leeway, as everywhere.
    let late = forged(json!({ "exp": now() - 50 }));
    assert_eq!(get(&server, "/api/me", &[("authorization", &format!("Bearer {late}"))]).await.0, 200);
    let twice = format!("/api/me?access_token={good}&access_token={good}");
    let (status, _, body) = get(&server, &twice, &[]).await;
    assert_eq!((status, code(&body)), (400, "duplicate_parameter"));
    let two = format!(
        "GET /api/me HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {good}\r\nauthorization: Bearer {good}\r\nconnection: close\r\n\r\n"
    );
    assert!(raw(server.address, two.as_bytes()).starts_with("HTTP/1.1 401"));
    // An access token is not a webhook token.
    let body = event("EV_1", "a");
    assert_eq!(server.webhook_as(&good, body.into_bytes()).await.0, 401);
}

#[tokio::test]
async fn a_presented_credential_decides() {
    let server = Start::new().arg("--dev").env("LIVEKIT_API_KEY", "").env("LIVEKIT_API_SECRET", "").start();
    let host = ("host", "localhost");
    assert_eq!(get(&server, "/api/me", &[host]).await.2["kind"], "dev");
    for bad in [
        ("authorization", "Bearer junk"),
        ("authorization", "Basic b3R0bzpvdHRv"),
        ("cookie", "roomwatch=junk"),
    ] {
        assert_eq!(get(&server, "/api/me", &[host, bad]).await.0, 401, "{bad:?}");
    }
    assert_eq!(get(&server, "/api/me?access_token=", &[host]).await.0, 401);
    // A token wins over a cookie, because a client sends it on purpose.
    let claims = Claims {
        iss: "devkey".into(),
        sub: "alice".into(),
        exp: now() + 600,
        video: Some(Grant { room_join: true, room: "a".into(), ..Grant::default() }),
        ..Claims::default()
    };
    let token = format!("Bearer {}", sign(&claims, &Secret::new("secret")));
    let (_, _, me) =
        get(&server, "/api/me", &[("authorization", &token), ("cookie", "roomwatch=junk")]).await;
    assert_eq!(
        (&me["kind"], &me["user"], &me["role"]),
        (&json!("token"), &json!("devkey/alice"), &Value::Null)
    );
    assert_eq!(me["grants"], json!({ "roomJoin": true, "room": "a" }));
}

#[tokio::test]
async fn dev_answers_only_to_this_machine() {
    let started = |listen: &str| {
        Start::new()
            .arg("--dev")
            .arg("--listen")
            .arg(listen)
            .env("LIVEKIT_API_KEY", "")
            .env("LIVEKIT_API_SECRET", "")
    };
    assert!(started("0.0.0.0:0").fails().contains("loopback"));
    assert!(started("[::]:0").fails().contains("loopback"));
    let server = started("127.0.0.1:0").start();
    for (host, expected) in [
        ("localhost:3001", 200),
        ("127.0.0.1", 200),
        ("[::1]:3001", 200),
        ("evil.example", 403),
        ("localhost.evil.example:3001", 403),
        ("127.0.0.1.nip.example", 403),
        ("", 403),
    ] {
        for path in ["/api/me", "/metrics", "/"] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            let answer = raw(server.address, request.as_bytes());
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{host} {path}: {answer}");
        }
    }
    let nameless = raw(server.address, b"GET /api/me HTTP/1.0\r\n\r\n");
    assert!(nameless.starts_with("HTTP/1.0 403") || nameless.starts_with("HTTP/1.1 403"), "{nameless}");
}

#[tokio::test]
async fn a_stream_warns_before_its_token_ends() {
    let server = Server::start();
    // With the leeway of 60 s the token is valid for 3 s more.
    let token = forged(json!({ "exp": now() - 57 }));
    let ends_at = (now() + 3) * 1000;
    let mut stream = stream_with(&server, ("authorization", &format!("Bearer {token}"))).await;
    let _ = stream.connected().await;
    let notice = stream.next().await;
    assert_eq!(notice.event, "expiring");
    let at = notice.data["at"].as_i64().expect("a time");
    assert!((at - ends_at).abs() <= 2000, "{at} is not about {ends_at}");
    let bye = stream.next().await;
    assert_eq!((bye.event.as_str(), &bye.data), ("bye", &json!({ "reason": "expired" })));
    assert!(stream.any().await.is_none(), "and the end");
    assert!((now() * 1000 - at).abs() < 10_000);
    // A token that is valid for longer gets no warning yet.
    let mut stream = stream_with(&server, ("authorization", &format!("Bearer {}", list_token()))).await;
    let _ = stream.connected().await;
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    assert_eq!(stream.next().await.event, "");
}

#[tokio::test]
async fn user_hash_prints_a_hash_that_the_configuration_accepts() {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_roomwatch"))
        .args(["user", "hash"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("piped").write_all(b"a pass phrase\r\n").expect("written");
    let output = child.wait_with_output().expect("it ends");
    let hash = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && hash.starts_with("$argon2id$"), "{hash}");
    let file = format!("[[users]]\nname = \"eva\"\nrole = \"viewer\"\npassword_hash = \"{}\"\n", hash.trim());
    let server = Start::new().file(&file).start();
    let (status, _, me) =
        post(&server, "/api/login", &[], json!({ "user": "eva", "password": "a pass phrase" })).await;
    assert_eq!((status, &me["role"]), (200, &json!("viewer")));
}

/// Result of `roomwatch user hash` at a terminal.
struct AtTerminal {
    status: Option<i32>,
    /// The text on the terminal.
    shown: String,
    printed: String,
    /// The settings of the terminal, before and after.
    modes: [String; 2],
}

/// Runs `roomwatch user hash` at a new terminal, and types `keys` at its prompt. Without keys it sends SIGTERM.
fn at_a_terminal(shows: bool, keys: Option<&str>) -> AtTerminal {
    use std::{
        fs::{File, OpenOptions},
        io::{Read, Write},
        process::{Command, Stdio},
    };

    use rustix::{
        pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
        termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr},
    };
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&person).and_then(|()| unlockpt(&person)).expect("it opens");
    let path = ptsname(&person, Vec::new()).expect("it has a name").into_string().expect("text");
    let terminal = OpenOptions::new().read(true).write(true).open(path).expect("it opens");
    let mut modes = tcgetattr(&terminal).expect("its modes");
    modes.local_modes.set(LocalModes::ECHO, shows);
    tcsetattr(&terminal, OptionalActions::Now, &modes).expect("set");
    let modes = || format!("{:?}", tcgetattr(&terminal).expect("its modes"));
    let before = modes();

    let end = || Stdio::from(terminal.try_clone().expect("another"));
    // `--ctty`: Ctrl-C goes to the owner of the terminal.
    let mut child = Command::new("setsid")
        .args(["--ctty", env!("CARGO_BIN_EXE_roomwatch"), "user", "hash"])
        .stdin(end())
        .stdout(Stdio::piped())
        .stderr(end())
        .spawn()
        .expect("it starts");
    let mut person = File::from(person);
    let mut shown = Vec::new();
    let mut bytes = [0; 1024];
    while !shown.ends_with(b"Password: ") {
        let n = person.read(&mut bytes).expect("it asks");
        shown.extend_from_slice(&bytes[..n]);
    }
    match keys {
        Some(keys) => person.write_all(keys.as_bytes()).expect("typed"),
        None => {
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("told").success());
        }
    }
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status.code();
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut printed = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut printed).expect("text");
    let modes = [before, modes()];
    // Reading ends when the last process has closed the terminal.
    drop(terminal);
    while let Ok(n @ 1..) = person.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..n]);
    }
    AtTerminal { status, shown: String::from_utf8_lossy(&shown).into_owned(), printed, modes }
}

#[test]
fn a_password_is_not_shown_and_the_terminal_is_restored() {
    for shows in [true, false] {
        let answered = at_a_terminal(shows, Some("a pass phrase\n"));
        assert_eq!(answered.status, Some(0), "{}", answered.shown);
        assert!(answered.printed.starts_with("$argon2id$"), "{}", answered.printed);
        assert_eq!(answered.shown, "Password: \r\n");
        assert_eq!(answered.modes[0], answered.modes[1]);
        // Ctrl-C, Ctrl-\, SIGTERM.
        for key in [Some("\u{3}"), Some("\u{1c}"), None] {
            let ended = at_a_terminal(shows, key);
            assert_eq!((ended.status, &*ended.printed), (Some(130), ""), "{key:?}: {}", ended.shown);
            assert_eq!(ended.modes[0], ended.modes[1], "{key:?}");
        }
    }
}
