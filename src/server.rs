//! HTTP: the handles that requests share, the routes, and a server that ends cleanly.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State as Shared},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{FutureExt, future};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::RwLock;
use tokio::{net::TcpListener, time::Instant};
use tokio_util::task::TaskTracker;
use tower_http::{CompressionLevel, compression::CompressionLayer};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    config::Config,
    event::Seq,
    feed::{Feed, Sight},
    history::History,
    log::EventLog,
    metrics::{Metrics, Transport},
    reconcile::Reconcile,
    state::State,
    webhook::{self, Receipts, Rejections, Webhooks, now_ms},
};

pub mod front;

pub mod accounts;
pub mod audit;
pub mod auth;
pub mod body;
pub mod connections;
pub mod limits;
pub mod live;
pub mod login;
pub mod me;

pub mod dashboard;
pub mod error;
pub mod events;
pub mod projects;
pub mod query;
pub mod sessions;
pub mod shard;
pub mod socketio;
pub mod test_webhook;
pub mod watch;

pub mod command;
pub mod rooms;

use accounts::{Accounts, Session};
use audit::Audit;
use auth::Caller;
use connections::{Connected, Connections, Streaming};
use error::Error;
use events::Handover;
use front::Front;
use limits::{Answer, Limiter, Place};
use shard::{Begun, Shards};

/// After this long a shutdown is over, whoever is still there.
const SHUTDOWN_MAX: Duration = Duration::from_secs(11);
/// Who reads waits for the state no longer than this.
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// What the kernel may hold of a stream that nobody reads: without it a stuck reader has megabytes.
const UNSENT_BYTES_MAX: u32 = 16 << 10;

/// How long before its right ends a reader is told, in milliseconds.
const EXPIRING_MS: u64 = 60_000;

/// The handles that requests share.
pub struct App {
    pub config: Config,
    pub log: Arc<dyn EventLog>,
    pub state: Arc<RwLock<State>>,
    pub history: Arc<History>,
    pub feed: Arc<Feed>,
    pub metrics: Arc<Metrics>,
    pub receipts: Arc<Receipts>,
    pub webhooks: Arc<Webhooks>,
    pub reconcile: Reconcile,
    pub accounts: Accounts,
    pub audit: Arc<Audit>,
    pub limiter: Arc<Limiter>,
    pub front: Front,
    /// The end of the log when this process began.
    began_at: Seq,
    /// When the end began.
    draining: OnceLock<Instant>,
}

impl App {
    pub fn new(
        config: Config,
        log: Arc<dyn EventLog>,
        state: Arc<RwLock<State>>,
        history: Arc<History>,
        feed: Arc<Feed>,
        metrics: Arc<Metrics>,
        accounts: Accounts,
    ) -> Arc<App> {
        let receipts: Arc<Receipts> = Arc::default();
        let reconcile = Reconcile::new(
            &config,
            log.clone(),
            state.clone(),
            feed.clone(),
            metrics.clone(),
            receipts.clone(),
        );
        let webhooks = Webhooks {
            keys: config.keys.clone(),
            redaction: config.redaction.clone(),
            log: log.clone(),
            metrics: metrics.clone(),
            receipts: receipts.clone(),
            rejections: Rejections::default(),
            body_bytes_max: config.limits.max_webhook_bytes as usize,
            body_time_max: Duration::from_secs(config.limits.body_secs.into()),
        };
        Arc::new(App {
            webhooks: Arc::new(webhooks),
            accounts,
            audit: Audit::new(&config.data_dir),
            limiter: Limiter::new(config.limits),
            front: Front::new(&config),
            config,
            began_at: log.bounds().last,
            log,
            state,
            history,
            feed,
            metrics,
            receipts,
            reconcile,
            draining: OnceLock::new(),
        })
    }

    /// Waits for the state to be as new as the log was at the start: a cursor that is honoured a moment later must
    /// not be refused now, and rooms that are live must not be missing from a list.
    pub async fn folded(&self) {
        self.feed.reached(self.began_at).await;
    }

