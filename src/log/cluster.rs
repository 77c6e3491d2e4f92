//! The log of a deployment of several nodes: a stream of NATS JetStream, and a copy of it on every node.
//!
//! ```text
//! append ─▶ publish ─▶ stream, on three servers ─▶ ack
//!                            │
//!                            ▼
//! read   ◀─ copy (`log.db`) ◀─ follow: own acks, or "direct get" when the bell rings
//! ```
//!
//! The seq of an event is the sequence of its message. Reads never leave the node. An event is visible when the copy has
//! it, and it is in the stream before: a copy that loses its end copies it again.
//!
//! **Ids.** The copy knows the ids of the events that it has. The stream knows those of the last ten minutes. So a node
//! appends only if its copy has had the whole stream within the last five.
//!
//! **A stream that is not the one that readers know** must not honour their cursors: it was restored from a backup,
//! created again, or has lost its end. Each copy has a hash over all ids (see `sqlite/chain.rs`), and the deployment has
//! the hash of some recent event as its witness. A node that sees a contradiction begins a new epoch for the whole
//! deployment and ends. When it starts again, it copies the stream anew.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    Appended, Bounds, Contact, EpochChange, EventLog, LogError, LogOptions, OpenError, Servers,
    sqlite::{CopyOf, SqliteLog, key},
};
use crate::{
    clock::Clock,
    event::{Event, NewEvent, Seq},
    nats::{Nats, NatsError, Purge, StreamState, Write, names::Names},
    storage::Quota,
};

mod checks;
mod contact;
mod envelope;
mod epoch;
mod found;
mod manage;
mod streams;

pub use found::Found;
pub use manage::{create, new_epoch, status};

use contact::Contacts;
use epoch::Epochs;
use found::refusal;
use streams::Streams;

/// Maximum time of an append.
const APPEND_MAX: Duration = Duration::from_secs(10);
/// Maximum time that an append waits for the copy, after the stream has the event.
const COPY_MAX: Duration = Duration::from_secs(1);
/// Maximum time of one read of the stream.
const READ_MAX: Duration = Duration::from_secs(2);
/// Maximum time for which a start waits for an answer: a new leader takes 8 s.
const START_MAX: Duration = Duration::from_secs(15);
/// Interval between two reads without a bell.
const READ_EVERY: Duration = Duration::from_millis(100);
/// Minimum time between two questions for the newest event.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Maximum number of own events that wait for the task that follows the stream.
const ACKS_MAX: usize = 4096;

/// The log of a deployment. See the module.
pub struct ClusterLog {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

struct Shared {
    copy: SqliteLog,
    nats: Arc<Nats>,
    names: Names,
    clock: Clock,
    epochs: Epochs<Arc<Nats>>,
    /// Own events with their seqs, for the task that follows the stream.
    acks: mpsc::Sender<(Seq, NewEvent)>,
    contacts: Contacts,
    streams: Streams,
    /// The epochs up to this one.
    changes: Vec<EpochChange>,
    /// The last event that everything derived here covers.
    covered: AtomicU64,
    /// The last event that the stream no longer has.
    removed: AtomicU64,
    newest: AsyncMutex<Option<(Instant, Seq)>>,
    /// Cancelled when the stream is not the one that readers know.
    lost: CancellationToken,
}

impl ClusterLog {
    /// Opens the copy in `dir`, or creates it, and copies what it lacks.
    pub async fn open(dir: &Path, options: LogOptions, found: Found) -> Result<ClusterLog, OpenError> {
        let Found { nats, names, known, info } = found;
        let refused = refusal(&names);
        let failed = |error: LogError| refused(error.to_string());
        let of = CopyOf { epoch: known.epoch, after: known.start };
        let clock = options.clock.clone();
        // The copy has no limits: it removes exactly the events that were removed from the stream.
        let options = LogOptions { retain_age: None, quota: Quota::of(0), ..options };
        let copy = SqliteLog::open_copy(dir, options, of)?;
        let (acks, acked) = mpsc::channel(ACKS_MAX);
        let shared = Arc::new(Shared {
            copy,
            epochs: Epochs::new(nats.clone(), &names),
            nats,
            names: names.clone(),
            contacts: Contacts::new(clock.clone()),
            streams: Streams::new(&names, clock.clone()),
            changes: known.changes(),
            clock,
            acks,
            covered: AtomicU64::new(0),
            removed: AtomicU64::new(known.start.seq.0),
            newest: AsyncMutex::default(),
            lost: CancellationToken::new(),
        });
        let began = Instant::now();
        let contradiction = loop {
            match shared.contradiction(&known, &info).await {
                Err(LogError::Away(_)) if began.elapsed() < START_MAX => {}
                done => break done.map_err(failed)?,
            }
        };
        if let Some(why) = contradiction {
            let now = shared.clock.unix_ms();
            let renewed = shared.epochs.renew(&known, &info, &why, now).await;
            renewed.map_err(|error| refused(error.to_string()))?;
            return Err(refused(format!("{why}, so it begins a new epoch. Start again")));
        }
        shared.contacts.answered_with(shared.clock.running(), &info);
        shared.catch_up(Seq(info.state.last_seq)).await.map_err(failed)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(shared.clone().follow(acked));
        tasks.spawn(shared.clone().check(known));
        tasks.spawn(shared.clone().witness());
        tasks.spawn(shared.clone().watch_streams());
        Ok(ClusterLog { shared, tasks: Mutex::new(tasks) })
    }

