//! Properties: webhooks in any order, with duplicates, from any starting point.

use proptest::{prelude::*, sample::Index};
use roomwatch::{
    event::{Epoch, Seq},
    feed::{Filter, Frame},
    follow::encode,
    rights::{Sight, Window},
    state::State,
};
use serde_json::{Value, json};

use crate::harness::{cases, said::*};

const PROJECTS: [&str; 2] = ["default", "other"];

/// The webhooks of one meeting in the order of the facts; `cut` ends it early.
fn meeting(room_sid: &'static str, guests: &[Guest], recorded: bool) -> Vec<Said> {
    let mut all = vec![started(0, room_sid, "standup")];
    for (n, guest) in guests.iter().enumerate() {
        let (sid, identity) = (format!("PA_{room_sid}_{n}"), format!("guest{}", n / 2));
        let at = 10 + n as u64;
        let mut joined = joined(at, room_sid, &sid, &identity);
        let mut left = left(100 + at, room_sid, &sid, &identity);
        for said in [&mut joined, &mut left] {
            said.body["participant"]["joinedAtMs"] = ((START + at) * 1000 + 77).to_string().into();
            if guest.hidden {
                said.body["participant"]["permission"] = json!({"hidden": true, "canPublish": true});
            }
            if guest.agent {
                said.body["participant"]["kind"] = "AGENT".into();
            }
        }
        if guest.joins {
            all.push(joined);
        }
        for m in 0..guest.tracks {
            let sid_of_track = format!("TR_{room_sid}_{n}_{m}");
            let (kind, source) =
                [("AUDIO", "MICROPHONE"), ("VIDEO", "CAMERA"), ("VIDEO", "SCREEN_SHARE")][m % 3];
            let says = |at, event| {
                of_track(at, event, room_sid, &sid, &identity, track(&sid_of_track, kind, source))
            };
            all.push(says(at + 1, "track_published"));
            if m < guest.unpublished {
                all.push(says(at + 50, "track_unpublished"));
            }
        }
        if guest.leaves {
            all.push(left);
        }
    }
    if recorded {
        let step = |at, event, status| of_egress(at, event, room_sid, &format!("EG_{room_sid}"), status);
        all.push(step(20, "egress_started", ""));
        all.push(step(22, "egress_updated", "EGRESS_ACTIVE"));
        all.push(step(60, "egress_ended", "EGRESS_COMPLETE"));
        all.push(of_ingress(21, "ingress_started", &format!("IN_{room_sid}"), 1));
        all.push(of_ingress(70, "ingress_ended", &format!("IN_{room_sid}"), 2));
        all.push(of_ingress(80, "ingress_started", &format!("IN_{room_sid}"), 3));
    }
    all.push(finished(200, room_sid, "standup"));
    all
}

#[derive(Clone, Debug)]
struct Guest {
    joins: bool,
    leaves: bool,
    hidden: bool,
    agent: bool,
    tracks: usize,
    unpublished: usize,
}

fn guests() -> impl Strategy<Value = Vec<Guest>> {
    let guest = (
        prop::bool::weighted(0.9),
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
        0..4usize,
        0..4usize,
    )
        .prop_map(|(joins, leaves, hidden, agent, tracks, unpublished)| Guest {
            joins,
            leaves,
            hidden,
            agent,
            tracks,
            unpublished,
        });
    prop::collection::vec(guest, 1..5)
}

/// The webhooks of a meeting in any order, some twice, with or without the end of the room and a recording.
fn shuffled() -> impl Strategy<Value = (Vec<Said>, Vec<Said>)> {
    (guests(), any::<bool>(), any::<bool>()).prop_flat_map(|(guests, recorded, ends)| {
        let mut all = meeting("RM_1", &guests, recorded);
        if !ends {
            all.pop();
        }
        let twice = prop::collection::vec(any::<Index>(), 0..6);
        (Just(all.clone()), twice).prop_flat_map(|(all, twice)| {
            let mut more = all.clone();
            more.extend(twice.iter().map(|index| index.get(&all).clone()));
            (Just(all), Just(more).prop_shuffle())
        })
    })
}

