//! The connections that are open, and who has to go when there are as many as there may be.
//!
//! Anybody can open one and say nothing, or ask and not read the answer. Each takes a file descriptor, and without
//! one LiveKit's next webhook is not even heard. So when the last place is taken room is made: those go that have
//! been waited for the longest. A webhook or a page is done in milliseconds and is never among them; a stream is
//! never sent away, because streams have limits of their own, which leave room for others.

use std::{
    collections::HashMap,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
    time::{Sleep, sleep_until},
};

use crate::{
    config::{Limit, Limits},
    metrics::Metrics,
};

/// One in so many goes when room has to be made: looking for those who go costs as much for one as for many.
const ABORTED_ONE_IN: usize = 64;
/// Who was sent away and has not gone after this long may take longer still.
const GONE_AFTER: Duration = Duration::from_millis(100);
/// How often it is logged that there is no room.
const LOGGED_EVERY: Duration = Duration::from_secs(10);

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since some time in the life of this process.
fn now() -> u64 {
    u64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Instead of when a request's head has begun: it has come whole and is being answered, or none has begun.
const ANSWERING: u64 = 0;
const IDLE: u64 = u64::MAX;

/// Those that are open.
pub struct Connections {
    max: usize,
    /// A head takes no longer than this from its first byte, and the first one from the beginning.
    head_time_max: Option<Duration>,
    /// A connection is idle no longer than this.
    idle_time_max: Option<Duration>,
    open: Mutex<Open>,
    /// Somebody has gone.
    left: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Open {
    connections: HashMap<u64, Connection>,
    next: u64,
    logged_at: Option<Instant>,
}

/// One of them, for those who answer what comes by it.
#[derive(Clone, Debug)]
pub struct Connection(Arc<State>);

#[derive(Debug)]
struct State {
    /// Since when it is waited for: since it was opened, or since its last request. Nanoseconds.
    since: AtomicU64,
    /// How many streams go by it.
    streams: AtomicU32,
    /// It is a WebSocket now.
    upgraded: AtomicBool,
    aborted: AtomicBool,
    /// It ends after the request that is being answered.
    closing: AtomicBool,
    /// The socket did not take all it was given last.
    full: AtomicBool,
    /// Since when it is idle, if it is: since an answer began, or since something was written last. Nanoseconds.
    quiet: AtomicU64,
    /// When the head of a request has begun that has not come whole, in nanoseconds; or one of the above.
    head: AtomicU64,
    task: AtomicWaker,
}

impl Connections {
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Arc<Connections> {
        let max = Limit::Connections.max(limits).map_or(usize::MAX, |max| max as usize);
        Arc::new(Connections {
            max,
            head_time_max: Limit::HeadTime.time(limits),
            idle_time_max: Limit::IdleTime.time(limits),
            open: Mutex::default(),
            left: Notify::new(),
            metrics,
        })
    }

    /// Takes a connection in, once there is a slot for it: the connections that had to go have been closed by then, so
    /// that the number of descriptors in use is at most the number of slots, and one.
    pub async fn take(self: &Arc<Self>, stream: TcpStream) -> Connected {
        let connection = Connection(Arc::new(State {
            since: AtomicU64::new(now()),
            streams: AtomicU32::new(0),
            upgraded: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            full: AtomicBool::new(false),
            quiet: AtomicU64::new(0),
            head: AtomicU64::new(now()),
            task: AtomicWaker::new(),
        }));
        let id = loop {
            // From before it is looked, or somebody goes in between.
            let left = self.left.notified();
            if let Some(id) = self.take_slot(&connection) {
                break id;
            }
            // An aborted connection ends at once, unless something keeps it: then others have to.
            let _ = tokio::time::timeout(GONE_AFTER, left).await;
        };
        self.metrics.connections_open.inc();
        Connected { stream, slot: Slot { connection, id, among: self.clone() }, alarm: None }
    }

    /// Has every connection end after the request that it is answering.
    pub fn close(&self) {
        for connection in self.open.lock().connections.values() {
            connection.0.closing.store(true, Ordering::Release);
            connection.0.task.wake();
        }
    }

    /// Takes a slot, or makes room.
    fn take_slot(&self, connection: &Connection) -> Option<u64> {
        let mut open = self.open.lock();
        if open.connections.len() >= self.max {
            self.make_room(&mut open);
            return None;
        }
        let id = open.next;
        open.next += 1;
        open.connections.insert(id, connection.clone());
        Some(id)
    }

    fn make_room(&self, open: &mut Open) {
        let mut longest_idle: Vec<(u64, u64, &Connection)> = open
            .connections
            .iter()
            .filter(|(_, connection)| connection.can_be_aborted())
            .map(|(id, connection)| (connection.closing_order(), *id, connection))
            .collect();
        longest_idle.sort_unstable_by_key(|(closing_order, id, _)| (*closing_order, *id));
        longest_idle.truncate((self.max / ABORTED_ONE_IN).max(1));
        for (_, _, connection) in &longest_idle {
            connection.abort();
        }
        self.metrics.connections_sent_away.inc_by(longest_idle.len() as u64);
        if open.logged_at.is_none_or(|at| at.elapsed() >= LOGGED_EVERY) {
            open.logged_at = Some(Instant::now());
            tracing::warn!(
                "{} connections are open, which is as many as may be (max_connections); \
                 those that have been waited for the longest are closed to make room",
                self.max
            );
        }
    }
}

impl Connection {
    /// Notes that a request has arrived.
    pub fn on_request(&self) {
        self.0.since.store(now(), Ordering::Relaxed);
        self.0.head.store(ANSWERING, Ordering::Relaxed);
    }

    /// Notes that the request has its answer, or the beginning of it: the next bytes are the next request.
    pub fn on_response(&self) {
        self.0.quiet.store(now(), Ordering::Relaxed);
        self.0.head.store(IDLE, Ordering::Relaxed);
    }

    /// Notes that the connection has become a WebSocket.
    pub fn on_upgrade(&self) {
        self.0.upgraded.store(true, Ordering::Relaxed);
    }

    /// The connection with the smallest order is closed first. WebSockets go last, and of them the youngest first: Socket.IO lets who
    /// does not say who it is go after seconds, so the old ones are streams. (One that has begun with polling is
    /// not known to be one.)
    fn closing_order(&self) -> u64 {
        let since = self.0.since.load(Ordering::Relaxed);
        if self.0.upgraded.load(Ordering::Relaxed) { u64::MAX - since } else { since }
    }

    /// Something it was given has not gone out yet.
    pub fn is_full(&self) -> bool {
        self.0.full.load(Ordering::Relaxed)
    }

    /// To be asked after it was polled: what wakes it is registered then.
    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::Acquire)
    }

    fn can_be_aborted(&self) -> bool {
        self.0.streams.load(Ordering::Relaxed) == 0 && !self.0.aborted.load(Ordering::Relaxed)
    }

    fn abort(&self) {
        self.0.aborted.store(true, Ordering::Release);
        self.0.task.wake();
    }

    /// Keeps the connection open for a stream, until the returned value is dropped.
    pub fn hold_open(&self) -> HeldOpen {
        self.0.streams.fetch_add(1, Ordering::Relaxed);
        HeldOpen(self.clone())
    }
}

