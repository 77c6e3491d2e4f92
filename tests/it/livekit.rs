//! Reconciliation and commands against a real livekit-server, if one is installed.

use std::{
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use roomwatch::token::Grant;

use crate::harness::{KEY, SECRET, Server, Sse, Start, client, now, token, until, until_async};

/// `LIVEKIT_SERVER_BIN`, else the PATH, else the folder of `go install`.
fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("LIVEKIT_SERVER_BIN") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> =
        std::env::split_paths(&path).map(|dir| dir.join("livekit-server")).collect();
    if let Ok(go) = Command::new("go").args(["env", "GOPATH"]).output() {
        let bin = PathBuf::from(String::from_utf8_lossy(&go.stdout).trim()).join("bin");
        places.extend([bin.join("livekit-server"), bin.join("server")]);
    }
    let found = places.into_iter().find(|place| place.exists());
    if found.is_none() {
        eprintln!("skipped: no livekit-server here; e2e/install-livekit installs one");
    }
    found
}

/// A real livekit-server without Redis: a restart forgets every room.
struct LiveKit {
    binary: PathBuf,
    address: SocketAddr,
    config: String,
    child: Option<Child>,
}

impl LiveKit {
    /// Starts it, with webhooks to this address or without webhooks.
    fn start(webhooks: Option<SocketAddr>) -> Option<LiveKit> {
        let binary = binary()?;
        let free = |socket: std::io::Result<SocketAddr>| socket.expect("a port").port();
        let port = free(TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()));
        let tcp = free(TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()));
        let udp = free(UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()));
        let mut config = format!(
            "port: {port}\nbind_addresses: [\"127.0.0.1\"]\nkeys:\n  {KEY}: {SECRET}\n\
             rtc:\n  tcp_port: {tcp}\n  udp_port: {udp}\n  use_external_ip: false\n  node_ip: 127.0.0.1\n"
        );
        if let Some(address) = webhooks {
            config +=
                &format!("webhook:\n  api_key: {KEY}\n  urls: [\"http://{address}/api/webhooks/livekit\"]\n");
        }
        let address = ([127, 0, 0, 1], port).into();
        let mut livekit = LiveKit { binary, address, config, child: None };
        livekit.up();
        Some(livekit)
    }

    fn up(&mut self) {
        let mut command = Command::new(&self.binary);
        command
            .env("LIVEKIT_CONFIG", &self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().expect("livekit-server starts"));
        until("livekit-server listens", || TcpStream::connect(self.address).is_ok());
    }

    /// `kill -9`.
    fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

impl Drop for LiveKit {
    fn drop(&mut self) {
        self.down();
    }
}

fn roomwatch(url: &str) -> Server {
    Start::new().env("LIVEKIT_URL", url).env("ROOMWATCH_DEV", "true").start()
}

async fn send(server: &Server, method: &str, path: &str, body: Value) -> (u16, Value) {
    let mut request = client().request(method.parse().expect("a method"), server.url(path));
    if !body.is_null() {
        request = request.json(&body);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
}

async fn state(server: &Server) -> Value {
    server.get("/api/projects").await.1["projects"][0]["state"].clone()
}

/// Type and source of the next message about this room.
async fn next_of(stream: &mut Sse, room: &str) -> (String, String) {
    loop {
        let event = stream.next().await.data;
        if event["room"] == room {
            let word = |name: &str| event[name].as_str().unwrap_or("").to_owned();
            return (word("type"), word("source"));
        }
    }
}

#[tokio::test]
async fn commands_work_and_their_effects_arrive_without_webhooks() {
    let Some(livekit) = LiveKit::start(None) else { return };
    let server = roomwatch(&livekit.url());
    let mut stream = server.stream("").await;
    stream.connected().await;
    let long = "é".repeat(128);
    for name in ["standup", "a/b", "a?b", "%2f", "🎉 party", &long] {
        let path = format!("/api/rooms/{}", form(name));
        let (status, answer) =
            send(&server, "POST", "/api/rooms", json!({"name": name, "metadata": "one"})).await;
        assert_eq!(
            (status, &answer["name"], &answer["metadata"]),
            (201, &json!(name), &json!("one")),
            "{answer}"
        );
        assert!(answer["sid"].as_str().is_some_and(|sid| sid.starts_with("RM_")));
        assert_eq!(next_of(&mut stream, name).await, ("room_started".into(), "reconcile".into()));
        let (status, answer) = send(&server, "PATCH", &path, json!({"metadata": "two"})).await;
        assert_eq!((status, &answer["metadata"]), (200, &json!("two")), "{answer}");
        assert_eq!(next_of(&mut stream, name).await, ("room_updated".into(), "reconcile".into()));
        assert_eq!(send(&server, "POST", &format!("{path}/data"), json!({"text": "hallo"})).await.0, 204);
        assert_eq!(send(&server, "DELETE", &path, Value::Null).await.0, 204);
        // The room has just ended.
        for (method, rest, body, code) in [
            ("DELETE", "", Value::Null, "room_not_live"),
            ("PATCH", "", json!({"metadata": "x"}), "room_not_live"),
            ("DELETE", "/participants/alice", Value::Null, "participant_not_found"),
            ("PATCH", "/participants/alice", json!({"name": "x"}), "participant_not_found"),
        ] {
            let (status, answer) = send(&server, method, &format!("{path}{rest}"), body).await;
            assert_eq!((status, &answer["error"]["code"]), (404, &json!(code)), "{method} {rest}: {answer}");
        }
        assert_eq!(next_of(&mut stream, name).await, ("room_finished".into(), "reconcile".into()));
    }
    // LiveKit waits for a node before it answers these two, so only one room is tried.
    for (rest, body, code) in [
        ("/data", json!({"text": "x"}), "room_not_live"),
        ("/participants/alice/tracks/TR_1/mute", json!({"muted": true}), "participant_not_found"),
    ] {
        let (status, answer) = send(&server, "POST", &format!("/api/rooms/standup{rest}"), body).await;
        assert_eq!((status, &answer["error"]["code"]), (404, &json!(code)), "{rest}: {answer}");
    }
    // Longer than LiveKit allows.
    let (status, answer) = send(&server, "POST", "/api/rooms", json!({"name": "x".repeat(500)})).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("livekit_refused")), "{answer}");
    let health = server.get("/api/projects").await.1["projects"][0].clone();
    assert_eq!((&health["egress"], &health["ingress"]), (&json!("unavailable"), &json!("unavailable")));
}

