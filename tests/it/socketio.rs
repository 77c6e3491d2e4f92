//! Socket.IO: the stream, its limits, and slow or broken clients. Tests with the official client, over both transports
//! and with the upgrade between them, are in `e2e/`.

use std::sync::Arc;

use roomwatch::token::{Claims, Grant, Secret, sign};
use serde_json::{Value, json};

use crate::harness::{engineio::*, *};

/// An event of this many bytes.
fn large(i: usize, bytes: usize) -> String {
    let padding = "x".repeat(bytes);
    format!(
        r#"{{"event":"room_started","room":{{"sid":"RM_a","name":"a"}},"id":"EV_{i}","padding":"{padding}"}}"#
    )
}

async fn post_large(server: &Server, ids: std::ops::Range<usize>, bytes: usize) {
    for i in ids {
        assert_eq!(server.webhook(&large(i, bytes)).await, 200);
    }
}

/// Resident memory of the server, in bytes.
fn resident(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

async fn post(server: &Server, ids: std::ops::Range<u32>) {
    for i in ids {
        let room = if i % 2 == 0 { "a" } else { "b" };
        assert_eq!(server.webhook(&event(&format!("EV_{i}"), room)).await, 200);
    }
}

#[tokio::test]
async fn a_socket_gets_the_stream_and_resumes_it() {
    let mut server = Start::new().on_disk().start();
    post(&server, 1..6).await;
    let mut socket = Polling::connected(&server, auth(json!({ "after": "start" }))).await;
    assert_eq!(socket.handshake["maxPayload"], 64 << 10);
    assert_eq!(socket.handshake["upgrades"], json!(["websocket"]));
    let (name, connected) = socket.event().await.expect("an event");
    assert_eq!((name.as_str(), &connected["resumed"]), ("connected", &json!(true)));
    let mut cursor = Value::Null;
    for i in 1..6 {
        let (name, message) = socket.event().await.expect("an event");
        assert_eq!((name.as_str(), &message["data"]["id"]), ("room:event", &json!(format!("EV_{i}"))));
        // The same message as on the other transport.
        let (_, page) = server.get("/api/events?after=start").await;
        assert_eq!(message, page["events"][i - 1]);
        cursor = message["cursor"].clone();
    }
    server.kill();
    let server = server.again().start();
    let mut socket = Polling::connected(&server, auth(json!({ "after": cursor, "room": "a" }))).await;
    assert_eq!(socket.event().await.expect("an event").1["resumed"], true);
    post(&server, 6..9).await;
    for i in [6, 8] {
        assert_eq!(socket.event().await.expect("an event").1["data"]["id"], format!("EV_{i}"));
    }
}

#[tokio::test]
async fn a_cursor_that_cannot_be_honoured_is_reset() {
    let server = Server::start();
    let mut socket = Polling::connected(&server, auth(json!({ "after": "00000000-7" }))).await;
    let (name, connected) = socket.event().await.expect("an event");
    assert_eq!((name.as_str(), &connected["reset"]), ("connected", &json!("unknown_epoch")));
    assert_eq!(connected["resumed"], false);
    let (name, reset) = socket.event().await.expect("an event");
    assert_eq!((name.as_str(), &reset["reason"]), ("reset", &json!("unknown_epoch")));
    assert_eq!(reset["cursor"], connected["cursor"]);
}

#[tokio::test]
async fn a_refusal_is_a_connect_error() {
    let server = Server::start();
    let expired = {
        let claims = Claims {
            iss: KEY.into(),
            exp: now() - 100,
            video: Some(Grant { room_list: true, ..Default::default() }),
            ..Default::default()
        };
        sign(&claims, &Secret::new(SECRET))
    };
    for (auth, code) in [
        (json!({}), "unauthorized"),
        (json!({ "token": "junk" }), "unauthorized"),
        (json!({ "token": "a\nb" }), "unauthorized"),
        (json!({ "token": expired }), "unauthorized"),
        (json!({ "token": webhook_token(b"{}") }), "unauthorized"),
        (json!({ "token": admin_token("a"), "room": "b" }), "forbidden"),
        (json!({ "token": list_token(), "project": "other" }), "forbidden"),
        (json!({ "token": list_token(), "rooms": "a" }), "bad_parameter"),
        (json!({ "token": list_token(), "room": 7 }), "bad_parameter"),
        (json!({ "token": list_token(), "room": vec!["x"; 101] }), "filter_too_large"),
    ] {
        let (_, answer) = Polling::connect(&server, auth.clone()).await;
        let error: Value = serde_json::from_str(answer.strip_prefix("44").expect(&answer)).expect("JSON");
        let message = error["message"].as_str().expect("a message");
        assert!(message.starts_with(&format!("{code}: ")), "{auth}: {message}");
    }
    let mut socket = Polling::open(&server).await;
    assert_eq!(socket.send("40/admin,{}").await, 200);
    let answer = socket.packet().await.expect("an answer");
    assert!(answer.starts_with("44/admin,"), "{answer}");
}

#[tokio::test]
async fn the_limits_are_those_of_every_stream() {
    let server = Start::new().env("ROOMWATCH_MAX_STREAMS_PER_USER", "2").start();
    let first = Polling::connected(&server, auth(json!({}))).await;
    let _stream = server.stream("").await;
    let (_, answer) = Polling::connect(&server, auth(json!({}))).await;
    assert!(answer.contains("too_many_connections"), "{answer}");
    // A closed socket frees its slot at once.
    assert_eq!(first.send("41").await, 200);
    until_async("the place is free", async || {
        Polling::connect(&server, auth(json!({}))).await.1.starts_with("40")
    })
    .await;
}

#[tokio::test]
async fn the_filter_of_an_open_socket_can_change() {
    let server = Server::start();
    let mut socket = Polling::connected(&server, auth(json!({ "room": ["a"] }))).await;
    let _ = socket.event().await;
    post(&server, 1..3).await;
    assert_eq!(socket.event().await.expect("an event").1["data"]["id"], "EV_2");
    let (_, page) = server.get("/api/events").await;
    assert_eq!(socket.ask(json!(["subscribe", { "room": "b" }])).await, json!({ "cursor": page["last"] }));
    post(&server, 3..5).await;
    for i in 3..5 {
        assert_eq!(socket.event().await.expect("an event").1["data"]["id"], format!("EV_{i}"));
    }
    assert!(socket.ask(json!(["unsubscribe", { "room": "a" }])).await["cursor"].is_string());
    post(&server, 5..8).await;
    for i in [5, 7] {
        assert_eq!(socket.event().await.expect("an event").1["data"]["id"], format!("EV_{i}"));
    }
    // Without its last room the socket gets nothing, not everything.
    assert!(socket.ask(json!(["unsubscribe", { "room": "b" }])).await["cursor"].is_string());
    post(&server, 8..10).await;
    while !server.get("/api/events").await.1["last"].as_str().is_some_and(|last| last.ends_with("-9")) {}
    assert_eq!(socket.send("427[\"subscribe\",{\"room\":\"b\"}]").await, 200);
    let answer = socket.packet().await.expect("a packet");
    assert!(answer.starts_with("437"), "the answer, and no event before it: {answer}");
    post(&server, 10..12).await;
    assert_eq!(socket.event().await.expect("an event").1["data"]["id"], "EV_11");
    for (event, code) in [
        (json!(["subscribe", { "project": "other" }]), "forbidden"),
        (json!(["subscribe", { "rooms": "b" }]), "bad_parameter"),
        (json!(["subscribe", "b"]), "bad_parameter"),
        (json!(["subscribe", { "room": "x".repeat(3000) }]), "filter_too_large"),
        (json!(["shout", 1]), "unknown_event"),
    ] {
        assert_eq!(socket.ask(event.clone()).await["error"]["code"], code, "{event}");
    }
    // None of this changed the filter.
    post(&server, 12..14).await;
    assert_eq!(socket.event().await.expect("an event").1["data"]["id"], "EV_13");
}

#[tokio::test]
async fn an_invalid_packet_ends_only_its_own_session() {
    let server = Server::start();
    let bystander = Polling::connected(&server, auth(json!({}))).await;
    // Binary instead of text.
    let mut socket = Polling::connected(&server, auth(json!({}))).await;
    let _ = socket.event().await;
    let binary = "451-7[\"subscribe\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAAECAw==";
    let _ = socket.send(binary).await;
    // Too large, and junk.
    let large = Polling::connected(&server, auth(json!({}))).await;
    let status = large.send(&format!("42[\"subscribe\",\"{}\"]", "x".repeat(70 << 10))).await;
    assert!(matches!(status, 0 | 400 | 413), "{status}");
    for junk in ["9", "4", "42", "42[", "42{}", "4\u{1e}\u{1e}", "49[]", "4512345678901[]"] {
        let socket = Polling::open(&server).await;
        let _ = socket.send(junk).await;
    }
    let unknown = client().get(server.url("/socket.io/?EIO=4&transport=polling&sid=unknown")).send().await;
    assert_eq!(unknown.expect("an answer").status(), 400);
    let old = client().get(server.url("/socket.io/?EIO=3&transport=polling")).send().await;
    assert_eq!(old.expect("an answer").status(), 400);
    // The other sessions are unaffected.
    let mut bystander = bystander;
    let _ = bystander.event().await;
    post(&server, 1..2).await;
    assert_eq!(bystander.event().await.expect("an event").1["data"]["id"], "EV_1");
}

#[tokio::test]
async fn a_thousand_packets_a_second_end_the_session() {
    let server = Server::start();
    let mut socket = Polling::connected(&server, auth(json!({}))).await;
    let _ = socket.event().await;
    let flood = vec!["42[\"subscribe\",{}]"; 1_000].join("\u{1e}");
    let _ = socket.send(&flood).await;
    let sent_away = async {
        while let Some((name, value)) = socket.event().await {
            assert_eq!((name.as_str(), &value["reason"]), ("bye", &json!("too_many_commands")));
        }
    };
    tokio::time::timeout(PATIENCE, sent_away).await.expect("it is sent away");
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    // The limit counts every event name; 0 means no limit.
    for (max, sent, stays) in [("3", 4, false), ("0", 1_000, true)] {
        let server = Start::new().env("ROOMWATCH_MAX_SOCKET_EVENTS_PER_SECOND", max).start();
        let mut socket = Polling::connected(&server, auth(json!({}))).await;
        let _ = socket.event().await;
        let _ = socket.send(&vec!["42[\"shout\",{}]"; sent].join("\u{1e}")).await;
        if stays {
            assert!(socket.ask(json!(["subscribe", {}])).await["cursor"].is_string());
        } else {
            assert_eq!(socket.event().await.expect("a goodbye").1["reason"], "too_many_commands");
            assert_eq!(socket.event().await, None);
        }
    }
}

#[tokio::test]
async fn a_client_that_never_polls_is_closed_and_frees_its_slot() {
    let server =
        Start::new().env("ROOMWATCH_HEARTBEAT_SECS", "1").env("ROOMWATCH_MAX_STREAMS_PER_USER", "1").start();
    let silent = Arc::new(Polling::connected(&server, auth(json!({}))).await);
    post(&server, 1..200).await;
    until_async("the place is free", async || {
        Polling::connect(&server, auth(json!({}))).await.1.starts_with("40")
    })
    .await;
    drop(silent);
}

#[tokio::test]
async fn heartbeats_carry_the_cursor_and_the_end_has_a_reason() {
    let mut server =
        Start::new().env("ROOMWATCH_HEARTBEAT_SECS", "1").env("ROOMWATCH_DRAIN_SECS", "1").start();
    let mut socket = Polling::connected(&server, auth(json!({ "room": "empty" }))).await;
    let _ = socket.event().await;
    post(&server, 1..4).await;
    let (_, page) = server.get("/api/events").await;
    let expected = format!("\"cursor\":{}", page["last"]);
    loop {
        let packet = socket.packet().await.expect("a heartbeat");
        assert!(packet.starts_with("42[\"ping\","), "{packet}");
        if packet.contains(&expected) {
            break;
        }
    }
    server.signal("TERM");
    let (name, bye) = socket.event().await.expect("a goodbye");
    assert_eq!((name.as_str(), bye), ("bye", json!({ "reason": "drain" })));
    assert_eq!(server.ended(), Some(0));
}

#[tokio::test]
async fn a_socket_is_warned_before_its_token_ends() {
    let server = Server::start();
    // With the leeway of 60 s the token is valid for 4 s more.
    let claims = Claims {
        iss: KEY.into(),
        sub: "alice".into(),
        exp: now() - 56,
        video: Some(Grant { room_list: true, ..Grant::default() }),
        ..Claims::default()
    };
    let token = sign(&claims, &Secret::new(SECRET));
    let mut socket = Polling::connected(&server, json!({ "token": token })).await;
    let mut told = Vec::new();
    while let Some((name, value)) = socket.event().await {
        told.push((name, value));
    }
    let names: Vec<_> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["connected", "expiring", "bye"], "{told:?}");
    assert_eq!(told[1].1["at"], json!((claims.exp + 60) * 1000));
    assert_eq!(told[2].1, json!({ "reason": "expired" }));
}

