//! The space that an event takes on the disk, in the log and in what is derived from it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use fastrand::Rng;
use roomwatch::{
    clock::Clock,
    derived::{Derived, Options, Step},
    event::{Event, NewEvent, Seq, Source},
    follow::encode,
    log::{EventLog, LogOptions, rate, sqlite::SqliteLog},
};

use crate::harness::{said, until_async};

const NOW: u64 = 1_787_486_406_123;
const MINUTE: Duration = Duration::from_secs(60);
const GUESTS: usize = 8;
const ROOMS_AT_ONCE: usize = 40;

/// Meetings as LiveKit reports them: every sid, identity, name and time differs.
struct Meetings {
    random: Rng,
    now: u64,
    /// Milliseconds between two events.
    every: u64,
    seq: u64,
    rooms: Vec<Vec<Template>>,
}

/// One event of a meeting that is still to come: a fixture, and the texts to replace in it.
struct Template {
    fixture: &'static str,
    replace: Vec<(&'static str, String)>,
}

impl Meetings {
    fn new(every: u64) -> Meetings {
        Meetings { random: Rng::with_seed(7), now: NOW, every, seq: 0, rooms: Vec::new() }
    }

    fn sid(&mut self, prefix: &str) -> String {
        let letters = std::iter::repeat_with(|| self.random.alphanumeric()).take(12).collect::<String>();
        format!("{prefix}_{letters}")
    }

