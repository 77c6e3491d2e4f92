//! The parts of the OpenAPI document that hold for every route: the errors that each can answer, and the bounds of
//! parameters.

use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

/// The route that LiveKit calls. It has no parameters, and its own answers.
const WEBHOOKS: &str = "/api/webhooks/livekit";

/// Status and description of the errors of every route.
const ANY: &[(&str, &str)] = &[
    ("400", "A parameter is unknown, repeated or out of range"),
    ("401", "No valid credential"),
    ("429", "`too_many_requests`: the unread answers of this caller or address take too much memory"),
    ("503", "`busy`: too many requests at the same time"),
];

/// Those of a route with a body.
const WITH_BODY: &[(&str, &str)] = &[
    ("400", "The body or a parameter is not valid"),
    ("408", "`body_timeout`: the body did not arrive in time"),
    ("413", "`body_too_large`"),
    ("415", "`not_json`: the body needs `Content-Type: application/json`"),
];

/// Returns the document. The description that a route has for a status stays.
pub fn complete(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).expect("the document is JSON");
    let error = json!({"$ref": "#/components/schemas/ErrorBody"});
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, operations) in paths.filter(|(path, _)| *path != WEBHOOKS) {
        for (_, operation) in operations.as_object_mut().into_iter().flatten() {
            let with_body = if operation.get("requestBody").is_some() { WITH_BODY } else { &[] };
            for (status, description) in with_body.iter().chain(ANY) {
                let answer = &mut operation["responses"][*status];
                if answer.is_null() {
                    *answer = json!({"description": description});
                }
            }
            let answers = operation["responses"].as_object_mut().into_iter().flatten();
            for (_, answer) in answers.filter(|(status, _)| status.as_str() >= "400") {
                answer["content"] = json!({"application/json": {"schema": error}});
            }
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            parameters.into_iter().flatten().for_each(bound);
            // Tools read this schema as that of one event of the stream, which docs/protocol.md describes.
            if let Some(stream) = operation.pointer_mut("/responses/200/content/text~1event-stream") {
                *stream = json!({});
            }
        }
    }
    document
}

/// Adds the bounds of a parameter that several routes have. The largest `limit` is the route's own.
fn bound(parameter: &mut Value) {
    let (name, value) = match parameter["name"].as_str() {
        Some("limit") => ("minimum", json!(1)),
        Some("from" | "to" | "step") => ("minimum", json!(0)),
        Some("q") => ("minLength", json!(1)),
        Some("at") => ("pattern", json!(r"^([0-9]{1,15}|[0-9a-f]{8}-[0-9]{1,19})?$")),
        _ => return,
    };
    parameter["schema"][name] = value;
}
