//! `GET /api/projects`: the health of each LiveKit deployment, and the corrections of reconciliation.

use std::sync::Arc;

use axum::{Json, extract::State as AppState};
use serde::Serialize;

use crate::{
    config::{EgressKind, EgressPreset},
    ingest::Rejected,
    reconcile::{Capability, Reach, ShownCorrection},
    rights::Sight,
    server::{
        App,
        caller::{Action, Caller},
    },
};

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Projects {
    projects: Vec<Project>,
    /// Seconds by which the server's wall clock has jumped, negative if backwards. Until it has lasted a day, nothing is
    /// deleted for its age by the new time
    clock_jump_secs: Option<i64>,
    /// The space that Roomwatch uses on the disk. For operators only
    storage: Option<StorageSpace>,
}

/// Space on the disk, in bytes.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct StorageSpace {
    /// Used by Roomwatch's files, without the pages in them that are used again
    used_bytes: u64,
    /// Beyond it the oldest events and sessions are removed. Null if there is no limit
    limit_bytes: Option<u64>,
    /// Number of days that the limit has space for, at the rate of the last day. Null if that is unknown
    limit_days: Option<f64>,
    /// Free on the file system of the data directory, or on that of the log if it has less
    free_bytes: u64,
    /// Size of that file system
    disk_bytes: u64,
    /// Days for which events are kept. Null if there is no limit of age
    retention_days: Option<u64>,
}

/// One LiveKit deployment. Times in unix milliseconds.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct Project {
    #[schema(value_type = String)]
    name: Arc<str>,
    /// Without user and password
    url: Option<Box<str>>,
    /// Names of its API keys; LiveKit must sign its webhooks with one of them. For operators only
    keys: Vec<String>,
    state: Reach,
    reachable: bool,
    /// Reason if it is not reachable
    error: Option<Box<str>>,
    /// Since when LiveKit has given no answer to compare with; null if its last answer was one
    away_since: Option<u64>,
    last_webhook_at: Option<u64>,
    last_webhook_event: Option<Box<str>>,
    last_rejected: Option<LastRejected>,
    /// Time of the last full comparison with LiveKit's API
    reconciled_at: Option<u64>,
    /// 0 means never
    reconcile_every_secs: u64,
    corrections: Corrections,
    egress: Capability,
    ingress: Capability,
    /// Presets with which the caller may start egress
    egress_presets: Vec<ShownPreset>,
}

/// A preset of egress, without its request.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EgressPreset)]
struct ShownPreset {
    name: String,
    kind: EgressKind,
    description: String,
    /// Origins of the pages that it may record, for the kind `web`
    allowed_origins: Vec<String>,
}

/// Returns the presets that the caller may use. A project whose LiveKit has no egress, or no URL, has none.
fn presets(app: &App, caller: &Caller, project: &str, egress: Capability) -> Vec<ShownPreset> {
    let is_offered = egress != Capability::Unavailable
        && app.reconcile.livekit(project).is_some()
        && caller.may(Action::Record, project, None).is_ok();
    let presets = app.config.egress_presets.iter().filter(|preset| is_offered && preset.is_for(project));
    let shown = |preset: &EgressPreset| ShownPreset {
        name: preset.name.clone(),
        kind: preset.kind,
        description: preset.description.clone(),
        allowed_origins: preset.allowed_origins.clone(),
    };
    presets.map(shown).collect()
}

/// A webhook that was rejected, or another request under its path.
#[derive(Serialize, utoipa::ToSchema)]
struct LastRejected {
    at: u64,
    /// Code of the error answer
    reason: Box<str>,
    /// API key that its token names
    iss: Option<Box<str>>,
}

/// Events that were inferred from LiveKit's API because no webhook had arrived.
#[derive(Serialize, utoipa::ToSchema)]
struct Corrections {
    /// Number since `since`
    total: u64,
    /// When this server began to count, in unix milliseconds: at its start
    since: u64,
    /// The newest first
    last: Vec<ShownCorrection>,
}

/// Lists the projects that the caller sees as a whole.
#[utoipa::path(
    get,
    path = "/api/projects",
    tag = "projects",
    responses(
        (status = 200, description = "Each project: LiveKit's health, the last webhook, and the corrections", body = Projects),
        (status = 401, description = "No valid credential"),
    )
)]
pub async fn projects(AppState(app): AppState<Arc<App>>, caller: Caller) -> Json<Projects> {
    // Corrections and rejections are about every room, so they are for callers who see every room.
    let visible = app.config.projects.iter().filter(|project| caller.sight.is_whole(&project.name));
    let projects = visible.map(|project| {
        let (mut receipt, foreign) = app.receipts.of(&project.name);
        // Receipts are shared every few seconds. The state has the last webhook of a process that was killed before.
        let known = app.state.read().last_webhook(&project.name).map(|(at, kind)| (at, kind.into()));
        if let Some((at, kind)) = known.filter(|(at, _)| receipt.last_at.is_none_or(|last_at| last_at < *at))
        {
            (receipt.last_at, receipt.last_event) = (Some(at), Some(kind));
        }
        // A webhook with an unknown key belongs to no project, so only operators see it.
        let operator = caller.sight == Sight::All;
        let foreign = foreign.filter(|_| operator);
        let keys = if operator { app.config.keys.names_of(&project.name) } else { Vec::new() };
        let health = app.reconcile.health(&project.name).unwrap_or_default();
        let rejected = [receipt.rejected, foreign].into_iter().flatten().max_by_key(|rejected| rejected.at);
        Project {
            name: project.name.clone(),
            url: app.reconcile.livekit(&project.name).map(|livekit| livekit.address()),
            keys: keys.into_iter().map(str::to_owned).collect(),
            state: health.reach,
            reachable: health.reach == Reach::Ok,
            error: health.error,
            away_since: health.away_since,
            last_webhook_at: receipt.last_at,
            last_webhook_event: receipt.last_event,
            last_rejected: rejected.map(|Rejected { at, reason, iss }| LastRejected { at, reason, iss }),
            reconciled_at: health.reconciled_at,
            reconcile_every_secs: app.reconcile.every_secs(),
            corrections: Corrections {
                total: health.corrections,
                since: health.since,
                last: health.last.into(),
            },
            egress: health.egress,
            ingress: health.ingress,
            egress_presets: presets(&app, &caller, &project.name, health.egress),
        }
    });
    let space = app.storage.now().filter(|_| caller.sight == Sight::All);
    let storage = space.map(|space| StorageSpace {
        used_bytes: space.used,
        limit_bytes: space.limit,
        limit_days: space.days,
        free_bytes: space.free,
        disk_bytes: space.disk,
        retention_days: app.config.retention.map(|age| age.as_secs() / 86_400),
    });
    Json(Projects { projects: projects.collect(), clock_jump_secs: app.config.clock.jump_secs(), storage })
}
