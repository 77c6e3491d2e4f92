//! Usage over time, over HTTP: numbers as LiveKit's events make them, also after late ones.

use std::time::Instant;

use roomwatch::{
    clock::Clock,
    derived::{Derived, Options, UsageGroup, UsageQuery},
    event::{Epoch, Seq},
    log::Bounds,
    rights::Window,
};
use serde_json::{Value, json};

use crate::harness::{
    said::{START, Said, finished, joined, left, room, send, started},
    *,
};

const T: i64 = START as i64 * 1000;
const QUARTER: i64 = 900_000;

/// A session with a participant, who is there from the first until the second time, in seconds.
fn meeting(at: u64, n: u64, stays: &[(&str, u64, u64)], ends: u64) -> Vec<Said> {
    let (sid, name) = (format!("RM_{n}"), format!("room-{n}"));
    let with_room = |mut said: Said| {
        said.body["room"] = room(&sid, &name);
        for (field, at) in [("creationTime", START + at), ("creationTimeMs", (START + at) * 1000)] {
            said.body["room"][field] = at.to_string().into();
        }
        said
    };
    let mut all = vec![with_room(started(at, &sid, &name))];
    for (identity, from, to) in stays {
        let pa = format!("PA_{n}_{identity}");
        let mut came = joined(at + from, &sid, &pa, identity);
        let joined_at = START + at + from;
        for (field, at) in [("joinedAt", joined_at), ("joinedAtMs", joined_at * 1000)] {
            came.body["participant"][field] = at.to_string().into();
        }
        // LiveKit reports whole seconds, and a leave is at the end of its second.
        let mut gone = left(at + to - 1, &sid, &pa, identity);
        gone.body["participant"] = came.body["participant"].clone();
        gone.body["participant"]["state"] = "DISCONNECTED".into();
        gone.body["participant"]["disconnectReason"] =
            if *identity == "bo" { "SIGNAL_CLOSE" } else { "CLIENT_INITIATED" }.into();
        all.extend([with_room(came), with_room(gone)]);
    }
    all.push(with_room(finished(at + ends, &sid, &name)));
    all.sort_by_key(|said| said.at);
    all
}

/// Posts events of one meeting.
async fn send_all(server: &Server, all: &[Said]) {
    for said in all {
        send(server, &format!("EV_{}", fastrand::u64(..)), said).await;
    }
}

async fn usage(server: &Server, query: &str) -> Value {
    let path = format!("/api/usage?{query}");
    // The quarters of the time since the meetings are counted behind the events.
    until_async("the usage is counted", async || server.get(&path).await.1["counting"] == false).await;
    let (status, answer) = server.get(&path).await;
    assert_eq!(status, 200, "{query}: {answer}");
    answer
}

/// Returns a member of each point.
fn column(answer: &Value, name: &str) -> Value {
    let points = answer["series"][0]["points"].as_array().expect("points");
    points.iter().map(|point| point["numbers"][name].clone()).collect()
}

#[tokio::test]
async fn numbers_are_exact_and_late_news_changes_them() {
    let server = Server::start();
    // Ann is there for 20 minutes, over the end of a quarter of an hour; Bo is lost after one.
    let before = meeting(600, 1, &[("ann", 0, 1_200), ("bo", 60, 120)], 1_260);
    send_all(&server, &before).await;
    let query = format!("from={T}&to={}&step=quarter", T + 3 * QUARTER);
    let answer = usage(&server, &query).await;
    assert_eq!(column(&answer, "participantMinutes"), json!([6.0, 15.0, 0.0]), "{answer}");
    assert_eq!(column(&answer, "sessions"), json!([1, 0, 0]));
    assert_eq!(column(&answer, "joins"), json!([2, 0, 0]));
    assert_eq!(column(&answer, "lostConnections"), json!([1, 0, 0]));
    assert_eq!(column(&answer, "failures"), json!([1, 0, 0]));
    let peaks = json!([{ "count": 2, "at": T + 660_000 }, { "count": 1, "at": T + QUARTER }, { "count": 0, "at": null }]);
    assert_eq!(column(&answer, "peakParticipants"), peaks);
    assert_eq!(answer["series"][0]["total"]["participantMinutes"], 21.0);
    assert_eq!(answer["series"][0]["total"]["peakParticipants"], json!({ "count": 2, "at": T + 660_000 }));
    assert_eq!(answer["knownFrom"], T, "{answer}");

    // Months later, a webhook about the past arrives: Cy was there too.
    let late = meeting(600, 1, &[("cy", 30, 90)], 1_260);
    send_all(&server, &late[1..3]).await;
    let answer = usage(&server, &query).await;
    assert_eq!(column(&answer, "participantMinutes"), json!([7.0, 15.0, 0.0]), "{answer}");
    assert_eq!(column(&answer, "joins"), json!([3, 0, 0]));
    assert_eq!(column(&answer, "peakParticipants")[0], json!({ "count": 3, "at": T + 660_000 }));
    // Minutes are counted by the query.
    let minutes = usage(&server, &format!("from={}&to={}&step=minute", T + 600_000, T + 780_000)).await;
    assert_eq!(column(&minutes, "participantMinutes"), json!([1.5, 2.5, 1.0]), "{minutes}");
    assert_eq!(minutes["series"][0]["total"]["joins"], 3);
}

