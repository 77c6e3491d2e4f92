//! What a caller is told when something cannot be done: a stable code, a short sentence and where to
//! read more. Never a stack, a path or SQL: the cause is logged where it is handled.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// Where each code is explained.
const DOCS: &str = "https://github.com/roomwatch/roomwatch/blob/main/docs/errors.md#";

const SESSION_ENDED: &str = "session_ended";

/// Marks an answer to a cookie whose session is over.
#[derive(Clone, Copy, Debug)]
pub struct SessionEnded;

/// An answer that is not the one asked for.
#[derive(Clone, Debug)]
pub struct Error {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    /// Seconds after which it is worth another try.
    pub retry_after: Option<u32>,
}

/// The body of every error.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ErrorDetail {
    /// Stable: programs may branch on it.
    code: &'static str,
    /// For people; may change.
    message: String,
    /// Where the code is explained.
    docs: String,
}

impl Error {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Error {
        Error { status, code, message: message.into(), retry_after: None }
    }

    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub fn unauthorized() -> Error {
        Error::new(StatusCode::UNAUTHORIZED, "unauthorized", "sign in, or send a LiveKit access token")
    }

    /// A cookie whose session is over. The answer takes the cookie away, or a browser would be kept
    /// out for as long as it has it.
    pub fn session_ended() -> Error {
        Error::new(StatusCode::UNAUTHORIZED, SESSION_ENDED, "your session is over; sign in again")
    }

    pub fn forbidden() -> Error {
        Error::new(StatusCode::FORBIDDEN, "forbidden", "your rights do not reach this")
    }

    pub fn not_found(code: &'static str, message: impl Into<String>) -> Error {
        Error::new(StatusCode::NOT_FOUND, code, message)
    }

    /// `Allow` says which it takes.
    pub fn method_not_allowed() -> Error {
        Error::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the route takes another method")
    }

    /// No such room is live; or it is none of the caller's business, which is answered alike.
    pub fn room_not_live() -> Error {
        Error::not_found("room_not_live", "no such room is live")
    }

    /// Something of ours failed. The cause goes into the log and not to the caller.
    pub fn internal(cause: impl std::fmt::Display) -> Error {
        tracing::error!("a request failed: {cause}");
        Error::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something failed here; the log says what")
    }

    pub fn retry_after(mut self, secs: u32) -> Error {
        self.retry_after = Some(secs);
        self
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let docs = format!("{DOCS}{}", self.code);
        let body = ErrorBody { error: ErrorDetail { code: self.code, message: self.message, docs } };
        let mut answer = (self.status, axum::Json(body)).into_response();
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.code == SESSION_ENDED {
            answer.extensions_mut().insert(SessionEnded);
        }
        let headers = answer.headers_mut();
        if let Some(secs) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        answer
    }
}
