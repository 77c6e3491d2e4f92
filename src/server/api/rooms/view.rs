//! The state of one moment as one request may see it.
//!
//! The rights are those of now, whatever the moment is. A `roomJoin` caller sees the present session, without
//! participants who were hidden then or are hidden now.

use std::{collections::HashSet, sync::Arc};

use axum::http::StatusCode;
use utoipa::IntoParams;

use crate::{
    derived::DerivedError,
    rights::Window,
    server::{App, CURSOR_MAX, caller::Caller, error::Error, query::Query, turns::Turn},
    snapshot::{Moment, Snapshot, SnapshotError},
    state::{Participant, RoomEntry},
};

/// `Retry-After` of a refused request for an earlier state, in seconds.
const RETRY_SECS: u32 = 1;

/// The parameter of a request for an earlier state.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it is for the OpenAPI document; `View::of` reads the value")]
pub struct MomentQuery {
    /// Moment of the state: a cursor, or unix milliseconds for the state after the last event received by that time
    at: Option<String>,
}

/// A snapshot, and the window of the request.
pub struct View {
    pub snapshot: Snapshot,
    pub window: Window,
    hidden_now: Hidden,
    /// Held until the answer is written.
    _turn: Turn,
}

/// Participants of the present session that a `roomJoin` caller may not see now, even if it could see them then.
#[derive(Default)]
struct Hidden {
    /// Sids that are restricted by their last known state.
    sids: HashSet<String>,
    /// Identities that are in the room now and restricted.
    identities: HashSet<Box<str>>,
}

impl View {
    /// Reads `at` from the query. An empty list of projects or rooms means all of them. `out_of_sight` is the error if
    /// none of them is within the caller's rights.
    pub async fn of<T: AsRef<str>>(
        app: &App,
        caller: &Caller,
        query: &Query,
        (projects, rooms): (&[T], &[T]),
        out_of_sight: fn() -> Error,
    ) -> Result<View, Error> {
        let moment = query.one("at")?.map(|at| at.parse::<Moment>()).transpose().map_err(|_| {
            Error::bad_request("bad_time", "at must be a time in unix milliseconds, or a cursor")
        })?;
        if let Some(Moment::Cursor(cursor)) = moment {
            app.reach(&cursor.to_string(), CURSOR_MAX).await?;
        }
        let turn = app.turns.take(caller).await?;
        // The snapshot takes its cursor before the state is read.
        let now = app.snapshots.now();
        let window = Window::resolve(&caller.sight, projects, rooms, &now.read(), now.cursor.seq)
            .map_err(|_| out_of_sight())?;
        let Some(moment) = moment else {
            return Ok(View { snapshot: now, window, hidden_now: Hidden::default(), _turn: turn });
        };
        // A caller of a room that is not live sees nothing before the present. The present has a cursor.
        let earliest = window.earliest().map(|earliest| earliest.min(now.cursor.seq));
        let snapshot = app.snapshots.at(moment, earliest).await.map_err(failed)?;
        let hidden_now = Hidden::of(app, &window).await?;
        Ok(View { snapshot, window, hidden_now, _turn: turn })
    }

    /// Returns the visible live sessions, in no order.
    pub fn rooms(&self) -> Vec<Arc<RoomEntry>> {
        let rooms = self.window.rooms(&self.snapshot.read());
        rooms.into_iter().map(|entry| self.without_hidden(entry)).collect()
    }

    /// Returns the newest visible live session of a room.
    pub fn room(&self, project: &str, name: &str) -> Option<Arc<RoomEntry>> {
        let entry = self.window.room(&self.snapshot.read(), project, name).cloned()?;
        Some(self.without_hidden(entry))
    }

    /// Removes participants who were visible then and are hidden now, from the list and from the counts.
    fn without_hidden(&self, entry: Arc<RoomEntry>) -> Arc<RoomEntry> {
        let hides = |p: &Participant| self.window.shows(p) && self.hidden_now.has(p);
        if entry.participants().any(|p| hides(p)) { Arc::new(entry.without(hides)) } else { entry }
    }
}

impl Hidden {
    async fn of(app: &App, window: &Window) -> Result<Hidden, Error> {
        let project = window.area().projects().and_then(|projects| projects.first());
        let (Some(project), Some(Some(sid))) = (project, window.session()) else {
            return Ok(Hidden::default());
        };
        let sids = app.derived.restricted(project, sid).await.map_err(Error::internal)?;
        let state = app.state.read();
        let present = state.room(project, sid).into_iter().flat_map(|entry| entry.participants());
        let identities = present.filter(|p| !window.shows(p)).map(|p| p.identity.clone()).collect();
        Ok(Hidden { sids, identities })
    }

    fn has(&self, participant: &Participant) -> bool {
        self.sids.contains(&*participant.sid) || self.identities.contains(&participant.identity)
    }
}

fn failed(error: SnapshotError) -> Error {
    match error {
        SnapshotError::Expired => Error::new(
            StatusCode::GONE,
            "expired",
            "the state of this moment is not kept, or you may not see it",
        ),
        SnapshotError::UnknownEpoch => {
            Error::new(StatusCode::GONE, "unknown_epoch", "the cursor belongs to another log; give a time")
        }
        SnapshotError::Ahead => Error::bad_request("ahead", "the cursor is ahead of the log"),
        SnapshotError::Busy | SnapshotError::Derived(DerivedError::Busy) => Error::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "too many requests for earlier states are waiting; try again",
        )
        .retry_after(RETRY_SECS),
        error => Error::internal(error),
    }
}
