//! The rows are the same after any failures.

mod usage;

use proptest::prelude::*;

use super::*;
use crate::{
    derived::NO_CHANGES,
    event::{
        Epoch, Event, Kind, Source,
        body::{Body, Redaction},
    },
};

const START: u64 = 1_787_486_400;

/// One event in two projects and two rooms, and the seconds since the one before it.
#[derive(Clone, Copy, Debug)]
struct Step {
    kind: u8,
    room: u8,
    person: u8,
    wait: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..8u8, 0..4u8, 0..5u8, 0..90u64).prop_map(|(kind, room, person, wait)| Step {
        kind,
        room,
        person,
        wait,
    });
    prop::collection::vec(step, 1..60)
}

/// A meeting in which everything happens once: each statement runs.
fn evening() -> Vec<Step> {
    let step = |kind, room, person| Step { kind, room, person, wait: 20 };
    let people = (0..4).flat_map(|person| [step(1, 0, person), step(2, 0, person)]);
    let rest = [step(5, 0, 0), step(3, 0, 0), step(4, 0, 1), step(6, 0, 0), step(4, 1, 3), step(7, 0, 0)];
    people.chain(rest).collect()
}

/// Applies the `n`th webhook, and returns its record.
fn recorded(state: &mut State, n: usize, project: &str, received_at: u64, raw: &str) -> Arc<Recorded> {
    let body = Body::read(raw.as_bytes(), &Redaction::default()).expect("a body");
    let event = Event {
        seq: Seq(n as u64 + 1),
        project: project.into(),
        source: Source::Webhook,
        received_at,
        kind: Kind::from(&*body.event),
        room: body.room,
        room_sid: body.room_sid,
        body: body.json,
    };
    let applied = state.apply(&event);
    Arc::new(Recorded {
        seq: event.seq,
        project: event.project,
        received_at: event.received_at,
        json: serde_json::to_vec(&applied.changes).map_or(NO_CHANGES, Into::into),
        joined: None,
        facts: applied.facts,
    })
}

