//! The body of a request as JSON, within the limits.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, StatusCode, header},
};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::{
    config::{Limit, Limits},
    server::{App, error::Error, memory::Share},
};

/// Maximum size of a body with a few short fields, in bytes: a sign-in, a reason.
pub const SHORT_BYTES_MAX: usize = 4 << 10;
/// For a body with metadata: as many bytes as `max_body_bytes` allows.
pub const METADATA_BYTES_MAX: usize = usize::MAX;

/// Reads the body of a request that changes something. Its `Content-Type` must be JSON: a form on another site cannot
/// send that.
///
/// Call this after everything that can refuse the request. `bytes_max` is the most that the route needs; with
/// `max_body_bytes` it may be less.
pub async fn json<T: DeserializeOwned>(app: &App, request: Request, bytes_max: usize) -> Result<T, Error> {
    let (head, body) = request.into_parts();
    if !is_json(&head.headers) {
        return Err(Error::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_json",
            "the body must be JSON, with Content-Type: application/json",
        ));
    }
    let limits = app.limiter.limits();
    let max = Limit::BodyBytes.bytes(limits).min(bytes_max);
    let expected = body.size_hint();
    if expected.lower() > max as u64 {
        return Err(too_large(max));
    }
    let expected = expected.exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(max);
    if let Some(share) = head.extensions.get::<Share>() {
        share.resize(expected as u64)?;
    }
    let bytes = match Limit::BodyTime.time(limits) {
        Some(time) => tokio::time::timeout(time, collect(body, expected, max))
            .await
            .map_err(|_| Limit::BodyTime.error(limits, None))??,
        None => collect(body, expected, max).await?,
    };
    serde_json::from_slice(&bytes).map_err(|error| {
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

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

/// Collects the body in one piece. The pieces of hyper are not kept: a body that arrives byte by byte would take many
/// times its size.
async fn collect(mut body: Body, expected: usize, max: usize) -> Result<Vec<u8>, Error> {
    // `expected` bytes are counted already. Pages that are never written to take no memory.
    let mut bytes = Vec::with_capacity(expected);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::bad_request("body_incomplete", "the body ended early"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > max {
            return Err(too_large(max));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn too_large(max: usize) -> Error {
    let max = u32::try_from(max).unwrap_or(u32::MAX);
    Limit::BodyBytes.error(&Limits::default().with(Limit::BodyBytes, max), None)
}
