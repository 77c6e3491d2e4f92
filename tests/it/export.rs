//! Lists as files, over HTTP: every row once, in both formats, with the filters and rights of the list; and files whose
//! reader stops, or whose right ends.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    operators::{login, post, users},
    said::{Said, finished, joined, left, of_egress, room, said, send_all, started},
    *,
};

/// Names that a spreadsheet, or an eye, takes for something else.
const NAMES: [&str; 9] = [
    "=cmd|' /C calc'!A0",
    "+49 30 1234",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "say \"hi\", twice",
    "two\r\nlines",
    "a\u{202e}fdp.exe",
    "\u{2066}\0=1",
];

/// A session for each name, which ends.
fn meetings() -> Vec<Said> {
    let mut all = Vec::new();
    for (n, name) in NAMES.iter().enumerate() {
        let (sid, at) = (format!("RM_{n}"), n as u64 * 10);
        let of_room = |mut said: Said| {
            said.body["room"] = room(&sid, name);
            said.body["room"]["creationTimeMs"] = ((said::START + at) * 1000).to_string().into();
            said
        };
        let mut came = joined(at + 1, &sid, &format!("PA_{n}"), name);
        came.body["participant"]["name"] = (*name).into();
        came.body["participant"]["kind"] = "SIP".into();
        came.body["participant"]["attributes"] =
            json!({ "sip.phoneNumber": name, "sip.callID": format!("SCL_{n}") });
        all.push(of_room(started(at, &sid, name)));
        all.push(of_room(came.clone()));
        let mut gone = left(at + 5, &sid, &format!("PA_{n}"), name);
        for field in ["name", "kind", "attributes"] {
            gone.body["participant"][field] = came.body["participant"][field].clone();
        }
        all.push(of_room(gone));
        all.push(of_room(finished(at + 6, &sid, name)));
    }
    all
}

async fn file(server: &Server, path: &str) -> (String, String, String) {
    let answer = client().get(server.url(path)).bearer_auth(list_token()).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    let (media, name) = (header("content-type"), header("content-disposition"));
    assert_eq!(header("cache-control"), "no-store");
    (answer.text().await.expect("the whole file"), media, name)
}

/// Reads CSV strictly, as RFC 4180 has it.
fn parsed(text: &str) -> Vec<Vec<String>> {
    let (mut lines, mut line, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if cell.is_empty() => loop {
                match chars.next().expect("the end of a quoted cell") {
                    '"' if chars.next_if_eq(&'"').is_some() => cell.push('"'),
                    '"' => {
                        assert!(
                            matches!(chars.peek(), Some(',' | '\r')),
                            "text after a quoted cell: {text:?}"
                        );
                        break;
                    }
                    c => cell.push(c),
                }
            },
            ',' => line.push(std::mem::take(&mut cell)),
            '\r' => {
                assert_eq!(chars.next(), Some('\n'), "a bare CR");
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            '"' | '\n' => panic!("{c:?} in a cell without quotes: {text:?}"),
            c => cell.push(c),
        }
    }
    assert!(line.is_empty() && cell.is_empty(), "the last line has no end: {text:?}");
    lines
}

