//! `GET /api/events`: the stream, and the log in pages.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, Version, header},
    response::{IntoResponse, Response},
};
use bytes::{BufMut, Bytes, BytesMut};
use http_body::Frame as BodyFrame;
use parking_lot::Mutex;

use crate::{
    event::{Cursor, Seq},
    feed::{
        Feed, Filter, Frame, From, ReplayError, Replayed, Reset,
        filter::{FILTER_VALUE_BYTES_MAX, FILTER_VALUES_MAX},
        frame::size_line,
    },
    server::{App, OpenStream, auth::Caller, error::Error, shard::Begun},
    webhook::now_ms,
};

/// The most events one page has.
const PAGE_EVENTS_MAX: usize = 1_000;
/// How many a page has if nobody says.
const PAGE_EVENTS: usize = 100;
/// A page ends early rather than grow past this: events may be megabytes.
const PAGE_BYTES_MAX: usize = 8 << 20;
/// One request scans at most this many events; the caller goes on with `next` or `prev`.
const PAGE_SCAN_MAX: u64 = 50_000;
/// How many events one read of a page takes from the log.
const PAGE_STEP: usize = 1_000;
/// `retry:` lies between these, in milliseconds, and differs from connection to connection, so that
/// a restart brings no stampede.
const RETRY_MS: std::ops::Range<u64> = 1_500..4_500;
/// The same when the server is full: nobody gains by coming back at once.
const RETRY_FULL_MS: std::ops::Range<u64> = 10_000..30_000;

/// What a reader asks for.
#[derive(Debug, Default)]
pub struct Wanted {
    pub rooms: Vec<String>,
    pub types: Vec<String>,
    pub projects: Vec<String>,
    pub after: Option<String>,
    pub before: Option<String>,
    pub limit: Option<usize>,
}

