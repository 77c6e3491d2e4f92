//! Fan-out: recent events as encoded frames, shared by every reader.
//!
//! An event is encoded once. A reader is a cursor and a filter and owns no queue: what it has not
//! read yet lies in the shared ring, and what has left the ring lies in the log. So a slow reader
//! costs the others nothing, and itself only the time of reading the log again.
//!
//! Readers with equal filters form a group. An event wakes the groups that want it and touches no
//! other: groups that name rooms are found by the event's room, the rest are asked one by one, and
//! never a reader. A group remembers which of the ring's frames are its own, so that its readers do
//! not search the ring for them either.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::RwLock;
use tokio::sync::{Notify, futures::OwnedNotified};

use crate::{
    derived::{Derived, NO_CHANGES},
    event::{Cursor, Epoch, Seq},
    log::{EventLog, LogError},
    rights::Window,
};

pub mod filter;
pub mod frame;

pub use filter::Filter;
pub use frame::{Frame, View};

/// The ring keeps at most this many bytes of frames. A reader that is further behind reads the log.
const RING_BYTES_MAX: usize = 32 << 20;
/// … and at most this many frames, so that small events cannot make the ring's own table large.
const RING_FRAMES_MAX: usize = 65_536;
/// A group remembers this many of its frames; readers further behind search the ring.
const GROUP_SEQS_MAX: usize = 4_096;
/// A reader gets what waits for it in pieces of about this size: enough for one system call to
/// carry a burst, little enough that a thousand stuck readers hold 16 MiB and not a gigabyte.
pub const BATCH_BYTES: usize = 16 << 10;
/// How many frames of the ring one call looks at before it lets go of the lock.
const RING_SCAN_MAX: usize = 4_096;
/// How many events one step of a replay reads from the log.
const REPLAY_EVENTS: usize = 256;

/// The fan-out of one log.
pub struct Feed {
    epoch: Epoch,
    log: Arc<dyn EventLog>,
    derived: Arc<Derived>,
    inner: RwLock<Inner>,
    /// The last event folded into `State`; a copy of `Inner::head` that needs no lock.
    head: AtomicU64,
    /// Told whenever `head` has moved.
    moved: Notify,
}

struct Inner {
    /// Contiguous by seq: the frame of seq `s` stands at `s - first`.
    ring: VecDeque<Arc<Frame>>,
    bytes: usize,
    head: Seq,
    groups: HashMap<Filter, Arc<Group>>,
    /// Groups whose filter names rooms, by room name. The project is left to the filter: names
    /// that two projects share are rare.
    by_room: HashMap<Arc<str>, Vec<Arc<Group>>>,
    /// Groups whose filter names no room.
    broad: Vec<Arc<Group>>,
}

struct Group {
    filter: Filter,
    /// Changes only under the write lock of `Inner`.
    readers: AtomicUsize,
    wake: Arc<Notify>,
    matched: RwLock<Matched>,
}

/// Which frames of the ring belong to a group: all of them after `since`.
struct Matched {
    since: Seq,
    seqs: VecDeque<Seq>,
}

impl Group {
    fn note(&self, seq: Seq) {
        let mut matched = self.matched.write();
        if matched.seqs.len() == GROUP_SEQS_MAX
            && let Some(dropped) = matched.seqs.pop_front()
        {
            matched.since = dropped;
        }
        matched.seqs.push_back(seq);
    }
}

impl Inner {
    fn first(&self) -> Seq {
        self.ring.front().map_or(self.head.next(), |frame| frame.seq)
    }
}

/// Why a cursor was not honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Retention has removed what comes after it, or the caller may no longer see it.
    Expired,
    /// It is of another log, or no cursor at all.
    UnknownEpoch,
    /// It lies past the newest event: this log never gave it out.
    Ahead,
}

impl Reset {
    pub fn as_str(self) -> &'static str {
        match self {
            Reset::Expired => "expired",
            Reset::UnknownEpoch => "unknown_epoch",
            Reset::Ahead => "ahead",
        }
    }
}

/// Where a reader wants to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// With what comes next.
    Head,
    /// With the oldest event that is kept.
    Start,
    /// After this cursor, as the reader wrote it.
    After(Box<str>),
}

impl Position {
    /// Reads `after=` or `Last-Event-ID`. An empty value is none.
    pub fn parse(text: Option<&str>) -> Position {
        match text {
            None | Some("") => Position::Head,
            Some("start") => Position::Start,
            Some(text) => Position::After(text.into()),
        }
    }
}