#[tokio::test]
async fn no_name_is_a_formula_or_looks_like_another() {
    let server = Server::start();
    send_all(&server, &meetings()).await;
    let (text, media, name) = file(&server, "/api/sessions?format=csv").await;
    assert_eq!((&*media, &*name), ("text/csv; charset=utf-8", "attachment; filename=\"sessions.csv\""));
    let lines = parsed(&text);
    assert_eq!(lines[0][..5], ["project", "room", "sid", "startedAt", "endedAt"]);
    let rooms: Vec<&str> = lines[1..].iter().rev().map(|line| &*line[1]).collect();
    let safe = [
        "'=cmd|' /C calc'!A0",
        "'+49 30 1234",
        "'-1+1",
        "'@SUM(A1)",
        "'\t=1",
        "say \"hi\", twice",
        "two\r\nlines",
        "a<U+202E>fdp.exe",
        "<U+2066><U+0000>=1",
    ];
    assert_eq!(rooms, safe);
    assert_eq!(lines[9][2..5], ["RM_0", "2026-08-23T12:00:00.000Z", "2026-08-23T12:00:06.999Z"], "{text}");
    // JSON is for programs, which see the names as they are.
    let (text, media, name) = file(&server, "/api/sessions?format=json").await;
    assert_eq!((&*media, &*name), ("application/json", "attachment; filename=\"sessions.json\""));
    let rows: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let rooms: Vec<&str> = rows.iter().rev().map(|row| row["room"].as_str().expect("a name")).collect();
    assert_eq!(rooms, NAMES);
    assert_eq!(text.lines().count(), 11, "one row on each line, between the brackets");
}

/// Every list as (path, member of the answer, parameter of its pages).
const LISTS: [(&str, &str, &str); 10] = [
    ("/api/rooms", "rooms", ""),
    ("/api/rooms/standup/participants", "participants", ""),
    ("/api/sessions", "sessions", "before"),
    ("/api/sessions/RM_standup", "participations", ""),
    ("/api/events", "events", "after"),
    ("/api/calls", "calls", "before"),
    ("/api/egress", "egress", "before"),
    ("/api/agents", "agents", ""),
    ("/api/attention", "conditions", ""),
    ("/api/audit", "entries", "before"),
];

/// Sends something to each list: an ended session of each name, a live room with an agent, and failures.
async fn filled() -> (Server, String) {
    let server = Start::new().file(&users()).env("ROOMWATCH_OPEN_CONDITIONS", "").start();
    send_all(&server, &meetings()).await;
    let live = |mut said: Said| {
        said.body["room"] = room("RM_standup", "standup");
        said.body["createdAt"] = now().to_string().into();
        said
    };
    let mut agent = joined(200, "RM_standup", "PA_agent", "helper");
    agent.body["participant"]["kind"] = "AGENT".into();
    let mut failed = of_egress(204, "egress_ended", "RM_standup", "EG_1", "EGRESS_FAILED");
    failed.body["egressInfo"]["roomName"] = "standup".into();
    failed.body["egressInfo"]["error"] = "=no, disk".into();
    for said in [
        live(started(199, "RM_standup", "standup")),
        live(agent),
        live(joined(201, "RM_standup", "PA_ann", "ann")),
        live(failed),
    ] {
        assert_eq!(said::send(&server, &format!("EV_{}", fastrand::u64(..)), &said).await, ());
    }
    let ada = login(&server, "ada").await;
    for reason in ["=1", "a, b"] {
        let headers = [("cookie", &*ada), ("origin", &*server.url(""))];
        post(&server, "/api/rooms/standup/token", &headers, json!({ "reason": reason })).await;
    }
    (server, ada)
}

async fn text_as(server: &Server, cookie: &str, path: &str) -> String {
    let request =
        client().get(server.url(path)).header("cookie", cookie).header("accept", "application/json");
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let text = answer.text().await.expect("the whole answer");
    assert_eq!(status, 200, "{path}: {text}");
    text
}

