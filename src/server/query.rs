//! The query string of a request that reads: known parameters only, each within its bounds.

use crate::{
    feed::filter::{FILTER_VALUE_BYTES_MAX, FILTER_VALUES_MAX},
    server::error::Error,
};

/// The parameters of one request.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query. What is not in `known` is an error: a misspelled filter would silently show everything.
    pub fn parse(query: Option<&str>, known: &[&str]) -> Result<Query, Error> {
        let mut pairs = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            // Read by the caller's extractor.
            if name == "access_token" {
                continue;
            }
            if !known.contains(&&*name) {
                return Err(Error::bad_request(
                    "unknown_parameter",
                    format!("there is no parameter {name:?}"),
                ));
            }
            if value.len() > FILTER_VALUE_BYTES_MAX || pairs.len() >= FILTER_VALUES_MAX {
                let message =
                    format!("at most {FILTER_VALUES_MAX} parameters, each of {FILTER_VALUE_BYTES_MAX} bytes");
                return Err(Error::bad_request("filter_too_large", message));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Query(pairs))
    }

    /// Every value of a parameter that may be repeated.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// The value of a parameter that may stand once. An empty one is none.
    pub fn one(&self, name: &str) -> Result<Option<String>, Error> {
        let mut values = self.all(name);
        if values.len() > 1 {
            return Err(Error::bad_request("duplicate_parameter", format!("{name} stands twice")));
        }
        Ok(values.pop().filter(|value| !value.is_empty()))
    }

    /// A time or a span in milliseconds.
    pub fn millis(&self, name: &str) -> Result<Option<i64>, Error> {
        self.number(name, 0, 253_402_300_800_000, "bad_time", "unix milliseconds")
    }

    pub fn limit(&self, otherwise: usize, max: usize) -> Result<usize, Error> {
        let limit = self.number("limit", 1, max as i64, "bad_limit", &format!("1 to {max}"))?;
        Ok(limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(otherwise))
    }

    fn number(
        &self,
        name: &str,
        min: i64,
        max: i64,
        code: &'static str,
        what: &str,
    ) -> Result<Option<i64>, Error> {
        let Some(value) = self.one(name)? else { return Ok(None) };
        let number = value.parse().ok().filter(|number| (min..=max).contains(number));
        number.map(Some).ok_or_else(|| Error::bad_request(code, format!("{name} is {what}")))
    }
}
