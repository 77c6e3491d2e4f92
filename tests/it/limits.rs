//! The limits, tested at the sockets.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use roomwatch::token::Grant;
use serde_json::json;

use crate::harness::{
    engineio::*,
    operators::{PASSWORD, get, login, post, user, users},
    *,
};

async fn open(server: &Server, header: (&str, &str)) -> reqwest::Response {
    let request = client().get(server.url("/api/events")).header(header.0, header.1);
    request.send().await.expect("an answer")
}

fn bearer(identity: &str) -> String {
    format!("Bearer {}", token(identity, Grant { room_list: true, ..Grant::default() }))
}

/// Opens `max` streams, and expects that the next one is refused.
async fn fill(server: &Server, header: (&str, &str), max: usize) -> Vec<reqwest::Response> {
    let mut streams = Vec::new();
    for _ in 0..max {
        let answer = open(server, header).await;
        assert_eq!(answer.status(), 200);
        streams.push(answer);
    }
    let refused = open(server, header).await;
    assert_eq!(refused.status(), 429);
    let after: u32 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=60).contains(&after));
    let body: serde_json::Value = refused.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "too_many_connections");
    streams
}

#[tokio::test]
async fn a_user_has_five_streams_and_a_closed_one_frees_its_slot_at_once() {
    let server = Start::new().file(&users()).start();
    let cookie = login(&server, "ada").await;
    let ada = ("cookie", cookie.as_str());
    let mut streams = fill(&server, ada, 5).await;
    // The same user in another browser is the same user.
    let elsewhere = login(&server, "ada").await;
    assert_eq!(open(&server, ("cookie", &elsewhere)).await.status(), 429);
    let (_, _, me) = get(&server, "/api/me", &[ada]).await;
    assert_eq!(me["streams"], json!({ "open": 5, "max": 5 }));
    // Other users have their own slots, even with the same name.
    let vera = login(&server, "vera").await;
    assert_eq!(open(&server, ("cookie", &vera)).await.status(), 200);
    assert_eq!(open(&server, ("authorization", &bearer("ada"))).await.status(), 200);
    // A page of the log is not a stream.
    assert_eq!(get(&server, "/api/events", &[ada]).await.0, 200);
    for _ in 0..3 {
        drop(streams.pop());
        let began = Instant::now();
        let again = loop {
            let answer = open(&server, ada).await;
            if answer.status() == 200 {
                break answer;
            }
            assert!(began.elapsed() < Duration::from_secs(5), "the place of a closed stream is not free");
        };
        streams.push(again);
    }
}

#[tokio::test]
async fn a_token_counts_by_its_key_and_identity() {
    let server = Start::new()
        .env("ROOMWATCH_MAX_STREAMS_PER_USER", "2")
        .env("ROOMWATCH_TRUSTED_PROXIES", "127.0.0.0/8")
        .start();
    let alice = bearer("alice");
    let _alice = fill(&server, ("authorization", &alice), 2).await;
    let bob = bearer("bob");
    let _bob = fill(&server, ("authorization", &bob), 2).await;
    // Without an identity the address counts.
    let nobody = bearer("");
    let _nobody = fill(&server, ("authorization", &nobody), 2).await;
    let other = token("", Grant { room_admin: true, room: "a".into(), ..Grant::default() });
    assert_eq!(open(&server, ("authorization", &format!("Bearer {other}"))).await.status(), 429);
    let elsewhere = client().get(server.url("/api/events")).header("authorization", &nobody);
    let elsewhere = elsewhere.header("x-forwarded-for", "198.51.100.1").send().await.expect("an answer");
    assert_eq!(elsewhere.status(), 200);
}