#[tokio::test]
async fn a_file_has_the_rows_of_its_list_and_every_member_that_the_api_has() {
    let (server, ada) = filled().await;
    until_async("a condition is open", async || {
        !server.get("/api/attention").await.1["conditions"].as_array().expect("a list").is_empty()
    })
    .await;
    let (_, document) = server.get("/api/openapi.json").await;
    for (path, rows, _) in LISTS {
        let first =
            if path == "/api/events" { format!("{path}?after=start&limit=1000") } else { path.to_owned() };
        let page: Value = serde_json::from_str(&text_as(&server, &ada, &first).await).expect("JSON");
        let listed = page[rows].as_array().expect("rows");
        assert!(!listed.is_empty(), "{path} has a row");
        let json: Value = serde_json::from_str(&text_as(&server, &ada, &format!("{path}?format=json")).await)
            .expect("JSON");
        let lines = parsed(&text_as(&server, &ada, &format!("{path}?format=csv")).await);
        // The numbers of what is live grow.
        let fixed = |row: &Value| {
            let mut row = row.clone();
            let members = row.as_object_mut().expect("an object");
            members.retain(|name, _| !name.contains("inutes") && name != "lastSeenAt" && name != "checkedAt");
            row
        };
        let all = |rows: &[Value]| rows.iter().map(fixed).collect::<Vec<_>>();
        assert_eq!(all(json.as_array().expect("an array")), all(listed), "{path}");
        assert_eq!(lines.len(), listed.len() + 1, "{path}");
        // Every member of a row is a column, and nothing else is.
        let mut columns: Vec<&str> = lines[0].iter().map(String::as_str).collect();
        let mut members: Vec<&str> = listed
            .iter()
            .flat_map(|row| row.as_object().expect("a row").keys())
            .map(String::as_str)
            .collect();
        if path == "/api/events" {
            members.retain(|name| *name != "changes");
        }
        columns.sort_unstable();
        members.sort_unstable();
        members.dedup();
        assert_eq!(columns, members, "{path}");
        for (line, row) in lines[1..].iter().zip(listed) {
            for (name, cell) in lines[0].iter().zip(line) {
                let value = &row[name];
                match value {
                    Value::Null => assert_eq!(cell, "", "{path} {name}"),
                    Value::Bool(value) => assert_eq!(*cell, value.to_string(), "{path} {name}"),
                    Value::Number(number) => {
                        let is_time = cell.len() == 24 && cell.ends_with('Z');
                        let grows = name.contains("inutes");
                        assert!(is_time || grows || *cell == number.to_string(), "{path} {name}: {cell}");
                        assert_eq!(
                            is_time,
                            number.as_u64().is_some_and(|n| n > 1_000_000_000_000),
                            "{path} {name}"
                        );
                    }
                    Value::String(text) => assert!(
                        cell == text || *cell == format!("'{text}") || cell.contains("<U+"),
                        "{path} {name}: {cell:?}"
                    ),
                    _ => assert_eq!(
                        serde_json::from_str::<Value>(cell).expect("JSON"),
                        *value,
                        "{path} {name}"
                    ),
                }
                assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{path} {name}: {cell:?}");
            }
        }
    }
    let paths = document["paths"].as_object().expect("paths");
    let files = paths.iter().filter(|(_, methods)| {
        methods["get"]["parameters"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["name"] == "format"))
    });
    assert_eq!(files.count(), LISTS.len() + 1, "each list, and usage");
}