    /// Waits for the state to be as new as the log is now: who was told that an event is durable finds it in whatever
    /// is asked for next. That is a millisecond; a state that falls behind is shown as it is, with its cursor.
    pub async fn current(&self) {
        self.folded().await;
        let _ = tokio::time::timeout(BEHIND_MAX, self.feed.reached(self.log.bounds().last)).await;
    }

    /// The oldest event a caller may see, if rights set one: who may only join a room sees its
    /// present session, and with no session nothing of what was.
    pub fn floor(&self, sight: &Sight) -> Option<Seq> {
        match sight {
            Sight::Joined { project, room } => {
                let present = self.state.read().present_since(project, room);
                Some(present.unwrap_or_else(|| self.feed.head().seq.next()))
            }
            _ => None,
        }
    }

    /// Takes a place for a stream.
    pub fn open_stream(
        self: &Arc<Self>,
        transport: &'static str,
        caller: &Caller,
    ) -> Result<OpenStream, Refused> {
        if self.draining.get().is_some() {
            self.metrics.stream("drained");
            return Err(Refused::Bye("drain"));
        }
        let place = self.limiter.stream(&caller.counted_as, caller.address).map_err(|limit| {
            self.metrics.stream("limited");
            match limit.answer() {
                Answer::Bye(reason) => Refused::Bye(reason),
                _ => Refused::Error(self.limiter.stream_error(limit)),
            }
        })?;
        self.metrics.streams_open.get_or_create(&Transport { transport }).inc();
        let share = Duration::from_millis(events::jitter(0..1000)).as_secs_f64();
        Ok(OpenStream {
            app: self.clone(),
            transport,
            ends_at: caller.ends_at,
            session: caller.session.clone(),
            noticed: false,
            share,
            _place: place,
            _streaming: caller.connection.as_ref().map(connections::Connection::streams),
        })
    }

    /// Begins the end: readiness goes red and streams are sent away, spread over the window.
    pub fn drain(&self) {
        if self.draining.set(Instant::now()).is_ok() {
            self.feed.wake_all();
        }
    }
}

/// Why no stream begins.
pub enum Refused {
    /// An error like any other.
    Error(Error),
    /// Said in-band: a browser that gets an error status never comes back.
    Bye(&'static str),
}

impl Refused {
    fn map<T>(self, bye: impl Fn(&'static str) -> T) -> Result<T, Error> {
        match self {
            Refused::Error(error) => Err(error),
            Refused::Bye(reason) => Ok(bye(reason)),
        }
    }
}

/// A place taken by a stream; freed when dropped.
pub struct OpenStream {
    app: Arc<App>,
    transport: &'static str,
    ends_at: Option<u64>,
    session: Option<Arc<Session>>,
    /// The reader has been told that its right ends soon.
    noticed: bool,
    /// Where in the drain's window this stream ends, 0 to 1.
    share: f64,
    _place: Place,
    _streaming: Option<Streaming>,
}

impl OpenStream {
    fn drained_at(&self) -> Option<Instant> {
        let began = self.app.draining.get()?;
        Some(*began + self.app.config.drain.mul_f64(self.share))
    }

    /// Why the stream has to end now, if it has to.
    pub fn ended(&self, now: Instant) -> Option<&'static str> {
        let over = self.ends_at.is_some_and(|ends_at| now_ms() >= ends_at);
        if over || self.session.as_ref().is_some_and(|session| session.ended()) {
            return Some("expired");
        }
        self.drained_at().filter(|at| *at <= now).map(|_| "drain")
    }

    /// Done when its session has ended.
    pub async fn signed_out(&self) {
        match &self.session {
            Some(session) => session.over().await,
            None => std::future::pending().await,
        }
    }

