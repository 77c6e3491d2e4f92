//! LiveKit's API: Twirp calls to RoomService, AgentDispatchService, Egress and Ingress, and their errors.
//!
//! `livekit-api` 0.10.0 is not used. It drops the path of the server's URL. It panics when an unknown track is muted
//! (`{"track":null}`). It turns an error page that is not JSON, which is how LiveKit refuses a wrong key, into a decoding
//! error without a status. It cannot write an enum value that it does not know. Twirp's JSON needs no generated types:
//! members that LiveKit adds pass through under LiveKit's names.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};

use crate::{
    clock::Clock,
    config::Project,
    http::{Answer, Client, Error, Limits, Post, without},
    token::{Claims, Grant, Secret, sign},
};

mod dispatches;
mod egress;
pub mod shape;

pub use dispatches::{ListedDispatch, ListedJob};

/// `answer_bytes` is enough for ten thousand rooms with a little metadata, or some hundred with the most that LiveKit
/// allows.
const LIMITS: Limits = Limits { connect: Duration::from_secs(3), answer_bytes: 64 << 20 };
/// Maximum time for a list. The lists behind it wait for it, so it is shorter than that for a command.
const LIST_TIME_MAX: Duration = Duration::from_secs(5);
/// Maximum time for a command. LiveKit itself waits less than this for a room's node.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(10);
/// Lifetime of the token of one call. LiveKit's clock may differ by a minute.
const TOKEN_SECS: i64 = 300;
/// Maximum length of the text of an error. It is shown on pages and in the log.
const SHOWN_CHARS: usize = 200;

/// The reason why a call failed. The address tells the operator which LiveKit it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There was no connection, or it broke.
    #[error("LiveKit at {address} cannot be reached: {cause}")]
    Unreachable { address: Box<str>, cause: Box<str> },
    #[error("LiveKit at {address} did not answer within {secs} s")]
    Timeout { address: Box<str>, secs: u64 },
    /// LiveKit refuses the key, or the key may not do this.
    #[error("LiveKit at {address} does not accept the key {key:?}: {message}")]
    Unauthorized { address: Box<str>, key: Box<str>, message: Box<str> },
    /// LiveKit answered with a Twirp error.
    #[error("LiveKit answered {code}: {message}")]
    Refused { code: Box<str>, message: Box<str> },
    /// The answer is not one of LiveKit's.
    #[error("LiveKit at {address} answered with {what}")]
    Garbage { address: Box<str>, what: Box<str> },
}

impl CallError {
    /// Returns true if LiveKit as a whole has failed, and not only this request.
    pub fn away(&self) -> bool {
        !matches!(self, CallError::Refused { .. })
    }

    /// Returns true for a Twirp error with this code.
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, CallError::Refused { code, .. } if &**code == wanted)
    }
}

/// One room of a list.
#[derive(Clone, Debug)]
pub struct ListedRoom {
    pub sid: Arc<str>,
    pub name: Arc<str>,
    /// The whole room in the shape of a webhook.
    pub json: Map<String, Value>,
}

/// One participant of a list.
#[derive(Clone, Debug)]
pub struct ListedParticipant {
    pub sid: Arc<str>,
    pub identity: Box<str>,
    pub state: Box<str>,
    pub tracks: Vec<ListedTrack>,
    /// The whole participant in the shape of a webhook, tracks too.
    pub json: Map<String, Value>,
}

/// One page of a list of egress or ingress.
#[derive(Clone, Debug)]
pub struct Page {
    pub items: Vec<Map<String, Value>>,
    /// Token of the next page. `None` at the end.
    pub next: Option<Box<str>>,
}

#[derive(Clone, Debug)]
pub struct ListedTrack {
    pub sid: Arc<str>,
    pub muted: bool,
    pub json: Value,
}

/// The properties of a new room. 0 and empty mean LiveKit's defaults.
#[derive(Clone, Debug, Default)]
pub struct NewRoom<'a> {
    pub name: &'a str,
    pub metadata: &'a str,
    pub empty_timeout_secs: u32,
    pub max_participants: u32,
}

/// The API of one project's LiveKit.
pub struct LiveKit {
    http: Arc<dyn Post>,
    clock: Clock,
    /// The URL with its path, without a slash at the end.
    url: Box<str>,
    key: Box<str>,
    secret: Secret,
}