impl Wanted {
    /// Reads the query. What it does not know is an error: a misspelled filter would silently show
    /// everything.
    pub fn parse(query: &str) -> Result<Wanted, Error> {
        let mut wanted = Wanted::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "room" => wanted.rooms.push(value.into_owned()),
                "type" => wanted.types.push(value.into_owned()),
                "project" => wanted.projects.push(value.into_owned()),
                "after" => once(&mut wanted.after, "after", value.into_owned())?,
                "before" => once(&mut wanted.before, "before", value.into_owned())?,
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=PAGE_EVENTS_MAX).contains(limit));
                    let limit = limit.ok_or_else(|| Error::bad_request("bad_limit", "limit is 1 to 1000"))?;
                    once(&mut wanted.limit, "limit", limit)?;
                }
                // Read by the caller's extractor.
                "access_token" => {}
                other => {
                    return Err(Error::bad_request(
                        "unknown_parameter",
                        format!("there is no parameter {other:?}"),
                    ));
                }
            }
        }
        wanted.check()?;
        Ok(wanted)
    }

    /// Holds the filter to its limits, whichever transport it came by.
    pub fn check(&self) -> Result<(), Error> {
        for (name, values) in [("room", &self.rooms), ("type", &self.types), ("project", &self.projects)] {
            let long = values.iter().any(|value| value.len() > FILTER_VALUE_BYTES_MAX);
            if values.len() > FILTER_VALUES_MAX || long {
                return Err(Error::bad_request(
                    "filter_too_large",
                    format!(
                        "{name} takes at most {FILTER_VALUES_MAX} values of {FILTER_VALUE_BYTES_MAX} bytes"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The one cut of request and rights.
    pub fn filter(&self, caller: &Caller) -> Result<Filter, Error> {
        Filter::cut(caller.sight.clone(), &self.projects, &self.rooms, &self.types)
            .map_err(|_| Error::forbidden())
    }
}

fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), Error> {
    if place.replace(value).is_some() {
        return Err(Error::bad_request("duplicate_parameter", format!("{name} stands twice")));
    }
    Ok(())
}

/// The stream, or a page of the log if JSON is all that is accepted.
#[utoipa::path(
    get,
    path = "/api/events",
    tag = "events",
    params(
        ("room" = Option<Vec<String>>, Query, description = "Only these rooms; may be repeated"),
        ("type" = Option<Vec<String>>, Query, description = "Only these types; `*` stands for any run; may be repeated"),
        ("project" = Option<Vec<String>>, Query, description = "Only these projects; may be repeated"),
        ("after" = Option<String>, Query, description = "Begin after this cursor; `start` for the oldest event"),
        ("before" = Option<String>, Query, description = "Pages only: the events before this cursor"),
        ("limit" = Option<u16>, Query, description = "Pages only: how many events, at most 1000"),
        ("Last-Event-ID" = Option<String>, Header, description = "As `after`, and stronger"),
    ),
    responses(
        (status = 200, description = "Server-sent events without end, or one page", content(
            (String = "text/event-stream"), (Page = "application/json"))),
        (status = 400, description = "A parameter is unknown, twice or too large"),
        (status = 401, description = "Nobody is anonymous"),
        (status = 403, description = "Nothing of what is asked is within the caller's rights"),
        (status = 410, description = "Pages only: the cursor cannot be honoured; the code says why"),
        (status = 429, description = "Too many streams of this user"),
    )
)]
pub async fn events(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    version: Version,
    Extension(handover): Extension<Handover>,
) -> Result<Response, Error> {
    let wanted = Wanted::parse(query.as_deref().unwrap_or(""))?;
    let filter = wanted.filter(&caller)?;
    let floor = app.floor(filter.sight());
    if wants_page(&headers) {
        return page(&app, &wanted, &filter, floor).await;
    }
    if wanted.before.is_some() || wanted.limit.is_some() {
        return Err(Error::bad_request(
            "unknown_parameter",
            "before and limit are for pages: Accept: application/json",
        ));
    }
    let last_id =
        headers.get("last-event-id").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    // The header beats `after`, even when it is junk; an empty one is none.
    let from = From::parse(last_id.filter(|id| !id.is_empty()).or(wanted.after).as_deref());
    let open = match app.open_stream("sse", &caller) {
        Ok(open) => open,
        // An EventSource that gets 503 is closed for good; this one comes back later.
        Err(refused) => return refused.map(goodbye),
    };
    let framing = if version == Version::HTTP_11 { Framing::Chunked } else { Framing::Bare };
    Ok(answer(Body::new(Opening::begin(&app, open, filter, floor, &from, framing, handover))))
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
        // It ends with the stream: a client that sent its next request by it would lose that.
        (header::CONNECTION, "close"),
    ];
    (headers, body).into_response()
}

/// A stream that only says why it does not begin.
fn goodbye(reason: &'static str) -> Response {
    let retry = if reason == "capacity" { RETRY_FULL_MS } else { RETRY_MS };
    answer(Body::from(format!("retry: {}\n\n{}", jitter(retry), farewell(reason))))
}

/// A number that differs from call to call. Not a secret: it only spreads reconnects.
pub fn jitter(range: std::ops::Range<u64>) -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let random = RandomState::new().build_hasher().finish();
    range.start + random % (range.end - range.start).max(1)
}

/// How bytes stand in the answer of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// HTTP/1.1: each write is a chunk (RFC 9112, 7.1).
    Chunked,
    /// HTTP/1.0: the answer ends with the connection.
    Bare,
}

impl Framing {
    /// One server-sent event as it is written.
    pub fn frame(self, text: &str) -> Bytes {
        match self {
            Framing::Chunked => Bytes::from([&size_line(text.len()), text.as_bytes(), b"\r\n"].concat()),
            Framing::Bare => Bytes::copy_from_slice(text.as_bytes()),
        }
    }
}

/// Where a stream leaves what its connection is handed over with, once its answer has begun.
#[derive(Clone, Default)]
pub struct Handover(Arc<Mutex<Option<Begun>>>);

impl Handover {
    pub fn take(&self) -> Option<Begun> {
        self.0.lock().take()
    }
}

/// The beginning of a stream's answer: all of it that goes through hyper.
struct Opening {
    first: Option<Bytes>,
    begun: Option<Begun>,
    handover: Handover,
}