impl Feed {
    /// A feed whose ring is empty and whose `State` stands at `head`.
    pub fn new(log: Arc<dyn EventLog>, derived: Arc<Derived>, head: Seq) -> Arc<Feed> {
        Arc::new(Feed {
            epoch: log.bounds().epoch,
            log,
            derived,
            head: AtomicU64::new(head.0),
            moved: Notify::new(),
            inner: RwLock::new(Inner {
                ring: VecDeque::new(),
                bytes: 0,
                head,
                groups: HashMap::new(),
                by_room: HashMap::new(),
                broad: Vec::new(),
            }),
        })
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last event folded into `State`, as a cursor.
    pub fn head(&self) -> Cursor {
        self.cursor(Seq(self.head.load(Ordering::Acquire)))
    }

    /// Waits until `State` has folded the event at `seq`.
    pub async fn reached(&self, seq: Seq) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Before the head is looked at, or it may move between.
            moved.as_mut().enable();
            if self.head().seq >= seq {
                return;
            }
            moved.await;
        }
    }

    pub fn cursor(&self, seq: Seq) -> Cursor {
        Cursor { epoch: self.epoch, seq }
    }

    /// Hands frames to the readers. They continue the ring without a hole, and `State` already
    /// holds what they say.
    pub fn publish(&self, frames: Vec<Arc<Frame>>) {
        let mut woken: Vec<Arc<Group>> = Vec::new();
        {
            let mut inner = self.inner.write();
            for frame in frames {
                debug_assert_eq!(frame.seq, inner.head.next(), "the ring has no holes");
                let seq = frame.seq;
                let named = frame.room.as_ref().and_then(|room| inner.by_room.get(room));
                for group in named.into_iter().flatten().chain(&inner.broad) {
                    if group.filter.matches(&frame) {
                        group.note(seq);
                        if !woken.iter().any(|other| Arc::ptr_eq(other, group)) {
                            woken.push(group.clone());
                        }
                    }
                }
                inner.head = seq;
                inner.bytes += frame.bytes();
                inner.ring.push_back(frame);
                while inner.ring.len() > RING_FRAMES_MAX
                    || (inner.bytes > RING_BYTES_MAX && inner.ring.len() > 1)
                {
                    if let Some(old) = inner.ring.pop_front() {
                        inner.bytes -= old.bytes();
                    }
                }
            }
            self.head.store(inner.head.0, Ordering::Release);
        }
        // Outside the lock: those who wake want to read at once.
        self.moved.notify_waiters();
        for group in woken {
            group.wake.notify_waiters();
        }
    }

    /// The rooms of `project` that somebody reads by name: they are being watched.
    pub fn watched(&self, project: &str) -> Vec<Arc<str>> {
        let inner = self.inner.read();
        let named = inner
            .by_room
            .iter()
            .filter(|(room, groups)| groups.iter().any(|group| group.filter.area().has(project, Some(room))));
        named.map(|(room, _)| room.clone()).collect()
    }

    /// Wakes every reader, whatever it waits for, so that it looks at the time and at its rights.
    pub fn wake_all(&self) {
        let groups: Vec<_> = self.inner.read().groups.values().cloned().collect();
        for group in groups {
            group.wake.notify_waiters();
        }
    }

    /// Finds the place a reader asked for, within its window.
    pub fn locate(&self, from: &Position, window: &Window) -> Result<Seq, Reset> {
        let head = self.head().seq;
        let bounds = self.log.bounds();
        let oldest = bounds.first.max(window.earliest().unwrap_or(Seq::ZERO)).0.saturating_sub(1);
        match from {
            Position::Head => Ok(head),
            Position::Start => Ok(Seq(oldest.min(head.0))),
            Position::After(text) => {
                let cursor: Cursor = text.parse().map_err(|_| Reset::UnknownEpoch)?;
                if cursor.epoch != self.epoch {
                    Err(Reset::UnknownEpoch)
                } else if cursor.seq > head {
                    Err(Reset::Ahead)
                } else if cursor.seq.0 < oldest {
                    Err(Reset::Expired)
                } else {
                    Ok(cursor.seq)
                }
            }
        }
    }

    /// A reader that has seen everything up to `after`.
    pub fn subscribe(self: &Arc<Self>, filter: Filter, after: Seq) -> Subscription {
        let group = {
            let mut inner = self.inner.write();
            let group = match inner.groups.get(&filter) {
                Some(group) => group.clone(),
                None => {
                    let head = inner.head;
                    let group = Arc::new(Group {
                        filter: filter.clone(),
                        readers: AtomicUsize::new(0),
                        wake: Arc::new(Notify::new()),
                        matched: RwLock::new(Matched { since: head, seqs: VecDeque::new() }),
                    });
                    match filter.area().rooms() {
                        Some(rooms) => {
                            for room in rooms {
                                inner.by_room.entry(room.clone()).or_default().push(group.clone());
                            }
                        }
                        None => inner.broad.push(group.clone()),
                    }
                    inner.groups.insert(filter, group.clone());
                    group
                }
            };
            group.readers.fetch_add(1, Ordering::Relaxed);
            group
        };
        let waiting = group.wake.clone().notified_owned();
        Subscription { feed: self.clone(), group, position: after, waiting: Box::pin(waiting) }
    }

    /// Lets go of a group when its last reader has gone.
    fn leave(&self, group: &Arc<Group>) {
        let mut inner = self.inner.write();
        if group.readers.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        inner.groups.remove(&group.filter);
        match group.filter.area().rooms() {
            Some(rooms) => {
                for room in rooms {
                    if let Some(groups) = inner.by_room.get_mut(room) {
                        groups.retain(|other| !Arc::ptr_eq(other, group));
                        if groups.is_empty() {
                            inner.by_room.remove(room);
                        }
                    }
                }
            }
            None => inner.broad.retain(|other| !Arc::ptr_eq(other, group)),
        }
    }

    /// One step of reading the log: the frames after `after` that `filter` lets through, until
    /// `bytes_max` is reached, and the position scanned up to.
    pub async fn replay(
        &self,
        filter: &Filter,
        after: Seq,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<Replayed, ReplayError> {
        // Not past the head: what is durable but not folded has no changes yet.
        let head = self.head().seq;
        let wanted = usize::try_from(head.0.saturating_sub(after.0)).unwrap_or(usize::MAX);
        let limit = wanted.min(events_max);
        if limit == 0 {
            return Ok(Replayed { frames: Vec::new(), scanned: after });
        }
        let events = self.log.read(after, limit).await?;
        let Some(last) = events.last().map(|event| event.seq) else {
            return Err(ReplayError::Expired);
        };
        if events[0].seq != after.next() {
            return Err(ReplayError::Expired);
        }
        let matching: Vec<_> = events.iter().filter(|event| filter.admits_event(event)).collect();
        let (Some(low), Some(high)) = (matching.first(), matching.last()) else {
            return Ok(Replayed { frames: Vec::new(), scanned: last });
        };
        let changes = self
            .derived
            .changes(Seq(low.seq.0 - 1), high.seq)
            .await
            .map_err(|error| ReplayError::Changes(error.to_string()))?;
        let mut changes = changes.into_iter().peekable();
        let mut frames = Vec::new();
        let mut bytes = 0;
        for event in matching {
            while changes.next_if(|row| row.seq < event.seq).is_some() {}
            let row = changes.next_if(|row| row.seq == event.seq);
            let (json, joined) = match &row {
                Some(row) => (&row.json[..], row.joined.as_deref()),
                // Without its row nobody can say whether a narrow reader may see it.
                None => (&NO_CHANGES[..], Some(&NO_CHANGES[..])),
            };
            let frame = Frame::encode(self.epoch, event, json, joined);
            if !filter.matches(&frame) {
                continue;
            }
            bytes += frame.bytes();
            let seq = frame.seq;
            frames.push(Arc::new(frame));
            if bytes >= bytes_max {
                return Ok(Replayed { frames, scanned: seq });
            }
        }
        Ok(Replayed { frames, scanned: last })
    }
}

