//! Agents, by the name of their worker: `GET /api/agents`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{RawQuery, State as AppState},
    response::Response,
};
use serde::Serialize;

use super::{
    rooms::All,
    sessions::{answer, failed},
};
use crate::{
    derived::{AgentHistory, Missed},
    rights::Window,
    server::{
        App,
        caller::Caller,
        error::{Error, ErrorBody},
        query::{ProjectsQuery, Query},
    },
    state::{Condition, Participant, RoomEntry, State, entity::ConditionSchema},
};

const DAY_MS: i64 = 24 * 3_600_000;
/// Maximum number of live rooms of one agent in an answer: those that it joined last.
const ROOMS_MAX: usize = 200;

/// The agents of the last seven days.
#[derive(utoipa::ToSchema)]
#[schema(as = Agents, rename_all = "camelCase")]
#[allow(dead_code, reason = "it is for the OpenAPI document")]
pub struct AgentsSchema {
    /// Live agents first, then those that were seen last
    pub agents: Vec<Agent>,
    /// Open conditions of rooms that should have an agent and have none
    pub missing: Vec<ConditionSchema>,
    /// Number of times that such a condition was opened within 24 hours, and within seven days. 0 for a caller who does not
    /// see conditions
    pub missed_day: i64,
    pub missed_week: i64,
}

/// All agents of one name in one project.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    pub project: String,
    /// Name of the worker, from the participant attribute `lk.agent.name`; without it the identity. Null for a worker
    /// without a name, whose identities LiveKit makes up
    #[schema(required)]
    pub name: Option<String>,
    /// Number of agents that are in a room now
    pub live: usize,
    /// The rooms with such an agent now, the one that it joined last first; at most 200
    pub rooms: Vec<AgentRoom>,
    /// Sessions with such an agent within 24 hours, and within seven days
    pub sessions_day: i64,
    pub sessions_week: i64,
    /// Minutes that such agents were in rooms within seven days
    pub minutes_week: i64,
    /// Agents that left with `AGENT_ERROR` within 24 hours, and within seven days
    pub failures_day: i64,
    pub failures_week: i64,
    /// When such an agent was last in a room; now for a live one
    pub last_seen_at: i64,
}

/// An agent in a room.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentRoom {
    pub room: String,
    pub room_sid: String,
    pub participant_sid: String,
    pub identity: String,
    /// The attribute `lk.agent.state`, such as `listening`, as last reported
    #[schema(required)]
    pub state: Option<String>,
    #[schema(required)]
    pub joined_at: Option<u64>,
}

/// Lists the agents of the last seven days, and the rooms that should have one and have none.
#[utoipa::path(
    get,
    path = "/api/agents",
    tag = "history",
    params(ProjectsQuery),
    responses(
        (status = 200, description = "The agents", body = AgentsSchema),
        (status = 400, description = "A parameter is unknown or out of range", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 403, description = "The request is outside the caller's rights", body = ErrorBody),
    )
)]
pub async fn agents(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(query.as_deref(), &["project"])?;
    let window = caller.window(&app, &query.all("project"), &[])?;
    let now = i64::try_from(app.config.clock.unix_ms()).unwrap_or(i64::MAX);
    let _turn = app.turns.take(&caller).await?;
    let history = app.derived.agents(window.clone(), now - 7 * DAY_MS, now - DAY_MS, now);
    let history = if window.has_no_session() { Vec::new() } else { history.await.map_err(failed)? };
    let state = app.state.read().clone();
    let mut missing = window.conditions(&state);
    missing.retain(|condition| condition.about.kind == "agent_missing");
    missing.sort_by_key(|condition| condition.about.since);
    let missed = match window.area().hides_restricted() || window.has_no_session() {
        true => Missed::default(),
        false => {
            app.derived.agents_missed(window.clone(), now - 7 * DAY_MS, now - DAY_MS).await.map_err(failed)?
        }
    };
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Agents<'a> {
        agents: Vec<Agent>,
        missing: All<'a, Condition>,
        missed_day: i64,
        missed_week: i64,
    }
    Ok(answer(Agents {
        agents: merged(&window, &state, history, now),
        missing: All(&missing),
        missed_day: missed.recent,
        missed_week: missed.all,
    }))
}

/// Returns the history with the agents that are in a room now.
fn merged(window: &Window, state: &State, history: Vec<AgentHistory>, now: i64) -> Vec<Agent> {
    let mut agents: BTreeMap<(String, String), Agent> = BTreeMap::new();
    for past in history {
        let agent = Agent {
            sessions_day: past.sessions_recent,
            sessions_week: past.sessions,
            minutes_week: past.millis / 60_000,
            failures_day: past.failures_recent,
            failures_week: past.failures,
            last_seen_at: past.last_seen_at,
            ..Agent::default()
        };
        agents.insert((past.project, past.name), agent);
    }
    for entry in window.rooms(state) {
        for participant in entry.participants().filter(|p| p.agent() && window.shows(p)) {
            let key = (entry.room.project.to_string(), name(participant));
            let agent = agents.entry(key).or_default();
            agent.live += 1;
            agent.last_seen_at = now;
            agent.rooms.push(room(&entry, participant));
        }
    }
    let named = |((project, name), mut agent): ((String, String), Agent)| {
        agent.rooms.sort_by_key(|room| std::cmp::Reverse(room.joined_at));
        agent.rooms.truncate(ROOMS_MAX);
        Agent { project, name: Some(name).filter(|name| !name.is_empty()), ..agent }
    };
    let mut agents: Vec<Agent> = agents.into_iter().map(named).collect();
    agents.sort_by_key(|agent| std::cmp::Reverse((agent.live, agent.last_seen_at)));
    agents
}

/// Returns the name by which agents are grouped, as the history does.
fn name(participant: &Participant) -> String {
    participant.agent_name().unwrap_or_else(|| {
        let identity = &*participant.identity;
        if identity.starts_with("agent-") { String::new() } else { identity.to_owned() }
    })
}

fn room(entry: &RoomEntry, participant: &Participant) -> AgentRoom {
    AgentRoom {
        room: entry.room.name.to_string(),
        room_sid: entry.room.sid.to_string(),
        participant_sid: participant.sid.to_string(),
        identity: participant.identity.to_string(),
        state: participant.texts().remove("lk.agent.state"),
        joined_at: (participant.joined_at > 0).then_some(participant.joined_at),
    }
}
