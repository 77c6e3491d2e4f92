//! The rooms of one endpoint that have undelivered events, each a *lane*: its events in order, one request at a time.
//!
//! Nothing here does I/O or reads a clock.
//!
//! A lane has the next events of its room in memory, up to a limit. Later ones stay in the log, and the lane is *behind*
//! an event: a scan of the log from there finds them when the lane has delivered the others. So a room that waits for a
//! retry costs little, whatever happens in it, and the other rooms go on.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use crate::event::{Event, Seq};

/// Maximum number of lanes. Then the endpoint reads no further.
pub const LANES_MAX: usize = 1_000;
/// Maximum number of events of one lane in memory.
const QUEUE_MAX: usize = 64;
/// Maximum number of events that lanes hold with their bodies, and bytes of these. Other events are read again.
const HELD_MAX: usize = 1_024;
const HELD_BYTES_MAX: usize = 1 << 20;

/// A room, or the events of a project that have none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Room {
    pub project: Arc<str>,
    pub name: Option<Arc<str>>,
}

impl Room {
    pub fn of(event: &Event) -> Room {
        Room { project: event.project.clone(), name: event.room.clone() }
    }
}

/// An event that must be delivered next.
#[derive(Clone, Debug)]
pub struct Next {
    pub room: Room,
    pub seq: Seq,
    /// `None`: it must be read again.
    pub event: Option<Arc<Event>>,
    /// Failed attempts so far.
    pub failures: u32,
}

/// A lane that does not follow from the position of its endpoint: it waits for a retry, or is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    pub room: Room,
    /// Its first undelivered event, or an event before that.
    pub first: Seq,
    pub failures: u32,
    /// Unix milliseconds of the next attempt.
    pub due: u64,
    /// Time of the first undelivered event, or an earlier one.
    pub at: u64,
}

#[derive(Debug)]
struct Lane {
    queue: VecDeque<(Seq, Option<Arc<Event>>)>,
    /// Events of the room after this one may not be in the queue.
    behind: Option<Seq>,
    failures: u32,
    due: u64,
    /// True if `due` is a wish of the receiver.
    is_asked: bool,
    at: u64,
    in_flight: bool,
}

/// See [`self`].
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: HashMap<Room, Lane>,
    ready: VecDeque<Room>,
    waiting: BTreeSet<(u64, Room)>,
    /// Lanes without an event in memory that are behind.
    empty: BTreeSet<(Seq, Room)>,
    in_flight: usize,
    held: usize,
    held_bytes: usize,
}

impl Lanes {
    /// Restores a lane that was stored.
    pub fn restore(&mut self, parked: Parked, now: u64) {
        let Parked { room, first, failures, due, at } = parked;
        let behind = Some(Seq(first.0.saturating_sub(1)));
        let queue = VecDeque::new();
        let lane = Lane { queue, behind, failures, due, is_asked: true, at, in_flight: false };
        self.lanes.insert(room.clone(), lane);
        self.place(&room, now);
    }

    /// Returns true if the endpoint may read further.
    pub fn has_space(&self) -> bool {
        self.lanes.len() < LANES_MAX && self.held < HELD_MAX && self.held_bytes < HELD_BYTES_MAX
    }

    /// Adds the next event of its room.
    pub fn push(&mut self, event: &Arc<Event>, now: u64) {
        let room = Room::of(event);
        let new = || Lane {
            queue: VecDeque::new(),
            behind: None,
            failures: 0,
            due: 0,
            is_asked: false,
            at: event.received_at,
            in_flight: false,
        };
        let lane = self.lanes.entry(room.clone()).or_insert_with(new);
        if lane.behind.is_some() {
            return;
        }
        match lane.queue.back() {
            Some((last, _)) if lane.queue.len() == QUEUE_MAX => {
                lane.behind = Some(*last);
                return;
            }
            _ => {}
        }
        let was_empty = lane.queue.is_empty();
        self.hold(&room, event);
        if was_empty {
            self.place(&room, now);
        }
    }

