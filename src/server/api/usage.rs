//! Usage over time: `GET /api/usage`.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State as AppState},
    http::header,
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use serde::Serialize;

use super::sessions::{answer, failed};
use crate::{
    derived::{Measures, UsageAnswer, UsageGroup, UsageQuery, UsageSeries},
    server::{
        App,
        caller::Caller,
        csv,
        error::{Error, ErrorBody},
        query::{ProjectsQuery, Query},
    },
};

const MINUTE_MS: i64 = 60_000;
const QUARTER_MS: i64 = 15 * MINUTE_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Maximum number of points of one series.
const POINTS_MAX: usize = 1_500;
/// Maximum time in steps that are shorter than a quarter of an hour.
const SHORT_STEPS_MS_MAX: i64 = DAY_MS + QUARTER_MS;

/// Time between two points. Days, weeks and months are those of the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Minute,
    FiveMinutes,
    Quarter,
    Hour,
    Day,
    Week,
    Month,
}

const STEPS: [(&str, Step); 7] = [
    ("minute", Step::Minute),
    ("five_minutes", Step::FiveMinutes),
    ("quarter", Step::Quarter),
    ("hour", Step::Hour),
    ("day", Step::Day),
    ("week", Step::Week),
    ("month", Step::Month),
];
const FORMATS: [(&str, bool); 2] = [("json", false), ("csv", true)];

/// Usage of rooms, participants, agents, phone calls and egress.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Beginning of the first point, rounded to the step or to a quarter of an hour
    from: i64,
    /// End of the last point
    to: i64,
    /// IANA name of the zone of days, weeks and months
    zone: String,
    /// `minute`, `five_minutes`, `quarter` (of an hour), `hour`, `day`, `week` or `month`
    step: &'static str,
    /// `project`, the name of a dimension, or null
    #[schema(required)]
    group_by: Option<String>,
    /// Names of the dimensions in the configuration
    dimensions: Vec<String>,
    /// Time from which the history has numbers; null if it is empty
    #[schema(required)]
    known_from: Option<i64>,
    /// True while a part of this time is still being counted: its points are null. Ask again after some seconds
    counting: bool,
    /// One, or one for each project or value
    series: Vec<Series>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsageSeries)]
struct Series {
    /// Project, or value of the dimension: empty for rooms without one, `other` for the rest. Null without `groupBy`
    #[schema(required)]
    key: Option<String>,
    /// Of the points that are known
    total: Numbers,
    points: Vec<Point>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = UsagePoint)]
struct Point {
    /// Beginning, in unix milliseconds
    at: i64,
    /// Null: unknown, because it is before the history, was lost with a damaged file, or is not counted yet
    #[schema(required)]
    numbers: Option<Numbers>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UsageNumbers)]