/// Bytes that the ring keeps, which is more than any socket takes.
const RING: usize = 32 << 20;

#[tokio::test]
async fn a_socket_that_never_reads_costs_little_memory_and_delays_no_one() {
    const SIZE: usize = 256 << 10;
    const STUCK: usize = 8;
    let server = Start::new()
        .on_disk()
        .env("ROOMWATCH_MAX_STREAMS_PER_USER", "0")
        .env("ROOMWATCH_HEARTBEAT_SECS", "20")
        .start();
    let ring = RING / SIZE;
    post_large(&server, 0..ring, SIZE).await;
    let mut bystander = server.stream("").await;
    let _ = bystander.connected().await;
    let mut silent = (Vec::new(), Vec::new());
    for _ in 0..STUCK {
        silent.0.push(WebSocket::connected(&server, auth(json!({}))).await);
        silent.1.push(Polling::connected(&server, auth(json!({}))).await);
    }
    let before = resident(&server);
    let reading = tokio::spawn(async move {
        for i in ring..2 * ring {
            assert_eq!(bystander.next().await.data["data"]["id"], format!("EV_{i}"));
        }
    });
    post_large(&server, ring..2 * ring, SIZE).await;
    reading.await.expect("who reads has missed nothing");
    assert_eq!(open_sockets(&server).await, 2 * STUCK, "all of them are still there");
    // The event in the queue and the one that is being written, although 128 were sent.
    let grown = resident(&server).saturating_sub(before);
    let allowed = 2 * STUCK * 3 * SIZE + (16 << 20);
    println!("{} sockets that never read: {} KiB each", 2 * STUCK, grown / (2 * STUCK) / 1024);
    assert!(grown < allowed, "{grown} bytes for {} sockets", 2 * STUCK);
}

