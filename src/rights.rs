//! Rights: what a caller may see, and what one request of that caller may see.
//!
//! A [`Sight`] is what a grant or a role allows. [`Window::resolve`] cuts it with the projects and rooms that
//! a request names, once for each request. Every read path (stream, page, rooms, sessions, activity, search)
//! takes the [`Window`] and nothing else, so the rule for `roomJoin` is written here and nowhere else:
//!
//! - Only the newest live session of the room is visible, and nothing of it if the room is not live.
//! - Events are visible from the first event of that session ([`Window::earliest`]).
//! - Participants that joining the room would not show are hidden ([`Window::shows`]), and so is egress.
//!
//! The rights are those of now. A reader of an earlier state resolves its window against the present state,
//! and then asks it about the earlier one: a position before [`Window::earliest`] is gone, and a participant
//! is visible if the window shows it as it was then and as it is now.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    event::Seq,
    state::{Condition, Participant, RoomEntry, State},
    token::Grant,
};

/// The rights of a caller to see. The widest grant decides; grants are never added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Every project: an operator.
    All,
    /// Every room of one project, past and present, and events that belong to no room: `roomList`.
    Project(Arc<str>),
    /// One room, past and present: `roomAdmin`.
    Room { project: Arc<str>, room: Arc<str> },
    /// One room, as joining it would show it: `roomJoin`.
    Joined { project: Arc<str>, room: Arc<str> },
    /// Nothing at all.
    Nothing,
}

impl Sight {
    /// Returns the sight of a grant, in the project of the key that signed its token.
    pub fn granted(project: &Arc<str>, grant: &Grant) -> Sight {
        let (project, room): (_, Arc<str>) = (project.clone(), grant.room.as_str().into());
        if grant.room_list {
            Sight::Project(project)
        } else if grant.room_admin && !room.is_empty() {
            Sight::Room { project, room }
        } else if grant.room_join && !room.is_empty() {
            Sight::Joined { project, room }
        } else {
            Sight::Nothing
        }
    }

    /// Returns true if the caller sees the project as a whole: every room, and what belongs to no room.
    pub fn is_whole(&self, project: &str) -> bool {
        match self {
            Sight::All => true,
            Sight::Project(own) => **own == *project,
            Sight::Room { .. } | Sight::Joined { .. } | Sight::Nothing => false,
        }
    }

    /// Returns true if the caller sees anything of the room.
    pub fn has_room(&self, project: &str, room: &str) -> bool {
        match self {
            Sight::Room { project: own, room: name } | Sight::Joined { project: own, room: name } => {
                **own == *project && **name == *room
            }
            _ => self.is_whole(project),
        }
    }
}

/// Nothing of the request is within the rights of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfSight;

/// The view of one request: its projects and rooms within the rights of its caller.
#[derive(Clone, Debug)]
pub struct Window {
    area: Area,
    /// Set for `roomJoin`.
    joined: Option<Joined>,
}

/// The part of a window that stays the same when the next session of a room begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Area {
    projects: Option<BTreeSet<Arc<str>>>,
    rooms: Option<BTreeSet<Arc<str>>>,
    hides_restricted: bool,
}

/// The present session of the one room that a `roomJoin` caller sees.
#[derive(Clone, Debug)]
struct Joined {
    /// None if the room is not live.
    sid: Option<Arc<str>>,
    since: Seq,
}

impl Window {
    /// Everything, for the program itself.
    pub fn all() -> Window {
        Window { area: Area::default(), joined: None }
    }

