//! `GET /api/audit`: the audit record in pages.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};

use crate::{
    audit::AuditPage,
    server::{
        App,
        caller::{Action, Caller},
        error::Error,
    },
};

/// The most entries one answer has, and how many it has if nobody says.
const PAGE_ENTRIES_MAX: usize = 1_000;
const PAGE_ENTRIES: usize = 100;

/// Every command and its outcome, the newest first.
#[utoipa::path(
    get,
    path = "/api/audit",
    tag = "audit",
    params(
        ("before" = Option<String>, Query, description = "Go on from here: `next` of the page before"),
        ("limit" = Option<u16>, Query, description = "How many entries, at most 1000"),
    ),
    responses(
        (status = 200, description = "A page of the record", body = AuditPage),
        (status = 400, description = "A parameter is unknown or out of its range"),
        (status = 401, description = "Nobody is anonymous"),
        (status = 403, description = "For administrators"),
    )
)]
pub async fn audit(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditPage>, Error> {
    caller.may(Action::ReadAudit, "", None)?;
    let (mut before, mut limit) = (i64::MAX, PAGE_ENTRIES);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*name {
            "before" => {
                before = value
                    .parse()
                    .map_err(|_| Error::bad_request("bad_cursor", "before is what an earlier page gave"))?;
            }
            "limit" => {
                limit = value
                    .parse()
                    .ok()
                    .filter(|limit| (1..=PAGE_ENTRIES_MAX).contains(limit))
                    .ok_or_else(|| Error::bad_request("bad_limit", "limit is 1 to 1000"))?;
            }
            "access_token" => {}
            other => {
                let message = format!("there is no parameter {other:?}");
                return Err(Error::bad_request("unknown_parameter", message));
            }
        }
    }
    Ok(Json(app.audit.page(before, limit).await.map_err(Error::internal)?))
}
