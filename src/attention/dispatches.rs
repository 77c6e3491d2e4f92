//! Agent dispatches: a room for which LiveKit has one should have an agent, without a rule in the configuration.
//!
//! No event carries a dispatch, so LiveKit is asked, about rooms in which participants wait and no agent is. Each project
//! has its own loop beside the followers, and a limit of questions a second: a LiveKit that hangs delays no look. The
//! answers are in memory. After a start, an open condition stays open until the first answer about its room.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};

use crate::{
    config::AttentionRules,
    livekit::ListedDispatch,
    state::{RoomEntry, State},
};

use super::{Sources, find::millis};

/// Time between two rounds of questions.
const ROUNDS_EVERY: Duration = Duration::from_secs(1);
/// Maximum number of questions of one round, and at one time. LiveKit passes each on to the node of the room.
const ROUND_MAX: usize = 10;
const AT_ONCE: usize = 4;
/// Time after which a room is asked about again. It doubles while the room has no dispatch.
const AGAIN_AFTER_MS: u64 = 60_000;
const AGAIN_AFTER_MAX_MS: u64 = 15 * 60_000;
/// Time after which a question without an answer is repeated.
const RETRY_AFTER_MS: u64 = 5_000;

/// Project and sid of a room.
type RoomKey = (Arc<str>, Arc<str>);

/// The dispatches that are known.
#[derive(Debug, Default)]
pub struct Dispatches {
    /// Projects that can be asked. A room of another one has no dispatch.
    projects: HashSet<Arc<str>>,
    rooms: HashMap<RoomKey, Asked>,
}

#[derive(Debug)]
struct Asked {
    /// Unix milliseconds of the next question.
    again_at: u64,
    again_after: u64,
    answer: Known,
}

/// Present knowledge about the dispatch of a room.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Known {
    #[default]
    Unknown,
    None,
    Dispatch(Dispatch),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    pub id: Box<str>,
    /// Empty for workers without a name.
    pub agent: Box<str>,
    /// Unix milliseconds of its creation, on our clock.
    pub since: u64,
}

/// A room to ask about.
#[derive(Clone, Debug)]
pub struct Due {
    key: RoomKey,
    name: Arc<str>,
}

impl Dispatches {
    pub fn new(projects: impl IntoIterator<Item = Arc<str>>) -> Dispatches {
        Dispatches { projects: projects.into_iter().collect(), rooms: HashMap::new() }
    }

    /// Returns what is known about a room.
    pub fn of(&self, project: &Arc<str>, sid: &Arc<str>) -> Known {
        if !self.projects.contains(project) {
            return Known::None;
        }
        self.rooms.get(&(project.clone(), sid.clone())).map(|asked| asked.answer.clone()).unwrap_or_default()
    }

    /// Returns the rooms of a project to ask about now: those first that have waited for their question the longest.
    /// Rooms that no longer wait for an agent are forgotten.
    fn due(&mut self, project: &Arc<str>, state: &State, rules: &AttentionRules, now: u64) -> Vec<Due> {
        let Some(after) = millis(rules.agent_missing_secs) else { return Vec::new() };
        let waiting: HashMap<Arc<str>, (Arc<RoomEntry>, u64)> = state
            .rooms(|of, name| *of == **project && !name.is_empty())
            .into_iter()
            .filter_map(|entry| waits_since(&entry).map(|since| (entry.room.sid.clone(), (entry, since))))
            .collect();
        self.rooms.retain(|(of, sid), _| of != project || waiting.contains_key(sid));
        // Most agents join before half of the time has passed, and then no question is needed.
        let first_at = |since: u64| since + after / 2;
        let mut due: Vec<(u64, Due)> = waiting
            .into_values()
            .map(|(entry, since)| {
                let key = (project.clone(), entry.room.sid.clone());
                let at = self.rooms.get(&key).map_or(first_at(since), |asked| asked.again_at);
                (at, Due { key, name: entry.room.name.clone() })
            })
            .filter(|(at, _)| *at <= now)
            .collect();
        due.sort_by_key(|(at, _)| *at);
        due.truncate(ROUND_MAX);
        due.into_iter().map(|(_, due)| due).collect()
    }

