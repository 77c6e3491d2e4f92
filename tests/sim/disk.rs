//! The log on a disk that fails and takes its time: in memory, or sometimes the real one. It also keeps every event that
//! it has ever stored.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use fastrand::Rng;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use roomwatch::{
    clock::Clock,
    derived::Derived,
    event::{Event, NewEvent, Seq},
    log::{Appended, Bounds, EventLog, LogError, LogOptions, memory::MemoryLog, sqlite::SqliteLog},
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

/// The files of a log.
pub const FILES: [&str; 4] = ["log.db", "log.db-wal", "log.db-shm", "log.witness"];

pub struct Disk {
    log: Mutex<Arc<dyn EventLog>>,
    options: LogOptions,
    /// The directory of a log in a file.
    dir: Option<PathBuf>,
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
    /// Opens a log in `dir`, or in memory.
    pub fn new(options: LogOptions, dir: Option<&Path>, faults: DiskFaults, rng: Rng) -> Disk {
        let clock = options.clock.clone();
        let log: Arc<dyn EventLog> = match dir {
            Some(dir) => Arc::new(SqliteLog::open(dir, options.clone()).expect("it opens")),
            None => Arc::new(MemoryLog::new(options.clone())),
        };
        let inner = Inner { rng, faults, stored: Vec::new() };
        Disk { log: Mutex::new(log), options, dir: dir.map(Path::to_owned), clock, inner: Mutex::new(inner) }
    }

    fn log(&self) -> Arc<dyn EventLog> {
        self.log.lock().clone()
    }

    /// Opens a log in a file again. `meanwhile` may change its files.
    pub fn reopen(&self, meanwhile: impl FnOnce(&Path)) {
        let Some(dir) = &self.dir else { return };
        let mut log = self.log.lock();
        log.close();
        meanwhile(dir);
        let options = LogOptions { told: Derived::last_of(dir), ..self.options.clone() };
        *log = Arc::new(SqliteLog::open(dir, options).expect("it opens"));
    }

    /// Copies the files of the log into a new directory, as a backup would while nothing is written.
    pub fn copy(&self, to: &Path) {
        let Some(dir) = &self.dir else { return };
        fs::create_dir_all(to).expect("a directory");
        for file in FILES {
            let _ = fs::copy(dir.join(file), to.join(file));
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
        let log = self.log();
        // The real log has threads. The simulation waits for them, so that they decide nothing.
        let appended = block_on(log.append(events));
        let mut inner = self.inner.lock();
        loop {
            let last = Seq(inner.stored.len() as u64);
            let new = block_on(log.read(last, usize::MAX)).expect("it is open");
            if new.is_empty() {
                return appended;
            }
            inner.stored.extend(new);
        }
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
        let log = self.log();
        std::future::ready(block_on(log.read(after, limit))).boxed()
    }

    fn wait(&self, after: Seq) -> BoxFuture<'_, ()> {
        let log = self.log();
        async move { log.wait(after).await }.boxed()
    }

    fn bounds(&self) -> Bounds {
        self.log().bounds()
    }

    fn seek(&self, unix_ms: u64) -> BoxFuture<'_, Result<Option<Seq>, LogError>> {
        let log = self.log();
        std::future::ready(block_on(log.seek(unix_ms))).boxed()
    }

    fn retain(&self, through: Seq) {
        self.log().retain(through);
    }

    fn close(&self) {}
}

/// Runs a future to its end on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