/// What one step of reading the log gave.
pub struct Replayed {
    pub frames: Vec<Arc<Frame>>,
    /// Everything up to here was looked at.
    pub scanned: Seq,
}

/// Why a replay could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Retention overtook the reader.
    #[error("what comes next has been removed by retention")]
    Expired,
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the changes could not be read: {0}")]
    Changes(String),
}

/// One reader: a cursor and a filter. It owns no queue.
pub struct Subscription {
    feed: Arc<Feed>,
    group: Arc<Group>,
    /// Everything up to here has been scanned.
    position: Seq,
    waiting: std::pin::Pin<Box<OwnedNotified>>,
}

/// What a look at the ring gave.
pub enum Ready {
    /// Frames to write, and there may be more.
    Frames(Vec<Arc<Frame>>),
    /// The reader is further behind than the ring reaches: [`Subscription::replay`] comes next.
    Behind,
    /// The reader is at the head.
    CaughtUp,
}

impl Subscription {
    /// Everything up to here has been scanned; a reader may resume after it.
    pub fn cursor(&self) -> Cursor {
        self.feed.cursor(self.position)
    }

    pub fn filter(&self) -> &Filter {
        &self.group.filter
    }

    /// Moves to where a replay step came to.
    pub fn advance(&mut self, to: Seq) {
        self.position = self.position.max(to);
    }

