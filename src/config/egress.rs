//! The presets of egress: `[[egress_presets]]` of the configuration file. A user who starts a recording or a stream chooses
//! one; its credentials, stream keys and paths are in the file only.

use std::{fmt, sync::Arc};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Project;
use crate::http::origin;

/// Maximum number of presets. Each list of projects has their names.
const PRESETS_MAX: usize = 100;
/// Shortest part of a text of the request that is a secret. Shorter ones are words of every message.
const SECRET_CHARS_MIN: usize = 6;

const OUTPUTS: [&str; 7] =
    ["file", "stream", "segments", "file_outputs", "stream_outputs", "segment_outputs", "image_outputs"];

/// One `[[egress_presets]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressPreset {
    /// Without it, for every project.
    #[serde(default)]
    pub project: Option<String>,
    pub name: String,
    pub kind: EgressKind,
    #[serde(default)]
    pub description: String,
    /// Origins of the pages of a web egress, as browsers write them.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// LiveKit's request, without the room, the track and the URL.
    pub request: EgressRequest,
}

/// Source of an egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EgressKind {
    /// A whole room, in a layout
    RoomComposite,
    /// One track, as it is published
    Track,
    /// A web page
    Web,
}

/// A request in LiveKit's JSON. It may have credentials, so it is not printed.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct EgressRequest(Map<String, Value>);

impl fmt::Debug for EgressRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl EgressRequest {
    /// Returns the request with these members.
    pub fn with<const N: usize>(&self, members: [(&str, &str); N]) -> Value {
        let mut request = self.0.clone();
        request.extend(members.map(|(name, value)| (name.to_owned(), value.into())));
        Value::Object(request)
    }

    /// Returns the texts of the request and their parts, the longest first: no message may have one.
    pub fn secrets(&self) -> Vec<&str> {
        let mut texts = Vec::new();
        self.0.values().for_each(|value| collect(value, &mut texts));
        let parts = texts.iter().flat_map(|text| text.split(['/', '?', '&', '=', ':', '"', '\\', '\n', ' ']));
        let mut secrets: Vec<&str> = texts.iter().copied().chain(parts).collect();
        secrets.retain(|text| text.chars().count() >= SECRET_CHARS_MIN);
        secrets.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        secrets.dedup();
        secrets
    }
}

fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(list) => list.iter().for_each(|value| collect(value, texts)),
        Value::Object(members) => members.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}

impl EgressKind {
    /// Members that the request may have, beside [`OUTPUTS`]. LiveKit ignores a misspelt one.
    fn members(self) -> &'static [&'static str] {
        match self {
            EgressKind::RoomComposite => &[
                "layout",
                "audio_only",
                "audio_mixing",
                "video_only",
                "custom_base_url",
                "preset",
                "advanced",
                "webhooks",
            ],
            EgressKind::Track => &["webhooks", "websocket_url"],
            EgressKind::Web => {
                &["audio_only", "video_only", "await_start_signal", "preset", "advanced", "webhooks"]
            }
        }
    }

    fn outputs(self) -> &'static [&'static str] {
        if self == EgressKind::Track { &["file", "websocket_url"] } else { &OUTPUTS }
    }
}

impl EgressPreset {
    /// Returns true if the preset is for this project.
    pub fn is_for(&self, project: &str) -> bool {
        self.project.as_deref().is_none_or(|own| own == project)
    }

    /// Returns true if the preset is for pages of the origin of this URL.
    pub fn allows(&self, url: &str) -> bool {
        origin(url).is_some_and(|origin| self.allowed_origins.contains(&origin))
    }

    fn check(mut self, projects: &[Project]) -> anyhow::Result<EgressPreset> {
        ensure!(!self.name.is_empty() && !self.name.contains('/'), "give it a name, without `/`");
        if let Some(project) = &self.project {
            ensure!(projects.iter().any(|known| *known.name == **project), "there is no project {project:?}");
        }
        ensure!(
            self.allowed_origins.is_empty() != (self.kind == EgressKind::Web),
            "a preset of kind web needs allowed_origins, and no other has them"
        );
        for allowed in &mut self.allowed_origins {
            let is_bare = allowed
                .split_once("://")
                .is_some_and(|(_, rest)| !rest.trim_end_matches('/').contains(['/', '?', '#']));
            *allowed = origin(allowed).filter(|_| is_bare).with_context(|| {
                format!("the origin {allowed:?} must look like https://app.example.com, without a path")
            })?;
        }
        for name in self.request.0.keys() {
            ensure!(
                self.kind.members().contains(&&**name) || self.kind.outputs().contains(&&**name),
                "its request has {name:?}, which is not a member of LiveKit's request in the spelling of its .proto \
                 files; Roomwatch sets the room, the track and the URL"
            );
        }
        ensure!(
            self.kind.outputs().iter().any(|name| self.request.0.contains_key(*name)),
            "its request has no output; give it one of {}",
            self.kind.outputs().join(", ")
        );
        Ok(self)
    }
}

