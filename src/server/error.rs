//! The error body of every route: a stable code, one sentence, and a link to the page of the code. It never has a
//! stack trace, a path or SQL: the cause is logged where the error is handled.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// The page that explains each code.
const DOCS: &str = "https://github.com/roomwatch/roomwatch/blob/main/docs/errors.md#";

const SESSION_ENDED: &str = "session_ended";

/// Marks the answer to a cookie whose sign-in has ended.
#[derive(Clone, Copy, Debug)]
pub struct SessionEnded;

/// An error answer.
#[derive(Clone, Debug)]
pub struct Error {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    /// Seconds after which a retry may succeed.
    pub retry_after: Option<u32>,
}

/// The body of every error.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ErrorDetail {
    /// Stable; a program may branch on it
    code: &'static str,
    /// For people; may change
    message: String,
    /// URL of the explanation of the code
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

    /// The error for a cookie whose sign-in has ended. The answer deletes the cookie; otherwise the browser would
    /// be refused as long as it has the cookie.
    pub fn session_ended() -> Error {
        Error::new(StatusCode::UNAUTHORIZED, SESSION_ENDED, "your session has ended; sign in again")
    }

    pub fn forbidden() -> Error {
        Error::new(StatusCode::FORBIDDEN, "forbidden", "your rights do not allow this")
    }

    pub fn not_found(code: &'static str, message: impl Into<String>) -> Error {
        Error::new(StatusCode::NOT_FOUND, code, message)
    }

    /// The error for a method that the route does not have. The header `Allow` lists its methods.
    pub fn method_not_allowed() -> Error {
        Error::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this route does not have this method; see the header Allow",
        )
    }

    /// The error for a room that is not live. A room that the caller may not see gets the same one.
    pub fn room_not_live() -> Error {
        Error::not_found("room_not_live", "there is no live room with this name")
    }

    /// The error for a fault of the server. The cause is logged; the caller does not get it.
    pub fn internal(cause: impl std::fmt::Display) -> Error {
        tracing::error!("a request failed: {cause}");
        Error::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed; its log has the cause")
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
