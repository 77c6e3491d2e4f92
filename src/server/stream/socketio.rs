//! Socket.IO: the same stream for those who want two directions.
//!
//! One socket is one [`Subscription`], as one server-sent stream is: the same filter, cursor, rights
//! and limits. Socket.IO's own rooms and adapters are not used; they would be a second fan-out.
//!
//! | from the server | |
//! | --- | --- |
//! | `connected` | `{type, cursor, resumed, reset?}`, first, and again after `reset` |
//! | `reset` | `{reason, cursor}`: the cursor could not be honoured; fetch the snapshot again |
//! | `room:event` | the stream's message |
//! | `ping` | `{cursor, at}`: the heartbeat, with the place scanned so far |
//! | `expiring` | `{at}`: the right ends soon; reconnect with a new token |
//! | `bye` | `{reason}`, and the end |
//!
//! | to the server | acknowledged with `{cursor}` or `{error}` as in REST |
//! | --- | --- |
//! | `subscribe` `{room?, type?, project?}` | adds to the parameters that have values, sets those that have none |
//! | `unsubscribe` `{room?, type?, project?}` | removes values; a parameter that loses its last one lets nothing through, and so does `unsubscribe` of nothing, until the next `subscribe` |

use std::{fmt, future::ready, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{FromRequestParts, Request, State as AppState},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, header};
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
    feed::{Filter, Frame, Position, ReplayError, Reset, Subscription, View},
    rights::Window,
    server::{
        App,
        caller::Caller,
        error::Error,
        limits,
        stream::{
            open::{OpenStream, Refused},
            say::{connected_message, ping_in},
            wanted::Wanted,
        },
    },
};

/// What a client may send in one packet: filters, and nothing else.
const PACKET_BYTES_MAX: u64 = 64 << 10;
/// Packets that may wait for a socket that does not read; the rest waits in the log.
const WAITING_PACKETS_MAX: usize = 32;
/// A client has at least this long to answer Engine.IO's heartbeat.
const PATIENCE_MIN: Duration = Duration::from_secs(5);
/// Changes of its filter that may wait for a socket that is being sent something.
const COMMANDS_WAITING_MAX: usize = 64;
/// How long to wait for a socket whose packets wait for it.
const FULL: Duration = Duration::from_millis(5);
/// How long to wait for a log that could not be read.
const UNREADABLE: Duration = Duration::from_secs(1);
/// A socket that is subscribed to nothing is not woken; it looks at its rights this often.
const IDLE: Duration = Duration::from_secs(1);

/// The handshake's `auth`: each a string or an array of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Auth {
    token: Option<String>,
    after: Option<String>,
    room: Many,
    #[serde(rename = "type")]
    types: Many,
    project: Many,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    room: Many,
    #[serde(rename = "type")]
    types: Many,
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

/// A refusal as `connect_error` shows it: `message` is the stable code, then the words.
struct Refusal(Error);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

/// What a handshake was granted, until its socket takes it.
#[derive(Clone)]
struct Admitted(Arc<Mutex<Option<Admission>>>);

struct Admission {
    caller: Caller,
    open: OpenStream,
    wanted: Wanted,
    window: Window,
}

/// Answers `/socket.io/`.
pub fn routes(app: &Arc<App>) -> Router {
    let (service, io) = SocketIo::builder()
        .req_path("/socket.io")
        .max_payload(PACKET_BYTES_MAX)
        .ws_max_message_size(PACKET_BYTES_MAX as usize)
        .ws_max_frame_size(PACKET_BYTES_MAX as usize)
        .ws_read_buffer_size(4 << 10)
        .max_buffer_size(WAITING_PACKETS_MAX)
        .connect_timeout(limits::ANONYMOUS_TIME)
        .ping_interval(app.config.heartbeat)
        .ping_timeout(app.config.heartbeat.max(PATIENCE_MIN))
        .with_state(app.clone())
        .build_svc();
    io.ns("/", begin.with(admit));
    Router::new()
        .route_service("/socket.io/", service.clone())
        .route_service("/socket.io", service)
        .layer(from_fn_with_state(app.clone(), held_to_limits))
}

/// Engine.IO begins a session for anybody, and takes a body for as long as it comes.
async fn held_to_limits(AppState(app): AppState<Arc<App>>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or("").as_bytes();
    if !form_urlencoded::parse(query).any(|(name, _)| name == "sid")
        && let Err(error) = app.limiter.handshake()
    {
        return error.into_response();
    }
    let limits = app.limiter.limits();
    match Limit::BodyTime.time(limits).filter(|_| request.method() == Method::POST) {
        // What is posted is handed on and answered at once.
        Some(time) => {
            let answer = tokio::time::timeout(time, next.run(request)).await;
            answer.unwrap_or_else(|_| Limit::BodyTime.error(limits, None).into_response())
        }
        None => next.run(request).await,
    }
}