#[tokio::test]
async fn a_trusted_proxy_decides_which_address_counts() {
    let server = Start::new()
        .env("ROOMWATCH_MAX_STREAMS_PER_ADDRESS", "2")
        .env("ROOMWATCH_TRUSTED_PROXIES", "127.0.0.0/8")
        .env("ROOMWATCH_MAX_LOGINS_PER_MINUTE", "2")
        .env("ROOMWATCH_PASSWORD", PASSWORD)
        .start();
    let mut kept = Vec::new();
    for (i, forwarded, expected) in [
        (0, "198.51.100.1", 200),
        // A header from the client itself changes nothing.
        (1, "203.0.113.9, 198.51.100.1", 200),
        (2, "203.0.113.10, 198.51.100.1", 429),
        (3, "198.51.100.2", 200),
    ] {
        let request = client()
            .get(server.url("/api/events"))
            .header("authorization", bearer(&format!("user{i}")))
            .header("x-forwarded-for", forwarded);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), expected, "{forwarded}");
        kept.push(answer);
    }
    let tried = async |forwarded: &str| {
        post(&server, "/api/login", &[("x-forwarded-for", forwarded)], json!({ "password": "wrong" })).await.0
    };
    assert_eq!(
        [tried("192.0.2.1").await, tried("1.1.1.1, 192.0.2.1").await, tried("2.2.2.2, 192.0.2.1").await],
        [401, 401, 429]
    );
    assert_eq!(tried("192.0.2.2").await, 401);
}

#[tokio::test]
async fn an_untrusted_proxy_is_logged_and_not_trusted() {
    let server =
        Start::new().env("ROOMWATCH_MAX_LOGINS_PER_MINUTE", "1").env("ROOMWATCH_PASSWORD", PASSWORD).start();
    for (forwarded, expected) in [("198.51.100.1", 401), ("198.51.100.2", 429)] {
        let headers = [("x-forwarded-for", forwarded)];
        assert_eq!(post(&server, "/api/login", &headers, json!({ "password": "wrong" })).await.0, expected);
    }
    assert_eq!(server.log().matches("ROOMWATCH_TRUSTED_PROXIES").count(), 1);
}

#[tokio::test]
async fn a_full_server_answers_bye_in_the_stream() {
    let server = Start::new().env("ROOMWATCH_MAX_STREAMS", "3").start();
    let mut streams = Vec::new();
    for i in 0..3 {
        let mut stream = Sse::of(open(&server, ("authorization", &bearer(&format!("user{i}")))).await);
        let _ = stream.connected().await;
        streams.push(stream);
    }
    // An EventSource never reconnects after an error status.
    let mut full = Sse::of(open(&server, ("authorization", &bearer("late"))).await);
    let bye = full.any().await.expect("a goodbye");
    assert_eq!((bye.event.as_str(), &bye.data), ("bye", &json!({ "reason": "capacity" })));
    assert!(full.retry.is_some_and(|retry| retry >= 5_000));
    assert!(full.any().await.is_none(), "and the end");
}

#[tokio::test]
async fn zero_means_no_limit() {
    let mut start = Start::new().file(&user("ada", "admin"));
    for limit in roomwatch::config::Limit::ALL {
        start = start.env(limit.env(), "0");
    }
    let server = start.start();
    for _ in 0..15 {
        let wrong = json!({ "user": "ada", "password": "wrong" });
        assert_eq!(post(&server, "/api/login", &[], wrong).await.0, 401);
    }
    let cookie = login(&server, "ada").await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(open(&server, ("cookie", &cookie)).await);
    }
    assert!(streams.iter().all(|answer| answer.status() == 200));
    let (_, _, me) = get(&server, "/api/me", &[("cookie", &cookie)]).await;
    assert_eq!(me["streams"], json!({ "open": 20, "max": 0 }));
    let large = event("EV_1", "a").replace("EV_1", &format!("EV_1\",\"x\":\"{}", "x".repeat(9 << 20)));
    // A disk under load may need longer for it than a webhook is held. LiveKit then sends it again, too.
    until_async("the large event to be stored", async || server.webhook(&large).await == 200).await;
}