    /// Removes the oldest events for all nodes: those older than `age`, and a tenth when the stream is nearly full; but none
    /// after `covered`, which new nodes need.
    pub async fn remove_old(&self, age: Option<Duration>, covered: Seq) -> Result<(), LogError> {
        let Shared { copy, nats, names, clock, .. } = &*self.shared;
        let by_age = match age {
            Some(age) => copy.seek(clock.evident_ms().saturating_sub(millis(age))).await?,
            None => None,
        };
        let info = nats.info(&names.events(), READ_MAX).await.map_err(failure)?;
        let StreamState { first_seq, last_seq, bytes, .. } = info.state;
        let max = info.config["max_bytes"].as_u64().filter(|max| *max > 0);
        let by_size =
            max.filter(|max| bytes > max / 10 * 8).map(|_| Seq(first_seq + (last_seq - first_seq) / 10));
        let Some(through) = by_age.max(by_size) else { return Ok(()) };
        // The newest event stays: a copy finds the next seq from it.
        let through = through.min(covered).min(Seq(last_seq.saturating_sub(1)));
        if through.0 < first_seq {
            return Ok(());
        }
        let Some(link) = copy.link(through).await? else { return Ok(()) };
        self.shared.epochs.start(copy.bounds().epoch, link).await.map_err(failure)?;
        nats.purge(&names.events(), Purge::Before(through.next().0), READ_MAX).await.map_err(failure)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Shared {
    fn last(&self) -> Seq {
        self.copy.bounds().last
    }

    /// Lets the copy remove what the stream no longer has.
    fn trim(&self) {
        let (covered, removed) = (self.covered.load(Ordering::Acquire), self.removed.load(Ordering::Acquire));
        self.copy.retain(Seq(covered.min(removed)));
    }

    async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, LogError> {
        let known = self.copy.find(events.clone()).await?;
        let mut appended = Vec::with_capacity(events.len());
        for (event, known) in events.into_iter().zip(known) {
            appended.push(if known > Seq::ZERO {
                Appended { seq: known, duplicate: true }
            } else {
                self.publish(event).await?
            });
        }
        if let Some(last) = appended.iter().map(|appended| appended.seq).max() {
            // The caller's next read finds its events. The stream has them in any case.
            let _ = tokio::time::timeout(COPY_MAX, self.copy.wait(Seq(last.0.saturating_sub(1)))).await;
        }
        Ok(appended)
    }

    async fn publish(&self, event: NewEvent) -> Result<Appended, LogError> {
        if self.lost.is_cancelled() {
            return Err(LogError::Closed);
        }
        if self.contacts.now().is_away {
            return Err(LogError::Away("NATS has not answered for a while".into()));
        }
        if !self.contacts.knows_ids() {
            return Err(LogError::Away("this node has not had the whole log for five minutes".into()));
        }
        let before = self.last();
        let (id, message) = (HEXLOWER.encode(&key(&event)), envelope::write(&event));
        let (stream, subject) = (self.names.events(), self.names.event());
        let write =
            Write { stream: &stream, subject: &subject, id: Some(&id), expected: None, deletes: false };
        let ack = self.nats.publish(write, message, APPEND_MAX).await.map_err(failure)?;
        let seq = Seq(ack.seq);
        if !ack.duplicate {
            if seq <= before {
                self.contradicted(format!("a new event is stored at {seq}, and this node has one there"))
                    .await;
                return Err(LogError::Closed);
            }
            // If the queue is full, the event is read from the stream.
            let _ = self.acks.try_send((seq, event));
        }
        Ok(Appended { seq, duplicate: ack.duplicate })
    }

    /// Copies the stream up to `last`.
    async fn catch_up(&self, last: Seq) -> Result<(), LogError> {
        let asked = self.clock.running();
        let (mut shown, mut moved) = (Instant::now(), Instant::now());
        while self.last() < last {
            match self.read_next().await {
                Ok(0) => tokio::time::sleep(READ_EVERY).await,
                Ok(_) => moved = Instant::now(),
                Err(LogError::Away(_)) if moved.elapsed() < START_MAX => {}
                Err(error) => return Err(error),
            }
            if shown.elapsed() > Duration::from_secs(5) {
                shown = Instant::now();
                tracing::info!("copying the log: {} of {last}", self.last());
            }
        }
        self.contacts.whole(asked);
        Ok(())
    }

    /// Copies the next events of the stream. Returns their number.
    async fn read_next(&self) -> Result<usize, LogError> {
        let last = self.last();
        let messages = self.nats.read(&self.names.events(), None, last.0, READ_MAX).await.map_err(failure)?;
        let mut events = Vec::with_capacity(messages.len());
        for message in messages {
            if message.seq != last.0 + 1 + events.len() as u64 {
                if events.is_empty() {
                    return Err(LogError::Failed(
                        format!("the stream has no event {}, its next one is {}", last.next(), message.seq)
                            .into(),
                    ));
                }
                break;
            }
            let event = envelope::read(&message.payload)
                .map_err(|error| LogError::Failed(error.to_string().into()))?;
            events.push(event);
        }
        let count = events.len();
        self.copy.copy(last.next(), events).await?;
        Ok(count)
    }

    /// Follows the stream until the log is lost.
    async fn follow(self: Arc<Self>, mut acked: mpsc::Receiver<(Seq, NewEvent)>) {
        let mut bells = loop {
            match self.nats.listen(&self.names.bell(None)).await {
                Ok(bells) => break bells,
                Err(_) => tokio::time::sleep(READ_EVERY).await,
            }
        };
        let mut pending = BTreeMap::new();
        let mut trouble = None;
        while !self.lost.is_cancelled() {
            while let Ok((seq, event)) = acked.try_recv() {
                pending.insert(seq, event);
            }
            let copied = match self.copy_own(&mut pending).await {
                Ok(0) => self.read_next().await,
                Ok(count) => {
                    self.nats.tell(&self.names.bell(None), self.last().to_string().into()).await;
                    Ok(count)
                }
                error => error,
            };
            match copied {
                Ok(0) => trouble = None,
                Ok(_) => {
                    trouble = None;
                    continue;
                }
                Err(error) => {
                    let why = error.to_string();
                    if trouble.as_ref() != Some(&why) {
                        tracing::warn!("the log is not copied: {why}. Roomwatch goes on trying");
                        trouble = Some(why);
                    }
                }
            }
            // Events of other nodes are missing before these.
            if !pending.is_empty() && trouble.is_none() {
                continue;
            }
            tokio::select! {
                Some((seq, event)) = acked.recv() => { pending.insert(seq, event); }
                _ = bells.next() => {}
                () = tokio::time::sleep(READ_EVERY) => {}
                () = self.lost.cancelled() => {}
            }
        }
    }

    /// Copies own events that are the next ones of the stream. Returns their number.
    async fn copy_own(&self, pending: &mut BTreeMap<Seq, NewEvent>) -> Result<usize, LogError> {
        let last = self.last();
        *pending = pending.split_off(&last.next());
        let mut events = Vec::new();
        while let Some(next) = pending.first_entry()
            && next.key().0 == last.0 + 1 + events.len() as u64
        {
            events.push(next.remove());
        }
        let count = events.len();
        self.copy.copy(last.next(), events).await?;
        Ok(count)
    }

    /// Returns the newest event of the stream. One question serves all callers that came before it was sent.
    async fn newest(&self) -> Result<Seq, LogError> {
        let called = Instant::now();
        let mut newest = self.newest.lock().await;
        if let Some((asked, seq)) = *newest
            && asked >= called
        {
            return Ok(seq);
        }
        if let Some((asked, _)) = *newest {
            tokio::time::sleep(ASK_EVERY.saturating_sub(asked.elapsed())).await;
        }
        let asked = Instant::now();
        let info = self.nats.info(&self.names.events(), READ_MAX).await.map_err(failure)?;
        if !info.is_believed() {
            return Err(LogError::Away("the NATS servers are not in touch with each other".into()));
        }
        let seq = Seq(info.state.last_seq);
        *newest = Some((asked, seq));
        Ok(seq)
    }
}

impl EventLog for ClusterLog {
    fn append(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Result<Vec<Appended>, LogError>> {
        self.shared.append(events).boxed()
    }

    fn read(&self, after: Seq, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, LogError>> {
        self.shared.copy.read(after, limit)
    }

    fn wait(&self, after: Seq) -> BoxFuture<'_, ()> {
        self.shared.copy.wait(after)
    }

    fn bounds(&self) -> Bounds {
        self.shared.copy.bounds()
    }

    fn newest(&self) -> BoxFuture<'_, Result<Seq, LogError>> {
        self.shared.newest().boxed()
    }

    fn contact(&self) -> Contact {
        self.shared.contacts.now()
    }

    fn servers(&self) -> Option<Servers> {
        let Shared { contacts, streams, changes, .. } = &*self.shared;
        Some(Servers { streams: streams.all(), epochs: changes.clone(), ..contacts.servers() })
    }

    fn lost(&self) -> BoxFuture<'_, ()> {
        self.shared.lost.cancelled().boxed()
    }

    fn seek(&self, unix_ms: u64) -> BoxFuture<'_, Result<Option<Seq>, LogError>> {
        self.shared.copy.seek(unix_ms)
    }

    fn retain(&self, through: Seq) {
        self.shared.covered.fetch_max(through.0, Ordering::AcqRel);
        self.shared.trim();
    }

    fn close(&self) {
        self.tasks.lock().abort_all();
        self.shared.copy.close();
    }
}

fn failure(error: NatsError) -> LogError {
    match error {
        NatsError::Away(why) => LogError::Away(why),
        NatsError::Full => LogError::Full,
        error => LogError::Failed(error.to_string().into()),
    }
}
