//! `GET /api/audit`: the audit record in pages.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State as AppState},
};

use crate::{
    audit::AuditPage,
    server::{
        App,
        caller::{Action, Caller},
        error::Error,
        query::Query,
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
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditPage>, Error> {
    caller.may(Action::ReadAudit, "", None)?;
    let query = Query::parse(query.as_deref(), &["before", "limit"])?;
    let before = query.before(|seq| seq.parse().ok())?.unwrap_or(i64::MAX);
    let limit = query.limit(PAGE_ENTRIES_MAX)?.unwrap_or(PAGE_ENTRIES);
    Ok(Json(app.audit.page(before, limit).await.map_err(Error::internal)?))
}
