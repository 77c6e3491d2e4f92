//! One run of the simulation, decided by its seed alone.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt::Write,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use parking_lot::Mutex;
use roomwatch::{
    clock::Clock,
    derived::{Derived, Options, Step},
    event::{Event, Seq, Source},
    follow::encode,
    log::{EventLog, LogOptions},
    state::State,
};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::{
    api::{Api, ApiFaults},
    disk::{Disk, DiskFaults, FILES},
    network::{Network, NetworkFaults},
    program::{Machine, PROJECT, Program, cluster, config},
    reader::{History, Reader, Request},
    tasks::{Owner, Tasks},
    world::{Habits, World},
};

/// Where the time of every run begins, in unix milliseconds.
const START: u64 = 1_787_486_400_000;
/// Time after which the state must equal the truth, once nothing changes and nothing fails any more.
const GRACE: u64 = 150_000;
/// The same, if a webhook can contradict an end that was inferred rightly: one of an earlier life of a sid that comes back, or
/// one that is later than clocks are known to differ. The end then takes ten minutes more.
const GRACE_CONTRADICTED: u64 = GRACE + 600_000;
/// Time for one webhook from which a room's queue falls behind its events.
const SLOW: u64 = 1_000;
/// Time for which LiveKit's lists may lag.
const LAG: u64 = 6_000;
/// Time from an answer of LiveKit to the correction in the log.
const ANSWER_MAX: u64 = 4_000;
/// Lines of the story that a failure shows.
const SHOWN: usize = 80;

/// The events and faults of one run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    habits: Habits,
    network: NetworkFaults,
    api: ApiFaults,
    disk: DiskFaults,
    /// Shares of 1,000 moments.
    restarts: u32,
    history_fails: u32,
    commands: u32,
    clock_jumps: u32,
    trims: bool,
    /// The log is the real one, in a file.
    in_file: bool,
    /// The log in its file loses its end, or is replaced by a copy.
    is_cut: bool,
    reconcile_secs: u32,
    act_every: u64,
    noise_ms: u64,
    readers: usize,
}

impl Plan {
    /// Most runs have a few kinds of faults, and some have none: faults hide each other.
    pub fn of(seed: u64, length: u64) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let mut some = |share: u32, most: u32| if rng.u32(..100) < share { rng.u32(1..=most) } else { 0 };
        let habits = Habits {
            redis: some(70, 1) > 0,
            skew: match some(30, 3) {
                0 => 0,
                1 => i64::from(some(100, 2_000)) - 1_000,
                2 => -i64::from(some(100, 50_000)),
                _ => i64::from(some(100, 50_000)),
            },
            lags: some(50, 1) > 0,
            crashes: some(25, 4),
            sid_comes_back: some(30, 60),
            hides: some(40, 200),
            unnamed: some(15, 100),
            egress: some(70, 1) > 0,
            egress_outlives: some(50, 1_000),
            page: 1 + some(60, 4) as usize,
        };
        let network = NetworkFaults {
            lost: some(50, 300),
            refused: some(40, 300),
            answer_lost: some(40, 200),
            repeated: some(40, 200),
            slow_ms: u64::from(some(60, 3_000)),
        };
        let api = ApiFaults {
            unreachable: some(25, 200),
            times_out: some(20, 60),
            fails: some(30, 200),
            lies: some(40, 600),
            slow_ms: u64::from(some(70, 1_500)),
        };
        let disk = DiskFaults {
            append_fails: some(30, 200),
            answer_lost: some(25, 100),
            read_fails: some(25, 200),
            slow_ms: u64::from(some(50, 300)),
        };
        Plan {
            seed,
            habits,
            network,
            api,
            disk,
            restarts: some(40, 3),
            history_fails: some(40, 200),
            commands: some(50, 30),
            clock_jumps: some(15, 3),
            trims: some(25, 1) > 0,
            in_file: some(12, 1) > 0,
            is_cut: some(50, 1) > 0,
            reconcile_secs: 10 + some(60, 50),
            act_every: 150 + u64::from(some(100, 700)) + u64::from(some(30, 4_000)),
            noise_ms: length,
            readers: 3 + some(60, 5) as usize,
        }
    }
}

