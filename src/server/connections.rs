//! The open connections, and a limit on their number.
//!
//! Any client can open a connection and send nothing, or send a request and not read the answer. Each connection
//! takes a file descriptor, and without a free one the next webhook of LiveKit cannot be accepted. So when the limit
//! is reached, the longest-idle connections are closed. A webhook or a page is done in milliseconds and is never
//! among them. A connection with a stream is never closed: streams have their own limits, which leave slots for
//! other requests.

use std::{
    collections::HashMap,
    future::Future,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
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

/// When the limit is reached, one of this many connections is closed: the search for the longest-idle costs the same for
/// one as for many.
const ABORTED_ONE_IN: usize = 64;
/// Time after which an aborted connection that is still open is no longer waited for: others are closed instead.
const GONE_AFTER: Duration = Duration::from_millis(100);
/// Time and bytes for which the rest of a body that was not read is discarded before the connection is closed. The system resets a
/// connection that is closed with bytes to read, and the client may then lose the answer.
const REST_TIME_MAX: Duration = Duration::from_secs(1);
const REST_BYTES_MAX: usize = 16 << 20;
/// Minimum time between two log lines about the limit.
const LOGGED_EVERY: Duration = Duration::from_secs(10);

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since a fixed moment in the life of this process.
fn now() -> u64 {
    u64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Value of [`State::head`]: the head has arrived, and the request is being answered.
const ANSWERING: u64 = 0;
/// Value of [`State::head`]: no head has begun.
const IDLE: u64 = u64::MAX;

/// All open connections.
pub struct Connections {
    max: usize,
    /// Maximum time of a request's head, from its first byte; for the first request, from the accept.
    head_time_max: Option<Duration>,
    /// Maximum time in which a client reads an answer.
    answer_time_max: Option<Duration>,
    /// Maximum time between an answer and the next request.
    idle_time_max: Option<Duration>,
    open: Mutex<Open>,
    /// Notified when a connection has ended.
    ended: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Open {
    connections: HashMap<u64, Connection>,
    next: u64,
    logged_at: Option<Instant>,
}

/// One connection, for the code that answers its requests.
#[derive(Clone, Debug)]
pub struct Connection(Arc<State>);

#[derive(Debug)]
struct State {
    /// Time of the last request, or of the accept, in nanoseconds.
    since: AtomicU64,
    /// Number of streams on this connection.
    streams: AtomicU32,
    /// True once it is a WebSocket.
    upgraded: AtomicBool,
    aborted: AtomicBool,
    /// True if it must end after the request that is being answered.
    closing: AtomicBool,
    /// True if the request was answered before all of its body was read.
    has_rest: AtomicBool,
    /// True if the socket did not accept all bytes of the last write.
    full: AtomicBool,
    /// Time of the last answer or the last write, whichever is later, in nanoseconds: the beginning of the idle time.
    quiet: AtomicU64,
    /// Number of bytes that the socket has accepted.
    written: AtomicU64,
    /// Time when the answer began that the client is reading, in nanoseconds.
    answer: AtomicU64,
    /// Time when the unfinished head of a request began, in nanoseconds; or [`ANSWERING`] or [`IDLE`].
    head: AtomicU64,
    task: AtomicWaker,
}

impl Connections {
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Arc<Connections> {
        let max = Limit::Connections.max(limits).map_or(usize::MAX, |max| max as usize);
        Arc::new(Connections {
            max,
            head_time_max: Limit::HeadTime.time(limits),
            answer_time_max: Limit::AnswerTime.time(limits),
            idle_time_max: Limit::IdleTime.time(limits),
            open: Mutex::default(),
            ended: Notify::new(),
            metrics,
        })
    }

    /// Takes a slot for a connection, and waits until one is free. It waits for the aborted connections to close, so
    /// the number of descriptors in use is at most the number of slots plus one.
    pub async fn take(self: &Arc<Self>, stream: TcpStream) -> Connected {
        let connection = Connection(Arc::new(State {
            since: AtomicU64::new(now()),
            streams: AtomicU32::new(0),
            upgraded: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            has_rest: AtomicBool::new(false),
            full: AtomicBool::new(false),
            quiet: AtomicU64::new(0),
            answer: AtomicU64::new(0),
            written: AtomicU64::new(0),
            head: AtomicU64::new(now()),
            task: AtomicWaker::new(),
        }));
        let id = loop {
            // Registered before the check, or an end between the check and the wait would be missed.
            let ended = self.ended.notified();
            if let Some(id) = self.take_slot(&connection) {
                break id;
            }
            // An aborted connection ends at once, unless something delays it. Then others are aborted.
            let _ = tokio::time::timeout(GONE_AFTER, ended).await;
        };
        self.metrics.connections_open.inc();
        Connected { stream, slot: Slot { connection, id, among: self.clone() }, alarm: None, discarded: 0 }
    }

    /// Makes every connection end after the request that is being answered on it.
    pub fn close(&self) {
        for connection in self.open.lock().connections.values() {
            connection.0.closing.store(true, Ordering::Release);
            connection.0.task.wake();
        }
    }

    /// Takes a slot. If there is none, aborts the longest-idle connections and returns `None`.
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
        self.metrics.limit_reached(Limit::Connections.option());
        self.metrics.connections_sent_away.inc_by(longest_idle.len() as u64);
        if open.logged_at.is_none_or(|at| at.elapsed() >= LOGGED_EVERY) {
            open.logged_at = Some(Instant::now());
            tracing::warn!(
                "{} connections are open, the maximum (max_connections): closing those that have been idle longest. \
                 Raise the limit if these are your clients",
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

    /// Notes that the answer has begun: the next bytes that arrive are the next request.
    pub fn on_response(&self) {
        let now = now();
        // If the answer before it is not read yet, the time of that one counts: a client cannot gain time by asking.
        if !self.is_full() {
            self.0.answer.store(now, Ordering::Relaxed);
        }
        self.0.quiet.store(now, Ordering::Relaxed);
        self.0.head.store(IDLE, Ordering::Relaxed);
    }

    /// Notes that the connection has become a WebSocket.
    pub fn on_upgrade(&self) {
        self.0.upgraded.store(true, Ordering::Relaxed);
    }

    /// The connection with the smallest number is closed first. WebSockets are closed last, the newest of them first:
    /// Socket.IO closes a WebSocket that does not authenticate within seconds, so the old ones are streams. (A
    /// WebSocket stream whose session began with polling is not counted in [`State::streams`].)
    fn closing_order(&self) -> u64 {
        let since = self.0.since.load(Ordering::Relaxed);
        if self.0.upgraded.load(Ordering::Relaxed) { u64::MAX - since } else { since }
    }

    /// True if the socket has not yet accepted all bytes.
    pub fn is_full(&self) -> bool {
        self.0.full.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes that the socket has accepted.
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// True if it must end. Call this after polling the connection, which registers its waker.
    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::Acquire)
    }

    fn can_be_aborted(&self) -> bool {
        self.0.streams.load(Ordering::Relaxed) == 0 && !self.0.aborted.load(Ordering::Relaxed)
    }

    /// Cuts the connection.
    pub fn abort(&self) {
        self.0.aborted.store(true, Ordering::Release);
        self.0.task.wake();
    }

    /// Keeps the connection open for a stream, until the returned value is dropped.
    pub fn hold_open(&self) -> HeldOpen {
        self.0.streams.fetch_add(1, Ordering::Relaxed);
        HeldOpen(self.clone())
    }
}

/// Protects a connection from being closed when the limit is reached.
pub struct HeldOpen(Connection);

impl Drop for HeldOpen {
    fn drop(&mut self) {
        self.0.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a request. Its connection learns if it is dropped before its end.
pub struct Incoming {
    body: hyper::body::Incoming,
    ended: bool,
    connection: Connection,
}

impl Incoming {
    pub fn new(body: hyper::body::Incoming, connection: Connection) -> Incoming {
        Incoming { body, ended: false, connection }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.ended = frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.connection.0.has_rest.store(true, Ordering::Relaxed);
        }
    }
}

/// A connection as a stream of bytes. It fails once it is aborted.
pub struct Connected {
    stream: TcpStream,
    slot: Slot,
    /// Timer for a late head, an answer that is not read, or a late next request. It may fire too early, see
    /// [`Connected::poll_alarm`].
    alarm: Option<Pin<Box<Sleep>>>,
    /// Number of bytes of an unread body that were discarded.
    discarded: usize,
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

    /// Returns the socket, and the slot that it takes until the slot is dropped.
    pub fn into_parts(self) -> (TcpStream, Slot) {
        (self.stream, self.slot)
    }

    fn open(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if self.slot.connection.0.aborted.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(Pin::new(&mut self.stream))
    }

    /// Ready if the rest of a head, or the next request, has not arrived in time.
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
        self.poll_alarm(from, time_max, cx)
    }

    /// Ready if the client has not read the answer in time. Call this when the socket is full.
    fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Slot { connection, among, .. } = &self.slot;
        let state = &connection.0;
        // Engine.IO's heartbeat closes a WebSocket that is not read.
        let Some(time_max) = among.answer_time_max.filter(|_| !state.upgraded.load(Ordering::Relaxed)) else {
            return Poll::Pending;
        };
        let from = state.answer.load(Ordering::Relaxed);
        self.poll_alarm(from, time_max, cx)
    }

    /// Ready if the client has ended its side, or the time for the rest of a body is over. Discards the rest.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [MaybeUninit::uninit(); 16 << 10];
        // tokio ends this loop from time to time, for the other connections.
        while self.discarded < REST_BYTES_MAX {
            let mut buffer = ReadBuf::uninit(&mut bytes);
            match self.open().map(|stream| stream.poll_read(cx, &mut buffer)) {
                Ok(Poll::Ready(Ok(()))) if !buffer.filled().is_empty() => {
                    self.discarded += buffer.filled().len();
                }
                Ok(Poll::Pending) => break,
                _ => return Poll::Ready(()),
            }
        }
        if self.discarded >= REST_BYTES_MAX {
            return Poll::Ready(());
        }
        let answered = self.slot.connection.0.quiet.load(Ordering::Relaxed);
        self.poll_alarm(answered, REST_TIME_MAX, cx)
    }

    /// Ready `time_max` after `from`, and wakes the task then.
    fn poll_alarm(&mut self, from: u64, time_max: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let late = (*BEGAN + Duration::from_nanos(from) + time_max).into();
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(late)));
        if alarm.deadline() > late {
            alarm.as_mut().reset(late);
        }
        // A timer that fires too early was set for an earlier request: resetting it at each request would cost more.
        while alarm.as_mut().poll(cx).is_ready() {
            if alarm.deadline() >= late {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(late);
        }
        Poll::Pending
    }

    /// Notes the result of a write.
    fn noted(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let state = &self.slot.connection.0;
        if let Poll::Ready(Ok(bytes)) = &written {
            state.written.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        state.full.store(written.is_pending(), Ordering::Relaxed);
        state.quiet.store(now(), Ordering::Relaxed);
        if written.is_pending() && self.poll_unread(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.among.open.lock().connections.remove(&self.id);
        self.among.metrics.connections_open.dec();
        self.among.ended.notify_waiters();
    }
}

impl AsyncRead for Connected {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Registered before the check of `aborted`, or a wake-up between the two would be missed. Every user of a
        // connection reads from it, if only to see its end.
        this.slot.connection.0.task.register(cx.waker());
        let before = buffer.filled().len();
        let read = this.open()?.poll_read(cx, buffer);
        if buffer.filled().len() > before {
            // This changes nothing if the bytes belong to a body: `head` is then `ANSWERING`.
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
        this.noted(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.open()?.poll_write_vectored(cx, slices);
        this.noted(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper does not read after an answer if an earlier read has found nothing. It flushes, so check here too.
        if this.poll_late(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        let state = &this.slot.connection.0;
        if state.has_rest.load(Ordering::Relaxed) && !state.closing.load(Ordering::Relaxed) {
            ready!(this.poll_rest(cx));
        }
        Poll::Ready(Ok(()))
    }
}
