//! What a reader asked for, cut by what it is allowed to see.

use std::{collections::BTreeSet, sync::Arc};

use crate::event::Event;

use super::{Frame, View};

/// The most values one parameter of a filter may have. Each costs a comparison an event.
pub const FILTER_VALUES_MAX: usize = 100;
/// The longest value of a filter, in bytes. LiveKit's own limit of a room name is 256 characters.
pub const FILTER_VALUE_BYTES_MAX: usize = 2_048;

/// What a caller is allowed to see. The widest grant decides; they are never added up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sight {
    /// Every project: an operator.
    All,
    /// Every room of one project, past and present, and what belongs to no room: `roomList`.
    Project(Arc<str>),
    /// One room, past and present: `roomAdmin`.
    Room { project: Arc<str>, room: Arc<str> },
    /// What joining that room would show: `roomJoin`.
    Joined { project: Arc<str>, room: Arc<str> },
    /// Nothing at all.
    Nothing,
}

impl Sight {
    /// May this caller see anything of `project`?
    pub fn project(&self, project: &str) -> bool {
        match self {
            Sight::All => true,
            Sight::Project(own) => **own == *project,
            Sight::Room { project: own, .. } | Sight::Joined { project: own, .. } => **own == *project,
            Sight::Nothing => false,
        }
    }

    /// May this caller see anything of the room (or, with `None`, of what belongs to no room)?
    pub fn room(&self, project: &str, room: Option<&str>) -> bool {
        match self {
            Sight::All => true,
            Sight::Project(own) => **own == *project,
            Sight::Room { project: own, room: name } | Sight::Joined { project: own, room: name } => {
                **own == *project && room == Some(&**name)
            }
            Sight::Nothing => false,
        }
    }

    /// Sees only the present session, without hidden participants and egress.
    pub fn joined_only(&self) -> bool {
        matches!(self, Sight::Joined { .. })
    }
}

/// Which projects, rooms and event types a reader gets: the request and the rights, intersected.
///
/// Values of one parameter are alternatives, parameters are conditions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    sight: Sight,
    projects: Option<BTreeSet<Arc<str>>>,
    rooms: Option<BTreeSet<Arc<str>>>,
    types: Option<BTreeSet<Box<str>>>,
}

/// Nothing is left of the request within the caller's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NothingLeft;

impl Filter {
    /// Everything the caller may see.
    pub fn all(sight: Sight) -> Filter {
        Filter { sight, projects: None, rooms: None, types: None }
    }

    /// The one cut between what is asked and what is allowed, for every transport, live or replayed.
    /// An empty list asks for everything.
    pub fn cut(
        sight: Sight,
        projects: &[String],
        rooms: &[String],
        types: &[String],
    ) -> Result<Filter, NothingLeft> {
        let set = |values: &[String]| -> Option<BTreeSet<Arc<str>>> {
            (!values.is_empty()).then(|| values.iter().map(|value| value.as_str().into()).collect())
        };
        let mut filter = Filter {
            sight,
            projects: set(projects),
            rooms: set(rooms),
            types: (!types.is_empty()).then(|| types.iter().map(|t| t.as_str().into()).collect()),
        };
        match &filter.sight {
            Sight::Nothing => return Err(NothingLeft),
            Sight::All => {}
            Sight::Project(own) => filter.keep_project(own.clone())?,
            Sight::Room { project, room } | Sight::Joined { project, room } => {
                let (project, room) = (project.clone(), room.clone());
                filter.keep_project(project)?;
                if filter.rooms.as_ref().is_some_and(|rooms| !rooms.contains(&room)) {
                    return Err(NothingLeft);
                }
                filter.rooms = Some(BTreeSet::from([room]));
            }
        }
        Ok(filter)
    }

    fn keep_project(&mut self, own: Arc<str>) -> Result<(), NothingLeft> {
        if self.projects.as_ref().is_some_and(|projects| !projects.contains(&own)) {
            return Err(NothingLeft);
        }
        self.projects = Some(BTreeSet::from([own]));
        Ok(())
    }

