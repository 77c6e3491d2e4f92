//! Damaged pages: each page of each file of the data directory is overwritten, and the server goes on or says what to do.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use roomwatch::{
    audit::{AuditFilter, NewAuditEntry, Outcome},
    derived::SessionQuery,
    event::{NewEvent, Seq, Source},
    feed::{Filter, View},
    node::Node,
    rights::Window,
    server::App,
};
use serde_json::{Value, json};

use crate::{
    harness::{Start, cases, client, faulty::Inside, list_token, said::*, until_async},
    node,
};

const PAGE: usize = 4_096;
pub const FILES: [&str; 5] = ["log.db", "derived.db", "followers.db", "shared.db", "audit.db"];

/// Meetings of three people each, one after the other. The last one is live.
pub fn meetings(from: u64, count: u64) -> Vec<Said> {
    let mut all = Vec::new();
    for n in from..from + count {
        let (at, room) = (n * 100, format!("RM_{n:04}"));
        let mut events = vec![started(at, &room, "standup")];
        for p in 0..3 {
            events.push(joined(at + 1 + p, &room, &format!("PA_{n:04}_{p}"), &format!("guest{p}")));
        }
        let mic = track(&format!("TR_{n:04}"), "AUDIO", "MICROPHONE");
        events.push(of_track(at + 5, "track_published", &room, &format!("PA_{n:04}_0"), "guest0", mic));
        events.push(of_egress(at + 6, "egress_started", &room, &format!("EG_{n:04}"), ""));
        events.push(of_egress(at + 60, "egress_ended", &room, &format!("EG_{n:04}"), "EGRESS_COMPLETE"));
        if n + 1 < from + count {
            events.push(left(at + 70, &room, &format!("PA_{n:04}_0"), "guest0"));
            events.push(finished(at + 80, &room, "standup"));
        }
        for said in &mut events {
            if let Some(room) = said.body.get_mut("room").and_then(Value::as_object_mut) {
                room.insert("creationTime".into(), (START + at).to_string().into());
                room.insert("creationTimeMs".into(), ((START + at) * 1000).to_string().into());
            }
        }
        all.extend(events);
    }
    all
}

async fn append(app: &App, id: &str, said: &Said) -> Result<Seq, String> {
    let event = said.event(0);
    let new = NewEvent {
        id: id.into(),
        project: event.project,
        source: Source::Webhook,
        received_at: event.received_at,
        kind: event.kind,
        room: event.room,
        room_sid: event.room_sid,
        body: event.body,
    };
    app.log.append(vec![new]).await.map(|appended| appended[0].seq).map_err(|error| error.to_string())
}

/// The record of a command.
pub fn audit_entry() -> NewAuditEntry {
    NewAuditEntry {
        user: "ada".into(),
        action: "room.end",
        project: "default".into(),
        room: None,
        target: None,
        reason: None,
    }
}

/// The directory of a node after these events.
pub async fn directory(said: &[Said]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Node::open(node::config(dir.path())).await.expect("a node");
    for (n, said) in said.iter().enumerate() {
        append(node.app(), &format!("EV_{n}"), said).await.expect("stored");
    }
    node.app().current().await;
    node.app().audit.note(audit_entry(), Outcome::Done, None).await.expect("noted");
    node.close().await.expect("it closes");
    for file in FILES {
        let connection = rusqlite::Connection::open(dir.path().join(file)).expect("it opens");
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written back");
    }
    dir
}

/// A copy of the directory in which one page is overwritten.
fn damaged(dir: &Path, file: &str, page: usize, with: Option<u64>) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    for entry in std::fs::read_dir(dir).expect("files") {
        let path = entry.expect("a file").path();
        if path.is_file() {
            std::fs::copy(&path, copy.path().join(path.file_name().expect("a name"))).expect("copied");
        }
    }
    let path = copy.path().join(file);
    let mut bytes = std::fs::read(&path).expect("a file");
    let mut random = with.map(fastrand::Rng::with_seed);
    for byte in &mut bytes[page * PAGE..][..PAGE] {
        *byte = random.as_mut().map_or(0, |random| random.u8(..));
    }
    std::fs::write(&path, bytes).expect("written");
    copy
}

fn pages(dir: &Path, file: &str) -> usize {
    std::fs::metadata(dir.join(file)).expect("a file").len() as usize / PAGE
}

