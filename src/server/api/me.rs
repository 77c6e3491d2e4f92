//! `GET /api/me`: who the caller is, what they may do, and why a stream may not open.

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
    /// An operator's name; of a token, its key and its identity.
    #[schema(value_type = String)]
    user: Arc<str>,
    kind: CallerKind,
    /// Of operators.
    role: Option<Role>,
    /// Those of which the caller may see something or in which they may do something.
    #[schema(value_type = Vec<String>)]
    projects: Vec<Arc<str>>,
    /// Of tokens.
    #[schema(value_type = Option<Object>)]
    grants: Option<Grant>,
    streams: Streams,
    /// When the right ends, in unix milliseconds.
    expires_at: Option<u64>,
    /// How browsers and LiveKit reach this server, if it was told.
    public_url: Option<String>,
    /// The meetings are made up.
    demo: bool,
    version: &'static str,
}

/// The streams of this user.
#[derive(Serialize, utoipa::ToSchema)]
struct Streams {
    /// Open now.
    open: u32,
    /// How many may be open; 0 means any number.
    max: u32,
}

/// Who the caller is.
#[utoipa::path(
    get,
    path = "/api/me",
    tag = "access",
    responses(
        (status = 200, description = "The caller", body = Me),
        (status = 401, description = "Nobody is signed in"),
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