impl Opening {
    fn begin(
        app: &Arc<App>,
        open: OpenStream,
        filter: Filter,
        floor: Option<Seq>,
        from: &From,
        framing: Framing,
        handover: Handover,
    ) -> Opening {
        let (cursor, connected) = match app.feed.locate(from, floor) {
            Ok(after) => {
                let resumed = !matches!(from, From::Head);
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
            begun: Some(Begun { open, filter, cursor, framing }),
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
        if let Some(begun) = self.begun.take() {
            *self.handover.0.lock() = Some(begun);
        }
        // What comes next does not come through here.
        Poll::Pending
    }
}

/// Heartbeats are spread over a quarter of their interval, and never come late.
pub fn ping_in(heartbeat: Duration) -> Duration {
    let millis = u64::try_from(heartbeat.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(jitter(millis * 3 / 4..millis))
}

/// `connected` as a server-sent event.
pub fn connected(cursor: Cursor, resumed: bool, reset: Option<Reset>) -> String {
    format!("id: {cursor}\ndata: {}\n\n", connected_message(cursor, resumed, reset))
}

/// The first message of every stream, on every transport.
pub fn connected_message(cursor: Cursor, resumed: bool, reset: Option<Reset>) -> String {
    let reset = reset.map_or(String::new(), |reset| format!("\"reset\":\"{}\",", reset.as_str()));
    format!("{{\"type\":\"connected\",\"resumed\":{resumed},{reset}\"cursor\":\"{cursor}\"}}")
}

/// The heartbeat, with the place scanned so far.
pub fn ping(cursor: Cursor) -> String {
    format!("event: ping\nid: {cursor}\ndata: {{\"cursor\":\"{cursor}\",\"at\":{}}}\n\n", now_ms())
}

/// Tells a reader to renew its right, which ends at this time in unix milliseconds.
pub fn expiring(ends_at: u64) -> String {
    format!("event: expiring\ndata: {{\"at\":{ends_at}}}\n\n")
}

/// Why a stream ends, and when to come back.
pub fn bye(reason: &str) -> String {
    format!("retry: {}\n{}", jitter(RETRY_MS), farewell(reason))
}

fn farewell(reason: &str) -> String {
    format!("event: bye\ndata: {{\"reason\":\"{reason}\"}}\n\n")
}

/// A page of the log.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "the shape is written by hand, so that messages are not encoded twice")]
pub struct Page {
    /// The epoch of the log.
    epoch: String,
    /// The head when the page was made: a stream `after` it continues the newest page.
    cursor: String,
    /// The oldest event that is kept.
    first: String,
    /// The newest event.
    last: String,
    /// `before=` for what came before; null at the beginning.
    prev: Option<String>,
    /// `after=` for what comes next; null at the end.
    next: Option<String>,
    /// Ascending.
    events: Vec<serde_json::Value>,
}

async fn page(app: &App, wanted: &Wanted, filter: &Filter, floor: Option<Seq>) -> Result<Response, Error> {
    if wanted.after.is_some() && wanted.before.is_some() {
        return Err(Error::bad_request("bad_parameter", "after and before exclude each other"));
    }
    let feed = &app.feed;
    let limit = wanted.limit.unwrap_or(PAGE_EVENTS);
    let bounds = app.log.bounds();
    let head = feed.head();
    let oldest = bounds.first.max(floor.unwrap_or(Seq(1)));
    let gone = |reset: Reset| Error::new(StatusCode::GONE, reset.as_str(), "this cursor cannot be honoured");
    let mut page = match &wanted.after {
        Some(after) => {
            let after = feed.locate(&From::parse(Some(after)), floor).map_err(gone)?;
            forward(feed, filter, after, head.seq, limit).await.map_err(|error| failed(error, gone))?
        }
        None => {
            let before = match wanted.before.as_deref() {
                None | Some("") => head.seq.next(),
                Some(text) => {
                    let cursor: Cursor = text.parse().map_err(|_| gone(Reset::UnknownEpoch))?;
                    if cursor.epoch != feed.epoch() {
                        return Err(gone(Reset::UnknownEpoch));
                    }
                    if cursor.seq > head.seq.next() {
                        return Err(gone(Reset::Ahead));
                    }
                    if cursor.seq < oldest {
                        return Err(gone(Reset::Expired));
                    }
                    cursor.seq
                }
            };
            backward(feed, filter, oldest, before, limit).await.map_err(|error| failed(error, gone))?
        }
    };
    let mut out = BytesMut::new();
    let put = |out: &mut BytesMut, text: std::fmt::Arguments<'_>| {
        use std::io::Write;
        // Memory grows: it refuses nothing.
        out.writer().write_fmt(text).expect("memory takes it");
    };
    let text = |seq: Seq| feed.cursor(seq);
    let quoted = |seq: Option<Seq>| seq.map_or("null".to_owned(), |seq| format!("\"{}\"", text(seq)));
    let prev = page.scanned_from.filter(|from| *from > oldest);
    let next = Some(page.scanned_to).filter(|to| *to < head.seq);
    put(
        &mut out,
        format_args!(
            "{{\"epoch\":\"{}\",\"cursor\":\"{head}\",\"first\":\"{}\",\"last\":\"{head}\",\"prev\":{},\"next\":{},\"events\":[",
            feed.epoch(),
            text(oldest),
            quoted(prev),
            quoted(next),
        ),
    );
    for (i, frame) in page.frames.drain(..).enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        out.put_slice(&frame.json(filter.view()));
    }
    out.put_slice(b"]}");
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept"),
    ];
    Ok((headers, out.freeze()).into_response())
}

