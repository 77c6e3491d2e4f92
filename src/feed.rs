//! Fan-out: recent events as encoded frames, shared by every reader.
//!
//! An event is encoded once. A reader is a cursor and a filter, without a queue: the events that it has not read are
//! in the shared ring, and the older ones are in the log. So a slow reader costs the others nothing, and costs itself
//! only reads from the log.
//!
//! Readers with equal filters form a group. An event wakes the groups whose filter matches, and no others. Groups
//! that name rooms are found by the room of the event; the filters of all other groups are tested one by one. A group
//! remembers its own frames of the ring, so its readers do not search the ring.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::{RwLock, RwLockUpgradableReadGuard as UpgradableGuard};
use tokio::sync::{Notify, futures::OwnedNotified};

use crate::{
    derived::{Derived, Joined, NO_CHANGES},
    event::{Cursor, Epoch, Seq},
    log::{EventLog, LogError},
    rights::Window,
};

pub mod filter;
pub mod frame;
mod types;

pub use filter::Filter;
pub use frame::{Frame, View};
pub use types::Types;

/// Maximum bytes of frames in the ring. A reader that is further behind reads the log.
const RING_BYTES_MAX: usize = 32 << 20;
/// Maximum number of frames in the ring. It limits the ring's own table if events are small.
const RING_FRAMES_MAX: usize = 65_536;
/// Maximum number of frames that a group remembers. Readers further behind search the ring.
const GROUP_SEQS_MAX: usize = 4_096;
/// Approximate size of the pieces in which a reader gets its backlog. It is enough for one system call to send a
/// burst, and small enough that a thousand stuck readers hold 16 MiB and not a gigabyte.
pub const BATCH_BYTES: usize = 16 << 10;
/// Maximum number of frames of the ring that one call scans.
const RING_SCAN_MAX: usize = 1_024;
/// Maximum number of events that one step of a replay reads from the log.
const REPLAY_EVENTS: usize = 256;

/// The fan-out of one log.
pub struct Feed {
    epoch: Epoch,
    log: Arc<dyn EventLog>,
    derived: Arc<Derived>,
    inner: RwLock<Inner>,
    /// The last event folded into `State`; a copy of `Inner::head` that needs no lock.
    head: AtomicU64,
    /// Notified when `head` has moved.
    moved: Notify,
}

struct Inner {
    /// Contiguous by seq: the frame of seq `s` has index `s - first`.
    ring: VecDeque<Arc<Frame>>,
    bytes: usize,
    head: Seq,
    groups: HashMap<Filter, Arc<Group>>,
    /// Groups whose filter names rooms, by room name. The filter tests the project: two projects rarely have a room of
    /// the same name.
    by_room: HashMap<Arc<str>, Vec<Arc<Group>>>,
    /// Groups whose filter does not name rooms.
    broad: Vec<Arc<Group>>,
}

struct Group {
    filter: Filter,
    /// Changes only under the write lock of `Inner`.
    readers: AtomicUsize,
    wake: Arc<Notify>,
    matched: RwLock<Matched>,
}

/// The frames of the ring after `since` that match the filter of a group.
struct Matched {
    since: Seq,
    seqs: VecDeque<Seq>,
    /// First event of the last batch that the group was woken for.
    woken_for: Seq,
}

impl Group {
    /// Notes a frame that matches. Returns true for the first one of a batch: then the group must be woken.
    fn note(&self, seq: Seq, batch: Seq) -> bool {
        let mut matched = self.matched.write();
        if matched.seqs.len() == GROUP_SEQS_MAX
            && let Some(dropped) = matched.seqs.pop_front()
        {
            matched.since = dropped;
        }
        matched.seqs.push_back(seq);
        std::mem::replace(&mut matched.woken_for, batch) != batch
    }
}

impl Inner {
    fn first(&self) -> Seq {
        self.ring.front().map_or(self.head.next(), |frame| frame.seq)
    }
}

/// Reason why a cursor cannot be honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Retention has removed the events after it, or the caller may no longer see them.
    Expired,
    /// It belongs to another log, or it is not a cursor.
    UnknownEpoch,
    /// It is later than the newest event: this log never issued it.
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

/// Position at which a reader begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// After the newest event.
    Head,
    /// Before the oldest event in the log.
    Start,
    /// After this cursor. The text comes from the client and is not checked yet.
    After(Box<str>),
}

impl Position {
    /// Reads `after=` or `Last-Event-ID`. An empty value counts as none.
    pub fn parse(text: Option<&str>) -> Position {
        match text {
            None | Some("") => Position::Head,
            Some("start") => Position::Start,
            Some(text) => Position::After(text.into()),
        }
    }
}

impl Feed {
    /// Returns a feed with an empty ring. `head` is the last event folded into `State`.
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

    /// Returns the unix milliseconds at which this node last had every event, if that is some seconds ago.
    pub fn fresh_at(&self) -> Option<u64> {
        self.log.contact().fresh_at
    }

    /// Returns the cursor of the last event folded into `State`.
    pub fn head(&self) -> Cursor {
        self.cursor(Seq(self.head.load(Ordering::Acquire)))
    }

    /// Waits until `State` has folded the event at `seq`.
    pub async fn reached(&self, seq: Seq) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Registered before the check, or a move between the check and the wait would be missed.
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

