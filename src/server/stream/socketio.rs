//! Socket.IO: the same stream, for clients that change their filter while they are connected.
//!
//! One socket has one [`Subscription`], as a server-sent stream does: the same filter, cursor, rights
//! and limits. Socket.IO's own rooms and adapters are not used; they would be a second fan-out.
//!
//! | from the server | |
//! | --- | --- |
//! | `connected` | `{type, cursor, resumed, reset?}`: the first message, and again with each `reset` |
//! | `reset` | `{reason, cursor}`: the cursor cannot be honoured; fetch the snapshot again |
//! | `room:event` | a message of the stream |
//! | `ping` | `{cursor, at, stale?, freshAt?}`: the heartbeat, with the cursor up to which the log has been scanned |
//! | `expiring` | `{at}`: the right ends soon; reconnect with a new token |
//! | `bye` | `{reason}`: the last message |
//!
//! | to the server | acknowledged with `{cursor}`, or with `{error}` as in REST |
//! | --- | --- |
//! | `subscribe` `{room?, type?, participant?, project?}` | adds values to the filter |
//! | `unsubscribe` `{room?, type?, participant?, project?}` | removes values from the filter; if a parameter loses its last value, or no value is given, the socket gets no events until the next `subscribe` |

use std::{fmt, future::ready, sync::Arc, time::Duration};

use axum::{Router, extract::FromRequestParts, middleware::from_fn_with_state};
use http::{HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use socketioxide::{
    SendError, SocketError, SocketIo,
    extract::{AckSender, Data, SocketRef, State, TryData},
    handler::ConnectHandler,
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Answer, Limit, Limits},
    event::Seq,
    feed::{BATCH_BYTES, Frame, Position, ReplayError, Reset, Subscription, View},
    metrics::Metrics,
    rights::Window,
    server::{
        App, CURSOR_MAX,
        caller::Caller,
        connections::Connection,
        error::Error,
        limits,
        stream::{
            message::{connected_message, ping_in, ping_message},
            open::{OpenStream, Refused},
            session::{PACKET_BYTES_MAX, Session, within_limits},
            wanted::Wanted,
        },
    },
};

/// Maximum number of packets queued for a socket that does not read. Later events stay in the log.
const QUEUED_PACKETS_MAX: usize = 32;
/// Minimum time that a client has to answer Engine.IO's heartbeat.
const PONG_TIME_MIN: Duration = Duration::from_secs(5);
/// Maximum number of commands of a client that are not done yet.
const QUEUED_COMMANDS_MAX: usize = 64;
/// Time until the next try to send to a socket whose queue is full. It doubles with each try, up to the maximum.
const FULL_RETRY: Duration = Duration::from_millis(1);
const FULL_RETRY_MAX: Duration = Duration::from_millis(250);
/// Time until the next try to read a log that could not be read.
const LOG_RETRY: Duration = Duration::from_secs(1);
/// Interval at which a socket without a subscription checks its rights: no event wakes it.
const IDLE_CHECK: Duration = Duration::from_secs(1);

/// The `auth` of the handshake. A filter parameter is a string or an array of strings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Auth {
    token: Option<String>,
    after: Option<String>,
    room: Many,
    #[serde(rename = "type")]
    types: Many,
    participant: Many,
    project: Many,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    room: Many,
    #[serde(rename = "type")]
    types: Many,
    participant: Many,
    project: Many,
}

#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Many {
    #[default]
    None,
    One(String),
    Several(Vec<String>),
}

impl Many {
    fn into_vec(self) -> Vec<String> {
        match self {
            Many::None => Vec::new(),
            Many::One(value) => vec![value],
            Many::Several(values) => values,
        }
    }
}

/// An error as `connect_error` shows it: its `message` is the stable code, a colon, and the message.
struct Refusal(Error);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

/// The result of a handshake, until [`begin`] takes it.
#[derive(Clone)]
struct Admitted(Arc<Mutex<Option<Admission>>>);

struct Admission {
    caller: Caller,
    open: OpenStream,
    wanted: Wanted,
    window: Window,
}