    /// The events of one meeting, the last first.
    fn meeting(&mut self) -> Vec<Template> {
        let n = self.random.u32(..10_000);
        let room = [("RM_hycFrzyc8LMX", self.sid("RM")), ("standup", format!("room-{n}"))];
        let seconds = self.now / 1000;
        let room: Vec<_> = room
            .into_iter()
            .chain([("1795467038990", self.now.to_string()), ("1795467038", seconds.to_string())])
            .collect();
        let template =
            |fixture, replace: &[&[(&'static str, String)]]| Template { fixture, replace: replace.concat() };
        let mut people = Vec::new();
        for _ in 0..GUESTS {
            let (sid, user) = (self.sid("PA"), self.random.u32(..1_000_000));
            let who = [
                ("PA_7mFqL2vXo9Ka", sid),
                ("alice", format!("user-{user}")),
                ("Alice", format!("Guest Number {user}")),
            ];
            let track = |of: &mut Self| {
                [
                    ("TR_VCq3mXv8T2nLk9", of.sid("TR_VC")),
                    ("TR_AMfixture00001", of.sid("TR_AM")),
                    ("18b8b833-2f31-437c-a5cc-c0f229cd3346", format!("{:032x}", of.random.u128(..))),
                ]
            };
            let (microphone, camera) = (track(self), track(self));
            people.push([
                template("participant_left", &[&room, &who]),
                template("track_published", &[&room, &who, &camera]),
                template("track_published.microphone", &[&room, &who, &microphone]),
                template("participant_joined", &[&room, &who]),
            ]);
        }
        let mut all = vec![template("room_finished", &[&room])];
        let (mut leaves, mut rest) = (Vec::new(), Vec::new());
        for [left, camera, microphone, joined] in people {
            leaves.push(left);
            rest.extend([camera, microphone, joined]);
        }
        all.extend(leaves);
        all.extend(rest);
        all.push(template("room_started", &[&room]));
        all
    }

    fn next(&mut self) -> Event {
        while self.rooms.len() < ROOMS_AT_ONCE {
            let meeting = self.meeting();
            self.rooms.push(meeting);
        }
        let n = self.random.usize(..self.rooms.len());
        let template = self.rooms[n].pop().expect("an event");
        if self.rooms[n].is_empty() {
            self.rooms.swap_remove(n);
        }
        let mut body =
            String::from_utf8(said::fixture(template.fixture)).expect("text").trim_end().to_owned();
        for (from, to) in &template.replace {
            body = body.replace(from, to);
        }
        let id = body.find("EV_").expect("an id");
        let end = id + body[id..].find('"').expect("its end");
        body.replace_range(id..end, &self.sid("EV"));
        while let Some(at) = body.find("17954670") {
            let text = body[at..].chars().take_while(char::is_ascii_digit).count();
            let time = format!("{}{:03}", self.now, self.random.u32(..1000));
            body.replace_range(at..at + text, &time[..text]);
        }
        (self.seq, self.now) = (self.seq + 1, self.now + self.every);
        said::event(self.seq, "default", Source::Webhook, self.now, body.as_bytes())
    }
}

fn new(event: &Event) -> NewEvent {
    NewEvent {
        id: event.seq.to_string().into(),
        project: event.project.clone(),
        source: event.source,
        received_at: event.received_at,
        kind: event.kind.clone(),
        room: event.room.clone(),
        room_sid: event.room_sid.clone(),
        body: event.body.clone(),
    }
}

fn number(path: &Path, sql: &str) -> i64 {
    let file = rusqlite::Connection::open(path).expect("the file");
    file.query_row(sql, [], |row| row.get(0)).expect("a number")
}

/// Bytes of a file, without the pages that later rows use again.
const USED: &str = "SELECT (page_count - freelist_count) * page_size
    FROM pragma_page_count, pragma_freelist_count, pragma_page_size";

/// With many events in a transaction, and with few.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_takes_less_than_half_a_kilobyte_in_all_files() {
    for (events, each) in [(20_000, 500), (6_000, 5)] {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::held(NOW);
        let options = LogOptions { clock: clock.clone(), ..LogOptions::default() };
        let log = SqliteLog::open(dir.path(), options).expect("it opens");
        let options = Options { clock: clock.clone(), ..Options::default() };
        let (derived, mut writer, mut state) =
            Derived::open_stepped(dir.path(), log.bounds(), options).expect("it opens");
        let mut meetings = Meetings::new(1000 / each);
        let mut body_bytes = 0;
        for _ in 0..events / each {
            let batch: Vec<_> = (0..each).map(|_| meetings.next()).collect();
            log.append(batch.iter().map(new).collect()).await.expect("stored");
            for event in &batch {
                body_bytes += event.body.len() as u64;
                let applied = state.apply(event);
                derived.record(encode(event, applied));
            }
            assert_eq!(writer.step(), Step::Wrote);
            clock.advance(Duration::from_secs(1));
        }
        derived.checkpoint(state.clone());
        assert_eq!(writer.step(), Step::Wrote);
        read_back(&derived, events).await;
        drop((writer, derived));
        let [log_file, derived_file] = ["log.db", "derived.db"].map(|name| dir.path().join(name));
        let last = number(&log_file, "SELECT max(seq) FROM events");
        clock.advance(MINUTE);
        until_async("they are marked", async || number(&log_file, "SELECT max(seq) FROM marks") == last)
            .await;
        clock.advance(10 * MINUTE);
        let packed = async || number(&log_file, "SELECT count(*) FROM events") <= 400;
        until_async("they are packed", packed).await;
        log.close();
        for file in [&log_file, &derived_file] {
            show(file, events);
        }
        // The rows that are not packed yet are few in a log of a day.
        let rows = number(&log_file, "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = 'events'");
        let bytes = (number(&log_file, USED) - rows + number(&derived_file, USED)) as u64 / events;
        println!(
            "{each} events in a transaction: {bytes} bytes an event, {} of its body",
            body_bytes / events
        );
        assert!(bytes < 350, "{bytes} bytes an event");
    }
}

/// Prints how long it takes to read changes.
async fn read_back(derived: &Derived, events: u64) {
    for count in [1, 100, 1_000] {
        let mut random = Rng::with_seed(3);
        let began = Instant::now();
        for _ in 0..100 {
            let after = random.u64(..events - count);
            let changes = derived.changes(Seq(after), Seq(after + count)).await.expect("changes");
            assert_eq!(changes.len() as u64, count);
        }
        println!("changes of {count} events: {:?}", began.elapsed() / 100);
    }
}

/// Prints the bytes of each table and index.
fn show(path: &Path, events: u64) {
    let file = rusqlite::Connection::open(path).expect("the file");
    let sql = "SELECT name, sum(pgsize), sum(unused) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 8";
    let mut select = file.prepare(sql).expect("a statement");
    let mut rows = select.query([]).expect("rows");
    while let Some(row) = rows.next().expect("a row") {
        let [bytes, unused] = [1, 2].map(|n| row.get::<_, f64>(n).expect("a number") / events as f64);
        println!(
            "  {:24} {bytes:7.1} bytes an event, {unused:.1} of them unused",
            row.get::<_, String>(0).expect("a name")
        );
    }
}

#[tokio::test]
async fn the_rate_is_that_of_the_last_day_or_of_a_younger_log() {
    const DAY: u64 = 24 * 3_600_000;
    for (events, every_ms, expected) in [
        (999, 60_000, None),
        (1_100, 500, None),
        (1_000, 3_600, Some(24_000)),
        (2_000, DAY / 1_000, Some(1_000)),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let log = SqliteLog::open(dir.path(), LogOptions::default()).expect("it opens");
        let mut meetings = Meetings::new(every_ms);
        log.append((0..events).map(|_| new(&meetings.next())).collect()).await.expect("stored");
        let rate = rate(&log, meetings.now).await.map(|rate| rate.events_a_day.round() as i64);
        // The first event of a young log is not a day old, nor is the last of the day before exactly a day old.
        let near =
            rate.zip(expected).is_some_and(|(rate, expected): (i64, i64)| (rate - expected).abs() <= 30);
        assert!(near || rate.is_none() && expected.is_none(), "{events} every {every_ms} ms: {rate:?}");
    }
}
