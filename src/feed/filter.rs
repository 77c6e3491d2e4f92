//! The filter of a reader: its window, and the types it asks for.

use std::collections::BTreeSet;

use crate::{
    event::Event,
    rights::{Area, Window},
};

use super::{Frame, View};

/// Which projects, rooms and event types a reader gets. Readers with equal filters share one group.
///
/// Values of one parameter are alternatives, parameters are conditions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    area: Area,
    types: Option<BTreeSet<Box<str>>>,
}

impl Filter {
    /// Everything of these types in the window. An empty list is every type.
    ///
    /// The session of a window is not part of the filter: a `roomJoin` reader goes on into the next session, and
    /// `State` decides for each event whether it belongs to the newest one.
    pub fn new(window: &Window, types: &[String]) -> Filter {
        let types = (!types.is_empty()).then(|| types.iter().map(|t| t.as_str().into()).collect());
        Filter { area: window.area().clone(), types }
    }

    /// The projects and rooms it is limited to.
    pub fn area(&self) -> &Area {
        &self.area
    }

    /// How this reader sees a frame. With a `type` filter the changes are left out: a part of them would be no state.
    pub fn view(&self) -> View {
        match (&self.types, self.area.hides_restricted()) {
            (Some(_), _) => View::WithoutChanges,
            (None, true) => View::Joined,
            (None, false) => View::Whole,
        }
    }

    /// Does this reader get the frame?
    pub fn matches(&self, frame: &Frame) -> bool {
        let shown = match self.area.hides_restricted() {
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
        self.area.has(project, room)
            && self.types.as_ref().is_none_or(|types| types.iter().any(|pattern| wildcard(pattern, kind)))
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
}
