//! The cost of folding in time and memory, of storing the results, and of listing live rooms.
//!
//! ```text
//! cargo bench --bench fold
//! ```

mod harness;

use std::{
    alloc::{GlobalAlloc, Layout},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use harness::*;
use parking_lot::RwLock;
use roomwatch::{
    derived::{Derived, Options},
    event::{Cursor, Epoch, Event, Kind, NewEvent, Seq, Source},
    feed::Feed,
    follow::encode,
    log::{Bounds, EventLog, LogOptions, sqlite::SqliteLog},
    snapshot::{Moment, Snapshots},
    state::State,
};
use tikv_jemallocator::Jemalloc;

/// Counts allocated bytes, in front of the program's allocator.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
/// True while memory is measured, because counting costs time.
static COUNTS: AtomicBool = AtomicBool::new(false);

// SAFETY: every call goes to the program's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) {
            HELD.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller keeps the contract, and the layout is unchanged.
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if COUNTS.load(Ordering::Relaxed) {
            HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: as above; `at` came from the same allocator.
        unsafe { Jemalloc.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MEETINGS: usize = 3_000;
const GUESTS: usize = 5;
/// Number of meetings at the same time.
const AT_ONCE: usize = 300;

#[tokio::main]
async fn main() {
    fold();
    kept().await;
    past().await;
    memory();
    list().await;
}

/// LiveKit's bodies with other sids.
struct Bodies {
    started: String,
    joined: String,
    camera: String,
    microphone: String,
    unpublished: String,
    left: String,
    finished: String,
}

impl Bodies {
    fn read() -> Bodies {
        let read = |name: &str| {
            let path = format!("{}/fixtures/webhooks/{name}.json", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(path)
                .expect("a fixture")
                .trim_end()
                .replace("RM_hycFrzyc8LMX", "{room}")
                .replace("PA_7mFqL2vXo9Ka", "{guest}")
        };
        Bodies {
            started: read("room_started"),
            joined: read("participant_joined"),
            camera: read("track_published"),
            microphone: read("track_published.microphone"),
            unpublished: read("track_unpublished"),
            left: read("participant_left"),
            finished: read("room_finished"),
        }
    }
}

fn event(body: &str, room: usize, guest: usize) -> Event {
    let sid = format!("RM_{room:012}");
    let body = body.replace("{room}", &sid).replace("{guest}", &format!("PA_{room:06}{guest:06}"));
    let body =
        body.replace("TR_", &format!("TR_{guest}")).replace("\"standup\"", &format!("\"room-{room}\""));
    let kind = body.split('"').nth(3).expect("an event").to_owned();
    Event {
        seq: Seq(0),
        project: "default".into(),
        source: Source::Webhook,
        received_at: 1_795_467_040_000,
        kind: Kind::from(&*kind),
        room: Some(format!("room-{room}").into()),
        room_sid: Some(sid.into()),
        body: body.into_bytes().into(),
    }
}

/// A day of meetings, many at once: each participant joins, publishes a camera and a microphone, and leaves.
fn meetings() -> Vec<Event> {
    meetings_of(MEETINGS)
}

fn meetings_of(meetings: usize) -> Vec<Event> {
    let bodies = Bodies::read();
    let step = |room: usize, step: usize| -> Option<Event> {
        let (guest, step) = match step {
            0 => return Some(event(&bodies.started, room, 0)),
            step => ((step - 1) / 5, (step - 1) % 5),
        };
        match (guest, step) {
            (GUESTS, 0) => Some(event(&bodies.finished, room, 0)),
            (GUESTS.., _) => None,
            (guest, 0) => Some(event(&bodies.joined, room, guest)),
            (guest, 1) => Some(event(&bodies.microphone, room, guest)),
            (guest, 2) => Some(event(&bodies.camera, room, guest)),
            (guest, 3) => Some(event(&bodies.unpublished, room, guest)),
            (guest, _) => Some(event(&bodies.left, room, guest)),
        }
    };
    let mut events = Vec::new();
    for first in (0..meetings).step_by(AT_ONCE) {
        let mut n = 0;
        loop {
            let before = events.len();
            events.extend((first..first + AT_ONCE).filter_map(|room| step(room, n)));
            if events.len() == before {
                break;
            }
            n += 1;
        }
    }
    for (n, event) in events.iter_mut().enumerate() {
        event.seq = Seq(n as u64 + 1);
        event.received_at += n as u64;
    }
    events
}

/// CPU time of this thread. Other work of the machine does not count.
fn on_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    Duration::from_nanos(stat.split(' ').next().expect("a number").parse().expect("a number"))
}

fn fold() {
    let events = meetings();
    let bytes: usize = events.iter().map(|event| event.body.len()).sum();
    let mut rates = Vec::new();
    let mut changes = 0;
    for _ in 0..7 {
        let mut state = State::default();
        let began = on_cpu();
        changes = events.iter().map(|event| state.apply(event).changes.len()).sum::<usize>();
        rates.push(events.len() as f64 / (on_cpu() - began).as_secs_f64());
    }
    let best = rates.iter().copied().fold(0.0, f64::max);
    // The floor: the same bytes are read once, as text and as JSON, without a result.
    let mut floors = Vec::new();
    for _ in 0..7 {
        let began = on_cpu();
        for event in &events {
            let skipped: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(&event.body);
            assert!(skipped.is_ok());
        }
        floors.push(events.len() as f64 / (on_cpu() - began).as_secs_f64());
    }
    println!("fold: {} events of {} bytes, {changes} changes, one core", events.len(), bytes / events.len());
    println!("  events/s           {:9.0}      aim 500000   (best {best:.0})", median(rates));
    println!("  JSON skipped only  {:9.0}", median(floors));
}

/// The same events folded, encoded and stored: all the work of a follower except reading and sending.
async fn kept() {
    let events = meetings();
    let dir = tempfile::tempdir().expect("a directory");
    let log = Bounds { epoch: Epoch(1), first: Seq(1), last: Seq(events.len() as u64) };
    let (history, mut state) = Derived::open(dir.path(), log, Options::default()).expect("it opens");
    let began = of_process();
    for event in &events {
        let applied = state.apply(event);
        history.record(encode(event, applied));
        history.wait_for_capacity().await;
    }
    history.close();
    let each = (of_process() - began).as_secs_f64() * 1e6 / events.len() as f64;
    let bytes = std::fs::metadata(dir.path().join("derived.db")).expect("a file").len();
    println!("kept: the same events, folded, told as JSON and written to derived.db");
    println!("  CPU an event       {each:9.1} µs");
    println!("  in the file        {:9} bytes an event", bytes / events.len() as u64);
}

/// The cost of `?at=`: the checkpoint below is restored, and the events after it are read and folded.
async fn past() {
    let events = meetings_of(20 * MEETINGS);
    let dir = tempfile::tempdir().expect("a directory");
    let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(dir.path(), LogOptions::default()).expect("a log"));
    let (derived, mut state) = Derived::open(dir.path(), log.bounds(), Options::default()).expect("it opens");
    for batch in events.chunks(1_000) {
        let new = batch.iter().map(|event| NewEvent {
            id: format!("EV_{}", event.seq).into(),
            project: event.project.clone(),
            source: event.source,
            received_at: event.received_at,
            kind: event.kind.clone(),
            room: event.room.clone(),
            room_sid: event.room_sid.clone(),
            body: event.body.clone(),
        });
        log.append(new.collect()).await.expect("appended");
        let began = Instant::now();
        let applied: Vec<_> = batch.iter().map(|event| state.apply(event)).collect();
        derived.note_fold(began.elapsed());
        for (event, applied) in batch.iter().zip(applied) {
            derived.record(encode(event, applied));
        }
        if derived.checkpoint_is_due(state.head()) {
            derived.checkpoint(state.clone());
        }
        derived.wait_for_capacity().await;
    }
    derived.checkpoint(state.clone());
    derived.close();
    let epoch = log.bounds().epoch;
    let (derived, state) = Derived::open(dir.path(), log.bounds(), Options::default()).expect("it opens");
    let (derived, head) = (Arc::new(derived), state.head());
    let feed = Feed::new(log.clone(), derived.clone(), head);
    let state = Arc::new(RwLock::new(state));
    let (mut whole, mut between, mut apart) = (Vec::new(), Vec::new(), Duration::ZERO);
    for n in 0..50 {
        let seq = Seq(1 + n * 7_919 * 104_729 % head.0);
        let around = derived.around_event(seq).await.expect("the ladder");
        if let (Some(below), Some(above)) = (around.below, around.above) {
            apart = apart.max(above.work - below.work);
        }
        // Each a new one: nothing is known of the moment before.
        let snapshots = Snapshots::new(log.clone(), derived.clone(), state.clone(), feed.clone());
        let began = Instant::now();
        let moment = Moment::Cursor(Cursor { epoch, seq });
        snapshots.at(moment, None).await.expect("a state");
        let took = millis(began.elapsed());
        let began = Instant::now();
        if let Some(below) = around.below {
            derived.restore(below.seq).await.expect("it reads");
        }
        between.push(took - millis(began.elapsed()));
        whole.push(took);
    }
    let worst = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
    println!("past: a random state of {} events", events.len());
    println!("  folding between two checkpoints, as measured {:6.0} ms   aim < 200 ms", millis(apart));
    println!("  reading and folding   {:6.0} ms, worst {:.0} ms", median(between.clone()), worst(&between));
    println!("  until it is there     {:6.0} ms, worst {:.0} ms", median(whole.clone()), worst(&whole));
}

/// CPU time of all threads of this process, including ended ones.
fn of_process() -> Duration {
    let mut usage = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes only to the struct that it is given.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut usage) };
    assert_eq!(result, 0);
    Duration::new(usage.tv_sec as u64, usage.tv_nsec as u32)
}

