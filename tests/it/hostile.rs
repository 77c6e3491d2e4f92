//! Clients that send their bodies slowly, do not read their answers, or ask for much at once: the memory, the threads and
//! the descriptors of the server stay within their limits, and webhooks and streams go on.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use roomwatch::token::Grant;
use serde_json::json;

use crate::harness::{
    operators::{PASSWORD, cookie, post},
    *,
};

/// A connection on which these bytes were written.
fn sent(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(server.address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The server may have answered and closed it already.
    let _ = socket.write_all(bytes);
    socket
}

/// Reads no more of the answer than its status, and its code if it is an error.
fn status(socket: &mut TcpStream) -> (u16, Option<String>) {
    let mut answer = vec![0; 2_048];
    let mut read = 0;
    while !answer[..read].windows(4).any(|four| four == b"\r\n\r\n") {
        match socket.read(&mut answer[read..]) {
            Ok(more) if more > 0 => read += more,
            _ => return (0, None),
        }
    }
    let head = String::from_utf8_lossy(&answer[..read]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut code = None;
    if status >= 400 {
        let mut text = head;
        while !text.contains("\"docs\"")
            && let Ok(more) = socket.read(&mut answer)
            && more > 0
        {
            text += &String::from_utf8_lossy(&answer[..more]);
        }
        code = text.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    }
    (status, code)
}

fn bearer(identity: &str, grant: Grant) -> String {
    format!("authorization: Bearer {}\r\n", token(identity, grant))
}

fn admin(identity: &str) -> String {
    bearer(identity, Grant { room_admin: true, room: "a".into(), ..Grant::default() })
}

fn creator(identity: &str) -> String {
    bearer(identity, Grant { room_create: true, ..Grant::default() })
}

fn recorder(identity: &str) -> String {
    bearer(identity, Grant { room_record: true, ..Grant::default() })
}

fn lister(identity: &str) -> String {
    bearer(identity, Grant { room_list: true, ..Grant::default() })
}

/// A request whose body has this length, without its body.
fn head(method: &str, path: &str, headers: &str, length: usize) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    )
    .into_bytes()
}

