//! An acknowledged event survives every crash.

use std::{
    collections::BTreeSet,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::harness::*;

/// Number of times that the server is killed under load.
const KILLS: u32 = 200;
const SENDERS: u32 = 8;

/// Posts as LiveKit does, except that it retries without a pause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_kills_under_load_lose_nothing_acknowledged() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut server = Start::new().on_disk().start();
    let address = server.address;
    let acknowledged: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let next = Arc::new(AtomicU32::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (acknowledged, next, stop) = (acknowledged.clone(), next.clone(), stop.clone());
            tokio::spawn(async move {
                let client = client();
                while !stop.load(Ordering::Relaxed) {
                    let id = format!("EV_{}", next.fetch_add(1, Ordering::Relaxed));
                    let body = event(&id, "a");
                    let request = client.post(format!("http://{address}/api/webhooks/livekit"));
                    let request = request.header("authorization", webhook_token(body.as_bytes())).body(body);
                    match request.send().await {
                        Ok(answer) if answer.status() == 200 => {
                            acknowledged.lock().expect("not poisoned").insert(id);
                        }
                        _ => tokio::time::sleep(Duration::from_millis(2)).await,
                    }
                }
            })
        })
        .collect();
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(random.u64(5..60))).await;
        server.kill();
        server = tokio::task::spawn_blocking(move || server.again().start_unready()).await.expect("started");
    }
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.expect("no panic");
    }
    server.until_ready();
    let mut logged = BTreeSet::new();
    let mut count = 0;
    let mut after = "start".to_owned();
    loop {
        let (status, page) = server.get(&format!("/api/events?limit=1000&after={after}")).await;
        assert_eq!(status, 200, "{page}");
        for event in page["events"].as_array().expect("events") {
            count += 1;
            logged.insert(event["data"]["id"].as_str().expect("an id").to_owned());
        }
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let acknowledged = acknowledged.lock().expect("not poisoned");
    eprintln!("{} acknowledged, {count} logged, {KILLS} kills", acknowledged.len());
    assert!(acknowledged.len() > KILLS as usize, "there was no load");
    assert_eq!(acknowledged.difference(&logged).count(), 0, "lost");
    assert_eq!(count, logged.len(), "twice");
}

/// Reads the server's system calls: an fdatasync has returned between each request and its 200.
#[tokio::test]
async fn no_200_is_written_before_the_sync_that_covers_it() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: strace is not installed");
        return;
    }
    let server = Start::new().on_disk().start();
    let trace = server.dir.path().join("trace");
    let mut strace = Command::new("strace")
        .args(["-f", "-q", "-s", "64", "-e", "trace=recvfrom,read,fdatasync,fsync,sendto,write,writev"])
        .args(["-o", &trace.display().to_string(), "-p", &server.pid().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .expect("strace runs");
    let read = || std::fs::read_to_string(&trace).unwrap_or_default();
    until("strace follows", || {
        let _ = raw(server.address, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        read().contains("GET /healthz")
    });
    for i in 0..20 {
        assert_eq!(server.webhook(&event(&format!("EV_{i}"), "a")).await, 200);
    }
    let posts = |text: &str| text.matches("POST /api/webhooks").count();
    until("strace has written it down", || {
        posts(&read()) >= 20 && read().matches("HTTP/1.1 200").count() > 20
    });
    server.signal("KILL");
    let _ = strace.wait();
    let mut waiting = 0;
    let mut answered = 0;
    let mut synced = false;
    for line in read().lines() {
        if line.contains("POST /api/webhooks") {
            waiting += 1;
            synced = false;
        } else if (line.contains("fdatasync") || line.contains("fsync")) && line.contains("= 0") {
            synced = true;
        } else if line.contains("HTTP/1.1 200") && waiting > answered {
            answered += 1;
            assert!(synced, "answered before the sync: {line}");
        }
    }
    assert_eq!((waiting, answered), (20, 20));
}