fn populated(rooms: usize, guests: usize) -> impl Iterator<Item = Event> {
    let bodies = Bodies::read();
    (0..rooms).flat_map(move |room| {
        let mut events = vec![event(&bodies.started, room, 0)];
        for guest in 0..guests {
            for body in [&bodies.joined, &bodies.microphone, &bodies.camera] {
                events.push(event(body, room, guest));
            }
        }
        events
    })
}

fn memory() {
    let (rooms, guests) = (1_000, 100);
    COUNTS.store(true, Ordering::Relaxed);
    let before = HELD.load(Ordering::Relaxed);
    let mut state = State::default();
    for (n, mut event) in populated(rooms, guests).enumerate() {
        event.seq = Seq(n as u64 + 1);
        state.apply(&event);
    }
    let folded = HELD.load(Ordering::Relaxed) - before;
    let began = Instant::now();
    let checkpoint = state.checkpoint();
    let wrote = began.elapsed();
    let before = HELD.load(Ordering::Relaxed);
    let began = Instant::now();
    let restored = State::restore(&checkpoint).expect("it reads");
    let read = began.elapsed();
    let restored_bytes = HELD.load(Ordering::Relaxed) - before;
    assert_eq!(restored.head(), state.head());
    let each = |bytes: usize| bytes / (rooms * guests);
    println!("memory: {} participants with two tracks each", rooms * guests);
    println!(
        "  bytes each         {:9}      aim < 1024   (restored: {})",
        each(folded),
        each(restored_bytes)
    );
    println!(
        "  a checkpoint of it {:6} MiB      written in {:.0} ms, read in {:.0} ms",
        checkpoint.len() >> 20,
        millis(wrote),
        millis(read)
    );
}