#[tokio::test]
async fn a_week_without_anything_is_zero_and_the_time_before_is_unknown() {
    let server = Server::start();
    const DAY: u64 = 86_400;
    for (n, day) in [0, 1, 10, 20].into_iter().enumerate() {
        send_all(&server, &meeting(day * DAY, n as u64, &[("ann", 0, 600)], 700)).await;
    }
    // Kathmandu is 5 hours and 45 minutes ahead: the meetings at noon are at 17:45.
    let (from, to) = (T - 2 * 86_400_000, T + 21 * 86_400_000);
    let answer = usage(&server, &format!("from={from}&to={to}&step=day&zone=Asia/Kathmandu")).await;
    let told = column(&answer, "sessions");
    let mut expected = vec![Value::Null; 2];
    expected.extend((0..22).map(|day| json!(i64::from([0, 1, 10, 20].contains(&day)))));
    assert_eq!(told, Value::Array(expected), "{answer}");
    assert_eq!(answer["series"][0]["total"]["participantMinutes"], 40.0);
    assert_eq!(answer["series"][0]["points"][2]["at"], T - 17 * 3_600_000 - 45 * 60_000, "{answer}");
}

#[tokio::test]
async fn groups_and_csv() {
    let server = Server::start();
    send_all(&server, &meeting(0, 1, &[("ann", 0, 600)], 600)).await;
    let query = format!("from={T}&to={}&step=quarter&groupBy=project", T + QUARTER);
    let answer = usage(&server, &query).await;
    assert_eq!(answer["series"][0]["key"], "default", "{answer}");
    assert_eq!(answer["series"][0]["total"]["participantMinutes"], 10.0);
    let path = format!("/api/usage?{query}&format=csv&zone=Asia/Kolkata");
    let answer = client().get(server.url(&path)).bearer_auth(list_token()).send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let text = answer.text().await.expect("text");
    let expected = "from,project,participant_minutes,agent_minutes,sip_minutes,recorded_minutes,sessions,joins,failures,\
        lost_connections,failed_agents,failed_calls,failed_recordings,peak_rooms,peak_participants,peak_agents\r\n\
        2026-08-23T17:30:00+05:30,default,10,0,0,0,1,1,0,0,0,0,0,1,1,0\r\n";
    assert_eq!(text, expected);
    for (query, code) in [
        ("zone=Mars/Base", "bad_zone"),
        ("groupBy=team", "bad_dimension"),
        ("dimension=team&value=a", "bad_dimension"),
        ("step=year", "bad_parameter"),
        ("from=5&to=5", "bad_time"),
        ("from=0&step=minute", "too_many_points"),
        ("from=0&step=quarter", "too_many_points"),
        ("room=a", "unknown_parameter"),
    ] {
        let (status, answer) = server.get(&format!("/api/usage?{query}")).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{query}: {answer}");
    }
}

/// A meeting in a room of this name, with this metadata.
fn of_room(at: u64, n: u64, name: &str, metadata: &str) -> Vec<Said> {
    let mut all = meeting(at, n, &[("ann", 0, 600)], 700);
    for said in &mut all {
        said.body["room"]["name"] = name.into();
        said.body["room"]["metadata"] = metadata.into();
    }
    all
}

