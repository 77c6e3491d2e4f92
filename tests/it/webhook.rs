//! Receiving webhooks.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use roomwatch::token::{Secret, sign};
use serde_json::{Value, json};

use crate::harness::*;

/// All events of the log, page by page.
async fn logged(server: &Server) -> Vec<Value> {
    let (status, page) = server.get("/api/events?after=start&limit=1000").await;
    assert_eq!(status, 200, "{page}");
    page["events"].as_array().expect("events").clone()
}

#[tokio::test]
async fn a_webhook_leaves_the_stream_as_it_arrived() {
    let server = Server::start();
    let mut stream = server.stream("").await;
    assert_eq!(stream.connected().await["resumed"], false);
    for file in std::fs::read_dir("fixtures/webhooks").expect("fixtures") {
        let path = file.expect("an entry").path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let body = std::fs::read_to_string(&path).expect("a body");
        // Several files may contain the same event.
        let id =
            serde_json::from_str::<Value>(&body).expect("JSON")["id"].as_str().expect("an id").to_owned();
        let name = path.file_stem().expect("a name").to_string_lossy();
        let body = body.replace(&id, &format!("EV_{name}"));
        assert_eq!(server.webhook(&body).await, 200, "{}", path.display());
        let message = stream.next().await;
        let sent: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(message.data["type"], sent["event"]);
        assert_eq!(message.data["source"], "webhook");
        assert_eq!(message.data["project"], "default");
        assert_eq!(message.data["cursor"], message.id);
        let text = message.data.to_string();
        assert!(!text.contains("REDACT-ME"), "a secret came through: {}", path.display());
        assert_eq!(message.data["data"]["id"], sent["id"]);
        assert_eq!(
            message.data["data"]["participant"],
            sent.get("participant").cloned().unwrap_or(Value::Null)
        );
        assert_eq!(message.data["data"]["track"], sent.get("track").cloned().unwrap_or(Value::Null));
    }
}

#[tokio::test]
async fn a_webhook_that_is_not_authentic_is_401_and_not_stored() {
    let server = Server::start();
    let body = event("EV_1", "a");
    let claims = webhook_claims(body.as_bytes());
    let secret = Secret::new(SECRET);
    let with = |change: &dyn Fn(&mut roomwatch::token::Claims)| {
        let mut claims = claims.clone();
        change(&mut claims);
        sign(&claims, &secret)
    };
    let unsigned = |header: Value| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let payload = serde_json::to_value(&claims).expect("JSON");
        format!("{}.{}.", part(&header), part(&payload))
    };
    let good = with(&|_| {});
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    let refused = [
        ("no token", String::new(), "no_token"),
        ("junk", "junk".into(), "malformed"),
        ("forged", forged, "signature"),
        ("the secret of another", sign(&claims, &Secret::new("another")), "signature"),
        ("another key", with(&|claims| claims.iss = "APIother".into()), "unknown_key"),
        ("expired", with(&|claims| claims.exp = now() - 62), "expired"),
        ("not yet valid", with(&|claims| claims.nbf = Some(now() + 65)), "not_yet_valid"),
        ("good for too long", with(&|claims| claims.exp = now() + 24 * 3600 + 60), "too_long"),
        ("an access token", with(&|claims| claims.sha256 = None), "other_use"),
        ("another body", webhook_token(b"{}"), "other_body"),
        ("a hash in hex", with(&|claims| claims.sha256 = Some("00".repeat(32))), "other_body"),
        ("alg none", unsigned(json!({"alg": "none"})), "algorithm"),
        ("HS512", unsigned(json!({"alg": "HS512"})), "algorithm"),
        ("oversized", "x".repeat(15_000), "malformed"),
    ];
    for (what, token, code) in refused {
        let (status, answer) = server.webhook_as(&token, body.clone().into_bytes()).await;
        assert_eq!((status, answer["error"]["code"].as_str()), (401, Some(code)), "{what}: {answer}");
    }
    assert_eq!(logged(&server).await, Vec::<Value>::new());
    // Within the leeway, with and without `Bearer`.
    for token in [with(&|claims| claims.exp = now() - 50), format!("Bearer {good}")] {
        assert_eq!(server.webhook_as(&token, body.clone().into_bytes()).await.0, 200);
    }
    assert_eq!(logged(&server).await.len(), 1);
}

#[tokio::test]
async fn a_body_that_is_not_an_event_is_400() {
    let server = Server::start();
    let deep = format!(r#"{{"event":"x","a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [&[u8]; 9] = [
        b"",
        b"not json",
        b"[]",
        b"\"event\"",
        b"{}",
        br#"{"event":""}"#,
        br#"{"event":null}"#,
        b"{\"event\":\"\xff\xfe\"}",
        deep.as_bytes(),
    ];
    for body in bodies {
        let (status, answer) = server.webhook_as(&webhook_token(body), body.to_vec()).await;
        assert_eq!(status, 400, "{answer} for {:.40}", String::from_utf8_lossy(body));
    }
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
}