/// Random events about a few sids in two projects, from both sources.
fn anything() -> impl Strategy<Value = Vec<Said>> {
    let step =
        (0..24u8, 0..3usize, 0..4usize, 0..3usize, any::<bool>(), any::<bool>(), 0..3600u64, any::<bool>());
    prop::collection::vec(step, 1..60).prop_map(|steps| {
        let mut clock = 0;
        let steps = steps.into_iter().map(|(what, r, p, t, other, corrected, wait, flag)| {
            clock += wait % 40;
            // Sometimes long enough that tombstones expire.
            if wait > 3_500 {
                clock += 2_000;
            }
            let room_sid = ["RM_1", "RM_2", "RM_3"][r];
            let (sid, identity) = (format!("PA_{r}_{p}"), ["alice", "bob", "alice", "roomwatch:x"][p]);
            let mut new_track = track(&format!("TR_{r}_{p}_{t}"), ["AUDIO", "VIDEO", "VIDEO"][t], ["MICROPHONE", "CAMERA", "SCREEN_SHARE"][t]);
            new_track["version"] = json!({"unixMicro": ((START + clock / 2) * 1_000_000).to_string()});
            new_track["muted"] = flag.into();
            let of_track = |event| of_track(clock, event, room_sid, &sid, identity, new_track.clone());
            let mut said = match what {
                0 | 1 => started(clock, room_sid, "standup"),
                2 => finished(clock, room_sid, "standup"),
                3..=7 => joined(clock, room_sid, &sid, identity),
                8 => left(clock, room_sid, &sid, identity),
                9 => { let mut left = left(clock, room_sid, &sid, identity); left.body["event"] = "participant_connection_aborted".into(); left }
                10..=12 => of_track("track_published"),
                13 => of_track("track_unpublished"),
                14 => of_track("track_muted"),
                15 => of_track("track_unmuted"),
                16 => of_egress(clock, "egress_started", room_sid, &format!("EG_{p}"), ""),
                17 => of_egress(clock / 2, "egress_updated", room_sid, &format!("EG_{p}"), "EGRESS_ACTIVE"),
                18 => of_egress(clock, "egress_ended", room_sid, &format!("EG_{p}"), "EGRESS_FAILED"),
                19 => { let mut started = of_ingress(clock, "ingress_started", &format!("IN_{p}"), clock / 2); if flag { started.body["room"]["sid"] = room_sid.into(); } started }
                20 => of_ingress(clock, "ingress_ended", &format!("IN_{p}"), clock / 2),
                21 => said(clock, "room_updated", json!({"room": room(room_sid, "standup"), "roomwatch": {"stale": flag}})),
                22 => said(clock, "agent_job_started", json!({"job": {"room": {"sid": room_sid, "name": "standup"}}})),
                _ => said(clock, "participant_updated", json!({"room": room(room_sid, "standup"), "participant": participant(&sid, identity, clock)})),
            };
            if what == 21 && flag {
                said.body["room"]["metadata"] = format!("m{clock}").into();
            }
            if said.body["participant"]["version"].is_number() {
                said.body["participant"]["version"] = (clock / 100).into();
                match p {
                    0 => {}
                    1 => said.body["participant"]["kind"] = ["AGENT", "EGRESS", "SIP"][t].into(),
                    2 => said.body["participant"]["attributes"] = json!({"k": clock.to_string()}),
                    _ => said.body["participant"]["permission"] = json!({"hidden": flag}),
                }
                if t == 2 {
                    said.body["participant"]["tracks"] = json!([new_track]);
                }
            }
            if other {
                said.project = "other";
            }
            if r == 2 {
                // One room has another name. An egress belongs to one room.
                let text = said.body.to_string().replace("standup", "retro").replace("EG_", "EG_R");
                said.body = serde_json::from_str(&text.replace("IN_", "IN_R")).expect("JSON");
            }
            if corrected { said.corrected() } else { said }
        });
        steps.collect()
    })
}

/// One caller of each kind.
fn sights() -> Vec<Sight> {
    let mut all = vec![Sight::All];
    for name in PROJECTS {
        all.push(Sight::Project(name.into()));
        for other in ["standup", "retro"] {
            all.push(Sight::Room { project: name.into(), room: other.into() });
            all.push(Sight::Joined { project: name.into(), room: other.into() });
        }
    }
    all
}