impl LiveKit {
    /// Returns `None` for a project without a URL.
    pub fn new(project: &Project, clock: &Clock) -> Option<LiveKit> {
        let url = project.url.as_deref()?;
        let http = Client::new(LIMITS)
            .and_then(|client| client.trust(url))
            .inspect_err(
                |error| tracing::error!(project.name = %project.name, "no client for LiveKit: {error}"),
            )
            .ok()?;
        LiveKit::over(project, clock, Arc::new(http))
    }

    /// Returns the API over another client.
    pub fn over(project: &Project, clock: &Clock, http: Arc<dyn Post>) -> Option<LiveKit> {
        let url = project.url.clone()?;
        let (key, secret) = (project.key.clone(), project.secret.clone());
        Some(LiveKit { http, clock: clock.clone(), url, key, secret })
    }

    /// Returns its URL without user and password, fit to be shown.
    pub fn address(&self) -> Box<str> {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let authority = rest.split('/').next().unwrap_or(rest);
        match authority.rsplit_once('@') {
            Some((user, _)) => format!("{scheme}://{}", &rest[user.len() + 1..]).into(),
            None => self.url.clone(),
        }
    }

    /// Lists the rooms with these names, or all rooms if there are none.
    pub async fn list_rooms(&self, names: &[Arc<str>]) -> Result<Vec<ListedRoom>, CallError> {
        let grant = Grant { room_list: true, ..Grant::default() };
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let request = json!({ "names": names });
        let answer = self.call("RoomService", "ListRooms", grant, &request, LIST_TIME_MAX).await?;
        let rooms = self.list(answer, "rooms")?.into_iter().map(|room| {
            let json = shape::object(room);
            // LiveKit can have a room without a name. Its API lists it, and cannot be asked about it.
            let name = match json.get("name") {
                None => "",
                Some(name) => name.as_str()?,
            };
            Some(ListedRoom { sid: text(&json, "sid")?.into(), name: name.into(), json })
        });
        Ok(rooms.flatten().collect())
    }

    /// Lists the participants of a room. An unknown room has none.
    pub async fn list_participants(&self, room: &str) -> Result<Vec<ListedParticipant>, CallError> {
        let request = json!({ "room": room });
        let grant = admin(room);
        let answer = match self.call("RoomService", "ListParticipants", grant, &request, LIST_TIME_MAX).await
        {
            // LiveKit answers so if it asks the room's node instead of its store.
            Err(error) if error.is("not_found") => return Ok(Vec::new()),
            answer => answer?,
        };
        Ok(self.list(answer, "participants")?.into_iter().filter_map(participant).collect())
    }

    /// Lists a page of the egress of the last 24 hours, or of one egress. Returns `None` if LiveKit has no Redis to store
    /// them in.
    pub async fn list_egress(&self, id: Option<&str>, page: Option<&str>) -> Result<Option<Page>, CallError> {
        let grant = Grant { room_record: true, ..Grant::default() };
        let request = page_request("egress_id", id, page);
        let answer = self.call("Egress", "ListEgress", grant, &request, LIST_TIME_MAX).await;
        self.if_connected(answer)
    }

    /// Lists a page of every ingress, or of one. Returns `None` if LiveKit has no Redis to store them in.
    pub async fn list_ingress(
        &self,
        id: Option<&str>,
        page: Option<&str>,
    ) -> Result<Option<Page>, CallError> {
        let grant = Grant { ingress_admin: true, ..Grant::default() };
        let request = page_request("ingress_id", id, page);
        let answer = self.call("Ingress", "ListIngress", grant, &request, LIST_TIME_MAX).await;
        self.if_connected(answer)
    }