struct Numbers {
    /// Sum of the times that participants were there, in minutes, without hidden participants, agents and egress. What is
    /// open counts until now
    participant_minutes: f64,
    agent_minutes: f64,
    /// Of phone calls. `participantMinutes` has them too
    sip_minutes: f64,
    /// Of egress, recordings and streams. Two at one time count twice
    recorded_minutes: f64,
    /// Sessions that began
    sessions: i64,
    joins: i64,
    /// The sum of the next four
    failures: i64,
    lost_connections: i64,
    failed_agents: i64,
    failed_calls: i64,
    failed_recordings: i64,
    /// Maximum numbers at one time. Null for several projects that were counted one by one: their peaks were at different
    /// times
    #[schema(required)]
    peak_rooms: Option<UsagePeak>,
    #[schema(required)]
    peak_participants: Option<UsagePeak>,
    #[schema(required)]
    peak_agents: Option<UsagePeak>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct UsagePeak {
    count: i64,
    /// The first moment at which it was reached, in unix milliseconds; null if `count` is 0
    #[schema(required)]
    at: Option<i64>,
}

/// Returns usage over time.
#[utoipa::path(
    get,
    path = "/api/usage",
    tag = "history",
    params(
        ("from" = Option<i64>, Query, description = "Unix milliseconds; a day before `to` if not given"),
        ("to" = Option<i64>, Query, description = "Unix milliseconds; now if not given, and at the latest now"),
        ("step" = Option<String>, Query, description = "`minute` or `five_minutes` (of at most a day), `quarter`, `hour`, `day`, `week` or `month`; at most 1500 of them. If not given, it depends on the time"),
        ("zone" = Option<String>, Query, description = "IANA name of the zone of hours, days, weeks and months, such as `Asia/Kathmandu`; `UTC` if not given"),
        ("groupBy" = Option<String>, Query, description = "`project`, or the name of a dimension: one series for each project or value"),
        ("dimension" = Option<String>, Query, description = "Only rooms with a value of this dimension"),
        ("value" = Option<String>, Query, description = "The value of `dimension`"),
        ("format" = Option<String>, Query, description = "`json` (if not given) or `csv`: one line for each point of each series"),
        ProjectsQuery,
    ),
    responses(
        (status = 200, description = "The usage", content((Usage = "application/json"), (String = "text/csv"))),
        (status = 400, description = "A parameter is unknown or out of range; `bad_zone`, `bad_dimension`, `too_many_points`, `too_much`", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 403, description = "The caller does not see whole projects", body = ErrorBody),
    )
)]
pub async fn usage(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    const KNOWN: [&str; 9] =
        ["from", "to", "step", "zone", "groupBy", "dimension", "value", "format", "project"];
    let query = Query::parse(query.as_deref(), &KNOWN)?;
    let window = caller.window(&app, &query.all("project"), &[])?;
    // Totals of a project would tell of rooms that the caller does not see.
    if window.area().rooms().is_some() {
        return Err(Error::forbidden());
    }
    let now = i64::try_from(app.config.clock.unix_ms()).unwrap_or(i64::MAX);
    let to = query.millis("to")?.unwrap_or(now).min(now);
    let from = query.millis("from")?.unwrap_or(to - DAY_MS);
    if from >= to {
        return Err(Error::bad_request("bad_time", "from must be before to, and not in the future"));
    }
    let step = query.choice("step", &STEPS)?.unwrap_or(Step::of(to - from));
    let zone = query.one("zone")?.unwrap_or_else(|| "UTC".to_owned());
    let time_zone = TimeZone::get(&zone).map_err(|_| {
        Error::bad_request("bad_zone", "zone must be the IANA name of a time zone, such as Europe/Berlin")
    })?;
    let edges = edges(from, to, step, &time_zone)?;
    let dimensions: Vec<String> =
        app.config.usage.dimensions.iter().map(|dimension| dimension.name.clone()).collect();
    let group_by = query.one("groupBy")?;
    let only = query.one("dimension")?;
    // A dimension cannot be divided by another one: only one of the two is counted.
    for name in [&group_by, &only].into_iter().flatten() {
        let is_group = group_by.as_ref() == Some(name) && name == "project";
        if !is_group && !dimensions.contains(name) {
            return Err(Error::bad_request("bad_dimension", "the configuration has no such dimension"));
        }
    }
    if group_by.iter().any(|name| name != "project") && only.is_some() && only != group_by {
        return Err(Error::bad_request("bad_dimension", "usage cannot be divided by two dimensions"));
    }
    let value = query.all("value").into_iter().next().unwrap_or_default();
    let wanted = UsageQuery {
        window,
        edges: edges.clone(),
        group: match group_by.as_deref() {
            None => UsageGroup::All,
            Some("project") => UsageGroup::Project,
            Some(name) => UsageGroup::Dimension(name.to_owned()),
        },
        only: only.map(|name| (name, value)),
        now,
    };
    let _turn = app.turns.take(&caller).await?;
    let UsageAnswer { known_from, counting, series } = app.derived.usage(wanted).await.map_err(failed)?;
    let series = series.into_iter().map(|one| Series::of(one, &edges, group_by.is_some())).collect();
    let usage = Usage {
        from: edges.first().copied().unwrap_or(from),
        to: edges.last().copied().unwrap_or(to),
        zone,
        step: STEPS.iter().find(|(_, one)| *one == step).map_or("", |(name, _)| name),
        group_by,
        dimensions,
        known_from,
        counting,
        series,
    };
    match query.choice("format", &FORMATS)? {
        Some(true) => Ok(usage.csv(&time_zone)),
        _ => Ok(answer(usage)),
    }
}