/// The routes of `/socket.io/`.
pub fn routes(app: &Arc<App>) -> Router {
    let (service, io) = SocketIo::builder()
        .req_path("/socket.io")
        .max_payload(PACKET_BYTES_MAX)
        .ws_max_message_size(PACKET_BYTES_MAX as usize)
        .ws_max_frame_size(PACKET_BYTES_MAX as usize)
        .ws_read_buffer_size(4 << 10)
        .max_buffer_size(QUEUED_PACKETS_MAX)
        .connect_timeout(limits::ANONYMOUS_TIME)
        .ping_interval(app.config.heartbeat)
        .ping_timeout(app.config.heartbeat.max(PONG_TIME_MIN))
        .with_state(app.clone())
        .build_svc();
    io.ns("/", begin.with(admit));
    Router::new()
        .route_service("/socket.io/", service.clone())
        .route_service("/socket.io", service)
        .layer(from_fn_with_state(app.clone(), within_limits))
}

/// Checks the credential, the rights and the limits of a handshake, as for `GET /api/events`.
async fn admit(
    socket: SocketRef,
    TryData(auth): TryData<Option<Auth>>,
    State(app): State<Arc<App>>,
) -> Result<(), Refusal> {
    let mut parts = socket.req_parts().clone();
    // `auth` may be missing: the cookie is a credential too.
    let auth = auth
        .map_err(|error| Refusal(Error::bad_request("bad_parameter", format!("auth: {error}"))))?
        .unwrap_or_default();
    if let Some(token) = &auth.token {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        parts.headers.insert(header::AUTHORIZATION, value.map_err(|_| Refusal(Error::unauthorized()))?);
    }
    app.current().await;
    let caller = Caller::from_request_parts(&mut parts, &app).await.map_err(Refusal)?;
    let wanted = Wanted {
        rooms: auth.room.into_vec(),
        types: auth.types.into_vec(),
        participants: auth.participant.into_vec(),
        projects: auth.project.into_vec(),
        after: auth.after,
        ..Wanted::default()
    };
    wanted.check().map_err(Refusal)?;
    if let Some(after) = &wanted.after {
        app.reach(after, CURSOR_MAX).await.map_err(|behind| Refusal(behind.into()))?;
    }
    let window = wanted.window(&app, &caller).map_err(Refusal)?;
    let open = app.streams.open("socketio", &caller).map_err(|refused| {
        Refusal(match refused {
            Refused::Error(error) => error,
            Refused::Bye(reason) => Error::new(
                StatusCode::SERVICE_UNAVAILABLE,
                reason,
                "the server accepts no new streams now; try again later",
            ),
        })
    })?;
    let admission = Admission { caller, open, wanted, window };
    socket.extensions.insert(Admitted(Arc::new(Mutex::new(Some(admission)))));
    Ok(())
}

enum Command {
    Subscribe(Parameters),
    Unsubscribe(Parameters),
}

/// A command of a client, and the sender of its acknowledgement.
type Queued = (Command, AckSender);