    /// Puts an event at the end of a lane, with its body if the lane delivers soon.
    fn hold(&mut self, room: &Room, event: &Arc<Event>) {
        let Some(lane) = self.lanes.get_mut(room) else { return };
        let is_held = lane.failures == 0 && self.held < HELD_MAX && self.held_bytes < HELD_BYTES_MAX;
        if is_held {
            self.held += 1;
            self.held_bytes += event.body.len();
        }
        lane.queue.push_back((event.seq, is_held.then(|| event.clone())));
    }

    fn release(&mut self, event: Option<&Event>) {
        if let Some(event) = event {
            self.held -= 1;
            self.held_bytes -= event.body.len();
        }
    }

    /// Puts a lane that is not in flight where it belongs.
    fn place(&mut self, room: &Room, now: u64) {
        let Some(lane) = self.lanes.get(room) else { return };
        match (lane.queue.is_empty(), lane.behind) {
            (true, None) => {
                self.lanes.remove(room);
            }
            _ if lane.due > now => {
                self.waiting.insert((lane.due, room.clone()));
            }
            (true, Some(behind)) => {
                self.empty.insert((behind, room.clone()));
            }
            (false, _) => self.ready.push_back(room.clone()),
        }
    }

    /// Ends the waits that are over.
    pub fn wake(&mut self, now: u64) {
        while let Some((due, _)) = self.waiting.first()
            && *due <= now
            && let Some((_, room)) = self.waiting.pop_first()
        {
            self.place(&room, now);
        }
    }

    /// Returns the time at which the next wait is over.
    pub fn due(&self) -> Option<u64> {
        self.waiting.first().map(|(due, _)| *due)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns the number of rooms that wait for a retry.
    pub fn waiting(&self) -> usize {
        self.lanes.values().filter(|lane| lane.failures > 0).count()
    }

    /// Takes the next event. Its lane is in flight until [`Lanes::delivered`], [`Lanes::failed`] or [`Lanes::untried`].
    pub fn next(&mut self) -> Option<Next> {
        let room = self.ready.pop_front()?;
        let lane = self.lanes.get_mut(&room)?;
        let (seq, event) = lane.queue.front().cloned()?;
        lane.in_flight = true;
        self.in_flight += 1;
        Some(Next { failures: lane.failures, room, seq, event })
    }

    /// Ends the first event of a lane in flight: it is delivered, dead or gone.
    pub fn delivered(&mut self, room: &Room, now: u64) {
        self.in_flight -= 1;
        let Some(lane) = self.lanes.get_mut(room) else { return };
        let done = lane.queue.pop_front();
        (lane.in_flight, lane.failures, lane.due, lane.is_asked) = (false, 0, 0, false);
        if let Some(Some(next)) = lane.queue.front().map(|(_, event)| event) {
            lane.at = next.received_at;
        }
        self.release(done.and_then(|(_, event)| event).as_deref());
        self.place(room, now);
    }

    /// Parks a lane in flight until `due`.
    pub fn failed(&mut self, room: &Room, due: u64, is_asked: bool, now: u64) {
        self.in_flight -= 1;
        let Some(lane) = self.lanes.get_mut(room) else { return };
        (lane.in_flight, lane.due, lane.is_asked) = (false, due, is_asked);
        lane.failures += 1;
        // A room that waits needs no memory.
        let bodies: Vec<_> = lane.queue.iter_mut().filter_map(|(_, event)| event.take()).collect();
        bodies.iter().for_each(|event| self.release(Some(event)));
        self.place(room, now);
    }

    /// Returns a lane in flight to its place: there was no attempt.
    pub fn untried(&mut self, room: &Room, due: u64, now: u64) {
        self.in_flight -= 1;
        let Some(lane) = self.lanes.get_mut(room) else { return };
        (lane.in_flight, lane.due) = (false, due);
        self.place(room, now);
    }

    /// Brings the retries of all lanes forward, because the receiver is back: each to a time between now and `spread`
    /// milliseconds later. Those for which the receiver has asked keep their time.
    pub fn hurry(&mut self, now: u64, spread: u64) {
        for (due, room) in std::mem::take(&mut self.waiting) {
            let Some(lane) = self.lanes.get_mut(&room) else { continue };
            if !lane.is_asked {
                lane.due = due.min(now + fastrand::u64(..=spread));
            }
            self.waiting.insert((lane.due, room));
        }
    }

    /// Returns the event after which the log must be read for the lanes that are behind and have nothing else.
    pub fn scan_from(&self) -> Option<Seq> {
        self.empty.first().map(|(behind, _)| *behind)
    }

    /// Takes the events after `from` up to `through` for the lanes that are behind. `read` is the event up to which the
    /// endpoint has read; no lane is behind that.
    pub fn scanned(&mut self, events: &[Arc<Event>], from: Seq, through: Seq, read: Seq, now: u64) {
        for event in events.iter().filter(|event| event.seq <= read) {
            let room = Room::of(event);
            let Some(lane) = self.lanes.get_mut(&room) else { continue };
            let Some(behind) = lane.behind.filter(|behind| (from..event.seq).contains(behind)) else {
                continue;
            };
            if lane.queue.len() == QUEUE_MAX {
                continue;
            }
            lane.behind = Some(event.seq);
            let was_empty = self.empty.remove(&(behind, room.clone()));
            if lane.queue.is_empty() {
                lane.at = event.received_at;
            }
            self.hold(&room, event);
            if was_empty {
                self.place(&room, now);
            }
        }
        // A lane whose queue is full may have events that were left out: it stays behind its last one.
        let passed = |lane: &Lane| {
            lane.queue.len() < QUEUE_MAX
                && lane.behind.is_some_and(|behind| behind >= from && behind < through)
        };
        let rooms: Vec<_> =
            self.lanes.iter().filter(|(_, lane)| passed(lane)).map(|(room, _)| room.clone()).collect();
        for room in rooms {
            self.move_behind(&room, (through < read).then_some(through), now);
        }
        // Behind the very end.
        let ended: Vec<_> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.behind.is_some_and(|behind| behind >= read))
            .map(|(room, _)| room.clone())
            .collect();
        for room in ended {
            self.move_behind(&room, None, now);
        }
    }