fn failed(error: ReplayError, gone: impl Fn(Reset) -> Error) -> Error {
    match error {
        ReplayError::Expired => gone(Reset::Expired),
        other => Error::internal(other),
    }
}

/// The frames of a page and how far was looked for them.
struct Scanned {
    frames: Vec<Arc<Frame>>,
    /// The lowest event that was looked at; none if none was.
    scanned_from: Option<Seq>,
    /// Everything up to here was looked at.
    scanned_to: Seq,
}

async fn forward(
    feed: &Feed,
    filter: &Filter,
    after: Seq,
    head: Seq,
    limit: usize,
) -> Result<Scanned, ReplayError> {
    let mut frames: Vec<Arc<Frame>> = Vec::new();
    let mut at = after;
    let mut bytes = 0;
    while at < head && frames.len() < limit && bytes < PAGE_BYTES_MAX && at.0 - after.0 < PAGE_SCAN_MAX {
        let Replayed { frames: mut found, scanned } =
            feed.replay(filter, at, PAGE_STEP, PAGE_BYTES_MAX - bytes).await?;
        at = scanned;
        if frames.len() + found.len() > limit {
            found.truncate(limit - frames.len());
            at = found.last().map_or(at, |frame| frame.seq);
        }
        bytes += found.iter().map(|frame| frame.bytes()).sum::<usize>();
        frames.append(&mut found);
    }
    Ok(Scanned { frames, scanned_from: Some(after.next()).filter(|_| at > after), scanned_to: at })
}

async fn backward(
    feed: &Feed,
    filter: &Filter,
    oldest: Seq,
    before: Seq,
    limit: usize,
) -> Result<Scanned, ReplayError> {
    let mut frames: Vec<Arc<Frame>> = Vec::new();
    let mut from = before;
    let mut bytes = 0;
    while from > oldest && frames.len() < limit && bytes < PAGE_BYTES_MAX && before.0 - from.0 < PAGE_SCAN_MAX
    {
        let mut low = Seq(from.0.saturating_sub(PAGE_STEP as u64).max(oldest.0));
        let mut window: VecDeque<Arc<Frame>> = VecDeque::new();
        let mut at = Seq(low.0 - 1);
        while at.next() < from {
            let left = usize::try_from(from.0 - 1 - at.0).unwrap_or(PAGE_STEP);
            let Replayed { frames: mut found, scanned } =
                feed.replay(filter, at, left, PAGE_BYTES_MAX).await?;
            if scanned == at {
                break;
            }
            at = scanned;
            window.extend(found.drain(..));
            // The page is filled from the end, so what does not fit is the oldest.
            while window.iter().map(|frame| frame.bytes()).sum::<usize>() > PAGE_BYTES_MAX && window.len() > 1
            {
                window.pop_front();
                low = window.front().map_or(low, |frame| frame.seq);
            }
        }
        from = low;
        while let Some(frame) = window.pop_back() {
            bytes += frame.bytes();
            from = if window.is_empty() { low } else { frame.seq };
            frames.push(frame);
            if frames.len() == limit || bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
    }
    frames.reverse();
    let scanned_from = Some(from).filter(|from| *from < before);
    Ok(Scanned { frames, scanned_from, scanned_to: Seq(before.0.saturating_sub(1)) })
}
