//! Lists as files: `?format=csv` or `?format=json` on the route of a list.
//!
//! A file is made of the pages of its list. Each page is one more request of the same caller to the same handler, so a
//! file has the filters and the rights of the list, also if a right ends while it is written. Between two pages an
//! export has no turn and no connection to a file of the history: a client that stops reading holds one page, until it
//! is disconnected as the reader of any other answer is.

use std::{io, sync::Arc, time::Duration, vec};

use axum::{
    body::{Body, to_bytes},
    extract::{MatchedPath, Request, State as AppState},
    http::{HeaderValue, Method, StatusCode, Uri, header, request::Parts, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream::try_unfold;

mod list;
mod row;

use crate::{
    event::{Cursor, Seq},
    server::{App, error::Error, memory::Share, query::Query},
};
use list::{LISTS, List, Paging};
use row::Rows;

/// Approximate size of one piece of a file, in bytes. It takes about a millisecond to write.
const PIECE_BYTES: usize = 64 << 10;
/// Parameters that choose a part of a list, or its order. A file has the whole list, in the order of its pages.
const OF_PAGES: &[&str] = &["before", "limit", "sort", "order", "totals"];
/// Maximum number of times that an export asks for a page again that was refused because of too many requests.
const TRIES_MAX: u32 = 20;
/// Pause before the next try.
const TRY_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Json,
}

const FORMATS: [(&str, Format); 2] = [("csv", Format::Csv), ("json", Format::Json)];

/// The parameter of a list that may be a file.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it is for the OpenAPI document; `exported` reads the value")]
pub struct FormatQuery {
    /// `csv` or `json`: the whole list as a file, see "Lists as files" in docs/protocol.md. Not with `before`, `limit`, `sort`,
    /// `order` and `totals`
    format: Option<String>,
}

/// Answers a request for a list with `format` by a file. Every other request goes on to its handler.
pub async fn exported(AppState(app): AppState<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let list = LISTS.iter().find(|list| Some(list.path) == path);
    let is_file = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        .any(|(name, _)| name == "format");
    match list {
        Some(list) if is_file && request.method() == Method::GET => {
            Export::begin(app, list, request, next).await.unwrap_or_else(IntoResponse::into_response)
        }
        _ => next.run(request).await,
    }
}

/// A file that is being written.
struct Export {
    app: Arc<App>,
    list: &'static List,
    /// Head of the request, for those of the pages.
    parts: Parts,
    next: Next,
    /// Parameters of every page.
    query: String,
    /// Place at which the next page begins.
    place: Option<String>,
    /// Head of the log when the export began: events that arrive later are left out, or the export would never end.
    head: Option<Seq>,
    /// Rows of the present page.
    rows: vec::IntoIter<Bytes>,
    writer: Rows,
}

impl Export {
    /// Reads the first page. Its error is that of the whole request.
    async fn begin(
        app: Arc<App>,
        list: &'static List,
        request: Request,
        next: Next,
    ) -> Result<Response, Response> {
        let (mut parts, _) = request.into_parts();
        let (format, query, place) = asked(list, parts.uri.query()).map_err(IntoResponse::into_response)?;
        parts.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        parts.headers.remove("last-event-id");
        let mut export = Export {
            app,
            list,
            parts,
            next,
            query,
            place,
            head: None,
            rows: Vec::new().into_iter(),
            writer: Rows::new(format, list.columns),
        };
        export.read().await?;
        if let Paging::First(rows_max) = list.paging
            && export.rows.len() >= rows_max
        {
            let message = format!("the list has {rows_max} rows or more, so a file would not be complete");
            return Err(Error::bad_request("too_much", message).into_response());
        }
        let (media, extension) = match format {
            Format::Csv => ("text/csv; charset=utf-8", "csv"),
            Format::Json => ("application/json", "json"),
        };
        let head = [
            (header::CONTENT_TYPE, media.to_owned()),
            (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}.{extension}\"", list.name)),
            (header::CACHE_CONTROL, "no-store".to_owned()),
        ];
        let pieces = try_unfold(export, |mut export| async move {
            Ok::<_, io::Error>(export.piece().await?.map(|piece| (piece, export)))
        });
        Ok((head, Body::from_stream(pieces)).into_response())
    }

    /// Returns the next piece of the file; `None` after the last. After an error the answer is cut off without its end,
    /// so no client takes the file for a complete one.
    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        while self.rows.len() == 0 && self.place.is_some() {
            self.read_again().await?;
        }
        let mut text = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
        while text.len() < PIECE_BYTES {
            let Some(row) = self.rows.next() else { break };
            self.writer.write(&mut text, &row)?;
        }
        if self.rows.len() == 0 && self.place.is_none() {
            self.writer.end(&mut text);
        }
        Ok((!text.is_empty()).then(|| text.into()))
    }

    /// Reads the next page. If the server has too much to do, tries again.
    async fn read_again(&mut self) -> io::Result<()> {
        for tries in 1.. {
            let Err(answer) = self.read().await else { break };
            let status = answer.status();
            let is_busy = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
            if !is_busy || tries == TRIES_MAX {
                tracing::warn!(list = self.list.name, %status, "an export has broken off");
                return Err(io::Error::other("the next page of the list could not be read"));
            }
            tokio::time::sleep(TRY_PAUSE).await;
        }
        Ok(())
    }

    /// Reads the next page. If it is refused, returns the answer.
    async fn read(&mut self) -> Result<(), Response> {
        let refused = |error: Error| error.into_response();
        let broken = |error: &dyn std::fmt::Display| Error::internal(error.to_string()).into_response();
        let mut parts = self.parts.clone();
        parts.uri = self.address().map_err(refused)?;
        let share: Option<Share> = parts.extensions.get().cloned();
        let answer = self.next.clone().run(Request::from_parts(parts, Body::empty())).await;
        if answer.status() != StatusCode::OK {
            return Err(answer);
        }
        let text = to_bytes(answer.into_body(), usize::MAX).await.map_err(|error| broken(&error))?;
        // The page, the places of its rows, and one piece.
        let bytes = text.len() + text.len() / 4 + 2 * PIECE_BYTES;
        if let Some(share) = share {
            share.resize(bytes as u64).map_err(refused)?;
        }
        let list = self.list;
        // A list of all rooms has megabytes.
        let page = tokio::task::spawn_blocking(move || list.page(&text)).await;
        let page = page.map_err(|error| broken(&error))?.map_err(|error| broken(&error))?;
        if list.paging == Paging::After {
            let head = self.head.get_or_insert_with(|| self.app.feed.head().seq);
            let is_more = |place: &String| place.parse().is_ok_and(|cursor: Cursor| cursor.seq < *head);
            self.place = page.next.filter(is_more);
        } else {
            self.place = page.next;
        }
        self.rows = page.rows.into_iter();
        Ok(())
    }

    /// Returns the address of the next page.
    fn address(&self) -> Result<Uri, Error> {
        let mut query = form_urlencoded::Serializer::new(self.query.clone());
        match (self.list.paging, &self.place) {
            (Paging::Before, Some(place)) => drop(query.append_pair("before", place)),
            (Paging::After, Some(place)) => drop(query.append_pair("after", place)),
            _ => {}
        }
        let mut uri = self.parts.uri.clone().into_parts();
        let text = format!("{}?{}", self.parts.uri.path(), query.finish());
        uri.path_and_query = Some(PathAndQuery::try_from(text).map_err(Error::internal)?);
        Uri::from_parts(uri).map_err(Error::internal)
    }
}

/// Reads the query of an export: its format, the parameters of every page, and the place of the first page.
fn asked(list: &List, query: Option<&str>) -> Result<(Format, String, Option<String>), Error> {
    let mut own = form_urlencoded::Serializer::new(String::new());
    let mut pages = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if name == "format" || (name == "after" && list.paging == Paging::After) {
            own.append_pair(&name, &value);
        } else if OF_PAGES.contains(&&*name) {
            let message = format!("there is no parameter {name:?} with format: a file has the whole list");
            return Err(Error::bad_request("unknown_parameter", message));
        } else {
            pages.append_pair(&name, &value);
        }
    }
    if matches!(list.paging, Paging::Before | Paging::After) {
        pages.append_pair("limit", "1000");
    }
    let own = Query::parse(Some(&own.finish()), &["format", "after"])?;
    let format = own.choice("format", &FORMATS)?;
    let format = format.ok_or_else(|| Error::bad_request("bad_parameter", "format is one of: csv, json"))?;
    let place = match list.paging {
        Paging::After => Some(own.one("after")?.unwrap_or_else(|| "start".to_owned())),
        _ => None,
    };
    Ok((format, pages.finish(), place))
}
