//! The sockets of server-sent events: a few threads that write, each with its share of the readers.
//!
//! ```text
//! hyper: request ─▶ head of the answer, `connected` ─▶ Handover ─▶ Shards::take ─▶ one shard, until the end
//! ```
//!
//! A stream only writes, and a server has thousands of them. A task, a timer and hyper's buffers for each would
//! cost 14 KiB a reader and more processor time than the system call that sends the event. So hyper gives the
//! socket away as soon as the answer has begun, and what is left of a reader is a cursor, a socket, and what was
//! cut off when the socket was full.
//!
//! Readers with equal filters are one group with one [`Subscription`]. When it has news, its frames are looked up
//! once, and each reader that stands at the same cursor gets the same bytes with one `writev(2)`. A reader that
//! is further behind than the ring gets what the log has, read by the runtime. A socket that is full is left alone
//! until the kernel says that it has room: a reader that never reads costs no system call.

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
            open::OpenStream,
            say::{self, Framing},
        },
    },
};
use socket::{PIECES_MAX, Written, write, write_rest};

/// A client has nothing to say once its request is sent; one that says more than this is let go.
const HEARD_BYTES_MAX: usize = 16 << 10;
/// Time that a full socket has to take the `bye`.
const BYE_TIME_MAX: Duration = Duration::from_secs(2);
/// Events of the kernel that one look takes.
const EVENTS_MAX: usize = 1_024;

const WAKE: Token = Token(usize::MAX);

/// All shards: one a processor. Dropping them ends every stream.
pub struct Shards {
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
    next: AtomicUsize,
}

impl Shards {
    /// Starts the threads. Within a runtime, which reads the log for them.
    pub fn start(
        feed: &Arc<Feed>,
        metrics: &Arc<Metrics>,
        heartbeat: Duration,
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
                clock: clock.clone(),
                runtime: Handle::current(),
                poll,
                inbox: inbox.clone(),
                readers: Slab::new(),
                groups: Slab::new(),
                by_filter: HashMap::new(),
                due: BinaryHeap::new(),
                batch: None,
                taken: 0,
            };
            shards.inboxes.push(inbox);
            let run = move || {
                // Its readers would be left in silence, and so would those to come: rather begin afresh.
                if catch_unwind(AssertUnwindSafe(|| shard.run())).is_err() {
                    process::abort();
                }
            };
            shards.threads.push(thread::Builder::new().name(format!("shard-{n}")).spawn(run)?);
        }
        Ok(shards)
    }

    /// Takes over a connection whose answer has begun and been sent so far. `token` is dropped when it ends.
    pub fn take(&self, connected: Connected, new: NewReader, token: TaskTrackerToken) {
        let (socket, held) = connected.into_parts();
        let socket = match socket.into_std() {
            Ok(socket) => TcpStream::from_std(socket),
            Err(error) => return tracing::warn!("a stream could not go on: {error}"),
        };
        // The next in turn: readers are as good as alike.
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.inboxes.len();
        self.inboxes[next].push(Job::Take(Box::new((socket, new, (held, token)))));
    }

    /// Has every stream look at the time and at its right: somebody's has ended, or the drain of the server has begun.
    pub fn look(&self) {
        self.inboxes.iter().for_each(|inbox| inbox.push(Job::Look));
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.inboxes.iter().for_each(|inbox| inbox.push(Job::Stop));
        for thread in self.threads.drain(..) {
            // A panic has ended the process.
            let _ = thread.join();
        }
    }
}

/// What a stream keeps until its end: its place among the connections, and its share of what shutdown waits for.
type Kept = (Slot, TaskTrackerToken);

enum Job {
    Take(Box<(TcpStream, NewReader, Kept)>),
    /// Something was published for this group.
    News(usize),
    /// What the log has for the reader that was the so-manieth to be taken.
    Replayed(usize, u64, Result<Replayed, ReplayError>),
    Look,
    Stop,
}

/// What others have for a shard. It holds at most a job for each of its readers and groups.
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
        // The shard takes all of them at once, so the first is enough. It cannot fail but for want of kernel
        // memory, and then the shard's next timer looks too.
        if first && let Err(error) = self.waker.wake() {
            tracing::error!("a shard cannot be woken: {error}");
        }
    }
}

