//! The sockets of server-sent events. A few threads write to them; each thread has its share of the readers.
//!
//! ```text
//! hyper: request ─▶ head of the answer, `connected` ─▶ Handover ─▶ Shards::take ─▶ one shard, until the end
//! ```
//!
//! A stream only writes, and a server has thousands of them. A task, a timer and hyper's buffers for each would
//! cost 14 KiB a reader, and more processor time than the system call that sends the event. So the socket leaves
//! hyper as soon as the answer has begun. From then on a reader is a cursor, a socket, and the bytes that a full
//! socket did not accept.
//!
//! Readers with equal filters form a group with one [`Subscription`]. When the subscription has news, its frames are
//! looked up once, and every reader with the same cursor gets the same bytes with one `writev(2)`. A reader that is
//! further behind than the ring gets its events from the log; a task of the runtime reads them. The shard does not
//! write to a full socket until the kernel reports that it is writable: a client that never reads costs no system
//! call.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io::{self, ErrorKind, Read},
    net::Shutdown,
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use mio::{Events, Interest, Token, net::TcpStream};
use parking_lot::Mutex;
use slab::Slab;
use tokio::{runtime::Handle, time::Instant};
use tokio_util::task::task_tracker::TaskTrackerToken;

mod socket;

use crate::{
    clock::Clock,
    event::Seq,
    feed::{BATCH_BYTES, Feed, Filter, Frame, Ready, ReplayError, Replayed, Reset, Subscription, View},
    metrics::Metrics,
    server::{
        connections::{Connected, Slot},
        stream::{
            handover::NewReader,
            message::{self, Framing},
            open::OpenStream,
        },
    },
};
use socket::{PIECES_MAX, Written, write, write_rest};

/// Maximum bytes that a client may send after its request. A client of a stream has no reason to send any; one that
/// sends more is closed.
const INPUT_BYTES_MAX: usize = 16 << 10;
/// Maximum time to write the `bye` to a full socket.
const BYE_TIME_MAX: Duration = Duration::from_secs(2);
/// Maximum number of kernel events that one poll returns.
const EVENTS_MAX: usize = 1_024;

const WAKE: Token = Token(usize::MAX);

/// All shards, one for each processor. Dropping them ends every stream.
pub struct Shards {
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
    next: AtomicUsize,
}

impl Shards {
    /// Starts the threads. Must be called within a runtime, which reads the log for them.
    pub fn start(
        feed: &Arc<Feed>,
        metrics: &Arc<Metrics>,
        heartbeat: Duration,
        stalled_max: Option<Duration>,
        clock: &Clock,
    ) -> io::Result<Shards> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let mut shards = Shards { inboxes: Vec::new(), threads: Vec::new(), next: AtomicUsize::new(0) };
        for n in 0..count {
            let poll = mio::Poll::new()?;
            let inbox =
                Arc::new(Inbox { jobs: Mutex::default(), waker: mio::Waker::new(poll.registry(), WAKE)? });
            let shard = Shard {
                feed: feed.clone(),
                metrics: metrics.clone(),
                heartbeat,
                stalled_max,
                clock: clock.clone(),
                runtime: Handle::current(),
                poll,
                inbox: inbox.clone(),
                readers: Slab::new(),
                groups: Slab::new(),
                by_filter: HashMap::new(),
                timers: BinaryHeap::new(),
                batch: None,
                generation: 0,
            };
            shards.inboxes.push(inbox);
            let run = move || {
                // Without the thread its readers, and all later ones, would get nothing and no error. A restart of
                // the process is better.
                if catch_unwind(AssertUnwindSafe(|| shard.run())).is_err() {
                    process::abort();
                }
            };
            shards.threads.push(thread::Builder::new().name(format!("shard-{n}")).spawn(run)?);
        }
        Ok(shards)
    }

    /// Takes over a connection whose answer has begun. hyper must have sent all of it so far. `token` is dropped when
    /// the connection ends.
    pub fn take(&self, connected: Connected, new: NewReader, token: TaskTrackerToken) {
        let (socket, held) = connected.into_parts();
        let socket = match socket.into_std() {
            Ok(socket) => TcpStream::from_std(socket),
            Err(error) => {
                return tracing::warn!("a stream is closed, its socket cannot move to a shard: {error}");
            }
        };
        // Round robin: readers cost about the same.
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.inboxes.len();
        self.inboxes[next].push(Job::Take(Box::new((socket, new, (held, token)))));
    }

    /// Makes every stream check its right and the time now, because a sign-in has ended or the drain has begun.
    pub fn check_all(&self) {
        self.inboxes.iter().for_each(|inbox| inbox.push(Job::CheckAll));
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.inboxes.iter().for_each(|inbox| inbox.push(Job::Stop));
        for thread in self.threads.drain(..) {
            // A thread that panicked has aborted the process.
            let _ = thread.join();
        }
    }
}

