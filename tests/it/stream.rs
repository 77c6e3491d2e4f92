//! The stream, as a reader sees it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use roomwatch::token::{Claims, Grant, Secret, sign};
use serde_json::{Value, json};

use crate::harness::*;

/// Posts events `EV_<from>` … of rooms `a` and `b` in turn.
async fn post(server: &Server, ids: std::ops::Range<u32>) {
    for i in ids {
        let room = if i % 2 == 0 { "a" } else { "b" };
        assert_eq!(server.webhook(&event(&format!("EV_{i}"), room)).await, 200);
    }
}

async fn ids(stream: &mut Sse, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        ids.push(stream.next().await.data["data"]["id"].as_str().expect("an id").to_owned());
    }
    ids
}

fn expected(ids: impl Iterator<Item = u32>) -> Vec<String> {
    ids.map(|i| format!("EV_{i}")).collect()
}

#[tokio::test]
async fn the_headers_suit_every_proxy_and_browser() {
    let server = Server::start();
    let mut stream = server.stream("").await;
    let header = |name: &str| stream.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "text/event-stream; charset=utf-8");
    assert_eq!(header("cache-control"), "no-cache, no-store, no-transform");
    assert_eq!(header("x-accel-buffering"), "no");
    assert_eq!(header("connection"), "close");
    assert!(!stream.headers().contains_key("content-encoding"));
    let connected = stream.connected().await;
    assert_eq!(connected["resumed"], false);
    assert!(connected.get("reset").is_none());
    assert!((1000..10_000).contains(&stream.retry.expect("a retry")));
}

#[tokio::test]
async fn a_reader_resumes_without_gaps_and_duplicates() {
    let mut server = Start::new().on_disk().start();
    post(&server, 1..11).await;
    let mut all = server.stream("?after=start").await;
    assert_eq!(all.connected().await["resumed"], true);
    let mut cursors = Vec::new();
    for i in 1..11 {
        let event = all.next().await;
        assert_eq!(event.data["data"]["id"], format!("EV_{i}"));
        cursors.push(event.id);
    }
    // From memory, and after a restart from the log; then live events follow.
    for round in 0..2_u32 {
        for (seen, cursor) in cursors.iter().enumerate() {
            let mut stream = server.stream(&format!("?after={cursor}")).await;
            let connected = stream.connected().await;
            assert_eq!((&connected["resumed"], &connected["cursor"]), (&json!(true), &json!(cursor)));
            let rest = 10 - seen - 1 + round as usize * 10;
            assert_eq!(ids(&mut stream, rest).await, expected(seen as u32 + 2..11 + round * 10));
        }
        let mut live = server.stream(&format!("?after={}", cursors[4])).await;
        let _ = live.connected().await;
        let from = 11 + round * 10;
        post(&server, from..from + 10).await;
        assert_eq!(ids(&mut live, (from + 10 - 6) as usize).await, expected(6..from + 10));
        server.kill();
        server = server.again().start();
    }
    // The header is stronger than the parameter, and an empty header does not count.
    let mut stream =
        server.stream_as(&list_token(), &format!("?after={}", cursors[0]), Some(&cursors[8])).await;
    assert_eq!(stream.connected().await["cursor"], json!(cursors[8]));
    let mut stream = server.stream_as(&list_token(), &format!("?after={}", cursors[0]), Some("")).await;
    assert_eq!(stream.connected().await["cursor"], json!(cursors[0]));
    let mut stream = server.stream("?after=").await;
    assert_eq!(stream.connected().await["resumed"], false);
}

