//! `GET /api/rooms` and its subordinate routes: the rooms now, or at an earlier moment, from the state alone.
//!
//! The cursor of an answer is the head of the stream before the state was read. The state may already have later
//! events. They come again on the stream, where they change nothing: so list-then-follow misses no event.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State as AppState},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer, ser::SerializeSeq};

mod view;

use crate::{
    event::Cursor,
    reconcile::Reach,
    server::{
        App,
        caller::Caller,
        error::{Error, ErrorBody},
        export::FormatQuery,
        path::{Names, RoomPath, names},
        query::{ProjectQuery, ProjectsQuery, Query},
    },
    snapshot::Snapshot,
    state::{
        Egress, Ingress, Participant, RoomEntry, Wire,
        entity::Confirmed,
        mask::ALL,
        schema::{EgressSchema, IngressSchema, ParticipantSchema, RoomSchema},
    },
};
pub use view::{MomentQuery, View};

/// Maximum number of rooms in an answer that is written at once. A longer one takes milliseconds, and is written on a
/// blocking thread.
const ROOMS_INLINE_MAX: usize = 500;
/// Approximate size of a room in a list, in bytes.
const ROOM_BYTES: usize = 512;

/// The live rooms.
#[derive(utoipa::ToSchema)]
#[schema(as = Rooms)]
pub struct RoomsSchema {
    /// Cursor for `/api/events?after=`
    pub cursor: String,
    /// Time when the last event in the state was received, in unix milliseconds; null before the first event
    #[schema(required)]
    pub at: Option<u64>,
    /// False if the state of the requested moment is not kept; this is then the nearest state that is kept
    pub exact: bool,
    /// LiveKit of each project that the answer covers; empty for an earlier moment
    pub livekit: Vec<LiveKitNow>,
    pub rooms: Vec<RoomSchema>,
}

/// A live room with its participants, egress and ingress.
#[derive(utoipa::ToSchema)]
#[schema(as = RoomNow)]
pub struct RoomNowSchema {
    pub cursor: String,
    /// Time when the last event in the state was received, in unix milliseconds; null before the first event
    #[schema(required)]
    pub at: Option<u64>,
    /// False if the state of the requested moment is not kept; this is then the nearest state that is kept
    pub exact: bool,
    /// Null for an earlier moment
    #[schema(required)]
    pub livekit: Option<LiveKitNow>,
    pub room: RoomSchema,
    pub participants: Vec<ParticipantSchema>,
    /// Egress that has not ended
    pub egress: Vec<EgressSchema>,
    pub ingress: Vec<IngressSchema>,
}

/// The participants of a live room.
#[derive(utoipa::ToSchema)]
#[schema(as = Participants, rename_all = "camelCase")]
pub struct ParticipantsSchema {
    pub cursor: String,
    /// Time when the last event in the state was received, in unix milliseconds; null before the first event
    #[schema(required)]
    pub at: Option<u64>,
    /// False if the state of the requested moment is not kept; this is then the nearest state that is kept
    pub exact: bool,
    /// Null for an earlier moment
    #[schema(required)]
    pub livekit: Option<LiveKitNow>,
    /// Sid of the newest live session; these are its participants
    pub room_sid: String,
    pub participants: Vec<ParticipantSchema>,
}

/// Lists the live rooms that the caller may see.
#[utoipa::path(
    get,
    path = "/api/rooms",
    tag = "rooms",
    params(
        ("room" = Option<Vec<String>>, Query, description = "Only rooms with these names; may be repeated"),
        ProjectsQuery,
        MomentQuery,
        FormatQuery,
    ),
    responses(
        (status = 200, description = "The live rooms", body = RoomsSchema),
        (status = 400, description = "A parameter is unknown or out of range; `ahead`", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 403, description = "The request is outside the caller's rights", body = ErrorBody),
        (status = 410, description = "`expired`: older than the states that are kept or that the caller may see; `unknown_epoch`", body = ErrorBody),
        (status = 503, description = "`busy`: too many requests for earlier states", body = ErrorBody),
    )
)]
pub async fn rooms(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(query.as_deref(), &["room", "project", "at"])?;
    let named = (&*query.all("project"), &*query.all("room"));
    let view = View::of(&app, &caller, &query, named, Error::forbidden).await?;
    let rooms = view.rooms();
    let inline = rooms.len() <= ROOMS_INLINE_MAX;
    let write = move || rooms_json(&app, &view.snapshot, LiveKitNow::all(&app, &view), &rooms);
    let json =
        if inline { write() } else { tokio::task::spawn_blocking(write).await.map_err(Error::internal)? };
    Ok(answer(json.map_err(Error::internal)?))
}