async fn begin(socket: SocketRef, State(app): State<Arc<App>>) {
    let admitted = socket.extensions.remove::<Admitted>().and_then(|admitted| admitted.0.lock().take());
    let Some(admission) = admitted else {
        // This cannot happen: `admit` puts it there. Without it the rights of the socket are unknown.
        let _ = socket.disconnect();
        return;
    };
    let (commands, requests) = mpsc::channel::<Queued>(QUEUED_COMMANDS_MAX);
    let closed = CancellationToken::new();
    let close = closed.clone();
    socket.on_disconnect(async move || close.cancel());
    let rate = Arc::new(EventRate::new(&app.config.limits, app.metrics.clone()));
    for (name, command) in [
        ("subscribe", Command::Subscribe as fn(Parameters) -> Command),
        ("unsubscribe", Command::Unsubscribe),
    ] {
        let (commands, rate) = (commands.clone(), rate.clone());
        let queue = move |socket: SocketRef, parameters: Result<Option<Parameters>, _>, ack: AckSender| {
            if rate.exceeded(&socket) {
                return;
            }
            let (ack, error) = match parameters {
                Ok(parameters) => match commands.try_send((command(parameters.unwrap_or_default()), ack)) {
                    // `Closed`: the socket has just ended.
                    Ok(()) | Err(TrySendError::Closed(_)) => return,
                    Err(TrySendError::Full((_, ack))) => (ack, too_many_commands()),
                },
                Err(error) => (ack, bad_parameter(&error)),
            };
            let _ = ack.send(&refusal(&error));
        };
        // Queued here and not in a task: two tasks could queue two commands in the wrong order.
        socket.on(
            name,
            move |socket: SocketRef, TryData(parameters): TryData<Option<Parameters>>, ack: AckSender| {
                queue(socket, parameters, ack);
                ready(())
            },
        );
    }
    socket.on_fallback(async move |socket: SocketRef, Data(_): Data<Value>, ack: AckSender| {
        if rate.exceeded(&socket) {
            return;
        }
        let error = Error::bad_request("unknown_event", "the events are subscribe and unsubscribe");
        let _ = ack.send(&refusal(&error));
    });
    let session = app.sessions.of(&socket.id.to_string());
    if is_websocket(socket.req_parts())
        && let Some(connection) = socket.req_parts().extensions.get::<Connection>()
    {
        session.on_socket(connection.clone());
    }
    tokio::spawn(async move {
        let number = session.begin(&admission.caller.counted_as);
        let serving = Serving::begin(app, socket.clone(), session.clone(), admission);
        let ended = serving.run(requests, &closed).await;
        tokio::spawn(session.end(number));
        let Some(reason) = ended else { return };
        let bye = || socket.emit("bye", &json!({ "reason": reason }));
        // If the server disconnects a socket, the client reconnects only when its page asks for it. At a shutdown
        // the connection ends without that, and every client reconnects.
        if retry_while_full(&closed, || None, bye).await.is_ok() && reason != "drain" {
            let disconnect = || Ok(socket.clone().disconnect()?);
            let _ = retry_while_full(&closed, || None, disconnect).await;
        }
    });
}

/// Returns true if the session began as a WebSocket, without polling.
fn is_websocket(parts: &http::request::Parts) -> bool {
    let query = parts.uri.query().unwrap_or("").as_bytes();
    form_urlencoded::parse(query).any(|(name, value)| name == "transport" && value == "websocket")
}

fn bad_parameter(error: &impl fmt::Display) -> Error {
    Error::bad_request("bad_parameter", error.to_string())
}

fn too_many_commands() -> Error {
    let message = "too many commands are not done yet; wait for their acknowledgements";
    Error::new(StatusCode::TOO_MANY_REQUESTS, "too_many_commands", message)
}

/// The rate of events from one client.
struct EventRate {
    metrics: Arc<Metrics>,
    /// Maximum number of events per second; `None` means no limit.
    max: Option<u32>,
    /// Beginning of the present second, and the number of events since.
    second: Mutex<(Instant, u32)>,
}

impl EventRate {
    fn new(limits: &Limits, metrics: Arc<Metrics>) -> EventRate {
        let max = Limit::SocketEventsPerSecond.max(limits);
        EventRate { metrics, max, second: Mutex::new((Instant::now(), 0)) }
    }

    /// Counts an event. If it exceeds the rate, disconnects the client and returns true.
    fn exceeded(&self, socket: &SocketRef) -> bool {
        let Some(max) = self.max else { return false };
        {
            let mut second = self.second.lock();
            if second.0.elapsed() >= Duration::from_secs(1) {
                *second = (Instant::now(), 0);
            }
            second.1 += 1;
            if second.1 <= max {
                return false;
            }
        }
        self.metrics.limit_reached(Limit::SocketEventsPerSecond.option());
        if let Answer::Bye(reason) = Limit::SocketEventsPerSecond.answer() {
            let _ = socket.emit("bye", &json!({ "reason": reason }));
        }
        let _ = socket.clone().disconnect();
        true
    }
}

fn refusal(error: &Error) -> Value {
    json!({ "error": { "code": error.code, "message": error.message } })
}

/// End of a socket: the reason for its `bye`, or `None` if the client has disconnected.
type End = Option<&'static str>;

/// Calls `send` until the queue of the socket is not full. A socket that stays full is closed by Engine.IO's heartbeat
/// at the latest.
async fn retry_while_full(
    closed: &CancellationToken,
    ended: impl Fn() -> End,
    send: impl Fn() -> Result<(), SendError>,
) -> Result<(), End> {
    let mut pause = FULL_RETRY;
    loop {
        match send() {
            Ok(()) => return Ok(()),
            Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                retry_later(closed, &ended, &mut pause).await?;
            }
            Err(SendError::Socket(_)) => return Err(None),
            Err(SendError::Serialize(error)) => {
                tracing::error!("a message of Socket.IO is skipped, it cannot be serialised: {error}");
                return Ok(());
            }
        }
    }
}