/// Tells a shard that a group has news.
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
    /// Where in the group's list it stands.
    place: usize,
    cursor: Seq,
    framing: Framing,
    /// To be written before anything else: what was cut off, or is for this reader alone.
    rest: Vec<Bytes>,
    /// The kernel takes no more; it says so when that changes.
    full: bool,
    replaying: bool,
    heard: usize,
    ping_at: Instant,
    /// When to look at the time again; the timer with this moment is its own.
    due: Instant,
    /// Set once `bye` is queued: the socket closes when it is written, and not later than this.
    last: Option<Instant>,
    /// Tells it from others that have had its number.
    taken: u64,
    open: OpenStream,
    _kept: Kept,
}

/// The frames of a group from one cursor on, as they go to every reader that stands there.
struct Batch {
    group: usize,
    from: Seq,
    framing: Framing,
    to: Seq,
    /// There was nothing more to come.
    caught_up: bool,
    pieces: Vec<(Seq, Bytes)>,
}

struct Shard {
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    heartbeat: Duration,
    clock: Clock,
    runtime: Handle,
    poll: mio::Poll,
    inbox: Arc<Inbox>,
    readers: Slab<Reader>,
    groups: Slab<Group>,
    by_filter: HashMap<Filter, usize>,
    /// The next look of each reader, and some that are no longer meant.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    /// The batch that was written last: most readers stand where the last one stood.
    batch: Option<Batch>,
    taken: u64,
}

