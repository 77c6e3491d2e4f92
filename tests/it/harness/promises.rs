//! The promises of every implementation of the log.

use std::sync::Arc;

use super::until::PATIENCE;
use futures_util::{FutureExt, future::join_all};
use roomwatch::{
    event::{Event, Kind, NewEvent, Seq, Source},
    log::{Appended, EventLog, LogError},
};

/// `log` is empty.
pub async fn log_story(log: Arc<dyn EventLog>) {
    an_empty_log(&*log).await;
    a_first_event(&*log).await;
    every_field_comes_back(&*log).await;
    the_same_id_again(&*log).await;
    one_answer_an_event(&*log).await;
    reading_is_paged_and_bounded(&*log).await;
    waiting(&log).await;
    many_senders(&log).await;
    closing(&*log).await;
}

async fn an_empty_log(log: &dyn EventLog) {
    let bounds = log.bounds();
    assert_eq!((bounds.first, bounds.last), (Seq(1), Seq(0)));
    assert!(log.read(Seq::ZERO, 10).await.expect("it reads").is_empty());
    assert!(log.append(Vec::new()).await.expect("nothing is stored").is_empty());
    assert!(log.wait(Seq::ZERO).now_or_never().is_none(), "there is nothing to wait for yet");
}

async fn a_first_event(log: &dyn EventLog) {
    let first = append_one(log, new_event("first")).await;
    assert_eq!(first, Appended { seq: Seq(1), duplicate: false });
    let bounds = log.bounds();
    assert_eq!((bounds.first, bounds.last), (Seq(1), Seq(1)), "visible once it is acknowledged");
    assert_eq!(id_of(&log.read(Seq::ZERO, 10).await.expect("it reads")[0]), "first");
    assert!(log.read(Seq(1), 10).await.expect("it reads").is_empty(), "caught up");
    assert!(log.read(Seq(u64::MAX), 10).await.expect("it reads").is_empty(), "from the future");
}

async fn every_field_comes_back(log: &dyn EventLog) {
    let bare = NewEvent {
        id: "bare".into(),
        project: "другой".into(),
        source: Source::Reconcile,
        received_at: 0,
        kind: Kind::from("room_exploded"),
        room: None,
        room_sid: None,
        body: vec![b'{', 0, 0xff, b'}'].into(),
    };
    let odd = NewEvent {
        received_at: i64::MAX as u64,
        room: Some("".into()),
        room_sid: Some("a\0b\u{2028}'\"".into()),
        body: vec![b' '; 300_000].into(),
        ..new_event("odd")
    };
    let after = log.bounds().last;
    log.append(vec![bare.clone(), odd.clone()]).await.expect("stored");
    let events = log.read(after, 10).await.expect("it reads");
    for (seq, (new, event)) in (after.0 + 1..).zip([bare, odd].iter().zip(&events)) {
        assert_eq!(event.seq, Seq(seq));
        assert_eq!(
            (&event.project, event.source, event.received_at),
            (&new.project, new.source, new.received_at)
        );
        assert_eq!((&event.kind, &event.room, &event.room_sid), (&new.kind, &new.room, &new.room_sid));
        assert_eq!(event.body, new.body);
    }
}

async fn the_same_id_again(log: &dyn EventLog) {
    let last = log.bounds().last;
    let other_body = NewEvent { body: "{}".into(), ..new_event("first") };
    assert_eq!(append_one(log, other_body).await, Appended { seq: Seq(1), duplicate: true });
    assert_eq!(log.bounds().last, last, "a duplicate stores nothing");

    // The same id of another project is another event, and project and id are never joined ambiguously.
    let other = NewEvent { project: "defaultf".into(), ..new_event("irst") };
    assert_eq!(append_one(log, other).await, Appended { seq: last.next(), duplicate: false });
    let other = NewEvent { project: "other".into(), ..new_event("first") };
    assert_eq!(append_one(log, other).await, Appended { seq: last.next().next(), duplicate: false });
}

