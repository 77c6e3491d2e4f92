//! Shared by the benchmarks: servers as processes, their cost as the kernel counts it, and a floor that is measured in the
//! same run.
//!
//! Machines are noisy, so no figure is a pass or a failure: each is shown with the floor's figure and the ratio of the two, as
//! medians of alternating runs.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use roomwatch::token::{Claims, Grant, Secret, sign};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub const KEY: &str = "devkey";
pub const SECRET: &str = "secret";
/// The variable that makes a re-executed benchmark a floor.
pub const FLOOR: &str = "BENCH_FLOOR";

/// A server in a separate process.
pub struct Server {
    pub address: SocketAddr,
    child: Child,
}

impl Server {
    /// The program that is measured, with its data in `dir` and no limits on streams.
    pub fn roomwatch(dir: &std::path::Path) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roomwatch"));
        command
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--reconcile-secs", "0", "--data-dir"])
            .arg(dir);
        for limit in ["max-streams", "max-streams-per-user", "max-streams-per-address"] {
            command.args([&format!("--{limit}"), "0"]);
        }
        Server::start(command)
    }

    /// This benchmark again, as the floor.
    pub fn floor(name: &str, dir: &std::path::Path) -> Server {
        let mut command = Command::new(std::env::current_exe().expect("the benchmark itself"));
        command.env(FLOOR, name).current_dir(dir);
        Server::start(command)
    }

    fn start(mut command: Command) -> Server {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let address = loop {
            let line = lines.next().expect("it listens").expect("text");
            if let Some((_, rest)) = line.split_once("listening on http://") {
                break rest.split([' ', '"']).next().unwrap_or("").parse().expect("an address");
            }
        };
        // Keep reading, or the server blocks when the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        Server { address, child }
    }

    /// CPU seconds so far, of all threads, user and system.
    pub fn cpu_secs(&self) -> f64 {
        cpu_secs(format!("/proc/{}/stat", self.child.id())).1
    }

    /// CPU seconds so far of the threads with these names.
    pub fn cpu_secs_of(&self, threads: &[&str]) -> f64 {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .expect("Linux")
            .map(|task| cpu_secs(task.expect("a thread").path().join("stat")))
            .filter(|(name, _)| threads.contains(&&**name))
            .map(|(_, secs)| secs)
            .sum()
    }

    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a size");
        line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") << 10
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stop(mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The name in a `stat` file of the kernel, and CPU seconds, user and system.
fn cpu_secs(stat: impl AsRef<std::path::Path>) -> (String, f64) {
    let stat = std::fs::read_to_string(stat).expect("Linux");
    let (name, rest) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().expect("utime") + fields[12].parse::<f64>().expect("stime");
    // USER_HZ is 100 on every Linux that Rust runs on.
    (name.split_once('(').expect("a name").1.to_owned(), ticks / 100.0)
}

/// A join as bytes on the wire, signed, of about 850 bytes of body.
pub fn webhook(id: &str, room: &str) -> Vec<u8> {
    let now = roomwatch::clock::unix_ms() / 1000;
    let metadata = "m".repeat(360);
    signed(&format!(
        "{{\"event\":\"participant_joined\",\"room\":{{\"sid\":\"RM_{room}\",\"name\":\"{room}\",\"emptyTimeout\":300,\"creationTime\":\"{now}\",\
         \"turnPassword\":\"REDACT-ME\",\"enabledCodecs\":[{{\"mime\":\"audio/opus\"}},{{\"mime\":\"video/VP8\"}}],\"metadata\":\"{metadata}\"}},\
         \"participant\":{{\"sid\":\"PA_{id}\",\"identity\":\"user-{id}\",\"state\":\"ACTIVE\",\"joinedAt\":\"{now}\",\"name\":\"User {id}\",\"version\":2,\
         \"permission\":{{\"canSubscribe\":true,\"canPublish\":true,\"canPublishData\":true}}}},\"id\":\"EV_{id}\",\"createdAt\":\"{now}\"}}"
    ))
}

/// LiveKit's events about one participant, in order: join, publish a camera and a microphone, unpublish them, leave.
const OF_ONE: [&str; 6] = [
    include_str!("../../fixtures/webhooks/participant_joined.json"),
    include_str!("../../fixtures/webhooks/track_published.json"),
    include_str!("../../fixtures/webhooks/track_published.microphone.json"),
    include_str!("../../fixtures/webhooks/track_unpublished.json"),
    include_str!("../../fixtures/webhooks/track_unpublished.camera.json"),
    include_str!("../../fixtures/webhooks/participant_left.json"),
];
const STARTED: &str = include_str!("../../fixtures/webhooks/room_started.json");
/// Number of participants in a meeting at the same time.
const PEOPLE: usize = 8;

/// The webhooks of a meeting as bytes on the wire: bodies captured from a real server, with other ids and times. It has
/// `count` events, and is full from the first dozens to the last.
pub fn meeting(name: &str, count: usize) -> Vec<Vec<u8>> {
    let now = roomwatch::clock::unix_ms() / 1000;
    let mut number = 0;
    let mut tell = |body: &str, person: usize| {
        number += 1;
        let mut text = body.trim_end().to_owned();
        let id = text.find("EV_").expect("an id");
        text.replace_range(id..id + "EV_fixture00001".len(), &format!("EV_{name}x{number}"));
        let created = text.rfind("17954670").expect("a time");
        text.replace_range(created..created + "1795467040".len(), &now.to_string());
        let text = text
            .replace("1795467040215", &format!("{now}215"))
            .replace("1795467038990", &format!("{now}000"))
            .replace("1795467040", &now.to_string())
            .replace("1795467038", &now.to_string())
            .replace("standup", name)
            .replace("RM_hycFrzyc8LMX", &format!("RM_{name}"))
            .replace("PA_7mFqL2vXo9Ka", &format!("PA_{name}x{person}"))
            .replace("TR_VCfixture00001", &format!("TR_VC{name}x{person}"))
            .replace("TR_AMfixture00001", &format!("TR_AM{name}x{person}"))
            .replace("alice", &format!("user-{name}-{person}"));
        signed(&text)
    };
    let mut requests = vec![tell(STARTED, 0)];
    for person in 0.. {
        requests.extend(OF_ONE[..3].iter().map(|body| tell(body, person)));
        if let Some(gone) = usize::checked_sub(person, PEOPLE) {
            requests.extend(OF_ONE[3..].iter().map(|body| tell(body, gone)));
        }
        if requests.len() >= count {
            break;
        }
    }
    requests.truncate(count);
    requests
}

/// A webhook's request as LiveKit sends it.
fn signed(body: &str) -> Vec<u8> {
    let now = roomwatch::clock::unix_ms() / 1000;
    let claims = Claims {
        iss: KEY.into(),
        exp: now as i64 + 300,
        nbf: Some(now as i64),
        sha256: Some(STANDARD.encode(Sha256::digest(body))),
        ..Claims::default()
    };
    let token = sign(&claims, &Secret::new(SECRET));
    format!(
        "POST /api/webhooks/livekit HTTP/1.1\r\nhost: localhost\r\nuser-agent: Go-http-client/1.1\r\n\
         content-length: {}\r\nauthorization: {token}\r\ncontent-type: application/webhook+json\r\n\
         accept-encoding: gzip\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One connection that sends webhooks and waits for each answer.
pub struct Poster {
    socket: TcpStream,
    answer: Vec<u8>,
}

impl Poster {
    pub async fn connect(address: SocketAddr) -> Poster {
        let socket = TcpStream::connect(address).await.expect("a connection");
        socket.set_nodelay(true).expect("an option");
        Poster { socket, answer: vec![0; 4096] }
    }

    pub async fn post(&mut self, request: &[u8]) {
        self.socket.write_all(request).await.expect("written");
        let mut have = 0;
        loop {
            let read = self.socket.read(&mut self.answer[have..]).await.expect("an answer");
            assert!(read > 0, "the server hung up");
            have += read;
            let answer = &self.answer[..have];
            let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&answer[..head]).expect("text");
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            let length = text
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if have >= head + 4 + length.unwrap_or(0) {
                return;
            }
        }
    }
}

/// The request that opens a stream.
pub fn stream_request(query: &str) -> Vec<u8> {
    let now = roomwatch::clock::unix_ms() / 1000;
    let claims = Claims {
        iss: KEY.into(),
        sub: "bench".into(),
        exp: now as i64 + 3600,
        video: Some(Grant { room_list: true, ..Grant::default() }),
        ..Claims::default()
    };
    let token = sign(&claims, &Secret::new(SECRET));
    format!(
        "GET /api/events{query} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\nauthorization: Bearer {token}\r\n\r\n"
    )
    .into_bytes()
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The share of the values that is at most the answer: 0.99 for the 99th percentile.
pub fn percentile(values: &mut [Duration], share: f64) -> Duration {
    values.sort();
    let index = (values.len() as f64 * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A number from the environment, for shorter or longer runs.
pub fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
