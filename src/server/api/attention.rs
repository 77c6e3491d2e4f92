//! `/api/attention`: the conditions that are open, and their acknowledgement.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, Request, State as AppState},
    http::StatusCode,
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    command::{Command, CommandSpec},
    rooms::{All, At, MomentQuery, View, answer},
};
use crate::{
    config::AttentionRules,
    event::own::OwnEvent,
    server::{
        App,
        body::{self, SHORT_BYTES_MAX},
        caller::{Action, Caller},
        error::{Error, ErrorBody},
        export::FormatQuery,
        path::{Names, names},
        query::{ProjectQuery, ProjectsQuery, Query},
    },
    state::{Condition, entity::ConditionSchema},
};

/// Maximum time for which a condition can be acknowledged in advance, in milliseconds.
const UNTIL_MAX_MS: u64 = 366 * 24 * 3_600_000;
/// Maximum length of a reason, in characters.
const REASON_CHARS_MAX: usize = 512;

/// The conditions that are open.
#[derive(utoipa::ToSchema)]
#[schema(as = Attention)]
#[allow(dead_code, reason = "it is for the OpenAPI document")]
pub struct AttentionSchema {
    /// Resume the stream after this cursor
    pub cursor: String,
    /// Requested moment; null for the present
    #[schema(required)]
    pub at: Option<u64>,
    /// False if the state of the requested moment is not kept; this is then the nearest state that is kept
    pub exact: bool,
    /// The worst first, and of those the oldest
    pub conditions: Vec<ConditionSchema>,
    /// The thresholds in force
    pub rules: AttentionRules,
}

/// Lists the open conditions that the caller may see.
#[utoipa::path(
    get,
    path = "/api/attention",
    tag = "attention",
    params(
        ("room" = Option<Vec<String>>, Query, description = "Only conditions of these rooms; may be repeated"),
        ProjectsQuery,
        MomentQuery,
        FormatQuery,
    ),
    responses(
        (status = 200, description = "The open conditions", body = AttentionSchema),
        (status = 400, description = "A parameter is unknown or out of range; `ahead`", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 403, description = "The request is outside the caller's rights", body = ErrorBody),
        (status = 410, description = "`expired`: older than the states that are kept; `unknown_epoch`", body = ErrorBody),
        (status = 503, description = "`busy`: too many requests for earlier states", body = ErrorBody),
    )
)]
pub async fn attention(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(query.as_deref(), &["room", "project", "at"])?;
    let named = (&*query.all("project"), &*query.all("room"));
    let view = View::of(&app, &caller, &query, named, Error::forbidden).await?;
    let mut conditions = view.window.conditions(&view.snapshot.read());
    let order = |condition: &Condition| {
        let about = &condition.about;
        (std::cmp::Reverse(about.severity), about.since, condition.project.clone(), about.id.clone())
    };
    conditions.sort_by_cached_key(|condition| order(condition));
    #[derive(Serialize)]
    struct Attention<'a> {
        #[serde(flatten)]
        moment: At,
        conditions: All<'a, Condition>,
        rules: &'a AttentionRules,
    }
    let json = serde_json::to_vec(&Attention {
        moment: At::of(&view.snapshot),
        conditions: All(&conditions),
        rules: &app.config.attention,
    });
    Ok(answer(json.map_err(Error::internal)?))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// Unix milliseconds. Until then it also counts as acknowledged if it is opened again. Without it: until it is
    /// closed
    until: Option<u64>,
    /// At most 512 characters
    reason: Option<String>,
}

/// Acknowledges a condition: it no longer counts in the navigation and in alerts.
#[utoipa::path(
    put,
    path = "/api/attention/{id}",
    tag = "attention",
    params(("id" = String, Path, description = "The condition's id"), ProjectQuery),
    request_body = Acknowledge,
    responses(
        (status = 200, description = "The acknowledgement is durable"),
        (status = 400, description = "A parameter or a field is out of range", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 403, description = "The caller is neither an operator nor an admin", body = ErrorBody),
        (status = 404, description = "`unknown_condition`: no such condition is open", body = ErrorBody),
        (status = 429, description = "Too many commands", body = ErrorBody),
    )
)]
pub async fn acknowledge(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Json<Value>, Error> {
    let command = allowed(&app, &caller, query.as_deref(), "condition.acknowledge", names(path)?).await?;
    let Acknowledge { until, reason } = body::json(&app, request, SHORT_BYTES_MAX).await?;
    let now = app.config.clock.unix_ms();
    if until.is_some_and(|until| until <= now || until > now + UNTIL_MAX_MS) {
        return Err(Error::bad_request("bad_time", "until must be in the future, and within a year"));
    }
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        return Err(Error::bad_request("bad_body", "the reason has more than 512 characters"));
    }
    let members = json!({ "until": until, "reason": reason });
    append(command.because(reason), &caller, "condition_acknowledged", members).await
}

/// Takes an acknowledgement back.
#[utoipa::path(
    delete,
    path = "/api/attention/{id}",
    tag = "attention",
    params(("id" = String, Path, description = "The condition's id"), ProjectQuery),
    responses(
        (status = 200, description = "The change is durable"),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 403, description = "The caller is neither an operator nor an admin", body = ErrorBody),
        (status = 404, description = "`unknown_condition`: no such condition is open", body = ErrorBody),
        (status = 429, description = "Too many commands", body = ErrorBody),
    )
)]
pub async fn unacknowledge(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Error> {
    let command = allowed(&app, &caller, query.as_deref(), "condition.unacknowledge", names(path)?).await?;
    append(command, &caller, "condition_unacknowledged", json!({})).await
}

async fn allowed(
    app: &Arc<App>,
    caller: &Caller,
    query: Option<&str>,
    action: &'static str,
    id: String,
) -> Result<Command, Error> {
    let spec =
        CommandSpec { right: Action::Acknowledge, action, room: None, target: Some(id), has_webhook: false };
    // A project that is named and empty is Roomwatch itself.
    if Query::parse(query, &["project"])?.all("project") == [""] {
        return Command::allowed_in(app, caller, "".into(), spec).await;
    }
    Command::allowed(app, caller, query, spec).await
}

async fn append(
    command: Command,
    caller: &Caller,
    name: &'static str,
    members: Value,
) -> Result<Json<Value>, Error> {
    let (id, by) = (command.target().to_owned(), caller.user.clone());
    command
        .run(async move |app, project| {
            let found = app.state.read().conditions(&project).find(|c| *c.about.id == *id).cloned();
            let condition = found.ok_or_else(|| {
                Error::new(StatusCode::NOT_FOUND, "unknown_condition", "no such condition is open")
            })?;
            let now = app.config.clock.unix_ms();
            let mut all = Map::new();
            all.insert("condition".into(), json!({ "id": condition.about.id, "kind": condition.about.kind }));
            all.insert("by".into(), json!(by));
            all.insert("at".into(), json!(now));
            all.extend(members.as_object().cloned().unwrap_or_default());
            let room = condition.room.as_deref().zip(condition.room_sid.as_deref());
            let event = OwnEvent { project: &project, name, room, members: all }
                .at(now, &app.config.redaction)
                .map_err(Error::internal)?;
            let appended = app.log.append(vec![event]).await.map_err(Error::internal)?;
            let seq = appended.first().map(|appended| appended.seq).unwrap_or_default();
            let cursor = crate::event::Cursor { epoch: app.log.bounds().epoch, seq };
            Ok(Json(json!({ "cursor": cursor })))
        })
        .await
}
