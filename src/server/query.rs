//! The query string of a request: known parameters only, each within its bounds.

use utoipa::IntoParams;

use crate::server::error::Error;

/// Maximum number of values of one parameter. Each value of a filter costs a comparison an event.
pub const VALUES_MAX: usize = 100;
/// Maximum length of one value, in bytes. LiveKit's own limit of a room name is 256 characters.
pub const VALUE_BYTES_MAX: usize = 2_048;

/// The parameter of a token that cannot be sent in a header.
const ACCESS_TOKEN: &str = "access_token";

/// Parameters that client libraries add to every URL so that no cache answers. They mean nothing.
const CACHE_BUSTERS: &[&str] = &["_", "_t", "t", "ts", "cb", "nocache"];

/// The parameters of one request.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query. A parameter that is not in `known` is an error: a misspelled filter would silently show
    /// everything.
    pub fn parse(query: Option<&str>, known: &[&str]) -> Result<Query, Error> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            // The token is read by the caller's extractor.
            if name == ACCESS_TOKEN || CACHE_BUSTERS.contains(&&*name) {
                continue;
            }
            if !known.contains(&&*name) {
                return Err(Error::bad_request(
                    "unknown_parameter",
                    format!("there is no parameter {name:?}"),
                ));
            }
            let values = pairs.iter().filter(|(other, _)| *other == name).count() + 1;
            within(&name, values, [&*value])?;
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Query(pairs))
    }

    /// Every value of a parameter that may be repeated.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// The value of a parameter that may be given once. An empty value is none.
    pub fn one(&self, name: &str) -> Result<Option<String>, Error> {
        let value = once(name, self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value))?;
        Ok(value.filter(|value| !value.is_empty()).cloned())
    }

    /// One of the choices, by its name.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, Error> {
        self.one(name)?.map(|value| chosen(name, &value, choices)).transpose()
    }

    /// Any of the choices, for a parameter that may be repeated.
    pub fn choices<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<Vec<T>, Error> {
        let given = self.0.iter().filter(|(key, value)| key == name && !value.is_empty());
        given.map(|(_, value)| chosen(name, value, choices)).collect()
    }

    /// A time or a span in milliseconds.
    pub fn millis(&self, name: &str) -> Result<Option<i64>, Error> {
        self.number(name, 0, 253_402_300_800_000, "bad_time", "unix milliseconds")
    }

    /// `limit`: the length of a page, from 1 to `max`.
    pub fn limit(&self, max: usize) -> Result<Option<usize>, Error> {
        let limit = self.number("limit", 1, max as i64, "bad_limit", &format!("1 to {max}"))?;
        Ok(limit.and_then(|limit| usize::try_from(limit).ok()))
    }

    /// `before`: the `next` of an earlier page, as `read` understands it.
    pub fn before<T>(&self, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Error> {
        let Some(value) = self.one("before")? else { return Ok(None) };
        let place = read(&value);
        place
            .map(Some)
            .ok_or_else(|| Error::bad_request("bad_cursor", "before must be the `next` of an earlier page"))
    }

    /// A number from `min` to `max`.
    pub fn number(
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

/// Writes the position in a list that is ordered by numbers and then by texts. The position means the same on every node.
pub fn write_place<const N: usize, const T: usize>(numbers: [i64; N], texts: [&str; T]) -> String {
    let mut place = String::new();
    for number in numbers {
        place += &format!("{number:x}-");
    }
    // Texts may have any character, so all but the last have their length before them.
    for text in &texts[..T - 1] {
        place += &format!("{:x}-", text.len());
    }
    place + &texts.concat()
}

/// Reads what [`write_place`] wrote.
pub fn parse_place<const N: usize, const T: usize>(text: &str) -> Option<([i64; N], [String; T])> {
    let mut rest = text;
    let mut next = || {
        let (hex, after) = rest.split_once('-')?;
        rest = after;
        // The sign and capital letters would be a second way to write the same position.
        let is_hex = !hex.is_empty() && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(hex, 16).ok().filter(|_| is_hex)
    };
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = next()?.cast_signed();
    }
    let mut lengths = [0; T];
    for length in &mut lengths[..T - 1] {
        *length = usize::try_from(next()?).ok()?;
    }
    let mut texts = [const { String::new() }; T];
    for (text, length) in texts[..T - 1].iter_mut().zip(lengths) {
        *text = rest.get(..length)?.to_owned();
        rest = &rest[length..];
    }
    texts[T - 1] = rest.to_owned();
    Some((numbers, texts))
}

/// The query of a request about something in one project.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ProjectQuery {
    /// Needed where there are several
    pub project: Option<String>,
}

