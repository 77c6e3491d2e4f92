//! A clean exit, in spite of clients that hold it up.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::harness::*;

fn connection(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(server.address).expect("a connection");
    socket.write_all(bytes).expect("written");
    socket
}

#[tokio::test]
async fn no_client_can_delay_the_exit() {
    let mut server = Start::new()
        .on_disk()
        .env("ROOMWATCH_DRAIN_SECS", "10")
        .env("ROOMWATCH_HEAD_SECS", "0")
        .env("ROOMWATCH_BODY_SECS", "0")
        .start();
    let stream = format!(
        "GET /api/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        list_token()
    );
    let body = event("EV_never", "a");
    let webhook = format!(
        "POST /api/webhooks/livekit HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-length: {}\r\n\r\n{{",
        webhook_token(body.as_bytes()),
        body.len()
    );
    let _in_the_way = [
        // A reader that never reads, a head and a webhook that never arrive, and an idle connection.
        connection(&server, stream.as_bytes()),
        connection(&server, b"GET /api/me HTTP/1.1\r\nhost: loc"),
        connection(&server, webhook.as_bytes()),
        connection(&server, b""),
    ];
    let filler = "x".repeat(100_000);
    for i in 0..40 {
        let body = format!(r#"{{"event":"x","room":{{"name":"a"}},"id":"EV_{i}","m":"{filler}"}}"#);
        assert_eq!(server.webhook(&body).await, 200);
    }
    let began = Instant::now();
    server.signal("TERM");
    // Webhooks are accepted until the end, and each answered one is stored.
    let mut taken = 0;
    while began.elapsed() < Duration::from_secs(9) {
        assert_eq!(server.webhook(&event(&format!("EV_late{taken}"), "a")).await, 200);
        taken += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(server.ended(), Some(0), "{}", server.log());
    let took = began.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
    let server = server.again().start();
    let (_, page) = server.get("/api/events?limit=1").await;
    assert_eq!(page["events"][0]["data"]["id"], format!("EV_late{}", taken - 1));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for name in ["TERM", "INT"] {
        let mut server = Start::new().env("ROOMWATCH_DRAIN_SECS", "10").start();
        let mut stream = server.stream("").await;
        let _ = stream.connected().await;
        server.signal(name);
        until("it is stopping", || server.log().contains("a second signal ends at once"));
        let began = Instant::now();
        server.signal(name);
        assert_ne!(server.ended(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}

/// Proxies keep idle connections.
#[tokio::test]
async fn an_idle_connection_is_closed_at_shutdown() {
    let mut server = Start::new().env("ROOMWATCH_DRAIN_SECS", "0").start();
    let mut kept = connection(&server, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    kept.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    assert!(kept.read(&mut [0; 4096]).expect("an answer") > 0);
    server.signal("TERM");
    assert_eq!(server.ended(), Some(0), "{}", server.log());
    until("it has logged its end", || server.log().contains("stopped"));
    assert!(!server.log().contains("did not end in time"), "{}", server.log());
}
