//! The filter of a reader: its area, and the event types that it asks for.

use std::sync::Arc;

use crate::{
    event::Event,
    rights::{Area, Window},
};

use super::{Frame, View, types::Types};

/// The projects, rooms and event types that a reader gets. Readers with equal filters share one group.
///
/// An event matches if each parameter has a value that matches it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    area: Area,
    types: Option<Arc<Types>>,
}

impl Filter {
    /// Returns the filter for these types in the area of the window. An empty list means every type.
    ///
    /// The session of the window is not part of the filter: a `roomJoin` reader continues into the next session, and
    /// `State` decides for each event whether it belongs to the newest one.
    pub fn new(window: &Window, types: &[String]) -> Filter {
        let types = (!types.is_empty()).then(|| Arc::new(Types::new(types)));
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
        let types = |types: &Arc<Types>| types.matches(frame.known_kind, &frame.kind);
        shown && self.area.has(&frame.project, frame.room.as_deref()) && self.types.as_ref().is_none_or(types)
    }

    /// As [`Filter::matches`], for an event of which it is not known yet whether it is restricted.
    pub fn admits_event(&self, event: &Event) -> bool {
        let types = |types: &Arc<Types>| types.matches(event.kind.known(), event.kind.wire());
        self.area.has(&event.project, event.room.as_deref()) && self.types.as_ref().is_none_or(types)
    }
}