/// As event-source-polyfill, jQuery and others write it: the URL of the first connection, and more at its end.
#[tokio::test]
async fn parameters_of_client_libraries_resume_or_are_ignored() {
    let server = Server::start();
    post(&server, 1..5).await;
    let (_, page) = server.get("/api/events").await;
    let epoch = page["epoch"].as_str().expect("an epoch");
    let (first, last) = (format!("{epoch}-1"), format!("{epoch}-3"));
    for (query, header, expected) in [
        (format!("?lastEventId={last}"), None, Ok(&last)),
        (format!("?after={first}&lastEventId={last}"), None, Ok(&last)),
        (format!("?lastEventId={first}"), Some(&*last), Ok(&last)),
        (format!("?after={first}&lastEventId="), None, Ok(&first)),
        (
            format!("?after={first}&_=1787486400123&_t=1&t=Oabc1-x&ts=1.5&cb=f00&nocache=&t=again"),
            None,
            Ok(&first),
        ),
        (format!("?after={first}&lastEventId=junk"), None, Err("unknown_epoch")),
    ] {
        let mut stream = server.stream_as(&list_token(), &query, header).await;
        let connected = stream.connected().await;
        match expected {
            Ok(cursor) => {
                assert_eq!(
                    (&connected["resumed"], &connected["cursor"]),
                    (&json!(true), &json!(cursor)),
                    "{query}"
                );
            }
            Err(reset) => assert_eq!(connected["reset"], reset, "{query}"),
        }
    }
    for (path, expected) in [
        ("/api/rooms?_=1", 200),
        ("/api/sessions?room=a&t=1&cb=2", 200),
        ("/api/events?nocache=1&limit=1", 200),
        ("/api/events?lasteventid=1", 400),
        ("/api/events?lastEventId=1", 400),
        ("/api/rooms?lastEventId=1", 400),
        ("/api/rooms?rooms=a&_=1", 400),
        ("/api/rooms?T=1", 400),
    ] {
        assert_eq!(server.get(path).await.0, expected, "{path}");
    }
}

#[tokio::test]
async fn a_cursor_that_cannot_be_honoured_is_reset_and_never_resumed() {
    let server = Server::start();
    post(&server, 1..4).await;
    let (_, page) = server.get("/api/events").await;
    let epoch = page["epoch"].as_str().expect("an epoch").to_owned();
    let other = if epoch == "00000000" { "11111111" } else { "00000000" };
    for (cursor, reason) in [
        ("junk".to_owned(), "unknown_epoch"),
        (format!("{other}-2"), "unknown_epoch"),
        (format!("{epoch}-"), "unknown_epoch"),
        (format!("{epoch}-18446744073709551616"), "unknown_epoch"),
        (format!("{epoch}-4"), "ahead"),
        (format!("{epoch}-18446744073709551615"), "ahead"),
    ] {
        let last = format!("{epoch}-2");
        for mut stream in [
            server.stream(&format!("?after={cursor}")).await,
            // Junk in the header is stronger than a valid parameter.
            server.stream_as(&list_token(), &format!("?after={last}"), Some(&cursor)).await,
        ] {
            let connected = stream.connected().await;
            assert_eq!(
                (&connected["resumed"], &connected["reset"]),
                (&json!(false), &json!(reason)),
                "{cursor}"
            );
            assert_eq!(connected["cursor"], json!(format!("{epoch}-3")));
        }
        let (status, answer) = server.get(&format!("/api/events?after={cursor}")).await;
        assert_eq!((status, &answer["error"]["code"]), (410, &json!(reason)), "{cursor}");
    }
    // The position before the first event is a valid cursor.
    let mut stream = server.stream(&format!("?after={epoch}-0")).await;
    assert_eq!(stream.connected().await["resumed"], true);
    assert_eq!(ids(&mut stream, 3).await, expected(1..4));
}

