//! The log in memory. It keeps every promise of [`EventLog`] except durability: it is lost with the process.
//!
//! It is for tests that are not about the disk, and for trying the program.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use futures_util::future::{self, BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Appended, Bounds, EventLog, IDS_KEPT, LogError, LogOptions, READ_BYTES_MAX, new_epoch, placed};
use crate::event::{Epoch, Event, NewEvent, Seq};

/// Approximate memory of an event without its body.
const EVENT_BYTES: u64 = 256;

/// The log in memory.
pub struct MemoryLog {
    epoch: Epoch,
    options: LogOptions,
    inner: Mutex<Inner>,
    newest: watch::Sender<Seq>,
}

#[derive(Default)]
struct Inner {
    /// Events without gaps; the last one is `last`.
    events: VecDeque<Event>,
    /// The time at which each of them was appended.
    appended: VecDeque<At>,
    /// Memory of the events.
    bytes: u64,
    last: Seq,
    /// Retention may remove events up to this one.
    trimmable: Seq,
    ids: Ids,
    closed: bool,
}

/// The time of an append.
#[derive(Clone, Copy)]
struct At {
    running: Duration,
    /// The wall clock then: [`Clock::latest_ms`](crate::clock::Clock::latest_ms).
    latest_ms: u64,
}

/// The seq of each id, as long as it is remembered.
#[derive(Default)]
struct Ids {
    seqs: HashMap<Id, Seq>,
    /// The same ids, oldest first, with the running time at which each was appended.
    ages: VecDeque<(Duration, Id)>,
}

/// Project and id.
type Id = (Box<str>, Box<str>);

impl MemoryLog {
    pub fn new(options: LogOptions) -> MemoryLog {
        let newest = watch::Sender::new(Seq::ZERO);
        MemoryLog { epoch: new_epoch(), options, inner: Mutex::default(), newest }
    }

    /// Removes old events, and then runs `work`.
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner.lock();
        inner.trim(&self.options);
        work(&mut inner)
    }
}

impl EventLog for MemoryLog {
    fn append(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Result<Vec<Appended>, LogError>> {
        let clock = &self.options.clock;
        let at = At { running: clock.running(), latest_ms: clock.latest_ms() };
        let appended = self.with(|inner| {
            if inner.closed {
                return Err(LogError::Closed);
            }
            inner.ids.forget(at.running);
            let appended = events.iter().map(|event| inner.append(event, at)).collect();
            // Under the lock, so that two appends publish their last events in order.
            self.newest.send_replace(inner.last);
            Ok(appended)
        });
        future::ready(appended).boxed()
    }

    fn read(&self, after: Seq, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, LogError>> {
        future::ready(self.with(|inner| inner.read(after, limit))).boxed()
    }

    fn wait(&self, after: Seq) -> BoxFuture<'_, ()> {
        let mut newest = self.newest.subscribe();
        async move {
            // The sender lives as long as `self`, so this completes only when there is a newer event.
            let _ = newest.wait_for(|&newest| newest > after).await;
        }
        .boxed()
    }

    fn bounds(&self) -> Bounds {
        let (first, last) = self.with(|inner| (inner.first(), inner.last));
        Bounds { epoch: self.epoch, first, last }
    }

    fn seek(&self, unix_ms: u64) -> BoxFuture<'_, Result<Option<Seq>, LogError>> {
        let found = self.with(|inner| match inner.closed {
            true => Err(LogError::Closed),
            false => {
                Ok(inner.events.iter().rfind(|event| event.received_at <= unix_ms).map(|event| event.seq))
            }
        });
        future::ready(found).boxed()
    }

    fn retain(&self, through: Seq) {
        let mut inner = self.inner.lock();
        inner.trimmable = inner.trimmable.max(through);
    }

    fn close(&self) {
        self.inner.lock().closed = true;
    }
}

impl Inner {
    fn first(&self) -> Seq {
        self.events.front().map_or(self.last.next(), |event| event.seq)
    }

    fn append(&mut self, event: &NewEvent, at: At) -> Appended {
        let id: Id = ((*event.project).into(), event.id.clone());
        if let Some(seq) = self.ids.seqs.get(&id) {
            return Appended { seq: *seq, duplicate: true };
        }
        self.last = self.last.next();
        self.bytes += EVENT_BYTES + event.body.len() as u64;
        self.events.push_back(placed(event, self.last));
        self.appended.push_back(at);
        self.ids.ages.push_back((at.running, id.clone()));
        self.ids.seqs.insert(id, self.last);
        Appended { seq: self.last, duplicate: false }
    }

    fn read(&self, after: Seq, limit: usize) -> Result<Vec<Event>, LogError> {
        if self.closed {
            return Err(LogError::Closed);
        }
        let skip = after.0.saturating_add(1).saturating_sub(self.first().0);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(self.events.len());
        let mut bytes = 0;
        let page = self.events.range(skip..).take(limit).take_while(|event| {
            let fits = bytes == 0 || bytes + event.body.len() <= READ_BYTES_MAX;
            bytes += event.body.len();
            fits
        });
        Ok(page.cloned().collect())
    }

    /// Removes events beyond the limits of age and bytes, up to `trimmable`.
    fn trim(&mut self, options: &LogOptions) {
        let (running, evident_ms) = (options.clock.running(), options.clock.evident_ms());
        let is_old = |at: &At| {
            options.retain_age.is_some_and(|age| {
                let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                running.saturating_sub(at.running) > age || at.latest_ms < evident_ms.saturating_sub(age_ms)
            })
        };
        while let (Some(event), Some(at)) = (self.events.front(), self.appended.front()) {
            let old = is_old(at);
            let too_big = options.quota.is_exceeded(self.bytes);
            if event.seq > self.trimmable || event.seq == self.last || !(old || too_big) {
                return;
            }
            self.bytes -= EVENT_BYTES + event.body.len() as u64;
            self.events.pop_front();
            self.appended.pop_front();
        }
    }
}

impl Ids {
    /// Forgets the ids that were appended more than [`IDS_KEPT`] ago.
    fn forget(&mut self, running: Duration) {
        while let Some((at, id)) = self.ages.front()
            && *at + IDS_KEPT < running
        {
            self.seqs.remove(id);
            self.ages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        event::{Kind, Source},
    };

    #[tokio::test]
    async fn an_id_is_forgotten_after_its_time() {
        let clock = Clock::held(1_000);
        let log = MemoryLog::new(LogOptions { clock: clock.clone(), ..LogOptions::default() });
        let event = NewEvent {
            id: "EV_1".into(),
            project: "default".into(),
            source: Source::Webhook,
            received_at: 1_000,
            kind: Kind::RoomStarted,
            room: None,
            room_sid: None,
            body: "{}".into(),
        };
        let append = async || log.append(vec![event.clone()]).await.expect("stored")[0];
        assert!(!append().await.duplicate);
        clock.advance(IDS_KEPT);
        assert!(append().await.duplicate);
        clock.advance(Duration::from_millis(1));
        assert_eq!(append().await, Appended { seq: Seq(2), duplicate: false });
        assert_eq!(log.inner.lock().ids.seqs.len(), 1);
    }
}
