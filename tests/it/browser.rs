//! Browsers: origins, hosts, security headers and path prefixes.

use serde_json::json;

use crate::harness::{
    operators::{PASSWORD, get, login, post, users},
    *,
};

const OWN: &str = "https://rooms.example";
const APP: &str = "https://app.example";

fn server() -> Server {
    Start::new()
        .file(&format!("public_url = \"{OWN}\"\ncors_origins = [\"{APP}\"]\n{}", users()))
        .env("LIVEKIT_URL", "wss://livekit.example/path")
        .start()
}

#[tokio::test]
async fn a_foreign_page_changes_nothing() {
    let server = server();
    let body = json!({ "user": "ada", "password": PASSWORD });
    for (origin, expected) in [
        (None, 200),
        (Some(OWN), 200),
        (Some(APP), 200),
        (Some("https://evil.example"), 403),
        (Some("https://rooms.example.evil.example"), 403),
        (Some("http://rooms.example"), 403),
        (Some("https://rooms.example:8443"), 403),
        (Some("null"), 403),
        (Some(""), 403),
    ] {
        let headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
        let (status, _, answer) = post(&server, "/api/login", &headers, body.clone()).await;
        assert_eq!(status, expected, "{origin:?}");
        if expected == 403 {
            assert_eq!(answer["error"]["code"], "foreign_origin");
        }
    }
    // Also with the cookie, although a browser would not send it.
    let request = client().post(server.url("/api/login")).json(&body);
    let answer = request.send().await.expect("an answer");
    let set = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(
        set.starts_with("__Host-roomwatch=") && set.contains("; Secure") && set.contains("SameSite=Strict")
    );
    let cookie = set.split(';').next().expect("a pair").to_owned();
    let evil = [("origin", "https://evil.example"), ("cookie", cookie.as_str())];
    for (method, path) in [("POST", "/api/logout"), ("DELETE", "/api/rooms/a"), ("PATCH", "/api/rooms/a")] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = client().request(method, server.url(path));
        for (name, value) in evil {
            request = request.header(name, value);
        }
        assert_eq!(request.send().await.expect("an answer").status(), 403, "{path}");
    }
    // A WebSocket is a GET, and browsers send the cookie with it.
    let upgrade = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: rooms.example\r\nupgrade: websocket\r\n\
         connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         origin: https://evil.example\r\ncookie: {cookie}\r\n\r\n"
    );
    assert!(raw(server.address, upgrade.as_bytes()).starts_with("HTTP/1.1 403"));
    assert_eq!(get(&server, "/api/me", &[("cookie", &cookie)]).await.0, 200, "the sign-in is still valid");
}

#[tokio::test]
async fn only_configured_origins_may_read() {
    let server = server();
    for (origin, allowed) in [(OWN, false), (APP, true), ("https://evil.example", false), ("null", false)] {
        let (status, headers, _) = get(&server, "/api/me", &[("origin", origin)]).await;
        assert_eq!(status, 401);
        assert!(headers.get_all("vary").iter().any(|vary| vary == "Origin"), "{headers:?}");
        let echoed = headers.get("access-control-allow-origin").map(|v| v.to_str().expect("text"));
        assert_eq!(echoed, allowed.then_some(origin));
        assert_eq!(headers.contains_key("access-control-allow-credentials"), allowed);
        let request = client()
            .request(reqwest::Method::OPTIONS, server.url("/api/rooms/a"))
            .header("origin", origin)
            .header("access-control-request-method", "DELETE");
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.headers().contains_key("access-control-allow-methods"), allowed, "{origin}");
        assert_eq!(answer.headers().contains_key("access-control-allow-origin"), allowed);
    }
    // The page can read a refusal too, so that it can show the reason.
    let headers = [("origin", APP), ("authorization", "Bearer junk")];
    let (status, headers, _) = get(&server, "/api/events", &headers).await;
    assert_eq!((status, &headers["access-control-allow-origin"]), (401, &APP.parse().expect("a value")));
    // Without configured origins there are no CORS headers.
    let plain = Server::start();
    let (_, headers, _) = get(&plain, "/api/me", &[("origin", APP)]).await;
    assert!(!headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn every_answer_is_safe_to_show() {
    let server = server();
    for path in [
        "/",
        "/index.html",
        "/rooms/a",
        "/assets/none.js",
        "/api/me",
        "/api/none",
        "/api/events",
        "/metrics",
        "/healthz",
    ] {
        let (_, headers, _) = get(&server, path, &[]).await;
        let header = |name: &str| headers[name].to_str().expect("text").to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("x-frame-options"), "DENY");
        let policy = header("content-security-policy");
        let scripts = policy.split("; ").find(|rule| rule.starts_with("script-src")).expect("a rule");
        assert_eq!(scripts, "script-src 'self'");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'self'"));
        // A watcher's browser connects to LiveKit.
        assert!(policy.contains("wss://livekit.example"), "{policy}");
    }
    let refused = post(&server, "/api/login", &[("origin", "https://evil.example")], json!({})).await;
    assert_eq!(refused.0, 403);
    assert!(refused.1.contains_key("content-security-policy"));
}

#[tokio::test]
async fn a_path_prefix_works_stripped_or_not() {
    let server = Start::new().file(&users()).env("ROOMWATCH_PUBLIC_URL", "https://h.example/watch/").start();
    let request = client()
        .post(server.url("/watch/api/login"))
        .header("origin", "https://h.example")
        .json(&json!({ "user": "ada", "password": PASSWORD }));
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let set = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(set.starts_with("__Secure-roomwatch=") && set.contains("; Path=/watch/;"), "{set}");
    let cookie = set.split(';').next().expect("a pair");
    for path in ["/watch/api/me", "/api/me"] {
        assert_eq!(get(&server, path, &[("cookie", cookie)]).await.0, 200, "{path}");
    }
    assert_eq!(get(&server, "/watching/api/me", &[("cookie", cookie)]).await.2, serde_json::Value::Null);
    let page = client().get(server.url("/watch/rooms/a")).send().await.expect("an answer");
    assert_eq!(page.status(), 200);
    // Webhooks arrive both ways.
    let body = event("EV_1", "a");
    let request = client().post(server.url("/watch/api/webhooks/livekit")).body(body.clone());
    let answer =
        request.header("authorization", webhook_token(body.as_bytes())).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    // The prefix is a whole segment of the path, and not the beginning of one.
    let server = Start::new().file(&users()).env("ROOMWATCH_PUBLIC_URL", "https://h.example/a").start();
    for path in ["/api/me", "/a/api/me"] {
        assert_eq!(get(&server, path, &[]).await.0, 401, "{path}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_the_scheme_and_address_of_the_browser() {
    let server = Start::new().file(&users()).env("ROOMWATCH_TRUSTED_PROXIES", "127.0.0.1/32").start();
    let headers = [
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "rooms.example"),
        ("origin", "https://rooms.example"),
    ];
    let body = json!({ "user": "ada", "password": PASSWORD });
    let (status, answer, _) = post(&server, "/api/login", &headers, body.clone()).await;
    assert_eq!(status, 200);
    assert!(answer["set-cookie"].to_str().expect("text").contains("; Secure"));
    // The same headers from an untrusted client.
    let server = Start::new().file(&users()).start();
    assert_eq!(post(&server, "/api/login", &headers, body).await.0, 403);
    let _ = login(&server, "ada").await;
}