/// Waits until the next try. Returns an error if the right or the connection ends.
async fn retry_later(
    closed: &CancellationToken,
    ended: impl Fn() -> End,
    pause: &mut Duration,
) -> Result<(), End> {
    if let Some(reason) = ended() {
        return Err(Some(reason));
    }
    tokio::select! {
        () = closed.cancelled() => return Err(None),
        () = tokio::time::sleep(*pause) => {}
    }
    *pause = (*pause * 2).min(FULL_RETRY_MAX);
    Ok(())
}

/// A connected socket.
struct Serving {
    app: Arc<App>,
    socket: SocketRef,
    session: Arc<Session>,
    /// As many of the bytes that the session has taken as will have been taken when all of the events have.
    emitted: u64,
    caller: Caller,
    open: OpenStream,
    wanted: Wanted,
    /// `None` if the client has unsubscribed from everything.
    subscription: Option<Subscription>,
    view: View,
    ping_at: Instant,
}

impl Serving {
    fn begin(app: Arc<App>, socket: SocketRef, session: Arc<Session>, admission: Admission) -> Serving {
        let Admission { caller, open, wanted, window } = admission;
        let from = Position::parse(wanted.after.as_deref());
        let after = match app.feed.locate(&from, &window) {
            Ok(after) => {
                let resumed = !matches!(from, Position::Head);
                app.metrics.stream(if resumed { "resumed" } else { "started" });
                let _ = emit_json(
                    &socket,
                    "connected",
                    &connected_message(app.feed.cursor(after), resumed, None),
                );
                after
            }
            Err(reset) => {
                let (head, messages) = reset_messages(&app, reset);
                for (event, json) in &messages {
                    let _ = emit_json(&socket, event, json);
                }
                head
            }
        };
        let filter = wanted.filter(&window);
        Serving {
            view: filter.view(),
            subscription: Some(app.feed.subscribe(filter, after)),
            ping_at: Instant::now() + ping_in(app.config.heartbeat),
            app,
            socket,
            session,
            emitted: 0,
            caller,
            open,
            wanted,
        }
    }

    async fn run(mut self, mut requests: mpsc::Receiver<Queued>, closed: &CancellationToken) -> End {
        loop {
            let now = Instant::now();
            if let Some(reason) = self.open.ended(now) {
                return Some(reason);
            }
            if let Some(at) = self.open.expiring() {
                // An error is ignored here: the next frame or heartbeat has it too.
                let _ = self.socket.emit("expiring", &json!({ "at": at }));
            }
            if now >= self.ping_at {
                self.ping_at = now + ping_in(self.app.config.heartbeat);
                let (now_ms, fresh_at) = (self.app.config.clock.unix_ms(), self.app.feed.fresh_at());
                // Skipped if the queue of the socket is full.
                let _ = emit_json(&self.socket, "ping", &ping_message(self.cursor(), now_ms, fresh_at));
            }
            let mut check = self.open.next_check(self.ping_at);
            if self.subscription.is_none() {
                check = check.min(now + IDLE_CHECK);
            }
            tokio::select! {
                () = closed.cancelled() => return None,
                () = self.open.signed_out() => {}
                Some((command, ack)) = requests.recv() => {
                    let answer = match self.change(command) {
                        Ok(()) => json!({ "cursor": self.cursor() }),
                        Err(error) => refusal(&error),
                    };
                    // Fails if the client does not want an acknowledgement.
                    let _ = ack.send(&answer);
                }
                frames = next(&mut self.subscription) => match frames {
                    Ok(frames) => {
                        for frame in frames {
                            let json = frame.json(self.view);
                            let Ok(json) = std::str::from_utf8(&json) else { continue };
                            if let Err(end) = self.emit("room:event", json, closed).await {
                                return end;
                            }
                        }
                    }
                    Err(ReplayError::Expired) => {
                        let (head, messages) = reset_messages(&self.app, Reset::Expired);
                        for (event, json) in &messages {
                            if let Err(end) = self.emit(event, json, closed).await {
                                return end;
                            }
                        }
                        if let Some(subscription) = &mut self.subscription {
                            subscription.advance(head);
                        }
                    }
                    Err(error) => {
                        // No event is lost: the cursor has not moved.
                        tracing::warn!("a Socket.IO stream cannot read the log, it tries again: {error}");
                        tokio::time::sleep(LOG_RETRY).await;
                    }
                },
                () = tokio::time::sleep_until(check) => {}
            }
        }
    }

