//! `GET /api/rooms` and what is under it: the rooms as they are now, from the state alone.
//!
//! The cursor of an answer is the head of the stream before the state was read. What the state already has beyond
//! it comes again on the stream, where it changes nothing: so list-then-watch misses nothing.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State as AppState},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer, ser::SerializeSeq};

use crate::{
    event::Cursor,
    rights::Window,
    server::{
        App,
        caller::Caller,
        error::{Error, ErrorBody},
        path::{Names, RoomPath, names},
        query::{ProjectQuery, ProjectsQuery, Query},
    },
    state::{
        Egress, Ingress, Participant, RoomEntry, Wire,
        schema::{EgressSchema, IngressSchema, ParticipantSchema, RoomSchema},
        wire::ALL,
    },
};

/// From so many rooms on, an answer is written on a thread that may block: it takes milliseconds.
const ROOMS_INLINE_MAX: usize = 500;
/// About what one room takes in a list.
const ROOM_BYTES: usize = 512;

/// The live rooms.
#[derive(utoipa::ToSchema)]
#[schema(as = Rooms)]
pub struct RoomsSchema {
    /// Go on here: `/api/events?after=`.
    pub cursor: String,
    pub rooms: Vec<RoomSchema>,
}

/// A live room and everything in it.
#[derive(utoipa::ToSchema)]
#[schema(as = RoomNow)]
pub struct RoomNowSchema {
    pub cursor: String,
    pub room: RoomSchema,
    pub participants: Vec<ParticipantSchema>,
    /// That has not ended.
    pub egress: Vec<EgressSchema>,
    pub ingress: Vec<IngressSchema>,
}

/// Who is in a live room.
#[derive(utoipa::ToSchema)]
#[schema(as = Participants, rename_all = "camelCase")]
pub struct ParticipantsSchema {
    pub cursor: String,
    /// Of the newest live session, whose participants these are: there may be none.
    pub room_sid: String,
    pub participants: Vec<ParticipantSchema>,
}

/// Every live room the caller may see.
#[utoipa::path(
    get,
    path = "/api/rooms",
    tag = "rooms",
    params(
        ("room" = Option<Vec<String>>, Query, description = "Only rooms with these names; may be repeated"),
        ProjectsQuery,
    ),
    responses(
        (status = 200, description = "The live rooms", body = RoomsSchema),
        (status = 400, description = "A parameter that is unknown or out of bounds", body = ErrorBody),
        (status = 401, description = "Nobody is signed in", body = ErrorBody),
        (status = 403, description = "None of it is within the caller's rights", body = ErrorBody),
    )
)]
pub async fn rooms(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(query.as_deref(), &["room", "project"])?;
    let (projects, names) = (query.all("project"), query.all("room"));
    let cursor = app.feed.head();
    let rooms = {
        let state = app.state.read();
        let window = Window::resolve(&caller.sight, &projects, &names, &state, cursor.seq)
            .map_err(|_| Error::forbidden())?;
        window.rooms(&state)
    };
    let inline = rooms.len() <= ROOMS_INLINE_MAX;
    let write = move || rooms_json(&app, cursor, rooms);
    let json =
        if inline { write() } else { tokio::task::spawn_blocking(write).await.map_err(Error::internal)? };
    Ok(answer(json.map_err(Error::internal)?))
}

/// The newest live session of a room, and everything in it.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}",
    tag = "rooms",
    params(RoomPath, ProjectQuery),
    responses(
        (status = 200, description = "The room as it is now", body = RoomNowSchema),
        (status = 400, description = "`project_required`, or a parameter that is unknown", body = ErrorBody),
        (status = 401, description = "Nobody is signed in", body = ErrorBody),
        (status = 404, description = "`room_not_live`; a room out of sight answers alike", body = ErrorBody),
    )
)]
pub async fn room(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<RoomPath>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let RoomPath { room: name } = names(path)?;
    let now = Now::find(&app, &caller, &name, query.as_deref())?;
    #[derive(Serialize)]
    struct RoomNow<'a> {
        cursor: Cursor,
        room: Listed<'a>,
        participants: All<'a, Participant>,
        egress: All<'a, Egress>,
        ingress: All<'a, Ingress>,
    }
    let json = serde_json::to_vec(&RoomNow {
        cursor: now.cursor,
        room: Listed::new(&app, &now.entry),
        participants: All(&now.participants()),
        egress: All(&now.egress),
        ingress: All(&now.ingress),
    });
    Ok(answer(json.map_err(Error::internal)?))
}

