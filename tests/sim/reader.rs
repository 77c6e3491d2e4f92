//! Readers: each keeps a list that it builds from a snapshot and the stream, and checks every byte that it gets.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use fastrand::Rng;
use roomwatch::{
    clock::Clock,
    derived::Joined,
    event::{Event, Seq},
    feed::{Feed, Filter, Frame, Position, ReplayError, Reset, View},
    follow::encode,
    rights::{Sight, Window},
    state::{State, Wire, mask::ALL},
};
use serde_json::Value;

use crate::program::{PROJECT, Program};

/// The request of a client, and its rights.
#[derive(Clone, Debug)]
pub struct Request {
    pub sight: Sight,
    pub rooms: Vec<String>,
    pub types: Vec<String>,
}

impl Request {
    pub fn random(rng: &mut Rng) -> Request {
        let room = |rng: &mut Rng| format!("room-{}", rng.usize(..5));
        let project: Arc<str> = PROJECT.into();
        let sight = match rng.u32(..8) {
            0..=2 => Sight::All,
            3 => Sight::Project(project),
            4 => Sight::Room { project, room: room(rng).into() },
            _ => Sight::Joined { project, room: room(rng).into() },
        };
        let whole = matches!(sight, Sight::All | Sight::Project(_));
        let rooms = if whole && rng.u32(..3) == 0 {
            (0..rng.usize(1..3)).map(|_| room(rng)).collect()
        } else {
            Vec::new()
        };
        let types: &[&str] = match rng.u32(..6) {
            0 => &["track_*"],
            1 => &["*_started", "participant_left"],
            _ => &[],
        };
        Request { sight, rooms, types: types.iter().map(|text| (*text).to_owned()).collect() }
    }

    fn window(&self, state: &State, head: Seq) -> Window {
        Window::resolve(&self.sight, &[], &self.rooms, state, head).expect("it is within its rights")
    }

    pub fn is_joined(&self) -> bool {
        matches!(self.sight, Sight::Joined { .. })
    }

    /// Returns true if this client gets the event. Written again, and not asked of the program.
    fn gets(&self, past: &Past) -> bool {
        let event = &past.event;
        let room = event.room.as_deref();
        let mine = match &self.sight {
            Sight::Room { room: own, .. } | Sight::Joined { room: own, .. } => room == Some(own),
            _ => true,
        };
        let named =
            self.rooms.is_empty() || room.is_some_and(|room| self.rooms.iter().any(|own| own == room));
        let kind = event.kind.as_str();
        let typed = self.types.is_empty()
            || self.types.iter().any(|pattern| {
                match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
                    (Some(begin), _) => kind.starts_with(begin),
                    (_, Some(end)) => kind.ends_with(end),
                    _ => kind == pattern,
                }
            });
        let shown = match &past.joined {
            Some(joined) if self.is_joined() && joined.restricted => {
                joined.json != "[]" && self.types.is_empty()
            }
            _ => true,
        };
        mine && named && typed && shown
    }
}

/// One event of the log, folded once more.
pub struct Past {
    pub event: Event,
    changes: bytes::Bytes,
    joined: Option<Joined>,
}

/// The log, folded once more beside the program.
#[derive(Default)]
pub struct History {
    pub state: State,
    pub past: Vec<Past>,
}

impl History {
    pub fn extend(&mut self, event: Event) {
        let applied = self.state.apply(&event);
        let recorded = encode(&event, applied);
        self.past.push(Past { event, changes: recorded.json, joined: recorded.joined });
    }
}

type Key = (String, String);

/// The state of a client.
pub struct Seen {
    /// Every event up to here was either received or does not match.
    pub scanned: Seq,
    /// Rooms, participants, egress and ingress by kind and id.
    entities: BTreeMap<Key, Value>,
    pub wrong: Vec<String>,
    /// Its stream has ended, and it will come again.
    pub away: bool,
    /// It has been told to fetch its list again.
    pub reset: bool,
    /// It does not read for now.
    pub stuck: bool,
    pub frames: u64,
}

pub struct Reader {
    pub name: usize,
    pub request: Request,
    pub seen: Rc<RefCell<Seen>>,
    pub comes_at: u64,
}

impl Reader {
    pub fn new(name: usize, request: Request) -> Reader {
        let seen = Seen {
            scanned: Seq::ZERO,
            entities: BTreeMap::new(),
            wrong: Vec::new(),
            away: true,
            reset: true,
            stuck: false,
            frames: 0,
        };
        Reader { name, request, seen: Rc::new(RefCell::new(seen)), comes_at: 0 }
    }