    /// Turns the error of a LiveKit without Redis into `None`.
    fn if_connected(&self, answer: Result<Value, CallError>) -> Result<Option<Page>, CallError> {
        match answer {
            Ok(answer) => self.page(answer).map(Some),
            Err(CallError::Refused { code, message })
                if message.contains("not connected")
                    || &*code == "bad_route"
                    || &*code == "unimplemented" =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn page(&self, answer: Value) -> Result<Page, CallError> {
        let next = answer.pointer("/next_page_token/token").and_then(Value::as_str);
        let next = next.filter(|token| !token.is_empty()).map(Box::from);
        let items = self.list(answer, "items")?.into_iter().map(shape::object).collect();
        Ok(Page { items, next })
    }

    /// Creates a room, or returns the one with this name.
    pub async fn create_room(&self, room: &NewRoom<'_>) -> Result<Map<String, Value>, CallError> {
        let request = json!({
            "name": room.name,
            "metadata": room.metadata,
            "empty_timeout": room.empty_timeout_secs,
            "max_participants": room.max_participants,
        });
        let grant = Grant { room_create: true, ..Grant::default() };
        self.command("CreateRoom", grant, &request).await
    }

    pub async fn delete_room(&self, room: &str) -> Result<(), CallError> {
        let grant = Grant { room_create: true, ..Grant::default() };
        self.command("DeleteRoom", grant, &json!({ "room": room })).await.map(drop)
    }

    pub async fn update_room_metadata(
        &self,
        room: &str,
        metadata: &str,
    ) -> Result<Map<String, Value>, CallError> {
        let request = json!({ "room": room, "metadata": metadata });
        self.command("UpdateRoomMetadata", admin(room), &request).await
    }

    pub async fn get_participant(&self, room: &str, identity: &str) -> Result<Map<String, Value>, CallError> {
        let request = json!({ "room": room, "identity": identity });
        self.command("GetParticipant", admin(room), &request).await
    }

    pub async fn remove_participant(&self, room: &str, identity: &str) -> Result<(), CallError> {
        let request = json!({ "room": room, "identity": identity });
        self.command("RemoveParticipant", admin(room), &request).await.map(drop)
    }

    /// Changes a participant. `change` has new values of `name`, `metadata`, `attributes` and `permission`, in Twirp's
    /// spelling. LiveKit keeps what is left out, and treats an empty text like that.
    pub async fn update_participant(
        &self,
        room: &str,
        identity: &str,
        mut change: Map<String, Value>,
    ) -> Result<Map<String, Value>, CallError> {
        change.insert("room".into(), room.into());
        change.insert("identity".into(), identity.into());
        self.command("UpdateParticipant", admin(room), &Value::Object(change)).await
    }

    /// Mutes or unmutes a track, and returns it. Returns `None` if the participant has no such track.
    pub async fn mute_track(
        &self,
        room: &str,
        identity: &str,
        track_sid: &str,
        muted: bool,
    ) -> Result<Option<Value>, CallError> {
        let request = json!({ "room": room, "identity": identity, "track_sid": track_sid, "muted": muted });
        let answer = self.command("MutePublishedTrack", admin(room), &request).await?;
        Ok(answer.get("track").filter(|track| track.is_object()).cloned())
    }

    /// Sends data to participants, or to all if there are no identities. `data` is base64.
    pub async fn send_data(
        &self,
        room: &str,
        data: &str,
        topic: Option<&str>,
        identities: &[String],
        reliable: bool,
    ) -> Result<(), CallError> {
        let mut request = json!({
            "room": room,
            "data": data,
            "kind": if reliable { "RELIABLE" } else { "LOSSY" },
            "destination_identities": identities,
        });
        if let Some(topic) = topic {
            request["topic"] = topic.into();
        }
        self.command("SendData", admin(room), &request).await.map(drop)
    }

    async fn command(
        &self,
        method: &str,
        grant: Grant,
        request: &Value,
    ) -> Result<Map<String, Value>, CallError> {
        let answer = self.call("RoomService", method, grant, request, COMMAND_TIME_MAX).await?;
        self.object(answer)
    }

    /// Returns an answer that is one entity, in the shape of a webhook.
    fn object(&self, answer: Value) -> Result<Map<String, Value>, CallError> {
        match answer {
            Value::Object(_) => Ok(shape::object(answer)),
            _ => Err(self.garbage("JSON that is not an object")),
        }
    }

    fn list(&self, mut answer: Value, member: &str) -> Result<Vec<Value>, CallError> {
        match answer.get_mut(member).map(Value::take) {
            Some(Value::Array(list)) => Ok(list),
            // Twirp writes empty lists too. An answer without the list is not LiveKit's, and to read it as an empty
            // list would end every room.
            _ => Err(self.garbage("JSON of another shape")),
        }
    }

    fn garbage(&self, what: &str) -> CallError {
        CallError::Garbage { address: self.address(), what: what.into() }
    }

    async fn call(
        &self,
        service: &str,
        method: &str,
        grant: Grant,
        request: &Value,
        time_max: Duration,
    ) -> Result<Value, CallError> {
        self.call_with(&[], service, method, grant, request, time_max).await
    }

    /// As [`LiveKit::call`], for a request with these secrets: no error repeats them.
    async fn call_with(
        &self,
        secrets: &[&str],
        service: &str,
        method: &str,
        grant: Grant,
        request: &Value,
        time_max: Duration,
    ) -> Result<Value, CallError> {
        let claims = Claims {
            iss: self.key.to_string(),
            exp: self.clock.unix_secs() + TOKEN_SECS,
            video: Some(grant),
            ..Claims::default()
        };
        let url = format!("{}/twirp/livekit.{service}/{method}", self.url);
        let answer = self.http.post_json(&url, sign(&claims, &self.secret), request, time_max).await;
        let Answer { status, body } = answer.map_err(|error| match error {
            Error::Timeout(time) => CallError::Timeout { address: self.address(), secs: time.as_secs() },
            Error::TooLarge(bytes) => self.garbage(&format!("more than {bytes} bytes")),
            error => CallError::Unreachable { address: self.address(), cause: shown(&error.to_string()) },
        })?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| self.garbage("something that is not JSON"));
        }
        // An error is JSON with a code, but a wrong key is refused in plain text.
        let error: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = match error.get("msg").and_then(Value::as_str) {
            Some(message) => shown(&without(message, secrets)),
            None => shown(&without(&String::from_utf8_lossy(&body), secrets)),
        };
        if status.as_u16() == 401 {
            return Err(CallError::Unauthorized { address: self.address(), key: self.key.clone(), message });
        }
        match error.get("code").and_then(Value::as_str) {
            Some(code) => Err(CallError::Refused { code: shown(code), message }),
            None => Err(self.garbage(&format!("status {status} and no Twirp error"))),
        }
    }
}