fn window(sight: &Sight, state: &State) -> Window {
    Window::resolve::<&str>(sight, &[], &[], state, Seq(0)).expect("in sight")
}

/// The lists that the caller gets.
fn visible(sight: &Sight, state: &State) -> Listing {
    let window = window(sight, state);
    let rooms = window.rooms(state);
    let mut all = listing(state, &PROJECTS);
    all.retain(|(project, kind, id), value| {
        let in_area = || window.area().has(project, value["room"].as_str());
        let entry = |sid: &str| {
            rooms.iter().find(|entry| *entry.room.project == **project && *entry.room.sid == *sid)
        };
        match &**kind {
            "room" => entry(id).is_some(),
            "participant" => {
                let entry = entry(value["roomSid"].as_str().expect("a sid"));
                entry.and_then(|entry| entry.participant(id)).is_some_and(|p| window.shows(p))
            }
            "egress" => in_area() && window.shows_egress(),
            _ => in_area(),
        }
    });
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(200), failure_persistence: None, ..ProptestConfig::default() })]

    /// All orders and duplicates of one meeting's webhooks give the same state.
    #[test]
    fn every_order_gives_the_same_state((meant, came) in shuffled()) {
        prop_assert_eq!(listing(&fold(&came), &PROJECTS), listing(&fold(&meant), &PROJECTS));
    }

    /// A room that comes back has the people of its second life, whatever is repeated of the first, and whenever.
    #[test]
    fn a_former_life_does_not_come_back(
        first in guests(),
        second in guests(),
        recorded in any::<bool>(),
        repeated in prop::collection::vec((any::<Index>(), any::<Index>()), 0..12),
    ) {
        let first = meeting("RM_1", &first, recorded);
        let mut second = meeting("RM_1", &second, false);
        second.pop();
        for said in &mut second {
            said.at += 300;
            said.body["createdAt"] = (START + said.at).to_string().into();
            if let Some(participant) = said.body.get_mut("participant") {
                let sid = format!("{}_second", participant["sid"].as_str().expect("a sid"));
                participant["sid"] = sid.into();
                participant["joinedAtMs"] = ((START + said.at) * 1000 + 77).to_string().into();
            }
            if let Some(track) = said.body.get_mut("track") {
                track["sid"] = format!("{}_second", track["sid"].as_str().expect("a sid")).into();
            }
        }
        let meant = [&first[..], &second[..]].concat();
        let mut came = meant.clone();
        for (which, when) in repeated {
            let mut late = which.get(&first).clone();
            late.at = 600;
            // Not before the second life has begun: until then the room is not there.
            came.insert(first.len() + 1 + when.index(came.len() - first.len()), late);
        }
        prop_assert_eq!(listing(&fold(&came), &PROJECTS), listing(&fold(&meant), &PROJECTS));
    }

    /// replay(all) = prefix, written and read back, then suffix.
    #[test]
    fn a_checkpoint_is_as_good_as_the_log(all in anything(), cut in any::<Index>()) {
        let cut = cut.index(all.len() + 1);
        let whole = fold(&all);
        let mut half = State::restore(&fold(&all[..cut]).checkpoint()).expect("it reads");
        prop_assert_eq!(half.head().0, cut as u64);
        for (n, said) in all.iter().enumerate().skip(cut) {
            half.apply(&said.event(n as u64 + 1));
        }
        prop_assert_eq!(listing(&half, &PROJECTS), listing(&whole, &PROJECTS));
        // Not only the visible state: also everything that affects later events.
        let value = |state: &State| serde_json::from_slice::<Value>(&state.checkpoint()).expect("JSON");
        prop_assert_eq!(value(&half), value(&whole));
        prop_assert_eq!(half.newest("default", "standup").map(|e| e.room.sid.clone()), whole.newest("default", "standup").map(|e| e.room.sid.clone()));
    }

    /// The same event twice changes nothing the second time.
    #[test]
    fn a_duplicate_changes_nothing(all in anything()) {
        let mut state = State::default();
        for (n, said) in all.iter().enumerate() {
            state.apply(&said.event(2 * n as u64 + 1));
            let before = listing(&state, &PROJECTS);
            // Stored before, and folded again.
            prop_assert!(state.apply(&said.event(2 * n as u64 + 1)).changes.is_empty());
            // Stored a second time, under another id.
            let again = state.apply(&said.event(2 * n as u64 + 2));
            prop_assert_eq!(changes(&again), json!([]));
            prop_assert_eq!(listing(&state, &PROJECTS), before);
        }
    }

    /// Events of one room do not affect another room.
    #[test]
    fn rooms_commute(a in guests(), b in guests(), ends in any::<bool>(), picks in prop::collection::vec(any::<bool>(), 64)) {
        let (a, b) = (meeting("RM_1", &a, true), meeting("RM_2", &b, ends));
        let one_after_the_other = fold(&[&a[..], &b[..]].concat());
        let (mut left, mut right, mut mixed) = (a.iter(), b.iter(), Vec::new());
        for first in picks.iter().cycle() {
            let next = if *first { left.next().or_else(|| right.next()) } else { right.next().or_else(|| left.next()) };
            let Some(next) = next else { break };
            mixed.push(next.clone());
        }
        prop_assert_eq!(listing(&fold(&mixed), &PROJECTS), listing(&one_after_the_other, &PROJECTS));
    }

    /// A reader that lists and then applies changes has the same as a new list, after every event.
    #[test]
    fn changes_are_all_a_reader_needs(all in anything()) {
        let mut state = State::default();
        let mut reader = Reader::default();
        for (n, said) in all.iter().enumerate() {
            let applied = state.apply(&said.event(n as u64 + 1));
            reader.take(&changes(&applied));
            prop_assert_eq!(&reader.holds, &listing(&state, &PROJECTS), "after {}: {:?}", n + 1, said);
        }
    }

    /// Counts are the numbers of listed entities.
    #[test]
    fn counts_are_counts_of_sids(all in anything()) {
        for entry in fold(&all).rooms(|_, _| true) {
            let seen = |p: &roomwatch::state::Participant| !p.hidden() && !p.egress();
            let shown = |test: &dyn Fn(&roomwatch::state::Participant) -> bool| entry.participants().filter(|p| test(p)).count() as u32;
            let tracks = |kind: &str, screen: bool| entry.participants().filter(|p| seen(p)).flat_map(|p| &p.tracks)
                .filter(|t| t.kind == kind && (kind == "audio" || (t.source == "screen_share") == screen)).count() as u32;
            let counts = entry.room.counts;
            prop_assert_eq!(counts.participants, shown(&|p| p.counted()));
            prop_assert_eq!(counts.agents, shown(&|p| p.agent() && seen(p)));
            prop_assert_eq!(counts.publishers, shown(&|p| p.counted() && !p.tracks.is_empty()));
            prop_assert_eq!((counts.audio, counts.video, counts.screen), (tracks("audio", false), tracks("video", false), tracks("video", true)));
        }
    }

    /// Whatever a caller may see: a reader that lists and then folds its stream has the same as a new list, after
    /// every event.
    #[test]
    fn list_and_stream_agree_for_every_kind_of_caller(all in anything(), cut in any::<Index>()) {
        let cut = cut.index(all.len());
        let mut state = fold(&all[..cut]);
        let mut readers: Vec<_> = sights().into_iter().map(|sight| {
            let reader = Reader { holds: visible(&sight, &state), lenient: true };
            (sight, reader)
        }).collect();
        for (n, said) in all.iter().enumerate().skip(cut) {
            let event = said.event(n as u64 + 1);
            let recorded = encode(&event, state.apply(&event));
            let frame = Frame::encode(Epoch(1), &event, &recorded.json, recorded.joined.as_ref());
            for (sight, reader) in &mut readers {
                let filter = Filter::new(&window(sight, &state), &[], &[]);
                if filter.matches(&frame) {
                    let message: Value = serde_json::from_slice(&frame.json(filter.view())).expect("JSON");
                    reader.take(&message["changes"]);
                }
                prop_assert_eq!(&reader.holds, &visible(sight, &state), "{:?} after {}: {:?}", sight, n + 1, said);
            }
        }
    }
}