    fn move_behind(&mut self, room: &Room, to: Option<Seq>, now: u64) {
        let Some(lane) = self.lanes.get_mut(room) else { return };
        let old = std::mem::replace(&mut lane.behind, to);
        if let Some(old) = old
            && self.empty.remove(&(old, room.clone()))
        {
            self.place(room, now);
        } else if lane.queue.is_empty() && to.is_none() && !lane.in_flight {
            // It waits for a retry of an event that retention has removed.
            self.waiting.remove(&(lane.due, room.clone()));
            self.lanes.remove(room);
        }
    }

    /// Notes that retention has removed the events before `first`. Returns the number of undelivered events that are
    /// known to be lost.
    pub fn lost_before(&mut self, first: Seq) -> u64 {
        let mut lost = 0;
        let before = Seq(first.0.saturating_sub(1));
        for (room, lane) in &mut self.lanes {
            let Some(behind) = lane.behind.filter(|behind| *behind < before) else { continue };
            // A restored lane has its first event after `behind`; that one at least is lost.
            lost += u64::from(lane.queue.is_empty());
            lane.behind = Some(before);
            if self.empty.remove(&(behind, room.clone())) {
                self.empty.insert((before, room.clone()));
            }
            if lane.queue.is_empty() {
                lane.failures = 0;
            }
        }
        lost
    }

    /// Returns the event up to which everything is delivered, except in the parked lanes, if the endpoint has read up to
    /// `read`; and the time of the oldest undelivered event.
    pub fn position(&self, read: Seq) -> (Seq, Vec<Parked>, Option<u64>) {
        let (mut cursor, mut parked) = (read, Vec::new());
        for (room, lane) in &self.lanes {
            let first = lane.queue.front().map(|(seq, _)| *seq);
            let first = first.or(lane.behind.map(Seq::next)).unwrap_or(read);
            if lane.failures > 0 || lane.behind.is_some() {
                let (room, failures) = (room.clone(), lane.failures);
                parked.push(Parked { room, first, failures, due: lane.due, at: lane.at });
            } else {
                cursor = cursor.min(Seq(first.0.saturating_sub(1)));
            }
        }
        parked.sort_by(|a, b| (a.first, &a.room).cmp(&(b.first, &b.room)));
        (cursor, parked, self.lanes.values().map(|lane| lane.at).min())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Kind, Source};

