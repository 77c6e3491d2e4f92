//! `POST /api/login`, `POST /api/logout`, and the session's cookie.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use crate::{
    server::{
        App,
        accounts::{LoginError, OPERATOR, SESSION_MS},
        auth::Caller,
        body::JsonBody,
        error::Error,
        front::{Arrival, Front},
        me::{Me, me_of},
    },
    token::Secret,
};

/// Who signs in.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Not needed where the password is `ROOMWATCH_PASSWORD`.
    #[serde(default)]
    user: Option<String>,
    #[schema(value_type = String)]
    password: Secret,
}

/// Begins an operator's session.
#[utoipa::path(
    post,
    path = "/api/login",
    tag = "access",
    request_body = Credentials,
    responses(
        (status = 200, description = "Signed in; the session is in the cookie", body = Me),
        (status = 401, description = "`wrong_credentials`: name or password"),
        (status = 403, description = "`foreign_origin`, or `no_users`: nobody can sign in here"),
        (status = 429, description = "`too_many_logins`; `Retry-After` says when"),
        (status = 503, description = "`busy`; `Retry-After` says when"),
    )
)]
pub async fn login(
    State(app): State<Arc<App>>,
    arrival: Arrival,
    headers: HeaderMap,
    JsonBody(credentials): JsonBody<Credentials>,
) -> Result<Response, Error> {
    app.limiter.login(arrival.address)?;
    let user = credentials.user.as_deref().unwrap_or(OPERATOR);
    let (token, session) =
        app.accounts.login(user, credentials.password).await.map_err(|error| match error {
            LoginError::Wrong => {
                tracing::warn!(client.address = %arrival.address, "a sign-in failed");
                Error::new(StatusCode::UNAUTHORIZED, "wrong_credentials", "name or password is wrong")
            }
            LoginError::NoUsers => Error::new(
                StatusCode::FORBIDDEN,
                "no_users",
                "nobody can sign in here: set ROOMWATCH_PASSWORD or configure [[users]]",
            ),
            LoginError::Busy => {
                Error::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many sign in at once").retry_after(2)
            }
            LoginError::Store(cause) => Error::internal(format!("a session could not be kept: {cause}")),
        })?;
    // The session the browser had is over: nobody goes on in it, whoever opened it.
    for old in tokens(&app.front, arrival.secure, &headers) {
        app.accounts.logout(old).await.map_err(Error::internal)?;
    }
    tracing::info!(user.name = %session.user, client.address = %arrival.address, "signed in");
    let (name, path) = app.front.cookie(arrival.secure);
    let secure = if arrival.secure { "; Secure" } else { "" };
    let cookie = format!(
        "{name}={token}; Path={path}; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        SESSION_MS / 1000
    );
    let cookie = HeaderValue::from_str(&cookie).map_err(Error::internal)?;
    let caller = Caller::from_session(&app, &token, arrival.address).ok_or_else(Error::unauthorized)?;
    let headers =
        [(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((headers, Json(me_of(&app, &caller))).into_response())
}

/// What is left after signing out.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub struct SignedOut {}

/// Ends the session of the cookie; its streams end within seconds. Without one it does nothing.
#[utoipa::path(
    post,
    path = "/api/logout",
    tag = "access",
    responses((status = 200, description = "Signed out, or nobody was signed in", body = SignedOut))
)]
pub async fn logout(
    State(app): State<Arc<App>>,
    arrival: Arrival,
    headers: HeaderMap,
) -> Result<Response, Error> {
    for token in tokens(&app.front, arrival.secure, &headers) {
        app.accounts.logout(token).await.map_err(Error::internal)?;
    }
    let headers = [(header::SET_COOKIE, no_cookie(&app.front, arrival.secure))];
    Ok((headers, Json(SignedOut {})).into_response())
}

/// The session tokens a request carries. There may be several: a cookie of another path or domain
/// has the same name, and the browser sends both.
pub fn tokens<'a>(front: &Front, secure: bool, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
    let (wanted, _) = front.cookie(secure);
    let lines = headers.get_all(header::COOKIE).into_iter();
    lines.flat_map(|line| line.to_str().unwrap_or("").split(';')).filter_map(move |pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == wanted && !value.is_empty()).then_some(value)
    })
}

/// Takes the cookie away.
pub fn no_cookie(front: &Front, secure: bool) -> HeaderValue {
    let (name, path) = front.cookie(secure);
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{name}=; Path={path}; Max-Age=0; HttpOnly; SameSite=Strict{secure}");
    // The path is of the configured URL, so it is visible ASCII.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("roomwatch=; Max-Age=0"))
}
