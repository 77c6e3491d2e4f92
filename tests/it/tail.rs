//! `roomwatch tail`, tested at its pipes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::*;

fn tail(url: &str, token: &str, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomwatch"));
    command.args(["tail", "--url", url]).args(more).env_clear();
    if !token.is_empty() {
        command.env("ROOMWATCH_TOKEN", token);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// Waits until it has ended. Returns whether it succeeded, and its error output.
fn ended(mut child: Child) -> (bool, String) {
    let began = Instant::now();
    while child.try_wait().expect("a child").is_none() && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    (child.wait().expect("a child").success(), said)
}

#[tokio::test]
async fn a_pipe_gets_json_lines_through_a_restart_and_ends_with_its_reader() {
    let mut server = Start::new().on_disk().start();
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    let url = server.url("");
    let mut child = tail(&url, &list_token(), &["--after", "start", "--room", "a"]);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = move || {
        let line = lines.next();
        line.map(|line| {
            serde_json::from_str::<Value>(&line.expect("text")).expect("JSON")["data"]["id"].take()
        })
    };
    assert_eq!(next(), Some(json!("EV_1")));
    server.kill();
    let server = server.again().start();
    for id in ["EV_2", "EV_3"] {
        assert_eq!(server.webhook(&event(id, "a")).await, 200);
        assert_eq!(server.webhook(&event(&format!("{id}b"), "b")).await, 200);
        assert_eq!(next(), Some(json!(id)));
    }
    // No more events, and no reader at the pipe.
    drop(next);
    let (content, said) = ended(child);
    assert!(content, "{said}");
    assert!(said.contains("trying again"), "{said}");
}

#[tokio::test]
async fn only_the_events_of_these_participants() {
    let server = Start::new().on_disk().start();
    for (n, identity) in ["ann", "a b&c=d/\u{202e}", "bo"].iter().enumerate() {
        let event = json!({ "event": "participant_joined", "id": format!("EV_{n}"), "createdAt": now().to_string(),
            "room": { "sid": "RM_a", "name": "a" },
            "participant": { "sid": format!("PA_{n}"), "identity": identity, "state": "ACTIVE" } });
        assert_eq!(server.webhook(&event.to_string()).await, 200);
    }
    let only = ["--after", "start", "--participant", "a b&c=d/\u{202e}", "--participant", "bo"];
    let mut child = tail(&server.url(""), &list_token(), &only);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for id in ["EV_1", "EV_2"] {
        let line = lines.next().expect("a line").expect("text");
        assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["data"]["id"], id, "{line}");
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[tokio::test]
async fn a_refusal_is_explained() {
    let server = Start::new().env("ROOMWATCH_MAX_STREAMS_PER_USER", "1").start();
    let url = server.url("");
    for (url, token, more, words) in [
        (&*url, "", &[][..], "roomwatch token --room-list"),
        (&url, "junk", &[], "The token has expired"),
        (&url, &list_token(), &["--project", "other"], "your rights do not allow this (forbidden)"),
        ("localhost:3001", "", &[], "must begin with http://"),
        ("ftp://localhost", "", &[], "must begin with http://"),
    ] {
        let (content, said) = ended(tail(url, token, more));
        assert!(!content && said.contains(words), "{url} {more:?}: {said}");
    }
    // A temporary refusal is retried, and not at once.
    let request = format!(
        "GET /api/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        list_token()
    );
    let mut first = TcpStream::connect(server.address).expect("a connection");
    first.write_all(request.as_bytes()).expect("written");
    assert!(first.read(&mut [0; 1024]).expect("an answer") > 0);
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    let began = Instant::now();
    let mut child = tail(&url, &list_token(), &["--after", "start"]);
    let mut said = BufReader::new(child.stderr.take().expect("piped")).lines();
    let refused = said.next().expect("a line").expect("text");
    assert!(refused.contains("429") && refused.contains("close one (too_many_connections)"), "{refused}");
    drop(first);
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("text");
    assert!(line.contains("EV_1"), "{line}");
    assert!(began.elapsed() >= Duration::from_secs(5), "Retry-After was 5: {:?}", began.elapsed());
    let _ = child.kill();
    let _ = child.wait();
}
