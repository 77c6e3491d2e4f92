//! Answers about usage: rows that are counted, and the rest counted for the query.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::{
    DAY_MS, Dimension, QUARTER_MS,
    measures::{Measures, unpack},
    quarter,
    roll::Counted,
    sweep::{self, Group, Sweep},
};
use crate::{
    derived::{Derived, DerivedError, activity::projects_of, gaps, packed},
    rights::Window,
};

/// Maximum time that a query counts by itself. Longer ones are unknown until the writer has counted them.
const COUNTED_BY_QUERY_MS: i64 = 2 * DAY_MS;
/// Maximum number of participations that a query reads.
const ROWS_MAX: usize = 500_000;

#[derive(Clone, Debug)]
pub struct UsageQuery {
    /// Whole projects.
    pub window: Window,
    /// Beginnings of the parts, and the end of the last one, in unix milliseconds, ascending.
    pub edges: Vec<i64>,
    pub group: UsageGroup,
    /// Only the rooms with this value of this dimension.
    pub only: Option<(String, String)>,
    pub now: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageGroup {
    /// One series of everything.
    All,
    Project,
    /// The values of a dimension.
    Dimension(String),
}

/// Usage of a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageAnswer {
    /// Time from which the history has numbers. `None`: it is empty.
    pub known_from: Option<i64>,
    /// True if quarters of this time are still to be counted. Their parts are unknown.
    pub counting: bool,
    pub series: Vec<UsageSeries>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageSeries {
    /// The project, or the value of the dimension. Empty for everything.
    pub key: String,
    /// False for a sum of projects that were counted one by one: their peaks were at different times.
    pub peaks_known: bool,
    /// One for each part; `None` is unknown.
    pub parts: Vec<Option<Measures>>,
    /// The known parts together.
    pub total: Measures,
}

impl Derived {
    /// Returns the usage of the parts. Parts that are not whole quarters are counted by the query, and may be
    /// [`DerivedError::TooMuch`].
    pub async fn usage(&self, query: UsageQuery) -> Result<UsageAnswer, DerivedError> {
        let dimensions = self.shared.options.dimensions.clone();
        self.ask(move |connection| {
            // One state of the file for all statements.
            let _transaction = connection.unchecked_transaction()?;
            answer(connection, &query, &dimensions)
        })
        .await
    }
}

/// One series while it is summed.
struct Summing {
    projects: BTreeSet<String>,
    parts: Vec<Measures>,
}

struct Sums<'a> {
    query: &'a UsageQuery,
    series: BTreeMap<String, Summing>,
}

impl Sums<'_> {
    /// Returns the series of a group, if the answer has it.
    fn series_of(&mut self, group: &Group) -> Option<&mut Summing> {
        let key = self.query.key(group)?;
        if !self.series.contains_key(key) {
            let parts = vec![Measures::default(); self.query.edges.len() - 1];
            self.series.insert(key.to_owned(), Summing { projects: BTreeSet::new(), parts });
        }
        let series = self.series.get_mut(key)?;
        if !series.projects.contains(&group.0) {
            series.projects.insert(group.0.clone());
        }
        Some(series)
    }

    fn add(&mut self, group: &Group, at: i64, measures: &Measures) {
        let edges = &self.query.edges;
        if let Some(series) = self.series_of(group) {
            series.add(edges, at, measures);
        }
    }
}

impl Summing {
    fn add(&mut self, edges: &[i64], at: i64, measures: &Measures) {
        let part = edges.partition_point(|edge| *edge <= at).checked_sub(1);
        if let Some(part) = part.and_then(|part| self.parts.get_mut(part)) {
            part.merge(measures);
        }
    }
}

impl UsageQuery {
    fn from(&self) -> i64 {
        self.edges.first().copied().unwrap_or_default()
    }

    fn to(&self) -> i64 {
        self.edges.last().copied().unwrap_or_default()
    }

    /// Returns true if all projects are one group.
    fn is_everything(&self) -> bool {
        self.group == UsageGroup::All && self.only.is_none() && self.window.area().projects().is_none()
    }

    fn dimension(&self) -> &str {
        match (&self.group, &self.only) {
            (UsageGroup::Dimension(name), _) => name,
            (_, Some((name, _))) => name,
            _ => "",
        }
    }

    /// Returns the series of a group. `None`: the answer does not have it.
    fn key<'a>(&self, (project, dimension, value): &'a Group) -> Option<&'a str> {
        if self.is_everything() {
            return (project.is_empty() && dimension.is_empty()).then_some("");
        }
        let is_visible = !project.is_empty() && self.window.area().has(project, None);
        let has_value = self.only.as_ref().is_none_or(|(name, only)| name != dimension || only == value);
        if !is_visible || dimension != self.dimension() || !has_value {
            return None;
        }
        Some(match self.group {
            UsageGroup::All => "",
            UsageGroup::Project => project,
            UsageGroup::Dimension(_) => value,
        })
    }
}

