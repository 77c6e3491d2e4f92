//! The fuzz targets on their corpora, and on some thousand changed copies of them. `fuzz/run` runs them for longer, with
//! libFuzzer. An input that it finds goes to `fuzz/corpus`, and is a test from then on.

mod targets;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use fastrand::Rng;
use roomwatch::{
    event::{
        Event, Kind, Seq, Source,
        body::{Body, Redaction},
    },
    state::State,
};

/// Changed copies of each input.
const COPIES: usize = 100;

/// Inputs of a target: its own, and what LiveKit really sends.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut dirs = vec![root.join("fuzz/corpus").join(target)];
    match target {
        "body" => dirs.push(root.join("fixtures/webhooks")),
        "answer" => dirs.push(root.join("fixtures/roomservice")),
        _ => {}
    }
    let mut inputs = Vec::new();
    for dir in dirs {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            inputs.push((path.display().to_string(), fs::read(&path).expect("a file")));
        }
    }
    inputs.sort();
    inputs
}

/// Writes the checkpoint of every webhook that LiveKit really sends, with `UPDATE=1`.
fn write_checkpoint() {
    let mut state = State::default();
    let begins =
        |path: &str| !["left", "finished", "ended", "unpublished"].iter().any(|end| path.contains(end));
    for (seq, (path, input)) in (1..).zip(corpus("body").into_iter().filter(|(path, _)| begins(path))) {
        let Ok(body) = Body::read(&input, &Redaction::default()) else { continue };
        state.apply(&Event {
            seq: Seq(seq),
            project: "default".into(),
            source: Source::Webhook,
            received_at: 1_795_467_040_000 + seq,
            kind: Kind::from(&*body.event),
            room: body.room,
            room_sid: body.room_sid,
            body: body.json,
        });
        assert_eq!(state.head(), Seq(seq), "{path}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/checkpoint/fixtures");
    fs::write(path, state.checkpoint()).expect("written");
}

/// Changes some bytes: one else, some away, some twice, or a part of another input.
fn changed(input: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..rng.usize(1..5) {
        let at = rng.usize(..=bytes.len());
        let end = (at + rng.usize(1..20)).min(bytes.len());
        match rng.u32(..5) {
            0 if at < bytes.len() => bytes[at] = rng.u8(..),
            1 if at < bytes.len() => bytes[at] ^= 1 << rng.u32(..8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let from = rng.usize(..=other.len());
                let to = (from + rng.usize(1..30)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    bytes
}

fn run(name: &str, target: fn(&[u8])) {
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    let mut rng = Rng::with_seed(7);
    for (path, input) in &corpus {
        target(input);
        for _ in 0..COPIES {
            let other = &corpus[rng.usize(..corpus.len())].1;
            let input = changed(input, other, &mut rng);
            if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
                panic!("{name} fails on a copy of {path}: {:?}", String::from_utf8_lossy(&input));
            }
        }
    }
}

#[test]
fn tokens() {
    run("token", targets::token);
}

#[test]
fn bodies() {
    run("body", targets::body);
}

#[test]
fn cursors() {
    run("cursor", targets::cursor);
}

#[test]
fn filters() {
    run("filter", targets::filter);
}

#[test]
fn queries() {
    run("query", targets::query);
}

#[test]
fn checkpoints() {
    if std::env::var_os("UPDATE").is_some() {
        write_checkpoint();
    }
    for (path, input) in corpus("checkpoint") {
        assert!(State::restore(&input).is_ok(), "{path} is not a checkpoint of this version: set UPDATE=1");
    }
    run("checkpoint", targets::checkpoint);
}

#[test]
fn answers() {
    run("answer", targets::answer);
}

#[test]
fn packets() {
    run("packet", targets::packet);
}
