//! HTTP: the handles that requests share, and the routes.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State as AppState},
    http::{HeaderName, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use parking_lot::RwLock;
use tower_http::{CompressionLevel, compression::CompressionLayer};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    accounts::Accounts,
    audit::Audit,
    config::Config,
    derived::Derived,
    event::{Cursor, Seq},
    feed::Feed,
    follow::Followers,
    ingest::{
        Receipts,
        webhook::{self, Webhooks},
    },
    log::EventLog,
    metrics::Metrics,
    reconcile::Reconcile,
    snapshot::Snapshots,
    state::State,
    storage::Storage,
};

pub mod listen;

pub mod arrival;
pub mod body;
pub mod caller;
pub mod connections;
pub mod cookie;
pub mod csv;
pub mod error;
pub mod export;
pub mod front;
pub mod limits;
pub mod memory;
pub mod path;
pub mod query;
pub mod ready;
pub mod turns;

pub mod api;
pub mod dashboard;
pub mod document;
pub mod stream;

use dashboard::Dashboard;
use error::Error;
use front::Front;
use limits::Limiter;
use memory::Memory;
use stream::{open::Streams, session::Sessions};
use turns::Turns;

/// Maximum time that a read waits for the fold to catch up with the log.
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// Maximum time that a stream waits for the event of its cursor.
const CURSOR_MAX: Duration = Duration::from_secs(5);
/// Header with the newest cursor that a client knows. The answer has this event.
const CURSOR: &str = "roomwatch-cursor";
/// Header of an answer of a node that is out of touch with the others: unix milliseconds of its last whole log.
const FRESH_AT: HeaderName = HeaderName::from_static("roomwatch-fresh-at");

/// The event of a cursor may be on another node, and has not reached this one in time.
pub struct Behind;

impl From<Behind> for Error {
    fn from(Behind: Behind) -> Error {
        Error::new(StatusCode::SERVICE_UNAVAILABLE, "behind", "this node is behind the others; try again")
            .retry_after(1)
    }
}

/// The handles that requests share.
pub struct App {
    pub config: Config,
    pub log: Arc<dyn EventLog>,
    pub storage: Arc<Storage>,
    pub state: Arc<RwLock<State>>,
    pub snapshots: Snapshots,
    pub derived: Arc<Derived>,
    pub feed: Arc<Feed>,
    pub followers: Arc<Followers>,
    pub metrics: Arc<Metrics>,
    pub receipts: Arc<Receipts>,
    pub webhooks: Arc<Webhooks>,
    pub reconcile: Arc<Reconcile>,
    pub accounts: Accounts,
    pub audit: Arc<Audit>,
    pub limiter: Arc<Limiter>,
    pub memory: Arc<Memory>,
    pub turns: Turns,
    pub front: Front,
    pub streams: Arc<Streams>,
    /// Sessions of Socket.IO.
    pub sessions: Sessions,
    /// The starts of egress that LiveKit has not answered.
    pub starting: api::record::Starting,
    /// The end of the log when this node was opened.
    pub began_at: Seq,
}

impl App {
    /// Waits until the fold has reached the end that the log had when the node was opened. Before that, a cursor
    /// would be refused that is valid a moment later, and live rooms would be missing from a list.
    pub async fn folded(&self) {
        self.feed.reached(self.began_at).await;
    }

    /// Waits until the fold has reached the present end of the log: a client that was told that an event is durable
    /// finds it in its next read. This takes about a millisecond. If the fold lags more than `BEHIND_MAX`, the read
    /// gets the state as it is, with its cursor.
    pub async fn current(&self) {
        self.folded().await;
        let _ = tokio::time::timeout(BEHIND_MAX, self.feed.reached(self.log.bounds().last)).await;
    }

    /// Waits for the event of a cursor that another node may have given out. If no node has it, the cursor is ahead of the
    /// log, and whoever reads it says so. Anything else than a cursor is not waited for.
    pub async fn reach(&self, cursor: &str, time_max: Duration) -> Result<(), Behind> {
        let Ok(Cursor { epoch, seq }) = cursor.parse() else { return Ok(()) };
        if epoch != self.feed.epoch() || seq <= self.feed.head().seq {
            return Ok(());
        }
        let reach = async {
            if self.log.newest().await.is_ok_and(|newest| newest < seq) {
                return;
            }
            self.feed.reached(seq).await;
        };
        tokio::time::timeout(time_max, reach).await.map_err(|_| Behind)
    }
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Roomwatch",
    description = "The state and the events of LiveKit rooms, in real time."
))]
struct Api;

/// Every route.
pub fn router(app: Arc<App>) -> Router {
    let (router, api) = routes(&app).split_for_parts();
    // These have one copy of their bytes for all answers, so they need no share of the memory.
    let document = Bytes::from(document::complete(&api).to_string());
    let document = ([(header::CONTENT_TYPE, "application/json")], document);
    let dashboard = Arc::new(Dashboard::new(app.config.path_prefix()));
    router
        .route("/metrics", get(metrics))
        .layer(axum::middleware::from_fn_with_state(app.clone(), memory::counted))
        .route("/api/openapi.json", get(move || std::future::ready(document.clone())))
        .route("/healthz", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(ready::readyz))
        .route("/readyz/append", get(ready::append))
        .fallback(move |method, uri, headers| std::future::ready(dashboard.answer(method, uri, headers)))
        .method_not_allowed_fallback(|| std::future::ready(Error::method_not_allowed()))
        .with_state(app.clone())
        .merge(stream::socketio::routes(&app))
}