/// Returns the newest live session of a room, with its participants, egress and ingress.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}",
    tag = "rooms",
    params(RoomPath, ProjectQuery, MomentQuery),
    responses(
        (status = 200, description = "The room", body = RoomNowSchema),
        (status = 400, description = "`project_required`, `ahead`, or a parameter is unknown or out of range", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 404, description = "`room_not_live`; also for a room that the caller may not see", body = ErrorBody),
        (status = 410, description = "`expired`: older than the states that are kept or that the caller may see; `unknown_epoch`", body = ErrorBody),
        (status = 503, description = "`busy`: too many requests for earlier states", body = ErrorBody),
    )
)]
pub async fn room(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<RoomPath>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let RoomPath { room: name } = names(path)?;
    let found = Found::find(&app, &caller, &name, query.as_deref()).await?;
    #[derive(Serialize)]
    struct RoomNow<'a> {
        #[serde(flatten)]
        moment: At,
        livekit: Option<LiveKitNow>,
        room: Listed<'a>,
        participants: All<'a, Participant>,
        egress: All<'a, Egress>,
        ingress: All<'a, Ingress>,
    }
    let json = serde_json::to_vec(&RoomNow {
        moment: At::of(&found.view.snapshot),
        livekit: found.livekit(&app),
        room: Listed::new(&app, &found),
        participants: All(&found.participants()),
        egress: All(&found.egress),
        ingress: All(&found.ingress),
    });
    Ok(answer(json.map_err(Error::internal)?))
}

/// Lists the participants of the newest live session of a room, with their tracks.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/participants",
    tag = "rooms",
    params(RoomPath, ProjectQuery, MomentQuery, FormatQuery),
    responses(
        (status = 200, description = "The participants", body = ParticipantsSchema),
        (status = 400, description = "`project_required`, `ahead`, or a parameter is unknown or out of range", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 404, description = "`room_not_live`; also for a room that the caller may not see", body = ErrorBody),
        (status = 410, description = "`expired`: older than the states that are kept or that the caller may see; `unknown_epoch`", body = ErrorBody),
        (status = 503, description = "`busy`: too many requests for earlier states", body = ErrorBody),
    )
)]
pub async fn participants(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<RoomPath>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let RoomPath { room: name } = names(path)?;
    let found = Found::find(&app, &caller, &name, query.as_deref()).await?;
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Participants<'a> {
        #[serde(flatten)]
        moment: At,
        livekit: Option<LiveKitNow>,
        room_sid: &'a str,
        participants: All<'a, Participant>,
    }
    let json = serde_json::to_vec(&Participants {
        moment: At::of(&found.view.snapshot),
        livekit: found.livekit(&app),
        room_sid: &found.entry.room.sid,
        participants: All(&found.participants()),
    });
    Ok(answer(json.map_err(Error::internal)?))
}

/// The moment of an answer.
#[derive(Serialize)]
pub struct At {
    cursor: Cursor,
    at: Option<u64>,
    exact: bool,
}

impl At {
    pub fn of(snapshot: &Snapshot) -> At {
        At { cursor: snapshot.cursor, at: snapshot.at, exact: snapshot.exact }
    }
}

/// LiveKit of one project now. An answer about rooms is as true as LiveKit lets Roomwatch check.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LiveKit)]
pub struct LiveKitNow {
    #[schema(value_type = String)]
    project: Arc<str>,
    state: Reach,
    /// Since when LiveKit has given no answer to compare with, in unix milliseconds. Rooms and participants are as last
    /// reported. Null if its last answer was one
    #[schema(required)]
    away_since: Option<u64>,
}

impl LiveKitNow {
    fn of(app: &App, project: &Arc<str>) -> LiveKitNow {
        let (state, away_since) = app.reconcile.reach(project);
        LiveKitNow { project: project.clone(), state, away_since }
    }

    /// Returns every project that the view covers.
    fn all(app: &App, view: &View) -> Vec<LiveKitNow> {
        if !view.snapshot.is_live() {
            return Vec::new();
        }
        let within = view.window.area().projects();
        let projects = app.config.projects.iter().map(|project| &project.name);
        projects
            .filter(|name| within.is_none_or(|within| within.contains(*name)))
            .map(|name| LiveKitNow::of(app, name))
            .collect()
    }
}

/// One room at one moment, as far as the caller may see it.
struct Found {
    view: View,
    entry: Arc<RoomEntry>,
    egress: Vec<Arc<Egress>>,
    ingress: Vec<Arc<Ingress>>,
}

