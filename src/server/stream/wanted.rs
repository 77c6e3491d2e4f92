//! The parameters of a stream or a page.

use crate::{
    feed::filter::{FILTER_VALUE_BYTES_MAX, FILTER_VALUES_MAX},
    rights::Window,
    server::{App, caller::Caller, error::Error, stream::page::PAGE_EVENTS_MAX},
};

/// What a reader asks for.
#[derive(Debug, Default)]
pub struct Wanted {
    pub rooms: Vec<String>,
    pub types: Vec<String>,
    pub projects: Vec<String>,
    pub after: Option<String>,
    pub before: Option<String>,
    pub limit: Option<usize>,
}

impl Wanted {
    /// Reads the query. What it does not know is an error: a misspelled filter would silently show
    /// everything.
    pub fn parse(query: &str) -> Result<Wanted, Error> {
        let mut wanted = Wanted::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "room" => wanted.rooms.push(value.into_owned()),
                "type" => wanted.types.push(value.into_owned()),
                "project" => wanted.projects.push(value.into_owned()),
                "after" => once(&mut wanted.after, "after", value.into_owned())?,
                "before" => once(&mut wanted.before, "before", value.into_owned())?,
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=PAGE_EVENTS_MAX).contains(limit));
                    let limit = limit.ok_or_else(|| Error::bad_request("bad_limit", "limit is 1 to 1000"))?;
                    once(&mut wanted.limit, "limit", limit)?;
                }
                // Read by the caller's extractor.
                "access_token" => {}
                other => {
                    return Err(Error::bad_request(
                        "unknown_parameter",
                        format!("there is no parameter {other:?}"),
                    ));
                }
            }
        }
        wanted.check()?;
        Ok(wanted)
    }

    /// Holds the filter to its limits, whichever transport it came by.
    pub fn check(&self) -> Result<(), Error> {
        for (name, values) in [("room", &self.rooms), ("type", &self.types), ("project", &self.projects)] {
            let long = values.iter().any(|value| value.len() > FILTER_VALUE_BYTES_MAX);
            if values.len() > FILTER_VALUES_MAX || long {
                return Err(Error::bad_request(
                    "filter_too_large",
                    format!(
                        "{name} takes at most {FILTER_VALUES_MAX} values of {FILTER_VALUE_BYTES_MAX} bytes"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// What the request may see.
    pub fn window(&self, app: &App, caller: &Caller) -> Result<Window, Error> {
        caller.window(app, &self.projects, &self.rooms)
    }
}

fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), Error> {
    if place.replace(value).is_some() {
        return Err(Error::bad_request("duplicate_parameter", format!("{name} stands twice")));
    }
    Ok(())
}