#[tokio::test]
async fn a_file_has_every_page_once_and_only_what_the_filter_passes() {
    let server = Server::start();
    let mut all = Vec::new();
    for n in 0..1_050_u64 {
        let (sid, name) = (format!("RM_{n}"), if n % 10 == 0 { "tens" } else { "rest" });
        let mut begun = started(n, &sid, name);
        begun.body["room"]["creationTimeMs"] = ((said::START + n) * 1000).to_string().into();
        all.push(begun);
    }
    send_all(&server, &all).await;
    let sids = |text: &str| -> Vec<String> {
        let rows: Vec<Value> = serde_json::from_str(text).expect("JSON");
        rows.iter().map(|row| row["sid"].as_str().expect("a sid").to_owned()).collect()
    };
    let (text, ..) = file(&server, "/api/sessions?format=json").await;
    assert_eq!(sids(&text), (0..1_050).rev().map(|n| format!("RM_{n}")).collect::<Vec<_>>());
    let (text, ..) = file(&server, "/api/sessions?format=json&room=tens").await;
    assert_eq!(sids(&text), (0..105).rev().map(|n| format!("RM_{}", n * 10)).collect::<Vec<_>>());
    let (text, ..) = file(&server, "/api/sessions?format=csv&room=none").await;
    assert_eq!(parsed(&text).len(), 1, "a head: {text}");
    assert_eq!(file(&server, "/api/sessions?format=json&room=none").await.0, "[\n]\n");
    // The log goes forward, to its end.
    let (text, ..) = file(&server, "/api/events?format=csv&type=room_started").await;
    let lines = parsed(&text);
    assert_eq!(lines.len(), 1_051);
    let seqs: Vec<u64> = lines[1..]
        .iter()
        .map(|line| line[0].split_once('-').expect("a cursor").1.parse().expect("a number"))
        .collect();
    assert_eq!(seqs, (1..=1_050).collect::<Vec<_>>());
    let after = &lines[1_047][0];
    let (text, ..) = file(&server, &format!("/api/events?format=csv&after={after}")).await;
    assert_eq!(parsed(&text).len(), 4, "the last three, and the head");
    for (query, code) in [
        ("format=xml", "bad_parameter"),
        ("format=", "bad_parameter"),
        ("format=csv&format=json", "duplicate_parameter"),
        ("format=csv&limit=5", "unknown_parameter"),
        ("format=csv&before=1-1", "unknown_parameter"),
        ("format=csv&sort=peak", "unknown_parameter"),
        ("format=csv&rooom=a", "unknown_parameter"),
    ] {
        let (status, answer) = server.get(&format!("/api/sessions?{query}")).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{query}: {answer}");
    }
    // Not every answer is a list.
    assert_eq!(server.get("/api/search?q=a&format=csv").await.1["error"]["code"], "unknown_parameter");
}

/// A log of `events` that have 50 kB each: a page of it has 8 MiB, and an export several.
async fn long_log(server: &Server, events: usize) {
    let metadata = "m".repeat(50_000);
    for n in 0..events {
        let body =
            said(0, "room_started", json!({ "room": { "sid": "RM_a", "name": "a", "metadata": metadata } }));
        let mut body = body.body;
        body["id"] = format!("EV_{n}").into();
        assert_eq!(server.webhook(&body.to_string()).await, 200);
    }
    until_async("the log is folded", async || {
        let (_, page) = server.get("/api/events?limit=1").await;
        page["last"].as_str().is_some_and(|last| last.ends_with(&format!("-{events}")))
    })
    .await;
}

/// Asks for a file, and reads only its first bytes.
fn opened(server: &Server, path: &str, headers: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("sent");
    let mut head = [0; 15];
    socket.read_exact(&mut head).expect("a head");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    socket
}

fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    rest
}

/// Without this end a client knows that a chunked answer is not complete.
const END: &[u8] = b"\r\n0\r\n\r\n";