/// Every message as an operator gets it, and the history.
async fn content(app: &App) -> Result<Value, String> {
    let window = Window::all();
    let filter = Filter::new(&window, &[], &[]);
    let (mut after, mut messages) = (Seq::ZERO, Vec::new());
    while after < app.feed.head().seq {
        let replayed =
            app.feed.replay(&filter, after, 256, 1 << 20).await.map_err(|error| error.to_string())?;
        after = replayed.scanned;
        let json = |frame: &roomwatch::feed::Frame| {
            let mut message: Value = serde_json::from_slice(&frame.json(View::Whole)).expect("JSON");
            // The epoch is that of the log.
            message["cursor"] = Value::Null;
            message
        };
        messages.extend(replayed.frames.iter().map(|frame| json(frame)));
    }
    let query = SessionQuery::newest(window.clone(), 1_000);
    let sessions = app.derived.sessions(query).await.map_err(|error| error.to_string())?.sessions;
    let mut details = Vec::new();
    for session in sessions {
        let detail =
            app.derived.session(window.clone(), session.sid, 0).await.map_err(|error| error.to_string())?;
        details.push(json!(detail));
    }
    let mut found = Vec::new();
    for text in ["uest", "tandup"] {
        let results =
            app.derived.search(window.clone(), text.into(), 100).await.map_err(|error| error.to_string())?;
        found.push(
            results.iter().map(|one| format!("{} {:?}", one.sid, one.identity)).collect::<BTreeSet<_>>(),
        );
    }
    let from = START as i64 / 60 * 60_000;
    let activity = app.derived.activity(window, from, from + 36_000_000, 60_000).await;
    Ok(json!([messages, details, activity.map_err(|error| error.to_string())?, found]))
}

/// The end of a node with a damaged file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Became {
    /// It has everything.
    Whole,
    /// It has everything, after it was repaired.
    Repaired,
    /// It did not start, and said what to do.
    Refused,
    /// `/readyz` says that the state does not continue.
    Stopped,
}

/// Opens the node, and holds it to `whole`, the content after one more event.
async fn outcome(dir: &Path, file: &str, last: &Said, whole: &Value) -> Became {
    let node = match Node::open(node::config(dir)).await {
        Ok(node) => node,
        Err(error) => {
            let text = format!("{error:#}");
            assert!(text.contains(file), "the file is named: {text}");
            assert!(text.contains("Restore a backup") || text.contains("Check "), "a remedy: {text}");
            return Became::Refused;
        }
    };
    let app: Arc<App> = node.app().clone();
    let stored = append(&app, "EV_last", last).await;
    assert!(stored.is_ok() || file == "log.db", "webhooks are stored: {stored:?}");
    let fold = app.followers.statuses().into_iter().find(|status| status.name == "fold").expect("the fold");
    let stopped = || fold.is_stopped(app.log.bounds().last);
    until_async("the state continues, or says that it does not", async || {
        // A failed append is a 503 for LiveKit, and an error in the program's log.
        stopped() || stored.is_err() || stored.as_ref().is_ok_and(|seq| app.feed.head().seq >= *seq)
    })
    .await;
    if file == "log.db" && (stopped() || stored.is_err()) {
        return Became::Stopped;
    }
    assert!(!stopped(), "{}", fold.line(app.log.bounds().last));
    if file != "log.db" {
        // The first attempt may find the damage.
        until_async("everything is there again", async || {
            let content = content(&app).await;
            app.derived.trouble().is_none() && content.as_ref() == Ok(whole)
        })
        .await;
    }
    app.audit.page(AuditFilter::default(), i64::MAX, 10).await.expect("the record is there");
    drop(app);
    node.close().await.expect("it closes");
    let aside = std::fs::read_dir(dir).expect("files").flatten();
    let aside = aside.filter(|file| file.file_name().to_string_lossy().contains(".old")).count();
    if aside > 0 { Became::Repaired } else { Became::Whole }
}

/// Damages pages of these files, and returns the ends of the nodes.
async fn every_page(dir: &Path, files: &[&str], last: &Said, every: usize) -> BTreeSet<(String, Became)> {
    let sound = damaged(dir, "audit.db", 0, None);
    std::fs::remove_file(sound.path().join("audit.db")).expect("removed");
    let whole = {
        let node = Node::open(node::config(sound.path())).await.expect("a node");
        append(node.app(), "EV_last", last).await.expect("stored");
        node.app().current().await;
        let whole = content(node.app()).await.expect("everything");
        node.close().await.expect("it closes");
        whole
    };
    let mut outcomes = BTreeSet::new();
    for file in files {
        for page in (0..pages(dir, file).min(200)).step_by(every) {
            for with in [None, Some(page as u64)] {
                let copy = damaged(dir, file, page, with);
                eprintln!("{file}, page {page}, {with:?}");
                outcomes.insert(((*file).to_owned(), outcome(copy.path(), file, last, &whole).await));
            }
        }
    }
    outcomes
}

