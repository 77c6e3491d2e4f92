//! `POST /api/login` and `POST /api/logout`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State as AppState},
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
        body::{self, SHORT_BYTES_MAX},
        caller::Caller,
        cookie,
        error::Error,
    },
    token::Secret,
};

/// The credentials of an operator.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// May be left out if the password is `ROOMWATCH_PASSWORD`
    #[serde(default)]
    user: Option<String>,
    #[schema(value_type = String)]
    password: Secret,
}

/// Signs an operator in.
#[utoipa::path(
    post,
    path = "/api/login",
    tag = "access",
    request_body = Credentials,
    responses(
        (status = 200, description = "Signed in; the answer sets the cookie", body = Me),
        (status = 401, description = "`wrong_credentials`: the name or the password is wrong"),
        (status = 403, description = "`foreign_origin`, or `no_users`: no users are configured"),
        (status = 429, description = "`too_many_logins`; retry after the seconds of `Retry-After`"),
        (status = 503, description = "`busy`; retry after the seconds of `Retry-After`"),
    )
)]
pub async fn login(
    AppState(app): AppState<Arc<App>>,
    arrival: Arrival,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Error> {
    app.limiter.login(arrival.address)?;
    let credentials: Credentials = body::json(&app, request, SHORT_BYTES_MAX).await?;
    let user = credentials.user.as_deref().unwrap_or(OPERATOR);
    let (token, login) =
        app.accounts.login(user, credentials.password).await.map_err(|error| match error {
            LoginError::Wrong => {
                tracing::warn!(client.address = %arrival.address, "a sign-in failed");
                Error::new(StatusCode::UNAUTHORIZED, "wrong_credentials", "the name or the password is wrong")
            }
            LoginError::NoUsers => Error::new(
                StatusCode::FORBIDDEN,
                "no_users",
                "no users are configured; set ROOMWATCH_PASSWORD, or add [[users]] to the configuration file",
            ),
            LoginError::Busy => {
                let message = "too many users sign in at once; try again";
                Error::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).retry_after(2)
            }
            LoginError::Store(cause) => Error::internal(format!("a sign-in cannot be stored: {cause}")),
        })?;
    // The browser's earlier sign-in ends, also if it was another user's.
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

/// The answer after signing out: an empty object.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub struct SignedOut {}

/// Ends the sign-in of the cookie; its streams end within seconds. Without a cookie it does nothing.
#[utoipa::path(
    post,
    path = "/api/logout",
    tag = "access",
    responses((status = 200, description = "Signed out, or there was no sign-in", body = SignedOut))
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