    /// Opens the stream, where it was left or with a new list, and returns its task.
    pub fn open(
        &self,
        program: &Program,
        history: &Rc<RefCell<History>>,
        clock: &Clock,
        mut rng: Rng,
        last: Seq,
        first: Seq,
    ) -> impl Future<Output = ()> + use<> {
        let feed = program.feed.clone();
        let head = feed.head();
        let state = program.state.read();
        let window = self.request.window(&state, head.seq);
        let mut seen = self.seen.borrow_mut();
        if !seen.reset {
            let cursor = feed.cursor(seen.scanned).to_string();
            match feed.locate(&Position::After(cursor.into()), &window) {
                Ok(from) if from == seen.scanned => {}
                Ok(from) => {
                    let wrong = format!("resumed at {from} instead of {}", seen.scanned);
                    seen.wrong.push(wrong);
                }
                Err(Reset::Expired) => {
                    let begins = first.max(window.earliest().unwrap_or_default());
                    if begins <= seen.scanned.next() {
                        let wrong = format!("{} is expired, but the log begins at {begins}", seen.scanned);
                        seen.wrong.push(wrong);
                    }
                    seen.reset = true;
                }
                // The program has just started, and has not folded the log yet.
                Err(Reset::Ahead) if seen.scanned <= last => seen.reset = true,
                Err(reset) => {
                    let wrong = format!("cursor {} of {last} events: {}", seen.scanned, reset.as_str());
                    seen.wrong.push(wrong);
                }
            }
        }
        if std::mem::take(&mut seen.reset) {
            seen.entities = snapshot(&state, &window);
            seen.scanned = head.seq;
        }
        seen.away = false;
        drop(state);
        let filter = Filter::new(&window, &self.request.types, &[]);
        let view = filter.view();
        let mut subscription = feed.subscribe(filter, seen.scanned);
        drop(seen);
        let (seen, request) = (self.seen.clone(), self.request.clone());
        let (history, clock) = (history.clone(), clock.clone());
        async move {
            loop {
                let frames = subscription.next().await;
                let scanned = subscription.cursor().seq;
                if !seen.borrow_mut().read(frames, scanned, &feed, &request, &history.borrow(), view) {
                    return;
                }
                if rng.u32(..20) == 0 {
                    seen.borrow_mut().stuck = true;
                    clock.sleep(Duration::from_millis(rng.u64(..8_000))).await;
                    seen.borrow_mut().stuck = false;
                }
            }
        }
    }

    /// Compares its list with a new one. It must have read everything.
    pub fn compare(&self, program: &Program) {
        let mut seen = self.seen.borrow_mut();
        let head = program.feed.head().seq;
        if seen.away || seen.stuck || seen.reset {
            return;
        }
        if seen.scanned != head {
            // It waits to be woken by a matching event.
            return;
        }
        if !self.request.types.is_empty() {
            return;
        }
        let state = program.state.read();
        let window = self.request.window(&state, head);
        let (fresh, mine) = (visible(&snapshot(&state, &window)), visible(&seen.entities));
        if fresh != mine {
            let differs = |a: &BTreeMap<Key, Value>, b: &BTreeMap<Key, Value>| {
                let of = a.iter().filter(|(key, value)| b.get(key) != Some(value));
                of.map(|(key, value)| format!("{key:?} {value}")).collect::<Vec<_>>().join("\n    ")
            };
            let wrong = format!(
                "at {head} the list differs from the fold of the stream\n  list:\n    {}\n  stream:\n    {}",
                differs(&fresh, &mine),
                differs(&mine, &fresh)
            );
            seen.wrong.push(wrong);
            seen.entities = snapshot(&state, &window);
        }
    }

    /// Notes an event that the reader should have been woken for, if there is one. Nothing can go on at this moment.
    pub fn is_woken(&self, history: &History, head: Seq) {
        let mut seen = self.seen.borrow_mut();
        if seen.away || seen.stuck {
            return;
        }
        let from = seen.scanned.0 as usize;
        let missed = history.past[from..head.0 as usize].iter().find(|past| self.request.gets(past));
        if let Some(missed) = missed {
            let wrong = format!("it waits at {}, and was not woken for {}", seen.scanned, missed.event.seq);
            seen.wrong.push(wrong);
        }
        seen.scanned = head;
    }
}

impl Seen {
    /// Takes what a subscription has returned. Returns false at the end of the stream.
    fn read(
        &mut self,
        frames: Result<Vec<Arc<Frame>>, ReplayError>,
        scanned: Seq,
        feed: &Feed,
        request: &Request,
        history: &History,
        view: View,
    ) -> bool {
        match frames {
            Ok(frames) => {
                for frame in &frames {
                    self.take(feed, request, history, frame, view);
                }
                self.scan(request, history, scanned);
                true
            }
            Err(error) => {
                self.away = true;
                self.reset = matches!(error, ReplayError::Expired);
                false
            }
        }
    }