#[tokio::test]
async fn a_slow_socket_catches_up_from_the_log() {
    const SIZE: usize = 256 << 10;
    let server = Start::new().env("ROOMWATCH_HEARTBEAT_SECS", "20").start();
    // More than the ring keeps, and more than the 32 packets that may wait for a socket. Posted before it connects,
    // because a socket that is still full at the next heartbeat is closed.
    let count = (RING + (16 << 20)) / SIZE;
    post_large(&server, 0..count, SIZE).await;
    let mut slow = WebSocket::connected(&server, auth(json!({ "after": "start" }))).await;
    until_async("the socket is full", async || slow.waiting().await >= 128 << 10).await;
    post_large(&server, count..count + 8, 1).await;
    for i in 0..count + 8 {
        assert_eq!(slow.message().await, format!("EV_{i}"));
    }
    // It is live again.
    post_large(&server, count + 8..count + 9, 1).await;
    assert_eq!(slow.message().await, format!("EV_{}", count + 8));
}

#[tokio::test]
async fn a_slow_socket_still_gets_bye() {
    let server = Server::start();
    // With the leeway of 60 s the token is valid for 4 s more.
    let claims = Claims {
        iss: KEY.into(),
        sub: "alice".into(),
        exp: now() - 56,
        video: Some(Grant { room_list: true, ..Grant::default() }),
        ..Claims::default()
    };
    let token = sign(&claims, &Secret::new(SECRET));
    let mut slow = Polling::connected(&server, json!({ "token": token })).await;
    post(&server, 1..200).await;
    // The socket is full, so there is no room for `bye`, and its right ends.
    until_async("its stream has ended", async || open_sockets(&server).await == 0).await;
    let mut last = None;
    while let Some(event) = slow.event().await {
        last = Some(event);
    }
    assert_eq!(last, Some(("bye".to_owned(), json!({ "reason": "expired" }))));
}