    /// Cuts what a request names with what its caller may see. An empty list names everything.
    ///
    /// `now` is the present state, for the present session of the room. `head` is the head of the feed, read
    /// before `now`: if the room is not live, what follows the head is the first event the caller may see.
    pub fn resolve<T: AsRef<str>>(
        sight: &Sight,
        projects: &[T],
        rooms: &[T],
        now: &State,
        head: Seq,
    ) -> Result<Window, OutOfSight> {
        let set = |values: &[T]| -> Option<BTreeSet<Arc<str>>> {
            (!values.is_empty()).then(|| values.iter().map(|value| value.as_ref().into()).collect())
        };
        let (mut projects, mut rooms, mut joined) = (set(projects), set(rooms), None);
        match sight {
            Sight::All => {}
            Sight::Project(project) => keep(&mut projects, project)?,
            Sight::Room { project, room } => {
                keep(&mut projects, project)?;
                keep(&mut rooms, room)?;
            }
            Sight::Joined { project, room } => {
                keep(&mut projects, project)?;
                keep(&mut rooms, room)?;
                let present = now.newest(project, room);
                joined = Some(Joined {
                    sid: present.map(|entry| entry.room.sid.clone()),
                    since: present.map_or(head.next(), |entry| Seq(entry.room.first_seq)),
                });
            }
            Sight::Nothing => return Err(OutOfSight),
        }
        let area = Area { projects, rooms, hides_restricted: joined.is_some() };
        Ok(Window { area, joined })
    }

    /// The projects and rooms, and whether restricted events are hidden.
    pub fn area(&self) -> &Area {
        &self.area
    }

    /// The only visible session. None if every session is visible.
    ///
    /// The inner value is None if no session is visible: the room is not live.
    pub fn session(&self) -> Option<Option<&str>> {
        self.joined.as_ref().map(|joined| joined.sid.as_deref())
    }

    /// Returns true if no session is visible, past or present.
    pub fn has_no_session(&self) -> bool {
        self.session() == Some(None)
    }

    /// The first visible event. None if every event that is kept is visible.
    pub fn earliest(&self) -> Option<Seq> {
        self.joined.as_ref().map(|joined| joined.since)
    }

    /// The visible sessions that are live in `state`, in no order.
    pub fn rooms(&self, state: &State) -> Vec<Arc<RoomEntry>> {
        match &self.joined {
            None => state.rooms(|project, room| self.area.has(project, Some(room))),
            Some(joined) => {
                let projects = self.area.projects.iter().flatten();
                let sid = joined.sid.as_deref();
                projects.filter_map(|project| state.room(project, sid?)).cloned().collect()
            }
        }
    }

    /// The newest visible session of a room that is live in `state`.
    pub fn room<'a>(&self, state: &'a State, project: &str, name: &str) -> Option<&'a Arc<RoomEntry>> {
        if !self.area.has(project, Some(name)) {
            return None;
        }
        match self.session() {
            None => state.newest(project, name),
            // In an earlier state another session may be the newest, and have ended since.
            Some(sid) => state.room(project, sid?),
        }
    }

    /// The visible conditions that are open in `state`, in no order.
    pub fn conditions(&self, state: &State) -> Vec<Arc<Condition>> {
        let is_visible = |condition: &&Arc<Condition>| {
            !self.area.hides_restricted && self.area.has(&condition.project, condition.room.as_deref())
        };
        state.all_conditions().filter(is_visible).cloned().collect()
    }

    /// Returns true if the participant of a visible session is visible.
    pub fn shows(&self, participant: &Participant) -> bool {
        !(self.area.hides_restricted && participant.restricted())
    }

    /// Returns true if the egress of a visible session is visible. Without it, the room still says that it is
    /// being recorded, as LiveKit's own clients do.
    pub fn shows_egress(&self) -> bool {
        !self.area.hides_restricted
    }
}

fn keep(asked: &mut Option<BTreeSet<Arc<str>>>, own: &Arc<str>) -> Result<(), OutOfSight> {
    if asked.as_ref().is_some_and(|asked| !asked.contains(own)) {
        return Err(OutOfSight);
    }
    *asked = Some(BTreeSet::from([own.clone()]));
    Ok(())
}

impl Area {
    /// The only visible projects. None if every project is visible.
    pub fn projects(&self) -> Option<&BTreeSet<Arc<str>>> {
        self.projects.as_ref()
    }

    /// The only visible rooms. None if every room is visible, and events that belong to no room.
    pub fn rooms(&self) -> Option<&BTreeSet<Arc<str>>> {
        self.rooms.as_ref()
    }