    /// The next frames from memory for a reader who has seen everything up to `cursor`, about `bytes_max` of
    /// them, and the cursor moved behind what was looked at. Never waits.
    ///
    /// Readers with equal filters may share one subscription and differ in nothing but their cursors.
    pub fn ready(&self, cursor: &mut Seq, bytes_max: usize) -> Ready {
        let inner = self.feed.inner.read();
        if *cursor >= inner.head {
            return Ready::CaughtUp;
        }
        let first = inner.first();
        if cursor.next() < first {
            return Ready::Behind;
        }
        let mut frames = Vec::new();
        let mut bytes = 0;
        let at = |seq: Seq| usize::try_from(seq.0 - first.0).ok().and_then(|i| inner.ring.get(i));

        let matched = self.group.matched.read();
        if *cursor >= matched.since {
            let from = matched.seqs.partition_point(|seq| *seq <= *cursor);
            for seq in matched.seqs.range(from..) {
                let Some(frame) = at(*seq) else { break };
                bytes += frame.bytes();
                frames.push(frame.clone());
                if bytes >= bytes_max {
                    *cursor = *seq;
                    return Ready::Frames(frames);
                }
            }
            *cursor = inner.head;
        } else {
            // Frames from before the group was there, or more than it remembers.
            let mut scanned = 0;
            while *cursor < inner.head && scanned < RING_SCAN_MAX && bytes < bytes_max {
                *cursor = cursor.next();
                scanned += 1;
                if let Some(frame) = at(*cursor)
                    && self.group.filter.matches(frame)
                {
                    bytes += frame.bytes();
                    frames.push(frame.clone());
                }
            }
        }
        if frames.is_empty() && *cursor >= inner.head { Ready::CaughtUp } else { Ready::Frames(frames) }
    }

    /// One step of catching up from the log.
    pub fn replay(
        &self,
        cursor: Seq,
    ) -> impl Future<Output = Result<Replayed, ReplayError>> + Send + 'static {
        let (feed, group) = (self.feed.clone(), self.group.clone());
        async move { feed.replay(&group.filter, cursor, REPLAY_EVENTS, BATCH_BYTES).await }
    }

    /// The next frames, waited for. Empty when it was woken for something else than an event.
    ///
    /// May be dropped at any time: what was not returned is returned by the next call.
    pub async fn next(&mut self) -> Result<Vec<Arc<Frame>>, ReplayError> {
        loop {
            let mut cursor = self.position;
            let ready = self.ready(&mut cursor, BATCH_BYTES);
            self.position = cursor;
            match ready {
                Ready::Frames(frames) if frames.is_empty() => {}
                Ready::Frames(frames) => return Ok(frames),
                Ready::Behind => {
                    let Replayed { frames, scanned } = self.replay(self.position).await?;
                    self.advance(scanned);
                    if !frames.is_empty() {
                        return Ok(frames);
                    }
                }
                Ready::CaughtUp => {
                    std::future::poll_fn(|cx| self.poll_wake(cx)).await;
                    self.listen();
                    return Ok(Vec::new());
                }
            }
        }
    }

    /// Starts to listen. To be called before the last [`Subscription::ready`] of a round, so that
    /// nothing slips in between looking and waiting.
    pub fn listen(&mut self) {
        self.waiting.set(self.group.wake.clone().notified_owned());
        self.waiting.as_mut().enable();
    }

    /// Ready once something was published for this reader since [`Subscription::listen`].
    pub fn poll_wake(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        self.waiting.as_mut().poll(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.feed.leave(&self.group);
    }
}
