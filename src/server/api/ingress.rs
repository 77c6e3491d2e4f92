//! The ingress of a project, from LiveKit, without its stream keys and URLs: `GET /api/ingress`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State as AppState},
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::commands::Refusals;
use crate::{
    livekit::{integer, text},
    server::{
        App,
        api::command::{explain, livekit, may_ask},
        caller::{Action, Caller},
        error::Error,
        query::ProjectQuery,
    },
};

const NS_PER_MS: u64 = 1_000_000;
/// Maximum number of pages of LiveKit's list, and of ingress in an answer.
const PAGES_MAX: usize = 20;
const INGRESS_MAX: usize = 1_000;

/// The ingress of a project: the running ones first, then by name.
#[derive(Serialize, utoipa::ToSchema)]
pub struct IngressList {
    ingress: Vec<IngressEntry>,
    /// True if there are more than 1000
    more: bool,
    /// False if LiveKit has no ingress: it needs Redis
    available: bool,
}

/// A place through which media comes into a room.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct IngressEntry {
    ingress_id: String,
    name: String,
    /// `rtmp`, `whip` or `url`
    kind: String,
    room: String,
    participant_identity: String,
    /// `inactive`, `buffering`, `publishing`, `error` or `complete`
    status: String,
    /// LiveKit's words, without addresses. Null if there is no error
    #[schema(required)]
    error: Option<String>,
    /// Unix milliseconds, by LiveKit's clock. Null if it has not started
    #[schema(required)]
    started_at: Option<u64>,
}

/// Lists the ingress of a project, from LiveKit.
#[utoipa::path(
    get,
    path = "/api/ingress",
    tag = "commands",
    params(ProjectQuery),
    responses(
        (status = 200, description = "The ingress", body = IngressList),
        (status = 404, description = "`unknown_project`"),
        Refusals,
    )
)]
pub async fn ingress(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<IngressList>, Error> {
    let project = may_ask(&app, &caller, query.as_deref(), Action::ListIngress, None)?;
    let livekit = livekit(&app, &project)?;
    let (mut ingress, mut more, mut token) = (Vec::new(), true, None::<Box<str>>);
    for _ in 0..PAGES_MAX {
        let Some(page) = livekit.list_ingress(None, token.as_deref()).await.map_err(explain)? else {
            return Ok(Json(IngressList { ingress: Vec::new(), more: false, available: false }));
        };
        ingress.extend(page.items.iter().map(entry));
        token = page.next;
        more = token.is_some();
        if !more || ingress.len() > INGRESS_MAX {
            break;
        }
    }
    let is_running = |one: &IngressEntry| one.status == "publishing" || one.status == "buffering";
    ingress.sort_by(|a: &IngressEntry, b: &IngressEntry| {
        let by_name = (&a.name, &a.ingress_id).cmp(&(&b.name, &b.ingress_id));
        is_running(b).cmp(&is_running(a)).then(by_name)
    });
    more |= ingress.len() > INGRESS_MAX;
    ingress.truncate(INGRESS_MAX);
    Ok(Json(IngressList { ingress, more, available: true }))
}

/// Returns the fields of an IngressInfo that may be shown: neither `streamKey` nor `url`, which may hold one.
fn entry(info: &Map<String, Value>) -> IngressEntry {
    let none = Map::new();
    let state = info.get("state").and_then(Value::as_object).unwrap_or(&none);
    let member = |name: &str| text(info, name).unwrap_or_default().to_owned();
    let word = |text: &str, affix: &str| text.replace(affix, "").to_ascii_lowercase();
    let started_at = integer(state, "startedAt") / NS_PER_MS;
    IngressEntry {
        ingress_id: member("ingressId"),
        name: member("name"),
        // The zero values are left out.
        kind: word(text(info, "inputType").unwrap_or("RTMP_INPUT"), "_INPUT"),
        room: member("roomName"),
        participant_identity: member("participantIdentity"),
        status: word(text(state, "status").unwrap_or("ENDPOINT_INACTIVE"), "ENDPOINT_"),
        error: text(state, "error").map(without_addresses),
        started_at: (started_at > 0).then_some(started_at),
    }
}

/// Returns the words of an error. A URL may hold a stream key.
fn without_addresses(text: &str) -> String {
    let words = text.split_whitespace().map(|word| if word.contains("://") { "***" } else { word });
    words.collect::<Vec<_>>().join(" ")
}