#[tokio::test]
async fn each_damaged_page_of_a_small_file_is_repaired_or_reported() {
    let all = meetings(0, 12);
    let dir = directory(&all).await;
    let last = joined(1_190, "RM_0011", "PA_last", "last");
    let outcomes = every_page(dir.path(), &FILES, &last, 1).await;
    let has = |file: &str, became| outcomes.contains(&(file.to_owned(), became));
    assert!(has("derived.db", Became::Repaired), "{outcomes:?}");
    assert!(has("log.db", Became::Refused) && has("log.db", Became::Stopped), "{outcomes:?}");
}

/// The directory of a node with 60 meetings that the log does not have any more, and 6 that it has.
async fn older_than_the_log() -> tempfile::TempDir {
    let dir = directory(&meetings(0, 60)).await;
    std::fs::remove_file(dir.path().join("log.db")).expect("removed");
    let node = Node::open(node::config(dir.path())).await.expect("a node");
    for (n, said) in meetings(100, 6).iter().enumerate() {
        append(node.app(), &format!("EV_{n}"), said).await.expect("stored");
    }
    node.app().current().await;
    node.close().await.expect("it closes");
    dir
}

/// A large file is not checked at the start, so its damage is found when a page is read or written. The log has only
/// the newest meetings: the older ones are copied as far as they can be read.
#[tokio::test]
async fn sessions_older_than_the_log_outlive_damage_that_is_found_late() {
    let dir = older_than_the_log().await;
    let path = dir.path().join("derived.db");
    let connection = rusqlite::Connection::open(&path).expect("it opens");
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written back");
    let count = pages(dir.path(), "derived.db");
    let owner = |page: usize| -> String {
        let sql = "SELECT coalesce(max(name), 'none') FROM dbstat WHERE pageno = ?1";
        connection.query_row(sql, [page as i64 + 1], |row| row.get(0)).expect("a name")
    };
    let owners: Vec<_> = (0..count).map(owner).collect();
    connection
        .execute_batch("CREATE TABLE pad (bytes); INSERT INTO pad VALUES (zeroblob(9000000)); PRAGMA wal_checkpoint(TRUNCATE)")
        .expect("padded");
    drop(connection);
    let sound = damaged(dir.path(), "audit.db", 0, None);
    std::fs::remove_file(sound.path().join("audit.db")).expect("removed");
    let whole = survives(sound.path(), None).await.sessions;
    assert_eq!(whole.len(), 66);
    let step = cases(4) as usize;
    let (mut repaired, mut lost) = (0, 0);
    for page in (0..count).step_by(if step > 100 { 1 } else { step }) {
        for with in [None, Some(page as u64)] {
            let copy = damaged(dir.path(), "derived.db", page, with);
            eprintln!("page {page} of {}, {with:?}", owners[page]);
            let survived = survives(copy.path(), Some(&whole)).await;
            repaired += usize::from(survived.aside);
            lost += usize::from(survived.missing > 0);
            // The first page says which pages are free. Without it, removed rows cannot be told from others.
            assert!(survived.missing < 60 || page == 0, "all are missing without page {page}");
        }
    }
    assert!(repaired > 0 && lost > 0, "{repaired} {lost} of {count} pages");
}

/// The root page of each table, and each other page between a root and the rows: SQLite finds no row below it.
#[tokio::test]
async fn rows_are_found_without_the_pages_above_them() {
    let dir = older_than_the_log().await;
    let bytes = std::fs::read(dir.path().join("derived.db")).expect("a file");
    let sound = damaged(dir.path(), "audit.db", 0, None);
    std::fs::remove_file(sound.path().join("audit.db")).expect("removed");
    let whole = survives(sound.path(), None).await.sessions;
    let above: Vec<usize> =
        (1..bytes.len() / PAGE).filter(|page| [2, 5].contains(&bytes[page * PAGE])).collect();
    assert!(above.len() > 3, "{above:?}");
    for page in above {
        let copy = damaged(dir.path(), "derived.db", page, Some(7));
        eprintln!("page {page}");
        let survived = survives(copy.path(), Some(&whole)).await;
        assert_eq!(survived.missing, 0, "without page {page}");
    }
}

/// A node whose derived data was damaged.
struct Survived {
    /// True if the file was put aside.
    aside: bool,
    /// Number of older sessions that are missing.
    missing: usize,
    /// Every session with its details.
    sessions: BTreeMap<String, Value>,
}

