//! Pages of the log.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::{Frame as BodyFrame, SizeHint};

use crate::{
    event::{Cursor, Seq},
    feed::{Feed, Filter, Frame, Position, ReplayError, Replayed, Reset},
    rights::Window,
    server::{App, error::Error, stream::wanted::Wanted},
};

/// Maximum number of events in one page.
pub const PAGE_EVENTS_MAX: usize = 1_000;
/// Number of events in a page without `limit`.
const PAGE_EVENTS: usize = 100;
/// Maximum size of a page, in bytes. A page ends early if needed: events may have megabytes.
const PAGE_BYTES_MAX: usize = 8 << 20;
/// Maximum number of events that one request scans. The caller continues with `next` or `prev`.
const PAGE_SCAN_MAX: u64 = 50_000;
/// Maximum number of events in one read from the log, and approximate size of the frames made from them. While a page is
/// made, it needs this much memory in addition to its own bytes.
const PAGE_STEP: usize = 1_000;
const PAGE_STEP_BYTES: usize = 1 << 20;

/// A page of the log.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "the shape is written by hand, so that messages are not encoded twice")]
pub struct Page {
    /// Epoch of the log
    epoch: String,
    /// Head of the log when the page was made; a stream `after` it continues the newest page
    cursor: String,
    /// Cursor of the oldest event in the log
    first: String,
    /// Cursor of the newest event
    last: String,
    /// `before=` of the previous page; null at the beginning
    prev: Option<String>,
    /// `after=` of the next page; null at the end
    next: Option<String>,
    /// In ascending order
    events: Vec<serde_json::Value>,
}

pub async fn page(app: &App, wanted: &Wanted, window: &Window) -> Result<Response, Error> {
    if wanted.after.is_some() && wanted.before.is_some() {
        return Err(Error::bad_request("bad_parameter", "give either after or before, not both"));
    }
    let filter = &wanted.filter(window);
    let feed = &app.feed;
    let limit = wanted.limit.unwrap_or(PAGE_EVENTS);
    let bounds = app.log.bounds();
    let head = feed.head();
    let oldest = bounds.first.max(window.earliest().unwrap_or(Seq(1)));
    let gone = |reset: Reset| Error::new(StatusCode::GONE, reset.as_str(), "this cursor cannot be honoured");
    let mut page = match &wanted.after {
        Some(after) => {
            let after = feed.locate(&Position::parse(Some(after)), window).map_err(gone)?;
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
                    // The position before the oldest event is a cursor too: the head of an empty log.
                    if cursor.seq.next() < oldest {
                        return Err(gone(Reset::Expired));
                    }
                    cursor.seq.max(oldest)
                }
            };
            backward(feed, filter, oldest, before, limit).await.map_err(|error| failed(error, gone))?
        }
    };
    let text = |seq: Seq| feed.cursor(seq);
    let quoted = |seq: Option<Seq>| seq.map_or("null".to_owned(), |seq| format!("\"{}\"", text(seq)));
    let prev = page.scanned_from.filter(|from| *from > oldest);
    let next = Some(page.scanned_to).filter(|to| *to < head.seq);
    let mut pieces = VecDeque::with_capacity(2 * page.frames.len() + 2);
    pieces.push_back(Bytes::from(format!(
        "{{\"epoch\":\"{}\",\"cursor\":\"{head}\",\"first\":\"{}\",\"last\":\"{head}\",\"prev\":{},\"next\":{},\"events\":[",
        feed.epoch(),
        text(oldest.min(head.seq)),
        quoted(prev),
        quoted(next),
    )));
    for (i, frame) in page.frames.drain(..).enumerate() {
        if i > 0 {
            pieces.push_back(Bytes::from_static(b","));
        }
        pieces.push_back(frame.json(filter.view()));
    }
    pieces.push_back(Bytes::from_static(b"]}"));
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept"),
    ];
    Ok((headers, Body::new(Pieces(pieces))).into_response())
}

/// A body that shares the bytes of its frames. Copied into one text, a page would take its size twice.
struct Pieces(VecDeque<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(BodyFrame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

fn failed(error: ReplayError, gone: impl Fn(Reset) -> Error) -> Error {
    match error {
        ReplayError::Expired => gone(Reset::Expired),
        other => Error::internal(other),
    }
}

/// Frames of a page, and the range of the log that was scanned for them.
struct Scanned {
    frames: Vec<Arc<Frame>>,
    /// The first event that was scanned, if any was.
    scanned_from: Option<Seq>,
    /// The last event that was scanned.
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
            feed.replay(filter, at, PAGE_STEP, PAGE_STEP_BYTES.min(PAGE_BYTES_MAX - bytes)).await?;
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
                feed.replay(filter, at, left, PAGE_STEP_BYTES).await?;
            if scanned == at {
                break;
            }
            at = scanned;
            window.extend(found.drain(..));
            // The page is filled from its end, so the oldest events are left out if they do not fit.
            let mut of_window: usize = window.iter().map(|frame| frame.bytes()).sum();
            while bytes + of_window > PAGE_BYTES_MAX && window.len() > 1 {
                of_window -= window.pop_front().map_or(0, |frame| frame.bytes());
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