/// Who is it, may they, limits: as for `GET /api/events`.
async fn admit(
    socket: SocketRef,
    TryData(auth): TryData<Option<Auth>>,
    State(app): State<Arc<App>>,
) -> Result<(), Refusal> {
    let mut parts = socket.req_parts().clone();
    // No `auth` at all is no mistake: there is the cookie.
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
        projects: auth.project.into_vec(),
        after: auth.after,
        ..Wanted::default()
    };
    wanted.check().map_err(Refusal)?;
    let window = wanted.window(&app, &caller).map_err(Refusal)?;
    let open = app.streams.open("socketio", &caller).map_err(|refused| {
        Refusal(match refused {
            Refused::Error(error) => error,
            Refused::Bye(reason) => Error::new(
                http::StatusCode::SERVICE_UNAVAILABLE,
                reason,
                "the server takes no new streams now; come back in a moment",
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

/// What a client asks for, and how it hears what came of it.
type Asked = (Command, AckSender);

async fn begin(socket: SocketRef, State(app): State<Arc<App>>) {
    let admitted = socket.extensions.remove::<Admitted>().and_then(|admitted| admitted.0.lock().take());
    let Some(admission) = admitted else {
        // Cannot be: `admit` puts it there. Without it nobody knows what the socket may see.
        let _ = socket.disconnect();
        return;
    };
    let (commands, asked) = mpsc::channel::<Asked>(COMMANDS_WAITING_MAX);
    let closed = CancellationToken::new();
    let close = closed.clone();
    socket.on_disconnect(async move || close.cancel());
    let talk = Arc::new(Talk::limited(&app.config.limits));
    for (name, command) in [
        ("subscribe", Command::Subscribe as fn(Parameters) -> Command),
        ("unsubscribe", Command::Unsubscribe),
    ] {
        let (commands, talk) = (commands.clone(), talk.clone());
        let hear = move |socket: SocketRef, parameters: Result<Option<Parameters>, _>, ack: AckSender| {
            if talk.too_much(&socket) {
                return;
            }
            let (ack, error) = match parameters {
                Ok(parameters) => match commands.try_send((command(parameters.unwrap_or_default()), ack)) {
                    // Or the socket has just ended.
                    Ok(()) | Err(TrySendError::Closed(_)) => return,
                    Err(TrySendError::Full((_, ack))) => (ack, too_many_commands()),
                },
                Err(error) => (ack, bad_parameter(&error)),
            };
            let _ = ack.send(&refusal(&error));
        };
        // Heard before there is a task, which would leave open what of two commands comes first.
        socket.on(
            name,
            move |socket: SocketRef, TryData(parameters): TryData<Option<Parameters>>, ack: AckSender| {
                hear(socket, parameters, ack);
                ready(())
            },
        );
    }
    socket.on_fallback(async move |socket: SocketRef, Data(_): Data<Value>, ack: AckSender| {
        if talk.too_much(&socket) {
            return;
        }
        let _ =
            ack.send(&refusal(&Error::bad_request("unknown_event", "there are subscribe and unsubscribe")));
    });
    tokio::spawn(async move {
        let Some(reason) = Serving::begin(app, socket.clone(), admission).run(asked, &closed).await else {
            return;
        };
        let bye = || socket.emit("bye", &json!({ "reason": reason }));
        // A socket that the server disconnects stays so until the page connects it again. At the end of the
        // server the connection ends by itself, and then every client comes back by itself.
        if once_there_is_room(&closed, || None, bye).await.is_ok() && reason != "drain" {
            let disconnect = || Ok(socket.clone().disconnect()?);
            let _ = once_there_is_room(&closed, || None, disconnect).await;
        }
    });
}

fn bad_parameter(error: &impl fmt::Display) -> Error {
    Error::bad_request("bad_parameter", error.to_string())
}

fn too_many_commands() -> Error {
    let message = "too much waits to be done; wait for the answers";
    Error::new(http::StatusCode::TOO_MANY_REQUESTS, "too_many_commands", message)
}

/// How much one client says.
struct Talk {
    /// None: as much as it likes.
    max: Option<u32>,
    /// Since when, and how often it has spoken.
    second: Mutex<(Instant, u32)>,
}

impl Talk {
    fn limited(limits: &Limits) -> Talk {
        let max = Limit::SocketEventsPerSecond.max(limits);
        Talk { max, second: Mutex::new((Instant::now(), 0)) }
    }

    /// Counts one more, and sends a client away that says too much.
    fn too_much(&self, socket: &SocketRef) -> bool {
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

/// Why a socket ends: the reason to tell it, or none when it has gone.
type End = Option<&'static str>;

/// Sends as soon as the socket has room. One that stays full is ended by Engine.IO's heartbeat, if not before.
async fn once_there_is_room(
    closed: &CancellationToken,
    ended: impl Fn() -> End,
    send: impl Fn() -> Result<(), SendError>,
) -> Result<(), End> {
    loop {
        match send() {
            Ok(()) => return Ok(()),
            Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                if let Some(reason) = ended() {
                    return Err(Some(reason));
                }
                tokio::select! {
                    () = closed.cancelled() => return Err(None),
                    () = tokio::time::sleep(FULL) => {}
                }
            }
            Err(SendError::Socket(_)) => return Err(None),
            Err(SendError::Serialize(error)) => {
                tracing::error!("something could not be sent over Socket.IO: {error}");
                return Ok(());
            }
        }
    }
}

/// One socket while it lives.
struct Serving {
    app: Arc<App>,
    socket: SocketRef,
    caller: Caller,
    open: OpenStream,
    wanted: Wanted,
    /// None: unsubscribed from everything.
    subscription: Option<Subscription>,
    view: View,
    ping_at: Instant,
}

impl Serving {
    fn begin(app: Arc<App>, socket: SocketRef, admission: Admission) -> Serving {
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
        let filter = Filter::new(&window, &wanted.types);
        Serving {
            view: filter.view(),
            subscription: Some(app.feed.subscribe(filter, after)),
            ping_at: Instant::now() + ping_in(app.config.heartbeat),
            app,
            socket,
            caller,
            open,
            wanted,
        }
    }

    async fn run(mut self, mut asked: mpsc::Receiver<Asked>, closed: &CancellationToken) -> End {
        loop {
            let now = Instant::now();
            if let Some(reason) = self.open.ended(now) {
                return Some(reason);
            }
            if let Some(at) = self.open.expiring() {
                // A socket that is full or gone shows it at the next frame or heartbeat.
                let _ = self.socket.emit("expiring", &json!({ "at": at }));
            }
            if now >= self.ping_at {
                self.ping_at = now + ping_in(self.app.config.heartbeat);
                // Left out when the socket does not read what it has.
                let _ = self
                    .socket
                    .emit("ping", &json!({ "cursor": self.cursor(), "at": self.app.config.clock.unix_ms() }));
            }
            let mut check = self.open.next_check(self.ping_at);
            if self.subscription.is_none() {
                check = check.min(now + IDLE);
            }
            tokio::select! {
                () = closed.cancelled() => return None,
                () = self.open.signed_out() => {}
                Some((command, ack)) = asked.recv() => {
                    let told = match self.change(command) {
                        Ok(()) => json!({ "cursor": self.cursor() }),
                        Err(error) => refusal(&error),
                    };
                    // The client may have asked without wanting an answer.
                    let _ = ack.send(&told);
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
                        // Nothing is lost to it: its cursor has not moved.
                        tracing::warn!("a socket could not catch up: {error}");
                        tokio::time::sleep(UNREADABLE).await;
                    }
                },
                () = tokio::time::sleep_until(check) => {}
            }
        }
    }

    fn cursor(&self) -> String {
        self.subscription.as_ref().map_or(self.app.feed.head(), Subscription::cursor).to_string()
    }

    /// Emits once there is room for it; its rights may end meanwhile.
    async fn emit(&self, event: &str, json: &str, closed: &CancellationToken) -> Result<(), End> {
        let ended = || self.open.ended(Instant::now());
        once_there_is_room(closed, ended, || emit_json(&self.socket, event, json)).await
    }

    /// Changes the filter of the living socket, with the rights it has.
    fn change(&mut self, command: Command) -> Result<(), Error> {
        let mut wanted = Wanted {
            rooms: self.wanted.rooms.clone(),
            types: self.wanted.types.clone(),
            projects: self.wanted.projects.clone(),
            ..Wanted::default()
        };
        let mut nothing = false;
        match command {
            Command::Subscribe(add) => {
                for (values, more) in [
                    (&mut wanted.rooms, add.room),
                    (&mut wanted.types, add.types),
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
                for (values, gone) in [
                    (&mut wanted.rooms, remove.room),
                    (&mut wanted.types, remove.types),
                    (&mut wanted.projects, remove.project),
                ] {
                    let gone = gone.into_vec();
                    named |= !gone.is_empty();
                    values.retain(|value| !gone.contains(value));
                    // Losing the last value must not mean everything.
                    nothing |= !gone.is_empty() && values.is_empty();
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
        let filter = Filter::new(&wanted.window(&self.app, &self.caller)?, &wanted.types);
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

/// What tells of a cursor that could not be honoured, and where the socket goes on.
fn reset_messages(app: &App, reset: Reset) -> (Seq, [(&'static str, String); 2]) {
    let head = app.feed.head();
    app.metrics.stream("reset");
    let told = json!({ "reason": reset.as_str(), "cursor": head }).to_string();
    (head.seq, [("connected", connected_message(head, false, Some(reset))), ("reset", told)])
}

/// Emits JSON that is encoded already.
fn emit_json(socket: &SocketRef, event: &str, json: &str) -> Result<(), SendError> {
    match serde_json::from_str::<&RawValue>(json) {
        Ok(raw) => socket.emit(event, raw),
        // What we have written ourselves is JSON.
        Err(_) => Ok(()),
    }
}