/// Who is in the newest live session of a room, with their tracks.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/participants",
    tag = "rooms",
    params(RoomPath, ProjectQuery),
    responses(
        (status = 200, description = "Who is there now", body = ParticipantsSchema),
        (status = 400, description = "`project_required`, or a parameter that is unknown", body = ErrorBody),
        (status = 401, description = "Nobody is signed in", body = ErrorBody),
        (status = 404, description = "`room_not_live`; a room out of sight answers alike", body = ErrorBody),
    )
)]
pub async fn participants(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<RoomPath>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let RoomPath { room: name } = names(path)?;
    let now = Now::find(&app, &caller, &name, query.as_deref())?;
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Participants<'a> {
        cursor: Cursor,
        room_sid: &'a str,
        participants: All<'a, Participant>,
    }
    let json = serde_json::to_vec(&Participants {
        cursor: now.cursor,
        room_sid: &now.entry.room.sid,
        participants: All(&now.participants()),
    });
    Ok(answer(json.map_err(Error::internal)?))
}

/// One room at one moment, as far as the caller may see it.
struct Now {
    cursor: Cursor,
    entry: Arc<RoomEntry>,
    egress: Vec<Arc<Egress>>,
    ingress: Vec<Arc<Ingress>>,
    window: Window,
}

impl Now {
    fn find(app: &App, caller: &Caller, name: &str, query: Option<&str>) -> Result<Now, Error> {
        let ProjectQuery { project } = ProjectQuery::parse(query)?;
        let project = caller.project(app, project.as_deref())?;
        let cursor = app.feed.head();
        let state = app.state.read();
        let window = Window::resolve(&caller.sight, &[&*project], &[name], &state, cursor.seq)
            .map_err(|_| Error::room_not_live())?;
        let entry = window.room(&state, &project, name).cloned().ok_or_else(Error::room_not_live)?;
        let sid = &entry.room.sid;
        let egress = state
            .egress(&project)
            .filter(|egress| window.shows_egress() && egress.room_sid.as_ref() == Some(sid));
        let ingress = state.ingress(&project).filter(|ingress| ingress.room.as_deref() == Some(name));
        let (egress, ingress) = (egress.cloned().collect(), ingress.cloned().collect());
        drop(state);
        // Somebody looks at it: it is compared with LiveKit more often.
        app.reconcile.watch(&project, name);
        Ok(Now { cursor, entry, egress, ingress, window })
    }

    /// Who joined first comes first.
    fn participants(&self) -> Vec<Arc<Participant>> {
        let mut all: Vec<_> = self.entry.participants().filter(|p| self.window.shows(p)).cloned().collect();
        all.sort_unstable_by(|a, b| (a.joined_at, &a.sid).cmp(&(b.joined_at, &b.sid)));
        all
    }
}

/// A room with what a list adds to it.
struct Listed<'a> {
    entry: &'a RoomEntry,
    checked_at: Option<u64>,
}

impl<'a> Listed<'a> {
    fn new(app: &App, entry: &'a RoomEntry) -> Listed<'a> {
        let sid = (&*entry.room.project, &*entry.room.sid);
        Listed { entry, checked_at: app.reconcile.checked_at([sid]).pop().flatten() }
    }
}

impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entry.room.listed(self.checked_at, serializer)
    }
}

/// A list of entities, each whole.
struct All<'a, T>(&'a [Arc<T>]);

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

fn rooms_json(app: &App, cursor: Cursor, rooms: Vec<Arc<RoomEntry>>) -> Result<Vec<u8>, serde_json::Error> {
    struct Rooms<'a>(&'a [(&'a str, u128, &'a RoomEntry)], Vec<Option<u64>>);
    impl Serialize for Rooms<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let each = self.0.iter().zip(&self.1);
            let listed = each.map(|((_, _, entry), checked_at)| Listed { entry, checked_at: *checked_at });
            serializer.collect_seq(listed)
        }
    }
    #[derive(Serialize)]
    struct Answer<'a> {
        cursor: Cursor,
        rooms: Rooms<'a>,
    }
    // By project, name and sid. Most rooms differ in how their names begin, and are not fetched to be compared.
    let mut rooms: Vec<(&str, u128, &RoomEntry)> =
        rooms.iter().map(|entry| (&*entry.room.project, beginning(&entry.room.name), &**entry)).collect();
    rooms.sort_unstable_by(|(project, begins, a), (other, begins_other, b)| {
        let begin = (project, begins).cmp(&(other, begins_other));
        begin.then_with(|| (&a.room.name, &a.room.sid).cmp(&(&b.room.name, &b.room.sid)))
    });
    let checked_at =
        app.reconcile.checked_at(rooms.iter().map(|(project, _, entry)| (*project, &*entry.room.sid)));
    let mut json = Vec::with_capacity(64 + rooms.len() * ROOM_BYTES);
    serde_json::to_writer(&mut json, &Answer { cursor, rooms: Rooms(&rooms, checked_at) })?;
    Ok(json)
}

/// The first bytes of a name as a number that orders as they do.
fn beginning(name: &str) -> u128 {
    let mut bytes = [0; 16];
    let length = name.len().min(bytes.len());
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    u128::from_be_bytes(bytes)
}

/// JSON that is true for a moment.
fn answer(json: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, json).into_response()
}