#[tokio::test]
async fn webhooks_come_before_reconciliation() {
    // LiveKit needs the port at its start: the first server reserves it for the second.
    let mut first = Server::start();
    let Some(livekit) = LiveKit::start(Some(first.address)) else { return };
    first.kill();
    let server = first.again().env("LIVEKIT_URL", &livekit.url()).env("ROOMWATCH_DEV", "true").start();
    let mut stream = server.stream("?room=standup").await;
    stream.connected().await;
    assert_eq!(send(&server, "POST", "/api/rooms", json!({"name": "standup"})).await.0, 201);
    assert_eq!(next_of(&mut stream, "standup").await, ("room_started".into(), "webhook".into()));
    assert_eq!(send(&server, "PATCH", "/api/rooms/standup", json!({"metadata": "two"})).await.0, 200);
    assert_eq!(next_of(&mut stream, "standup").await, ("room_updated".into(), "reconcile".into()));
    assert_eq!(send(&server, "DELETE", "/api/rooms/standup", Value::Null).await.0, 204);
    assert_eq!(next_of(&mut stream, "standup").await, ("room_finished".into(), "webhook".into()));
}

#[tokio::test]
async fn a_room_that_livekit_starts_again_under_its_sid_is_live() {
    let mut first = Server::start();
    let Some(livekit) = LiveKit::start(Some(first.address)) else { return };
    first.kill();
    let server = first.again().env("LIVEKIT_URL", &livekit.url()).env("ROOMWATCH_DEV", "true").start();
    let bearer = token("api", Grant { room_create: true, ..Grant::default() });
    let calls = client();
    let call = |method: &str, request: Value| {
        let url = format!("http://{}/twirp/livekit.RoomService/{method}", livekit.address);
        let post = calls.post(url).bearer_auth(&bearer).json(&request);
        // LiveKit refuses to delete what is not there.
        async move { drop(post.send().await.expect("an answer")) }
    };
    let began = Instant::now();
    let mut seen = 0;
    // CreateRoom meets DeleteRoom, until it has happened.
    while seen == 0 && began.elapsed() < Duration::from_secs(15) {
        for _ in 0..20 {
            call("CreateRoom", json!({"name": "standup"})).await;
            let (delete, create) = (call("DeleteRoom", json!({"room": "standup"})), async {
                for _ in 0..6 {
                    call("CreateRoom", json!({"name": "standup"})).await;
                }
            });
            tokio::join!(delete, create);
            call("DeleteRoom", json!({"room": "standup"})).await;
        }
        let (_, page) = server.get("/api/events?room=standup&after=start&limit=1000&type=room_*").await;
        seen = page["events"].as_array().map_or(0, |events| starts_after_an_end(events).len());
    }
    // A `type` filter leaves the changes out.
    let mut path = "/api/events?room=standup&after=start&limit=1000".to_owned();
    let mut events = Vec::new();
    loop {
        let (_, page) = server.get(&path).await;
        events.extend(page["events"].as_array().expect("events").clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/events?room=standup&after={next}&limit=1000");
    }
    let starts = starts_after_an_end(&events);
    eprintln!("{} second lives in {} events", starts.len(), events.len());
    for start in starts {
        assert_eq!(start["changes"][0]["op"], "set", "{start}");
    }
}

/// Returns each `room_started` of a sid whose end is before it.
fn starts_after_an_end(events: &[Value]) -> Vec<&Value> {
    let mut ended = std::collections::HashSet::new();
    let mut starts = Vec::new();
    for event in events {
        let sid = event["data"]["room"]["sid"].as_str().unwrap_or("");
        match event["type"].as_str() {
            Some("room_finished") => drop(ended.insert(sid)),
            Some("room_started") if ended.remove(sid) => starts.push(event),
            _ => {}
        }
    }
    starts
}

#[tokio::test]
async fn an_outage_and_its_end_are_noticed() {
    let Some(mut livekit) = LiveKit::start(None) else { return };
    let server = roomwatch(&livekit.url());
    let mut stream = server.stream("").await;
    stream.connected().await;
    // A LiveKit that has just started answers 503 until its node is registered.
    let create = async || send(&server, "POST", "/api/rooms", json!({"name": "standup"})).await.0;
    until_async("LiveKit to create rooms", async || create().await == 201).await;
    assert_eq!(next_of(&mut stream, "standup").await.0, "room_started");
    livekit.down();
    until_async("the outage shows", async || state(&server).await == "unreachable").await;
    let (status, answer) = send(&server, "DELETE", "/api/rooms/standup", Value::Null).await;
    assert_eq!((status, &answer["error"]["code"]), (502, &json!("livekit_unreachable")));
    livekit.up();
    let back = Instant::now();
    assert_eq!(next_of(&mut stream, "standup").await, ("room_finished".into(), "reconcile".into()));
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
}

/// The dispatch names an agent for which no worker is registered.
#[tokio::test]
async fn a_real_dispatch_without_a_worker_is_a_missing_agent() {
    let Some(livekit) = LiveKit::start(None) else { return };
    // Without comparison: no real participant is in these rooms.
    let server = Start::new()
        .env("LIVEKIT_URL", &livekit.url())
        .env("ROOMWATCH_DEV", "true")
        .env("ROOMWATCH_OPEN_CONDITIONS", "")
        .env("ROOMWATCH_RECONCILE_SECS", "0")
        .on_disk()
        .file("[attention]\nagent_missing_secs = 1\n")
        .start();
    let create = async || send(&server, "POST", "/api/rooms", json!({"name": "plain"})).await;
    until_async("LiveKit to create rooms", async || create().await.0 == 201).await;
    let plain = create().await.1["sid"].as_str().expect("a sid").to_owned();
    let bearer = token("api", Grant { room_admin: true, room: "desk".into(), ..Grant::default() });
    let url = format!("http://{}/twirp/livekit.AgentDispatchService/CreateDispatch", livekit.address);
    let request = json!({"room": "desk", "agent_name": "support"});
    let answer = client().post(url).bearer_auth(&bearer).json(&request).send().await.expect("an answer");
    let dispatch: Value = answer.json().await.expect("JSON");
    assert_eq!(dispatch["agent_name"], "support", "{dispatch}");
    let desk = send(&server, "POST", "/api/rooms", json!({"name": "desk"})).await.1;
    for (n, (name, sid)) in
        [("plain", &*plain), ("desk", desk["sid"].as_str().expect("a sid"))].iter().enumerate()
    {
        let joined = json!({
            "event": "participant_joined", "id": format!("EV_{n}"), "createdAt": now().to_string(),
            "room": {"sid": sid, "name": name}, "participant": {"sid": format!("PA_{n}"), "identity": "ann",
                "state": "ACTIVE", "joinedAt": (now() - 5).to_string()},
        });
        assert_eq!(server.webhook(&joined.to_string()).await, 200);
    }
    let open = async || server.get("/api/attention").await.1["conditions"].clone();
    until_async("the agent to be missed", async || open().await != json!([])).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let open = open().await;
    // LiveKit gives `plain` a dispatch too, one without a name.
    assert_eq!(open.as_array().map(Vec::len), Some(1), "{open}");
    assert_eq!((&open[0]["kind"], &open[0]["room"]), (&json!("agent_missing"), &json!("desk")));
    assert_eq!(open[0]["values"], json!({"agent": "support", "dispatch": dispatch["id"]}));
}

#[tokio::test]
async fn a_key_that_livekit_does_not_know() {
    let Some(livekit) = LiveKit::start(None) else { return };
    let server = roomwatch(&livekit.url());
    until_async("it is well", async || state(&server).await == "ok").await;
    let wrong = Start::new()
        .env("LIVEKIT_API_KEY", "APIsomebodyelse")
        .env("LIVEKIT_URL", &livekit.url())
        .env("ROOMWATCH_DEV", "true")
        .start();
    let project = async || wrong.get_as("", "/api/projects").await.1["projects"][0].clone();
    until_async("the refusal shows", async || project().await["state"] == "unauthorized").await;
    let error = project().await["error"].to_string();
    assert!(error.contains("APIsomebodyelse") && !error.contains(SECRET), "{error}");
    let (status, answer) = send(&wrong, "POST", "/api/rooms", json!({"name": "x"})).await;
    assert_eq!((status, &answer["error"]["code"]), (502, &json!("livekit_unauthorized")), "{answer}");
}

/// Percent-encodes a name for a path.
fn form(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