/// One route with a body.
struct Route {
    method: &'static str,
    /// As in the OpenAPI document.
    route: &'static str,
    path: &'static str,
    /// The credential of a caller who may use it.
    headers: String,
    /// The largest body.
    bytes_max: usize,
    /// The answer if the limit on requests of this kind is reached.
    limited: (u16, &'static str),
}

/// `operator` is the `Cookie` header of a user who has signed in.
fn routes_with_a_body(operator: &str) -> Vec<Route> {
    const TRACK: &str = "/api/rooms/{room}/participants/{identity}/tracks/{sid}/mute";
    const COMMAND: (u16, &str) = (429, "too_many_commands");
    let route = |method, route, path, headers: String, bytes_max, limited| Route {
        method,
        route,
        path,
        headers,
        bytes_max,
        limited,
    };
    // A webhook has no limit of its rate. Its token is checked before its body.
    let signed = format!("authorization: {}\r\n", webhook_token(b"other"));
    let participant = "/api/rooms/a/participants/alice";
    vec![
        route("POST", "/api/login", "/api/login", String::new(), 4_096, (429, "too_many_logins")),
        route("POST", "/api/webhooks/livekit", "/api/webhooks/livekit", signed, 8_388_608, (0, "")),
        route("POST", "/api/rooms", "/api/rooms", creator("cleo"), 2_097_152, COMMAND),
        route("PATCH", "/api/rooms/{room}", "/api/rooms/a", admin("alma"), 2_097_152, COMMAND),
        route("POST", "/api/rooms/{room}/token", "/api/rooms/a/token", admin("alma"), 4_096, COMMAND),
        route(
            "POST",
            "/api/rooms/{room}/dispatches",
            "/api/rooms/a/dispatches",
            admin("alma"),
            2_097_152,
            COMMAND,
        ),
        route("POST", "/api/rooms/{room}/data", "/api/rooms/a/data", admin("alma"), 524_288, COMMAND),
        route(
            "PATCH",
            "/api/rooms/{room}/participants/{identity}",
            participant,
            admin("alma"),
            2_097_152,
            COMMAND,
        ),
        route(
            "POST",
            TRACK,
            "/api/rooms/a/participants/alice/tracks/TR_1/mute",
            admin("alma"),
            4_096,
            COMMAND,
        ),
        route("POST", "/api/egress", "/api/egress", recorder("rita"), 4_096, COMMAND),
        route("PUT", "/api/attention/{id}", ATTENTION, operator.to_owned(), 4_096, COMMAND),
    ]
}

const ATTENTION: &str = "/api/attention/agent_missing:RM_a";

/// Signs in, and returns the `Cookie` header.
async fn operator(server: &Server) -> String {
    let (status, headers, body) = post(server, "/api/login", &[], json!({ "password": PASSWORD })).await;
    assert_eq!(status, 200, "{body}");
    format!("cookie: {}\r\n", cookie(&headers))
}

/// The server of these tests: one room, and a user who can sign in.
fn start() -> Start {
    Start::new().env("ROOMWATCH_PASSWORD", PASSWORD).env("LIVEKIT_URL", "http://127.0.0.1:9")
}

/// The client sends no byte of the body, and is answered.
#[tokio::test]
async fn limits_are_asked_before_a_byte_of_the_body_is_read() {
    let server = start()
        .env("ROOMWATCH_MAX_LOGINS_PER_MINUTE", "1")
        .env("ROOMWATCH_MAX_COMMANDS_PER_MINUTE", "1")
        .env("ROOMWATCH_BODY_SECS", "0")
        .start();
    // It uses the limit of sign-ins up.
    let operator = operator(&server).await;
    let routes = routes_with_a_body(&operator);
    let (_, document) = server.get("/api/openapi.json").await;
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            if operation.get("requestBody").is_some() {
                documented.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    let tabled: BTreeSet<_> = routes.iter().map(|r| format!("{} {}", r.method, r.route)).collect();
    assert_eq!(documented, tabled, "each route with a body has a row, and each row a route");

    // Larger than the route needs: refused by the head alone. These requests use the limits of each caller up.
    for (method, path, caller) in [
        ("POST", "/api/rooms", creator("cleo")),
        ("POST", "/api/rooms/a/data", admin("alma")),
        ("POST", "/api/egress", recorder("rita")),
        ("PUT", ATTENTION, operator.clone()),
    ] {
        let mut first = sent(&server, &head(method, path, &caller, 600_000_000));
        assert_eq!(status(&mut first), (413, Some("body_too_large".into())), "{path}");
    }
    for route in routes.iter().filter(|route| route.limited.0 > 0) {
        let mut socket = sent(&server, &head(route.method, route.path, &route.headers, 100));
        let (expected, code) = route.limited;
        assert_eq!(
            status(&mut socket),
            (expected, Some(code.to_owned())),
            "{} {}",
            route.method,
            route.route
        );
    }
    for (caller, expected) in [("", 401), ("authorization: x\r\n", 401)] {
        for route in routes.iter().filter(|route| route.route != "/api/login") {
            let mut socket = sent(&server, &head(route.method, route.path, caller, 100));
            assert_eq!(status(&mut socket).0, expected, "{} {}", route.method, route.route);
        }
    }
}

#[tokio::test]
async fn a_route_takes_no_more_of_a_body_than_it_needs() {
    let server = start()
        .env("ROOMWATCH_MAX_LOGINS_PER_MINUTE", "0")
        .env("ROOMWATCH_MAX_COMMANDS_PER_MINUTE", "0")
        .env("ROOMWATCH_BODY_SECS", "1")
        .start();
    for route in routes_with_a_body(&operator(&server).await) {
        let name = format!("{} {}", route.method, route.route);
        let too_large = (413, Some("body_too_large".to_owned()));
        let mut socket = sent(&server, &head(route.method, route.path, &route.headers, route.bytes_max + 1));
        assert_eq!(status(&mut socket), too_large, "{name}");
        // One that is as large as it may be is waited for.
        let mut socket = sent(&server, &head(route.method, route.path, &route.headers, route.bytes_max));
        let slow = if route.route.ends_with("livekit") { 503 } else { 408 };
        assert_eq!(status(&mut socket), (slow, Some("body_timeout".into())), "{name}");
        // Without a length the bytes are counted.
        let mut chunked = head(route.method, route.path, &route.headers, 0);
        let length = chunked.windows(18).position(|w| w == b"content-length: 0\r").expect("a length");
        chunked.truncate(length);
        chunked.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
        let size = route.bytes_max + 1;
        chunked.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        chunked.resize(chunked.len() + size, b' ');
        let mut socket = sent(&server, &chunked);
        assert_eq!(status(&mut socket), too_large, "{name}, chunked");
    }
}

/// A refusal reaches a client that sends the whole body before it reads.
#[tokio::test]
async fn a_refusal_is_not_lost_with_the_body_that_was_not_read() {
    let server = start()
        .env("ROOMWATCH_MAX_LOGINS_PER_MINUTE", "0")
        .env("ROOMWATCH_MAX_COMMANDS_PER_MINUTE", "0")
        .start();
    for route in routes_with_a_body(&operator(&server).await) {
        let name = format!("{} {}", route.method, route.route);
        let size = route.bytes_max + 1;
        let mut socket = sent(&server, &head(route.method, route.path, &route.headers, size));
        // The answer is on its way, or has arrived.
        tokio::time::sleep(Duration::from_millis(50)).await;
        socket.write_all(&vec![b' '; size]).expect("the body is taken");
        assert_eq!(status(&mut socket), (413, Some("body_too_large".into())), "{name}");
    }
}

/// Bodies that do not arrive hold memory up to the limit of the address, and no more.
#[tokio::test]
async fn unfinished_bodies_are_counted() {
    let server = start()
        .env("ROOMWATCH_MAX_COMMANDS_PER_MINUTE", "0")
        .env("ROOMWATCH_MAX_REQUEST_MEMORY_PER_ADDRESS", "9000000")
        .env("ROOMWATCH_MAX_REQUEST_MEMORY_PER_USER", "5000000")
        .env("ROOMWATCH_BODY_SECS", "0")
        .start();
    let unfinished = |user: &str| {
        let mut request = head("PATCH", "/api/rooms/a", &admin(user), 2_000_000);
        request.resize(request.len() + 1_999_999, b' ');
        let mut socket = sent(&server, &request);
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        let answer = status(&mut socket);
        (socket, answer)
    };
    let waiting = (0, None);
    let too_many = (429, Some("too_many_requests".to_owned()));
    let (first, answer) = unfinished("ada");
    assert_eq!(answer, waiting);
    let (_second, answer) = unfinished("ada");
    assert_eq!(answer, waiting);
    assert_eq!(unfinished("ada").1, too_many, "a third of the same user");
    let (_third, answer) = unfinished("bob");
    assert_eq!(answer, waiting);
    let (_fourth, answer) = unfinished("eve");
    assert_eq!(answer, waiting);
    assert_eq!(unfinished("zoe").1, too_many, "a fifth of the same address");
    // A request of another address, and a webhook, have their place. So has the next one when one ends.
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    drop(first);
    until("there is a place again", || unfinished("zoe").1 == waiting);
}

/// Size of an event in these logs.
const EVENT_BYTES: usize = 50_000;

/// A log whose page has about `megabytes`.
async fn fill(server: &Server, megabytes: usize) {
    for i in 0..20 * megabytes {
        let metadata = "m".repeat(EVENT_BYTES);
        let body = event(&format!("EV_{i}"), "a")
            .replace("\"name\"", &format!("\"metadata\":\"{metadata}\",\"name\""));
        assert_eq!(server.webhook(&body).await, 200);
    }
    until_async("the log is folded", async || {
        server.get("/api/rooms").await.1["cursor"]
            .as_str()
            .is_some_and(|c| c.ends_with(&format!("-{}", 20 * megabytes)))
    })
    .await;
}

const PAGE: &str = "/api/events?limit=1000";

fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n{headers}\r\n")
        .into_bytes()
}

#[tokio::test]
async fn answers_that_are_not_read_are_limited_by_user_and_address_and_in_total() {
    let server = Start::new()
        .env("ROOMWATCH_MAX_REQUEST_MEMORY", "45000000")
        .env("ROOMWATCH_MAX_REQUEST_MEMORY_PER_ADDRESS", "28000000")
        .env("ROOMWATCH_MAX_REQUEST_MEMORY_PER_USER", "19000000")
        .env("ROOMWATCH_TRUSTED_PROXIES", "127.0.0.0/8")
        .start();
    fill(&server, 9).await;
    // A page has more than 8 MiB: two fit into a user, three into an address, five into the whole.
    let mut unread = Vec::new();
    for (user, address, expected) in [
        ("ada", 1, (200, None)),
        ("ada", 1, (200, None)),
        ("ada", 1, (429, Some("too_many_requests"))),
        ("bob", 1, (200, None)),
        ("eve", 1, (429, Some("too_many_requests"))),
        ("eve", 2, (200, None)),
        ("eve", 2, (200, None)),
        ("zoe", 3, (503, Some("busy"))),
    ] {
        let headers = format!("{}x-forwarded-for: 198.51.100.{address}\r\n", lister(user));
        let mut socket = sent(&server, &get(PAGE, &headers));
        let (status, code) = status(&mut socket);
        assert_eq!((status, code.as_deref()), expected, "{user} at {address}");
        unread.push(socket);
    }
    // A small answer, a webhook and a stream find their place.
    let headers = format!("{}x-forwarded-for: 198.51.100.3\r\n", lister("zoe"));
    assert_eq!(status(&mut sent(&server, &get("/api/me", &headers))).0, 200);
    assert_eq!(server.webhook(&event("EV_last", "b")).await, 200);
    let mut stream = server.stream("").await;
    stream.connected().await;
    // An answer that is no longer wanted frees its place.
    unread.remove(0);
    until("zoe gets her page", || {
        let mut socket = sent(&server, &get(PAGE, &headers));
        status(&mut socket).0 == 200
    });
}

/// A client that reads nothing, and one that reads byte by byte.
#[tokio::test]
async fn an_answer_must_be_read_within_its_time() {
    let server = Start::new().env("ROOMWATCH_ANSWER_SECS", "1").start();
    fill(&server, 9).await;
    let all_read = |mut socket: TcpStream| {
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        answer.len()
    };
    let whole = all_read(sent(&server, &get(PAGE, &format!("{}connection: close\r\n", lister("ada")))));
    assert!(whole > 8 << 20, "a client that reads gets the page: {whole}");
    for pipelined in [1, 4] {
        let mut socket = sent(&server, &get(PAGE, &lister("ada")).repeat(pipelined));
        let began = Instant::now();
        // Byte by byte: so there is progress all the time.
        while began.elapsed() < Duration::from_secs(3) {
            let _ = socket.read(&mut [0; 100]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let read = all_read(socket);
        assert!(read < whole, "{read} bytes of {whole}, {pipelined} requests");
    }
}

/// A stream has all the time it needs if its client reads. One that reads nothing ends; the client has its cursor.
#[tokio::test]
async fn a_stream_that_reads_nothing_ends() {
    let server = Start::new().env("ROOMWATCH_ANSWER_SECS", "1").env("ROOMWATCH_HEARTBEAT_SECS", "1").start();
    fill(&server, 9).await;
    let open = async || {
        let metrics = client().get(server.url("/metrics")).send().await.expect("an answer");
        let text = metrics.text().await.expect("text");
        let line =
            text.lines().find_map(|line| line.strip_prefix("roomwatch_streams_open{transport=\"sse\"} "));
        line.map(str::to_owned)
    };
    let mut live = server.stream("").await;
    live.connected().await;
    let stream = String::from_utf8(get("/api/events?after=start", &lister("ada"))).expect("text");
    let stalled = sent(&server, stream.replace("application/json", "text/event-stream").as_bytes());
    until_async("it is open", async || open().await.as_deref() == Some("2")).await;
    until_async("only the one that reads is left", async || open().await.as_deref() == Some("1")).await;
    drop(stalled);
    assert_eq!(server.webhook(&event("EV_last", "b")).await, 200);
    assert_eq!(live.next().await.data["data"]["id"], "EV_last");
}

/// A value of `/proc/<pid>/status`, for example `VmRSS`, without its unit.
fn of_process(server: &Server, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("a number")
}

fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("a process").count()
}

/// Number of hostile connections of each kind. `make nightly` has as many as the server takes.
fn hostile_connections() -> usize {
    std::env::var("ROOMWATCH_TEST_HOSTILE").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

/// The largest file of the dashboard that this binary has.
fn largest_asset() -> Option<String> {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/dist/assets");
    let files = std::fs::read_dir(assets).ok()?.filter_map(Result::ok);
    let files = files.filter(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        !name.ends_with(".br") && !name.ends_with(".gz")
    });
    let largest = files.max_by_key(|file| file.metadata().map_or(0, |metadata| metadata.len()))?;
    Some(format!("/assets/{}", largest.file_name().to_string_lossy()))
}

/// SECURITY.md states the memory of the process at worst. It holds with clients of every kind that send nothing more and
/// read nothing, each with its own address and its own user.
#[tokio::test]
async fn the_memory_stays_within_its_bound_whatever_clients_do() {
    const MIB: usize = 1 << 20;
    /// `max_request_memory`, at its least.
    const SHARES: usize = 16 * MIB;
    /// For each connection: its head, and what hyper and the task take.
    const CONNECTION: usize = 40 << 10;
    /// For each stream: 16 KiB, and one event in the queue and one that is written.
    const STREAM: usize = 2 * EVENT_BYTES + (16 << 10);
    /// For the lists and the history that are computed at the same time.
    const WORK: usize = 192 * MIB;
    /// Memory that may stay for a while when they have gone.
    const REST: usize = 32 * MIB;
    let count = hostile_connections();
    raise_descriptors(count);
    let server = start()
        .env("ROOMWATCH_MAX_REQUEST_MEMORY", &SHARES.to_string())
        .env("ROOMWATCH_MAX_LOGINS_PER_MINUTE", "0")
        .env("ROOMWATCH_MAX_COMMANDS_PER_MINUTE", "0")
        .env("ROOMWATCH_TRUSTED_PROXIES", "127.0.0.0/8")
        .env("ROOMWATCH_BODY_SECS", "0")
        .env("ROOMWATCH_HEAD_SECS", "0")
        .start();
    fill(&server, 9).await;
    let asset = largest_asset().unwrap_or_else(|| "/".into());
    let from = |i: usize| format!("x-forwarded-for: 10.{}.{}.{}\r\n", i >> 16 & 255, i >> 8 & 255, i & 255);
    let user = |i: usize| format!("{}{}", lister(&format!("user{i}")), from(i));
    let stream = |i: usize| {
        let request = String::from_utf8(get("/api/events?after=start", &user(i))).expect("text");
        request.replace("application/json", "text/event-stream").into_bytes()
    };
    let body = |i: usize, path: &str, headers: &str, length: usize| {
        let mut request = head("POST", path, &format!("{headers}{}", from(i)), length);
        request.resize(request.len() + length - 1, b' ');
        request
    };
    type Kind<'a> = (&'static str, Box<dyn Fn(usize) -> Vec<u8> + 'a>);
    let kinds: Vec<Kind> = vec![
        ("a connection", Box::new(|_| Vec::new())),
        (
            "a head without an end",
            Box::new(|_| format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(16_000)).into()),
        ),
        ("a sign-in without an end", Box::new(|i| body(i, "/api/login", "", 4_096))),
        ("a sign-in of two megabytes", Box::new(|i| body(i, "/api/login", "", 2_000_000))),
        (
            "a command without an end",
            Box::new(|i| body(i, "/api/rooms", &creator(&format!("user{i}")), 2_000_000)),
        ),
        ("a page of the log", Box::new(|i| get(PAGE, &user(i)))),
        ("pages of the log in one go", Box::new(|i| get(PAGE, &user(i)).repeat(8))),
        ("a list of rooms", Box::new(|i| get("/api/rooms", &user(i)))),
        ("a file of the dashboard", Box::new(|i| get(&asset, &from(i)))),
        ("the API document", Box::new(|i| get("/api/openapi.json", &from(i)))),
        ("the metrics", Box::new(|i| get("/metrics", &from(i)).repeat(8))),
        ("a stream", Box::new(stream)),
        ("a WebSocket", Box::new(|i| websocket(&format!("user{i}"), &from(i)))),
    ];
    let before = of_process(&server, "VmRSS") * 1024;
    for (name, request) in &kinds {
        let sockets: Vec<_> = (0..count)
            .map(|i| {
                let mut socket = TcpStream::connect(server.address).expect("a connection");
                let bytes = request(i);
                socket.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout");
                // The server does not read what it has refused.
                let _ = socket.write_all(&bytes);
                socket
            })
            .collect();
        // One more client, which reads: when it is answered, those before it have been.
        assert_eq!(server.webhook(&event(&format!("EV {name}"), "b")).await, 200, "{name}");
        until_async("another client is answered", async || server.get("/api/me").await.0 == 200).await;
        let grown = (of_process(&server, "VmRSS") * 1024).saturating_sub(before);
        let streams = if name.starts_with("a stream") || name.starts_with("a WebSocket") { count } else { 0 };
        let bound = SHARES + count * CONNECTION + streams * STREAM + WORK;
        println!("{count} times {name}: {} KiB, {} for each", grown >> 10, grown / count);
        assert!(grown < bound, "{count} times {name}: {} MiB, at most {}", grown / MIB, bound / MIB);
        drop(sockets);
        // Each kind is measured by itself.
        let goes_back = async || (of_process(&server, "VmRSS") * 1024).saturating_sub(before) < REST;
        until_async(&format!("the memory for {name} goes back"), goes_back).await;
    }
}

/// A WebSocket of Socket.IO that asks for every event.
fn websocket(user: &str, headers: &str) -> Vec<u8> {
    let token = token(user, Grant { room_list: true, ..Grant::default() });
    let connect = format!("40{}", json!({ "token": token, "after": "start" }));
    let mut bytes = format!(
        "GET /socket.io/?{} HTTP/1.1\r\nhost: localhost\r\n{headers}upgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        engineio::WEBSOCKET
    )
    .into_bytes();
    // One text frame, with a mask of zeros.
    bytes.extend([0x81, 0x80 | 126]);
    bytes.extend(u16::try_from(connect.len()).expect("short").to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(connect.as_bytes());
    bytes
}

/// Both this process and the server need a descriptor for each connection.
fn raise_descriptors(count: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = (count as u64 + 1_000).max(limit.current.unwrap_or(0));
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
}

/// Everybody asks for the history at once. Threads and descriptors stay within their bounds, and webhooks and streams go
/// on.
#[tokio::test]
async fn much_history_at_once_leaves_threads_and_descriptors_for_webhooks() {
    let server = Start::new()
        .on_disk()
        .env("ROOMWATCH_TRUSTED_PROXIES", "127.0.0.0/8")
        .env("ROOMWATCH_MAX_REQUEST_MEMORY_PER_USER", "0")
        .start();
    for i in 0..40 {
        assert_eq!(server.webhook(&event(&format!("EV_{i}"), &format!("room{i}"))).await, 200);
    }
    let mut stream = server.stream("").await;
    stream.connected().await;
    let (threads, files) = (of_process(&server, "Threads"), descriptors(&server));
    let paths = [
        "/api/activity?step=60000&from=1",
        "/api/sessions?limit=1000",
        "/api/search?q=room",
        "/api/sessions/RM_room1",
        "/api/rooms",
        "/api/rooms?at=2000000000000",
        PAGE,
    ];
    let mut asking = Vec::new();
    for i in 0..60 {
        let path = paths[i % paths.len()];
        let headers = format!("{}x-forwarded-for: 10.0.0.{}\r\n", lister(&format!("user{i}")), i % 20);
        asking.push(sent(&server, &get(path, &headers).repeat(20)));
    }
    let mut most = (0, 0);
    for i in 0..20 {
        let id = format!("EV_during{i}");
        assert_eq!(server.webhook(&event(&id, "a")).await, 200);
        assert_eq!(stream.next().await.data["data"]["id"], *id);
        let now = (of_process(&server, "Threads"), descriptors(&server));
        most = (most.0.max(now.0), most.1.max(now.1));
    }
    // Four turns, four reads of the log, two earlier states, and the accounts.
    assert!(most.0 <= threads + 14, "{} threads, {threads} before", most.0);
    assert!(most.1 <= files + asking.len() + 24, "{} descriptors, {files} before", most.1);
}

/// After many readers have connected at once, what their handshakes took goes back to the system. Ten thousand of them
/// take 2.5 KiB each; with fewer, the fixed costs count more.
#[tokio::test]
async fn readers_that_connect_at_once_leave_no_memory_behind() {
    const READERS: usize = 1_500;
    raise_descriptors(READERS);
    let server = Start::new()
        .env("ROOMWATCH_MAX_STREAMS_PER_USER", "0")
        .env("ROOMWATCH_MAX_STREAMS_PER_ADDRESS", "0")
        .env("ROOMWATCH_HEAD_SECS", "0")
        .start();
    let before = of_process(&server, "VmRSS");
    let mut sockets: Vec<_> = (0..READERS).map(|_| sent(&server, b"")).collect();
    let request = String::from_utf8(get("/api/events", &lister("ada"))).expect("text");
    let request = request.replace("application/json", "text/event-stream");
    for socket in &mut sockets {
        socket.write_all(request.as_bytes()).expect("written");
    }
    for socket in &mut sockets {
        assert_eq!(status(socket).0, 200);
    }
    until("a reader takes at most 5 KiB", || {
        of_process(&server, "VmRSS").saturating_sub(before) < 5 * READERS
    });
}