#[tokio::test]
async fn unknown_names_and_fields_are_stored_and_passed_on_unchanged() {
    let server = Server::start();
    let bodies = [
        r#"{"event":"room_exploded","id":"EV_1","createdAt":1787486400}"#,
        r#"{"event":"track_published","room":null,"track":{"source":"HOLOGRAM","type":99,"new":[1.50,1e3]},"id":"EV_2","createdAt":"1787486400"}"#,
        r#"{"event":"connected","id":"EV_3"}"#,
        r#"{"event":"participant_joined","participant":{"kind":"GHOST","state":77,"name":null},"room":{"sid":7},"id":"EV_4"}"#,
        r#"{"event":"no_id_at_all","x":"\ud83d\ude00"}"#,
    ];
    for body in bodies {
        assert_eq!(server.webhook(body).await, 200, "{body}");
    }
    let answer = client().get(server.url("/api/events?after=start")).bearer_auth(list_token());
    let text = answer
        .header("accept", "application/json")
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    for body in bodies {
        assert!(text.contains(&format!("\"data\":{body}")), "{body} changed in {text}");
    }
    let page: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(page["events"][2]["type"], "livekit.connected");
}

#[tokio::test]
async fn the_same_id_is_stored_once_even_after_a_restart() {
    let mut server = Start::new().on_disk().start();
    let body = event("EV_same", "a");
    let post = async |server: &Server| {
        server.webhook_as(&webhook_token(body.as_bytes()), body.clone().into_bytes()).await
    };
    let (status, first) = post(&server).await;
    assert_eq!((status, &first["duplicate"]), (200, &json!(false)));
    let (status, second) = post(&server).await;
    assert_eq!((status, &second["duplicate"]), (200, &json!(true)));
    assert_eq!(first["cursor"], second["cursor"]);
    server.kill();
    let server = server.again().start();
    let (status, third) = post(&server).await;
    assert_eq!((status, &third["duplicate"], &third["cursor"]), (200, &json!(true), &first["cursor"]));
    assert_eq!(logged(&server).await.len(), 1);
}

