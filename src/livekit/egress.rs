//! Starting and stopping egress: LiveKit's Egress service.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{COMMAND_TIME_MAX, CallError, LIST_TIME_MAX, LiveKit, Page};
use crate::{
    config::{EgressKind, EgressRequest},
    token::Grant,
};

/// Maximum time for a start. LiveKit itself asks its egress services three times, for about 10 s, before it says that there
/// are none (protocol rpc/egress_client.go).
const START_TIME_MAX: Duration = Duration::from_secs(20);
/// Maximum number of pages of a list. LiveKit OSS answers with one.
const PAGES_MAX: usize = 50;

impl LiveKit {
    /// Starts an egress with the request of a preset and these members, and returns LiveKit's EgressInfo. No error repeats
    /// what is in the preset.
    pub async fn start_egress<const N: usize>(
        &self,
        kind: EgressKind,
        request: &EgressRequest,
        members: [(&str, &str); N],
    ) -> Result<Map<String, Value>, CallError> {
        let method = match kind {
            EgressKind::RoomComposite => "StartRoomCompositeEgress",
            EgressKind::Track => "StartTrackEgress",
            EgressKind::Web => "StartWebEgress",
        };
        let (secrets, request) = (request.secrets(), request.with(members));
        let answer = self.call_with(&secrets, "Egress", method, grant(), &request, START_TIME_MAX).await?;
        self.object(answer)
    }

    /// Stops an egress, and returns its EgressInfo. Its outputs are complete when it has ended.
    pub async fn stop_egress(&self, id: &str) -> Result<Map<String, Value>, CallError> {
        let request = json!({ "egress_id": id });
        let answer = self.call("Egress", "StopEgress", grant(), &request, COMMAND_TIME_MAX).await?;
        self.object(answer)
    }

    /// Lists the egress that has not ended, of a room or, with an empty name, of all and of none. LiveKit without Redis refuses.
    pub async fn active_egress(&self, room: &str) -> Result<Vec<Map<String, Value>>, CallError> {
        let (mut listed, mut token) = (Vec::new(), None::<Box<str>>);
        for _ in 0..PAGES_MAX {
            let mut request = json!({ "room_name": room, "active": true });
            if let Some(token) = token {
                request["page_token"] = json!({ "token": token });
            }
            let answer = self.call("Egress", "ListEgress", grant(), &request, LIST_TIME_MAX).await?;
            let Page { items, next } = self.page(answer)?;
            listed.extend(items);
            if next.is_none() {
                break;
            }
            token = next;
        }
        Ok(listed)
    }
}

fn grant() -> Grant {
    Grant { room_record: true, ..Grant::default() }
}
