//! The clock of the machine is hours ahead or behind for a while, and is then set right. LiveKit runs on the same machine, so
//! its times are wrong too. Times stay those of the clock that made them: nothing tells later which of them were wrong. But
//! the order is that of the log, nothing lasts less than no time, and nothing is lost or counted twice.

use std::{collections::BTreeMap, time::Duration};

use roomwatch::{
    audit::{AuditFilter, NewAuditEntry, Outcome},
    clock::Clock,
    event::{Kind, NewEvent, Source},
    node::Node,
    rights::Window,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{clocks::config, harness::*};

const HOUR_MS: i64 = 3_600_000;
const PHASES: [&str; 3] = ["right", "wrong", "corrected"];

/// A webhook as LiveKit sends it now, by the same clock.
fn webhook(clock: &Clock, kind: &str, room: &str, started_ms: u64, more: Value) -> NewEvent {
    let now = clock.unix_ms();
    let mut body = json!({
        "event": kind, "id": format!("{room} {kind}"), "createdAt": (now / 1000).to_string(),
        "room": {
            "sid": format!("RM_{room}"), "name": room, "creationTime": (started_ms / 1000).to_string(),
            "creationTimeMs": started_ms.to_string(),
        },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    NewEvent {
        id: format!("{room} {kind}").into(),
        project: "default".into(),
        source: Source::Webhook,
        received_at: now,
        kind: Kind::from(kind),
        room: Some(room.into()),
        room_sid: Some(format!("RM_{room}").into()),
        body: body.to_string().into_bytes().into(),
    }
}

fn ann(room: &str, joined_ms: u64, state: &str) -> Value {
    json!({"participant": {
        "sid": format!("PA_{room}"), "identity": "ann", "name": "Ann", "state": state, "kind": "STANDARD",
        "joinedAt": (joined_ms / 1000).to_string(), "joinedAtMs": joined_ms.to_string(),
    }})
}

async fn append(node: &Node, event: NewEvent) {
    node.app().log.append(vec![event]).await.expect("stored");
}

async fn begin(node: &Node, clock: &Clock, room: &str) -> u64 {
    let at = clock.unix_ms();
    append(node, webhook(clock, "room_started", room, at, json!({}))).await;
    clock.advance(Duration::from_secs(5));
    append(node, webhook(clock, "participant_joined", room, at, ann(room, clock.unix_ms(), "ACTIVE"))).await;
    at
}

async fn end(node: &Node, clock: &Clock, room: &str, began: u64) {
    append(node, webhook(clock, "participant_left", room, began, ann(room, began + 5_000, "DISCONNECTED")))
        .await;
    clock.advance(Duration::from_secs(5));
    append(node, webhook(clock, "room_finished", room, began, json!({}))).await;
    clock.advance(Duration::from_secs(5));
}

/// Answers of these routes.
async fn ask(node: &Node, paths: &[String]) -> Vec<Value> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answers = async {
        let mut answers = Vec::new();
        for path in paths {
            let answer = client().get(format!("{url}{path}")).bearer_auth(list_token()).send().await;
            let text = answer.expect("an answer").text().await.expect("a text");
            answers.push(serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}")));
        }
        answers
    };
    tokio::select! {
        answers = answers => answers,
        ended = node.run(listener, std::future::pending()) => panic!("{ended:?}"),
    }
}

/// Finds numbers below zero, and ends before their beginnings.
fn contradictions(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| contradictions(one, at, found)),
        Value::Object(all) => {
            for (begin, end) in
                [("startedAt", "endedAt"), ("joinedAt", "leftAt"), ("publishedAt", "unpublishedAt")]
            {
                let time = |name| all.get(name).and_then(Value::as_i64);
                if let (Some(begin), Some(end)) = (time(begin), time(end))
                    && end < begin
                {
                    found.push(format!("{at}: it ends at {end} and begins at {begin}"));
                }
            }
            all.iter().for_each(|(name, one)| contradictions(one, &format!("{at}.{name}"), found));
        }
        Value::Number(number) if number.as_f64().is_some_and(|number| number < 0.0) => {
            found.push(format!("{at} is {number}"));
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_lasts_less_than_no_time_when_the_clock_was_wrong() {
    for hours in [3, -3] {
        let dir = tempfile::tempdir().expect("a directory");
        // The token of the reader is of now.
        let clock = Clock::held(now() as u64 * 1000);
        let began = clock.unix_ms() as i64;
        let node = Node::open(config(dir.path(), &clock)).await.expect("a node");
        let mut open: BTreeMap<String, u64> = BTreeMap::new();
        let mut commands = Vec::new();
        for (phase, name) in PHASES.iter().enumerate() {
            match *name {
                "wrong" => clock.set_wall(clock.unix_ms().saturating_add_signed(hours * HOUR_MS)),
                "corrected" => clock.set_wall(clock.unix_ms().saturating_add_signed(-hours * HOUR_MS)),
                _ => {}
            }
            for ended in PHASES[phase..].iter().chain(&["live"]) {
                let room = format!("{name}-{ended}");
                open.insert(room.clone(), begin(&node, &clock, &room).await);
            }
            let entry = NewAuditEntry {
                user: "ada".into(),
                action: "room.end",
                project: "default".into(),
                room: Some((*name).into()),
                target: None,
                reason: None,
            };
            node.app().audit.note(entry, Outcome::Done, None).await.expect("noted");
            commands.push(*name);
            for (room, began) in open.iter().filter(|(room, _)| room.ends_with(&format!("-{name}"))) {
                end(&node, &clock, room, *began).await;
            }
            clock.advance(Duration::from_secs(60));
        }
        // LiveKit repeats an end and a join. The room has ended, and stays so.
        append(
            &node,
            NewEvent {
                id: "again".into(),
                ..webhook(
                    &clock,
                    "participant_joined",
                    "wrong-wrong",
                    open["wrong-wrong"],
                    ann("wrong-wrong", open["wrong-wrong"] + 5_000, "ACTIVE"),
                )
            },
        )
        .await;
        node.app().current().await;

        let around = |path: &str| format!("{path}from={}&to={}", began - 4 * HOUR_MS, began + 4 * HOUR_MS);
        let paths = [
            "/api/sessions?limit=100&totals=true".to_owned(),
            around("/api/sessions?limit=100&sort=duration&"),
            "/api/rooms".to_owned(),
            "/api/participants/ann".to_owned(),
        ];
        let mut answers = ask(&node, &paths).await;
        let sids: Vec<String> = answers[0]["sessions"]
            .as_array()
            .expect("sessions")
            .iter()
            .map(|session| session["sid"].as_str().expect("a sid").to_owned())
            .collect();
        let details: Vec<String> = sids.iter().map(|sid| format!("/api/sessions/{sid}")).collect();
        answers.extend(ask(&node, &details).await);
        let mut found = Vec::new();
        for (answer, path) in answers.iter().zip(paths.iter().chain(&details)) {
            contradictions(answer, path, &mut found);
        }
        assert_eq!(found, [""; 0], "{hours} hours");

        let mut sorted = sids.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((sorted.len(), sids.len()), (9, 9), "{hours} hours: {sids:?}");
        assert_eq!(answers[1]["sessions"].as_array().map(Vec::len), Some(9), "{hours} hours");
        let mut live: Vec<&str> = answers[2]["rooms"]
            .as_array()
            .expect("rooms")
            .iter()
            .map(|room| room["name"].as_str().expect("a name"))
            .collect();
        live.sort_unstable();
        assert_eq!(live, ["corrected-live", "right-live", "wrong-live"], "{hours} hours");
        // A session that began and ended by the same clock lasts as long as it did.
        for room in ["right-right", "wrong-wrong", "corrected-corrected", "right-corrected"] {
            let session = answers[0]["sessions"]
                .as_array()
                .expect("sessions")
                .iter()
                .find(|session| session["room"] == room)
                .expect("a session");
            let lasted = session["endedAt"].as_i64().expect("an end")
                - session["startedAt"].as_i64().expect("a start");
            assert!((10_000..600_000).contains(&lasted), "{hours} hours: {room} lasted {lasted} ms");
        }

        let page = json!(node.app().audit.page(AuditFilter::default(), i64::MAX, 10).await.expect("a page"));
        let noted: Vec<&str> = page["entries"]
            .as_array()
            .expect("entries")
            .iter()
            .map(|entry| entry["room"].as_str().expect("a room"))
            .collect();
        commands.reverse();
        assert_eq!(noted, commands, "{hours} hours: the newest command first");

        // Each join counts once, in the hours around.
        let (from, to) = ((began - 4 * HOUR_MS) / 60_000 * 60_000, (began + 4 * HOUR_MS) / 60_000 * 60_000);
        let activity =
            node.app().derived.activity(Window::all(), from, to, 60_000).await.expect("an activity");
        let joins: i64 = activity.points.iter().map(|point| point.joins).sum();
        let leaves: i64 = activity.points.iter().map(|point| point.leaves).sum();
        assert_eq!((joins, leaves), (9, 6), "{hours} hours");
        // After all of it, and when the time of the wrong clock has come, the numbers are those of now.
        let last = activity.points.last().expect("a point");
        let now_ms = clock.unix_ms() as i64;
        let present = activity.points.iter().rfind(|point| point.at <= now_ms).expect("a point");
        for point in [present, last] {
            assert_eq!((point.rooms, point.participants), (Some(3), Some(3)), "{hours} hours");
        }
        drop(node);
    }
}
