//! Turns the JSON of LiveKit's API into the JSON of its webhooks.
//!
//! Both are protobuf's JSON mapping, but Twirp writes the names of the .proto file and every zero value
//! (`"creation_time":"0"`, `"state":"JOINING"`), and a webhook writes lowerCamelCase and leaves zero values out. Readers
//! of events get one shape from both sources. Members that LiveKit adds pass through.

use serde_json::{Map, Value};

/// Members that are maps: their keys belong to the application, and an empty value is a value.
const MAPS: &[&str] = &["attributes", "participant_attributes"];

/// Members for which protobuf distinguishes absent from `false`.
const PRESENT: &[&str] = &["enabled", "enable_transcoding"];

/// 64-bit integers, which are written as texts. Only in these is the text "0" a zero value.
const INTEGERS: &[&str] = &[
    "creation_time",
    "creation_time_ms",
    "joined_at",
    "joined_at_ms",
    "started_at",
    "ended_at",
    "updated_at",
    "unix_micro",
    "duration",
    "size",
];

/// The names of the zero values in the listed objects.
const ZEROES: &[(&str, &str)] = &[
    ("state", "JOINING"),
    ("kind", "STANDARD"),
    ("disconnect_reason", "UNKNOWN_REASON"),
    ("type", "AUDIO"),
    ("source", "UNKNOWN"),
    ("encryption", "NONE"),
    ("backup_codec_policy", "PREFER_REGRESSION"),
    ("quality", "LOW"),
    ("video_layer_mode", "MODE_UNUSED"),
    ("status", "EGRESS_STARTING"),
    ("source_type", "EGRESS_SOURCE_TYPE_WEB"),
    ("status", "ENDPOINT_INACTIVE"),
    ("input_type", "RTMP_INPUT"),
];

/// Returns an object in the shape of a webhook, or an empty one if the value is not an object.
pub fn object(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else { return Map::new() };
    let shaped = members.into_iter().filter_map(|(name, value)| {
        let value = member(&name, value)?;
        Some((camel(&name), value))
    });
    shaped.collect()
}

/// Returns the value of a member if a webhook would have it.
fn member(name: &str, value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Bool(false) => PRESENT.contains(&name).then_some(value),
        Value::Number(ref number) => (number.as_f64() != Some(0.0)).then_some(value),
        Value::String(ref text) => {
            let zero = text.is_empty()
                || (text == "0" && INTEGERS.contains(&name))
                || ZEROES.contains(&(name, text.as_str()));
            (!zero).then_some(value)
        }
        Value::Array(list) => {
            (!list.is_empty()).then(|| Value::Array(list.into_iter().map(element).collect()))
        }
        Value::Object(ref map) if MAPS.contains(&name) => (!map.is_empty()).then_some(value),
        // A message that is set but has only zero values is written as `{}`.
        value => Some(element(value)),
    }
}

/// Returns an element of a list. It is kept whatever its value is.
fn element(value: Value) -> Value {
    if value.is_object() { Value::Object(object(value)) } else { value }
}

/// Returns protobuf's JSON name: `creationTimeMs` for `creation_time_ms`.
fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                camel.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => camel.push(c),
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    /// The answers were recorded in the same run as the webhooks, of the same room and participants.
    #[test]
    fn an_answer_gets_the_shape_of_a_webhook() {
        let rooms = answer(include_str!("../../fixtures/roomservice/list_rooms.json"));
        let room = object(rooms["rooms"][0].clone());
        assert_eq!(room["sid"], "RM_hycFrzyc8LMX");
        assert_eq!(room["creationTimeMs"], "1795467038990");
        assert!(!room.contains_key("maxParticipants"), "{room:?}");
        assert!(!room.contains_key("version"));
        assert_eq!(room["enabledCodecs"][0]["mime"], "audio/PCMU");
        assert!(room["enabledCodecs"][0].get("fmtpLine").is_none());

        let list = answer(include_str!("../../fixtures/roomservice/list_participants.json"));
        for listed in list["participants"].as_array().expect("a list") {
            let shaped = object(listed.clone());
            let text = serde_json::to_string(&shaped).expect("JSON");
            let theirs: Result<livekit_protocol::ParticipantInfo, _> = serde_json::from_str(&text);
            let theirs = theirs.expect("LiveKit's own type reads it");
            // It writes the same again: nothing is missing, nothing is left over.
            assert_eq!(serde_json::to_value(&theirs).expect("JSON"), Value::Object(shaped));
        }
    }

    #[test]
    fn unknown_members_pass_through() {
        let from = r#"{"new_field":{"inner_one":1,"inner_two":0},"kind":"HOLOGRAM","state":7,"list":[0,"",{"a_b":1}],
            "attributes":{"my_key":"","b":"0"},"metadata":"0","enabled":false,"started_at":"0","other":false}"#;
        let to = r#"{"newField":{"innerOne":1},"kind":"HOLOGRAM","state":7,"list":[0,"",{"aB":1}],
            "attributes":{"my_key":"","b":"0"},"metadata":"0","enabled":false}"#;
        assert_eq!(Value::Object(object(answer(from))), answer(to));
        assert!(object(Value::Null).is_empty());
    }
}