/// Returns the request for a page of a list, or for one entity of it (`ListEgressRequest`, `ListIngressRequest`).
fn page_request(member: &str, id: Option<&str>, page: Option<&str>) -> Value {
    let mut request = Map::new();
    if let Some(id) = id {
        request.insert(member.into(), id.into());
    }
    if let Some(token) = page {
        request.insert("page_token".into(), json!({ "token": token }));
    }
    Value::Object(request)
}

fn participant(value: Value) -> Option<ListedParticipant> {
    let json = shape::object(value);
    let tracks = json.get("tracks").and_then(Value::as_array).into_iter().flatten().filter_map(|track| {
        Some(ListedTrack {
            sid: text(track.as_object()?, "sid")?.into(),
            muted: track.get("muted").and_then(Value::as_bool).unwrap_or(false),
            json: track.clone(),
        })
    });
    Some(ListedParticipant {
        sid: text(&json, "sid")?.into(),
        identity: text(&json, "identity").unwrap_or_default().into(),
        // JOINING is the zero value, which the shape of a webhook leaves out.
        state: text(&json, "state").unwrap_or("JOINING").into(),
        tracks: tracks.collect(),
        json,
    })
}

/// Returns a member that is a text and not empty.
pub fn text<'a>(object: &'a Map<String, Value>, member: &str) -> Option<&'a str> {
    object.get(member)?.as_str().filter(|text| !text.is_empty())
}

/// Returns a 64-bit integer, which LiveKit's JSON writes as a string; 0 if it is absent.
pub fn integer(object: &Map<String, Value>, member: &str) -> u64 {
    match object.get(member) {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(value) => value.as_u64().unwrap_or(0),
        None => 0,
    }
}

/// Returns the grant for calls about one room: LiveKit wants a token per room (livekit pkg/service/auth.go).
fn admin(room: &str) -> Grant {
    Grant { room_admin: true, room: room.to_owned(), ..Grant::default() }
}

/// Returns LiveKit's own words, short, on one line and without tokens: LiveKit repeats a token that it refuses.
fn shown(text: &str) -> Box<str> {
    let words = text.split_whitespace().map(|word| if word.starts_with("eyJ") { "***" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().take(SHOWN_CHARS).collect::<String>().into()
}