/// Result of a run that found nothing.
pub struct Report {
    pub events: usize,
    pub frames: u64,
    pub delivered: usize,
    pub given_up: usize,
    /// Equal for equal runs.
    pub digest: String,
}

pub struct Run {
    plan: Plan,
    rng: Rng,
    dir: tempfile::TempDir,
    clock: Clock,
    world: Arc<Mutex<World>>,
    network: Network,
    machine: Machine,
    program: Option<Program>,
    starts_at: u64,
    tasks: Tasks,
    readers: Vec<Reader>,
    history: Rc<RefCell<History>>,
    /// The program's wall clock minus real time.
    jumped: i64,
    jumps_back_at: u64,
    /// A statement of the history fails until then; 0 if none does.
    broken_until: u64,
    /// Rooms that a webhook has ended, and that are not live again.
    finished: BTreeSet<String>,
    caught_up: bool,
    /// When a backup of the log is made.
    copies_at: Option<u64>,
    story: Vec<String>,
    digest: Sha256,
    wrong: Vec<String>,
}

impl Run {
    pub fn new(plan: Plan) -> Run {
        let mut rng = Rng::with_seed(plan.seed ^ 0x5eed);
        // The program's own random numbers.
        fastrand::seed(rng.u64(..));
        let dir = scratch();
        let clock = Clock::held(START);
        let world = World::new(plan.habits.clone(), START, rng.fork());
        let world = Arc::new(Mutex::new(world));
        let options = LogOptions {
            retain_age: None,
            // The real log trims on another thread, at any time.
            quota: if plan.trims && !plan.in_file {
                roomwatch::storage::Quota::of(60_000)
            } else {
                Default::default()
            },
            clock: clock.clone(),
            ..LogOptions::default()
        };
        let machine = Machine {
            config: config(dir.path(), plan.reconcile_secs, &clock),
            disk: Arc::new(Disk::new(options, plan.in_file.then_some(dir.path()), plan.disk, rng.fork())),
            cluster: cluster(dir.path()),
            api: Arc::new(Api::new(world.clone(), clock.clone(), plan.api, rng.fork())),
        };
        let network = Network::new(clock.clone(), plan.network, rng.fork());
        let readers = (0..plan.readers).map(|n| Reader::new(n, Request::random(&mut rng))).collect();
        Run {
            rng,
            dir,
            clock,
            world,
            network,
            machine,
            program: None,
            starts_at: START,
            tasks: Tasks::default(),
            readers,
            history: Rc::default(),
            jumped: 0,
            jumps_back_at: 0,
            broken_until: 0,
            finished: BTreeSet::new(),
            caught_up: false,
            copies_at: None,
            story: Vec::new(),
            digest: Sha256::new(),
            wrong: Vec::new(),
            plan,
        }
    }

    fn now(&self) -> u64 {
        START + u64::try_from(self.clock.running().as_millis()).expect("a time")
    }

    fn tell(&mut self, what: impl AsRef<str>) {
        let line = format!("{:>8.3} {}", (self.now() - START) as f64 / 1000.0, what.as_ref());
        self.digest.update(&line);
        if std::env::var_os("TELL").is_some() {
            println!("{line}");
        }
        self.story.push(line);
    }

    fn failed(&self) -> Option<String> {
        if self.wrong.is_empty() {
            return None;
        }
        let mut text = format!("{:#?}\n", self.plan);
        for line in &self.story[self.story.len().saturating_sub(SHOWN)..] {
            let _ = writeln!(text, "{line}");
        }
        for wrong in &self.wrong {
            let _ = writeln!(text, "WRONG: {wrong}");
        }
        Some(text)
    }

