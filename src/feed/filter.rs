//! The filter of a reader: its area, and the event types and participants that it asks for.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use crate::{
    event::Event,
    rights::{Area, Window},
};

use super::{Frame, View, types::Types};

/// The projects, rooms, event types and participants that a reader gets. Readers with equal filters share one group.
///
/// An event matches if each parameter has a value that matches it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    area: Area,
    types: Option<Arc<Types>>,
    /// Identities of participants. An event without a participant does not match.
    participants: Option<Arc<BTreeSet<Box<str>>>>,
}

impl Filter {
    /// Returns the filter for these types and participants in the area of the window. An empty list means all of them.
    ///
    /// The session of the window is not part of the filter: a `roomJoin` reader continues into the next session, and
    /// `State` decides for each event whether it belongs to the newest one.
    pub fn new(window: &Window, types: &[String], participants: &[String]) -> Filter {
        let types = (!types.is_empty()).then(|| Arc::new(Types::new(types)));
        let identities = || Arc::new(participants.iter().map(|identity| identity.as_str().into()).collect());
        let participants = (!participants.is_empty()).then(identities);
        Filter { area: window.area().clone(), types, participants }
    }

    /// Returns the projects and rooms of the filter.
    pub fn area(&self) -> &Area {
        &self.area
    }

    /// Returns true if the reader gets only some of the events of its rooms. Their changes do not add up to a state, so they
    /// are left out.
    fn is_partial(&self) -> bool {
        self.types.is_some() || self.participants.is_some()
    }

    /// Returns the part of a frame that this reader gets.
    pub fn view(&self) -> View {
        match (self.is_partial(), self.area.hides_restricted()) {
            (true, _) => View::WithoutChanges,
            (false, true) => View::Joined,
            (false, false) => View::Whole,
        }
    }

    /// Returns true if this reader gets the frame.
    pub fn matches(&self, frame: &Frame) -> bool {
        let shown = match self.area.hides_restricted() {
            false => true,
            // A restricted event is reduced to its changes, which a partial reader does not get.
            true => !frame.restricted || (frame.joined() && !self.is_partial()),
        };
        shown
            && self.area.has(&frame.project, frame.room.as_deref())
            && self.asks_for(frame.known_kind, &frame.kind, || frame.participant().map(Cow::Borrowed))
    }

    /// As [`Filter::matches`], for an event of which it is not known yet whether it is restricted.
    pub fn admits_event(&self, event: &Event) -> bool {
        self.area.has(&event.project, event.room.as_deref())
            && self.asks_for(event.kind.known(), event.kind.wire(), || event.participant())
    }

    /// Returns true if the reader asks for this type and participant. The participant is read only if a filter needs it.
    fn asks_for<'a>(
        &self,
        known: Option<usize>,
        wire: &str,
        participant: impl FnOnce() -> Option<Cow<'a, str>>,
    ) -> bool {
        self.types.as_ref().is_none_or(|types| types.matches(known, wire))
            && self
                .participants
                .as_ref()
                .is_none_or(|wanted| participant().is_some_and(|identity| wanted.contains(&*identity)))
    }
}