    /// Notes an answer about a room, or, with `None`, that there was none: then it is asked again, and what was known stays.
    fn learn(&mut self, room: &Due, answer: Option<Known>, now: u64) {
        let asked = self.rooms.entry(room.key.clone()).or_insert(Asked {
            again_at: now,
            again_after: AGAIN_AFTER_MS,
            answer: Known::Unknown,
        });
        let Some(answer) = answer else {
            asked.again_at = now + RETRY_AFTER_MS;
            return;
        };
        if answer != Known::None {
            asked.again_after = AGAIN_AFTER_MS;
        }
        asked.again_at = now + asked.again_after;
        asked.again_after = (2 * asked.again_after).min(AGAIN_AFTER_MAX_MS);
        asked.answer = answer;
    }
}

/// Returns since when participants have waited for an agent, in unix milliseconds. `None` if an agent is there, or no
/// participant.
pub fn waits_since(entry: &RoomEntry) -> Option<u64> {
    let first = entry.participants().filter(|p| p.counted()).map(|p| p.joined_at).min()?;
    entry.participants().all(|p| !p.agent()).then(|| first.max(entry.room.began_at()))
}

/// Returns the dispatch for which an agent should be there. LiveKit gives a room without a dispatch one without an agent's
/// name (livekit pkg/rtc/room.go): it means something only if a worker has taken it. An agent that has done its work need
/// not come back.
fn expected(listed: &[ListedDispatch]) -> Option<&ListedDispatch> {
    let is_expected = |dispatch: &&ListedDispatch| {
        let jobs = &dispatch.jobs;
        !dispatch.deleted
            && (!dispatch.agent.is_empty() || !jobs.is_empty())
            && jobs.iter().all(|job| &*job.status != "JS_SUCCESS")
    };
    listed.iter().filter(is_expected).min_by_key(|dispatch| dispatch.created_at_ms)
}