/// Opens a node whose derived data is damaged. Each older session must be as in `whole`, or in a gap.
async fn survives(dir: &Path, whole: Option<&BTreeMap<String, Value>>) -> Survived {
    let node = Node::open(node::config(dir)).await.expect("it starts");
    let app: Arc<App> = node.app().clone();
    let seq = append(&app, "EV_last", &joined(10_590, "RM_0105", "PA_last", "last")).await.expect("stored");
    until_async("the state continues", async || app.feed.head().seq >= seq).await;
    let mut sessions = BTreeMap::new();
    until_async("everything that the log has is there", async || {
        // Damage may be found by the query, and during a repair it shows what is there already: the same file must be
        // there, whole, before and after the query.
        let now = || (app.derived.trouble(), dir.join("derived.db.old1").exists());
        let before = now();
        let Ok(there) = content(&app).await else { return false };
        let sound = before.0.is_none() && before == now();
        let details = there[1].as_array().expect("sessions").iter();
        sessions = details.map(|of| (of["session"]["sid"].to_string(), of.clone())).collect();
        let messages = there[0].as_array().expect("messages");
        let complete = messages.iter().all(|message| message["changes"][0].is_object());
        sound && complete && (100..106).all(|n| sessions.contains_key(&format!("\"RM_{n:04}\"")))
    })
    .await;
    let gaps = app.derived.gaps();
    let mut missing = 0;
    for (sid, was) in whole.into_iter().flatten() {
        let is = sessions.get(sid);
        missing += usize::from(is.is_none());
        let at = was["session"]["startedAt"].as_i64().expect("a time");
        let is_in_gap = gaps.iter().any(|gap| (gap.from..=gap.to).contains(&at));
        assert!(
            is == Some(was) || is_in_gap,
            "{sid} is not as it was, and in no gap of {gaps:?}: {is:#?}, it was {was:#?}"
        );
    }
    if let Some(whole) = whole {
        assert!(sessions.keys().all(|sid| whole.contains_key(sid)), "no session is invented");
    }
    drop(app);
    node.close().await.expect("it closes");
    Survived { aside: dir.join("derived.db.old1").exists(), missing, sessions }
}

async fn readyz(url: &str) -> (u16, String) {
    let answer = client().get(format!("{url}/readyz")).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

#[tokio::test]
async fn readyz_says_that_the_log_cannot_be_read_and_what_to_do() {
    let server = Inside::start(None).await;
    server.log.unreadable.store(true, Ordering::Release);
    assert_eq!(server.webhook("EV_1").await, 200);
    until_async("it is not ready", async || readyz(&server.url("")).await.0 == 503).await;
    let (_, said) = readyz(&server.url("")).await;
    assert!(said.contains("the disk is gone") && said.contains("log.db"), "{said}");
    server.log.unreadable.store(false, Ordering::Release);
    until_async("it is ready", async || readyz(&server.url("")).await == (200, "ready\n".to_owned())).await;
}

/// A disk that is full for the history only, as with `log_url` on another disk.
#[tokio::test]
async fn state_and_streams_go_on_while_the_history_cannot_be_written() {
    let server = Start::new().on_disk().start();
    let url = format!("http://{}", server.address);
    let disk = rusqlite::Connection::open(server.dir.path().join("data/derived.db")).expect("it opens");
    // The last statement of a transaction: everything before it has been counted already.
    let full = "CREATE TRIGGER full BEFORE INSERT ON minutes BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END";
    disk.execute_batch(full).expect("made");
    let mut stream = server.stream_as(&list_token(), "", None).await;
    stream.connected().await;
    for (n, said) in meetings(0, 1).iter().enumerate() {
        send(&server, &format!("EV_{n}"), said).await;
        assert_eq!(stream.next().await.data["data"]["id"], format!("EV_{n}"));
    }
    until_async("it is said", async || readyz(&url).await.1.contains("the history cannot be written")).await;
    assert_eq!(readyz(&url).await.0, 200);
    disk.execute_batch("DROP TRIGGER full").expect("dropped");
    until_async("it is ready", async || readyz(&url).await == (200, "ready\n".to_owned())).await;
    let (_, activity) = server.get("/api/activity").await;
    let most = |of: &str| {
        let points = activity["points"].as_array().expect("points");
        points.iter().filter_map(|point| point[of].as_i64()).max()
    };
    assert_eq!(
        (most("rooms"), most("participants"), most("joins")),
        (Some(1), Some(3), Some(3)),
        "{activity}"
    );
}