    /// Everything between was scanned, so nothing of it may match.
    fn scan(&mut self, request: &Request, history: &History, to: Seq) {
        if to <= self.scanned {
            return;
        }
        let between = &history.past[self.scanned.0 as usize..to.0 as usize];
        if let Some(missed) = between.iter().find(|past| request.gets(past)) {
            self.wrong.push(format!("event {} was left out", missed.event.seq));
        }
        self.scanned = to;
    }

    fn take(&mut self, feed: &Feed, request: &Request, history: &History, frame: &Arc<Frame>, view: View) {
        self.frames += 1;
        if frame.seq <= self.scanned {
            return self.wrong.push(format!("event {} came again", frame.seq));
        }
        self.scan(request, history, Seq(frame.seq.0 - 1));
        self.scanned = frame.seq;
        let past = &history.past[frame.seq.0 as usize - 1];
        if !request.gets(past) {
            self.wrong.push(format!("event {} is not for this reader", frame.seq));
        }
        let bytes = |frame: &Frame| {
            let mut out = Vec::new();
            frame.put_sse(&mut out, view, false);
            out.concat()
        };
        let expected = Frame::encode(feed.epoch(), &past.event, &past.changes, past.joined.as_ref());
        let (got, expected) = (bytes(frame), bytes(&expected));
        if got != expected {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let wrong = format!("event {} is not the log's\n{}{}", frame.seq, text(&got), text(&expected));
            self.wrong.push(wrong);
        }
        if request.types.is_empty() {
            let changes = match &past.joined {
                Some(joined) if request.is_joined() => &joined.json,
                _ => &past.changes,
            };
            let changes: Vec<Value> = serde_json::from_slice(changes).expect("JSON");
            changes.into_iter().for_each(|change| self.apply(change));
        }
    }

    /// Applies one change, as docs/protocol.md says.
    fn apply(&mut self, mut change: Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&change["kind"]), text(&change["id"]));
        match change["op"].as_str() {
            Some("set") => {
                let value = change["value"].take();
                self.entities.insert(key, value);
            }
            Some("patch") => {
                if let (Some(entity), Value::Object(fields)) =
                    (self.entities.get_mut(&key).and_then(Value::as_object_mut), change["value"].take())
                {
                    entity.extend(fields);
                }
            }
            Some("delete") => {
                if key.0 == "room" {
                    self.entities.retain(|_, value| value["roomSid"] != key.1.as_str());
                }
                self.entities.remove(&key);
            }
            _ => self.wrong.push(format!("an unknown change: {change}")),
        }
    }
}

/// Returns what the routes of the API list of the present state, with the fields that changes have too.
fn snapshot(state: &State, window: &Window) -> BTreeMap<Key, Value> {
    let json = |value: Result<Value, serde_json::Error>| value.expect("JSON");
    let mut all = BTreeMap::new();
    for entry in window.rooms(state) {
        let room = json(serde_json::to_value(Wire(&*entry.room, ALL)));
        all.insert(("room".to_owned(), entry.room.sid.to_string()), room);
        for participant in entry.participants().filter(|p| window.shows(p)) {
            let value = json(serde_json::to_value(Wire(&**participant, ALL)));
            all.insert(("participant".to_owned(), participant.sid.to_string()), value);
        }
    }
    for egress in state.egress(PROJECT).filter(|_| window.shows_egress()) {
        let value = json(serde_json::to_value(Wire(&**egress, ALL)));
        all.insert(("egress".to_owned(), egress.egress_id.to_string()), value);
    }
    for ingress in state.ingress(PROJECT) {
        let value = json(serde_json::to_value(Wire(&**ingress, ALL)));
        all.insert(("ingress".to_owned(), ingress.ingress_id.to_string()), value);
    }
    all
}

/// Returns what belongs to the rooms of a list.
fn visible(entities: &BTreeMap<Key, Value>) -> BTreeMap<Key, Value> {
    let rooms: Vec<&Value> =
        entities.iter().filter(|((kind, _), _)| kind == "room").map(|(_, room)| room).collect();
    let shown = |(kind, _): &Key, value: &Value| match kind.as_str() {
        "egress" => rooms.iter().any(|room| room["sid"] == value["roomSid"]),
        "ingress" => rooms.iter().any(|room| room["name"] == value["room"]),
        _ => true,
    };
    let mut visible: BTreeMap<Key, Value> = entities
        .iter()
        .filter(|(key, value)| shown(key, value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    for value in visible.values_mut().filter_map(Value::as_object_mut) {
        // In lists only.
        value.remove("lastEventAt");
        value.remove("checkedAt");
    }
    visible
}
