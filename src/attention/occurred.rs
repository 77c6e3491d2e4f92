//! Conditions that have happened: each is the result of one event.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    config::AttentionRules,
    event::{Event, Kind as EventKind},
    state::entity::condition::Subject,
};

use super::{Found, Kind};

/// The members of LiveKit's events that conditions need.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Parsed {
    pub participant: Participant,
    egress_info: EgressInfo,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Participant {
    sid: String,
    identity: String,
    name: String,
    kind: Value,
    pub disconnect_reason: String,
    attributes: serde_json::Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct EgressInfo {
    egress_id: String,
    status: String,
    error: String,
    stream_results: Vec<Value>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

impl Parsed {
    /// Returns the members that can be read. A body of an unexpected shape has none.
    pub fn of(event: &Event) -> Parsed {
        serde_json::from_slice(&event.body).unwrap_or_default()
    }
}

/// Reasons for which a phone call ends without a conversation, and that are not the caller's wish.
const CALL_FAILURES: &[&str] =
    &["SIP_TRUNK_FAILURE", "USER_UNAVAILABLE", "USER_REJECTED", "JOIN_FAILURE", "MEDIA_FAILURE"];

/// Returns the condition that this event is, if it is one.
pub fn occurred(event: &Event, rules: &AttentionRules) -> Option<Found> {
    let parsed = || Parsed::of(event);
    match event.kind {
        EventKind::EgressEnded => egress_failed(event, parsed().egress_info, rules),
        EventKind::ParticipantLeft | EventKind::ParticipantConnectionAborted => {
            participant_failed(event, parsed().participant, rules)
        }
        _ => None,
    }
}

fn egress_failed(event: &Event, egress: EgressInfo, rules: &AttentionRules) -> Option<Found> {
    let ends_at = ends_at(event, rules.failed_hours)?;
    let status = egress.status.strip_prefix("EGRESS_").unwrap_or(&egress.status).to_ascii_lowercase();
    if !matches!(&*status, "failed" | "aborted" | "limit_reached") {
        return None;
    }
    let subject = if egress.egress_id.is_empty() { event.seq.to_string() } else { egress.egress_id.clone() };
    let has_streams = !egress.stream_results.is_empty() || egress.rest.contains_key("stream");
    let mut found = Found::about(event, Kind::EgressFailed, &subject);
    found.about.ends_at = Some(ends_at);
    found.about.egress_id = (!egress.egress_id.is_empty()).then(|| egress.egress_id.into());
    found.value("status", json!(status));
    found.value("error", json!(egress.error));
    found.value("stream", json!(has_streams));
    Some(found)
}

fn participant_failed(event: &Event, participant: Participant, rules: &AttentionRules) -> Option<Found> {
    let ends_at = ends_at(event, rules.call_failed_hours)?;
    let is = |name: &str, number: u8| participant.kind == name || participant.kind == number;
    let reason = &*participant.disconnect_reason;
    let kind = if is("SIP", 3) && CALL_FAILURES.contains(&reason) {
        Kind::CallFailed
    } else if is("AGENT", 4) && reason == "AGENT_ERROR" {
        Kind::AgentFailed
    } else {
        return None;
    };
    let mut found = Found::about(event, kind, &participant.sid);
    found.about.ends_at = Some(ends_at);
    found.value("reason", json!(participant.disconnect_reason.to_ascii_lowercase()));
    for (name, attribute) in [("number", "sip.phoneNumber"), ("trunk", "sip.trunkID"), ("call", "sip.callID")]
    {
        if let Some(value) = participant.attributes.get(attribute) {
            found.value(name, value.clone());
        }
    }
    found.about.participant = Some(Subject {
        sid: participant.sid.into(),
        identity: participant.identity.into(),
        name: participant.name.into(),
    });
    Some(found)
}

fn ends_at(event: &Event, hours: u32) -> Option<u64> {
    (hours > 0).then(|| event.received_at + u64::from(hours) * 3_600_000)
}
