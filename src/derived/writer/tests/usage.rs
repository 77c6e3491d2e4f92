//! The usage equals a plain count of the rows, whatever the order of the events, the failures, the restarts and the moments
//! at which it was counted.

use super::*;
use crate::{
    clock::Clock,
    derived::{Derived, Dimension, DimensionSource, Measures, UsageGroup, UsageQuery},
    rights::Window,
};

const QUARTER: i64 = 900_000;

/// One event, the seconds since the one before it, and the seconds by which it is late.
#[derive(Clone, Copy, Debug)]
struct News {
    kind: u8,
    room: u8,
    person: u8,
    wait: u64,
    late: u64,
}

/// Work after a batch.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    /// Counts some usage, which fails at a statement.
    Count(Option<usize>),
    CountAll,
    Restart,
}

fn news() -> impl Strategy<Value = Vec<News>> {
    let wait = prop_oneof![4 => 0..90_u64, 2 => 0..4_000_u64, 1 => 0..60_000_u64];
    let late = prop_oneof![6 => Just(0_u64), 1 => 0..2_000_u64, 1 => 0..200_000_u64];
    let one = (0..9_u8, 0..4_u8, 0..5_u8, wait, late).prop_map(|(kind, room, person, wait, late)| News {
        kind,
        room,
        person,
        wait,
        late,
    });
    prop::collection::vec(one, 1..70)
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![
        Just(Then::Nothing),
        prop::option::of(0..12_usize).prop_map(Then::Count),
        Just(Then::CountAll),
        Just(Then::Restart),
    ]
}

