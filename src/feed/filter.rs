//! The filter of a reader: its area, and the event types that it asks for.

use std::collections::BTreeSet;

use crate::{
    event::Event,
    rights::{Area, Window},
};

use super::{Frame, View};

/// The projects, rooms and event types that a reader gets. Readers with equal filters share one group.
///
/// An event matches if each parameter has a value that matches it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    area: Area,
    types: Option<BTreeSet<Box<str>>>,
}

impl Filter {
    /// Returns the filter for these types in the area of the window. An empty list means every type.
    ///
    /// The session of the window is not part of the filter: a `roomJoin` reader continues into the next session, and
    /// `State` decides for each event whether it belongs to the newest one.
    pub fn new(window: &Window, types: &[String]) -> Filter {
        let types = (!types.is_empty()).then(|| types.iter().map(|t| t.as_str().into()).collect());
        Filter { area: window.area().clone(), types }
    }

    /// Returns the projects and rooms of the filter.
    pub fn area(&self) -> &Area {
        &self.area
    }

    /// Returns the part of a frame that this reader gets. With a `type` filter the changes are left out: only some of
    /// them do not add up to a state.
    pub fn view(&self) -> View {
        match (&self.types, self.area.hides_restricted()) {
            (Some(_), _) => View::WithoutChanges,
            (None, true) => View::Joined,
            (None, false) => View::Whole,
        }
    }

    /// Returns true if this reader gets the frame.
    pub fn matches(&self, frame: &Frame) -> bool {
        let shown = match self.area.hides_restricted() {
            false => true,
            // A restricted event is reduced to its changes, which a `type` filter leaves out.
            true => !frame.restricted || (frame.joined() && self.types.is_none()),
        };
        shown && self.admits(&frame.project, frame.room.as_deref(), &frame.kind)
    }

    /// As [`Filter::matches`], for an event of which it is not known yet whether it is restricted.
    pub fn admits_event(&self, event: &Event) -> bool {
        self.admits(&event.project, event.room.as_deref(), event.kind.wire())
    }

    fn admits(&self, project: &str, room: Option<&str>, kind: &str) -> bool {
        self.area.has(project, room)
            && self.types.as_ref().is_none_or(|types| types.iter().any(|pattern| wildcard(pattern, kind)))
    }
}

/// Matches a pattern in which `*` stands for any characters. Clients choose the patterns, so the time is at most the
/// product of both lengths, and there is no recursion.
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
    fn a_star_matches_any_characters() {
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
