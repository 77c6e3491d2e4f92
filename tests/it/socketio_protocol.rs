//! The cases of the official test suites of Engine.IO 4 and Socket.IO 5, in their order, as far as they apply to a
//! server that defines its own events and requires a token.
//!
//! Cases without a counterpart here: sending and receiving binary, with and without acknowledgement (our events have no
//! attachments, and no event echoes; `socketio.rs` tests what binary does to a session); connecting to a custom
//! namespace, with and without a payload, and leaving it (there is only the main one). Instead of the suites' `message`
//! and `message-with-ack`, `room:event` and `subscribe` are used.

use serde_json::{Value, json};

use crate::harness::{engineio::*, *};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

async fn get(server: &Server, query: &str) -> (u16, String) {
    answered(client().get(server.url(query)).send().await).await
}

async fn post(url: &str, body: &str) -> (u16, String) {
    answered(client().post(url).body(body.to_owned()).send().await).await
}

async fn is_over(session: &Polling) {
    assert_eq!(session.poll().await.0, 400);
}

async fn opened(server: &Server) -> WebSocket {
    let (head, mut socket) = WebSocket::open(server, WEBSOCKET, "").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(socket.frame().await.expect("a handshake").starts_with('0'));
    socket
}

/// The packets until the end of the connection.
async fn ends(socket: &mut WebSocket) -> Vec<String> {
    let mut packets = Vec::new();
    while let Some(packet) = socket.frame().await {
        packets.push(packet);
    }
    packets
}

fn patient() -> Start {
    Start::new().env("ROOMWATCH_HEARTBEAT_SECS", "20")
}

fn hasty() -> Start {
    Start::new().env("ROOMWATCH_HEARTBEAT_SECS", "1")
}

#[tokio::test]
async fn engine_io_handshake_by_polling() {
    let server = patient().start();
    let (status, text) = get(&server, POLLING).await;
    assert_eq!(status, 200);
    let mut open: Value =
        serde_json::from_str(text.strip_prefix('0').expect("an open packet")).expect("JSON");
    assert!(open["sid"].take().is_string());
    assert_eq!(
        open,
        json!({ "sid": null, "upgrades": ["websocket"], "pingInterval": 20_000, "pingTimeout": 20_000, "maxPayload": 65_536 })
    );
    for query in ["transport=polling", "EIO=abc&transport=polling", "EIO=4", "EIO=4&transport=abc"] {
        assert_eq!(get(&server, &format!("/socket.io/?{query}")).await.0, 400, "{query}");
    }
    for method in [reqwest::Method::POST, reqwest::Method::PUT] {
        let answer = client().request(method.clone(), server.url(POLLING)).send().await;
        assert_eq!(answered(answer).await.0, 400, "{method}");
    }
}

#[tokio::test]
async fn engine_io_handshake_by_websocket() {
    let server = patient().start();
    let (head, mut socket) = WebSocket::open(&server, WEBSOCKET, "").await;
    // The answer of RFC 6455 to the key of zeros.
    assert!(head.to_ascii_lowercase().contains("sec-websocket-accept: "), "{head}");
    let text = socket.frame().await.expect("a handshake");
    let mut open: Value =
        serde_json::from_str(text.strip_prefix('0').expect("an open packet")).expect("JSON");
    assert!(open["sid"].take().is_string());
    assert_eq!(
        open,
        json!({ "sid": null, "upgrades": [], "pingInterval": 20_000, "pingTimeout": 20_000, "maxPayload": 65_536 })
    );
    for query in ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"] {
        let (head, _) = WebSocket::open(&server, query, "").await;
        assert!(head.starts_with("HTTP/1.1 400"), "{query}: {head}");
    }
}

#[tokio::test]
async fn engine_io_messages_by_polling() {
    let server = patient().start();
    let mut session = Polling::open(&server).await;
    assert_eq!(post(&session.url, &format!("40{}", auth(json!({})))).await, (200, "ok".into()));
    assert!(session.packet().await.expect("a packet").starts_with("40{"));
    // Several packets in one payload are answered in order.
    let both = "421[\"subscribe\",{}]\u{1e}422[\"subscribe\",{}]";
    assert_eq!(post(&session.url, both).await, (200, "ok".into()));
    let mut answers = Vec::new();
    while answers.len() < 2 {
        let packet = session.packet().await.expect("a packet");
        if packet.starts_with("43") {
            answers.push(packet.split('[').next().expect("a head").to_owned());
        }
    }
    assert_eq!(answers, ["431", "432"]);

    let session = Polling::open(&server).await;
    assert!(matches!(post(&session.url, "abc").await.0, 0 | 400));
    is_over(&session).await;

    // Two polls at once are an error of the client.
    let session = Polling::open(&server).await;
    assert_eq!(session.poll().await, (200, "2".into()));
    let (first, second) = tokio::join!(session.poll(), session.poll());
    let mut statuses = [first.0, second.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400], "{first:?} {second:?}");
    is_over(&session).await;
}

#[tokio::test]
async fn engine_io_messages_by_websocket() {
    let server = patient().start();
    let mut socket = opened(&server).await;
    socket.send(&format!("40{}", auth(json!({})))).await;
    assert!(socket.packet().await.expect("a packet").starts_with("40{"));
    let mut socket = opened(&server).await;
    socket.send("abc").await;
    ends(&mut socket).await;
}

