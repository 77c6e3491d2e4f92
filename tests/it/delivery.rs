//! Outages of the disk and of the process, with LiveKit's HTTP client as the sender: which events it gives up.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use futures_util::future::join_all;
use rusqlite::ffi;
use serde_json::{Value, json};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until},
};

use crate::harness::{
    disk::{Disk, Fault, On},
    faulty::Inside,
    *,
};

/// Events of a room in a second, and rooms. Each room has its own queue in LiveKit.
const RATE: u64 = 5;
const ROOMS: u64 = 2;
/// Time for which the sender goes on after the outage.
const AFTER: u64 = 2;
/// Time in which a new process listens, on a loaded machine.
const STARTING: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// The process is killed and started again.
    Away,
    /// Each write to any file fails.
    Failing,
    /// The disk of the log is full.
    Full,
    /// Each sync of the log's disk fails.
    Unsynced,
}

use Outage::{Away, Failing, Full, Unsynced};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn livekit_gives_nothing_up_in_an_outage() {
    let Some(sender) = sender() else { return };
    let cases = [
        (Away, 1),
        (Away, 6),
        (Away, 14),
        (Failing, 3),
        (Failing, 12),
        (Failing, 25),
        (Full, 7),
        (Full, 18),
        (Full, 25),
        (Unsynced, 25),
    ];
    let given_up = join_all(cases.map(|(outage, secs)| given_up(sender, outage, secs))).await;
    for ((outage, secs), given_up) in cases.iter().zip(given_up) {
        assert_eq!(given_up, 0, "{outage:?} for {secs} s");
    }
}

/// The complete table, for `make nightly`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes some minutes"]
async fn the_table_of_outages() {
    let Some(sender) = sender() else { return };
    for outage in [Away, Failing, Full, Unsynced] {
        let given_up = join_all((1..=28).map(|secs| given_up(sender, outage, secs))).await;
        println!("{outage:?}, events given up after outages of 1 to 28 s: {given_up:?}");
        let most = if outage == Away { 14 } else { 25 };
        assert_eq!(given_up[..most], vec![0; most], "{outage:?}");
    }
}

/// The program that sends as LiveKit does, built once. `None`: Go is not installed.
fn sender() -> Option<&'static Path> {
    static SENDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("livekit-sender");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/delivery");
        match Command::new("go").args(["build", "-o"]).arg(&program).current_dir(source).status() {
            Ok(status) => assert!(status.success(), "go build: {status}"),
            Err(cause) if std::env::var_os("CI").is_none() => {
                eprintln!("SKIPPED: go does not run ({cause}), so deliveries in outages were not checked");
                return None;
            }
            Err(cause) => panic!("go does not run: {cause}"),
        }
        Some(program)
    };
    SENDER.get_or_init(build).as_deref()
}

/// Runs work that blocks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("no panic")
}

/// Sends through an outage, and returns the number of events that the sender gave up. The log must have all others.
async fn given_up(sender: &Path, outage: Outage, secs: u64) -> u64 {
    let time = Duration::from_secs(secs);
    let (counts, logged) = match outage {
        Away => {
            let mut server = blocking(|| Start::new().on_disk().start()).await;
            let sending = Sending::start(sender, &server.url(WEBHOOKS), secs).await;
            let began = Instant::now();
            server.kill();
            sleep_until(began + time.saturating_sub(STARTING)).await;
            let server = blocking(move || server.again().start()).await;
            (sending.counts().await, logged(async |path| server.get(path).await.1).await)
        }
        Failing => {
            let server = blocking(|| Start::new().on_disk().survives_xfsz().start()).await;
            let sending = Sending::start(sender, &server.url(WEBHOOKS), secs).await;
            server.fail_writes(true);
            sleep(time).await;
            server.fail_writes(false);
            (sending.counts().await, logged(async |path| server.get(path).await.1).await)
        }
        Full | Unsynced => {
            let disk = Disk::new(1);
            let server = Inside::on(&disk).await;
            let sending = Sending::start(sender, &server.url(WEBHOOKS), secs).await;
            let (on, code) = match outage {
                Full => (On::Write, ffi::SQLITE_FULL),
                _ => (On::Sync, ffi::SQLITE_IOERR_FSYNC),
            };
            disk.fail(Fault { on, after: 0, times: u64::MAX, code });
            sleep(time).await;
            disk.mend();
            (sending.counts().await, logged(async |path| server.get(path).await).await)
        }
    };
    println!("{outage:?} for {secs} s: {counts}");
    let count = |name: &str| counts[name].as_u64().expect("a count");
    let given_up = count("gaveUp") + count("tooOld") + count("queueFull");
    assert_eq!(count("delivered") + given_up, sent(secs), "{outage:?} for {secs} s");
    assert!(logged >= count("delivered"), "{outage:?} for {secs} s: delivered, but not in the log");
    given_up
}

const WEBHOOKS: &str = "/api/webhooks/livekit";

/// Number of events that a sender makes for an outage of `secs`.
fn sent(secs: u64) -> u64 {
    ROOMS * RATE * (secs + AFTER)
}

/// A running sender.
struct Sending {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Sending {
    /// Starts it, and waits until it has delivered something.
    async fn start(program: &Path, url: &str, secs: u64) -> Sending {
        let mut command = Command::new(program);
        command.args(["-url", url, "-key", KEY, "-secret", SECRET, "-rate", &RATE.to_string()]);
        command.args(["-rooms", &ROOMS.to_string(), "-secs", &(secs + AFTER).to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut sending = Sending { child, output };
        blocking(move || {
            assert_eq!(sending.line(), "delivering");
            sending
        })
        .await
    }

    /// Waits until it has delivered or given up everything.
    async fn counts(mut self) -> Value {
        let line = blocking(move || self.line()).await;
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("it printed {line:?}"))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Number of webhooks in the log.
async fn logged(get: impl AsyncFn(&str) -> Value) -> u64 {
    let (mut count, mut after) = (0, json!("start"));
    while let Some(cursor) = after.as_str() {
        let page = get(&format!("/api/events?limit=1000&after={cursor}")).await;
        let events = page["events"].as_array().unwrap_or_else(|| panic!("{page}"));
        count += events.iter().filter(|event| event["source"] == "webhook").count() as u64;
        after = page["next"].clone();
    }
    count
}