/// After the 200 of a webhook, the next answer contains the event, although folding takes a moment.
#[tokio::test]
async fn an_acknowledged_event_is_in_every_later_answer() {
    let server = Server::start();
    let long = "x".repeat(4 << 20);
    for n in 1..=8 {
        let body = format!(
            r#"{{"event":"room_started","id":"EV_{n}","room":{{"name":"r{n}","sid":"RM_{n}","metadata":"{long}"}}}}"#
        );
        assert_eq!(server.webhook(&body).await, 200);
        if n % 2 == 0 {
            let (_, page) = server.get("/api/events?limit=1").await;
            assert_eq!(page["events"][0]["data"]["id"], format!("EV_{n}"));
            let cursor = page["cursor"].as_str().expect("a cursor").rsplit_once('-').expect("a seq");
            assert_eq!(cursor.1, n.to_string());
        } else {
            let (status, _) = server.get(&format!("/api/rooms/r{n}")).await;
            assert_eq!(status, 200);
        }
    }
}

#[tokio::test]
async fn values_are_alternatives_and_parameters_are_conditions() {
    let server = Server::start();
    for (id, kind, room) in [
        ("1", "room_started", "a"),
        ("2", "track_published", "a"),
        ("3", "track_published", "b"),
        ("4", "x", "c"),
    ] {
        let body =
            format!(r#"{{"event":"{kind}","room":{{"name":"{room}","sid":"RM_{room}"}},"id":"EV_{id}"}}"#);
        assert_eq!(server.webhook(&body).await, 200);
    }
    assert_eq!(server.webhook(r#"{"event":"x","id":"EV_5"}"#).await, 200);
    for (query, expected) in [
        ("room=a", "1 2"),
        ("room=a&room=b", "1 2 3"),
        ("type=track_*", "2 3"),
        ("type=x&type=room*", "1 4 5"),
        ("type=*&room=a", "1 2"),
        ("room=a&type=track_*", "2"),
        ("project=default&room=c", "4"),
        ("room=empty", ""),
        ("project=default", "1 2 3 4 5"),
    ] {
        let (status, page) = server.get(&format!("/api/events?after=start&{query}")).await;
        assert_eq!(status, 200, "{page}");
        let events = page["events"].as_array().expect("events");
        let found: Vec<_> =
            events.iter().map(|e| e["data"]["id"].as_str().expect("an id")[3..].to_owned()).collect();
        assert_eq!(found.join(" "), expected, "{query}");
        for event in events {
            assert_eq!(event.get("changes").is_none(), query.contains("type="), "{query}");
        }
        let mut stream = server.stream(&format!("?after=start&{query}")).await;
        let _ = stream.connected().await;
        for id in expected.split_whitespace() {
            let event = stream.next().await;
            assert_eq!(event.data["data"]["id"], format!("EV_{id}"), "{query}");
            assert_eq!(event.data.get("changes").is_none(), query.contains("type="), "{query}");
        }
    }
    for (query, code) in [
        ("rooms=a", "unknown_parameter"),
        ("after=a&after=b", "duplicate_parameter"),
        ("limit=0", "bad_limit"),
        ("limit=1001", "bad_limit"),
        ("limit=x", "bad_limit"),
    ] {
        let (status, answer) = server.get(&format!("/api/events?{query}")).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{query}");
    }
    let many = (0..101).map(|i| format!("room={i}&")).collect::<String>();
    assert_eq!(server.get(&format!("/api/events?{many}")).await.0, 400);
    assert_eq!(server.get("/api/events?project=other").await.0, 403);
    let own = token("x", Grant { room_admin: true, room: "a".into(), ..Grant::default() });
    assert_eq!(server.get_as(&own, "/api/events?room=b").await.0, 403);
}

#[tokio::test]
async fn pages_go_both_ways_and_meet() {
    let server = Server::start();
    post(&server, 1..26).await;
    let seqs = |page: &Value| -> Vec<u32> {
        let events = page["events"].as_array().expect("events");
        events
            .iter()
            .map(|e| e["data"]["id"].as_str().expect("an id")[3..].parse().expect("a number"))
            .collect()
    };
    for query in ["", "&room=b"] {
        let want: Vec<u32> = (1..26).filter(|i| query.is_empty() || i % 2 == 1).collect();
        let mut back = Vec::new();
        let (_, mut page) = server.get(&format!("/api/events?limit=7{query}")).await;
        assert_eq!(page["next"], Value::Null);
        loop {
            let mut seqs = seqs(&page);
            seqs.append(&mut back);
            back = seqs;
            let Some(prev) = page["prev"].as_str() else { break };
            page = server.get(&format!("/api/events?limit=7&before={prev}{query}")).await.1;
        }
        assert_eq!(back, want, "backwards {query}");
        let mut forth = Vec::new();
        let (_, mut page) = server.get(&format!("/api/events?limit=7&after=start{query}")).await;
        loop {
            forth.append(&mut seqs(&page));
            let Some(next) = page["next"].as_str() else { break };
            page = server.get(&format!("/api/events?limit=7&after={next}{query}")).await.1;
        }
        assert_eq!(forth, want, "forwards {query}");
    }
    let (status, _) = server.get("/api/events?before=x-1&after=y-1").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_heartbeat_carries_the_scanned_cursor() {
    let server = Start::new().env("ROOMWATCH_HEARTBEAT_SECS", "1").start();
    let mut stream = server.stream("?room=empty").await;
    let first = stream.connected().await["cursor"].clone();
    post(&server, 1..6).await;
    let (_, page) = server.get("/api/events").await;
    loop {
        let event = stream.any().await.expect("the stream goes on");
        assert_eq!((event.event.as_str(), &event.data["cursor"]), ("ping", &json!(event.id)));
        assert!(event.data["at"].as_u64().is_some());
        if event.id == page["last"] {
            break;
        }
        assert_eq!(first, json!(event.id), "a ping between");
    }
}

#[tokio::test]
async fn no_text_from_livekit_breaks_a_frame() {
    let server = Server::start();
    let mut stream = server.stream("").await;
    let _ = stream.connected().await;
    let hostile = "a\r\n\r\nid: 666\ndata: x\n\nevent: bye\u{2028}\u{2029}\u{0}\u{85}";
    let body = json!({ "event": hostile, "id": hostile, "room": { "name": hostile, "sid": hostile } });
    // Pretty-printed JSON has line ends between its tokens.
    let pretty = serde_json::to_string_pretty(&body).expect("JSON").replace('\n', "\r\n");
    assert_eq!(server.webhook(&pretty).await, 200);
    let event = stream.next().await;
    assert_eq!(event.data["type"], hostile);
    assert_eq!(event.data["room"], hostile);
    assert_eq!(event.data["data"], body);
}

#[tokio::test]
async fn during_a_drain_readers_get_bye_and_webhooks_are_accepted() {
    let mut server = Start::new().on_disk().env("ROOMWATCH_DRAIN_SECS", "2").start();
    let mut stream = server.stream("").await;
    let _ = stream.connected().await;
    let began = Instant::now();
    server.signal("TERM");
    until("readiness is red", || {
        let answer =
            raw(server.address, b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        answer.starts_with("HTTP/1.1 503")
    });
    assert_eq!(server.webhook(&event("EV_late", "a")).await, 200);
    let mut late = server.stream("").await;
    assert_eq!(late.any().await.expect("a goodbye").data, json!({ "reason": "drain" }));
    assert!(late.retry.is_some());
    assert!(late.any().await.is_none(), "and the end");
    loop {
        let event = stream.any().await.expect("a goodbye");
        if event.event == "bye" {
            assert_eq!(event.data, json!({ "reason": "drain" }));
            break;
        }
    }
    assert!(stream.any().await.is_none(), "and the end");
    assert_eq!(server.ended(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(12));
    let server = server.again().start();
    let (_, page) = server.get("/api/events").await;
    assert_eq!(page["events"][0]["data"]["id"], "EV_late");
}

#[tokio::test]
async fn a_reader_that_never_reads_costs_little() {
    const READERS: usize = 100;
    let server = Start::new()
        .on_disk()
        .env("ROOMWATCH_MAX_STREAMS_PER_USER", "0")
        .env("ROOMWATCH_MAX_STREAMS_PER_ADDRESS", "0")
        .start();
    let flood = async |from: u32| {
        for i in from..from + 640 {
            let filler = "x".repeat(64 << 10);
            let body = format!(r#"{{"event":"x","room":{{"name":"a"}},"id":"EV_{i}","m":"{filler}"}}"#);
            assert_eq!(server.webhook(&body).await, 200);
        }
    };
    let resident = || -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a size");
        line.split_whitespace().nth(1).expect("a number").parse::<usize>().expect("a number") << 10
    };
    // The shared ring is full.
    flood(0).await;
    let before = resident();
    let request = format!(
        "GET /api/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        list_token()
    );
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut socket = TcpStream::connect(server.address).expect("a connection");
        socket.write_all(request.as_bytes()).expect("written");
        let mut first = [0; 256];
        assert!(socket.read(&mut first).expect("an answer") > 0);
        readers.push(socket);
    }
    flood(1000).await;
    let grown = resident().saturating_sub(before);
    // A frame may be as large as its event. A reader holds one frame and its buffers.
    let allowed = READERS * (64 << 10) + (16 << 20);
    assert!(grown < allowed, "{READERS} stuck readers took {} KiB", grown >> 10);
}

/// The head of a raw stream request.
fn stream_head(version: &str, query: &str) -> String {
    format!(
        "GET /api/events{query} {version}\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        list_token()
    )
}

/// Reads from a raw socket until `enough` is true. Fails after a time, also if heartbeats arrive.
fn read_until(socket: &mut TcpStream, bytes: &mut Vec<u8>, enough: impl Fn(&[u8]) -> bool) {
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let began = Instant::now();
    let mut chunk = [0; 64 << 10];
    while !enough(bytes) {
        assert!(began.elapsed() < PATIENCE, "it never comes:\n{}", String::from_utf8_lossy(bytes));
        let read = socket.read(&mut chunk).expect("the stream goes on");
        assert!(read > 0, "the stream ended:\n{}", String::from_utf8_lossy(bytes));
        bytes.extend_from_slice(&chunk[..read]);
    }
}

/// The content of a chunked answer so far. Each chunk has to be complete and to have the announced size.
fn unchunked(mut answer: &[u8]) -> Vec<u8> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    answer = &answer[head + 4..];
    let mut content = Vec::new();
    while let Some(end) = answer.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&answer[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("hex");
        let chunk = end + 2..end + 2 + size;
        if answer.len() < chunk.end + 2 {
            break;
        }
        content.extend_from_slice(&answer[chunk.clone()]);
        assert_eq!(&answer[chunk.end..chunk.end + 2], b"\r\n", "a chunk is as long as it says");
        answer = &answer[chunk.end + 2..];
    }
    content
}

/// A full socket takes a part of a frame; the rest is sent first when there is room again. With and without `changes`,
/// whose framing differs, and so far behind that a part comes from the log.
#[tokio::test]
async fn a_reader_that_reads_late_gets_everything_once() {
    let server = Server::start();
    let mut late: Vec<_> = ["", "?type=x"]
        .into_iter()
        .map(|query| {
            let mut socket = TcpStream::connect(server.address).expect("a connection");
            socket.write_all(stream_head("HTTP/1.1", query).as_bytes()).expect("written");
            let mut answer = Vec::new();
            read_until(&mut socket, &mut answer, |bytes| bytes.windows(11).any(|at| at == b"\"connected\""));
            (socket, answer)
        })
        .collect();
    // Large and small events, 40 MiB: more than the ring keeps.
    const EVENTS: u32 = 160;
    for i in 0..EVENTS {
        let filler = "y".repeat(if i % 4 == 0 { 1 << 20 } else { 1000 + i as usize });
        let room = json!({ "name": "a", "sid": "RM_a" });
        let body = format!(r#"{{"event":"x","room":{room},"m":"{filler}","id":"EV_{i}"}}"#);
        assert_eq!(server.webhook(&body).await, 200);
    }
    let last = format!("\"EV_{}\"", EVENTS - 1);
    for (socket, answer) in &mut late {
        read_until(socket, answer, |bytes| {
            let tail = &bytes[bytes.len().saturating_sub(1 << 10)..];
            tail.windows(last.len()).any(|at| at == last.as_bytes()) && tail.ends_with(b"\n\n\r\n")
        });
        let text = String::from_utf8(unchunked(answer)).expect("text");
        // Lines, without parsing all of it: the event after the filler is the last one.
        let data = text.lines().filter_map(|line| line.strip_prefix("data: ")?.rsplit_once("\"id\":\""));
        let ids: Vec<_> = data.map(|(_, rest)| rest.split('"').next().expect("an id").to_owned()).collect();
        assert_eq!(ids, expected(0..EVENTS));
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_the_bare_stream() {
    let server = Start::new().env("ROOMWATCH_HEARTBEAT_SECS", "1").start();
    let mut socket = TcpStream::connect(server.address).expect("a connection");
    socket.write_all(stream_head("HTTP/1.0", "").as_bytes()).expect("written");
    let mut answer = Vec::new();
    read_until(&mut socket, &mut answer, |bytes| bytes.windows(11).any(|at| at == b"\"connected\""));
    post(&server, 1..3).await;
    read_until(&mut socket, &mut answer, |bytes| {
        bytes.windows(6).any(|at| at == b"\"EV_2\"") && bytes.ends_with(b"\n\n")
    });
    // Texts for one reader are framed in another place than shared messages.
    let told = answer.len();
    read_until(&mut socket, &mut answer, |bytes| {
        bytes[told..].windows(11).any(|at| at == b"event: ping") && bytes.ends_with(b"\n\n")
    });
    let answer = String::from_utf8(answer).expect("text").to_lowercase();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(body.starts_with("retry: ") && !body.contains('\r'), "{body}");
}

/// Bytes that a client sends after its request are discarded, up to a limit.
#[tokio::test]
async fn a_client_that_keeps_sending_is_closed() {
    let server = Server::start();
    let mut socket = TcpStream::connect(server.address).expect("a connection");
    socket.write_all(stream_head("HTTP/1.1", "").as_bytes()).expect("written");
    let mut answer = Vec::new();
    read_until(&mut socket, &mut answer, |bytes| bytes.windows(11).any(|at| at == b"\"connected\""));
    socket.write_all(&[b'x'; 1000]).expect("written");
    post(&server, 1..2).await;
    read_until(&mut socket, &mut answer, |bytes| bytes.windows(6).any(|at| at == b"\"EV_1\""));
    until("it is let go", || {
        let _ = socket.write_all(&[b'x'; 1000]);
        socket.set_read_timeout(Some(Duration::from_millis(10))).expect("a timeout");
        match socket.read(&mut [0; 1024]) {
            Ok(read) => read == 0,
            Err(error) => {
                !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
            }
        }
    });
}

/// A reader that does not read gets no `bye` when its right ends, and is closed.
#[tokio::test]
async fn a_stuck_reader_is_closed_when_its_right_ends() {
    let server = Server::start();
    let claims = Claims {
        iss: KEY.into(),
        sub: "stuck".into(),
        // The leeway is a minute.
        exp: now() - 60 + 4,
        video: Some(Grant { room_list: true, ..Grant::default() }),
        ..Claims::default()
    };
    let token = sign(&claims, &Secret::new(SECRET));
    let mut socket = TcpStream::connect(server.address).expect("a connection");
    let head =
        format!("GET /api/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
    socket.write_all(head.as_bytes()).expect("written");
    let open = async || {
        let metrics = client().get(server.url("/metrics")).send().await.expect("an answer").text().await;
        metrics.expect("text").contains("roomwatch_streams_open{transport=\"sse\"} 1")
    };
    let began = Instant::now();
    while !open().await {
        assert!(began.elapsed() < PATIENCE, "the stream begins");
    }
    let filler = "y".repeat(1 << 20);
    for i in 0..16 {
        let body = format!(r#"{{"event":"x","id":"EV_{i}","m":"{filler}"}}"#);
        assert_eq!(server.webhook(&body).await, 200);
    }
    while open().await {
        assert!(began.elapsed() < PATIENCE, "the stream ends");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(4 + 10), "within ten seconds: {:?}", began.elapsed());
}

/// Readers connect and disconnect while the server is killed again and again. In the end each reader has seen the log, in
/// order, without gaps and duplicates.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_the_log_through_every_crash() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut server = Server::start();
    let done = Arc::new(AtomicBool::new(false));
    let address = server.address;
    let reader = |query: &'static str| {
        let done = done.clone();
        tokio::spawn(async move {
            let mut seen: Vec<(u64, String)> = Vec::new();
            let mut cursor = "start".to_owned();
            while !done.load(Ordering::Relaxed) || !cursor.ends_with("-done") {
                let url = format!("http://{address}/api/events?after={cursor}{query}");
                let request =
                    client().get(url).header("accept", "text/event-stream").bearer_auth(list_token());
                let Ok(mut answer) = request.send().await else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let mut bytes = Vec::new();
                while let Ok(Some(chunk)) = answer.chunk().await {
                    bytes.extend_from_slice(&chunk);
                    while let Some(at) = bytes.windows(2).position(|two| two == b"\n\n") {
                        let block = String::from_utf8(bytes.drain(..at + 2).collect()).expect("text");
                        let Some(data) = block.lines().find_map(|line| line.strip_prefix("data: ")) else {
                            continue;
                        };
                        let data: Value = serde_json::from_str(data).expect("JSON");
                        assert!(data.get("reset").is_none(), "{data}");
                        if let Some(id) = data["data"]["id"].as_str() {
                            cursor = data["cursor"].as_str().expect("a cursor").to_owned();
                            let seq = cursor.split_once('-').expect("a dash").1.parse().expect("a seq");
                            seen.push((seq, id.to_owned()));
                            if id == "EV_end" {
                                return seen;
                            }
                        }
                    }
                }
            }
            seen
        })
    };
    let readers = [reader(""), reader("&room=a"), reader("&room=a&room=b")];
    let mut acknowledged = Vec::new();
    let mut next = 0_u32;
    for _ in 0..12 {
        for _ in 0..random.u32(5..40) {
            let room = ["a", "b", "c"][next as usize % 3];
            assert_eq!(server.webhook(&event(&format!("EV_{next}"), room)).await, 200);
            acknowledged.push((room, format!("EV_{next}")));
            next += 1;
        }
        server.kill();
        server = server.again().start();
    }
    assert_eq!(server.webhook(&event("EV_end", "a")).await, 200);
    acknowledged.push(("a", "EV_end".into()));
    done.store(true, Ordering::Relaxed);
    for (reader, rooms) in readers.into_iter().zip([&["a", "b", "c"][..], &["a"], &["a", "b"]]) {
        let seen = tokio::time::timeout(PATIENCE, reader).await.expect("in time").expect("no panic");
        assert!(seen.windows(2).all(|two| two[0].0 < two[1].0), "order");
        let seen: Vec<_> = seen.into_iter().map(|(_, id)| id).collect();
        let want: Vec<_> =
            acknowledged.iter().filter(|(room, _)| rooms.contains(room)).map(|(_, id)| id.clone()).collect();
        assert_eq!(seen, want);
    }
}