    /// Returns true if restricted participants and events, and egress, are hidden.
    pub fn hides_restricted(&self) -> bool {
        self.hides_restricted
    }

    /// Returns true if the room (or, with `None`, what belongs to no room) is in the area.
    pub fn has(&self, project: &str, room: Option<&str>) -> bool {
        self.projects.as_ref().is_none_or(|projects| projects.contains(project))
            && self.rooms.as_ref().is_none_or(|rooms| room.is_some_and(|room| rooms.contains(room)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        Event, Kind, Source,
        body::{Body, Redaction},
    };

    const HEAD: Seq = Seq(3);

    /// Rooms `a` and `b` of project `p` are live: `a` with session `RM_a` since seq 1, `b` with `RM_b` since 3.
    fn state() -> State {
        let mut state = State::default();
        for (seq, body) in [
            (
                1,
                r#"{"event":"room_started","room":{"sid":"RM_a","name":"a"},"id":"1","createdAt":"1787486401"}"#,
            ),
            (
                2,
                r#"{"event":"participant_joined","room":{"sid":"RM_a","name":"a"},"participant":{"sid":"PA_h","identity":"h","state":"ACTIVE","permission":{"hidden":true}},"id":"2","createdAt":"1787486402"}"#,
            ),
            (
                3,
                r#"{"event":"room_started","room":{"sid":"RM_b","name":"b"},"id":"3","createdAt":"1787486403"}"#,
            ),
        ] {
            state.apply(&event(seq, body));
        }
        state
    }

    fn project() -> Sight {
        Sight::Project("p".into())
    }

    fn admin(room: &str) -> Sight {
        Sight::Room { project: "p".into(), room: room.into() }
    }

    fn joined(room: &str) -> Sight {
        Sight::Joined { project: "p".into(), room: room.into() }
    }

    /// The live sessions that are visible, the first visible event, and whether hidden participants are.
    fn seen(sight: &Sight, projects: &[&str], rooms: &[&str]) -> String {
        let state = state();
        let Ok(window) = Window::resolve(sight, projects, rooms, &state, HEAD) else {
            return "out of sight".into();
        };
        let mut sids: Vec<_> = window.rooms(&state).iter().map(|entry| entry.room.sid.to_string()).collect();
        sids.sort();
        for name in ["a", "b"] {
            let listed = sids.contains(&format!("RM_{name}"));
            assert_eq!(window.room(&state, "p", name).is_some(), listed, "the list and the room agree");
        }
        let hidden =
            state.room("p", "RM_a").and_then(|entry| entry.participant("PA_h")).expect("it is there");
        assert_eq!(window.shows(hidden), window.shows_egress());
        let hides = if window.shows(hidden) { "all" } else { "hides" };
        let since = window.earliest().map_or("start".into(), |seq| seq.0.to_string());
        format!("{} from {since}, {hides}", sids.join(" "))
    }

    #[test]
    fn a_window_is_the_request_within_the_rights() {
        let table: &[(Sight, &[&str], &[&str], &str)] = &[
            (Sight::All, &[], &[], "RM_a RM_b from start, all"),
            (Sight::All, &["p"], &["b"], "RM_b from start, all"),
            (Sight::All, &["q"], &[], " from start, all"),
            (project(), &[], &[], "RM_a RM_b from start, all"),
            (project(), &["p", "q"], &["a"], "RM_a from start, all"),
            (project(), &["q"], &[], "out of sight"),
            (admin("a"), &[], &[], "RM_a from start, all"),
            (admin("a"), &["p"], &["b", "a"], "RM_a from start, all"),
            (admin("a"), &[], &["b"], "out of sight"),
            (admin("a"), &["q"], &["a"], "out of sight"),
            (admin("gone"), &[], &[], " from start, all"),
            (joined("a"), &[], &[], "RM_a from 1, hides"),
            (joined("b"), &["p"], &["b", "a"], "RM_b from 3, hides"),
            (joined("b"), &[], &["a"], "out of sight"),
            (joined("b"), &["q"], &[], "out of sight"),
            // Earlier events are gone; later ones are visible.
            (joined("gone"), &[], &[], " from 4, hides"),
            (Sight::Nothing, &[], &[], "out of sight"),
            (Sight::Nothing, &["p"], &["a"], "out of sight"),
        ];
        for (sight, projects, rooms, expected) in table {
            assert_eq!(seen(sight, projects, rooms), *expected, "{sight:?} asks {projects:?} {rooms:?}");
        }
    }

    #[test]
    fn a_joined_caller_sees_the_session_of_now_in_an_earlier_state() {
        let then = state();
        let mut now = then.clone();
        for (seq, body) in [
            (
                4,
                r#"{"event":"room_finished","room":{"sid":"RM_a","name":"a"},"id":"4","createdAt":"1787486404"}"#,
            ),
            (
                5,
                r#"{"event":"room_started","room":{"sid":"RM_a2","name":"a"},"id":"5","createdAt":"1787486405"}"#,
            ),
        ] {
            now.apply(&event(seq, body));
        }
        let window = Window::resolve::<&str>(&joined("a"), &[], &[], &now, Seq(5)).expect("in sight");
        assert_eq!((window.earliest(), window.session()), (Some(Seq(5)), Some(Some("RM_a2"))));
        assert!(window.rooms(&then).is_empty());
        assert!(window.room(&then, "p", "a").is_none());
        assert_eq!(window.rooms(&now).len(), 1);
        assert!(window.room(&now, "p", "a").is_some());
    }

    #[test]
    fn the_session_of_now_is_found_where_another_was_the_newest() {
        let mut then = state();
        then.apply(&event(
            4,
            r#"{"event":"room_started","room":{"sid":"RM_a2","name":"a","creationTime":"1787486404"},"id":"4","createdAt":"1787486404"}"#,
        ));
        let mut now = then.clone();
        now.apply(&event(
            5,
            r#"{"event":"room_finished","room":{"sid":"RM_a2","name":"a"},"id":"5","createdAt":"1787486405"}"#,
        ));
        assert_eq!(then.newest("p", "a").map(|entry| &*entry.room.sid), Some("RM_a2"));
        let window = Window::resolve::<&str>(&joined("a"), &[], &[], &now, Seq(5)).expect("in sight");
        assert_eq!(window.room(&then, "p", "a").map(|entry| &*entry.room.sid), Some("RM_a"));
        assert_eq!(window.rooms(&then).len(), 1);
    }

    #[test]
    fn what_belongs_to_no_room_is_for_those_who_see_every_room() {
        let state = state();
        let has = |sight: &Sight, rooms: &[&str]| {
            let window = Window::resolve(sight, &[], rooms, &state, HEAD).expect("in sight");
            window.area().has("p", None)
        };
        assert!(has(&Sight::All, &[]) && has(&project(), &[]));
        assert!(!has(&project(), &["a"]) && !has(&admin("a"), &[]) && !has(&joined("a"), &[]));
    }

    #[test]
    fn the_widest_grant_decides() {
        let room = || Grant { room: "a".into(), ..Grant::default() };
        for (grant, expected) in [
            (Grant { room_list: true, room_admin: true, room_join: true, ..room() }, project()),
            (Grant { room_admin: true, room_join: true, ..room() }, admin("a")),
            (Grant { room_join: true, ..room() }, joined("a")),
            (room(), Sight::Nothing),
            (Grant { room_create: true, ..room() }, Sight::Nothing),
            (Grant { room_admin: true, room_join: true, ..Grant::default() }, Sight::Nothing),
        ] {
            assert_eq!(Sight::granted(&"p".into(), &grant), expected, "{grant:?}");
        }
    }

    fn event(seq: u64, body: &str) -> Event {
        let body = Body::read(body.as_bytes(), &Redaction::default()).expect("an event");
        Event {
            seq: Seq(seq),
            project: "p".into(),
            source: Source::Webhook,
            received_at: 1_787_486_400_000 + seq,
            kind: Kind::from(&*body.event),
            room: body.room,
            room_sid: body.room_sid,
            body: body.json,
        }
    }
}
