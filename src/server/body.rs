//! The body of a request as JSON, within the limits.

use std::sync::Arc;

use axum::{
    extract::{FromRequest, Request},
    http::{StatusCode, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::{
    config::Limit,
    server::{App, error::Error},
};

/// The body of a request that changes something. Its `Content-Type` must be JSON: a form on another site cannot
/// send that.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<JsonBody<T>, Error> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
            return Err(Error::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "the body must be JSON, with Content-Type: application/json",
            ));
        }
        let limits = app.limiter.limits();
        let max = Limit::BodyBytes.bytes(limits);
        let collect = Limited::new(request.into_body(), max).collect();
        let collected = match Limit::BodyTime.time(limits) {
            Some(time) => {
                tokio::time::timeout(time, collect).await.map_err(|_| Limit::BodyTime.error(limits, None))?
            }
            None => collect.await,
        };
        let bytes = match collected {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(Limit::BodyBytes.error(limits, None)),
            Err(_) => return Err(Error::bad_request("body_incomplete", "the body ended early")),
        };
        serde_json::from_slice(&bytes).map(JsonBody).map_err(|error| {
            // serde_json repeats a value of the wrong type. It may be a secret in the wrong field.
            let text = error.to_string();
            let (line, column) = (error.line(), error.column());
            let message = if text.starts_with("invalid") {
                format!("a value has the wrong type at line {line} column {column}")
            } else {
                text
            };
            Error::bad_request("bad_body", message)
        })
    }
}