/// Asks about the rooms of a project until it is dropped.
pub async fn ask(sources: Arc<Sources>, project: Arc<str>) {
    loop {
        sources.clock.sleep(ROUNDS_EVERY).await;
        // The comparison finds out when LiveKit answers again.
        if sources.reconcile.reach(&project).0.is_away() {
            continue;
        }
        let now = sources.clock.believed().unix_ms;
        let due = {
            let state = sources.state.read().clone();
            sources.dispatches.lock().due(&project, &state, &sources.rules, now)
        };
        let ask = async |room: Due| {
            let Some(livekit) = sources.reconcile.livekit(&project) else { return };
            let answer = match livekit.list_dispatches(&room.name).await {
                Ok(listed) => Some(match expected(&listed) {
                    None => Known::None,
                    Some(dispatch) => Known::Dispatch(Dispatch {
                        id: dispatch.id.clone(),
                        agent: dispatch.agent.clone(),
                        since: sources.state.read().ours(&project, dispatch.created_at_ms),
                    }),
                }),
                Err(error) => {
                    tracing::debug!(room.name = ?room.name, "the dispatches of a room are unknown: {error}");
                    None
                }
            };
            sources.dispatches.lock().learn(&room, answer, now);
        };
        stream::iter(due).for_each_concurrent(AT_ONCE, ask).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        Event, Kind, Seq, Source,
        body::{Body, Redaction},
    };
    use crate::livekit::ListedJob;

    const NOW: u64 = 1_787_486_400_000;

    /// A state in which a participant is in each of these rooms, and an agent in those whose name begins with `bot`.
    fn state(rooms: &[String]) -> State {
        let mut state = State::default();
        let mut seq = 0;
        for room in rooms {
            for kind in if room.starts_with("bot") { &["STANDARD", "AGENT"][..] } else { &["STANDARD"] } {
                seq += 1;
                let body = format!(
                    r#"{{"event":"participant_joined","room":{{"sid":"RM_{room}","name":"{room}"}},"participant":{{"sid":"PA_{room}_{kind}","identity":"i","kind":"{kind}","state":"ACTIVE","joinedAtMs":"{NOW}"}},"id":"{seq}","createdAt":"{}"}}"#,
                    NOW / 1000
                );
                let body = Body::read(body.as_bytes(), &Redaction::default()).expect("an event");
                state.apply(&Event {
                    seq: Seq(seq),
                    project: "p".into(),
                    source: Source::Webhook,
                    received_at: NOW,
                    kind: Kind::from(&*body.event),
                    room: body.room,
                    room_sid: body.room_sid,
                    body: body.json,
                });
            }
        }
        state
    }

    fn names(due: &[Due]) -> Vec<&str> {
        due.iter().map(|room| &*room.name).collect()
    }

    #[test]
    fn a_room_is_asked_about_after_half_of_the_time_and_then_ever_less_often() {
        let (p, rules): (Arc<str>, _) = ("p".into(), AttentionRules::default());
        let state = state(&["a".into(), "bot".into()]);
        let mut dispatches = Dispatches::new([p.clone()]);
        assert!(dispatches.due(&p, &state, &rules, NOW + 14_999).is_empty());
        let (mut asked, mut now) = (Vec::new(), NOW + 15_000);
        while now < NOW + 40 * 60_000 {
            let due = dispatches.due(&p, &state, &rules, now);
            for room in &due {
                assert_eq!(&*room.name, "a");
                asked.push((now - NOW) / 1000);
                dispatches.learn(room, Some(Known::None), now);
            }
            now += 1_000;
        }
        assert_eq!(asked, [15, 75, 195, 435, 915, 1815]);
        let off = AttentionRules { agent_missing_secs: 0, ..rules };
        assert!(dispatches.due(&p, &state, &off, now + 1_000_000).is_empty());
    }

    #[test]
    fn a_question_without_an_answer_is_repeated_and_what_was_known_stays() {
        let (p, rules): (Arc<str>, _) = ("p".into(), AttentionRules::default());
        let state = state(&["a".into()]);
        let mut dispatches = Dispatches::new([p.clone()]);
        let sid: Arc<str> = "RM_a".into();
        let due = dispatches.due(&p, &state, &rules, NOW + 15_000).remove(0);
        dispatches.learn(&due, None, NOW + 15_000);
        assert_eq!(dispatches.of(&p, &sid), Known::Unknown);
        assert!(dispatches.due(&p, &state, &rules, NOW + 19_999).is_empty());
        assert_eq!(names(&dispatches.due(&p, &state, &rules, NOW + 20_000)), ["a"]);
        let known = Known::Dispatch(Dispatch { id: "AD_1".into(), agent: "x".into(), since: NOW });
        dispatches.learn(&due, Some(known.clone()), NOW + 20_000);
        dispatches.learn(&due, None, NOW + 80_000);
        assert_eq!(dispatches.of(&p, &sid), known);
        assert_eq!(dispatches.of(&"q".into(), &sid), Known::None, "a project without a LiveKit");
        // The room ends.
        assert!(dispatches.due(&p, &State::default(), &rules, NOW + 90_000).is_empty());
        assert_eq!(dispatches.of(&p, &sid), Known::Unknown);
    }

    #[test]
    fn many_rooms_are_asked_about_in_turns() {
        let (p, rules): (Arc<str>, _) = ("p".into(), AttentionRules::default());
        let rooms: Vec<String> = (0..35).map(|n| format!("r{n}")).collect();
        let state = state(&rooms);
        let mut dispatches = Dispatches::new([p.clone()]);
        let mut seen = HashSet::new();
        for round in 0..4 {
            let now = NOW + 20_000 + round * 1_000;
            let due = dispatches.due(&p, &state, &rules, now);
            assert_eq!(due.len(), if round < 3 { 10 } else { 5 });
            for room in &due {
                assert!(seen.insert(room.name.clone()), "asked twice: {room:?}");
                dispatches.learn(room, Some(Known::None), now);
            }
        }
    }

    #[test]
    fn the_dispatch_that_livekit_gives_every_room_means_nothing() {
        let dispatch = |agent: &str, jobs: &[&str], deleted| ListedDispatch {
            id: "AD_1".into(),
            agent: agent.into(),
            metadata: "".into(),
            created_at_ms: NOW,
            deleted,
            jobs: jobs
                .iter()
                .map(|status| ListedJob { status: (*status).into(), ..ListedJob::default() })
                .collect(),
        };
        for (listed, is_expected) in [
            (dispatch("", &[], false), false),
            (dispatch("", &["JS_RUNNING"], false), true),
            (dispatch("support", &[], false), true),
            (dispatch("support", &["", "JS_FAILED"], false), true),
            (dispatch("support", &["JS_FAILED", "JS_SUCCESS"], false), false),
            (dispatch("support", &[], true), false),
        ] {
            assert_eq!(expected(std::slice::from_ref(&listed)).is_some(), is_expected, "{listed:?}");
        }
    }
}