impl Shard {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let next = self.due.peek().map(|Reverse((at, _))| at.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, next) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // It cannot fail but for a mistake of ours, and without it nobody is written to.
                Err(error) => panic!("a shard cannot wait for its sockets: {error}"),
            }
            for event in events.iter().filter(|event| event.token() != WAKE) {
                let Token(number) = event.token();
                if event.is_writable()
                    && let Some(reader) = self.readers.get_mut(number)
                {
                    reader.full = false;
                    self.advance(number);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.hear(number);
                }
            }
            let jobs = std::mem::take(&mut *self.inbox.jobs.lock());
            for job in jobs {
                match job {
                    Job::Take(taken) => self.take(*taken),
                    Job::News(group) => self.news(group),
                    Job::Replayed(number, taken, replayed) => self.replayed(number, taken, replayed),
                    Job::Look => self.look_at_all(),
                    Job::Stop => return,
                }
            }
            self.look_at_those_due();
            self.batch = None;
        }
    }

    fn take(&mut self, (mut socket, new, kept): (TcpStream, NewReader, Kept)) {
        let NewReader { open, filter, cursor, framing } = new;
        let number = self.readers.vacant_key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut socket, Token(number), interest) {
            // The reader comes back with its cursor.
            tracing::warn!("cannot write to a stream: {error}");
            return;
        }
        let now = Instant::now();
        let ping_at = now + say::ping_in(self.heartbeat);
        let due = open.next_check(ping_at);
        let group = self.group(filter, cursor);
        self.taken += 1;
        self.readers.insert(Reader {
            socket,
            group,
            place: self.groups[group].readers.len(),
            cursor,
            framing,
            rest: Vec::new(),
            full: false,
            replaying: false,
            heard: 0,
            ping_at,
            due,
            last: None,
            taken: self.taken,
            open,
            _kept: kept,
        });
        self.groups[group].readers.push(number);
        self.due.push(Reverse((due, number)));
        self.advance(number);
    }

    /// The group with this filter, or a new one if it has no other reader here.
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

    /// Listens for what comes next. Before anybody looks at what is there: nothing slips in between.
    fn listen(&mut self, group: usize) {
        let Group { subscription, news, .. } = &mut self.groups[group];
        loop {
            subscription.listen();
            if subscription.poll_wake(&mut Context::from_waker(news)) == Poll::Pending {
                return;
            }
        }
    }

    fn news(&mut self, group: usize) {
        // It may have ended since, and another may have got its number, which then looks in vain.
        if !self.groups.contains(group) {
            return;
        }
        self.listen(group);
        // From the end: who goes meanwhile is replaced by one that has been looked at.
        for place in (0..self.groups[group].readers.len()).rev() {
            self.advance(self.groups[group].readers[place]);
        }
    }

    /// Writes what is there for a reader, for as long as its socket takes it.
    fn advance(&mut self, number: usize) {
        loop {
            let Some(reader) = self.readers.get_mut(number) else { return };
            if reader.full {
                return;
            }
            if !reader.rest.is_empty() {
                match write_rest(&mut reader.socket, &mut reader.rest) {
                    Ok(()) if reader.rest.is_empty() => {}
                    Ok(()) => return reader.full = true,
                    Err(_) => return self.remove(number),
                }
            }
            if reader.last.is_some() {
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
                        let (inbox, taken) = (self.inbox.clone(), reader.taken);
                        self.runtime.spawn(async move {
                            inbox.push(Job::Replayed(number, taken, replay.await));
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
                Ok(Written::Part(bytes)) => return reader.cut(batch, bytes),
                Err(_) => return self.remove(number),
            }
        }
    }

    /// What the log had.
    fn replayed(&mut self, number: usize, taken: u64, replayed: Result<Replayed, ReplayError>) {
        let Some(reader) = self.readers.get_mut(number).filter(|reader| reader.taken == taken) else {
            return;
        };
        reader.replaying = false;
        match replayed {
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
                reader.say(&say::connected(head, false, Some(Reset::Expired)));
                reader.cursor = head.seq;
            }
            Err(error) => {
                // The reader comes back with its cursor; nothing is lost to it.
                tracing::warn!("a reader could not catch up: {error}");
                return self.remove(number);
            }
        }
        self.advance(number);
    }

    fn look_at_all(&mut self) {
        for (number, reader) in self.readers.iter_mut().filter(|(_, reader)| reader.last.is_none()) {
            reader.due = reader.open.next_check(reader.ping_at);
            self.due.push(Reverse((reader.due, number)));
        }
    }

    fn look_at_those_due(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((at, number))) = self.due.peek()
            && at <= now
        {
            self.due.pop();
            if self.readers.get(number).is_some_and(|reader| reader.due == at) {
                self.look(number, now);
            }
        }
    }

    /// Looks at the time: the end of a right, the end of the server, a heartbeat.
    fn look(&mut self, number: usize, now: Instant) {
        let Some(reader) = self.readers.get_mut(number) else { return };
        match (reader.last, reader.open.ended(now)) {
            // It has not taken the `bye` in time.
            (Some(_), _) => return self.remove(number),
            (None, Some(reason)) => {
                reader.say(&say::bye(reason));
                if reader.framing == Framing::Chunked {
                    reader.rest.push(Bytes::from_static(b"0\r\n\r\n"));
                }
                reader.last = Some(now + BYE_TIME_MAX);
            }
            (None, None) => {
                if let Some(ends_at) = reader.open.expiring() {
                    reader.say(&say::expiring(ends_at));
                }
            }
        }
        // To the head, where a heartbeat is due and its cursor is the newest.
        self.advance(number);
        let Some(reader) = self.readers.get_mut(number) else { return };
        if now >= reader.ping_at {
            reader.ping_at = now + say::ping_in(self.heartbeat);
            if !reader.full && !reader.replaying {
                reader.say(&say::ping(self.feed.cursor(reader.cursor), self.clock.unix_ms()));
            }
        }
        reader.due = reader.last.unwrap_or_else(|| reader.open.next_check(reader.ping_at));
        self.due.push(Reverse((reader.due, number)));
        self.advance(number);
    }

    /// Reads what the client says, which is nothing, until it is gone.
    fn hear(&mut self, number: usize) {
        let Some(reader) = self.readers.get_mut(number) else { return };
        let mut bytes = [0; 1024];
        while reader.heard <= HEARD_BYTES_MAX {
            match reader.socket.read(&mut bytes) {
                Ok(0) => break,
                Ok(read) => reader.heard += read,
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
        group.readers.swap_remove(reader.place);
        if let Some(moved) = group.readers.get(reader.place) {
            self.readers[*moved].place = reader.place;
        }
        if group.readers.is_empty() {
            let group = self.groups.remove(reader.group);
            self.by_filter.remove(group.subscription.filter());
            self.batch = None;
        }
    }
}

impl Batch {
    /// As many of the frames as one write takes.
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
    /// Says something to this reader alone.
    fn say(&mut self, text: &str) {
        self.rest.push(self.framing.frame(text));
    }

    /// Notes that the socket took only so much of a batch: whole frames are behind the cursor, and what is left of
    /// one that was cut is to be written first.
    fn cut(&mut self, batch: &Batch, mut written: usize) {
        self.full = true;
        for (i, (seq, piece)) in batch.pieces.iter().enumerate() {
            if written < piece.len() {
                if written > 0 || self.cursor == *seq {
                    let of_this = batch.pieces[i + 1..].iter().take_while(|(other, _)| other == seq);
                    self.rest.push(piece.slice(written..));
                    self.rest.extend(of_this.map(|(_, piece)| piece.clone()));
                    self.cursor = *seq;
                }
                return;
            }
            written -= piece.len();
            self.cursor = *seq;
        }
    }
}
