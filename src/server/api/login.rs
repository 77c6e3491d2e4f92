//! `POST /api/login`, `POST /api/logout`, and the session's cookie.

use std::sync::Arc;

use axum::{
    Json,
    extract::State as AppState,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use crate::{
    accounts::{LOGIN_MS, LoginError, OPERATOR},
    server::{
        App,
        api::me::{Me, me_of},
        arrival::Arrival,
        body::JsonBody,
        caller::Caller,
        cookie,
        error::Error,
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
    AppState(app): AppState<Arc<App>>,
    arrival: Arrival,
    headers: HeaderMap,
    JsonBody(credentials): JsonBody<Credentials>,
) -> Result<Response, Error> {
    app.limiter.login(arrival.address)?;
    let user = credentials.user.as_deref().unwrap_or(OPERATOR);
    let (token, login) =
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
    for old in cookie::tokens(&app.front, arrival.secure, &headers) {
        app.accounts.logout(old).await.map_err(Error::internal)?;
    }
    tracing::info!(user.name = %login.user, client.address = %arrival.address, "signed in");
    let (name, path) = app.front.cookie(arrival.secure);
    let secure = if arrival.secure { "; Secure" } else { "" };
    let cookie = format!(
        "{name}={token}; Path={path}; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        LOGIN_MS / 1000
    );
    let cookie = HeaderValue::from_str(&cookie).map_err(Error::internal)?;
    let caller = Caller::from_login(&app, &token, arrival.address).ok_or_else(Error::unauthorized)?;
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
    AppState(app): AppState<Arc<App>>,
    arrival: Arrival,
    headers: HeaderMap,
) -> Result<Response, Error> {
    for token in cookie::tokens(&app.front, arrival.secure, &headers) {
        app.accounts.logout(token).await.map_err(Error::internal)?;
    }
    let headers = [(header::SET_COOKIE, cookie::no_cookie(&app.front, arrival.secure))];
    Ok((headers, Json(SignedOut {})).into_response())
}
