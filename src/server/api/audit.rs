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

/// Maximum number of entries in one page.
const PAGE_ENTRIES_MAX: usize = 1_000;
/// Number of entries in a page without `limit`.
const PAGE_ENTRIES: usize = 100;

/// Lists every command and its outcome, the newest first.
#[utoipa::path(
    get,
    path = "/api/audit",
    tag = "audit",
    params(
        ("before" = Option<String>, Query, description = "`next` of the previous page"),
        ("limit" = Option<u16>, Query, description = "Maximum number of entries, at most 1000; 100 if not given"),
    ),
    responses(
        (status = 200, description = "A page of the record", body = AuditPage),
        (status = 400, description = "A parameter is unknown or out of range"),
        (status = 401, description = "No valid credential"),
        (status = 403, description = "The caller is not an admin"),
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
    let _turn = app.turns.take(&caller).await?;
    Ok(Json(app.audit.page(before, limit).await.map_err(Error::internal)?))
}