    /// When the right ends, once: a minute before it does, so that the client renews it.
    pub fn expiring(&mut self) -> Option<u64> {
        let ends_at = self.ends_at.filter(|ends_at| !self.noticed && now_ms() + EXPIRING_MS >= *ends_at)?;
        self.noticed = true;
        Some(ends_at)
    }

    /// When to look again, not later than `ping_at`.
    pub fn next_check(&self, ping_at: Instant) -> Instant {
        let now = Instant::now();
        let before = if self.noticed { 0 } else { EXPIRING_MS };
        // Not further ahead than a day: an expiry may be at the end of time.
        let left =
            |ends_at: u64| Duration::from_millis(ends_at.saturating_sub(now_ms() + before).min(86_400_000));
        let expiry = self.ends_at.map(|ends_at| now + left(ends_at));
        let session = self.session.as_ref().filter(|session| session.ended()).map(|_| now);
        let checks = [Some(ping_at), expiry, session, self.drained_at()];
        checks.into_iter().flatten().min().unwrap_or(ping_at)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.app.metrics.streams_open.get_or_create(&Transport { transport: self.transport }).dec();
    }
}

#[derive(OpenApi)]
#[openapi(info(title = "Roomwatch", description = "What is happening in LiveKit rooms, as it happens."))]
struct Api;

/// Every route.
pub fn router(app: Arc<App>) -> Router {
    let (router, api) = routes(&app).split_for_parts();
    let api = Arc::new(api);
    let document = get(move || std::future::ready(axum::Json(api.clone())));
    router
        .route("/api/openapi.json", document)
        .route("/healthz", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(dashboard::dashboard)
        .method_not_allowed_fallback(|| std::future::ready(Error::method_not_allowed()))
        .with_state(app.clone())
        .merge(socketio::routes(&app))
}

fn routes(app: &Arc<App>) -> OpenApiRouter<Arc<App>> {
    let webhooks = OpenApiRouter::new().routes(routes!(webhook::receive)).with_state(app.webhooks.clone());
    let current = axum::middleware::from_fn_with_state(app.clone(), when_current);
    // Webhooks are taken from the first moment; who reads waits until there is something true to read.
    let reading = OpenApiRouter::new().routes(routes!(events::events)).layer(current.clone());
    // Lists are long and alike, so they are compressed; a stream never is.
    let lists = OpenApiRouter::new()
        .routes(routes!(live::rooms))
        .routes(routes!(live::room))
        .routes(routes!(live::participants))
        .routes(routes!(sessions::sessions))
        .routes(routes!(sessions::session))
        .routes(routes!(sessions::activity))
        .routes(routes!(sessions::search))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(current);
    OpenApiRouter::with_openapi(Api::openapi())
        .merge(webhooks)
        .merge(reading)
        .routes(routes!(rooms::create_room))
        .routes(routes!(rooms::update_room, rooms::delete_room))
        .routes(routes!(rooms::update_participant, rooms::remove_participant))
        .routes(routes!(rooms::mute_track))
        .routes(routes!(rooms::send_data))
        .routes(routes!(watch::watch_room))
        .merge(lists)
        .routes(routes!(projects::projects))
        .routes(routes!(test_webhook::test_webhook))
        .routes(routes!(audit::audit))
        .routes(routes!(login::login))
        .routes(routes!(login::logout))
        .routes(routes!(me::me))
}

async fn when_current(Shared(app): Shared<Arc<App>>, request: Request, next: Next) -> Response {
    app.current().await;
    next.run(request).await
}

async fn readyz(Shared(app): Shared<Arc<App>>) -> impl IntoResponse {
    if app.feed.head().seq >= app.began_at && app.draining.get().is_none() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: folding the log, or shutting down\n")
    }
}

async fn metrics(Shared(app): Shared<Arc<App>>) -> impl IntoResponse {
    let bounds = app.log.bounds();
    app.metrics.log_first_seq.set(i64::try_from(bounds.first.0).unwrap_or(i64::MAX));
    app.metrics.log_last_seq.set(i64::try_from(bounds.last.0).unwrap_or(i64::MAX));
    app.metrics.state_head_seq.set(i64::try_from(app.feed.head().seq.0).unwrap_or(i64::MAX));
    let headers = [("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (headers, app.metrics.render())
}

/// Serves until `shutdown` is done, then sends everybody away and returns once they have gone.
///
/// Webhooks are answered until the very last: LiveKit counts on it.
pub async fn run(listener: TcpListener, app: Arc<App>, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let router = router(app.clone());
    // Until this function ends.
    let _reconciling = app.reconcile.start();
    let _removing = watch::remove_watchers(app.clone());
    let shards = Arc::new(Shards::start(&app)?);
    let connections = TaskTracker::new();
    let open = Connections::new(&app.config.limits, app.metrics.clone());
    let accept = async {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: those who leave make room.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
            let stream = open.take(stream).await;
            let (app, router) = (app.clone(), router.clone());
            let (shards, connection) = (shards.clone(), connections.token());
            tokio::spawn(async move {
                if let Some((socket, begun)) = serve(stream, peer.ip(), app, router).await {
                    shards.take(socket, begun, connection);
                }
            });
        }
    };
    let sign_out = async {
        loop {
            app.accounts.some_ended().await;
            shards.look();
        }
    };
    let serving = future::join(accept, sign_out);
    tokio::pin!(serving);
    tokio::select! {
        ((), ()) = &mut serving => {}
        () = shutdown => {}
    }
    app.drain();
    shards.look();
    // New streams are told to come back, webhooks are taken, until everybody had time to leave.
    let _ = tokio::time::timeout(app.config.drain, &mut serving).await;
    open.close();
    connections.close();
    let left = SHUTDOWN_MAX.saturating_sub(app.config.drain);
    if tokio::time::timeout(
        left.min(Duration::from_secs(1)).max(Duration::from_millis(200)),
        connections.wait(),
    )
    .await
    .is_err()
    {
        tracing::info!("{} connections did not end by themselves", connections.len());
    }
    Ok(())
}

/// Answers the requests of one connection, until it ends or is a stream: then how the stream goes on.
async fn serve(stream: Connected, peer: IpAddr, app: Arc<App>, router: Router) -> Option<(Connected, Begun)> {
    let limits = app.config.limits;
    let mut http = hyper::server::conn::http1::Builder::new();
    // `Connected` knows how long a head may take: hyper would count the pause before it too.
    http.half_close(false).header_read_timeout(None);
    if limits.max_head_bytes > 0 {
        http.max_buf_size(limits.max_head_bytes as usize);
    }
    let (connection, handover) = (stream.connection(), Handover::default());
    let (arrived_by, left) = (connection.clone(), handover.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let connection = arrived_by.clone();
        connection.asks();
        let (by, left) = (connection.clone(), left.clone());
        front::pass(app.clone(), router.clone(), peer, by, left, request.map(Body::new)).map(move |answer| {
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                connection.upgrades();
            }
            connection.answers();
            Ok::<_, Infallible>(answer)
        })
    });
    let mut serving = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut told = false;
    let ended = poll_fn(|cx| {
        let mut polled = Pin::new(&mut serving).poll(cx);
        if polled.is_pending() && !told && connection.is_closing() {
            told = true;
            Pin::new(&mut serving).graceful_shutdown();
            polled = Pin::new(&mut serving).poll(cx);
        }
        match polled {
            Poll::Ready(result) => Poll::Ready(Err(result)),
            // What hyper still holds would be lost.
            Poll::Pending if connection.is_full() => Poll::Pending,
            Poll::Pending => handover.take().map_or(Poll::Pending, |begun| Poll::Ready(Ok(begun))),
        }
    })
    .await;
    match ended {
        Ok(begun) => return Some((serving.into_parts()?.io.into_inner(), begun)),
        Err(Ok(())) => {}
        Err(Err(error)) => tracing::debug!("a connection ended: {error}"),
    }
    None
}