impl ProjectQuery {
    /// Reads a query that has this parameter and no other.
    pub fn parse(query: Option<&str>) -> Result<ProjectQuery, Error> {
        Ok(ProjectQuery { project: Query::parse(query, &["project"])?.one("project")? })
    }
}

/// The parameter of a request that may name several projects.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it is for the OpenAPI document; `Query::all` reads the values")]
pub struct ProjectsQuery {
    /// Only these projects; may be repeated
    project: Option<Vec<String>>,
}

/// The access token in a query, if there is one.
pub fn access_token(query: Option<&str>) -> Result<Option<String>, Error> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let values = pairs.filter(|(name, _)| name == ACCESS_TOKEN).map(|(_, value)| value);
    Ok(once(ACCESS_TOKEN, values)?.map(|value| value.into_owned()))
}

/// Holds the values of one parameter to their limits, on every transport.
pub fn within<'a>(name: &str, count: usize, values: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
    let long = values.into_iter().any(|value| value.len() > VALUE_BYTES_MAX);
    if count > VALUES_MAX || long {
        let message = format!("{name} takes at most {VALUES_MAX} values of {VALUE_BYTES_MAX} bytes");
        return Err(Error::bad_request("filter_too_large", message));
    }
    Ok(())
}

fn chosen<T: Copy>(name: &str, value: &str, choices: &[(&str, T)]) -> Result<T, Error> {
    let found = choices.iter().find(|(known, _)| *known == value).map(|(_, choice)| *choice);
    found.ok_or_else(|| {
        let known: Vec<_> = choices.iter().map(|(known, _)| *known).collect();
        Error::bad_request("bad_parameter", format!("{name} is one of: {}", known.join(", ")))
    })
}

fn once<T>(name: &str, mut values: impl Iterator<Item = T>) -> Result<Option<T>, Error> {
    let first = values.next();
    match values.next() {
        Some(_) => Err(Error::bad_request("duplicate_parameter", format!("{name} is given twice"))),
        None => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
        result.expect_err("a refusal").code
    }

    #[test]
    fn the_same_fault_has_the_same_code_everywhere() {
        let parse = |text: &str| Query::parse(Some(text), &["room", "project", "limit", "before", "from"]);
        assert_eq!(code(parse("rooom=a")), "unknown_parameter");
        assert_eq!(code(parse(&"room=a&".repeat(VALUES_MAX + 1))), "filter_too_large");
        assert_eq!(code(parse(&format!("room={}", "a".repeat(VALUE_BYTES_MAX + 1)))), "filter_too_large");
        assert_eq!(code(parse("project=a&project=b").expect("known").one("project")), "duplicate_parameter");
        assert_eq!(code(parse("limit=1001").expect("known").limit(1000)), "bad_limit");
        assert_eq!(code(parse("from=-1").expect("known").millis("from")), "bad_time");
        assert_eq!(
            code(parse("before=x").expect("known").before(|text| text.parse::<u8>().ok())),
            "bad_cursor"
        );
        assert_eq!(code(access_token(Some("access_token=a&access_token=b"))), "duplicate_parameter");
    }

    #[test]
    fn each_parameter_has_its_own_number_of_values() {
        let text = format!("{}{}", "room=a&".repeat(VALUES_MAX), "type=b&".repeat(VALUES_MAX));
        let query = Query::parse(Some(&text), &["room", "type"]).expect("within the limits");
        assert_eq!((query.all("room").len(), query.all("type").len()), (VALUES_MAX, VALUES_MAX));
    }

    #[test]
    fn an_empty_value_is_none_and_a_token_is_not_a_parameter() {
        let query =
            Query::parse(Some("limit=&before=&project=&access_token=t"), &["limit", "before", "project"]);
        let query = query.expect("known");
        assert_eq!(query.limit(10).expect("none"), None);
        assert_eq!(query.before(|_| Some(())).expect("none"), None);
        assert_eq!(query.one("project").expect("none"), None);
        assert_eq!(access_token(Some("room=a&access_token=t")).expect("one"), Some("t".into()));
    }
}