    /// Runs to the end. An error is the story of what went wrong.
    pub fn run(mut self) -> Result<Report, String> {
        let noise_ends = START + self.plan.noise_ms;
        let mut next_act = START;
        self.copies_at = Some(START + self.rng.u64(..self.plan.noise_ms));
        while self.now() < noise_ends {
            if next_act <= self.now() {
                self.world.lock().act();
                next_act = self.now() + self.rng.u64(..=2 * self.plan.act_every);
            }
            self.mischief();
            if self.copies_at.is_some_and(|at| at <= self.now()) {
                self.copies_at = None;
                self.machine.disk.copy(&self.dir.path().join("copy"));
            }
            self.moment();
            if let Some(failed) = self.failed() {
                return Err(failed);
            }
            let next = [Some(next_act), self.world.lock().due(), self.network.due()];
            self.pass(next.into_iter().flatten().min());
        }
        if self.plan.in_file && self.plan.is_cut {
            self.cut();
            return self.report();
        }
        self.heal();
        let (mut agreed_at, quiet_at) = (None, self.now());
        let is_contradicted = self.plan.habits.sid_comes_back > 0 || self.plan.network.slow_ms > SLOW;
        let grace = if is_contradicted { GRACE_CONTRADICTED } else { GRACE };
        loop {
            self.moment();
            // The store may lag until then.
            let differs =
                (self.now() < quiet_at + LAG).then(|| "too early".to_owned()).or_else(|| self.differs());
            match (&differs, agreed_at) {
                (None, None) => agreed_at = Some(self.now()),
                (None, Some(at)) if at + 45_000 < self.now() => break,
                (None, Some(_)) => {}
                (Some(differs), Some(_)) => {
                    self.wrong.push(format!("it agreed with LiveKit, and now: {differs}"))
                }
                (Some(differs), None) if self.now() > quiet_at + grace => {
                    self.wrong.push(format!("the state is not LiveKit's truth: {differs}"));
                }
                (Some(_), None) => {}
            }
            if let Some(failed) = self.failed() {
                return Err(failed);
            }
            let next = [self.world.lock().due(), self.network.due()];
            self.pass(next.into_iter().flatten().min());
        }
        self.end();
        self.report()
    }

    fn report(self) -> Result<Report, String> {
        match self.failed() {
            Some(failed) => Err(failed),
            None => Ok(Report {
                events: self.history.borrow().past.len(),
                frames: self.readers.iter().map(|reader| reader.seen.borrow().frames).sum(),
                delivered: self.network.delivered,
                given_up: self.network.given_up,
                digest: data_encoding::HEXLOWER.encode(&self.digest.finalize()),
            }),
        }
    }

    /// The end of the log is lost while the program does not run: readers must hear of it.
    fn cut(&mut self) {
        let whole = self.machine.disk.bounds();
        let copy = self.dir.path().join("copy");
        let with_witness = self.rng.bool();
        self.die();
        self.machine.disk.reopen(|dir| {
            for file in FILES.into_iter().filter(|file| with_witness || *file != "log.witness") {
                // Written over: a log in another file would be recognised by that alone.
                match std::fs::read(copy.join(file)) {
                    Ok(bytes) => std::fs::write(dir.join(file), bytes).expect("written"),
                    Err(_) => drop(std::fs::remove_file(dir.join(file))),
                }
            }
        });
        let rest = self.machine.disk.bounds();
        self.tell(format!(
            "the log has {} of {} events, its witness too: {with_witness}",
            rest.last, whole.last
        ));
        self.start();
        let Some(program) = &self.program else { return };
        if rest.last < whole.last && rest.epoch == whole.epoch {
            let reader = self.readers.iter().map(|reader| reader.seen.borrow().scanned).max();
            let wrong = format!(
                "the log has lost its end after {}, and keeps its epoch: a reader at {reader:?} would resume over a hole",
                rest.last
            );
            self.wrong.push(wrong);
        }
        assert_eq!(program.feed.epoch(), rest.epoch);
    }