#[tokio::test]
async fn a_body_of_eight_mebibytes_is_accepted_and_one_byte_more_is_not() {
    let server = Server::start();
    let filler = (8 << 20) - r#"{"event":"x","id":"EV_1","m":""}"#.len();
    let body = format!(r#"{{"event":"x","id":"EV_1","m":"{}"}}"#, "m".repeat(filler));
    assert_eq!(body.len(), 8 << 20);
    assert_eq!(server.webhook(&body).await, 200);
    // One byte more is refused by its announced length, before it is sent.
    let head = format!(
        "POST /api/webhooks/livekit HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-length: {}\r\n\r\n",
        webhook_token(b"x"),
        (8 << 20) + 1,
    );
    assert!(raw(server.address, head.as_bytes()).starts_with("HTTP/1.1 413"));
    // Without an announced length it is refused when it becomes too long.
    let mut socket = TcpStream::connect(server.address).expect("a connection");
    let token = webhook_token(b"x");
    let head = format!(
        "POST /api/webhooks/livekit HTTP/1.1\r\nhost: localhost\r\nauthorization: {token}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).expect("written");
    let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
    let mut sent = 0_u32;
    while sent < 1024 && socket.write_all(&chunk).is_ok() {
        sent += 1;
    }
    assert!(sent < 1024, "64 MiB were read");
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    // A reset of the connection may lose the answer; the server's record of it stays.
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let server = Server::start();
    let head = format!("POST /api/webhooks/livekit HTTP/1.1\r\nauthorization: {}\r\n", "x".repeat(40_000));
    assert!(raw(server.address, head.as_bytes()).starts_with("HTTP/1.1 431"));
}

#[test]
fn a_slow_body_is_503() {
    let server = Start::new().env("ROOMWATCH_BODY_SECS", "1").env("ROOMWATCH_HEAD_SECS", "1").start();
    let head = format!(
        "POST /api/webhooks/livekit HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-length: 1000\r\n\r\n",
        webhook_token(b"x"),
    );
    // A body that is shorter than announced, and one that arrives byte by byte.
    for trickle in [false, true] {
        let mut socket = TcpStream::connect(server.address).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        socket.write_all(head.as_bytes()).expect("written");
        let began = Instant::now();
        let mut answer = Vec::new();
        until("the connection is closed", || {
            if trickle {
                let _ = socket.write_all(b"x");
            }
            let mut piece = [0; 1024];
            match socket.read(&mut piece) {
                Ok(0) => true,
                Ok(n) => {
                    answer.extend_from_slice(&piece[..n]);
                    false
                }
                Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        });
        assert!(began.elapsed() >= Duration::from_millis(900), "it was not given its time");
        // LiveKit retries after a 503. With a short `Retry-After` its five attempts would be over after some seconds.
        let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 503") && !answer.contains("retry-after"), "{answer}");
    }
    // Half a head, and then nothing.
    let half = raw(server.address, b"POST /api/webhooks/livekit HTTP/1.1\r\nhost: lo");
    assert!(!half.contains("200"), "{half}");
}

#[tokio::test]
async fn several_projects_have_several_keys() {
    let file = format!(
        "[[projects]]\nname = \"a\"\nkeys = [{{ key = \"{KEY}\", secret = \"{SECRET}\" }}, {{ key = \"K2\", secret = \"two\" }}]\n\
         [[projects]]\nname = \"b\"\nkeys = [{{ key = \"K3\", secret = \"three\" }}]\n"
    );
    let server = Start::new().env("LIVEKIT_API_KEY", "").env("LIVEKIT_API_SECRET", "").file(&file).start();
    for (id, key, secret, status) in [
        ("EV_1", KEY, SECRET, 200),
        ("EV_1", "K3", "three", 200),
        ("EV_2", "K2", "two", 200),
        ("EV_3", "K2", "three", 401),
    ] {
        let body = event(id, "r");
        let claims = roomwatch::token::Claims { iss: key.into(), ..webhook_claims(body.as_bytes()) };
        let (got, answer) = server.webhook_as(&sign(&claims, &Secret::new(secret)), body.into_bytes()).await;
        assert_eq!(got, status, "{key}: {answer}");
    }
    // A token of project a sees only a's events: the same id in b is another event.
    let seen: Vec<_> =
        logged(&server).await.iter().map(|e| (e["project"].clone(), e["data"]["id"].clone())).collect();
    assert_eq!(seen, [(json!("a"), json!("EV_1")), (json!("a"), json!("EV_2"))]);
}

#[test]
fn an_unknown_option_is_an_error_that_names_it() {
    assert!(Start::new().env("ROOMWATCH_LISTNE", "x").fails().contains("ROOMWATCH_LISTNE"));
    assert!(Start::new().arg("--listne").fails().contains("--listne"));
    assert!(Start::new().file("listne = 1").fails().contains("listne"));
    assert!(Start::new().env("LIVEKIT_API_SECRET", "").fails().contains("LIVEKIT_API_SECRET"));
    assert!(Start::new().env("ROOMWATCH_DRAIN_SECS", "11").fails().contains("drain_secs"));
}

/// Any client can be rejected at any rate. The log has one line for each reason in ten seconds, with the number of
/// suppressed ones.
#[tokio::test]
async fn a_stranger_cannot_flood_the_log() {
    let server = Server::start();
    let body = event("EV_1", "a");
    let mut claims = webhook_claims(body.as_bytes());
    claims.exp = now() - 120;
    let expired = sign(&claims, &Secret::new(SECRET));
    let lines = |server: &Server| {
        let log = server.log();
        let lines = log.lines().filter(|line| line.contains("a webhook was rejected")).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    let mut sent = 0;
    while sent < 300 {
        assert_eq!(server.webhook_as("junk", body.clone().into_bytes()).await.0, 401);
        sent += 1;
    }
    assert_eq!(lines(&server).len(), 1, "{:?}", lines(&server));
    // The flood does not hide another reason.
    assert_eq!(server.webhook_as(&expired, body.clone().into_bytes()).await.0, 401);
    until("the other reason is logged", || lines(&server).len() == 2);
    // The flood continues, and after a while there is another line.
    let began = Instant::now();
    while lines(&server).len() == 2 {
        assert!(began.elapsed() < PATIENCE, "the rest is never logged");
        assert_eq!(server.webhook_as("junk", body.clone().into_bytes()).await.0, 401);
        sent += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let line = &lines(&server)[2];
    let (_, rest) = line.split_once("webhook.suppressed=").expect(line);
    let suppressed: i32 = rest.split(' ').next().expect("a word").parse().expect(line);
    // Two had lines; the newest may have arrived after this one was read.
    assert!((299..=sent - 2).contains(&suppressed), "{suppressed} of {sent}");
}

/// Where several projects share a server, each shows its own refusals, and all show those of no known project.
const TWO_PROJECTS: &str = "\
[[projects]]
name = \"alpha\"
keys = [{ key = \"APItestkey\", secret = \"a-secret-of-the-tests-that-is-long-enough\" }]
[[projects]]
name = \"beta\"
keys = [{ key = \"APIbeta\", secret = \"b\" }]
";

#[tokio::test]
async fn whatever_is_refused_under_the_path_of_webhooks_is_shown_with_its_reason() {
    let file = format!("{}{TWO_PROJECTS}", operators::users());
    let start = Start::new().env("LIVEKIT_API_KEY", "").env("LIVEKIT_API_SECRET", "").file(&file);
    let server = start.env("ROOMWATCH_MAX_WEBHOOK_BYTES", "1000").env("ROOMWATCH_BODY_SECS", "1").start();
    let cookie = operators::login(&server, "vera").await;
    let shown = async || {
        let (_, _, body) = operators::get(&server, "/api/projects", &[("cookie", &cookie)]).await;
        let of = |at: usize| body["projects"][at]["lastRejected"].clone();
        (of(0), of(1))
    };
    let good = webhook_token(b"{}");
    let long = format!(r#"{{"event":"x","x":"{}"}}"#, "x".repeat(1000));
    let long_token = webhook_token(long.as_bytes());
    let foreign = "origin: https://evil.example\r\n";
    let length = |n: usize| format!("content-length: {n}\r\n");
    for (what, line, token, head, body, reason, status) in [
        ("another body", "POST /api/webhooks/livekit", &good, length(2), "[]", "other_body", 401),
        ("no event", "POST /api/webhooks/livekit", &good, length(2), "{}", "bad_body", 400),
        (
            "too large",
            "POST /api/webhooks/livekit",
            &long_token,
            length(long.len()),
            &*long,
            "body_too_large",
            413,
        ),
        ("too slow", "POST /api/webhooks/livekit", &good, length(3), "{}", "body_timeout", 503),
        ("a slash too much", "POST /api/webhooks/livekit/", &good, length(2), "{}", "no_such_route", 404),
        ("only the folder", "POST /api/webhooks", &good, length(2), "{}", "no_such_route", 404),
        ("another name", "POST /api/webhooks/liveKit?x=1", &good, length(2), "{}", "no_such_route", 404),
        (
            "a redirect's GET",
            "GET /api/webhooks/livekit",
            &good,
            String::new(),
            "",
            "method_not_allowed",
            405,
        ),
        ("PUT", "PUT /api/webhooks/livekit", &good, length(2), "{}", "method_not_allowed", 405),
        (
            "a foreign page",
            "POST /api/webhooks/x",
            &good,
            format!("{foreign}{}", length(2)),
            "{}",
            "foreign_origin",
            403,
        ),
    ] {
        let before = shown().await;
        let request = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nauthorization: {token}\r\nconnection: close\r\n{head}\r\n{body}"
        );
        let answer = raw(server.address, request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {answer}");
        let (alpha, beta) = shown().await;
        assert_eq!((&alpha["reason"], &alpha["iss"]), (&json!(reason), &json!(KEY)), "{what}");
        assert!(alpha != before.0 && beta == before.1, "{what}: only the project of the token shows it");
    }
    // Without a token that names a key, every project shows it.
    assert!(
        raw(server.address, b"GET /api/webhooks/x HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
            .contains("404")
    );
    let (alpha, beta) = shown().await;
    assert_eq!((&alpha["reason"], &alpha["iss"]), (&json!("no_such_route"), &Value::Null));
    assert_eq!(alpha, beta);
    // What is accepted is not a refusal, and another path is nothing of the receiver's.
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    assert!(
        raw(server.address, b"POST /api/webhook HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
            .contains("404")
    );
    assert_eq!(shown().await, (alpha, beta));
}

/// A webhook of a LiveKit in a container is for `host.docker.internal` or the name of a tunnel.
#[tokio::test]
async fn with_dev_the_signature_of_a_webhook_decides_and_not_its_host() {
    let server = Start::new().arg("--dev").start();
    let post = |host: &str, id: &str, signed: bool| {
        let body = event(id, "a");
        let token = webhook_token(if signed { body.as_bytes() } else { b"another" });
        let request = format!(
            "POST /api/webhooks/livekit HTTP/1.1\r\nhost: {host}\r\nauthorization: {token}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        raw(server.address, request.as_bytes())
    };
    for (at, host) in
        ["host.docker.internal:3001", "a-b-c.trycloudflare.com", "172.17.0.1:3001", ""].iter().enumerate()
    {
        let answer = post(host, &format!("EV_{at}"), true);
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
        let answer = post(host, &format!("EV_{at}"), false);
        assert!(answer.starts_with("HTTP/1.1 401"), "{host}: {answer}");
    }
    // Every other path is for this machine only, and a webhook that is refused for that is shown.
    let request =
        "POST /api/webhooks/ HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert!(raw(server.address, request.as_bytes()).starts_with("HTTP/1.1 403"));
    let (_, projects) = server.get_as("", "/api/projects").await;
    assert_eq!(projects["projects"][0]["lastRejected"]["reason"], "foreign_host");
}