#[tokio::test]
async fn only_configured_origins_may_open_a_socket() {
    const APP: &str = "https://app.example";
    const EVIL: &str = "https://evil.example";
    let server = Start::new().file(&format!("cors_origins = [\"{APP}\"]\n")).start();
    let url = server.url("/socket.io/?EIO=4&transport=polling");
    let own = format!("http://{}", server.address);
    for (origin, readable, writable) in [(&*own, false, true), (APP, true, true), (EVIL, false, false)] {
        let told = |answer: &reqwest::Response| {
            let header =
                |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
            let varies = answer.headers().get_all("vary").iter().any(|vary| vary == "Origin");
            assert!(varies, "{origin}: {:?}", answer.headers());
            assert_eq!(header("access-control-allow-origin").as_deref(), readable.then_some(origin));
            let credentials = header("access-control-allow-credentials");
            assert_eq!(credentials.as_deref(), readable.then_some("true"));
        };
        for method in ["GET", "POST"] {
            let preflight = client()
                .request(reqwest::Method::OPTIONS, &url)
                .header("origin", origin)
                .header("access-control-request-method", method)
                .header("access-control-request-headers", "content-type");
            let answer = preflight.send().await.expect("an answer");
            told(&answer);
            let methods = answer.headers().get("access-control-allow-methods");
            let methods = methods.map_or("", |value| value.to_str().expect("text"));
            assert_eq!(methods.split(", ").any(|allowed| allowed == method), readable, "{origin}");
        }
        let answer = client().get(&url).header("origin", origin).send().await.expect("an answer");
        told(&answer);
        // The browser hides the answer from the page, and the unused session ends by itself.
        assert_eq!(answer.status(), 200);
        let open = answer.text().await.expect("text");
        let handshake: Value =
            serde_json::from_str(open.strip_prefix('0').expect("a handshake")).expect("JSON");
        let session = format!("{url}&sid={}", handshake["sid"].as_str().expect("a sid"));
        let packet = client().post(&session).header("origin", origin).body(format!("40{}", auth(json!({}))));
        let answer = packet.send().await.expect("an answer");
        told(&answer);
        assert_eq!(answer.status(), if writable { 200 } else { 403 }, "{origin}");
        let (head, mut socket) = WebSocket::open(&server, WEBSOCKET, &format!("origin: {origin}\r\n")).await;
        assert!(head.starts_with(if writable { "HTTP/1.1 101" } else { "HTTP/1.1 403" }), "{origin}: {head}");
        if writable {
            assert!(socket.frame().await.expect("a handshake").starts_with('0'));
        }
    }
}

