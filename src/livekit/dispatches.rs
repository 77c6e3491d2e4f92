//! Agent dispatches: LiveKit's AgentDispatchService.

use serde_json::{Map, Value, json};

use super::{COMMAND_TIME_MAX, CallError, LIST_TIME_MAX, LiveKit, admin, shape};

const SERVICE: &str = "AgentDispatchService";

/// An agent dispatch of a room.
#[derive(Clone, Debug)]
pub struct ListedDispatch {
    pub id: Box<str>,
    /// Empty for workers without a name.
    pub agent: Box<str>,
    pub metadata: Box<str>,
    pub created_at_ms: u64,
    pub deleted: bool,
    pub jobs: Vec<ListedJob>,
}

/// The work of one worker for a dispatch.
#[derive(Clone, Debug, Default)]
pub struct ListedJob {
    pub id: Box<str>,
    /// Such as `JS_RUNNING`.
    pub status: Box<str>,
    /// Empty if the job did not fail.
    pub error: Box<str>,
    /// Identity of the agent in the room. Empty if no worker has taken the job.
    pub identity: Box<str>,
}

impl LiveKit {
    /// Lists the agent dispatches of a live room. A LiveKit without dispatches has none.
    pub async fn list_dispatches(&self, room: &str) -> Result<Vec<ListedDispatch>, CallError> {
        let request = json!({ "room": room });
        let answer = match self.call(SERVICE, "ListDispatch", admin(room), &request, LIST_TIME_MAX).await {
            Err(error) if ["not_found", "bad_route", "unimplemented"].iter().any(|code| error.is(code)) => {
                return Ok(Vec::new());
            }
            answer => answer?,
        };
        let listed = self.list(answer, "agent_dispatches")?.into_iter();
        Ok(listed.map(|listed| dispatch(shape::object(listed))).collect())
    }

    /// Asks for an agent in a room. LiveKit creates a room that is not live, unless it is configured not to.
    pub async fn create_dispatch(
        &self,
        room: &str,
        agent: &str,
        metadata: &str,
    ) -> Result<ListedDispatch, CallError> {
        let request = json!({ "room": room, "agent_name": agent, "metadata": metadata });
        let answer = self.call(SERVICE, "CreateDispatch", admin(room), &request, COMMAND_TIME_MAX).await?;
        self.object(answer).map(dispatch)
    }

    /// Deletes a dispatch. LiveKit then ends its jobs, and removes their agents from the room.
    pub async fn delete_dispatch(&self, room: &str, id: &str) -> Result<(), CallError> {
        let request = json!({ "room": room, "dispatch_id": id });
        self.call(SERVICE, "DeleteDispatch", admin(room), &request, COMMAND_TIME_MAX).await.map(drop)
    }
}

fn dispatch(listed: Map<String, Value>) -> ListedDispatch {
    let json = Value::Object(listed);
    let text = |value: &Value| value.as_str().unwrap_or_default().into();
    let nanos = |value: &Value| value.as_str().and_then(|digits| digits.parse().ok()).unwrap_or(0_u64);
    let state = &json["state"];
    let jobs = state["jobs"].as_array().into_iter().flatten();
    let job = |job: &Value| ListedJob {
        id: text(&job["id"]),
        status: text(&job["state"]["status"]),
        error: text(&job["state"]["error"]),
        identity: text(&job["state"]["participantIdentity"]),
    };
    ListedDispatch {
        id: text(&json["id"]),
        agent: text(&json["agentName"]),
        metadata: text(&json["metadata"]),
        created_at_ms: nanos(&state["createdAt"]) / 1_000_000,
        deleted: nanos(&state["deletedAt"]) > 0,
        jobs: jobs.map(job).collect(),
    }
}
