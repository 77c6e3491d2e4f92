//! Callers that ask for much and go away before the answer. Their work goes on to its end, so it counts until then: the
//! connections to the files, and the threads that have them, stay within their bounds.

use std::path::Path;

use futures_util::FutureExt;
use roomwatch::{
    derived::SessionQuery,
    event::{Kind, NewEvent, Seq, Source},
    node::Node,
    rights::Window,
};
use serde_json::json;

use crate::node;

const EVENTS: usize = 400;
/// Length of the metadata of each event. Together they are more than the log keeps in memory.
const METADATA_BYTES: usize = 20_000;
const CALLERS: usize = 80;

fn started(n: usize) -> NewEvent {
    let room = json!({ "sid": format!("RM_{n}"), "name": format!("room{n}"), "metadata": "m".repeat(METADATA_BYTES) });
    NewEvent {
        id: format!("EV_{n}").into(),
        project: "default".into(),
        source: Source::Webhook,
        received_at: 1_787_486_400_000 + n as u64,
        kind: Kind::from("room_started"),
        room: Some(format!("room{n}").into()),
        room_sid: Some(format!("RM_{n}").into()),
        body: json!({ "event": "room_started", "room": room }).to_string().into_bytes().into(),
    }
}

/// Number of times that this process has the file open.
fn open_files(path: &Path) -> usize {
    let files = std::fs::read_dir("/proc/self/fd").expect("a process").flatten();
    files.filter(|file| std::fs::read_link(file.path()).is_ok_and(|open| open == path)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_callers_that_have_gone_is_bounded() {
    let dir = tempfile::tempdir().expect("a directory");
    let before = Node::open(node::config(dir.path())).await.expect("a node");
    for n in 0..EVENTS {
        before.app().log.append(vec![started(n)]).await.expect("stored");
    }
    before.app().current().await;
    before.close().await.expect("it closes");
    // After a start, the events are read from the disk.
    let node = Node::open(node::config(dir.path())).await.expect("a node");
    let app = node.app();
    app.current().await;
    let mut most = (0, 0);
    for _ in 0..CALLERS {
        // Each begins its work, if it may, and goes away.
        let _ = app.log.read(Seq::ZERO, EVENTS).now_or_never();
        let _ = app.derived.sessions(SessionQuery::newest(Window::all(), 1_000)).now_or_never();
        let now = ["log.db", "derived.db"].map(|file| open_files(&dir.path().join(file)));
        most = (most.0.max(now[0]), most.1.max(now[1]));
    }
    // A webhook does not wait for them, and who stays gets an answer.
    app.log.append(vec![started(EVENTS)]).await.expect("stored");
    assert_eq!(app.log.read(Seq::ZERO, 100).await.map(|events| events.len()).ok(), Some(100));
    // The writer, a checkpoint, and four readers.
    assert!(most.0 <= 6, "log.db is open {} times", most.0);
    // The writer, eight queries and eight replays.
    assert!(most.1 <= 17, "derived.db is open {} times", most.1);
}
