//! `GET /api/events`: the stream, or a page of the log.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Extension,
    body::Body,
    extract::{RawQuery, State as AppState},
    http::{HeaderMap, Version, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::Frame as BodyFrame;

use crate::{
    feed::{Filter, Position},
    rights::Window,
    server::{
        App, CURSOR_MAX,
        caller::Caller,
        error::Error,
        query::ProjectsQuery,
        stream::{
            handover::{Handover, NewReader},
            message::{Framing, RETRY_FULL_MS, RETRY_MS, bye_event, connected, jitter},
            open::OpenStream,
            page::{Page, page},
            wanted::Wanted,
        },
    },
};

/// Opens the stream. If `Accept` names `application/json` and not `text/event-stream`, returns a page of the log.
#[utoipa::path(
    get,
    path = "/api/events",
    tag = "events",
    params(
        ("room" = Option<Vec<String>>, Query, description = "Only these rooms; may be repeated"),
        ("type" = Option<Vec<String>>, Query, description = "Only these types; `*` matches any characters; may be repeated"),
        ("participant" = Option<Vec<String>>, Query, description = "Only events of participants with these identities; may be repeated"),
        ProjectsQuery,
        ("after" = Option<String>, Query, description = "Begin after this cursor; `start` begins at the oldest event"),
        ("lastEventId" = Option<String>, Query, description = "Streams only: as `Last-Event-ID`, from polyfills of `EventSource`"),
        ("before" = Option<String>, Query, description = "Pages only: events before this cursor"),
        ("limit" = Option<u16>, Query, description = "Pages only: maximum number of events, at most 1000"),
        ("Last-Event-ID" = Option<String>, Header, description = "As `after`, and takes precedence over it"),
    ),
    responses(
        (status = 200, description = "An endless stream of server-sent events, or one page", content(
            (Page = "application/json"), (String = "text/event-stream"))),
        (status = 400, description = "A parameter is unknown, given twice or too large"),
        (status = 401, description = "No valid credential"),
        (status = 403, description = "The request is outside the caller's rights"),
        (status = 410, description = "Pages only: the cursor cannot be honoured; the code says why"),
        (status = 429, description = "Too many streams of this user"),
    )
)]
pub async fn events(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    version: Version,
    Extension(handover): Extension<Handover>,
) -> Result<Response, Error> {
    let wanted = Wanted::parse(query.as_deref())?;
    let last_id =
        headers.get("last-event-id").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    // It takes precedence over `after`, even if it is not a cursor: the URL of a reconnect still has the `after` of the
    // first connection. An empty header counts as none.
    let last_id = last_id.filter(|id| !id.is_empty()).or_else(|| wanted.last_event_id.clone());
    let cursor = last_id.as_ref().or(wanted.after.as_ref()).or(wanted.before.as_ref());
    let reached = match cursor {
        Some(cursor) => app.reach(cursor, CURSOR_MAX).await,
        None => Ok(()),
    };
    let window = wanted.window(&app, &caller)?;
    if wants_page(&headers) {
        reached?;
        if wanted.last_event_id.is_some() {
            return Err(Error::bad_request("unknown_parameter", "lastEventId is for streams; use after"));
        }
        let _turn = app.turns.take(&caller).await?;
        return page(&app, &wanted, &window).await;
    }
    if wanted.before.is_some() || wanted.limit.is_some() {
        return Err(Error::bad_request(
            "unknown_parameter",
            "before and limit are for pages; send Accept: application/json",
        ));
    }
    if reached.is_err() {
        app.metrics.stream("behind");
        return Ok(refused_stream("behind"));
    }
    let filter = wanted.filter(&window);
    let from = Position::parse(last_id.or(wanted.after).as_deref());
    let open = match app.streams.open("sse", &caller) {
        Ok(open) => open,
        // An EventSource that gets 503 never reconnects. After `bye` it does.
        Err(refused) => return refused.map(refused_stream),
    };
    let framing = if version == Version::HTTP_11 { Framing::Chunked } else { Framing::Bare };
    Ok(answer(Body::new(Opening::begin(&app, open, filter, &window, &from, framing, handover))))
}

fn wants_page(headers: &HeaderMap) -> bool {
    let names = |media: &str| {
        let mut values = headers.get_all(header::ACCEPT).iter();
        values.any(|value| value.to_str().is_ok_and(|value| value.contains(media)))
    };
    names("application/json") && !names("text/event-stream")
}

fn answer(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache, no-store, no-transform"),
        (header::VARY, "Accept"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
        // The connection ends with the stream: a client that reused it would lose its next request.
        (header::CONNECTION, "close"),
    ];
    (headers, body).into_response()
}

/// Returns a stream that has only a `bye` with the reason for the refusal.
fn refused_stream(reason: &'static str) -> Response {
    let retry = if reason == "capacity" { RETRY_FULL_MS } else { RETRY_MS };
    answer(Body::from(format!("retry: {}\n\n{}", jitter(retry), bye_event(reason))))
}

/// The beginning of a stream's answer. Only this part goes through hyper.
struct Opening {
    first: Option<Bytes>,
    reader: Option<NewReader>,
    handover: Handover,
}

impl Opening {
    fn begin(
        app: &Arc<App>,
        open: OpenStream,
        filter: Filter,
        window: &Window,
        from: &Position,
        framing: Framing,
        handover: Handover,
    ) -> Opening {
        let (cursor, connected) = match app.feed.locate(from, window) {
            Ok(after) => {
                let resumed = !matches!(from, Position::Head);
                app.metrics.stream(if resumed { "resumed" } else { "started" });
                (after, connected(app.feed.cursor(after), resumed, None))
            }
            Err(reset) => {
                let head = app.feed.head();
                app.metrics.stream("reset");
                (head.seq, connected(head, false, Some(reset)))
            }
        };
        Opening {
            first: Some(format!("retry: {}\n{connected}", jitter(RETRY_MS)).into()),
            reader: Some(NewReader { open, filter, cursor, framing }),
            handover,
        }
    }
}

impl http_body::Body for Opening {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(BodyFrame::data(first))));
        }
        if let Some(reader) = self.reader.take() {
            self.handover.put(reader);
        }
        // The shard writes everything that follows.
        Poll::Pending
    }
}