    /// Lets time go on, at most to `next`.
    fn pass(&mut self, next: Option<u64>) {
        let step = self.rng.u64(1..=if self.world.lock().quiet { 200 } else { 80 });
        let until = next.unwrap_or(u64::MAX).max(self.now() + 1).min(self.now() + step);
        self.clock.advance(Duration::from_millis(until - self.now()));
    }

    /// One moment: everything that can go on does so, in any order, unless the program dies in between.
    fn moment(&mut self) {
        let now = self.now();
        self.livekit(now);
        if self.program.is_none() && self.starts_at <= now {
            self.start();
        }
        let webhooks = self.program.as_ref().map(|program| program.webhooks.clone());
        self.network.step(now, webhooks.as_ref(), &mut self.tasks);
        let dies_after = if !self.world.lock().quiet && self.rng.u32(..100_000) < self.plan.restarts * 30 {
            self.rng.usize(1..40)
        } else {
            usize::MAX
        };
        let mut steps = 0;
        while self.tasks.step(&mut self.rng).is_some() {
            self.look();
            if self.rng.u32(..30) == 0 {
                self.write_history();
            }
            steps += 1;
            assert!(steps < 200_000, "the tasks do not come to rest");
            if steps >= dies_after {
                return self.die();
            }
        }
        if self.rng.u32(..40) == 0 || self.world.lock().quiet {
            self.write_history();
        }
        self.look();
        self.readers_come();
        self.rested();
        // Its own network hears of what was sent meanwhile.
        self.network.step(now, webhooks.as_ref().filter(|_| self.program.is_some()), &mut self.tasks);
    }

    fn livekit(&mut self, now: u64) {
        let mut world = self.world.lock();
        world.now = now;
        world.pass();
        if std::mem::take(&mut world.queues_lost) {
            self.network.forget();
        }
        let clock = now.saturating_add_signed(world.habits.skew);
        for webhook in std::mem::take(&mut world.outbox) {
            self.network.push(now, clock, webhook);
        }
        let story = std::mem::take(&mut world.story);
        drop(world);
        story.into_iter().for_each(|line| self.tell(line));
    }

    fn start(&mut self) {
        self.machine.disk.reopen(|_| {});
        self.tell("the program starts");
        self.program = Some(Program::start(&self.machine, &mut self.tasks));
        self.caught_up = false;
    }

    /// The program dies at once, wherever its tasks are, or it is stopped in order.
    fn die(&mut self) {
        let Some(program) = self.program.take() else { return };
        let orderly = self.rng.bool();
        self.tell(if orderly { "the program is stopped" } else { "the program dies" });
        self.tasks.kill();
        if orderly {
            let mut program = program;
            program.derived.checkpoint(program.state.read().clone());
            while program.history.step() == Step::Wrote {}
        }
        for reader in &self.readers {
            let mut seen = reader.seen.borrow_mut();
            (seen.away, seen.stuck) = (true, false);
        }
        self.starts_at = self.now() + self.rng.u64(10..9_000);
    }

    /// Writes the history. Sometimes one of its statements fails.
    fn write_history(&mut self) {
        let Some(program) = &self.program else { return };
        let quiet = self.world.lock().quiet;
        if !quiet && self.rng.u32(..60) == 0 {
            program.derived.checkpoint(program.state.read().clone());
        }
        let now = self.now();
        if self.broken_until > 0 && (quiet || self.broken_until <= now) {
            self.broken_until = 0;
            mend_history(self.dir.path());
        } else if self.broken_until == 0 && !quiet && self.rng.u32(..1000) < self.plan.history_fails {
            self.broken_until = now + self.rng.u64(..12_000);
            let broken = break_history(self.dir.path(), &mut self.rng);
            self.tell(format!("the history fails for a while: {broken}"));
        }
        if let Some(program) = &mut self.program {
            program.history.step();
        }
    }