impl Step {
    /// Returns a step with a readable number of points.
    fn of(span: i64) -> Step {
        let longest = [
            (3 * HOUR_MS, Step::Minute),
            (12 * HOUR_MS, Step::FiveMinutes),
            (2 * DAY_MS, Step::Quarter),
            (14 * DAY_MS, Step::Hour),
        ];
        longest.iter().find(|(longest, _)| span <= *longest).map_or(Step::Day, |(_, step)| *step)
    }

    fn fixed_ms(self) -> Option<i64> {
        match self {
            Step::Minute => Some(MINUTE_MS),
            Step::FiveMinutes => Some(5 * MINUTE_MS),
            Step::Quarter => Some(QUARTER_MS),
            Step::Hour => Some(HOUR_MS),
            Step::Day | Step::Week | Step::Month => None,
        }
    }
}

/// Returns the beginnings of the steps in a zone, and the end of the last. The first and the last one may be shorter.
fn edges(from: i64, to: i64, step: Step, zone: &TimeZone) -> Result<Vec<i64>, Error> {
    let too_many = || {
        let message = format!("the time has more than {POINTS_MAX} steps; choose a longer step");
        Error::bad_request("too_many_points", message)
    };
    let smallest = step.fixed_ms().unwrap_or(QUARTER_MS).min(QUARTER_MS);
    if smallest < QUARTER_MS && to - from > SHORT_STEPS_MS_MAX {
        return Err(too_many());
    }
    // Offsets were multiples of a quarter of an hour since 1972. An earlier time has no history.
    let quarter = |at: i64| at.div_euclid(smallest) * smallest;
    let (first, end) = (quarter(from), quarter(to + smallest - 1));
    let mut edges = vec![first];
    let local = |at: i64| {
        let at =
            Timestamp::from_millisecond(at).map_err(|_| Error::bad_request("bad_time", "out of range"))?;
        Ok::<_, Error>(at.to_zoned(zone.clone()))
    };
    if let Some(length) = step.fixed_ms() {
        let offset = i64::from(local(first)?.offset().seconds()) * 1000;
        let mut at = (first + offset).div_euclid(length) * length - offset + length;
        while at < end {
            push(&mut edges, quarter(at)).ok_or_else(too_many)?;
            at += length;
        }
    } else {
        let mut date = local(first)?.date();
        date = match step {
            Step::Week => date - i64::from(date.weekday().to_monday_zero_offset()).days(),
            Step::Month => date.first_of_month(),
            _ => date,
        };
        loop {
            date = next(date, step).ok_or_else(too_many)?;
            let begins = date.to_zoned(zone.clone()).map_err(|_| too_many())?;
            let at = quarter(begins.timestamp().as_millisecond());
            if at >= end {
                break;
            }
            push(&mut edges, at).ok_or_else(too_many)?;
        }
    }
    push(&mut edges, end).ok_or_else(too_many)?;
    Ok(edges)
}

/// Adds an edge, unless it is not later: a zone may leave out a whole day.
fn push(edges: &mut Vec<i64>, at: i64) -> Option<()> {
    if edges.last().is_none_or(|last| *last < at) {
        edges.push(at);
    }
    (edges.len() <= POINTS_MAX + 1).then_some(())
}

fn next(date: Date, step: Step) -> Option<Date> {
    match step {
        Step::Week => date.checked_add(1.week()),
        Step::Month => date.checked_add(1.month()),
        _ => date.checked_add(1.day()),
    }
    .ok()
}

