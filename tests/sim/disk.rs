//! The log in memory, on a disk that fails and takes its time. It also keeps every event that it has ever stored.

use std::time::Duration;

use fastrand::Rng;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use roomwatch::{
    clock::Clock,
    event::{Event, NewEvent, Seq},
    log::{Appended, Bounds, EventLog, LogError, LogOptions, memory::MemoryLog},
};

/// Shares of 1,000 calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFaults {
    pub append_fails: u32,
    /// The events are stored, and the caller gets an error.
    pub answer_lost: u32,
    pub read_fails: u32,
    /// Longest time that an append takes, in milliseconds.
    pub slow_ms: u64,
}

pub struct Disk {
    log: MemoryLog,
    clock: Clock,
    inner: Mutex<Inner>,
}

struct Inner {
    rng: Rng,
    faults: DiskFaults,
    stored: Vec<Event>,
}

enum Fate {
    Fine,
    Fails,
    AnswerLost,
}

impl Disk {
    pub fn new(options: LogOptions, faults: DiskFaults, rng: Rng) -> Disk {
        let clock = options.clock.clone();
        Disk {
            log: MemoryLog::new(options),
            clock,
            inner: Mutex::new(Inner { rng, faults, stored: Vec::new() }),
        }
    }

    /// Makes it work from now on.
    pub fn heal(&self) {
        self.inner.lock().faults = DiskFaults::default();
    }

    /// Returns the events that were stored after the first `known`.
    pub fn stored_after(&self, known: usize) -> Vec<Event> {
        self.inner.lock().stored[known..].to_vec()
    }

    fn appended(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, LogError> {
        let appended = self.log.append(events).now_or_never().expect("memory does not wait");
        let mut inner = self.inner.lock();
        let last = Seq(inner.stored.len() as u64);
        let new = self.log.read(last, usize::MAX).now_or_never().expect("memory does not wait");
        inner.stored.extend(new.expect("it is open"));
        appended
    }
}

impl EventLog for Disk {
    fn append(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Result<Vec<Appended>, LogError>> {
        let (fate, before, after) = {
            let mut inner = self.inner.lock();
            let Inner { rng, faults, .. } = &mut *inner;
            let roll = rng.u32(..1000);
            let fate = match roll {
                roll if roll < faults.append_fails => Fate::Fails,
                roll if roll < faults.append_fails + faults.answer_lost => Fate::AnswerLost,
                _ => Fate::Fine,
            };
            let mut time = || Duration::from_millis(rng.u64(..=faults.slow_ms));
            (fate, time(), time())
        };
        async move {
            self.clock.sleep(before).await;
            if matches!(fate, Fate::Fails) {
                return Err(LogError::Full);
            }
            let appended = self.appended(events);
            self.clock.sleep(after).await;
            match fate {
                Fate::AnswerLost => Err(LogError::Failed("the disk does not answer".into())),
                _ => appended,
            }
        }
        .boxed()
    }

    fn read(&self, after: Seq, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, LogError>> {
        let fails = {
            let mut inner = self.inner.lock();
            let share = inner.faults.read_fails;
            inner.rng.u32(..1000) < share
        };
        if fails {
            return std::future::ready(Err(LogError::Failed("the disk cannot be read".into()))).boxed();
        }
        self.log.read(after, limit)
    }

    fn wait(&self, after: Seq) -> BoxFuture<'_, ()> {
        self.log.wait(after)
    }

    fn bounds(&self) -> Bounds {
        self.log.bounds()
    }

    fn seek(&self, unix_ms: u64) -> BoxFuture<'_, Result<Option<Seq>, LogError>> {
        self.log.seek(unix_ms)
    }

    fn retain(&self, through: Seq) {
        self.log.retain(through);
    }

    fn close(&self) {}
}