/// Writes the bytes, and waits until the server closes the connection.
fn until_closed(server: &Server, bytes: &[u8]) -> (String, Duration) {
    let mut socket = TcpStream::connect(server.address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let began = Instant::now();
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
}

#[tokio::test]
async fn heads_and_bodies_have_a_maximum_size_and_time() {
    let server = Start::new()
        .env("ROOMWATCH_HEAD_SECS", "1")
        .env("ROOMWATCH_BODY_SECS", "1")
        .env("ROOMWATCH_MAX_HEAD_BYTES", "8192")
        .env("ROOMWATCH_MAX_BODY_BYTES", "1000")
        .env("ROOMWATCH_MAX_WEBHOOK_BYTES", "2000")
        .env("ROOMWATCH_PASSWORD", PASSWORD)
        .start();
    let (answer, took) = until_closed(&server, b"GET /api/me HTTP/1.1\r\nhost: localhost\r\nx: ");
    assert!(took < Duration::from_secs(15), "a head that does not come is not waited for: {took:?} {answer}");
    let head = format!("GET /api/me HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(10_000));
    assert!(until_closed(&server, head.as_bytes()).0.starts_with("HTTP/1.1 431"));
    let (answer, took) = until_closed(
        &server,
        b"POST /api/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    );
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"), "{answer}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    let body = json!({ "password": "x".repeat(1000) });
    let (status, _, body) = post(&server, "/api/login", &[], body).await;
    assert_eq!((status, body["error"]["code"].as_str()), (413, Some("body_too_large")));
    let large = event("EV_1", "a").replace("EV_1", &format!("EV_1\",\"x\":\"{}", "x".repeat(2000)));
    assert_eq!(server.webhook(&large).await, 413);
    assert_eq!(server.webhook(&event("EV_2", "a")).await, 200);
}

/// The pause between two requests counts for neither: proxies reuse connections.
#[tokio::test]
async fn a_pause_between_two_requests_is_not_a_slow_head() {
    const ASKS: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let server = Start::new().env("ROOMWATCH_HEAD_SECS", "1").start();
    let answered = |socket: &mut TcpStream| {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.read(&mut [0; 4096]).is_ok_and(|n| n > 0)
    };
    let mut kept = connection(&server, ASKS);
    let mut slow = connection(&server, ASKS);
    assert!(answered(&mut kept) && answered(&mut slow));
    slow.write_all(&ASKS[..10]).expect("written");
    // Frames of a WebSocket are not a head.
    let (_, mut socket) = Polling::upgraded(&server).await;
    socket.send(&format!("40{}", auth(json!({})))).await;
    assert!(socket.packet().await.expect("a packet").starts_with("40{"));
    // Two silent connections, one after the other: more than twice the time has passed then.
    for _ in 0..2 {
        let (answer, took) = until_closed(&server, b"");
        assert!(answer.is_empty() && took > Duration::from_millis(500), "{took:?} {answer}");
    }
    kept.write_all(ASKS).expect("written");
    assert!(answered(&mut kept), "who was idle is answered");
    assert!(!answered(&mut slow), "a second head takes no longer than a first");
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    while !socket.packet().await.expect("it goes on").contains("EV_1") {}
}

/// A connection with requests is not idle, and neither is a stream.
#[tokio::test]
async fn an_idle_connection_is_closed_after_idle_secs() {
    const ASKS: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let server = Start::new().env("ROOMWATCH_IDLE_SECS", "2").start();
    let mut stream = server.stream("").await;
    stream.connected().await;
    let mut asking = connection(&server, ASKS);
    asking.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        assert!(asking.read(&mut [0; 4096]).is_ok_and(|n| n > 0), "{:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(500)).await;
        asking.write_all(ASKS).expect("written");
    }
    // Idle time begins when the whole answer is sent, however long that took.
    let body = event("EV_slow", "a");
    let (token, length) = (webhook_token(body.as_bytes()), body.len());
    let head = format!(
        "POST /api/webhooks/livekit HTTP/1.1\r\nhost: localhost\r\nauthorization: {token}\r\ncontent-length: {length}\r\n\r\n"
    );
    let mut slow = connection(&server, head.as_bytes());
    slow.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    slow.write_all(body.as_bytes()).expect("written");
    assert!(slow.read(&mut [0; 4096]).is_ok_and(|n| n > 0), "a slow body is answered");
    tokio::time::sleep(Duration::from_millis(500)).await;
    slow.write_all(ASKS).expect("written");
    assert!(slow.read(&mut [0; 4096]).is_ok_and(|n| n > 0), "and so is what comes after it");
    let (answer, took) = until_closed(&server, ASKS);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!((Duration::from_secs(1)..Duration::from_secs(15)).contains(&took), "{took:?}");
    while stream.next().await.data["data"]["id"] != "EV_slow" {}
}

fn metric(text: &str, name: &str) -> usize {
    text.lines().find_map(|line| line.strip_prefix(name)).expect("a line").trim().parse().expect("a number")
}

async fn metrics(server: &Server) -> String {
    let answer = client().get(server.url("/metrics")).send().await.expect("an answer");
    answer.text().await.expect("text")
}

/// Opens a connection, writes these bytes, and then stays silent.
fn connection(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(server.address).expect("a connection");
    // The server may have closed it already.
    let _ = socket.write_all(bytes);
    socket
}

/// Strangers hold every connection, in each possible way, and webhooks and streams still work.
#[tokio::test]
async fn strangers_cannot_take_the_last_connection() {
    const MAX: usize = 64;
    let server = Start::new()
        .env("ROOMWATCH_MAX_CONNECTIONS", &MAX.to_string())
        .env("ROOMWATCH_MAX_STREAMS_PER_USER", "0")
        // No connection reaches its time limit.
        .env("ROOMWATCH_HEAD_SECS", "0")
        .env("ROOMWATCH_BODY_SECS", "0")
        .env("ROOMWATCH_MAX_LOGINS_PER_MINUTE", "0")
        .env("ROOMWATCH_PASSWORD", PASSWORD)
        .start();
    // A closed connection frees a slot.
    for _ in 0..2 * MAX {
        assert!(raw(server.address, b"GET /healthz HTTP/1.0\r\n\r\n").contains("200 OK"));
    }
    assert_eq!(metric(&metrics(&server).await, "roomwatch_connections_sent_away_total "), 0);
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = server.stream("").await;
        let _ = stream.connected().await;
        streams.push(stream);
    }
    let mut socket = WebSocket::connected(&server, auth(json!({}))).await;
    // It authenticated by polling, and was then upgraded to a WebSocket.
    let (_, mut upgraded) = Polling::upgraded(&server).await;
    upgraded.send(&format!("40{}", auth(json!({})))).await;
    assert!(upgraded.packet().await.expect("a packet").starts_with("40{"));
    let websocket = format!(
        "GET /socket.io/?{WEBSOCKET} HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    let ways: [&[u8]; 6] = [
        b"",
        b"GET /api/me HTTP/1.1\r\nhost: loc",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"POST /api/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
        b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: localhost\r\n\r\n",
        websocket.as_bytes(),
    ];
    let mut strangers = Vec::new();
    for (i, way) in ways.iter().cycle().take(3 * ways.len()).enumerate() {
        strangers.extend((0..MAX).map(|_| connection(&server, way)));
        let id = format!("EV_{i}");
        assert_eq!(server.webhook(&event(&id, "a")).await, 200);
        for stream in &mut streams {
            assert_eq!(stream.next().await.data["data"]["id"], *id);
        }
        for socket in [&mut socket, &mut upgraded] {
            assert_eq!(socket.message().await, id);
        }
        // A connection is closed before the next one is accepted.
        assert!(metric(&metrics(&server).await, "roomwatch_connections_open ") <= MAX);
    }
    let sent_away = metric(&metrics(&server).await, "roomwatch_connections_sent_away_total ");
    assert!((strangers.len() - MAX..=strangers.len() + 4 * ways.len()).contains(&sent_away), "{sent_away}");
    assert_eq!(server.log().matches("max_connections").count(), 1, "{}", server.log());
    // Real clients find a slot, too.
    assert_eq!(post(&server, "/api/login", &[], json!({ "password": PASSWORD })).await.0, 200);
}

/// Few slots, so that strangers fill them at once, and long times, so that none is closed by a timeout.
fn few_connections(max: usize) -> Server {
    Start::new()
        .env("ROOMWATCH_MAX_CONNECTIONS", &max.to_string())
        .env("ROOMWATCH_MAX_STREAMS_PER_USER", "0")
        .env("ROOMWATCH_HEAD_SECS", "0")
        .start()
}

#[tokio::test]
async fn a_connection_with_requests_is_not_closed() {
    const MAX: usize = 64;
    let server = few_connections(MAX);
    let ask = |socket: &mut TcpStream| {
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("written");
        socket.read(&mut [0; 4096]).is_ok_and(|n| n > 0)
    };
    let mut asking = connection(&server, b"");
    let mut strangers = Vec::new();
    for i in 0..12 {
        assert!(ask(&mut asking), "sent away after {i}");
        strangers.extend((0..MAX / 4).map(|_| connection(&server, b"")));
        // When the last one is answered, all of them have been accepted.
        assert!(strangers.last_mut().is_some_and(ask));
    }
    assert!(metric(&metrics(&server).await, "roomwatch_connections_sent_away_total ") > 2 * MAX);
}

/// The server does not know who is behind an upgraded WebSocket, so its age decides.
#[tokio::test]
async fn the_youngest_web_socket_is_closed_first() {
    const MAX: usize = 64;
    let server = few_connections(MAX);
    let mut streams = Vec::new();
    for _ in 0..MAX / 8 {
        let mut stream = server.stream("").await;
        let _ = stream.connected().await;
        streams.push(stream);
    }
    let (_, mut socket) = Polling::upgraded(&server).await;
    socket.send(&format!("40{}", auth(json!({})))).await;
    assert!(socket.packet().await.expect("a packet").starts_with("40{"));
    let mut strangers = Vec::new();
    for _ in streams.len() + 1..MAX {
        // It is upgraded before the next one is opened.
        strangers.push(WebSocket::open(&server, WEBSOCKET, "").await);
    }
    // All other connections are WebSockets, except the new one.
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    assert_eq!(socket.message().await, "EV_1");
    for stream in &mut streams {
        assert_eq!(stream.next().await.data["data"]["id"], "EV_1");
    }
    assert!(metric(&metrics(&server).await, "roomwatch_connections_sent_away_total ") > 0);
}

/// The system's limit counts, too: it is raised to the hard limit, and the rest is shared.
#[tokio::test]
async fn file_descriptors_are_enough_for_a_webhook() {
    let server = Start::new()
        .descriptors(64, 600)
        .env("ROOMWATCH_MAX_STREAMS_PER_USER", "0")
        .env("ROOMWATCH_MAX_STREAMS_PER_ADDRESS", "0")
        .env("ROOMWATCH_HEAD_SECS", "0")
        .start();
    // 600 minus 256 are 344, and one eighth is reserved for requests that are not streams.
    assert!(server.log().contains("are lowered to 344 connections, 301 of them streams"), "{}", server.log());
    let bearer = format!("Bearer {}", list_token());
    let mut streams = Vec::new();
    for _ in 0..301 {
        let mut stream = Sse::of(open(&server, ("authorization", &bearer)).await);
        let _ = stream.connected().await;
        streams.push(stream);
    }
    let mut full = Sse::of(open(&server, ("authorization", &bearer)).await);
    assert_eq!(full.any().await.expect("a goodbye").data, json!({ "reason": "capacity" }));
    // Many times the number of slots, and more at once than there are descriptors.
    let _strangers: Vec<_> = (0..600).map(|_| connection(&server, b"")).collect();
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    for stream in &mut streams {
        assert_eq!(stream.next().await.data["data"]["id"], "EV_1");
    }
    assert!(!server.log().contains("cannot accept"), "{}", server.log());
}

/// Engine.IO begins a session before the client has authenticated.
#[tokio::test]
async fn strangers_cannot_hold_socket_io_sessions() {
    let server = Start::new().env("ROOMWATCH_MAX_STREAMS", "20").env("ROOMWATCH_BODY_SECS", "1").start();
    let session = Polling::open(&server).await;
    let slow = format!(
        "POST /socket.io/?EIO=4&transport=polling&sid={} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n4",
        session.sid()
    );
    let (answer, took) = until_closed(&server, slow.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"), "{answer}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    let open = async || {
        let url = server.url("/socket.io/?EIO=4&transport=polling");
        client().get(url).send().await.expect("an answer")
    };
    let mut begun = 1;
    let refused = loop {
        let answer = open().await;
        if answer.status() != 200 {
            break answer;
        }
        begun += 1;
        assert!(begun < 100, "as many as they like");
    };
    // A few more slots become free during the test.
    assert!((20..40).contains(&begun), "{begun}");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"10".parse().expect("a value"))
    );
    assert!(refused.text().await.expect("text").contains("\"capacity\""));
    // After a while there are free slots again.
    until_async("another session may begin", async || open().await.status() == 200).await;
}