    /// Checks the events that the log has got.
    fn look(&mut self) {
        let known = self.history.borrow().past.len();
        let events = self.machine.disk.stored_after(known);
        for event in &events {
            self.check(event);
        }
        for event in events {
            self.history.borrow_mut().extend(event.clone());
            self.is_shown(&event);
        }
    }

    /// Checks that an entity which a webhook reports, and which has not ended since, is live from this event on. A track is
    /// no proof that its room, which a webhook has ended, has come back.
    fn is_shown(&mut self, event: &Event) {
        if event.source != Source::Webhook {
            return;
        }
        let body: serde_json::Value = serde_json::from_slice(&event.body).expect("JSON");
        let text = |object: &str, member: &str| body[object][member].as_str().unwrap_or_default().to_owned();
        let (room, participant) = (text("room", "sid"), text("participant", "sid"));
        let (what, is_live) = {
            let history = self.history.borrow();
            let entry = history.state.room(PROJECT, &room);
            if entry.is_some() {
                self.finished.remove(&room);
            }
            let person = entry.and_then(|entry| entry.participant(&participant));
            match event.kind.as_str() {
                "room_finished" => {
                    self.finished.insert(room);
                    return;
                }
                "track_published" if self.finished.contains(&room) => return,
                "room_started" => (room, entry.is_some()),
                "participant_joined" => (participant, person.is_some()),
                "track_published" => {
                    let track = text("track", "sid");
                    let is_live = person.is_some_and(|person| person.track(&track).is_some());
                    (track, is_live)
                }
                _ => return,
            }
        };
        if !is_live && !self.world.lock().ended.contains_key(&what) {
            self.wrong.push(format!("a webhook has reported {what}, and it is not shown"));
        }
    }

    fn check(&mut self, event: &Event) {
        let body: serde_json::Value = serde_json::from_slice(&event.body).expect("JSON");
        let kind = event.kind.as_str();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let sid = match kind {
            "room_started" | "room_finished" | "room_updated" => text(&body["room"]["sid"]),
            _ if kind.starts_with("track") => text(&body["track"]["sid"]),
            _ if kind.starts_with("participant") => text(&body["participant"]["sid"]),
            _ if kind.starts_with("egress") => text(&body["egressInfo"]["egressId"]),
            _ => text(&body["ingressInfo"]["ingressId"]),
        };
        let source = event.source.as_str();
        self.tell(format!("log {}: {source} {kind} {sid} in {:?}", event.seq, event.room));
        self.digest.update(&event.body);
        if event.source != Source::Reconcile {
            return;
        }
        let ends =
            ["room_finished", "participant_left", "track_unpublished", "egress_ended", "ingress_ended"];
        if ends.contains(&kind) && !self.has_ended(&sid) {
            self.wrong.push(format!("{kind} of {sid} was inferred, but it has not ended"));
        }
    }

    /// Returns true if an entity has ended. A list says of an ingress that it does not publish, and it may publish again
    /// before the answer has arrived and is in the log.
    fn has_ended(&self, sid: &str) -> bool {
        let world = self.world.lock();
        world.ended.contains_key(sid)
            || world.publishes_again.get(sid).is_some_and(|at| self.now() <= at + ANSWER_MAX)
    }

    fn readers_come(&mut self) {
        let Some(program) = &self.program else { return };
        let bounds = self.machine.disk.bounds();
        // A node listens once it has folded its log.
        self.caught_up |= program.feed.head().seq >= bounds.last;
        if !self.caught_up {
            return;
        }
        let now = self.now();
        for reader in &mut self.readers {
            if reader.seen.borrow().away && reader.comes_at <= now {
                let (last, first) = (bounds.last, bounds.first);
                let task = reader.open(program, &self.history, &self.clock, self.rng.fork(), last, first);
                self.tasks.add(Owner::Program, "reader", task);
                reader.comes_at = now + self.rng.u64(..6_000);
            }
        }
    }