    /// Publishes frames to the readers. They must continue the ring without a gap, and `State` must already contain
    /// their changes.
    pub fn publish(&self, frames: Vec<Arc<Frame>>) {
        let Some(batch) = frames.first().map(|frame| frame.seq) else { return };
        let mut woken: Vec<Arc<Group>> = Vec::new();
        {
            // No group joins or leaves from here on, and readers of the ring go on while the filters are tested.
            let inner = self.inner.upgradable_read();
            let mut matches: Vec<(Arc<Group>, Seq)> = Vec::new();
            for frame in &frames {
                let named = frame.room.as_ref().and_then(|room| inner.by_room.get(room));
                let groups = named.into_iter().flatten().chain(&inner.broad);
                let matching = groups.filter(|group| group.filter.matches(frame));
                matches.extend(matching.map(|group| (group.clone(), frame.seq)));
            }
            let mut inner = UpgradableGuard::upgrade(inner);
            woken.extend(
                matches.into_iter().filter_map(|(group, seq)| group.note(seq, batch).then_some(group)),
            );
            for frame in frames {
                debug_assert_eq!(frame.seq, inner.head.next(), "the ring has no gaps");
                inner.head = frame.seq;
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
        // Outside the lock: readers that wake take it at once.
        self.moved.notify_waiters();
        for group in woken {
            group.wake.notify_waiters();
        }
    }

    /// Returns the rooms of `project` that the filter of some reader names.
    pub fn watched(&self, project: &str) -> Vec<Arc<str>> {
        let inner = self.inner.read();
        let named = inner
            .by_room
            .iter()
            .filter(|(room, groups)| groups.iter().any(|group| group.filter.area().has(project, Some(room))));
        named.map(|(room, _)| room.clone()).collect()
    }

    /// Wakes every reader, so that it checks its rights and the time.
    pub fn wake_all(&self) {
        let groups: Vec<_> = self.inner.read().groups.values().cloned().collect();
        for group in groups {
            group.wake.notify_waiters();
        }
    }

    /// Returns the event after which a reader begins, within its window.
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

    /// Returns a subscription for the events after `after`.
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
                        matched: RwLock::new(Matched {
                            since: head,
                            seqs: VecDeque::new(),
                            woken_for: Seq::ZERO,
                        }),
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

    /// Removes a reader from its group, and the group with its last reader.
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

    /// Reads one step from the log: the frames after `after` that match `filter`, until `bytes_max` is reached, and
    /// the position scanned up to.
    pub async fn replay(
        &self,
        filter: &Filter,
        after: Seq,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<Replayed, ReplayError> {
        // At most up to the head: later events are durable, but not folded, so they have no changes yet.
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
                Some(row) => (&row.json[..], row.joined.as_ref()),
                // Without its row it is unknown whether a `roomJoin` reader may see the event. So it may not.
                None => (&NO_CHANGES[..], Some(&Joined::NOTHING)),
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

/// Result of one step of a replay.
pub struct Replayed {
    pub frames: Vec<Arc<Frame>>,
    /// The last event that was scanned.
    pub scanned: Seq,
}

/// Reason why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Retention has overtaken the reader.
    #[error("retention has removed the next events")]
    Expired,
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("cannot read the changes: {0}")]
    Changes(String),
}

/// One reader: a cursor and a filter. It owns no queue.
pub struct Subscription {
    feed: Arc<Feed>,
    group: Arc<Group>,
    /// The last event that was scanned.
    position: Seq,
    waiting: std::pin::Pin<Box<OwnedNotified>>,
}

/// Result of reading the ring.
pub enum Ready {
    /// Frames to write. There may be more.
    Frames(Vec<Arc<Frame>>),
    /// The next events are no longer in the ring: call [`Subscription::replay`].
    Behind,
    /// The reader is at the head.
    CaughtUp,
}

impl Subscription {
    /// Returns the cursor of the last event that was scanned. A reader may resume after it.
    pub fn cursor(&self) -> Cursor {
        self.feed.cursor(self.position)
    }

    pub fn filter(&self) -> &Filter {
        &self.group.filter
    }

    /// Moves to the position that a replay has reached.
    pub fn advance(&mut self, to: Seq) {
        self.position = self.position.max(to);
    }

    /// Returns the next frames from the ring after `cursor`, about `bytes_max` bytes of them, and moves the cursor to
    /// the last event that was scanned. Never waits.
    ///
    /// Readers with equal filters may share one subscription, each with its own cursor.
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
            // The cursor is earlier than the frames that the group remembers. They are tested without the lock.
            let from = usize::try_from(cursor.0 + 1 - first.0).unwrap_or(usize::MAX);
            let scan: Vec<_> = inner.ring.iter().skip(from).take(RING_SCAN_MAX).cloned().collect();
            drop((matched, inner));
            for frame in scan {
                *cursor = frame.seq;
                if self.group.filter.matches(&frame) {
                    bytes += frame.bytes();
                    frames.push(frame);
                    if bytes >= bytes_max {
                        break;
                    }
                }
            }
            return Ready::Frames(frames);
        }
        if frames.is_empty() { Ready::CaughtUp } else { Ready::Frames(frames) }
    }

    /// Reads one step from the log, to catch up.
    pub fn replay(
        &self,
        cursor: Seq,
    ) -> impl Future<Output = Result<Replayed, ReplayError>> + Send + 'static {
        let (feed, group) = (self.feed.clone(), self.group.clone());
        async move { feed.replay(&group.filter, cursor, REPLAY_EVENTS, BATCH_BYTES).await }
    }

    /// Waits for the next frames. Returns none if it was woken, but not by an event.
    ///
    /// The future may be dropped at any time: the next call returns the same frames.
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

    /// Registers for the next wake-up. Call this before the last [`Subscription::ready`] of a round, so that no event
    /// is missed between reading and waiting.
    pub fn listen(&mut self) {
        self.waiting.set(self.group.wake.clone().notified_owned());
        self.waiting.as_mut().enable();
    }

    /// Ready once the group has been woken after [`Subscription::listen`].
    pub fn poll_wake(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        self.waiting.as_mut().poll(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.feed.leave(&self.group);
    }
}
