//! The log, held to its promises at the boundary of the trait.

use std::{path::Path, sync::Arc, time::Duration};

use roomwatch::{
    event::{Event, Kind, NewEvent, Seq, Source},
    log::{
        EventLog,
        sqlite::{LogOptions, SqliteLog},
    },
};

mod disk;
mod kill;
mod power;
mod sqlite;
mod story;

/// Longer than anything takes here that works, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(30);

fn open(dir: &Path) -> SqliteLog {
    SqliteLog::open(dir, LogOptions::default()).expect("the log opens")
}

/// An event whose every field can be told from the id.
fn new_event(id: &str) -> NewEvent {
    NewEvent {
        id: id.into(),
        project: "default".into(),
        source: Source::Webhook,
        received_at: 1_787_486_406_123,
        kind: Kind::ParticipantJoined,
        room: Some("standup".into()),
        room_sid: Some("RM_hycFrzyc8LMX".into()),
        body: format!(r#"{{"event":"participant_joined","id":"{id}"}}"#).into_bytes().into(),
    }
}

async fn append_one(log: &dyn EventLog, event: NewEvent) -> roomwatch::log::Appended {
    log.append(vec![event]).await.expect("it is stored")[0]
}

/// Everything that the log has after `after`, by as many reads as it takes.
async fn read_all(log: &dyn EventLog, mut after: Seq) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let page = log.read(after, 500).await.expect("it reads");
        let Some(last) = page.last() else { return events };
        after = last.seq;
        events.extend(page);
    }
}

/// The id that [`new_event`] put into the body.
fn id_of(event: &Event) -> String {
    let body: serde_json::Value = serde_json::from_slice(&event.body).expect("a body is JSON");
    body["id"].as_str().expect("the body has the id").to_owned()
}

/// Waits for `condition`; panics with `what` when it does not come true.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn shared(log: SqliteLog) -> Arc<dyn EventLog> {
    Arc::new(log)
}
