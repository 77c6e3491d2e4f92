//! The dimensions of usage: the `[usage]` table of the configuration file.

use anyhow::ensure;
use serde::Deserialize;

/// Maximum number of dimensions, and of prefixes of one.
const DIMENSIONS_MAX: usize = 8;
const PREFIXES_MAX: usize = 50;

/// Groups of rooms for which usage is counted, beside projects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageOptions {
    pub dimensions: Vec<DimensionOptions>,
}

/// One `[[usage.dimensions]]`: either prefixes or a member of the metadata.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DimensionOptions {
    pub name: String,
    /// Beginnings of room names.
    #[serde(default)]
    pub room_prefixes: Vec<String>,
    /// Member of the room's metadata, which is a JSON object.
    #[serde(default)]
    pub metadata: Option<String>,
}

impl UsageOptions {
    pub(super) fn check(self) -> anyhow::Result<UsageOptions> {
        let all = &self.dimensions;
        ensure!(all.len() <= DIMENSIONS_MAX, "[[usage.dimensions]]: at most {DIMENSIONS_MAX} of them");
        for (n, one) in all.iter().enumerate() {
            let name = &one.name;
            ensure!(
                !name.is_empty() && name != "project",
                "[[usage.dimensions]]: give each a name, which is not `project`"
            );
            ensure!(
                all[..n].iter().all(|other| other.name != *name),
                "[[usage.dimensions]]: {name:?} is there twice; give each another name"
            );
            ensure!(
                one.room_prefixes.is_empty() != one.metadata.is_none(),
                "[[usage.dimensions]]: {name:?} needs either room_prefixes or metadata"
            );
            ensure!(
                one.room_prefixes.len() <= PREFIXES_MAX,
                "[[usage.dimensions]]: {name:?} may have at most {PREFIXES_MAX} prefixes"
            );
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dimension(name: &str, prefixes: usize, metadata: Option<&str>) -> DimensionOptions {
        DimensionOptions {
            name: name.to_owned(),
            room_prefixes: (0..prefixes).map(|n| n.to_string()).collect(),
            metadata: metadata.map(str::to_owned),
        }
    }

    #[test]
    fn a_dimension_has_a_name_and_one_source() {
        for (dimensions, expected) in [
            (vec![dimension("a", 1, None), dimension("b", 0, Some("team"))], ""),
            (vec![dimension("a", 1, None), dimension("a", 1, None)], "twice"),
            (vec![dimension("project", 1, None)], "name"),
            (vec![dimension("", 1, None)], "name"),
            (vec![dimension("a", 0, None)], "either"),
            (vec![dimension("a", 1, Some("team"))], "either"),
            (vec![dimension("a", 51, None)], "at most 50"),
            ((0..9).map(|n| dimension(&n.to_string(), 1, None)).collect(), "at most 8"),
        ] {
            let error = UsageOptions { dimensions }.check().err().map(|error| error.to_string());
            assert!(error.as_deref().unwrap_or("").contains(expected), "{error:?} has {expected:?}");
            assert_eq!(error.is_some(), !expected.is_empty());
        }
    }
}
