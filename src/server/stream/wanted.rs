//! The parameters of a stream or a page.

use crate::{
    feed::Filter,
    rights::Window,
    server::{
        App,
        caller::Caller,
        error::Error,
        query::{self, Query},
        stream::page::PAGE_EVENTS_MAX,
    },
};

/// The parameters of one request.
#[derive(Debug, Default)]
pub struct Wanted {
    pub rooms: Vec<String>,
    pub types: Vec<String>,
    /// Identities.
    pub participants: Vec<String>,
    pub projects: Vec<String>,
    pub after: Option<String>,
    /// The id of the last message, from a polyfill of `EventSource`, which cannot send the header.
    pub last_event_id: Option<String>,
    pub before: Option<String>,
    pub limit: Option<usize>,
}

impl Wanted {
    /// Reads the query.
    pub fn parse(query: Option<&str>) -> Result<Wanted, Error> {
        let known = ["room", "type", "participant", "project", "after", "lastEventId", "before", "limit"];
        let query = Query::parse(query, &known)?;
        Ok(Wanted {
            rooms: query.all("room"),
            types: query.all("type"),
            participants: query.all("participant"),
            projects: query.all("project"),
            after: query.one("after")?,
            last_event_id: query.one("lastEventId")?,
            before: query.one("before")?,
            limit: query.limit(PAGE_EVENTS_MAX)?,
        })
    }

    /// Checks the limits of the filter, for a transport without a query.
    pub fn check(&self) -> Result<(), Error> {
        for (name, values) in [
            ("room", &self.rooms),
            ("type", &self.types),
            ("participant", &self.participants),
            ("project", &self.projects),
        ] {
            query::within(name, values.len(), values.iter().map(String::as_str))?;
        }
        Ok(())
    }

    /// Returns the part of the request's projects and rooms that the caller may see.
    pub fn window(&self, app: &App, caller: &Caller) -> Result<Window, Error> {
        caller.window(app, &self.projects, &self.rooms)
    }

    /// Returns the filter of the request in its window.
    pub fn filter(&self, window: &Window) -> Filter {
        Filter::new(window, &self.types, &self.participants)
    }
}
