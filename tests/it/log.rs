//! The log's promises, tested through the trait.

use std::path::Path;

use roomwatch::{
    event::{Event, Kind, NewEvent, Seq, Source},
    log::{EventLog, LogOptions, sqlite::SqliteLog},
};

mod kill;
mod packed;
mod power;
mod restored;
mod served;
mod sqlite;
mod story;

fn open(dir: &Path) -> SqliteLog {
    SqliteLog::open(dir, LogOptions::default()).expect("the log opens")
}

/// An event whose fields follow from the id.
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

/// All events after `after`, read page by page.
async fn read_all(log: &dyn EventLog, mut after: Seq) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let page = log.read(after, 500).await.expect("it reads");
        let Some(last) = page.last() else { return events };
        after = last.seq;
        events.extend(page);
    }
}

/// The id in the body of a [`new_event`].
fn id_of(event: &Event) -> String {
    let body: serde_json::Value = serde_json::from_slice(&event.body).expect("a body is JSON");
    body["id"].as_str().expect("the body has the id").to_owned()
}
