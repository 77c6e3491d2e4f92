//! Options at the boundary: the environment, the command line, the file.

use crate::harness::*;

/// The variables of the Services `roomwatch` and `roomwatch-metrics`, as kubelet writes them
/// (pkg/kubelet/envvars/envvars.go).
const SERVICE_LINKS: &[(&str, &str)] = &[
    ("ROOMWATCH_SERVICE_HOST", "10.96.7.1"),
    ("ROOMWATCH_SERVICE_PORT", "3001"),
    ("ROOMWATCH_SERVICE_PORT_HTTP", "3001"),
    ("ROOMWATCH_SERVICE_PORT_WEB_HOOKS", "3001"),
    ("ROOMWATCH_PORT", "tcp://10.96.7.1:3001"),
    ("ROOMWATCH_PORT_3001_TCP", "tcp://10.96.7.1:3001"),
    ("ROOMWATCH_PORT_3001_TCP_PROTO", "tcp"),
    ("ROOMWATCH_PORT_3001_TCP_PORT", "3001"),
    ("ROOMWATCH_PORT_3001_TCP_ADDR", "10.96.7.1"),
    ("ROOMWATCH_PORT_53_UDP_ADDR", "10.96.7.1"),
    ("ROOMWATCH_METRICS_SERVICE_HOST", "fd00::7"),
    ("ROOMWATCH_METRICS_SERVICE_PORT", "9090"),
    ("ROOMWATCH_METRICS_PORT", "sctp://[fd00::7]:9090"),
    ("ROOMWATCH_METRICS_PORT_9090_SCTP", "sctp://[fd00::7]:9090"),
    ("ROOMWATCH_METRICS_PORT_9090_SCTP_ADDR", "fd00::7"),
];

#[test]
fn the_variables_of_a_kubernetes_service_named_roomwatch_do_not_stop_the_server() {
    let start = SERVICE_LINKS.iter().fold(Start::new(), |start, (name, value)| start.env(name, value));
    drop(start.start());
}

#[test]
fn a_misspelt_variable_is_an_error_that_names_it() {
    for (name, value) in [
        ("ROOMWATCH_LISTNE", "127.0.0.1:1"),
        ("ROOMWATCH_PORT", "3001"),
        ("ROOMWATCH_HOST", "10.96.7.1"),
        ("ROOMWATCH_PORT_3001", "3001"),
        ("ROOMWATCH_PORT_HTTP_TCP", "tcp://10.96.7.1:3001"),
        ("ROOMWATCH_PORT_3001_TCP_HOST", "10.96.7.1"),
        ("ROOMWATCH_SERVICE", "roomwatch"),
    ] {
        let log = Start::new().env(name, value).fails();
        assert!(log.contains(&format!("the environment has {name}, which is not an option")), "{log}");
    }
}

/// The directive `connect-src` of the dashboard.
async fn connect_src(server: &Server) -> String {
    let answer = client().get(server.url("/")).send().await.expect("an answer");
    let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
    let of = |one: &str| one.trim().strip_prefix("connect-src 'self' ").map(str::to_owned);
    policy.split(';').find_map(of).expect("the directive")
}

#[tokio::test]
async fn the_url_of_livekit_may_have_an_ipv6_address() {
    for (url, expected) in [
        ("ws://127.0.0.1:7880", "http://127.0.0.1:7880 ws://127.0.0.1:7880"),
        ("WSS://lk.example/x/", "https://lk.example wss://lk.example"),
        ("ws://user:word@lk.example:1", "http://lk.example:1 ws://lk.example:1"),
        // A policy has no form for these.
        ("http://[::1]:7880", "http: ws:"),
        ("wss://user:word@[2001:db8::7]", "https: wss:"),
    ] {
        let server = Start::new().env("LIVEKIT_URL", url).env("ROOMWATCH_RECONCILE_SECS", "0").start();
        assert_eq!(connect_src(&server).await, expected, "{url}");
    }
    let livekit = std::net::TcpListener::bind("[::1]:0").expect("a port");
    let url = format!("ws://{}", livekit.local_addr().expect("an address"));
    let _server = Start::new().env("LIVEKIT_URL", &url).start();
    let (_, peer) = livekit.accept().expect("Roomwatch asks LiveKit");
    assert_eq!(peer.ip().to_string(), "::1");
    for url in ["", "lk.example", "ftp://lk.example", "ws://", "ws://[::1", "ws://[::1]:x", "wss:lk.example"]
    {
        // An empty variable would be removed.
        let log = Start::new().arg(&format!("--livekit-url={url}")).fails();
        assert!(log.contains("must begin with http, https, ws or wss and name a host"), "{url}: {log}");
    }
}