#[tokio::test]
async fn engine_io_heartbeats() {
    let server = hasty().start();
    let (session, silent) = (Polling::open(&server).await, Polling::open(&server).await);
    for _ in 0..3 {
        assert_eq!(session.poll().await, (200, "2".into()));
        assert_eq!(session.send("3").await, 200);
    }
    let (mut socket, mut mute) = (opened(&server).await, opened(&server).await);
    for _ in 0..3 {
        assert_eq!(socket.frame().await.as_deref(), Some("2"));
        socket.send("3").await;
    }
    // A client that does not answer gets a close packet, and its session ends.
    assert_eq!(ends(&mut mute).await, ["2", "1"]);
    until_async("the silent session is over", async || silent.poll().await.0 == 400).await;
    assert_eq!(silent.send("3").await, 400);
}

#[tokio::test]
async fn engine_io_close() {
    let server = patient().start();
    let session = Polling::open(&server).await;
    assert_eq!(session.poll().await, (200, "2".into()));
    let (polled, closed) = tokio::join!(session.poll(), post(&session.url, "1"));
    assert_eq!(closed.0, 200);
    // An open poll is answered; a later one finds no session.
    assert!(polled == (200, "6".into()) || polled.0 == 400, "{polled:?}");
    is_over(&session).await;
    let mut socket = opened(&server).await;
    socket.send("1").await;
    ends(&mut socket).await;
}

#[tokio::test]
async fn engine_io_upgrade() {
    let server = patient().start();
    let (session, mut socket) = Polling::upgraded(&server).await;
    socket.send(&format!("40{}", auth(json!({})))).await;
    assert!(socket.packet().await.expect("a packet").starts_with("40{"));
    // After the upgrade, polling and a second WebSocket are refused.
    is_over(&session).await;
    assert!(matches!(session.send("42[\"subscribe\",{}]").await, 0 | 400));
    let (head, mut second) =
        WebSocket::open(&server, &format!("{WEBSOCKET}&sid={}", session.sid()), "").await;
    if head.starts_with("HTTP/1.1 101") {
        assert_eq!(ends(&mut second).await, Vec::<String>::new());
    }
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    assert_eq!(socket.message().await, "EV_1");
}

#[tokio::test]
async fn socket_io_connect() {
    let server = patient().start();
    let mut socket = opened(&server).await;
    socket.send(&format!("40{}", auth(json!({})))).await;
    let answer = socket.packet().await.expect("a packet");
    let handshake: Value = serde_json::from_str(answer.strip_prefix("40").expect(&answer)).expect("JSON");
    assert!(handshake["sid"].is_string());
    assert_eq!(handshake.as_object().expect("an object").len(), 1);
    assert!(socket.packet().await.expect("a packet").starts_with("42[\"connected\",{"));

    // Without a payload only a cookie authenticates.
    let mut socket = opened(&server).await;
    socket.send("40").await;
    let answer = socket.packet().await.expect("a packet");
    assert!(answer.starts_with("44{\"message\":\"unauthorized: "), "{answer}");

    let mut socket = opened(&server).await;
    for namespace in ["/random", "/custom,", "/custom,{\"token\":\"abc\"}"] {
        socket.send(&format!("40{namespace}")).await;
        let name = namespace.split(',').next().expect("a name");
        let refusal = format!("44{name},{{\"message\":\"Invalid namespace\"}}");
        assert_eq!(socket.packet().await, Some(refusal));
    }

    let mut socket = opened(&server).await;
    socket.send("4abc").await;
    ends(&mut socket).await;
    // A client that never authenticates is closed after 10 s.
    let mut socket = opened(&server).await;
    let began = std::time::Instant::now();
    ends(&mut socket).await;
    assert!(began.elapsed().as_secs() < 19, "that was the heartbeat");
}

#[tokio::test]
async fn socket_io_disconnect() {
    let server = hasty().start();
    let mut socket = WebSocket::connected(&server, auth(json!({}))).await;
    assert_eq!(open_sockets(&server).await, 1);
    socket.send("41").await;
    until_async("the stream has ended", async || open_sockets(&server).await == 0).await;
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    // The connection stays open for another namespace, or this one again, without messages of the stream.
    let mut pings = 0;
    while pings < 2 {
        let packet = socket.frame().await.expect("the connection stays");
        assert!(packet == "2" || !packet.contains("room:event"), "{packet}");
        if packet == "2" {
            socket.send("3").await;
            pings += 1;
        }
    }
    socket.send(&format!("40{}", auth(json!({ "after": "start" })))).await;
    assert_eq!(socket.message().await, "EV_1");
}

#[tokio::test]
async fn socket_io_messages_and_acknowledgements() {
    let server = patient().start();
    let mut socket = WebSocket::connected(&server, auth(json!({}))).await;
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    assert_eq!(socket.message().await, "EV_1");
    // Each acknowledgement has the id of its request, however large, and there is none without a request.
    socket.send("42[\"subscribe\",{}]").await;
    for id in ["0", "456", "9007199254740991"] {
        socket.send(&format!("42{id}[\"subscribe\",{{}}]")).await;
        let answer = socket.packet().await.expect("a packet");
        assert!(answer.starts_with(&format!("43{id}[{{\"cursor\":\"")), "{answer}");
    }
    for malformed in ["4abc", "42{}", "42abc[\"subscribe\",{}]"] {
        let mut socket = WebSocket::connected(&server, auth(json!({}))).await;
        socket.send(malformed).await;
        ends(&mut socket).await;
    }
}
