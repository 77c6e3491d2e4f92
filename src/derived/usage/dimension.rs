//! Dimensions: groups of rooms that the configuration declares.

use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::{Connection, params};
use serde_json::Value;

use super::super::statements::Statements;

/// Maximum number of values that the metadata of a project gives to one dimension. The rest are [`OTHER`].
pub const VALUES_MAX: i64 = 50;
/// Maximum length of a value, in characters.
const VALUE_CHARS_MAX: usize = 64;
/// The value of the rooms beyond the limit, and of those that no prefix has.
pub const OTHER: &str = "other";

/// A group of rooms by one property.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dimension {
    pub name: String,
    pub source: DimensionSource,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DimensionSource {
    /// Beginnings of room names. The value of a room is the longest that it has, or `other`.
    RoomPrefixes(Vec<String>),
    /// A member of the room's metadata, which is a JSON object. The value of a room without it is empty.
    Metadata(String),
}

impl Dimension {
    /// Returns the value of a room whose metadata gave `stored`.
    pub(super) fn value<'a>(&'a self, room: &str, stored: Option<&'a str>) -> &'a str {
        match &self.source {
            DimensionSource::RoomPrefixes(prefixes) => {
                let matching = prefixes.iter().filter(|prefix| room.starts_with(&***prefix));
                matching.max_by_key(|prefix| prefix.len()).map_or(OTHER, |prefix| prefix)
            }
            DimensionSource::Metadata(_) => stored.unwrap_or_default(),
        }
    }
}

/// Returns a number that is another one if the dimensions are.
pub(super) fn fingerprint(dimensions: &[Dimension]) -> i64 {
    let mut hasher = DefaultHasher::new();
    dimensions.hash(&mut hasher);
    hasher.finish() as i64
}

/// Returns the values that a room's metadata has for the dimensions, by their names.
pub(in super::super) fn values_of<'a>(dimensions: &'a [Dimension], metadata: &str) -> Vec<(&'a str, String)> {
    let of = |dimension: &'a Dimension| match &dimension.source {
        DimensionSource::Metadata(key) => Some((&*dimension.name, &**key)),
        DimensionSource::RoomPrefixes(_) => None,
    };
    let mut wanted = dimensions.iter().filter_map(of).peekable();
    if wanted.peek().is_none() || metadata.is_empty() {
        return Vec::new();
    }
    let Ok(Value::Object(members)) = serde_json::from_str(metadata) else { return Vec::new() };
    let text = |key: &str| match members.get(key)? {
        Value::String(text) => Some(text.chars().take(VALUE_CHARS_MAX).collect::<String>()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        _ => None,
    };
    wanted.filter_map(|(name, key)| Some((name, text(key).filter(|text| !text.is_empty())?))).collect()
}

/// Writes the values of a session.
pub(in super::super) fn put_values(
    to: &mut Statements,
    project: &str,
    session: i64,
    values: &[(&str, String)],
) -> rusqlite::Result<()> {
    for (dimension, value) in values {
        to.new_usage_value.execute(params![project, dimension, value, VALUES_MAX])?;
        to.put_session_value.execute(params![session, dimension, project, value, OTHER])?;
    }
    Ok(())
}

/// Returns the values of a session that its metadata gave.
pub(super) fn stored(connection: &Connection, session: i64) -> rusqlite::Result<Vec<(String, String)>> {
    let mut select =
        connection.prepare_cached("SELECT dimension, value FROM session_values WHERE session = ?1")?;
    select.query_map([session], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