    fn event(seq: u64, room: u64) -> Arc<Event> {
        Arc::new(Event {
            seq: Seq(seq),
            project: "p".into(),
            source: Source::Webhook,
            received_at: seq * 1_000,
            kind: Kind::RoomStarted,
            room: (room > 0).then(|| format!("r{room}").into()),
            room_sid: None,
            body: "{}".into(),
        })
    }

    /// One endpoint over a log, without I/O. Its receiver notes each event that it takes.
    struct World {
        random: fastrand::Rng,
        log: Vec<Arc<Event>>,
        /// Events of the log that retention has removed.
        removed: u64,
        lanes: Lanes,
        read: Seq,
        flying: Vec<Next>,
        taken: HashMap<Room, Vec<u64>>,
        lost: u64,
        now: u64,
        most: usize,
    }

    impl World {
        fn new(seed: u64) -> World {
            World {
                random: fastrand::Rng::with_seed(seed),
                log: Vec::new(),
                removed: 0,
                lanes: Lanes::default(),
                read: Seq::ZERO,
                flying: Vec::new(),
                taken: HashMap::new(),
                lost: 0,
                now: 1,
                most: 0,
            }
        }

        fn read_after(&self, after: Seq, limit: usize) -> Vec<Arc<Event>> {
            let from = after.0.max(self.removed) as usize;
            self.log.iter().skip(from).take(limit).cloned().collect()
        }

        /// Does the work of one turn of the worker. `fails` in a hundred attempts fail.
        fn turn(&mut self, fails: u32) {
            self.lanes.wake(self.now);
            while self.flying.len() < 4
                && let Some(next) = self.lanes.next()
            {
                assert!(self.flying.iter().all(|other| other.room != next.room), "two of one room");
                self.flying.push(next);
            }
            if let Some(from) = self.lanes.scan_from() {
                if from.0 < self.removed {
                    self.lost += self.lanes.lost_before(Seq(self.removed + 1));
                }
                let events = self.read_after(from, 7);
                let through = events.last().map_or(self.read, |last| last.seq.min(self.read));
                self.lanes.scanned(&events, from, through, self.read, self.now);
            } else {
                for event in self.read_after(self.read, 7) {
                    if self.lanes.has_space() {
                        self.lanes.push(&event, self.now);
                        self.read = event.seq;
                    }
                }
            }
            if !self.flying.is_empty() {
                let at = self.random.usize(..self.flying.len());
                let next = self.flying.swap_remove(at);
                if self.random.u32(..100) < fails {
                    let due = self.now + self.random.u64(..50);
                    self.lanes.failed(&next.room, due, self.random.bool(), self.now);
                } else {
                    self.taken.entry(next.room.clone()).or_default().push(next.seq.0);
                    self.lanes.delivered(&next.room, self.now);
                }
            }
            if self.random.u32(..50) == 0 {
                self.lanes.hurry(self.now, 5);
            }
            self.now += self.random.u64(..3);
            self.most = self.most.max(self.lanes.lanes.len());
        }

        /// Ends without answers, and begins again at the stored position.
        fn restart(&mut self) {
            let (cursor, parked, _) = self.lanes.position(self.read);
            (self.lanes, self.read) = (Lanes::default(), cursor);
            self.flying.clear();
            for parked in parked {
                self.lanes.restore(parked, self.now);
            }
        }

        fn append(&mut self, rooms: u64) {
            let room = self.random.u64(..rooms);
            self.log.push(event(self.log.len() as u64 + 1, room));
        }

        fn until_idle(&mut self) {
            for turn in 0.. {
                assert!(turn < 1_000_000, "it does not come to an end: {:?}", self.lanes);
                let is_read = self.read.0 == self.log.len() as u64;
                if is_read && self.flying.is_empty() && self.lanes.lanes.is_empty() {
                    break;
                }
                self.turn(10);
            }
            let Lanes { lanes, ready, waiting, empty, in_flight, held, held_bytes } = &self.lanes;
            assert!(lanes.is_empty() && ready.is_empty() && waiting.is_empty() && empty.is_empty());
            assert_eq!((*in_flight, *held, *held_bytes), (0, 0, 0));
        }
    }