    fn cursor(&self) -> String {
        self.subscription.as_ref().map_or(self.app.feed.head(), Subscription::cursor).to_string()
    }

    /// Emits as soon as the client has taken almost all of what was emitted before, as a stream of server-sent events
    /// does. Returns an error if the right ends before.
    async fn emit(&mut self, event: &str, json: &str, closed: &CancellationToken) -> Result<(), End> {
        let ended = || self.open.ended(Instant::now());
        let mut pause = FULL_RETRY;
        loop {
            // Other messages are taken too, so this may be ahead of what was emitted. Then nothing is waiting.
            let taken = self.session.taken();
            self.emitted = self.emitted.max(taken);
            if self.emitted - taken <= BATCH_BYTES as u64 {
                break;
            }
            retry_later(closed, ended, &mut pause).await?;
        }
        self.emitted += json.len() as u64;
        retry_while_full(closed, ended, || emit_json(&self.socket, event, json)).await
    }

    /// Changes the filter of the socket, within its rights.
    fn change(&mut self, command: Command) -> Result<(), Error> {
        let mut wanted = Wanted {
            rooms: self.wanted.rooms.clone(),
            types: self.wanted.types.clone(),
            participants: self.wanted.participants.clone(),
            projects: self.wanted.projects.clone(),
            ..Wanted::default()
        };
        let mut nothing = false;
        match command {
            Command::Subscribe(add) => {
                for (values, more) in [
                    (&mut wanted.rooms, add.room),
                    (&mut wanted.types, add.types),
                    (&mut wanted.participants, add.participant),
                    (&mut wanted.projects, add.project),
                ] {
                    for value in more.into_vec() {
                        if !values.contains(&value) {
                            values.push(value);
                        }
                    }
                }
            }
            Command::Unsubscribe(remove) => {
                let mut named = false;
                for (values, removed) in [
                    (&mut wanted.rooms, remove.room),
                    (&mut wanted.types, remove.types),
                    (&mut wanted.participants, remove.participant),
                    (&mut wanted.projects, remove.project),
                ] {
                    let removed = removed.into_vec();
                    named |= !removed.is_empty();
                    values.retain(|value| !removed.contains(value));
                    // An empty list means every value. After the last one is removed it must mean none.
                    nothing |= !removed.is_empty() && values.is_empty();
                }
                nothing |= !named;
            }
        }
        wanted.check()?;
        if nothing {
            self.wanted = wanted;
            self.subscription = None;
            return Ok(());
        }
        let filter = wanted.filter(&wanted.window(&self.app, &self.caller)?);
        let after = self.subscription.as_ref().map_or(self.app.feed.head(), Subscription::cursor);
        self.view = filter.view();
        self.subscription = Some(self.app.feed.subscribe(filter, after.seq));
        self.wanted = wanted;
        Ok(())
    }
}

async fn next(subscription: &mut Option<Subscription>) -> Result<Vec<Arc<Frame>>, ReplayError> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

/// Returns the head, from which the socket continues, and the messages about a cursor that cannot be honoured.
fn reset_messages(app: &App, reset: Reset) -> (Seq, [(&'static str, String); 2]) {
    let head = app.feed.head();
    app.metrics.stream("reset");
    let message = json!({ "reason": reset.as_str(), "cursor": head }).to_string();
    (head.seq, [("connected", connected_message(head, false, Some(reset))), ("reset", message)])
}

/// Emits JSON text.
fn emit_json(socket: &SocketRef, event: &str, json: &str) -> Result<(), SendError> {
    match serde_json::from_str::<&RawValue>(json) {
        Ok(raw) => socket.emit(event, raw),
        // This cannot happen: the text is our own.
        Err(_) => Ok(()),
    }
}