fn records(steps: &[Step]) -> Vec<Arc<Recorded>> {
    let (mut state, mut at) = (State::default(), START);
    let record = |(n, step): (usize, &Step)| {
        let Step { kind, room, person, wait } = *step;
        at += wait;
        let room_json = format!(r#"{{"sid":"RM_{room}","name":"room{room}","creationTime":"{START}"}}"#);
        let who = |state| {
            format!(
                r#"{{"sid":"PA_{room}_{person}","identity":"p{person}","state":"{state}","joinedAt":"{at}",
                "kind":"{}","attributes":{{"sip.callStatus":"{state}","lk.agent.name":"a"}}}}"#,
                ["STANDARD", "SIP", "AGENT"][usize::from(person % 3)]
            )
        };
        let track = r#"{"sid":"TR_1","type":"AUDIO","source":"MICROPHONE"}"#;
        let egress = |status| {
            format!(
                r#"{{"egressId":"EG_{room}","roomId":"RM_{room}","roomName":"room{room}","status":"{status}","updatedAt":"{at}000000000"}}"#
            )
        };
        let (name, what) = match kind {
            0 | 1 => ("participant_joined", format!(r#""participant":{}"#, who("ACTIVE"))),
            2 => ("track_published", format!(r#""participant":{},"track":{track}"#, who("ACTIVE"))),
            3 => ("track_unpublished", format!(r#""participant":{},"track":{track}"#, who("ACTIVE"))),
            4 => ("participant_left", format!(r#""participant":{}"#, who("DISCONNECTED"))),
            5 => ("egress_started", format!(r#""egressInfo":{}"#, egress("EGRESS_ACTIVE"))),
            6 => ("egress_ended", format!(r#""egressInfo":{}"#, egress("EGRESS_COMPLETE"))),
            _ => ("room_finished", r#""numDroppedEvents":0"#.to_owned()),
        };
        let raw = format!(r#"{{"event":"{name}","room":{room_json},{what},"id":"{n}","createdAt":"{at}"}}"#);
        recorded(&mut state, n, if room == 3 { "q" } else { "p" }, at * 1000, &raw)
    };
    steps.iter().enumerate().map(record).collect()
}

fn writer(dir: &Path) -> Writer {
    let log = Bounds { epoch: Epoch(7), first: Seq(1), last: Seq(1_000) };
    let (writer, _) = Writer::open(dir, log, Options::default(), false).expect("it opens");
    writer.connection.pragma_update(None, "synchronous", "OFF").expect("updated");
    writer
}

/// Every table that is written with the events, but for `changes`.
const TABLES: [&str; 14] = [
    "meta",
    "sessions",
    "participations",
    "tracks",
    "egress",
    "minutes",
    "people",
    "rooms",
    "calls",
    "agents",
    "usage",
    "usage_values",
    "session_values",
    "misses",
];

/// Makes the `n`th statement that changes a row fail, or, for 0, the commit.
fn fail(writer: &Writer, n: usize) {
    let mut sql = format!(
        "PRAGMA foreign_keys = ON;
         CREATE TEMP TABLE fault (left INTEGER); INSERT INTO fault VALUES ({n});
         CREATE TEMP TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TEMP TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);"
    );
    for table in TABLES.into_iter().chain(["changes"]) {
        for what in ["INSERT", "UPDATE", "DELETE"] {
            sql.push_str(&format!(
                "CREATE TEMP TRIGGER {table}_{what} BEFORE {what} ON main.{table} BEGIN
                 UPDATE fault SET left = left - 1;
                 INSERT INTO child SELECT 1 FROM fault WHERE left = -1;
                 SELECT RAISE(ABORT, 'the disk is full') FROM fault WHERE left = 0; END;"
            ));
        }
    }
    writer.connection.execute_batch(&sql).expect("made");
}

fn heal(writer: &Writer) {
    let drop = "DROP TABLE child; DROP TABLE parent; DROP TABLE fault;";
    let select =
        "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_temp_schema WHERE type = 'trigger'
        AND name NOT LIKE 'touch%'";
    let triggers: String = writer.connection.query_row(select, [], |row| row.get(0)).expect("triggers");
    writer.connection.execute_batch(&format!("{triggers}; {drop}")).expect("dropped");
}

/// Writes a batch. Returns true if it failed first, because of a fault at `n`.
fn write(writer: &mut Writer, batch: &[Arc<Recorded>], n: Option<usize>) -> bool {
    {
        let mut waiting = writer.shared.waiting.lock();
        waiting.bytes += batch.iter().map(|recorded| recorded.json.len()).sum::<usize>();
        waiting.events.extend(batch.iter().cloned());
    }
    let mut failed = false;
    if let Some(n) = n {
        fail(writer, n);
        let result = writer.write(batch, &[]);
        heal(writer);
        match result {
            Err(error) => {
                writer.failed(&error, Vec::new());
                failed = true;
            }
            Ok(()) => {
                writer.done(batch, &[]);
                return false;
            }
        }
    }
    writer.write(batch, &[]).expect("the disk has space again");
    writer.done(batch, &[]);
    failed
}

/// Returns every row of every table. The chunks of changes depend on the transactions, so their content counts.
fn content(writer: &Writer, last: u64) -> Vec<String> {
    let mut all = Vec::new();
    for table in TABLES {
        let mut select = writer.connection.prepare(&format!("SELECT * FROM {table}")).expect("a table");
        let columns = select.column_count();
        let rows = select.query_map([], |row| {
            let values = (0..columns).map(|n| row.get::<_, rusqlite::types::Value>(n));
            Ok(format!("{table}: {:?}", values.collect::<Result<Vec<_>, _>>()?))
        });
        all.extend(rows.expect("rows").map(|row| row.expect("a row")));
    }
    all.sort_unstable();
    let changes = super::super::changes::stored(&writer.connection, Seq::ZERO, Seq(last));
    all.extend(changes.expect("changes").iter().map(|changes| format!("{changes:?}")));
    all
}

fn whole(records: &[Arc<Recorded>]) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut writer = writer(dir.path());
    for recorded in records {
        assert!(!write(&mut writer, std::slice::from_ref(recorded), None));
    }
    content(&writer, records.len() as u64)
}

#[test]
fn a_write_that_fails_at_any_statement_and_is_repeated_gives_the_same_rows() {
    let records = records(&evening());
    let expected = whole(&records);
    let people = expected.iter().filter(|row| row.starts_with("participations")).count();
    assert_eq!(people, 5, "{expected:?}");
    for n in 0.. {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writer = writer(dir.path());
        let (first, second) = records.split_at(5);
        let failed = [first, second].map(|batch| write(&mut writer, batch, Some(n)));
        assert_eq!(content(&writer, records.len() as u64), expected, "the fault is at statement {n}");
        if failed == [false, false] {
            assert!(n > 20, "{n} statements are too few");
            break;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_the_same_after_any_failures(
        steps in steps(),
        batches in prop::collection::vec((1..12usize, prop::option::of(0..40usize)), 60),
    ) {
        let records = records(&steps);
        let dir = tempfile::tempdir().expect("a directory");
        let mut writer = writer(dir.path());
        let mut rest = &records[..];
        for (length, fault) in batches {
            let (batch, later) = rest.split_at(length.min(rest.len()));
            if !batch.is_empty() {
                write(&mut writer, batch, fault);
            }
            rest = later;
        }
        prop_assert_eq!(content(&writer, records.len() as u64), whole(&records));
    }
}
