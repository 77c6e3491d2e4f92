//! The list of sessions: its filters, orders, pages, totals and rights.

use std::{path::Path, time::Instant};

use proptest::prelude::*;
use roomwatch::{
    derived::{Derived, Options, SessionOrder, SessionQuery, SessionSort},
    event::{Epoch, Seq},
    log::Bounds,
    rights::Window,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::{
    said::{START, Said, finished, joined, left, of_egress, room, send, send_all, started},
    *,
};

const T: i64 = START as i64 * 1000;

/// A participant of a kind joins, and leaves for a reason.
fn stay(
    room_sid: &str,
    name: &str,
    identity: &str,
    kind: &str,
    from: u64,
    to: u64,
    reason: &str,
) -> [Said; 2] {
    let sid = format!("PA_{room_sid}_{identity}");
    let mut came = joined(from, room_sid, &sid, identity);
    came.body["participant"]["kind"] = kind.into();
    came.body["room"] = room(room_sid, name);
    let mut gone = left(to, room_sid, &sid, identity);
    for field in ["joinedAt", "joinedAtMs", "kind"] {
        gone.body["participant"][field] = came.body["participant"][field].clone();
    }
    gone.body["participant"]["disconnectReason"] = reason.into();
    gone.body["room"] = room(room_sid, name);
    [came, gone]
}

fn begun(at: u64, sid: &str, name: &str) -> Said {
    let mut begun = started(at, sid, name);
    begun.body["room"]["creationTimeMs"] = (T + at as i64 * 1000).to_string().into();
    begun
}

/// The end of a session that has begun so.
fn over(at: u64, begun: &Said, sid: &str, name: &str) -> Said {
    let mut over = finished(at, sid, name);
    over.body["room"] = begun.body["room"].clone();
    over
}

/// Four sessions: Ann and Bo talk and Bo is lost; a call fails and its agent too, and the recording; Ann is alone for an
/// hour; a room is live with one person.
fn day() -> Vec<Said> {
    let [first, call] = [begun(0, "RM_1", "Café Über"), begun(200, "RM_2", "call-7")];
    let mut day = vec![first.clone(), call.clone()];
    day.extend(stay("RM_1", "Café Über", "ann", "STANDARD", 10, 130, "CLIENT_INITIATED"));
    day.extend(stay("RM_1", "Café Über", "bo", "STANDARD", 10, 70, "SIGNAL_CLOSE"));
    day.push(of_egress(20, "egress_started", "RM_1", "EG_1", ""));
    day.push(of_egress(130, "egress_ended", "RM_1", "EG_1", "EGRESS_COMPLETE"));
    day.push(over(150, &first, "RM_1", "Café Über"));
    day.extend(stay("RM_2", "call-7", "helper", "AGENT", 210, 270, "AGENT_ERROR"));
    day.extend(stay("RM_2", "call-7", "sip_+49301", "SIP", 220, 250, "USER_REJECTED"));
    day.push(of_egress(215, "egress_started", "RM_2", "EG_2", ""));
    day.push(over(280, &call, "RM_2", "call-7"));
    // A recording often fails after the end of its room.
    day.push(of_egress(290, "egress_ended", "RM_2", "EG_2", "EGRESS_FAILED"));
    let alone = begun(300, "RM_3", "alone");
    day.push(alone.clone());
    day.extend(stay("RM_3", "alone", "ann", "STANDARD", 310, 3_910, "CLIENT_INITIATED"));
    day.push(over(3_930, &alone, "RM_3", "alone"));
    day.push(begun(4_000, "RM_4", "standup"));
    day.push(stay("RM_4", "standup", "cléo", "STANDARD", 4_010, 4_011, "")[0].clone());
    day.sort_by_key(|said| said.at);
    day
}

fn sids(answer: &(u16, Value)) -> Vec<&str> {
    assert_eq!(answer.0, 200, "{}", answer.1);
    let sessions = answer.1["sessions"].as_array().expect("sessions");
    sessions.iter().map(|session| &session["sid"].as_str().expect("a sid")[3..]).collect()
}

#[tokio::test]
async fn each_filter_and_each_order() {
    let server = Server::start();
    send_all(&server, &day()).await;
    for (query, expected) in [
        ("", "4 3 2 1"),
        ("order=desc", "4 3 2 1"),
        ("order=asc", "1 2 3 4"),
        ("sort=started&order=asc&limit=2", "1 2"),
        ("sort=duration", "4 3 1 2"),
        ("sort=duration&order=asc", "2 1 3 4"),
        ("sort=participants", "1 4 3 2"),
        ("sort=peak", "1 4 3 2"),
        ("sort=agents", "2 4 3 1"),
        ("sort=calls&order=asc", "1 3 4 2"),
        // A lost connection in 1; a call, an agent and a recording in 2.
        ("sort=trouble", "2 1 4 3"),
        ("sort=minutes", "4 3 1 2"),
        ("room=alone", "3"),
        ("room=alo", ""),
        ("roomContains=ALO", "3"),
        ("roomContains=cafe%20u", "1"),
        ("roomContains=%CC%81", ""),
        ("identity=ann", "3 1"),
        ("identity=an", ""),
        ("participantContains=AN", "3 1"),
        ("participantContains=cleo", "4"),
        ("participantContains=49301", "2"),
        ("participantContains=ann&roomContains=caf", "1"),
        ("participantContains=unknown", ""),
        ("trouble=lost", "1"),
        ("trouble=recording", "2"),
        ("trouble=call", "2"),
        ("trouble=agent", "2"),
        ("trouble=lost&trouble=agent", "2 1"),
        ("recorded=true", "2 1"),
        ("recorded=false", "4 3"),
        ("agents=true", "2"),
        ("agents=false&sort=minutes&order=asc", "1 3 4"),
        ("calls=true", "2"),
        ("calls=false", "4 3 1"),
        ("sort=minutes&to=1787486700000", "3 1 2"),
    ] {
        let answer = server.get(&format!("/api/sessions?{query}")).await;
        assert_eq!(sids(&answer).join(" "), expected, "{query}");
        assert_eq!((&answer.1["complete"], &answer.1["totals"]), (&json!(true), &Value::Null), "{query}");
    }
    for query in [
        "sort=name",
        "order=up",
        "trouble=none",
        "recorded=1",
        "agents=yes",
        "calls=no",
        "totals=1",
        "sort=started&sort=peak",
    ] {
        assert_eq!(server.get(&format!("/api/sessions?{query}")).await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn a_session_has_its_numbers_and_the_list_has_totals() {
    let server = Server::start();
    let day = day();
    let end =
        day.iter().position(|said| said.body["egressInfo"]["status"] == "EGRESS_FAILED").expect("it fails");
    send_all(&server, &day[..end]).await;
    // The end of the session is written, and then the recording fails.
    let (_, ended) = server.get("/api/sessions/RM_2").await;
    assert_eq!(
        (&ended["session"]["endedAt"], &ended["session"]["failedRecordings"]),
        (&json!(T + 280_999), &json!(0))
    );
    for (n, said) in day.iter().enumerate().skip(end) {
        send(&server, &format!("EV_{n}"), said).await;
    }
    let (_, call) = server.get("/api/sessions/RM_2").await;
    let numbers = |session: &Value| {
        let names = [
            "participantCount",
            "agentCount",
            "callCount",
            "failedCalls",
            "lostConnections",
            "failedAgents",
            "failedRecordings",
        ];
        names.map(|name| session[name].as_i64().expect("a number"))
    };
    assert_eq!(numbers(&call["session"]), [1, 1, 1, 1, 0, 1, 1]);
    // A late webhook has the time of its second: 30.9 s and 60.9 s.
    let minutes = |session: &Value| {
        ["participantMinutes", "agentMinutes", "callMinutes"]
            .map(|name| (session[name].as_f64().expect("a number") * 10.0).round() as i64)
    };
    assert_eq!(minutes(&call["session"]), [5, 10, 5]);
    let totals = async |query: &str| {
        let (_, answer) = server.get(&format!("/api/sessions?totals=true&limit=1&{query}")).await;
        let of = |name: &str| answer["totals"][name].as_f64().expect("a number").round() as i64;
        (of("sessions"), of("participantMinutes"), of("peak"), of("people"))
    };
    assert_eq!(totals("room=alone").await, (1, 60, 1, 1));
    // Ann counts once. 2 and 1 minutes of the first, half a minute of the call, an hour.
    assert_eq!(totals("to=1787486700000").await, (3, 64, 2, 3));
    assert_eq!(totals("trouble=lost&sort=peak").await, (1, 3, 2, 2));
    assert_eq!(totals("room=unknown").await, (0, 0, 0, 0));
    // Only the first page has them.
    let (_, first) = server.get("/api/sessions?totals=true&limit=1").await;
    let next = first["next"].as_str().expect("a cursor");
    let (_, second) = server.get(&format!("/api/sessions?totals=true&limit=1&before={next}")).await;
    assert_eq!(second["totals"], Value::Null);
}

#[tokio::test]
async fn each_cursor_continues_its_own_order_and_no_other() {
    let server = Server::start();
    send_all(&server, &day()).await;
    let sorts = ["started", "duration", "participants", "peak", "agents", "calls", "trouble", "minutes"];
    for sort in sorts {
        for order in ["asc", "desc"] {
            let whole = server.get(&format!("/api/sessions?sort={sort}&order={order}")).await;
            let (mut seen, mut cursors) = (Vec::new(), Vec::new());
            let mut path = format!("/api/sessions?sort={sort}&order={order}&limit=1");
            loop {
                let page = server.get(&path).await;
                seen.extend(sids(&page).into_iter().map(str::to_owned));
                assert!(seen.len() < 10, "{path}: the pages do not end");
                let Some(next) = page.1["next"].as_str() else { break };
                cursors.push(next.to_owned());
                path = format!("/api/sessions?sort={sort}&order={order}&limit=1&before={next}");
            }
            assert_eq!(seen, sids(&whole), "{sort} {order}");
            let other = if order == "asc" { "desc" } else { "asc" };
            for cursor in cursors {
                let path = format!("/api/sessions?sort={sort}&order={other}&before={cursor}");
                let (status, answer) = server.get(&path).await;
                assert_eq!((status, &answer["error"]["code"]), (400, &json!("bad_cursor")), "{path}");
            }
        }
    }
}

/// A caller's totals, filters and orders show nothing of a room or a participant that the caller may not see.
#[tokio::test]
async fn totals_and_filters_are_of_visible_sessions_and_participants() {
    let server = Server::start();
    send_all(&server, &day()).await;
    let mut recorder = joined(4_020, "RM_4", "PA_rec", "EG_9");
    recorder.body["room"] = room("RM_4", "standup");
    recorder.body["participant"]["kind"] = "EGRESS".into();
    recorder.body["participant"]["permission"] = json!({"hidden": true, "recorder": true});
    let mut spy = joined(4_030, "RM_4", "PA_spy", "spy");
    spy.body["room"] = room("RM_4", "standup");
    spy.body["participant"]["kind"] = "AGENT".into();
    spy.body["participant"]["permission"] = json!({"hidden": true, "agent": true});
    let mut failed = of_egress(4_040, "egress_ended", "RM_4", "EG_9", "EGRESS_FAILED");
    failed.body["egressInfo"]["roomName"] = "standup".into();
    for (id, said) in [("EV_rec", recorder), ("EV_spy", spy), ("EV_failed", failed)] {
        send(&server, id, &said).await;
    }
    let alone = admin_token("alone");
    let join = join_token("standup");
    for (token, query, expected, sessions, people) in [
        (&alone, "", "3", 1, 1),
        (&alone, "trouble=lost&trouble=call&trouble=agent&trouble=recording", "", 0, 0),
        (&alone, "participantContains=a&sort=minutes", "3", 1, 1),
        (&alone, "participantContains=bo", "", 0, 0),
        (&join, "sort=duration", "4", 1, 1),
        (&join, "participantContains=cleo", "4", 1, 1),
        (&join, "participantContains=spy", "", 0, 0),
        (&join, "participantContains=EG_9", "", 0, 0),
        (&join, "agents=true", "", 0, 0),
        (&join, "trouble=recording", "", 0, 0),
        (&join, "roomContains=cafe", "", 0, 0),
    ] {
        let answer = server.get_as(token, &format!("/api/sessions?totals=true&{query}")).await;
        assert_eq!(sids(&answer).join(" "), expected, "{query}");
        let totals = &answer.1["totals"];
        assert_eq!(
            (&totals["sessions"], &totals["people"]),
            (&json!(sessions), &json!(people)),
            "{query}: {totals}"
        );
    }
    let (_, session) = server.get_as(&join, "/api/sessions/RM_4").await;
    assert_eq!(
        (&session["session"]["agentCount"], &session["session"]["failedRecordings"]),
        (&json!(0), &json!(0))
    );
    let (_, session) = server.get("/api/sessions/RM_4").await;
    assert_eq!(
        (&session["session"]["agentCount"], &session["session"]["failedRecordings"]),
        (&json!(1), &json!(1))
    );
}

/// Makes a file with the tables of now and runs this SQL in it.
fn file(dir: &Path, sql: &str) -> Derived {
    let bounds = Bounds { epoch: Epoch(7), first: Seq(1), last: Seq(1) };
    let (derived, _) = Derived::open(dir, bounds, Options::default()).expect("it opens");
    derived.close();
    let connection = Connection::open(dir.join("derived.db")).expect("it opens");
    connection.execute_batch(&format!("BEGIN; {sql}; COMMIT")).expect("filled");
    drop(connection);
    Derived::open(dir, bounds, Options::default()).expect("it opens").0
}

const SORTS: [SessionSort; 8] = [
    SessionSort::Started,
    SessionSort::Duration,
    SessionSort::Participants,
    SessionSort::Peak,
    SessionSort::Agents,
    SessionSort::Calls,
    SessionSort::Trouble,
    SessionSort::Minutes,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 20, ..ProptestConfig::default() })]

    /// Few different values, so that many sessions have equal keys. A third is live, a third is not counted.
    #[test]
    fn pages_have_each_session_once_in_every_order(
        rows in prop::collection::vec((0..3i64, 0..3i64, 0..3i64, 0..3u8), 1..40),
        limit in 1..7usize,
    ) {
        let mut sql = String::new();
        for (n, (started, a, b, kind)) in rows.iter().enumerate() {
            let started = T + started * 60_000;
            let (ended, counted) = match kind {
                0 => ("NULL".to_owned(), "NULL".to_owned()),
                1 => ((started + a * 60_000).to_string(), "NULL".to_owned()),
                _ => ((started + a * 60_000).to_string(), (b * 60_000).to_string()),
            };
            sql.push_str(&format!(
                "INSERT INTO sessions (id, project, sid, room, started_at, ended_at, source, participants, peak, agents,
                 lost, agents_failed, calls, calls_failed, people_ms, agent_ms, call_ms, recordings_failed)
                 VALUES ({n} + 1, 'p', 'RM_{n}', 'r', {started}, {ended}, 'webhook', {a}, {b}, {a}, {b}, 0, {a}, 0,
                 {counted}, 0, 0, {a});"
            ));
            for p in 0..*b {
                let kind = if p == 0 { "sip" } else { "agent" };
                sql.push_str(&format!(
                    "INSERT INTO participations (session, sid, identity, name, kind, hidden, watcher, counted, restricted,
                     joined_at, left_at, left_not_before, reason, source) VALUES ({n} + 1, 'PA_{p}', 'i{p}', '', '{kind}', 0, 0, 1, 0, {started},
                     NULL, NULL, 'signal_close', 'webhook');"
                ));
            }
        }
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let derived = file(dir.path(), &sql);
            for sort in SORTS {
                for ascending in [false, true] {
                    let order = SessionOrder { sort, ascending };
                    let (mut sids, mut keys, mut before) = (Vec::new(), Vec::new(), None);
                    let mut now = T as u64 + 600_000;
                    loop {
                        let page = derived
                            .sessions(SessionQuery { order, before, now, limit, ..SessionQuery::newest(Window::all(), 0) })
                            .await
                            .expect("a page");
                        // The present of the first page counts.
                        now += 1_000_000;
                        for session in page.sessions {
                            let end = session.ended_at.unwrap_or(T + 600_000);
                            keys.push(match sort {
                                SessionSort::Started => session.started_at as f64,
                                SessionSort::Duration => (end - session.started_at) as f64,
                                SessionSort::Participants => session.participant_count as f64,
                                SessionSort::Peak => session.peak as f64,
                                SessionSort::Agents => session.agent_count as f64,
                                SessionSort::Calls => session.call_count as f64,
                                SessionSort::Trouble => (session.lost_connections
                                    + session.failed_recordings
                                    + session.failed_calls
                                    + session.failed_agents) as f64,
                                SessionSort::Minutes => session.participant_minutes,
                            });
                            sids.push(session.sid);
                        }
                        assert!(sids.len() <= rows.len(), "{order:?}: {sids:?}");
                        before = page.next;
                        if before.is_none() {
                            break;
                        }
                    }
                    let in_order = keys.windows(2).all(|two| if ascending { two[0] <= two[1] } else { two[0] >= two[1] });
                    assert!(in_order, "{order:?}: {keys:?}");
                    sids.sort();
                    let mut all: Vec<_> = (0..rows.len()).map(|n| format!("RM_{n}")).collect();
                    all.sort();
                    assert_eq!(sids, all, "{order:?}");
                }
            }
        });
    }
}