    /// Repeats are allowed after a restart, from an event that was taken before. Nothing is left out.
    fn assert_in_order(taken: &[u64], expected: &[u64]) {
        let mut at = 0;
        for seq in taken {
            match expected.get(at) {
                Some(next) if next == seq => at += 1,
                _ => {
                    let again = expected[..at].iter().position(|known| known == seq);
                    at = again.unwrap_or_else(|| panic!("{seq} after {:?}", &expected[..at])) + 1;
                }
            }
        }
        assert_eq!(at, expected.len(), "the last ones are missing");
    }

    #[test]
    fn each_room_gets_each_event_in_order_over_failures_and_restarts() {
        for seed in 0..60 {
            let mut world = World::new(seed);
            let rooms = world.random.u64(1..40);
            let fails = world.random.u32(..95);
            for step in 0..2_000 {
                if step < 1_000 {
                    world.append(rooms);
                }
                world.turn(fails);
                if world.random.u32(..200) == 0 {
                    world.restart();
                }
            }
            world.until_idle();
            for (room, taken) in &world.taken {
                let own = world.log.iter().filter(|event| Room::of(event) == *room);
                assert_in_order(taken, &own.map(|event| event.seq.0).collect::<Vec<_>>());
            }
            let rooms: BTreeSet<Room> = world.log.iter().map(|event| Room::of(event)).collect();
            assert_eq!(world.taken.len(), rooms.len(), "seed {seed}");
        }
    }

    #[test]
    fn a_room_that_fails_costs_little_and_the_others_go_on() {
        let mut world = World::new(1);
        for seq in 1..=10_000 {
            world.log.push(event(seq, if seq % 2 == 0 { 1 } else { 1 + seq % 7 }));
        }
        let poisoned = Room::of(&event(1, 1));
        let mut others = 0;
        for _ in 0..60_000 {
            world.lanes.wake(world.now);
            while let Some(next) = world.lanes.next() {
                if next.room == poisoned {
                    world.lanes.failed(&next.room, u64::MAX, true, world.now);
                } else {
                    others += 1;
                    world.lanes.delivered(&next.room, world.now);
                }
            }
            world.turn(0);
            let queued = world.lanes.lanes.get(&poisoned).map_or(0, |lane| lane.queue.len());
            assert!(queued <= QUEUE_MAX);
        }
        let taken = others + world.taken.values().map(Vec::len).sum::<usize>();
        let expected = world.log.iter().filter(|event| Room::of(event) != poisoned).count();
        assert_eq!((taken, world.read), (expected, Seq(10_000)));
        let (cursor, parked, at) = world.lanes.position(world.read);
        assert_eq!((cursor, parked.len()), (Seq(10_000), 1));
        assert_eq!((parked[0].first, parked[0].failures, at), (Seq(2), 1, Some(2_000)));
    }

    #[test]
    fn an_endpoint_that_is_dead_reads_only_as_far_as_it_may() {
        let mut world = World::new(2);
        for seq in 1..=5_000 {
            world.log.push(event(seq, seq));
        }
        for _ in 0..20_000 {
            world.turn(100);
            world.lanes.waiting.clear();
        }
        assert_eq!((world.most, world.read), (LANES_MAX, Seq(LANES_MAX as u64)));
        assert_eq!(world.lanes.held, 0, "bodies of rooms that wait are not held");
    }

    #[test]
    fn events_that_retention_removed_are_counted_and_the_rest_of_the_room_follows() {
        let mut world = World::new(3);
        for seq in 1..=300 {
            world.log.push(event(seq, 1));
        }
        let room = Room::of(&event(1, 1));
        world.lanes.restore(Parked { room: room.clone(), first: Seq(2), failures: 3, due: 0, at: 0 }, 1);
        (world.read, world.removed) = (Seq(250), 100);
        world.until_idle();
        assert_eq!(world.lost, 1);
        assert_eq!(world.taken[&room], (101..=300).collect::<Vec<_>>());
    }
}