/// Keeps a connection open while there is need for room.
pub struct HeldOpen(Connection);

impl Drop for HeldOpen {
    fn drop(&mut self) {
        self.0.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bytes of a connection. They end when it is aborted.
pub struct Connected {
    stream: TcpStream,
    slot: Slot,
    /// Ends when a head, or the next request, is late, or before.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// The slot of a connection; free again when dropped.
pub struct Slot {
    connection: Connection,
    id: u64,
    among: Arc<Connections>,
}

impl Connected {
    pub fn connection(&self) -> Connection {
        self.slot.connection.clone()
    }

    /// The socket for somebody else to use, and the place it takes meanwhile.
    pub fn into_parts(self) -> (TcpStream, Slot) {
        (self.stream, self.slot)
    }

    fn open(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if self.slot.connection.0.aborted.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(Pin::new(&mut self.stream))
    }

    /// Ready when what is waited for has been waited for too long: the rest of a head, or the next request.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Slot { connection, among, .. } = &self.slot;
        let state = &connection.0;
        let (from, time_max) = match state.head.load(Ordering::Relaxed) {
            ANSWERING => return Poll::Pending,
            IDLE => (state.quiet.load(Ordering::Relaxed), among.idle_time_max),
            began => (began, among.head_time_max),
        };
        let Some(time_max) = time_max else { return Poll::Pending };
        let stays = state.streams.load(Ordering::Relaxed) > 0 || state.upgraded.load(Ordering::Relaxed);
        if stays || state.full.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let late = (*BEGAN + Duration::from_nanos(from) + time_max).into();
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(late)));
        if alarm.deadline() > late {
            alarm.as_mut().reset(late);
        }
        // One that ends too soon was set for an earlier request: moving it with each would cost more.
        while alarm.as_mut().poll(cx).is_ready() {
            if alarm.deadline() >= late {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(late);
        }
        Poll::Pending
    }

    fn noting<T>(&self, written: Poll<T>) -> Poll<T> {
        let state = &self.slot.connection.0;
        state.full.store(written.is_pending(), Ordering::Relaxed);
        state.quiet.store(now(), Ordering::Relaxed);
        written
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.among.open.lock().connections.remove(&self.id);
        self.among.metrics.connections_open.dec();
        self.among.left.notify_waiters();
    }
}

impl AsyncRead for Connected {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Before it is looked at, or the wake-up may come between. All who use a connection read from it, if only
        // to see its end.
        this.slot.connection.0.task.register(cx.waker());
        let before = buffer.filled().len();
        let read = this.open()?.poll_read(cx, buffer);
        if buffer.filled().len() > before {
            // Of no account if they are of a body.
            let head = &this.slot.connection.0.head;
            let _ = head.compare_exchange(IDLE, now(), Ordering::Relaxed, Ordering::Relaxed);
        } else if read.is_pending() && this.poll_late(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connected {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.open()?.poll_write(cx, bytes);
        this.noting(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.open()?.poll_write_vectored(cx, slices);
        this.noting(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper does not read after an answer if it has seen before that there is nothing to read.
        if this.poll_late(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