impl Found {
    async fn find(app: &App, caller: &Caller, name: &str, query: Option<&str>) -> Result<Found, Error> {
        let query = Query::parse(query, &["project", "at"])?;
        let project = caller.project(app, query.one("project")?.as_deref())?;
        let named = (&[&*project][..], &[name][..]);
        let view = View::of(app, caller, &query, named, Error::room_not_live).await?;
        let entry = view.room(&project, name).ok_or_else(Error::room_not_live)?;
        let sid = &entry.room.sid;
        let (egress, ingress) = {
            let state = view.snapshot.read();
            let egress = state
                .egress(&project)
                .filter(|egress| view.window.shows_egress() && egress.room_sid.as_ref() == Some(sid));
            let ingress = state.ingress(&project).filter(|ingress| ingress.room.as_deref() == Some(name));
            (egress.cloned().collect(), ingress.cloned().collect())
        };
        if view.snapshot.is_live() {
            // A user looks at this room, so it is compared with LiveKit more often.
            app.reconcile.watch(&project, name);
        }
        Ok(Found { view, entry, egress, ingress })
    }

    fn livekit(&self, app: &App) -> Option<LiveKitNow> {
        self.view.snapshot.is_live().then(|| LiveKitNow::of(app, &self.entry.room.project))
    }

    /// Returns the visible participants in the order in which they joined.
    fn participants(&self) -> Vec<Arc<Participant>> {
        let mut all: Vec<_> =
            self.entry.participants().filter(|p| self.view.window.shows(p)).cloned().collect();
        all.sort_unstable_by(|a, b| (a.joined_at, &a.sid).cmp(&(b.joined_at, &b.sid)));
        all
    }
}

/// A room with the fields that only lists have.
struct Listed<'a> {
    entry: &'a RoomEntry,
    confirmed: Confirmed,
}

impl<'a> Listed<'a> {
    fn new(app: &App, found: &'a Found) -> Listed<'a> {
        let Found { view, entry, .. } = found;
        Listed { entry, confirmed: confirmed(app, &view.snapshot, &[entry]).pop().unwrap_or_default() }
    }
}

/// Returns how LiveKit confirms each room. It does not confirm an earlier moment.
fn confirmed(app: &App, snapshot: &Snapshot, rooms: &[&RoomEntry]) -> Vec<Confirmed> {
    if snapshot.is_live() {
        app.reconcile.confirmed(rooms.iter().map(|entry| &*entry.room))
    } else {
        vec![Confirmed::default(); rooms.len()]
    }
}

impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entry.room.listed(self.confirmed, serializer)
    }
}

/// A list of entities with all their fields.
pub struct All<'a, T>(pub &'a [Arc<T>]);

impl<T> Serialize for All<'_, T>
where
    for<'b> Wire<'b, T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for entity in self.0 {
            list.serialize_element(&Wire(&**entity, ALL))?;
        }
        list.end()
    }
}

fn rooms_json(
    app: &App,
    snapshot: &Snapshot,
    livekit: Vec<LiveKitNow>,
    rooms: &[Arc<RoomEntry>],
) -> Result<Vec<u8>, serde_json::Error> {
    struct Rooms<'a>(&'a [&'a RoomEntry], Vec<Confirmed>);
    impl Serialize for Rooms<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let each = self.0.iter().zip(&self.1);
            let listed = each.map(|(entry, confirmed)| Listed { entry, confirmed: *confirmed });
            serializer.collect_seq(listed)
        }
    }
    #[derive(Serialize)]
    struct Answer<'a> {
        #[serde(flatten)]
        moment: At,
        livekit: Vec<LiveKitNow>,
        rooms: Rooms<'a>,
    }
    // By project, name and sid. The first bytes of the name are compared first: they mostly differ, and then the room
    // itself is not read from memory.
    let mut sorted: Vec<(&str, u128, &RoomEntry)> =
        rooms.iter().map(|entry| (&*entry.room.project, beginning(&entry.room.name), &**entry)).collect();
    sorted.sort_unstable_by(|(project, begins, a), (other, begins_other, b)| {
        let begin = (project, begins).cmp(&(other, begins_other));
        begin.then_with(|| (&a.room.name, &a.room.sid).cmp(&(&b.room.name, &b.room.sid)))
    });
    let rooms: Vec<&RoomEntry> = sorted.into_iter().map(|(_, _, entry)| entry).collect();
    let confirmed = confirmed(app, snapshot, &rooms);
    let mut json = Vec::with_capacity(64 + rooms.len() * ROOM_BYTES);
    let answer = Answer { moment: At::of(snapshot), livekit, rooms: Rooms(&rooms, confirmed) };
    serde_json::to_writer(&mut json, &answer)?;
    Ok(json)
}

/// Returns the first bytes of a name as a number with the same order.
fn beginning(name: &str) -> u128 {
    let mut bytes = [0; 16];
    let length = name.len().min(bytes.len());
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    u128::from_be_bytes(bytes)
}

/// Returns an answer that must not be cached.
pub fn answer(json: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, json).into_response()
}