/// Held by a stream until its end: its connection slot, and the token for which the shutdown waits.
type Held = (Slot, TaskTrackerToken);

enum Job {
    Take(Box<(TcpStream, NewReader, Held)>),
    /// Events were published for this group.
    News(usize),
    /// Events read from the log for reader `number`. `generation` guards against a reused number.
    Replayed {
        number: usize,
        generation: u64,
        result: Result<Replayed, ReplayError>,
    },
    CheckAll,
    Stop,
}

/// Jobs for a shard from other threads. At most one for each of its readers and groups.
struct Inbox {
    jobs: Mutex<Vec<Job>>,
    waker: mio::Waker,
}

impl Inbox {
    fn push(&self, job: Job) {
        let first = {
            let mut jobs = self.jobs.lock();
            jobs.push(job);
            jobs.len() == 1
        };
        // The shard takes all jobs at once, so the first job wakes it for all. Waking fails only if the kernel is out
        // of memory; then the shard's next timer takes the jobs.
        if first && let Err(error) = self.waker.wake() {
            tracing::error!("a shard cannot be woken: {error}");
        }
    }
}

/// Wakes a shard when a group has news.
struct News {
    inbox: Arc<Inbox>,
    group: usize,
}

impl Wake for News {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.inbox.push(Job::News(self.group));
    }
}

/// Readers with equal filters.
struct Group {
    subscription: Subscription,
    view: View,
    news: Waker,
    readers: Vec<usize>,
}

struct Reader {
    socket: TcpStream,
    group: usize,
    /// Index in the group's list of readers.
    index: usize,
    cursor: Seq,
    framing: Framing,
    /// Bytes to write before any frame: the rest of a frame, or a message for this reader alone.
    rest: Vec<Bytes>,
    /// Time since when the kernel accepts no more bytes. It reports when that changes.
    full_since: Option<Instant>,
    replaying: bool,
    /// Number of bytes that the client has sent since its request.
    input_bytes: usize,
    ping_at: Instant,
    /// Time of the next check. A timer with another time is obsolete.
    check_at: Instant,
    /// Set once `bye` is queued. The socket closes when `bye` is written, at the latest at this time.
    close_at: Option<Instant>,
    /// Differs from that of every earlier reader with the same number.
    generation: u64,
    open: OpenStream,
    _held: Held,
}

/// Frames of a group after one cursor, for every reader with that cursor.
struct Batch {
    group: usize,
    from: Seq,
    framing: Framing,
    to: Seq,
    /// True if there are no events after these.
    caught_up: bool,
    pieces: Vec<(Seq, Bytes)>,
}

struct Shard {
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    heartbeat: Duration,
    /// Maximum time for which a client may read nothing while there is something to read.
    stalled_max: Option<Duration>,
    clock: Clock,
    runtime: Handle,
    poll: mio::Poll,
    inbox: Arc<Inbox>,
    readers: Slab<Reader>,
    groups: Slab<Group>,
    by_filter: HashMap<Filter, usize>,
    /// Time of the next check of each reader, and some obsolete ones.
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    /// The batch that was written last. Most readers have the same cursor as the reader before.
    batch: Option<Batch>,
    /// Number of readers taken so far.
    generation: u64,
}