impl Series {
    fn of(series: UsageSeries, edges: &[i64], has_key: bool) -> Series {
        let UsageSeries { key, peaks_known, parts, total } = series;
        let point = |(at, part): (&i64, Option<Measures>)| Point {
            at: *at,
            numbers: part.map(|part| Numbers::of(&part, peaks_known)),
        };
        Series {
            key: has_key.then_some(key),
            total: Numbers::of(&total, peaks_known),
            points: edges.iter().zip(parts).map(point).collect(),
        }
    }
}

impl Numbers {
    fn of(of: &Measures, peaks_known: bool) -> Numbers {
        let minutes = |ms: i64| (ms as f64 / 600.0).round() / 100.0;
        let peak = |peak: crate::derived::Peak| {
            peaks_known.then_some(UsagePeak { count: peak.most, at: (peak.most > 0).then_some(peak.at) })
        };
        let (lost_connections, failed_agents) = (of.lost_connections(), of.failed_agents());
        let (failed_calls, failed_recordings) = (of.failed_calls(), of.failed_recordings());
        Numbers {
            participant_minutes: minutes(of.participant_ms()),
            agent_minutes: minutes(of.agent_ms()),
            sip_minutes: minutes(of.call_ms()),
            recorded_minutes: minutes(of.recorded_ms()),
            sessions: of.sessions(),
            joins: of.joins(),
            failures: lost_connections + failed_agents + failed_calls + failed_recordings,
            lost_connections,
            failed_agents,
            failed_calls,
            failed_recordings,
            peak_rooms: peak(of.rooms()),
            peak_participants: peak(of.participants()),
            peak_agents: peak(of.agents()),
        }
    }
}