#[tokio::test]
async fn the_server_listens_on_addresses_of_both_families() {
    for listen in ["127.0.0.1:0", "[::1]:0", "[::]:0", "0.0.0.0:0", "[::ffff:127.0.0.1]:0"] {
        for dev in [false, true] {
            let start = Start::new().arg("--listen").arg(listen);
            if dev && matches!(listen, "[::]:0" | "0.0.0.0:0") {
                assert!(start.arg("--dev").fails().contains("loopback"), "{listen}");
            } else {
                let server = if dev { start.arg("--dev").start() } else { start.start() };
                assert_eq!(server.get("/api/me").await.0, 200, "{listen}, dev: {dev}");
            }
        }
    }
}

#[test]
fn trusted_proxies_are_addresses_or_networks() {
    let written = "127.0.0.1,::1,[2001:db8::1],10.0.0.0/8,fd00::/8,::ffff:172.16.0.0/108";
    drop(Start::new().env("ROOMWATCH_TRUSTED_PROXIES", written).start());
    let file = format!("trusted_proxies = [\"{}\"]\n", written.replace(',', "\", \""));
    drop(Start::new().file(&file).start());
    for wrong in ["localhost", "10.0.0.0/33", "::1/129", "10.0.0", "fe80::1%eth0", "10.0.0.0-10.0.0.9"] {
        let log = Start::new().env("ROOMWATCH_TRUSTED_PROXIES", wrong).fails();
        assert!(log.contains("must be an address or a network") && log.contains(wrong), "{log}");
    }
}

#[tokio::test]
async fn origins_of_app_shells_and_ipv6_addresses_may_read() {
    let pairs = [
        ("https://app.example.com:443/", "https://app.example.com"),
        ("http://[::1]:5173", "http://[::1]:5173"),
        ("https://[2001:DB8:0:0::1]", "https://[2001:db8::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("ionic://localhost", "ionic://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("http://tauri.localhost", "http://tauri.localhost"),
        ("app://-", "app://-"),
        (
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        ),
        (
            "moz-extension://0F0B5F23-7D6E-4f0e-8a5a-111111111111",
            "moz-extension://0f0b5f23-7d6e-4f0e-8a5a-111111111111",
        ),
    ];
    let written = pairs.map(|(written, _)| written).join(",");
    let server = Start::new().env("ROOMWATCH_CORS_ORIGINS", &written).start();
    let allowed = async |origin: &str| {
        let request =
            client().get(server.url("/api/rooms")).bearer_auth(list_token()).header("origin", origin);
        let answer = request.send().await.expect("an answer");
        answer
            .headers()
            .get("access-control-allow-origin")
            .map(|value| value.to_str().expect("text").to_owned())
    };
    for (written, sent) in pairs {
        assert_eq!(allowed(sent).await.as_deref(), Some(sent), "{written}");
    }
    for foreign in
        ["null", "tauri://evil", "http://[::2]:5173", "https://app.example.com:444", "ionic://", "file://"]
    {
        assert_eq!(allowed(foreign).await, None, "{foreign}");
    }
    for wrong in [
        "*",
        "null",
        "file://",
        "file:///x",
        "capacitor://",
        "capacitor://*",
        "tauri://localhost/x",
        "app",
        "https://u:p@h",
    ] {
        let log = Start::new().env("ROOMWATCH_CORS_ORIGINS", wrong).fails();
        assert!(log.contains("the CORS origin"), "{wrong}: {log}");
    }
}

#[tokio::test]
async fn the_public_url_may_have_an_ipv6_address() {
    let server = Start::new().env("ROOMWATCH_PUBLIC_URL", "https://[2001:DB8:0:0::1]:443/rooms/").start();
    for (origin, expected) in [("https://[2001:db8::1]", 200), ("https://[2001:db8::2]", 403)] {
        let request = client().post(server.url("/rooms/api/logout")).header("origin", origin);
        assert_eq!(request.send().await.expect("an answer").status(), expected, "{origin}");
    }
    for wrong in ["[::1]", "https://[::1", "https://user:word@rooms.example", "capacitor://localhost"] {
        assert!(
            Start::new().env("ROOMWATCH_PUBLIC_URL", wrong).fails().contains("the public URL"),
            "{wrong}"
        );
    }
}