/// A client that leaves the namespace has no right that would keep its connection open. It may come back for a while, as
/// after the handshake.
#[tokio::test]
async fn a_connection_without_a_stream_ends() {
    let server = Server::start();
    let mut left = WebSocket::connected(&server, auth(json!({}))).await;
    let mut back = WebSocket::connected(&server, auth(json!({}))).await;
    let polling = Polling::connected(&server, auth(json!({}))).await;
    left.send("41").await;
    back.send("41").await;
    assert_eq!(polling.send("41").await, 200);
    back.send(&format!("40{}", auth(json!({})))).await;
    let began = std::time::Instant::now();
    let ends = async {
        let closed = async { while left.packet().await.is_some() {} };
        tokio::time::timeout(PATIENCE, closed).await.expect("the connection ends");
        let took = began.elapsed();
        assert!(took > std::time::Duration::from_secs(5), "it has time to come back: {took:?}");
        until_async("its polls are refused", async || polling.poll().await.0 == 400).await;
    };
    // Whoever does not answer heartbeats is disconnected.
    let beats = async { while back.packet().await.is_some() {} };
    tokio::select! {
        () = ends => {}
        () = beats => panic!("the connection that came back has ended"),
    }
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    assert_eq!(back.message().await, "EV_1");
}

#[tokio::test]
async fn handshakes_are_limited_by_address() {
    let server = Start::new()
        .env("ROOMWATCH_MAX_STREAMS_PER_ADDRESS", "3")
        .env("ROOMWATCH_TRUSTED_PROXIES", "127.0.0.0/8")
        .start();
    let open = async |address: &str| {
        let request = client().get(server.url("/socket.io/?EIO=4&transport=polling"));
        let answer = request.header("x-forwarded-for", address).send().await.expect("an answer");
        let retry = answer.headers().contains_key("retry-after");
        (answer.status().as_u16(), retry, answer.text().await.expect("text").contains("too_many_connections"))
    };
    for _ in 0..3 {
        assert_eq!(open("198.51.100.1").await, (200, false, false));
    }
    assert_eq!(open("198.51.100.1").await, (429, true, true));
    assert_eq!(open("198.51.100.2").await, (200, false, false), "another address has its own");
    until_async("a while later there is room again", async || open("198.51.100.1").await.0 == 200).await;
}
