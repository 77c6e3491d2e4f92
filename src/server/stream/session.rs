//! The sessions of Engine.IO, as far as this program has to know them: the bytes that the client has taken, and whether a
//! stream belongs to the session.
//!
//! engineioxide limits the queue of a session in packets, and a packet may have megabytes. And it keeps a session whose
//! client has left the namespace, which then needs no right. So a stream of Socket.IO emits only when the client has
//! taken almost all of what was emitted before, and a session without a stream is closed.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use axum::{
    Json,
    extract::{Request, State as AppState},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode};
use http_body::Body;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    config::Limit,
    server::{App, arrival::Arrival, connections::Connection, error::Error, limits},
};

/// Maximum size of a packet from a client, in bytes. Clients send only filters.
pub const PACKET_BYTES_MAX: u64 = 64 << 10;

/// Number of sessions at which those that have ended are forgotten. The next time is at twice the number that is left.
const FORGET_AT: usize = 1_000;

/// The sessions that are open.
pub struct Sessions {
    open: Mutex<HashMap<Box<str>, Arc<Session>>>,
    forget_at: AtomicUsize,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions { open: Mutex::default(), forget_at: AtomicUsize::new(FORGET_AT) }
    }
}

/// One session.
pub struct Session {
    /// Bytes of the answers to its polls.
    polled: AtomicU64,
    /// Its WebSocket.
    socket: Mutex<Option<Connection>>,
    /// Its user, once it has had a stream: see [`Caller::counted_as`](crate::server::caller::Caller::counted_as).
    user: OnceLock<Arc<str>>,
    /// Number of streams that it has had, and true while it has one.
    streams: AtomicUsize,
    has_stream: AtomicBool,
    closed: AtomicBool,
    seen_at: Mutex<Instant>,
}

impl Sessions {
    /// Returns the session with this id. Call it only for an id that Engine.IO knows.
    pub fn of(&self, id: &str) -> Arc<Session> {
        let mut open = self.open.lock();
        if open.len() >= self.forget_at.load(Ordering::Relaxed) {
            open.retain(|_, session| !session.has_ended());
            self.forget_at.store(FORGET_AT.max(2 * open.len()), Ordering::Relaxed);
        }
        let session = open.entry(id.into()).or_insert_with(|| {
            Arc::new(Session {
                polled: AtomicU64::new(0),
                socket: Mutex::default(),
                user: OnceLock::new(),
                streams: AtomicUsize::new(0),
                has_stream: AtomicBool::new(false),
                closed: AtomicBool::new(false),
                seen_at: Mutex::new(Instant::now()),
            })
        });
        *session.seen_at.lock() = Instant::now();
        session.clone()
    }

    /// Returns the user of the session with this id.
    pub fn user(&self, id: &str) -> Option<Arc<str>> {
        self.open.lock().get(id)?.user.get().cloned()
    }

    /// Returns true if the session was closed here. Engine.IO removes it when its heartbeat fails.
    pub fn is_closed(&self, id: &str) -> bool {
        self.open.lock().get(id).is_some_and(|session| session.closed.load(Ordering::Relaxed))
    }
}

impl Session {
    /// Notes the answer to a poll.
    pub fn on_polled(&self, bytes: u64) {
        self.polled.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that the session goes on with this WebSocket.
    pub fn on_socket(&self, connection: Connection) {
        *self.socket.lock() = Some(connection);
    }

    /// Bytes that have left this process for the client, of all kinds.
    pub fn taken(&self) -> u64 {
        let written = self.socket.lock().as_ref().map_or(0, Connection::written);
        self.polled.load(Ordering::Relaxed) + written
    }

    /// Notes that a stream of this user begins. Returns its number.
    pub fn begin(&self, user: &Arc<str>) -> usize {
        let _ = self.user.set(user.clone());
        self.has_stream.store(true, Ordering::Relaxed);
        self.streams.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes that the stream with this number has ended, and closes the session if no other one begins.
    pub async fn end(self: Arc<Self>, number: usize) {
        self.has_stream.store(false, Ordering::Relaxed);
        tokio::time::sleep(limits::ANONYMOUS_TIME).await;
        if self.streams.load(Ordering::Relaxed) == number {
            self.closed.store(true, Ordering::Relaxed);
            if let Some(socket) = &*self.socket.lock() {
                socket.abort();
            }
        }
    }

    fn has_ended(&self) -> bool {
        !self.has_stream.load(Ordering::Relaxed) && self.seen_at.lock().elapsed() > 6 * limits::ANONYMOUS_TIME
    }
}

/// Limits the rate of handshakes, and the time and the memory of bodies and answers: Engine.IO begins a session before it
/// knows the client, and waits for a body without a limit.
pub async fn within_limits(AppState(app): AppState<Arc<App>>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or("").as_bytes();
    let id = form_urlencoded::parse(query).find(|(name, _)| name == "sid").map(|(_, id)| id.into_owned());
    let extensions = request.extensions();
    let (Some(arrival), connection) = (extensions.get::<Arrival>(), extensions.get::<Connection>().cloned())
    else {
        return Error::internal("a request has no Arrival").into_response();
    };
    match &id {
        None => {
            if let Err(error) = app.limiter.handshake(arrival.address) {
                return error.into_response();
            }
        }
        // As Engine.IO answers.
        Some(id) if app.sessions.is_closed(id) => {
            let body = json!({ "code": 1, "message": "Session ID unknown" });
            return (StatusCode::BAD_REQUEST, Json(body)).into_response();
        }
        Some(_) => {}
    }
    let share = app.memory.share(arrival.address);
    if let Some(user) = id.as_deref().and_then(|id| app.sessions.user(id)) {
        share.of_user(&user);
    }
    let limits = app.limiter.limits();
    let is_body = request.method() == Method::POST;
    if is_body && let Err(error) = share.resize(PACKET_BYTES_MAX) {
        return error.into_response();
    }
    let answer = match Limit::BodyTime.time(limits).filter(|_| is_body) {
        // Apart from its body, a POST is answered at once.
        Some(time) => {
            let answer = tokio::time::timeout(time, next.run(request)).await;
            answer.unwrap_or_else(|_| Limit::BodyTime.error(limits, None).into_response())
        }
        None => next.run(request).await,
    };
    match (id, connection, answer.status()) {
        (Some(id), Some(connection), StatusCode::SWITCHING_PROTOCOLS) => {
            app.sessions.of(&id).on_socket(connection);
            answer
        }
        (_, _, StatusCode::SWITCHING_PROTOCOLS) => answer,
        (Some(id), _, StatusCode::OK) if !is_body => {
            let answer = share.hold(answer);
            app.sessions.of(&id).on_polled(answer.body().size_hint().lower());
            answer
        }
        _ => share.hold(answer),
    }
}