pub(super) fn presets(
    written: Vec<EgressPreset>,
    projects: &[Project],
) -> anyhow::Result<Arc<[EgressPreset]>> {
    ensure!(written.len() <= PRESETS_MAX, "[[egress_presets]]: at most {PRESETS_MAX} of them");
    let mut presets: Vec<EgressPreset> = Vec::new();
    for preset in written {
        let name = preset.name.clone();
        ensure!(
            presets.iter().all(|other| other.name != name
                || (other.project != preset.project && other.project.is_some() && preset.project.is_some())),
            "[[egress_presets]]: {name:?} is there twice for a project; give each another name"
        );
        presets.push(preset.check(projects).with_context(|| format!("[[egress_presets]] {name:?}"))?);
    }
    Ok(presets.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn preset(change: impl FnOnce(&mut Value)) -> anyhow::Result<Arc<[EgressPreset]>> {
        let mut written = json!({
            "name": "archive", "kind": "room_composite",
            "request": { "layout": "grid", "file_outputs": [{ "filepath": "a/{room_name}", "s3": { "secret": "CANARY" } }] },
        });
        change(&mut written);
        presets(vec![serde_json::from_value(written)?], &[])
    }

    #[test]
    fn a_preset_has_a_name_an_output_and_origins_if_it_is_for_pages() {
        let web = |origins: &[&str]| {
            let origins = json!(origins);
            move |written: &mut Value| {
                written["kind"] = "web".into();
                written["allowed_origins"] = origins;
                written["request"] = json!({ "file_outputs": [] });
            }
        };
        assert!(preset(|_| ()).is_ok());
        assert!(preset(web(&["HTTPS://App.Example.com:443/", "http://10.0.0.1:8080"])).is_ok());
        type Change = Box<dyn FnOnce(&mut Value)>;
        let cases: Vec<(Change, &str)> = vec![
            (Box::new(|written| written["name"] = "".into()), "name"),
            (Box::new(|written| written["name"] = "a/b".into()), "name"),
            (Box::new(|written| written["kind"] = "participant".into()), "unknown variant"),
            (Box::new(|written| written["project"] = "none".into()), "no project"),
            (Box::new(|written| written["outputs"] = json!([])), "unknown field"),
            (Box::new(|written| written["request"]["room_name"] = "x".into()), "\"room_name\""),
            (Box::new(|written| written["request"]["fileOutputs"] = json!([])), "\"fileOutputs\""),
            (Box::new(|written| written["request"] = json!({ "layout": "grid" })), "no output"),
            (Box::new(|written| written["allowed_origins"] = json!(["https://a"])), "allowed_origins"),
            (Box::new(web(&[])), "allowed_origins"),
            (Box::new(web(&["https://a.example/path"])), "without a path"),
            (Box::new(web(&["*"])), "without a path"),
            (Box::new(web(&["https://user@a.example"])), "without a path"),
            (Box::new(web(&["file:///etc"])), "without a path"),
        ];
        for (change, expected) in cases {
            let error = format!("{:#}", preset(change).expect_err(expected));
            assert!(error.contains(expected) && !error.contains("CANARY"), "{error}, not {expected}");
        }
        let twice = |projects: [Option<&str>; 2]| {
            let one = preset(|_| ()).expect("a preset")[0].clone();
            let of =
                |project: Option<&str>| EgressPreset { project: project.map(str::to_owned), ..one.clone() };
            format!("{:?}", presets(projects.map(of).into(), &[]))
        };
        assert!(twice([None, None]).contains("twice"));
        assert!(twice([None, Some("a")]).contains("twice"));
        assert!(twice([Some("a"), Some("a")]).contains("no project"));
    }

    #[test]
    fn only_pages_of_the_named_origins_are_allowed() {
        let presets = preset(|written| {
            written["kind"] = "web".into();
            written["allowed_origins"] = json!(["https://App.example.com:443/", "http://10.0.0.1:8080"]);
            written["request"] = json!({ "file_outputs": [] });
        });
        let preset = &presets.expect("a preset")[0];
        for url in [
            "https://app.example.com",
            "https://app.example.com/",
            "https://app.example.com:443/a?b#c",
            "HTTPS://APP.EXAMPLE.COM/x",
            "http://10.0.0.1:8080/x",
            // A browser opens the page of app.example.com.
            "https://app.example.com\\@evil.example/",
        ] {
            assert!(preset.allows(url), "{url}");
        }
        for url in [
            "",
            "app.example.com",
            "//app.example.com",
            "http://app.example.com/",
            "https://app.example.com:8443/",
            "https://app.example.com.evil.example/",
            "https://app.example.com@evil.example/",
            "https://user@app.example.com/",
            "https://evil.example/https://app.example.com/",
            "https://evil.example#https://app.example.com",
            "https://evil.example\\.app.example.com/",
            "http://10.0.0.1/x",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "blob:https://app.example.com/x",
            "data:text/html,x",
            "view-source:https://app.example.com/",
        ] {
            assert!(!preset.allows(url), "{url}");
        }
    }

    #[test]
    fn the_request_is_not_printed_and_its_texts_are_known() {
        let preset = preset(|_| ()).expect("a preset")[0].clone();
        assert!(!format!("{preset:?}").contains("CANARY"));
        assert_eq!(preset.request.secrets(), ["a/{room_name}", "{room_name}", "CANARY"]);
        let sent = preset.request.with([("room_name", "standup")]);
        assert_eq!((&sent["room_name"], &sent["layout"]), (&json!("standup"), &json!("grid")));
    }
}