#[tokio::test]
async fn a_reader_that_stops_holds_no_turn_and_is_disconnected() {
    let server = Start::new()
        .env("ROOMWATCH_ANSWER_SECS", "3")
        .env("ROOMWATCH_MAX_REQUEST_MEMORY_PER_USER", "200000000")
        .env("ROOMWATCH_MAX_REQUEST_MEMORY_PER_ADDRESS", "200000000")
        .start();
    long_log(&server, 400).await;
    let bearer = format!("authorization: Bearer {}", list_token());
    let whole = rest(&mut opened(&server, "/api/events?format=json", &bearer));
    assert!(whole.len() > 20_000_000 && whole.ends_with(END), "a reader gets all of it: {}", whole.len());
    // More than have a turn at one time.
    let mut unread: Vec<TcpStream> =
        (0..6).map(|_| opened(&server, "/api/events?format=json", &bearer)).collect();
    let begun = Instant::now();
    for path in ["/api/sessions", "/api/events?limit=10", "/api/calls"] {
        assert_eq!(server.get(path).await.0, 200, "{path}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "they waited for no reader: {:?}", begun.elapsed());
    until_async("they are disconnected", async || {
        let text = client().get(server.url("/metrics")).send().await.expect("an answer").text().await;
        let text = text.expect("text");
        let open = text.lines().find_map(|line| line.strip_prefix("roomwatch_connections_open "));
        open.is_some_and(|open| open == "1")
    })
    .await;
    for socket in &mut unread {
        let rest = rest(socket);
        assert!(rest.len() < whole.len() && !rest.ends_with(END), "it is not complete: {}", rest.len());
    }
}

#[tokio::test]
async fn a_file_whose_right_ends_is_cut_off() {
    for format in ["csv", "json"] {
        let server = Start::new().file(&users()).start();
        long_log(&server, 400).await;
        let vera = login(&server, "vera").await;
        let mut socket = opened(&server, &format!("/api/events?format={format}"), &format!("cookie: {vera}"));
        let headers = [("cookie", &*vera), ("origin", &*server.url(""))];
        assert_eq!(post(&server, "/api/logout", &headers, json!({})).await.0, 200);
        let rest = rest(&mut socket);
        assert!(rest.len() > 8_000_000, "the page that was read: {}", rest.len());
        assert!(rest.len() < 19_000_000 && !rest.ends_with(END), "{format} is not complete: {}", rest.len());
    }
}

#[tokio::test]
async fn a_stop_waits_for_no_reader_and_cuts_the_file_off() {
    let mut server = Start::new().start();
    long_log(&server, 400).await;
    let bearer = format!("authorization: Bearer {}", list_token());
    let mut sockets: Vec<TcpStream> = ["csv", "json"]
        .map(|format| opened(&server, &format!("/api/events?format={format}"), &bearer))
        .into();
    let begun = Instant::now();
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for socket in &mut sockets {
        let rest = rest(socket);
        assert!(!rest.ends_with(END), "it is not complete: {}", rest.len());
    }
}

/// A million sessions, which `ROWS` changes. They are written into the file, because sending them would take hours.
#[tokio::test]
#[ignore = "takes a minute; run it in the profile soak"]
async fn a_million_rows_are_exported_in_bounded_memory() {
    let rows = std::env::var("ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000_u64);
    let mut server = Start::new().on_disk().start();
    send_all(&server, &meetings()[..4]).await;
    server.kill();
    let connection = rusqlite::Connection::open(server.dir.path().join("data/derived.db")).expect("it opens");
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = OFF; BEGIN;
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows})
             INSERT INTO sessions (project, sid, room, started_at, ended_at, source)
             SELECT 'default', 'RM_x' || i, 'room-' || (i % 500), 1787486400000 + i, 1787486400000 + i + 60000, 'webhook'
             FROM n;
             COMMIT;"
        ))
        .expect("written");
    drop(connection);
    let server = server.again().start();
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number")
    };
    for format in ["csv", "json"] {
        let bearer = format!("authorization: Bearer {}", list_token());
        let begun = Instant::now();
        let mut socket = opened(&server, &format!("/api/sessions?format={format}"), &bearer);
        let (mut bytes, mut lines, mut most, mut end) = (0, 0, 0, Vec::new());
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = socket.read(&mut buffer).expect("bytes");
            if read == 0 {
                break;
            }
            bytes += read;
            lines += buffer[..read].windows(3).filter(|three| *three == b"RM_").count() as u64;
            most = most.max(memory());
            end = buffer[read.saturating_sub(END.len())..read].to_vec();
        }
        let took = begun.elapsed();
        let each_second = rows as f64 / took.as_secs_f64();
        eprintln!(
            "{rows} rows as {format}: {took:?}, {each_second:.0} a second, {bytes} bytes, at most {most} KiB"
        );
        assert!(end.ends_with(b"\r\n0\r\n\r\n"), "it is complete");
        // A sid on the border of two reads is not counted.
        assert!(lines + 1_000 > rows && lines <= rows, "{lines} rows");
        assert!(each_second > 50_000.0, "{each_second} rows a second");
        assert!(most < 400_000, "{most} KiB");
    }
}