    /// Checks that need the program at rest.
    fn rested(&mut self) {
        for reader in &self.readers {
            let wrong = std::mem::take(&mut reader.seen.borrow_mut().wrong);
            let of = |wrong| format!("reader {} ({:?}): {wrong}", reader.name, reader.request);
            self.wrong.extend(wrong.into_iter().map(of));
        }
        self.wrong.append(&mut self.network.reports.borrow_mut().wrong);
        let Some(program) = &self.program else { return };
        if self.tasks.has_ready() {
            return;
        }
        let head = program.feed.head().seq;
        let history = self.history.borrow();
        for reader in &self.readers {
            reader.is_woken(&history, head);
        }
        if self.rng.u32(..25) == 0 {
            for reader in &self.readers {
                reader.compare(program);
            }
        }
    }

    /// Restarts, commands, jumps of the clock, readers that leave.
    fn mischief(&mut self) {
        let now = self.now();
        if self.jumped != 0 && self.jumps_back_at <= now {
            self.jumped = 0;
            self.clock.set_wall(now);
            self.tell("the wall clock is right again");
        }
        if self.rng.u32(..3_000) < self.plan.clock_jumps {
            self.jumped = match self.rng.u32(..3) {
                0 => -i64::from(self.rng.u32(..7_000)),
                1 => i64::from(self.rng.u32(..7_000)),
                _ => 40 * 24 * 3_600_000,
            };
            self.jumps_back_at = now + self.rng.u64(1_000..40_000);
            self.clock.set_wall(now.saturating_add_signed(self.jumped));
            self.tell(format!("the wall clock jumps by {} ms", self.jumped));
        }
        if self.rng.u32(..1_000) < self.plan.commands {
            self.command();
        }
    }

    /// Gives a command as the API's handlers do.
    fn command(&mut self) {
        let Some(program) = &self.program else { return };
        let reconcile = program.reconcile.clone();
        let world = self.world.lock();
        let rooms: Vec<_> = world.rooms.values().filter(|room| !room.name.is_empty()).cloned().collect();
        drop(world);
        if rooms.is_empty() {
            return;
        }
        let room = &rooms[self.rng.usize(..rooms.len())];
        let name = room.name.clone();
        let people: Vec<_> = room.participants.values().cloned().collect();
        let who = (!people.is_empty()).then(|| people[self.rng.usize(..people.len())].clone());
        let what = self.rng.u32(..5);
        let text = format!("c{}", self.rng.u32(..1_000));
        self.tell(format!("command {what} for {name} {:?}", who.as_ref().map(|who| &who.sid)));
        self.tasks.add(Owner::Program, "command", async move {
            let Some(livekit) = reconcile.livekit(PROJECT) else { return };
            let (done, has_webhook) = match (what, who) {
                (0, _) => (livekit.delete_room(&name).await.is_ok(), true),
                (1, Some(who)) => (livekit.remove_participant(&name, &who.identity).await.is_ok(), true),
                (2, Some(who)) => match who.tracks.values().next() {
                    Some(track) => {
                        let muted = !track.muted;
                        let done = livekit.mute_track(&name, &who.identity, &track.sid, muted).await;
                        (done.is_ok(), false)
                    }
                    None => return,
                },
                (3, _) => (livekit.update_room_metadata(&name, &text).await.is_ok(), false),
                _ => return reconcile.watch(PROJECT, &name),
            };
            if done {
                reconcile.changed(PROJECT, &name, has_webhook);
            }
        });
    }

    /// From now on nothing changes in LiveKit, and nothing fails.
    fn heal(&mut self) {
        self.tell("nothing changes and nothing fails any more");
        self.write_history();
        self.world.lock().quiet = true;
        self.network.faults = NetworkFaults { slow_ms: 20, ..NetworkFaults::default() };
        self.machine.api.heal();
        self.machine.disk.heal();
        self.jumped = 0;
        self.clock.set_wall(self.now());
        self.starts_at = self.starts_at.min(self.now() + 1_000);
    }