async fn one_answer_an_event(log: &dyn EventLog) {
    let last = log.bounds().last.0;
    let events = ["x", "first", "y", "x", "z"].map(new_event).to_vec();
    let answers = log.append(events).await.expect("stored");
    let expected = [(last + 1, false), (1, true), (last + 2, false), (last + 1, true), (last + 3, false)];
    let expected = expected.map(|(seq, duplicate)| Appended { seq: Seq(seq), duplicate });
    assert_eq!(answers, expected, "in order, also for twins within one call");
}

async fn reading_is_paged_and_bounded(log: &dyn EventLog) {
    let all = read_all(log, Seq::ZERO).await;
    assert_eq!(
        all.iter().map(|event| event.seq.0).collect::<Vec<_>>(),
        (1..=log.bounds().last.0).collect::<Vec<_>>()
    );
    assert!(log.read(Seq::ZERO, 0).await.expect("it reads").is_empty());
    let page = log.read(Seq(2), 3).await.expect("it reads");
    assert_eq!(page.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [3, 4, 5]);

    // Bodies of 8 MiB: a page of them is short, but never empty, and nothing is missing.
    let after = log.bounds().last;
    for id in ["big 1", "big 2", "big 3", "big 4"] {
        append_one(log, NewEvent { body: vec![b'x'; 8 << 20].into(), ..new_event(id) }).await;
    }
    let page = log.read(after, 1000).await.expect("it reads");
    assert!((1..4).contains(&page.len()), "{} bodies of 8 MiB in one page", page.len());
    assert_eq!(read_all(log, after).await.len(), 4);
}

async fn waiting(log: &Arc<dyn EventLog>) {
    let last = log.bounds().last;
    log.wait(Seq(last.0 - 1)).now_or_never().expect("it is there already");

    let waiter = tokio::spawn({
        let log = log.clone();
        async move {
            log.wait(last).await;
            log.read(last, 10).await.expect("it reads").len()
        }
    });
    append_one(&**log, new_event("awaited")).await;
    let seen = tokio::time::timeout(PATIENCE, waiter).await.expect("it wakes").expect("it does not panic");
    assert_eq!(seen, 1, "what woke it can be read");
}

async fn many_senders(log: &Arc<dyn EventLog>) {
    const SENDERS: usize = 50;
    let start = log.bounds().last;
    let senders = (0..SENDERS).map(|sender| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut seqs = Vec::new();
            for n in 0..20 {
                // Two senders send half of the ids at the same time.
                let id = if n % 2 == 0 { format!("{sender}:{n}") } else { format!("{}:{n}", sender / 2) };
                seqs.push((id.clone(), append_one(&*log, new_event(&id)).await));
            }
            seqs
        })
    });
    let answers = join_all(senders).await.into_iter().flat_map(|answers| answers.expect("no panic"));
    let stored = read_all(&**log, start).await;
    assert_eq!(stored.len(), SENDERS * 10 + SENDERS / 2 * 10);
    for (id, answer) in answers {
        let event = &stored[(answer.seq.0 - start.0 - 1) as usize];
        assert_eq!((event.seq, id_of(event)), (answer.seq, id));
    }
    for (seq, event) in (start.0 + 1..).zip(&stored) {
        assert_eq!(event.seq.0, seq, "no holes");
    }
}

async fn closing(log: &dyn EventLog) {
    let bounds = log.bounds();
    log.close();
    log.close();
    assert!(matches!(log.append(vec![new_event("late")]).await, Err(LogError::Closed)));
    assert!(matches!(log.seek(u64::MAX).await, Err(LogError::Closed)));
    assert_eq!(log.bounds(), bounds);
}

/// An event whose fields follow from the id.
pub fn new_event(id: &str) -> NewEvent {
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

pub async fn append_one(log: &dyn EventLog, event: NewEvent) -> Appended {
    log.append(vec![event]).await.expect("it is stored")[0]
}

/// All events after `after`, read page by page.
pub async fn read_all(log: &dyn EventLog, mut after: Seq) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let page = log.read(after, 500).await.expect("it reads");
        let Some(last) = page.last() else { return events };
        after = last.seq;
        events.extend(page);
    }
}

/// The id in the body of a [`new_event`].
pub fn id_of(event: &Event) -> String {
    let body: serde_json::Value = serde_json::from_slice(&event.body).expect("a body is JSON");
    body["id"].as_str().expect("the body has the id").to_owned()
}