    /// The projects it is limited to, if it is.
    pub fn projects(&self) -> Option<&BTreeSet<Arc<str>>> {
        self.projects.as_ref()
    }

    /// The rooms it is limited to, if it is.
    pub fn rooms(&self) -> Option<&BTreeSet<Arc<str>>> {
        self.rooms.as_ref()
    }

    /// How this reader sees a frame. With a `type` filter the changes are left out: a part of them would be no state.
    pub fn view(&self) -> View {
        match (&self.types, self.sight.joined_only()) {
            (Some(_), _) => View::WithoutChanges,
            (None, true) => View::Joined,
            (None, false) => View::Whole,
        }
    }

    pub fn sight(&self) -> &Sight {
        &self.sight
    }

    /// Does this reader get the frame?
    pub fn matches(&self, frame: &Frame) -> bool {
        let shown = match self.sight.joined_only() {
            false => true,
            // What is left of a restricted event are changes.
            true => !frame.restricted || (frame.joined() && self.types.is_none()),
        };
        shown && self.admits(&frame.project, frame.room.as_deref(), &frame.kind)
    }

    /// As [`Filter::matches`], before it is known whether the event is restricted.
    pub fn admits_event(&self, event: &Event) -> bool {
        self.admits(&event.project, event.room.as_deref(), event.kind.wire())
    }

    fn admits(&self, project: &str, room: Option<&str>, kind: &str) -> bool {
        self.admits_room(project, room)
            && self.types.as_ref().is_none_or(|types| types.iter().any(|pattern| wildcard(pattern, kind)))
    }

    /// Is an entity of this project and room within the filter, whatever its type?
    pub fn admits_room(&self, project: &str, room: Option<&str>) -> bool {
        self.sight.room(project, room)
            && self.projects.as_ref().is_none_or(|projects| projects.contains(project))
            && self.rooms.as_ref().is_none_or(|rooms| room.is_some_and(|room| rooms.contains(room)))
    }
}

/// Matches with `*` standing for any run, in time linear in the product of both lengths at worst
/// and without recursion: patterns come from strangers.
fn wildcard(pattern: &str, text: &str) -> bool {
    let (p, t) = (pattern.as_bytes(), text.as_bytes());
    let (mut i, mut j) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while j < t.len() {
        if i < p.len() && p[i] == b'*' {
            star = Some((i, j));
            i += 1;
        } else if i < p.len() && p[i] == t[j] {
            i += 1;
            j += 1;
        } else if let Some((at, from)) = star {
            i = at + 1;
            j = from + 1;
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    p[i..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, text, expected) in [
            ("track_*", "track_published", true),
            ("track_*", "track_", true),
            ("track_*", "room_started", false),
            ("*", "", true),
            ("*_*ed", "room_started", true),
            ("*started", "room_started", true),
            ("room*started*", "room_started", true),
            ("room", "room_started", false),
            ("", "x", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
        ] {
            assert_eq!(wildcard(pattern, text), expected, "{pattern} on {text}");
        }
    }

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|v| (*v).to_owned()).collect()
    }

    #[test]
    fn rights_and_request_are_intersected() {
        let room = Sight::Room { project: "p".into(), room: "a".into() };
        let cut = |rooms: &[&str], projects: &[&str]| {
            Filter::cut(room.clone(), &strings(projects), &strings(rooms), &[])
        };
        let filter = cut(&[], &[]).expect("own room");
        assert!(filter.admits_room("p", Some("a")));
        assert!(!filter.admits_room("p", Some("b")));
        assert!(!filter.admits_room("q", Some("a")));
        assert!(!filter.admits_room("p", None));
        assert_eq!(cut(&["b"], &[]), Err(NothingLeft));
        assert_eq!(cut(&["a"], &["q"]), Err(NothingLeft));
        assert_eq!(cut(&["b", "a"], &[]), cut(&["a"], &["p"]));
        assert_eq!(Filter::cut(Sight::Nothing, &[], &[], &[]), Err(NothingLeft));
    }
}