impl Shard {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let next =
                self.timers.peek().map(|Reverse((at, _))| at.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, next) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // It fails only because of a bug, and without it no reader of this shard gets anything.
                Err(error) => panic!("a shard cannot poll its sockets: {error}"),
            }
            for event in events.iter().filter(|event| event.token() != WAKE) {
                let Token(number) = event.token();
                if event.is_writable()
                    && let Some(reader) = self.readers.get_mut(number)
                {
                    reader.full_since = None;
                    self.advance(number);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.read_input(number);
                }
            }
            let jobs = std::mem::take(&mut *self.inbox.jobs.lock());
            for job in jobs {
                match job {
                    Job::Take(taken) => self.take(*taken),
                    Job::News(group) => self.on_news(group),
                    Job::Replayed { number, generation, result } => {
                        self.on_replayed(number, generation, result);
                    }
                    Job::CheckAll => self.check_all(),
                    Job::Stop => return,
                }
            }
            self.run_timers();
            self.batch = None;
        }
    }

    fn take(&mut self, (mut socket, new, held): (TcpStream, NewReader, Held)) {
        let NewReader { open, filter, cursor, framing } = new;
        let number = self.readers.vacant_key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut socket, Token(number), interest) {
            // The client reconnects with its cursor.
            tracing::warn!("a stream is closed, its socket cannot be polled: {error}");
            return;
        }
        let now = Instant::now();
        let ping_at = now + message::ping_in(self.heartbeat);
        let check_at = open.next_check(ping_at);
        let group = self.group(filter, cursor);
        self.generation += 1;
        self.readers.insert(Reader {
            socket,
            group,
            index: self.groups[group].readers.len(),
            cursor,
            framing,
            rest: Vec::new(),
            full_since: None,
            replaying: false,
            input_bytes: 0,
            ping_at,
            check_at,
            close_at: None,
            generation: self.generation,
            open,
            _held: held,
        });
        self.groups[group].readers.push(number);
        self.timers.push(Reverse((check_at, number)));
        self.advance(number);
    }

    /// Returns the group with this filter, or a new one if no reader of this shard has the filter.
    fn group(&mut self, filter: Filter, cursor: Seq) -> usize {
        if let Some(group) = self.by_filter.get(&filter) {
            return *group;
        }
        let group = self.groups.vacant_key();
        let news = Waker::from(Arc::new(News { inbox: self.inbox.clone(), group }));
        self.groups.insert(Group {
            view: filter.view(),
            subscription: self.feed.subscribe(filter.clone(), cursor),
            news,
            readers: Vec::new(),
        });
        self.by_filter.insert(filter, group);
        self.listen(group);
        group
    }

    /// Registers for the next news. Call this before reading the present events, so that none is missed between.
    fn listen(&mut self, group: usize) {
        let Group { subscription, news, .. } = &mut self.groups[group];
        loop {
            subscription.listen();
            if subscription.poll_wake(&mut Context::from_waker(news)) == Poll::Pending {
                return;
            }
        }
    }

    fn on_news(&mut self, group: usize) {
        // The group may have ended, and a new one may have its number. Then the check finds nothing, which is
        // harmless.
        if !self.groups.contains(group) {
            return;
        }
        self.listen(group);
        // From the end: a reader that is removed is replaced by the last one, which has already been advanced.
        for index in (0..self.groups[group].readers.len()).rev() {
            self.advance(self.groups[group].readers[index]);
        }
    }

    /// Writes the events after a reader's cursor, as long as its socket accepts them.
    fn advance(&mut self, number: usize) {
        loop {
            let Some(reader) = self.readers.get_mut(number) else { return };
            if reader.full_since.is_some() {
                return;
            }
            if !reader.rest.is_empty() {
                match write_rest(&mut reader.socket, &mut reader.rest) {
                    Ok(()) if reader.rest.is_empty() => {}
                    Ok(()) => return reader.full_since = Some(Instant::now()),
                    Err(_) => return self.remove(number),
                }
            }
            if reader.close_at.is_some() {
                let _ = reader.socket.shutdown(Shutdown::Write);
                return self.remove(number);
            }
            if reader.replaying {
                return;
            }
            let (group, from, framing) = (reader.group, reader.cursor, reader.framing);
            let same = |batch: &Batch| (batch.group, batch.from, batch.framing) == (group, from, framing);
            if !self.batch.as_ref().is_some_and(same) {
                let mut cursor = from;
                match self.groups[group].subscription.ready(&mut cursor, BATCH_BYTES) {
                    Ready::CaughtUp => return reader.cursor = cursor,
                    Ready::Behind => {
                        reader.replaying = true;
                        let replay = self.groups[group].subscription.replay(from);
                        let (inbox, generation) = (self.inbox.clone(), reader.generation);
                        self.runtime.spawn(async move {
                            inbox.push(Job::Replayed { number, generation, result: replay.await });
                        });
                        return;
                    }
                    Ready::Frames(frames) => {
                        let caught_up = cursor >= self.feed.head().seq;
                        let mut batch =
                            Batch { group, from, framing, to: cursor, caught_up, pieces: Vec::new() };
                        batch.fill(&frames, self.groups[group].view);
                        self.batch = Some(batch);
                    }
                }
            }
            let Some(batch) = &self.batch else { return };
            match write(&mut reader.socket, batch.pieces.iter().map(|(_, piece)| piece)) {
                Ok(Written::All) => {
                    reader.cursor = batch.to;
                    if batch.caught_up {
                        return;
                    }
                }
                Ok(Written::Part(bytes)) => return reader.keep_rest(batch, bytes),
                Err(_) => return self.remove(number),
            }
        }
    }

    /// Queues the events that were read from the log.
    fn on_replayed(&mut self, number: usize, generation: u64, result: Result<Replayed, ReplayError>) {
        let reader = self.readers.get_mut(number).filter(|reader| reader.generation == generation);
        let Some(reader) = reader else { return };
        reader.replaying = false;
        match result {
            Ok(Replayed { frames, scanned }) => {
                let view = self.groups[reader.group].view;
                for frame in frames {
                    frame.put_sse(&mut reader.rest, view, reader.framing == Framing::Chunked);
                }
                reader.cursor = scanned;
            }
            Err(ReplayError::Expired) => {
                let head = self.feed.head();
                self.metrics.stream("reset");
                reader.queue(&message::connected(head, false, Some(Reset::Expired)));
                reader.cursor = head.seq;
            }
            Err(error) => {
                // The client reconnects with its cursor and loses nothing.
                tracing::warn!("a stream is closed, its events cannot be read from the log: {error}");
                return self.remove(number);
            }
        }
        self.advance(number);
    }

    fn check_all(&mut self) {
        for (number, reader) in self.readers.iter_mut().filter(|(_, reader)| reader.close_at.is_none()) {
            reader.check_at = reader.open.next_check(reader.ping_at);
            self.timers.push(Reverse((reader.check_at, number)));
        }
    }

    fn run_timers(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((at, number))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            if self.readers.get(number).is_some_and(|reader| reader.check_at == at) {
                self.check(number, now);
            }
        }
    }

    /// Checks one reader: has its right ended, does the server shut down, is a heartbeat due?
    fn check(&mut self, number: usize, now: Instant) {
        let Some(reader) = self.readers.get_mut(number) else { return };
        let stalled = reader.full_since.zip(self.stalled_max).is_some_and(|(since, max)| now >= since + max);
        match (reader.close_at, reader.open.ended(now)) {
            // The client comes back with its cursor.
            _ if stalled => return self.remove(number),
            // The socket has not accepted the `bye` in time.
            (Some(_), _) => return self.remove(number),
            (None, Some(reason)) => {
                reader.queue(&message::bye(reason));
                if reader.framing == Framing::Chunked {
                    reader.rest.push(Bytes::from_static(b"0\r\n\r\n"));
                }
                reader.close_at = Some(now + BYE_TIME_MAX);
            }
            (None, None) => {
                if let Some(ends_at) = reader.open.expiring() {
                    reader.queue(&message::expiring(ends_at));
                }
            }
        }
        // First to the head, so that the heartbeat has the newest cursor.
        self.advance(number);
        let Some(reader) = self.readers.get_mut(number) else { return };
        if now >= reader.ping_at {
            reader.ping_at = now + message::ping_in(self.heartbeat);
            if reader.full_since.is_none() && !reader.replaying {
                let cursor = self.feed.cursor(reader.cursor);
                reader.queue(&message::ping(cursor, self.clock.unix_ms(), self.feed.fresh_at()));
            }
        }
        reader.check_at = reader.close_at.unwrap_or_else(|| reader.open.next_check(reader.ping_at));
        self.timers.push(Reverse((reader.check_at, number)));
        self.advance(number);
    }

    /// Reads and discards the client's bytes, to see when it closes the connection.
    fn read_input(&mut self, number: usize) {
        let Some(reader) = self.readers.get_mut(number) else { return };
        let mut bytes = [0; 1024];
        while reader.input_bytes <= INPUT_BYTES_MAX {
            match reader.socket.read(&mut bytes) {
                Ok(0) => break,
                Ok(read) => reader.input_bytes += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => break,
            }
        }
        self.remove(number);
    }

    fn remove(&mut self, number: usize) {
        let Some(reader) = self.readers.try_remove(number) else { return };
        let group = &mut self.groups[reader.group];
        group.readers.swap_remove(reader.index);
        if let Some(moved) = group.readers.get(reader.index) {
            self.readers[*moved].index = reader.index;
        }
        if group.readers.is_empty() {
            let group = self.groups.remove(reader.group);
            self.by_filter.remove(group.subscription.filter());
            self.batch = None;
        }
    }
}

