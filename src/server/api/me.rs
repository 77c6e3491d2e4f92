//! `GET /api/me`: the caller, its rights, and its use of the limit of streams.

use std::sync::Arc;

use axum::{
    Json,
    extract::State as AppState,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    config::{Limit, Role},
    server::{
        App,
        caller::{Caller, CallerKind},
    },
    token::Grant,
};

/// The caller.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// Name of an operator, or API key and identity of a token
    #[schema(value_type = String)]
    user: Arc<str>,
    kind: CallerKind,
    /// For operators
    role: Option<Role>,
    /// Projects in which the caller has any rights
    #[schema(value_type = Vec<String>)]
    projects: Vec<Arc<str>>,
    /// For tokens
    #[schema(value_type = Option<Object>)]
    grants: Option<Grant>,
    streams: Streams,
    /// Time when the right ends, in unix milliseconds
    expires_at: Option<u64>,
    /// URL under which browsers and LiveKit reach this server, if it is configured
    public_url: Option<String>,
    /// True if the meetings are simulated
    demo: bool,
    version: &'static str,
}

/// The streams of this user.
#[derive(Serialize, utoipa::ToSchema)]
struct Streams {
    /// Number of open streams
    open: u32,
    /// Maximum number of open streams; 0 means no limit
    max: u32,
}

/// Returns the caller and its rights.
#[utoipa::path(
    get,
    path = "/api/me",
    tag = "access",
    responses(
        (status = 200, description = "The caller", body = Me),
        (status = 401, description = "No valid credential"),
    )
)]
pub async fn me(AppState(app): AppState<Arc<App>>, caller: Caller) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(me_of(&app, &caller))).into_response()
}

pub fn me_of(app: &App, caller: &Caller) -> Me {
    Me {
        user: caller.user.clone(),
        kind: caller.kind,
        role: caller.role,
        projects: caller.projects(app).cloned().collect(),
        grants: (caller.kind == CallerKind::Token).then(|| caller.grant.clone()),
        streams: Streams {
            open: app.limiter.streams_of(&caller.counted_as),
            max: Limit::StreamsPerUser.max(app.limiter.limits()).unwrap_or(0),
        },
        expires_at: caller.ends_at,
        public_url: app.config.public_url.clone(),
        demo: app.config.demo,
        version: env!("CARGO_PKG_VERSION"),
    }
}