fn answer(
    connection: &Connection,
    query: &UsageQuery,
    dimensions: &[Dimension],
) -> Result<UsageAnswer, DerivedError> {
    let (from, to, now) = (query.from(), query.to(), query.now);
    let counted = match Counted::read(connection)? {
        Some(counted) => Some(counted),
        None => sweep::first(connection)?.map(|first| Counted::beginning(quarter(first))),
    };
    let mut sums = Sums { query, series: BTreeMap::new() };
    let mut unknown: Vec<_> = gaps(connection)?.into_iter().map(|gap| (gap.from, gap.to)).collect();
    let mut counting = false;
    if let Some(counted) = &counted {
        unknown.push((i64::MIN, counted.from));
        if query.edges.iter().all(|edge| edge % QUARTER_MS == 0) {
            let mut rest = counted.again.clone();
            rest.push((counted.until.min(quarter(now)), quarter(now) + QUARTER_MS));
            let rest: Vec<(i64, i64)> = rest
                .into_iter()
                .map(|(lo, hi)| (lo.max(from).max(counted.from), hi.min(to)))
                .filter(|(lo, hi)| lo < hi)
                .collect();
            rows(connection, &mut sums, &rest)?;
            counting = count_rest(connection, dimensions, &mut sums, &rest)?;
            if counting {
                unknown.extend(rest);
            }
        } else {
            let groups = Sweep::run(connection, dimensions, &query.edges, now, ROWS_MAX)?;
            for (group, parts) in &groups {
                for (at, measures) in query.edges.iter().zip(parts) {
                    sums.add(group, *at, measures);
                }
            }
        }
    } else {
        unknown.push((i64::MIN, i64::MAX));
    }
    if query.group == UsageGroup::All && sums.series.is_empty() {
        let parts = vec![Measures::default(); query.edges.len().saturating_sub(1)];
        sums.series.insert(String::new(), Summing { projects: BTreeSet::new(), parts });
    }
    let is_unknown = |from: i64, to: i64| unknown.iter().any(|(lo, hi)| *lo < to && *hi > from);
    let is_before = |to: i64| counted.as_ref().is_none_or(|counted| to <= counted.from);
    // The part in which the history begins is known from there.
    let known: Vec<bool> = query
        .edges
        .windows(2)
        .map(|part| {
            let begins = counted.as_ref().map_or(part[0], |counted| part[0].max(counted.from));
            !is_before(part[1]) && !is_unknown(begins, part[1])
        })
        .collect();
    let series = sums.series.into_iter().map(|(key, summing)| {
        let parts: Vec<Option<Measures>> =
            summing.parts.into_iter().zip(&known).map(|(part, known)| known.then_some(part)).collect();
        let mut total = Measures::default();
        parts.iter().flatten().for_each(|part| total.merge(part));
        UsageSeries { key, peaks_known: summing.projects.len() < 2, parts, total }
    });
    Ok(UsageAnswer { known_from: counted.map(|counted| counted.from), counting, series: series.collect() })
}

/// Adds the rows, except for quarters that are to be counted again.
fn rows(connection: &Connection, sums: &mut Sums, rest: &[(i64, i64)]) -> Result<(), DerivedError> {
    let query = sums.query;
    let projects = match query.is_everything() {
        true => vec![String::new()],
        false => projects_of(connection, &query.window, "usage")?,
    };
    let mut select = connection.prepare_cached(
        "SELECT value, day, quarters FROM usage WHERE project = ?1 AND dimension = ?2 AND day BETWEEN ?3 AND ?4",
    )?;
    let (from, to) = (query.from(), query.to());
    for project in projects {
        let days = (from.div_euclid(DAY_MS), (to - 1).div_euclid(DAY_MS));
        let mut rows = select.query(params![project, query.dimension(), days.0, days.1])?;
        let mut group = (project.clone(), query.dimension().to_owned(), String::new());
        while let Some(row) = rows.next()? {
            let value = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            if group.2 != value {
                value.clone_into(&mut group.2);
            }
            let packed = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            let day = row.get(1)?;
            let Some(series) = sums.series_of(&group) else { continue };
            let put = |at: i64, measures: &Measures| {
                let again = rest.iter().any(|(lo, hi)| (*lo..*hi).contains(&at));
                if at >= from && at < to && !again {
                    series.add(&query.edges, at, measures);
                }
            };
            let intact = packed::unpack(packed).ok().and_then(|packed| unpack(day, &packed, put));
            if intact.is_none() {
                return Err(DerivedError::Found("a row of usage is damaged".to_owned()));
            }
        }
    }
    Ok(())
}

/// Counts quarters that no row has. Returns true if they are too much for a query.
fn count_rest(
    connection: &Connection,
    dimensions: &[Dimension],
    sums: &mut Sums,
    rest: &[(i64, i64)],
) -> Result<bool, DerivedError> {
    if rest.iter().map(|(lo, hi)| hi - lo).sum::<i64>() > COUNTED_BY_QUERY_MS {
        return Ok(true);
    }
    let mut all = Vec::new();
    for (lo, hi) in rest {
        let edges: Vec<i64> = (lo / QUARTER_MS..=hi / QUARTER_MS).map(|n| n * QUARTER_MS).collect();
        match Sweep::run(connection, dimensions, &edges, sums.query.now, ROWS_MAX) {
            Err(DerivedError::TooMuch(_)) => return Ok(true),
            groups => all.push((edges, groups?)),
        }
    }
    for (edges, groups) in &all {
        for (group, parts) in groups {
            for (at, measures) in edges.iter().zip(parts) {
                sums.add(group, *at, measures);
            }
        }
    }
    Ok(false)
}