    /// Returns the first difference between the state and LiveKit.
    fn differs(&self) -> Option<String> {
        let Some(program) = &self.program else { return Some("the program does not run".to_owned()) };
        let state = program.state.read();
        let world = self.world.lock();
        if world.due().is_some() || !self.network.is_empty() {
            return Some("LiveKit is not at rest".to_owned());
        }
        let mut truth = Vec::new();
        for room in world.rooms.values().filter(|room| !room.name.is_empty()) {
            truth.push(format!("room {} {} {:?}", room.sid, room.name, room.metadata));
            for p in room.participants.values() {
                let hidden = p.hidden;
                truth.push(format!(
                    "participant {} {} {:?} {hidden}",
                    p.sid,
                    p.identity,
                    (&p.name, &p.metadata)
                ));
                let tracks = p.tracks.values();
                truth.extend(tracks.map(|track| format!("track {} of {} {}", track.sid, p.sid, track.muted)));
            }
        }
        truth.extend(world.egress.values().filter(|e| !e.ended).map(|e| format!("egress {}", e.id)));
        truth.extend(world.ingress.values().filter(|i| i.publishing).map(|i| format!("ingress {}", i.id)));
        let mut shown = Vec::new();
        // A room without a name cannot be asked about.
        for entry in state.rooms(|_, name| !name.is_empty()) {
            let room = &entry.room;
            shown.push(format!("room {} {} {:?}", room.sid, room.name, &*room.metadata));
            for p in entry.participants() {
                let hidden = p.hidden();
                let texts = (&*p.name, &*p.metadata);
                shown.push(format!("participant {} {} {texts:?} {hidden}", p.sid, p.identity));
                let tracks = p.tracks.iter();
                shown.extend(tracks.map(|track| format!("track {} of {} {}", track.sid, p.sid, track.muted)));
            }
        }
        shown.extend(state.egress(PROJECT).map(|e| format!("egress {}", e.egress_id)));
        shown.extend(state.ingress(PROJECT).map(|i| format!("ingress {}", i.ingress_id)));
        truth.sort();
        shown.sort();
        let missing: Vec<_> = truth.iter().filter(|line| !shown.contains(line)).cloned().collect();
        let extra: Vec<_> = shown.iter().filter(|line| !truth.contains(line)).cloned().collect();
        (!missing.is_empty() || !extra.is_empty())
            .then(|| format!("\n  missing: {}\n  wrong: {}", missing.join("; "), extra.join("; ")))
    }

    /// Checks that are possible only at the end.
    fn end(&mut self) {
        let Some(program) = &mut self.program else { return };
        if self.broken_until > 0 {
            mend_history(self.dir.path());
        }
        while program.history.step() == Step::Wrote {}
        let program = self.program.as_ref().expect("it runs");
        for reader in &self.readers {
            reader.compare(program);
        }
        self.rested();
        let history = self.history.borrow();
        if program_head(&self.program) != history.state.head() {
            self.wrong.push("the feed is not at the end of the log".to_owned());
        }
        let reports = self.network.reports.borrow();
        for (id, seq) in &reports.acknowledged {
            let event = history.past.get(seq.0 as usize - 1).map(|past| &past.event);
            let quoted = format!("\"id\":\"{id}\"");
            let there = event.is_some_and(|event| String::from_utf8_lossy(&event.body).contains(&quoted));
            if !there {
                self.wrong.push(format!("the acknowledged event {id} is not at {seq}"));
            }
        }
        let events: Vec<Event> = history.past.iter().map(|past| past.event.clone()).collect();
        let (found, expected) = (tables(self.dir.path()), recomputed(&events, self.machine.disk.bounds()));
        for (found, expected) in found.iter().zip(&expected) {
            if found != expected {
                let missing: Vec<_> = expected.iter().filter(|row| !found.contains(row)).collect();
                let extra: Vec<_> = found.iter().filter(|row| !expected.contains(row)).collect();
                self.wrong.push(format!(
                    "the history is not what the log gives\n  found: {extra:#?}\n  expected: {missing:#?}"
                ));
            }
        }
    }
}