impl Batch {
    /// Adds as many frames as fit into one write.
    fn fill(&mut self, frames: &[Arc<Frame>], view: View) {
        let mut pieces = Vec::new();
        for frame in frames {
            frame.put_sse(&mut pieces, view, self.framing == Framing::Chunked);
            if self.pieces.len() + pieces.len() > PIECES_MAX {
                self.to = self.pieces.last().map_or(self.from, |(seq, _)| *seq);
                self.caught_up = false;
                return;
            }
            self.pieces.extend(pieces.drain(..).map(|piece| (frame.seq, piece)));
        }
    }
}

impl Reader {
    /// Queues a message for this reader alone.
    fn queue(&mut self, text: &str) {
        self.rest.push(self.framing.frame(text));
    }

    /// Handles a partial write of a batch, of `written` bytes. The cursor moves over the frames that were written, and
    /// over the one that was written in part. The rest of that frame is kept, to be written first.
    fn keep_rest(&mut self, batch: &Batch, mut written: usize) {
        self.full_since = Some(Instant::now());
        for (i, (seq, piece)) in batch.pieces.iter().enumerate() {
            if written < piece.len() {
                if written > 0 || self.cursor == *seq {
                    let same_frame = batch.pieces[i + 1..].iter().take_while(|(other, _)| other == seq);
                    self.rest.push(piece.slice(written..));
                    self.rest.extend(same_frame.map(|(_, piece)| piece.clone()));
                    self.cursor = *seq;
                }
                return;
            }
            written -= piece.len();
            self.cursor = *seq;
        }
    }
}