#[tokio::test]
async fn dimensions_divide_and_filter() {
    let file = "[[usage.dimensions]]\nname = \"kind\"\nroom_prefixes = [\"call-\", \"call-vip-\", \"class-\"]\n\
                [[usage.dimensions]]\nname = \"team\"\nmetadata = \"team\"\n";
    let server = Start::new().file(file).start();
    for (n, (name, metadata)) in [
        ("call-1", r#"{"team":"red"}"#),
        ("call-vip-2", r#"{"team":"=cmd"}"#),
        ("class-3", r#"{"team":"red"}"#),
        ("lobby", "not JSON"),
    ]
    .into_iter()
    .enumerate()
    {
        send_all(&server, &of_room(n as u64 * 10, n as u64, name, metadata)).await;
    }
    let query = format!("from={T}&to={}&step=quarter", T + QUARTER);
    let keys = async |more: &str| {
        let answer = usage(&server, &format!("{query}&{more}")).await;
        let series = answer["series"].as_array().expect("series").iter();
        let mut told: Vec<(String, i64)> = series
            .map(|one| {
                let key = one["key"].as_str().unwrap_or("-").to_owned();
                (key, one["total"]["sessions"].as_i64().expect("a number"))
            })
            .collect();
        told.sort();
        told.iter().map(|(key, sessions)| format!("{key}:{sessions}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(usage(&server, &query).await["dimensions"], json!(["kind", "team"]));
    for (more, expected) in [
        ("", "-:4"),
        // The longest prefix counts.
        ("groupBy=kind", "call-:1 call-vip-:1 class-:1 other:1"),
        ("groupBy=team", ":1 =cmd:1 red:2"),
        ("dimension=team&value=red", "-:2"),
        ("groupBy=team&dimension=team&value=red", "red:2"),
        // Rooms without a value.
        ("dimension=team", "-:1"),
        ("dimension=kind&value=other", "-:1"),
        ("dimension=team&value=none", "-:0"),
    ] {
        assert_eq!(keys(more).await, expected, "{more}");
    }
    let path = format!("/api/usage?{query}&groupBy=team&format=csv");
    let answer = client().get(server.url(&path)).bearer_auth(list_token()).send().await.expect("an answer");
    let text = answer.text().await.expect("text");
    assert!(text.contains("Z,'=cmd,10,") || text.contains("+00:00,'=cmd,10,"), "{text}");
    let (status, answer) =
        server.get(&format!("/api/usage?{query}&groupBy=team&dimension=kind&value=x")).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("bad_dimension")));
}

/// Meetings of ten minutes at both sides of each midnight, in zones that are 30 and 45 minutes off, and over both changes
/// of the clocks: each day of the zone has its own.
#[tokio::test]
async fn days_have_their_own_meetings_in_every_zone_and_over_changes_of_the_clock() {
    // (zone, beginnings of three days as unix seconds): as Python's zoneinfo has them.
    let table: [(&str, [u64; 4]); 5] = [
        // 2026-10-24, 25 (25 hours) and 26.
        ("Europe/Berlin", [1_792_792_800, 1_792_879_200, 1_792_969_200, 1_793_055_600]),
        // 2026-10-03, 04 (23 hours) and 05.
        ("Australia/Sydney", [1_790_949_600, 1_791_036_000, 1_791_118_800, 1_791_205_200]),
        // 2026-10-03, 04 (23.5 hours) and 05, half an hour of daylight saving.
        ("Australia/Lord_Howe", [1_790_947_800, 1_791_034_200, 1_791_118_800, 1_791_205_200]),
        // 2026-09-01, 02 and 03, without daylight saving.
        ("Asia/Kathmandu", [1_788_200_100, 1_788_286_500, 1_788_372_900, 1_788_459_300]),
        ("Asia/Kolkata", [1_788_201_000, 1_788_287_400, 1_788_373_800, 1_788_460_200]),
    ];
    for (zone, days) in table {
        let server = Server::start();
        for (n, day) in days[..3].iter().enumerate() {
            // `n + 1` begin in the first minute of the day, and one in its last quarter of an hour.
            for m in 0..=n as u64 {
                send_all(&server, &meeting(day - START + m, n as u64 * 10 + m, &[("ann", 0, 600)], 610))
                    .await;
            }
            let late = days[n + 1] - 620;
            send_all(&server, &meeting(late - START, n as u64 * 10 + 9, &[("ann", 0, 600)], 610)).await;
        }
        let (from, to) = (days[0] * 1000, days[3] * 1000);
        for (step, points) in
            [("day", 3), ("hour", (days[3] - days[0]).div_ceil(3600) as usize), ("month", 1)]
        {
            let answer = usage(&server, &format!("from={from}&to={to}&step={step}&zone={zone}")).await;
            let told = column(&answer, "sessions");
            let told = told.as_array().expect("points");
            let sum: i64 = told.iter().map(|one| one.as_i64().expect("known")).sum();
            assert_eq!(sum, 9, "{zone} {step}: {answer}");
            assert_eq!(answer["series"][0]["total"]["participantMinutes"], 90.0, "{zone} {step}");
            if step == "day" {
                assert_eq!(told, &[json!(2), json!(3), json!(4)], "{zone}");
                assert_eq!(column(&answer, "participantMinutes"), json!([20.0, 30.0, 40.0]), "{zone}");
            }
            assert_eq!(told.len(), points, "{zone} {step}");
        }
    }
}

/// A year with ten million participations, which `PARTICIPATIONS` changes. It is written into the file, because sending it
/// would take hours.
#[tokio::test]
#[ignore = "takes minutes; run it in the profile soak"]
async fn a_year_of_ten_million_participations_is_answered_in_time() {
    let wanted = std::env::var("PARTICIPATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000_000_i64);
    let (sessions, year) = (wanted / 4, 365 * 86_400_000_i64);
    let dir = tempfile::tempdir().expect("a directory");
    let bounds = Bounds { epoch: Epoch(7), first: Seq(1), last: Seq(0) };
    let clock = Clock::held((T + year) as u64);
    let options = || Options { clock: clock.clone(), ..Options::default() };
    Derived::open(dir.path(), bounds, options()).expect("it opens").0.close();
    let connection = rusqlite::Connection::open(dir.path().join("derived.db")).expect("it opens");
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = OFF; BEGIN;
             WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {sessions})
             INSERT INTO sessions (project, sid, room, started_at, ended_at, source)
             SELECT 'default', 'RM_' || i, 'room-' || (i % 500), {T} + i * {year} / {sessions},
                 {T} + i * {year} / {sessions} + 1800000, 'webhook' FROM n;
             INSERT INTO participations (session, sid, identity, name, kind, hidden, watcher, counted, restricted, joined_at,
                 left_at, source)
             SELECT s.id, 'PA_' || s.id || '_' || p.value, 'p' || p.value, '', 'standard', 0, 0, 1, 0,
                 s.started_at + 60000 * p.value, s.ended_at - 60000 * p.value, 'webhook'
                 FROM sessions s, json_each('[1, 2, 3, 4]') p;
             COMMIT;"
        ))
        .expect("written");
    let began = Instant::now();
    let (derived, _) = Derived::open(dir.path(), bounds, options()).expect("it opens");
    let edges: Vec<i64> = (0..=365).map(|n| T + n * 86_400_000).collect();
    let query = || UsageQuery {
        window: Window::all(),
        edges: edges.clone(),
        group: UsageGroup::All,
        only: None,
        now: T + year,
    };
    // A file that is only opened is counted at once, without any event.
    while derived.usage(query()).await.expect("an answer").counting {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    eprintln!("{wanted} participations are counted in {:?}", began.elapsed());
    let began = Instant::now();
    let answer = derived.usage(query()).await.expect("an answer");
    let took = began.elapsed();
    let bytes: i64 = connection
        .query_row("SELECT sum(length(quarters)) FROM usage", [], |row| row.get(0))
        .expect("a number");
    eprintln!(
        "a year by day takes {took:?}; {bytes} bytes, {} a participation",
        bytes as f64 / wanted as f64
    );
    let total = answer.series[0].total;
    assert_eq!((total.sessions(), total.joins()), (sessions, sessions * 4));
    // Each stay is 30 minutes, less two, four, six and eight.
    assert_eq!(
        total.participant_ms(),
        sessions * (28 + 26 + 24 + 22) * 60_000 - after_the_year(sessions, year)
    );
    assert!(took.as_millis() < 100, "{took:?}");
}

/// Returns the milliseconds of the last stays that are after the end of the year.
fn after_the_year(sessions: i64, year: i64) -> i64 {
    let late = |n: i64| {
        let started = n * year / sessions;
        let stay = |p: i64| {
            let (from, to) = (started + p * 60_000, started + 1_800_000 - p * 60_000);
            to - to.min(year).max(from)
        };
        (1..=4).map(stay).sum::<i64>()
    };
    (sessions - 1_000..sessions).map(late).sum()
}