fn program_head(program: &Option<Program>) -> Seq {
    program.as_ref().map_or(Seq::ZERO, |program| program.feed.head().seq)
}

/// Returns a directory in memory, if there is one: syncs take most of the time otherwise.
fn scratch() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let builder = tempfile::Builder::new();
    if memory.is_dir() { builder_in(builder, &memory) } else { tempfile::tempdir().expect("a directory") }
}

fn builder_in(builder: tempfile::Builder<'_, '_>, dir: &Path) -> tempfile::TempDir {
    builder.tempdir_in(dir).expect("a directory")
}

/// Makes a statement of the next transaction fail, and says which.
fn break_history(dir: &Path, rng: &mut Rng) -> String {
    const TABLES: [&str; 8] =
        ["meta", "changes", "sessions", "participations", "tracks", "egress", "minutes", "checkpoints"];
    let table = TABLES[rng.usize(..TABLES.len())];
    let operation = ["INSERT", "UPDATE"][rng.usize(..2)];
    let more = if operation == "INSERT" { rng.u32(..3) } else { 0 };
    let connection = Connection::open(dir.join("derived.db")).expect("it opens");
    let rows: i64 = connection
        .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
        .expect("a count");
    let trigger = format!(
        "CREATE TRIGGER simulated BEFORE {operation} ON {table}
         WHEN (SELECT count(*) FROM {table}) >= {} BEGIN SELECT RAISE(ABORT, 'simulated'); END",
        rows + i64::from(more)
    );
    connection.execute_batch(&trigger).expect("a trigger");
    format!("{operation} {table} after {more}")
}

fn mend_history(dir: &Path) {
    let connection = Connection::open(dir.join("derived.db")).expect("it opens");
    connection.execute_batch("DROP TRIGGER simulated").expect("dropped");
}

/// Returns the rows of the history, without the numbers that depend on the order of transactions.
fn tables(dir: &Path) -> Vec<Vec<String>> {
    const QUERIES: [&str; 5] = [
        "SELECT * FROM minutes",
        // The counts are set for ended sessions only.
        "SELECT project, sid, room, started_at, ended_at, end_reason, ended_by, source, peak, recorded,
            iif(ended_at IS NULL, NULL, participants), iif(ended_at IS NULL, NULL, publishers) FROM sessions",
        "SELECT s.sid, p.* FROM participations p JOIN sessions s ON s.id = p.session",
        "SELECT s.sid, t.* FROM tracks t JOIN sessions s ON s.id = t.session",
        "SELECT project, egress, room_sid, ended, updated_at_ns, at, json FROM egress",
    ];
    let connection = Connection::open(dir.join("derived.db")).expect("it opens");
    let rows = |sql: &str| {
        let mut statement = connection.prepare(sql).expect("a statement");
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let row = |row: &rusqlite::Row<'_>| {
            let value = |n: usize| row.get::<_, rusqlite::types::Value>(n);
            let named = names.iter().enumerate().filter(|(_, name)| *name != "session");
            named.map(|(n, name)| Ok(format!("{name} {:?}", value(n)?))).collect::<Result<Vec<_>, _>>()
        };
        let rows = statement.query_map([], row).expect("rows");
        let mut rows: Vec<String> = rows.map(|row| row.expect("a row").join(", ")).collect();
        rows.sort();
        rows
    };
    QUERIES.iter().map(|sql| rows(sql)).collect()
}

/// Derives the history from the log once more, without any trouble.
fn recomputed(events: &[Event], bounds: roomwatch::log::Bounds) -> Vec<Vec<String>> {
    let dir = scratch();
    let (derived, mut history, _) =
        Derived::open_stepped(dir.path(), bounds, Options::default()).expect("it opens");
    let mut state = State::default();
    for event in events {
        let applied = state.apply(event);
        derived.record(encode(event, applied));
    }
    while history.step() == Step::Wrote {}
    tables(dir.path())
}