async fn list() {
    let (rooms, guests) = (10_000, 10);
    roomwatch::cli::serve::install_tls();
    let dir = tempfile::tempdir().expect("a directory");
    let log = SqliteLog::open(dir.path(), LogOptions::default()).expect("a log");
    let bodies = Bodies::read();
    let mut batch = Vec::new();
    let mut append = async |event: Event, last: bool| {
        batch.push(NewEvent {
            id: format!("EV_{}", event.seq).into(),
            project: event.project,
            source: event.source,
            received_at: event.received_at,
            kind: event.kind,
            room: event.room,
            room_sid: event.room_sid,
            body: event.body,
        });
        if last || batch.len() == 1_000 {
            log.append(std::mem::take(&mut batch)).await.expect("appended");
        }
    };
    let mut seq = 0;
    for room in 0..rooms {
        for guest in 0..=guests {
            seq += 1;
            let mut event = match guest {
                0 => event(&bodies.started, room, 0),
                guest => event(&bodies.joined, room, guest),
            };
            event.seq = Seq(seq);
            append(event, room + 1 == rooms && guest == guests).await;
        }
    }
    log.close();
    let server = Server::roomwatch(dir.path());
    let url = |path: &str| format!("http://{}{path}", server.address);
    let client = reqwest::Client::builder().build().expect("a client");
    while !client.get(url("/readyz")).send().await.is_ok_and(|answer| answer.status().is_success()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut took = Vec::new();
    let mut bytes = 0;
    let mut cpu = Vec::new();
    for _ in 0..15 {
        let (began, before) = (Instant::now(), server.cpu_secs());
        let answer = client.get(url("/api/rooms")).send().await.expect("an answer");
        bytes = answer.bytes().await.expect("a list").len();
        took.push(millis(began.elapsed()));
        cpu.push((server.cpu_secs() - before) * 1000.0);
    }
    println!(
        "list: GET /api/rooms, {rooms} rooms, {} participants, {} KiB over loopback",
        rooms * guests,
        bytes >> 10
    );
    println!(
        "  until it is read   {:9.1} ms   aim < 30 ms   (CPU of the server {:.0} ms)",
        median(took),
        median(cpu)
    );
    println!("  resident           {:6} MiB", server.resident_bytes() >> 20);
    server.stop();
}
