//! The dashboard: the files that `make web` builds, embedded in the binary.
//!
//! A binary that was built without them serves a page that says so. So building and testing the server does not
//! need Node.

use std::borrow::Cow;

use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use crate::server::error::Error;

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Files;

/// Placeholder in index.html for the path prefix of the server.
const BASE: &str = "<base href=\"/\"";

/// The page of a binary without the dashboard.
const STUB: &str = "<!doctype html><meta charset=utf-8><title>Roomwatch</title>\
<h1>Roomwatch is running</h1><p>This binary was built without the dashboard: run <code>make web</code> and build again.\
<p>The stream is at <a href=api/events>api/events</a>, the rooms are at <a href=api/rooms>api/rooms</a>.";

/// The dashboard of one server. No answer copies a file: anyone may ask for one and not read it.
pub struct Dashboard {
    /// The one page.
    index: Bytes,
    index_etag: String,
}

impl Dashboard {
    /// Returns the dashboard under this path prefix: empty, or `/…`.
    pub fn new(prefix: &str) -> Dashboard {
        let index = match Files::get("index.html") {
            Some(file) => {
                let text = String::from_utf8_lossy(&file.data);
                // The prefix comes from the configuration and is a URI, so it cannot break the attribute.
                Bytes::from(text.replace(BASE, &format!("<base href=\"{prefix}/\"")))
            }
            None => Bytes::from_static(STUB.as_bytes()),
        };
        Dashboard { index_etag: etag(&Sha256::digest(&index)), index }
    }

    /// Answers every request that has no route: with a file, or with the page. The page has its own router.
    pub fn answer(&self, method: Method, uri: Uri, headers: HeaderMap) -> Response {
        let path = uri.path().trim_start_matches('/');
        if path == "api" || path.starts_with("api/") {
            return Error::not_found("no_such_route", "there is no such route; see /api/openapi.json")
                .into_response();
        }
        if method != Method::GET && method != Method::HEAD {
            return Error::method_not_allowed().into_response();
        }
        match file(path, &headers) {
            Some(answer) => answer,
            // A missing script must not get the page as its answer: the browser would try to run it.
            None if path.starts_with("assets/") => {
                Error::not_found("no_such_file", "this file belongs to another version; reload the page")
                    .into_response()
            }
            None => self.index(&headers),
        }
    }

    fn index(&self, headers: &HeaderMap) -> Response {
        let tags = [(header::ETAG, self.index_etag.clone()), (header::CACHE_CONTROL, "no-cache".to_owned())];
        if fresh(headers, &self.index_etag) {
            return (StatusCode::NOT_MODIFIED, tags).into_response();
        }
        (tags, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], self.index.clone()).into_response()
    }
}

fn file(path: &str, headers: &HeaderMap) -> Option<Response> {
    if path.is_empty() || path == "index.html" || path.ends_with(".br") || path.ends_with(".gz") {
        return None;
    }
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    let accepts = |name: &str| {
        accepted.split(',').any(|one| one.split(';').next().is_some_and(|one| one.trim() == name))
    };
    let compressed = [("br", "br"), ("gzip", "gz")].into_iter().find_map(|(name, ending)| {
        accepts(name).then(|| Files::get(&format!("{path}.{ending}")))?.map(|file| (Some(name), file))
    });
    let (encoding, found) = compressed.or_else(|| Some((None, Files::get(path)?)))?;
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    let etag = etag(&found.metadata.sha256_hash());
    let mut answer = if fresh(headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match found.data {
            Cow::Borrowed(embedded) => Bytes::from_static(embedded),
            Cow::Owned(read) => Bytes::from(read),
        }
        .into_response()
    };
    let out = answer.headers_mut();
    // The name of a file in assets/ contains a hash of its content.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    out.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Ok(mime) = HeaderValue::from_str(mime.as_ref()) {
        out.insert(header::CONTENT_TYPE, mime);
    }
    if let Some(encoding) = encoding {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        out.insert(header::ETAG, etag);
    }
    Some(answer)
}

fn etag(hash: &[u8]) -> String {
    format!("\"{}\"", HEXLOWER.encode(&hash[..8]))
}

fn fresh(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == etag))
}