fn routes(app: &Arc<App>) -> OpenApiRouter<Arc<App>> {
    use api::{
        agents, attention, audit, calls, cloud, commands, dispatches, egress, ingress, login, me,
        participants, projects, record, rooms, sessions, test_webhook, usage, watch,
    };
    let webhooks = OpenApiRouter::new().routes(routes!(webhook::receive)).with_state(app.webhooks.clone());
    let current = axum::middleware::from_fn_with_state(app.clone(), when_current);
    // Webhooks are accepted from the first moment. Reads wait for the fold.
    let exported = axum::middleware::from_fn_with_state(app.clone(), export::exported);
    let reading = OpenApiRouter::new()
        .routes(routes!(stream::events::events))
        .layer(exported.clone())
        .layer(current.clone());
    // Lists are long and repetitive, so they are compressed. A stream is never compressed.
    let lists = OpenApiRouter::new()
        .routes(routes!(rooms::rooms))
        .routes(routes!(rooms::room))
        .routes(routes!(rooms::participants))
        .routes(routes!(sessions::sessions))
        .routes(routes!(sessions::session))
        .routes(routes!(sessions::activity))
        .routes(routes!(sessions::search))
        .routes(routes!(participants::participant))
        .routes(routes!(egress::egress))
        .routes(routes!(calls::calls))
        .routes(routes!(agents::agents))
        .routes(routes!(usage::usage))
        .routes(routes!(cloud::cloud_sessions))
        .routes(routes!(cloud::cloud_session))
        // LiveKit's example asks for this path.
        .route("/api/project/{id}/sessions/", get(cloud::cloud_sessions))
        .routes(routes!(attention::attention))
        .routes(routes!(audit::audit))
        .layer(exported)
        // Inside of the compression: the bytes before it are in memory until the last of them is compressed.
        .layer(axum::middleware::from_fn_with_state(app.clone(), memory::counted))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(current);
    OpenApiRouter::with_openapi(Api::openapi())
        .merge(webhooks)
        .merge(reading)
        .routes(routes!(commands::create_room))
        .routes(routes!(commands::update_room, commands::delete_room))
        .routes(routes!(commands::update_participant, commands::remove_participant))
        .routes(routes!(commands::mute_track))
        .routes(routes!(commands::send_data))
        .routes(routes!(dispatches::dispatches, dispatches::create_dispatch))
        .routes(routes!(dispatches::delete_dispatch))
        .routes(routes!(record::start_egress))
        .routes(routes!(record::stop_egress))
        .routes(routes!(ingress::ingress))
        .routes(routes!(watch::watch_room))
        .routes(routes!(attention::acknowledge, attention::unacknowledge))
        .merge(lists)
        .routes(routes!(projects::projects))
        .routes(routes!(test_webhook::test_webhook))
        .routes(routes!(login::login))
        .routes(routes!(login::logout))
        .routes(routes!(me::me))
}

async fn when_current(AppState(app): AppState<Arc<App>>, request: Request, next: Next) -> Response {
    app.current().await;
    if let Some(cursor) = request.headers().get(CURSOR).and_then(|cursor| cursor.to_str().ok()) {
        // A node that stays behind answers with what it has, and with its cursor.
        let _ = app.reach(cursor, BEHIND_MAX).await;
    }
    let mut answer = next.run(request).await;
    if let Some(fresh_at) = app.log.contact().fresh_at {
        answer.headers_mut().insert(FRESH_AT, fresh_at.into());
    }
    answer
}

async fn metrics(AppState(app): AppState<Arc<App>>) -> impl IntoResponse {
    let bounds = app.log.bounds();
    app.metrics.clock_jump_seconds.set(app.config.clock.jump_secs().unwrap_or(0));
    let space = app.storage.now().unwrap_or_default();
    let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    app.metrics.disk_free_bytes.set(gauge(space.free));
    app.metrics.storage_used_bytes.set(gauge(space.used));
    app.metrics.storage_limit_bytes.set(gauge(space.limit.unwrap_or(0)));
    app.metrics.log_first_seq.set(i64::try_from(bounds.first.0).unwrap_or(i64::MAX));
    app.metrics.log_last_seq.set(i64::try_from(bounds.last.0).unwrap_or(i64::MAX));
    app.metrics.state_head_seq.set(i64::try_from(app.feed.head().seq.0).unwrap_or(i64::MAX));
    if let Some(servers) = app.log.servers() {
        let stale_ms =
            app.log.contact().fresh_at.map_or(0, |at| app.config.clock.unix_ms().saturating_sub(at));
        app.metrics.cluster_silent_seconds.set(gauge(servers.age.as_secs()));
        app.metrics.cluster_stale_seconds.set(gauge(stale_ms / 1000));
        app.metrics.cluster_lag_events.set(gauge(servers.newest.0.saturating_sub(bounds.last.0)));
        app.metrics.cluster_servers_current.set(gauge(servers.current() as u64));
        app.metrics.cluster_log_bytes.set(gauge(servers.bytes));
        app.metrics.cluster_log_limit_bytes.set(gauge(servers.bytes_max));
    }
    for follower in app.followers.statuses() {
        follower.show(bounds.last);
    }
    let headers = [("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (headers, app.metrics.render())
}
