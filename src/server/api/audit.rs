//! `GET /api/audit`: the audit record in pages.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State as AppState},
};

use crate::{
    audit::{AuditFilter, AuditPage},
    server::{
        App,
        caller::{Action, Caller},
        error::Error,
        export::FormatQuery,
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
        ("user" = Option<String>, Query, description = "Only commands of this user"),
        ("action" = Option<String>, Query, description = "Only this action, such as `room.end`"),
        ("outcome" = Option<String>, Query, description = "Only this outcome: `started`, `done`, `refused` or `failed`"),
        ("project" = Option<String>, Query, description = "Only commands in this project"),
        ("room" = Option<String>, Query, description = "Only commands about the room with this name"),
        ("from" = Option<u64>, Query, description = "Unix milliseconds"),
        ("to" = Option<u64>, Query, description = "Unix milliseconds"),
        ("before" = Option<String>, Query, description = "`next` of the previous page"),
        ("limit" = Option<u16>, Query, description = "Maximum number of entries, at most 1000; 100 if not given"),
        FormatQuery,
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
    let known = ["user", "action", "outcome", "project", "room", "from", "to", "before", "limit"];
    let query = Query::parse(query.as_deref(), &known)?;
    let filter = AuditFilter {
        user: query.one("user")?,
        action: query.one("action")?,
        outcome: query.one("outcome")?,
        project: query.one("project")?,
        room: query.one("room")?,
        from: query.millis("from")?,
        to: query.millis("to")?,
    };
    let before = query.before(|seq| seq.parse().ok())?.unwrap_or(i64::MAX);
    let limit = query.limit(PAGE_ENTRIES_MAX)?.unwrap_or(PAGE_ENTRIES);
    let _turn = app.turns.take(&caller).await?;
    Ok(Json(app.audit.page(filter, before, limit).await.map_err(Error::internal)?))
}
