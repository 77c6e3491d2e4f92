//! Processes that are killed under load, and one whose system calls are traced.

use std::{
    collections::HashMap,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use roomwatch::{event::Seq, log::EventLog};

use super::open;
use crate::harness::disk::Dice;
use crate::harness::promises::{append_one, id_of, new_event, read_all};

/// Number of times that a process is killed under load.
const KILLS: u64 = 200;

/// The variable with the child's data directory. Without it the child does nothing.
const DIR: &str = "ROOMWATCH_TEST_CHILD_DIR";
/// The variable with the number of events that the child appends before it ends.
const EVENTS: &str = "ROOMWATCH_TEST_CHILD_EVENTS";
const SENDERS: u64 = 8;

/// Not a test: the child process of the tests of this file, which is this binary again. It appends, and prints
/// `open <last seq>`, then `ack <id> <seq> .` for each answer.
#[test]
#[ignore = "run by the tests of this file, as a separate process"]
fn child() {
    let Ok(dir) = env::var(DIR) else { return };
    let events: u64 = env::var(EVENTS).ok().and_then(|events| events.parse().ok()).unwrap_or(u64::MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let log = Arc::new(open(Path::new(&dir)));
        say(&format!("open {}", log.bounds().last));
        let process = std::process::id();
        let next = Arc::new(AtomicU64::new(0));
        let senders = (0..SENDERS).map(|_| {
            let (log, next) = (log.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= events {
                        return;
                    }
                    let id = format!("T{process}/{n}T");
                    let answer = append_one(&*log, new_event(&id)).await;
                    say(&format!("ack {id} {} .", answer.seq));
                }
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await.expect("no sender panics");
        }
    });
}

/// Prints a line with one system call: not before the log has answered, and without a buffer that a kill would lose.
fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).expect("the parent listens");
}

fn arguments() -> [&'static str; 4] {
    ["--exact", "log::kill::child", "--ignored", "--nocapture"]
}

#[tokio::test]
async fn two_hundred_kills_under_load_lose_nothing_that_was_acknowledged() {
    let mut dice = Dice::seeded();
    let dir = tempfile::tempdir().expect("a directory");
    let mut acknowledged = HashMap::new();
    let mut newest = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(env::current_exe().expect("this binary"))
            .args(arguments())
            .env(DIR, dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        // This number of answers, then the kill. The output before the kill is read to the end of the pipe.
        let lives = dice.below(60);
        let mut heard = 0;
        while let Some(Ok(line)) = lines.next() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["open", last] => {
                    let last: u64 = last.parse().expect("a seq");
                    assert!(last >= newest, "kill {kill}: {newest} was acknowledged, {last} is left");
                }
                // A line that the kill cut off has no `.` at its end.
                ["ack", id, seq, "."] => {
                    let seq = seq.parse::<u64>().expect("a seq");
                    newest = newest.max(seq);
                    assert_eq!(acknowledged.insert(id.to_owned(), seq), None);
                    heard += 1;
                }
                _ => continue,
            }
            if heard == lives {
                child.kill().expect("it is killed");
            }
        }
        child.wait().expect("it has ended");
    }

    let log = open(dir.path());
    let events = read_all(&log, Seq::ZERO).await;
    println!("{KILLS} kills, {} acknowledged, {} stored", acknowledged.len(), events.len());
    assert!(acknowledged.len() > 1000, "it was a load");
    assert!(events.iter().zip(1..).all(|(event, seq)| event.seq.0 == seq), "no holes");
    for (id, seq) in acknowledged {
        assert_eq!(id_of(&events[seq as usize - 1]), id, "event {seq}");
    }
}

#[test]
fn no_answer_comes_before_the_sync_that_covers_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let trace = dir.path().join("trace");
    let status = Command::new("strace")
        .args(["-f", "-y", "-s", "20000", "-e", "trace=pwrite64,write,fsync,fdatasync", "-o"])
        .arg(&trace)
        .arg(env::current_exe().expect("this binary"))
        .args(arguments())
        .env(DIR, dir.path().join("data"))
        .env(EVENTS, "300")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) => assert!(status.success(), "strace: {status}"),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: strace is not installed, so the order of system calls was not checked");
            return;
        }
        Err(cause) => panic!("strace: {cause}"),
    }
    let trace = String::from_utf8_lossy(&fs::read(&trace).expect("the trace")).into_owned();
    let calls = calls(&trace);
    let is_sync =
        |call: &Call| matches!(call.name, "fsync" | "fdatasync") && call.text.contains("log.db-wal>");
    let mut answers = 0;
    for answer in calls.iter().filter(|call| call.name == "write" && call.text.contains("\"ack ")) {
        let id = answer.text.split(' ').nth(2).expect("ack <id>").to_owned();
        let written = calls
            .iter()
            .filter(|call| {
                call.name == "pwrite64" && call.text.contains("log.db-wal>") && call.text.contains(&id)
            })
            .min_by_key(|call| call.end)
            .unwrap_or_else(|| panic!("{id} is in no write"));
        let synced = calls
            .iter()
            .filter(|call| is_sync(call) && call.begin > written.end)
            .min_by_key(|call| call.end)
            .unwrap_or_else(|| panic!("{id} is covered by no sync"));
        assert!(synced.end < answer.begin, "{id} was answered before its sync had ended");
        answers += 1;
    }
    assert_eq!(answers, 300);
    println!("{answers} answers after {} syncs", calls.iter().filter(|call| is_sync(call)).count());
}

/// One system call, from the line where it began to the line where it ended.
struct Call<'a> {
    name: &'a str,
    text: String,
    begin: usize,
    end: usize,
}

/// `strace -f` writes `PID name(…) = 0`, or, if another thread writes in between, `PID name(… <unfinished ...>` and later
/// `PID <... name resumed>) = 0`.
fn calls(trace: &str) -> Vec<Call<'_>> {
    let mut unfinished = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("<... ") {
            if let Some((name, text, begin)) = unfinished.remove(pid) {
                calls.push(Call { name, text, begin, end: number });
            }
        } else if let Some((name, arguments)) = rest.split_once('(') {
            let text = format!("({arguments}");
            if arguments.ends_with("<unfinished ...>") {
                unfinished.insert(pid, (name, text, number));
            } else {
                calls.push(Call { name, text, begin: number, end: number });
            }
        }
    }
    calls
}