/// Sessions `1..=n` of `people` participants each, newest last. The last one is live.
fn filled(n: usize, people: usize, counted: bool) -> String {
    let people_ms = if counted { "60000" } else { "NULL" };
    format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n})
         INSERT INTO sessions (id, project, sid, room, started_at, ended_at, source, participants, peak, agents, lost,
         agents_failed, calls, calls_failed, people_ms, agent_ms, call_ms, recordings_failed)
         SELECT i, 'p', 'RM_' || i, 'room ' || i, {T} + i, iif(i = {n}, NULL, {T} + i + 60000), 'webhook', {people}, 2, 0,
         0, 0, 0, 0, {people_ms}, 0, 0, 0 FROM n;
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n}),
         p (j) AS (SELECT 1 UNION ALL SELECT j + 1 FROM p WHERE j < {people})
         INSERT INTO participations (session, sid, identity, name, kind, hidden, watcher, counted, restricted,
         joined_at, left_at, left_not_before, reason, source) SELECT i, 'PA_' || j, 'person ' || j, '', 'standard', 0, 0, 1, 0, {T} + i,
         iif(i = {n}, NULL, {T} + i + 60000), NULL, 'signal_close', 'webhook' FROM n, p"
    )
}

#[tokio::test]
async fn a_session_of_100_000_participants_is_answered_in_bounded_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let derived = file(dir.path(), &filled(1, 100_000, false));
    let begun = Instant::now();
    let now = T as u64 + 60_001;
    for sort in [SessionSort::Minutes, SessionSort::Started] {
        let order = SessionOrder { sort, ascending: false };
        let query = SessionQuery { order, now, totals: true, ..SessionQuery::newest(Window::all(), 50) };
        let page = derived.sessions(query).await.expect("a page");
        assert!(page.complete);
        let totals = page.totals.expect("totals");
        assert_eq!((totals.sessions, totals.people, totals.peak), (1, 100_000, 2));
        let session = &page.sessions[0];
        assert_eq!((session.participant_count, session.lost_connections), (100_000, 100_000));
        assert!((session.participant_minutes - 100_000.0).abs() < 0.01, "{}", session.participant_minutes);
    }
    let detail =
        derived.session(Window::all(), "RM_1".into(), now).await.expect("it reads").expect("it is there");
    assert_eq!(detail.session.participant_count, 100_000);
    assert_eq!(detail.participations.len(), 20_000);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