fn records(news: &[News]) -> Vec<Arc<Recorded>> {
    let (mut state, mut now) = (State::default(), START);
    let record = |(n, one): (usize, &News)| {
        let News { kind, room, person, wait, late } = *one;
        now += wait;
        let at = now - late;
        // A sid is one life of a room: every fourth event about a room belongs to the next one.
        let life = n / 25;
        let room_json = format!(
            r#"{{"sid":"RM_{room}_{life}","name":"room{room}","creationTime":"{}","metadata":"{{\"team\":\"t{person}\"}}"}}"#,
            at - at % 3_000
        );
        let who = |state| {
            format!(
                r#"{{"sid":"PA_{room}_{person}_{life}","identity":"p{person}","state":"{state}","joinedAt":"{at}",
                "kind":"{}","disconnectReason":"{}","permission":{{"hidden":{}}}}}"#,
                ["STANDARD", "SIP", "AGENT"][usize::from(person % 3)],
                ["CONNECTION_TIMEOUT", "USER_REJECTED", "AGENT_ERROR", "CLIENT_INITIATED"][n % 4],
                person == 4
            )
        };
        let egress = |status| {
            let ended = if status == "EGRESS_ACTIVE" { 0 } else { at };
            format!(
                r#"{{"egressId":"EG_{room}_{life}","roomId":"RM_{room}_{life}","roomName":"room{room}","status":"{status}",
                "startedAt":"{}000000000","endedAt":"{ended}000000000","updatedAt":"{at}000000000"}}"#,
                at - 100
            )
        };
        let (name, what) = match kind {
            0..=2 => ("participant_joined", format!(r#""participant":{}"#, who("ACTIVE"))),
            3 | 4 => ("participant_left", format!(r#""participant":{}"#, who("DISCONNECTED"))),
            5 => ("egress_started", format!(r#""egressInfo":{}"#, egress("EGRESS_ACTIVE"))),
            6 => ("egress_ended", format!(r#""egressInfo":{}"#, egress("EGRESS_FAILED"))),
            7 => ("room_started", r#""numDroppedEvents":0"#.to_owned()),
            _ => ("room_finished", r#""numDroppedEvents":0"#.to_owned()),
        };
        let raw = format!(r#"{{"event":"{name}","room":{room_json},{what},"id":"{n}","createdAt":"{at}"}}"#);
        recorded(&mut state, n, if room == 3 { "q" } else { "p" }, now * 1000, &raw)
    };
    news.iter().enumerate().map(record).collect()
}

fn dimensions() -> Arc<[Dimension]> {
    let prefixes = ["room", "room1"].map(str::to_owned).to_vec();
    Arc::new([
        Dimension { name: "kind".into(), source: DimensionSource::RoomPrefixes(prefixes) },
        Dimension { name: "team".into(), source: DimensionSource::Metadata("team".into()) },
    ])
}

fn open(dir: &Path, clock: &Clock) -> Writer {
    let log = Bounds { epoch: Epoch(7), first: Seq(1), last: Seq(1_000) };
    let options = Options { clock: clock.clone(), dimensions: dimensions(), ..Options::default() };
    let (writer, _) = Writer::open(dir, log, options, false).expect("it opens");
    writer.connection.pragma_update(None, "synchronous", "OFF").expect("updated");
    writer
}

fn rows<T>(writer: &Writer, sql: &str, read: impl Fn(&rusqlite::Row) -> rusqlite::Result<T>) -> Vec<T> {
    let mut select = writer.connection.prepare(sql).expect("SQL");
    select.query_map([], read).expect("rows").map(|row| row.expect("a row")).collect()
}

/// Time of presence, or of one moment if both are equal.
type Span = (i64, i64);

/// Every span and moment of one series, read without any of the code that counts usage.
#[derive(Default, Debug)]
struct Plain {
    rooms: Vec<Span>,
    people: Vec<Span>,
    agents: Vec<Span>,
    calls: Vec<Span>,
    recorded: Vec<Span>,
    began: Vec<i64>,
    joins: Vec<i64>,
    lost: Vec<i64>,
    agents_failed: Vec<i64>,
    calls_failed: Vec<i64>,
    recordings_failed: Vec<i64>,
}

/// Reads one series: the sessions that `wanted` wants by project, room name and team.
fn plain(writer: &Writer, now: i64, wanted: impl Fn(&str, &str, &str) -> bool) -> Plain {
    let mut plain = Plain::default();
    type Session = (i64, String, String, String, i64, Option<i64>, Option<String>);
    let sessions: Vec<Session> = rows(
        writer,
        "SELECT id, project, room, sid, started_at, ended_at, (SELECT value FROM session_values WHERE session = id) FROM sessions",
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?)),
    );
    for (id, project, room, _, started, ended, team) in &sessions {
        if !wanted(project, room, team.as_deref().unwrap_or_default()) {
            continue;
        }
        let end = ended.unwrap_or(now).min(now);
        plain.rooms.push((*started, end));
        plain.began.push(*started);
        type Stay = (i64, Option<i64>, String, bool, bool, Option<String>);
        let stays: Vec<Stay> = rows(
            writer,
            &format!(
                "SELECT joined_at, left_at, kind, hidden, counted, reason FROM participations WHERE session = {id}"
            ),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)),
        );
        for (joined, left, kind, hidden, counted, reason) in stays {
            let left = left.map(|left| left.max(started - 86_400_000).min(end));
            let span = (joined.max(started - 86_400_000), left.unwrap_or(end));
            if counted {
                plain.people.push(span);
                plain.joins.push(span.0.min(end));
            }
            match &*kind {
                "agent" => plain.agents.push(span),
                "sip" => plain.calls.push(span),
                _ => {}
            }
            let Some((left, reason)) = left.zip(reason) else { continue };
            if !hidden && reason == "connection_timeout" {
                plain.lost.push(left);
            }
            if kind == "agent" && reason == "agent_error" {
                plain.agents_failed.push(left);
            }
            if kind == "sip" && reason == "user_rejected" {
                plain.calls_failed.push(left);
            }
        }
    }
    type Egress = (String, String, bool, String, i64);
    let egress: Vec<Egress> = rows(writer, "SELECT project, room_sid, ended, json, at FROM egress", |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    });
    for (project, sid, ended, json, at) in egress {
        let of = sessions.iter().find(|session| session.1 == project && session.3 == sid);
        let (room, team) = of.map_or(("", None), |session| (&*session.2, session.6.as_deref()));
        if !wanted(&project, room, team.unwrap_or_default()) {
            continue;
        }
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let started = json["startedAt"].as_i64();
        let stopped = json["endedAt"].as_i64().or(ended.then(|| started.unwrap_or(at)));
        if let Some(started) = started {
            plain.recorded.push((started, stopped.unwrap_or(now).min(now)));
        }
        if let Some(stopped) = stopped.filter(|_| ended && json["status"] == "failed") {
            plain.recordings_failed.push(stopped);
        }
    }
    plain
}

impl Plain {
    /// The same numbers as [`tell`], by looking at every span for every part.
    fn tell(&self, from: i64, to: i64, now: i64) -> Vec<i64> {
        let time = |spans: &[Span]| -> i64 {
            spans.iter().map(|(start, end)| (*end.min(&to) - *start.max(&from)).max(0)).sum()
        };
        let count = |moments: &[i64]| {
            moments.iter().filter(|at| (from..to).contains(at) && **at <= now).count() as i64
        };
        let peak = |spans: &[Span]| {
            let moments = spans.iter().map(|span| span.0).filter(|at| (from..to).contains(at));
            let at_once =
                |at: i64| spans.iter().filter(|(start, end)| (*start..*end).contains(&at)).count() as i64;
            let mut best = (0, 0);
            let mut moments: Vec<i64> = moments.chain([from]).collect();
            moments.sort_unstable();
            for at in moments {
                if at_once(at) > best.0 {
                    best = (at_once(at), at);
                }
            }
            [best.0, best.1]
        };
        let mut all = vec![time(&self.people), time(&self.agents), time(&self.calls), time(&self.recorded)];
        all.extend([count(&self.began), count(&self.joins), count(&self.lost), count(&self.agents_failed)]);
        all.extend([count(&self.calls_failed), count(&self.recordings_failed)]);
        all.extend([peak(&self.rooms), peak(&self.people), peak(&self.agents)].concat());
        all
    }
}

fn tell(m: &Measures) -> Vec<i64> {
    let mut all =
        vec![m.participant_ms(), m.agent_ms(), m.call_ms(), m.recorded_ms(), m.sessions(), m.joins()];
    all.extend([m.lost_connections(), m.failed_agents(), m.failed_calls(), m.failed_recordings()]);
    all.extend([m.rooms(), m.participants(), m.agents()].iter().flat_map(|peak| [peak.most, peak.at]));
    all
}

/// Compares every answer with the plain counts of a file that was written without a fault, and never rolled up.
///
/// A query does not count more than two days by itself. Parts may be unknown for this reason, if `counting` says so.
fn compare(writer: &Writer, clean: &Writer, now: i64, counting: bool) -> Result<(), TestCaseError> {
    let first = rows(clean, "SELECT min(started_at) FROM sessions", |row| row.get::<_, Option<i64>>(0));
    let Some(first) = first[0] else { return Ok(()) };
    let first = first / QUARTER * QUARTER;
    let end = now / QUARTER * QUARTER + QUARTER;
    let quarters: Vec<i64> = (first / QUARTER..=end / QUARTER).map(|n| n * QUARTER).collect();
    // Days of a zone that is 5 hours and 45 minutes ahead.
    let mut days: Vec<i64> =
        (first / 86_400_000..=end / 86_400_000 + 1).map(|n| n * 86_400_000 - 23 * QUARTER).collect();
    days.retain(|day| *day > first && *day < end);
    days.insert(0, first);
    days.push(end);
    let minutes = (now / 60_000 - 50).max(first / 60_000)..=now / 60_000 + 1;
    let minutes: Vec<i64> = minutes.map(|n| n * 60_000).collect();
    let derived = Derived { shared: writer.shared.clone(), writer: Mutex::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    for edges in [quarters, days, minutes] {
        let ask = |group: UsageGroup, only: Option<(&str, &str)>| {
            let only = only.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let query = UsageQuery { window: Window::all(), edges: edges.clone(), group, only, now };
            runtime.block_on(derived.usage(query)).expect("an answer")
        };
        let check = |what: &str, series: &crate::derived::UsageSeries, plain: Plain, peaks: bool| {
            for (part, edge) in series.parts.iter().zip(edges.windows(2)) {
                let Some(part) = part else {
                    prop_assert!(counting, "{what} from {} to {}, now {now}, is unknown", edge[0], edge[1]);
                    continue;
                };
                let (mut told, mut expected) = (tell(part), plain.tell(edge[0], edge[1], now));
                if !peaks {
                    told.truncate(10);
                    expected.truncate(10);
                }
                prop_assert_eq!(
                    told,
                    expected,
                    "{} from {} to {}, now {}: {:?}",
                    what,
                    edge[0],
                    edge[1],
                    now,
                    plain
                );
            }
            Ok(())
        };
        let all = ask(UsageGroup::All, None);
        check("everything", &all.series[0], plain(clean, now, |_, _, _| true), true)?;
        for series in ask(UsageGroup::Project, None).series {
            check(&series.key, &series, plain(clean, now, |project, _, _| project == series.key), true)?;
        }
        for series in ask(UsageGroup::Dimension("kind".into()), None).series {
            let is = |room: &str| !room.is_empty() && (room == "room1") == (series.key == "room1");
            check(&series.key, &series, plain(clean, now, |_, room, _| is(room)), series.peaks_known)?;
        }
        for series in ask(UsageGroup::Dimension("team".into()), None).series {
            let wanted = |_: &str, room: &str, team: &str| !room.is_empty() && team == series.key;
            check(&series.key, &series, plain(clean, now, wanted), series.peaks_known)?;
        }
        for series in ask(UsageGroup::Project, Some(("kind", "room1"))).series {
            let wanted = |project: &str, room: &str, _: &str| project == series.key && room == "room1";
            check(&series.key, &series, plain(clean, now, wanted), true)?;
        }
    }
    Ok(())
}

/// Writes the events in batches, with failures and work in between, and compares.
fn check(news: &[News], batches: Vec<(usize, Option<usize>, Then)>, after: u64) -> Result<(), TestCaseError> {
    let records = records(news);
    let clock = Clock::held(START * 1000);
    let dir = tempfile::tempdir().expect("a directory");
    let clean_dir = tempfile::tempdir().expect("a directory");
    let mut writer = open(dir.path(), &clock);
    let mut rest = &records[..];
    for (length, fault, then) in batches {
        let (batch, later) = rest.split_at(length.min(rest.len()));
        let Some(last) = batch.last() else { break };
        clock.set_wall(last.received_at);
        write(&mut writer, batch, fault);
        match then {
            Then::Nothing => {}
            Then::Count(None) => writer.fill().expect("it is counted"),
            Then::Count(Some(n)) => {
                fail(&writer, n);
                let _ = writer.fill();
                heal(&writer);
            }
            Then::CountAll => {
                while writer.is_behind() {
                    writer.fill().expect("it is counted")
                }
            }
            Then::Restart => {
                drop(writer);
                writer = open(dir.path(), &clock);
            }
        }
        rest = later;
    }
    let mut clean = open(clean_dir.path(), &clock);
    let written = records.len() - rest.len();
    write(&mut clean, &records[..written], None);
    let now = records[written - 1].received_at + after * 1000;
    clock.set_wall(now);
    compare(&writer, &clean, now as i64, true)?;
    while writer.is_behind() {
        writer.fill().expect("it is counted");
    }
    compare(&writer, &clean, now as i64, false)?;
    Ok(())
}

/// A participant leaves twice, and the first leave counts: it is before the join of the second. Then the room has another team.
#[test]
fn who_left_before_they_joined_is_counted_again() {
    let one = |kind, room, person, wait| News { kind, room, person, wait, late: 0 };
    let news = [one(3, 3, 0, 0), one(0, 0, 0, 0), one(8, 3, 1, 0), one(4, 3, 0, 4_000), one(7, 3, 4, 0)];
    check(&news, vec![(4, None, Then::CountAll), (1, None, Then::Nothing)], 10_000).expect("equal");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn usage_equals_a_plain_count(
        news in news(),
        batches in prop::collection::vec((1..9_usize, prop::option::of(0..60_usize), then()), 70),
        after in 0..30_000_u64,
    ) {
        check(&news, batches, after)?;
    }
}
