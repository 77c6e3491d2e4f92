//! Conditions that have happened: each is the result of one event.

use serde_json::{Value, json};

use crate::{
    config::AttentionRules,
    event::{Event, Kind as EventKind, reasons::is_call_failure},
    state::entity::condition::Subject,
};

use super::{Found, Kind};

/// Returns the body of an event that can be a condition or counts for a rate, and null for all others. Members that are
/// absent or have an unexpected type read as null, or as an empty text.
pub(super) fn body(event: &Event) -> Value {
    match event.kind {
        EventKind::EgressEnded | EventKind::ParticipantLeft | EventKind::ParticipantConnectionAborted => {
            serde_json::from_slice(&event.body).unwrap_or_default()
        }
        _ => Value::Null,
    }
}

/// Returns the reason for which a participant left.
pub(super) fn disconnect_reason(body: &Value) -> &str {
    text(&body["participant"]["disconnectReason"])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns the condition that an event with this [`body`] is, if it is one.
pub(super) fn occurred(event: &Event, body: &Value, rules: &AttentionRules) -> Option<Found> {
    match event.kind {
        EventKind::EgressEnded => egress_failed(event, &body["egressInfo"], rules),
        EventKind::ParticipantLeft | EventKind::ParticipantConnectionAborted => {
            participant_failed(event, body, rules)
        }
        _ => None,
    }
}

fn egress_failed(event: &Event, egress: &Value, rules: &AttentionRules) -> Option<Found> {
    let ends_at = ends_at(event, rules.failed_hours)?;
    let status = text(&egress["status"]);
    let status = status.strip_prefix("EGRESS_").unwrap_or(status).to_ascii_lowercase();
    if !matches!(&*status, "failed" | "aborted" | "limit_reached") {
        return None;
    }
    let id = text(&egress["egressId"]);
    // LiveKit gives no id to an egress that it could not launch.
    let subject = if id.is_empty() { event.seq.to_string() } else { id.to_owned() };
    let has_streams = egress["streamResults"].as_array().is_some_and(|streams| !streams.is_empty());
    let mut found = Found::about(event, Kind::EgressFailed, &subject);
    found.about.ends_at = Some(ends_at);
    found.about.egress_id = (!id.is_empty()).then(|| id.into());
    found.value("status", json!(status));
    found.value("error", json!(text(&egress["error"])));
    found.value("stream", json!(has_streams || egress.get("stream").is_some()));
    Some(found)
}

fn participant_failed(event: &Event, body: &Value, rules: &AttentionRules) -> Option<Found> {
    let ends_at = ends_at(event, rules.call_failed_hours)?;
    let participant = &body["participant"];
    let is = |name: &str, number: u8| participant["kind"] == name || participant["kind"] == number;
    let reason = disconnect_reason(body);
    let kind = if is("SIP", 3) && is_call_failure(reason) {
        Kind::CallFailed
    } else if is("AGENT", 4) && reason == "AGENT_ERROR" {
        Kind::AgentFailed
    } else {
        return None;
    };
    let mut found = Found::about(event, kind, text(&participant["sid"]));
    found.about.ends_at = Some(ends_at);
    found.value("reason", json!(reason.to_ascii_lowercase()));
    for (name, attribute) in [("number", "sip.phoneNumber"), ("trunk", "sip.trunkID"), ("call", "sip.callID")]
    {
        if let Some(value) = participant["attributes"].get(attribute) {
            found.value(name, value.clone());
        }
    }
    found.about.participant = Some(Subject {
        sid: text(&participant["sid"]).into(),
        identity: text(&participant["identity"]).into(),
        name: text(&participant["name"]).into(),
    });
    Some(found)
}

fn ends_at(event: &Event, hours: u32) -> Option<u64> {
    (hours > 0).then(|| event.received_at + u64::from(hours) * 3_600_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Seq, Source};

    fn found(kind: &str, body_text: &str) -> Option<String> {
        let event = Event {
            seq: Seq(7),
            project: "p".into(),
            source: Source::Webhook,
            received_at: 1,
            kind: EventKind::from(kind),
            room: Some("r".into()),
            room_sid: None,
            body: body_text.as_bytes().to_vec().into(),
        };
        let found = occurred(&event, &body(&event), &AttentionRules::default())?;
        Some(format!("{} {}", found.about.id, json!(found.about.values)))
    }

    #[test]
    fn a_member_of_an_unexpected_type_hides_no_other() {
        assert_eq!(
            found(
                "participant_left",
                r#"{"participant":{"sid":"PA_1","identity":null,"name":7,"kind":"SIP","attributes":[],
                    "disconnectReason":"USER_REJECTED"},"egressInfo":null}"#
            )
            .as_deref(),
            Some(r#"call_failed:PA_1 {"reason":"user_rejected"}"#)
        );
        assert_eq!(
            found(
                "egress_ended",
                r#"{"egressInfo":{"status":"EGRESS_FAILED","error":null,"streamResults":{}}}"#
            )
            .as_deref(),
            Some(r#"egress_failed:7 {"error":"","status":"failed","stream":false}"#)
        );
        for body in ["", "null", "[]", r#"{"egressInfo":[1]}"#, r#"{"egressInfo":{"status":3}}"#] {
            assert_eq!(found("egress_ended", body), None, "{body}");
            assert_eq!(found("participant_left", body), None, "{body}");
        }
    }
}
