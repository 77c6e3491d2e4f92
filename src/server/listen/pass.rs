//! Passes every request through the checks of the front, then to its route.

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tower::ServiceExt;

use crate::{
    ingest::webhook,
    server::{App, connections::Connection, cookie, error, stream::handover::Handover},
};

/// Response headers that a page of an allowed other origin may read.
const EXPOSED: &str = "retry-after, roomwatch-fresh-at";
/// Seconds for which a browser may cache the answer to a preflight request.
const PREFLIGHT_SECS: &str = "600";

/// Answers a request that came from `peer` over `connection`. If the answer is a stream, its reader is left in
/// `handover`. This happens outside of the router, because removing the prefix changes the path.
pub async fn pass(
    app: Arc<App>,
    routes: Router,
    peer: IpAddr,
    connection: Connection,
    handover: Handover,
    mut request: Request,
) -> Response {
    let began = Instant::now();
    let front = &app.front;
    let arrival = front.arrival(peer, request.headers());
    let method = request.method().clone();
    let shown = tracing::enabled!(tracing::Level::DEBUG).then(|| shown(request.uri()));
    if let Some(uri) = front.strip_prefix(request.uri()) {
        *request.uri_mut() = uri;
    }
    let mut answer;
    let mut reader = None;
    if method == Method::POST && request.uri().path() == webhook::PATH {
        // Its signature decides, whatever `Host` a container or a tunnel used. And webhooks are the most frequent
        // requests: routing one costs as much as verifying it.
        let (head, body) = request.into_parts();
        answer = webhook::receive(State(app.webhooks.clone()), head.headers, body).await;
    } else {
        let misdirected = webhook::is_meant(request.uri().path()).then(|| request.headers().clone());
        let mut code = None;
        match front.check(&request, peer) {
            Err(error) => {
                code = Some(error.code);
                answer = error.into_response();
            }
            Ok(foreign) => {
                reader = foreign;
                if method == Method::OPTIONS
                    && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
                {
                    answer = preflight_answer(reader.is_some());
                } else {
                    let extensions = request.extensions_mut();
                    extensions.insert(arrival);
                    extensions.insert(connection);
                    extensions.insert(handover);
                    answer = routes.oneshot(request).await.unwrap_or_else(|never| match never {});
                }
            }
        }
        if let Some(headers) = misdirected {
            let code = code.or(match answer.status() {
                StatusCode::NOT_FOUND => Some("no_such_route"),
                StatusCode::METHOD_NOT_ALLOWED => Some("method_not_allowed"),
                _ => None,
            });
            if let Some(code) = code {
                app.webhooks.note_misdirected(&headers, code);
            }
        }
    }
    let headers = answer.headers_mut();
    if !front.cors_origins.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = reader {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    // Most answers depend on the caller. One that does not says how long it may be kept.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_SECURITY_POLICY, front.content_security_policy.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    if answer.extensions().get::<error::SessionEnded>().is_some() {
        answer.headers_mut().append(header::SET_COOKIE, cookie::no_cookie(front, arrival.secure));
    }
    if let Some(shown) = shown {
        let status = answer.status().as_u16();
        tracing::debug!(
            http.status = status,
            client.address = %arrival.address,
            "{method} {shown} answered within {} ms",
            began.elapsed().as_millis()
        );
    }
    answer
}

fn preflight_answer(allowed: bool) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    if allowed {
        let headers = answer.headers_mut();
        let allow = |text| HeaderValue::from_static(text);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow("GET, POST, PATCH, DELETE"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            allow("authorization, content-type, last-event-id, roomwatch-cursor"),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, allow(PREFLIGHT_SECS));
    }
    answer
}

/// Returns path and query for a log line. The value of an access token is masked, however its name is spelled.
fn shown(uri: &Uri) -> String {
    let Some(query) = uri.query() else { return uri.path().to_owned() };
    let mut out = form_urlencoded::Serializer::new(format!("{}?", uri.path()));
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = if name.eq_ignore_ascii_case("access_token") { "***" } else { &value };
        out.append_pair(&name, value);
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_url_is_masked() {
        let shown = |uri: &str| shown(&uri.parse().expect("a URI"));
        assert_eq!(shown("/api/events"), "/api/events");
        for uri in
            ["/e?access_token=CANARY&room=a", "/e?room=a&access%5ftoken=CANARY", "/e?Access_Token=CANARY"]
        {
            let shown = shown(uri);
            assert!(!shown.contains("CANARY") && shown.contains("***"), "{shown}");
        }
    }
}