impl Usage {
    /// Returns one line for each point of each series. The cells of an unknown point are empty.
    fn csv(&self, zone: &TimeZone) -> Response {
        let mut text = String::new();
        csv::line(
            &mut text,
            [
                "from",
                self.group_by.as_deref().unwrap_or("group"),
                "participant_minutes",
                "agent_minutes",
                "sip_minutes",
                "recorded_minutes",
                "sessions",
                "joins",
                "failures",
                "lost_connections",
                "failed_agents",
                "failed_calls",
                "failed_recordings",
                "peak_rooms",
                "peak_participants",
                "peak_agents",
            ],
        );
        for series in &self.series {
            for Point { at, numbers } in &series.points {
                let mut cells = vec![local_time(*at, zone), series.key.clone().unwrap_or_default()];
                cells.extend(numbers.as_ref().map_or_else(|| vec![String::new(); 14], Numbers::cells));
                csv::line(&mut text, cells);
            }
        }
        let head = [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
            (header::CONTENT_DISPOSITION, "attachment; filename=\"usage.csv\""),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (head, text).into_response()
    }
}

impl Numbers {
    fn cells(&self) -> Vec<String> {
        let minutes = [self.participant_minutes, self.agent_minutes, self.sip_minutes, self.recorded_minutes];
        let counts = [
            self.sessions,
            self.joins,
            self.failures,
            self.lost_connections,
            self.failed_agents,
            self.failed_calls,
            self.failed_recordings,
        ];
        let peaks = [&self.peak_rooms, &self.peak_participants, &self.peak_agents];
        let mut cells: Vec<String> = minutes.iter().map(f64::to_string).collect();
        cells.extend(counts.iter().map(i64::to_string));
        cells.extend(peaks.map(|peak| peak.as_ref().map(|peak| peak.count.to_string()).unwrap_or_default()));
        cells
    }
}

/// Writes a time with the offset of its zone, as RFC 3339 has it.
fn local_time(at: i64, zone: &TimeZone) -> String {
    let Ok(at) = Timestamp::from_millisecond(at) else { return String::new() };
    at.display_with_offset(zone.to_offset(at)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_millisecond()
    }

    /// Returns the edges as hours and minutes of UTC.
    fn told(zone: &str, step: Step, from: &str, to: &str) -> String {
        let zone = TimeZone::get(zone).expect("a zone");
        let edges = edges(ms(from), ms(to), step, &zone).expect("edges");
        let text = |at: &i64| {
            let text = Timestamp::from_millisecond(*at).expect("a time").to_string();
            text[5..16].replace('T', " ")
        };
        edges.iter().map(text).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn days_are_those_of_the_zone() {
        for (zone, step, from, to, expected) in [
            // The clocks go forward on 29 March 2026 in Berlin, and back on 25 October.
            (
                "Europe/Berlin",
                Step::Day,
                "2026-03-27T23:00:00Z",
                "2026-03-30T22:00:00Z",
                "03-27 23:00, 03-28 23:00, 03-29 22:00, 03-30 22:00",
            ),
            (
                "Europe/Berlin",
                Step::Day,
                "2026-10-24T10:07:00Z",
                "2026-10-25T23:00:00Z",
                "10-24 10:00, 10-24 22:00, 10-25 23:00",
            ),
            (
                "Asia/Kathmandu",
                Step::Day,
                "2026-01-01T00:00:00Z",
                "2026-01-02T20:00:00Z",
                "01-01 00:00, 01-01 18:15, 01-02 18:15, 01-02 20:00",
            ),
            (
                "Asia/Kolkata",
                Step::Hour,
                "2026-01-01T00:00:00Z",
                "2026-01-01T02:10:00Z",
                "01-01 00:00, 01-01 00:30, 01-01 01:30, 01-01 02:15",
            ),
            // Half an hour of daylight saving, which begins on 4 October 2026.
            (
                "Australia/Lord_Howe",
                Step::Day,
                "2026-10-02T13:30:00Z",
                "2026-10-05T13:00:00Z",
                "10-02 13:30, 10-03 13:30, 10-04 13:00, 10-05 13:00",
            ),
            (
                "America/New_York",
                Step::Week,
                "2026-03-04T12:00:00Z",
                "2026-03-17T12:00:00Z",
                "03-04 12:00, 03-09 04:00, 03-16 04:00, 03-17 12:00",
            ),
            (
                "Asia/Kathmandu",
                Step::Month,
                "2026-01-31T18:00:00Z",
                "2026-03-01T00:00:00Z",
                "01-31 18:00, 01-31 18:15, 02-28 18:15, 03-01 00:00",
            ),
            // Samoa had no 30 December 2011.
            (
                "Pacific/Apia",
                Step::Day,
                "2011-12-29T10:00:00Z",
                "2011-12-31T10:00:00Z",
                "12-29 10:00, 12-30 10:00, 12-31 10:00",
            ),
            (
                "UTC",
                Step::Minute,
                "2026-01-01T00:00:30Z",
                "2026-01-01T00:02:00Z",
                "01-01 00:00, 01-01 00:01, 01-01 00:02",
            ),
        ] {
            assert_eq!(told(zone, step, from, to), expected, "{zone} {step:?}");
        }
    }

    #[test]
    fn every_zone_has_edges_at_quarters() {
        let (from, to) = (ms("2020-01-01T00:00:00Z"), ms("2027-01-01T00:00:00Z"));
        for name in jiff::tz::db().available() {
            let zone = TimeZone::get(name.as_str()).expect("a zone");
            for step in [Step::Day, Step::Week, Step::Month] {
                let Ok(edges) =
                    edges(from, if step == Step::Day { from + 1_000 * DAY_MS } else { to }, step, &zone)
                else {
                    panic!("{name} has no edges");
                };
                for at in &edges[1..edges.len() - 1] {
                    let begins = Timestamp::from_millisecond(*at).expect("a time").to_zoned(zone.clone());
                    assert_eq!(begins.start_of_day().expect("a day"), begins, "{name} {step:?}");
                }
            }
        }
    }
}