/// More sessions than one query looks at: a filter by the start goes on page by page, and everything else says so.
#[tokio::test]
async fn a_query_looks_at_a_limited_number_of_sessions_and_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let derived = file(dir.path(), &filled(100_010, 1, true));
    let newest = || SessionQuery { now: T as u64 + 1_000_000, ..SessionQuery::newest(Window::all(), 50) };
    let mut oldest = newest();
    oldest.filter.room = Some("room 5".into());
    let first = derived.sessions(SessionQuery { limit: 1_000, ..oldest.clone() }).await.expect("a page");
    assert!(first.complete, "a full page stops early");
    oldest.filter.room = Some("ROOM 1".into());
    oldest.filter.agents = Some(true);
    let first = derived.sessions(oldest.clone()).await.expect("a page");
    assert_eq!((first.sessions.len(), first.complete), (0, false));
    let next = SessionQuery { before: Some(first.next.expect("it goes on")), ..oldest };
    let second = derived.sessions(next).await.expect("a page");
    assert_eq!((second.sessions.len(), second.complete, second.next), (0, true, None));

    let order = SessionOrder { sort: SessionSort::Duration, ascending: true };
    let page = derived.sessions(SessionQuery { order, totals: true, ..newest() }).await.expect("a page");
    assert_eq!((page.sessions.len(), page.complete), (50, false));
    assert_eq!(page.totals.expect("totals").sessions, 100_000);
    // The first page of the newest costs nothing of this.
    let page = derived.sessions(newest()).await.expect("a page");
    assert!(page.complete && page.next.is_some());
}

/// `upgrade.rs` has those that an upgrade counts.
#[tokio::test]
async fn sessions_that_are_not_counted_are_counted_when_they_are_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let derived = file(dir.path(), &filled(3, 2, false));
    let query = SessionQuery { now: T as u64 + 60_003, ..SessionQuery::newest(Window::all(), 10) };
    let sessions = derived.sessions(query).await.expect("a page").sessions;
    assert_eq!(sessions.len(), 3);
    for session in sessions {
        assert_eq!((session.participant_count, session.lost_connections), (2, 2));
        assert!((session.participant_minutes - 2.0).abs() < 0.001, "{session:?}");
    }
}
