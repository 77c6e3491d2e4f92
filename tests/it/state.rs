//! The fold: events in, state out.

use roomwatch::{
    event::{Seq, Source},
    state::{Applied, Fact, State},
};
use serde_json::{Value, json};

mod orders;

use crate::harness::said::{self, *};

const ROOM: &str = "RM_1";

fn rooms(state: &State) -> Vec<Value> {
    of_kind(state, "room")
}

fn people(state: &State) -> Vec<Value> {
    of_kind(state, "participant")
}

fn of_kind(state: &State, kind: &str) -> Vec<Value> {
    listing(state, &["default"])
        .into_iter()
        .filter(|(key, _)| key.1 == kind)
        .map(|(_, value)| value)
        .collect()
}

/// Folds all events, and returns the result of the last one.
fn last(all: &[Said]) -> (State, Applied) {
    let (last, before) = all.split_last().expect("something is said");
    let mut state = fold(before);
    let applied = state.apply(&last.event(all.len() as u64));
    (state, applied)
}

#[test]
fn a_join_is_a_set_and_a_patch_of_the_counts() {
    let (state, applied) = last(&[started(0, ROOM, "standup"), joined(5, ROOM, "PA_1", "alice")]);
    let changes = changes(&applied);
    assert_eq!(changes[0]["op"], "set");
    assert_eq!(changes[0]["kind"], "participant");
    assert_eq!(changes[0]["id"], "PA_1");
    assert_eq!(changes[0]["roomSid"], ROOM);
    assert_eq!(
        changes[0]["value"],
        json!({"project": "default", "room": "standup", "roomSid": ROOM, "sid": "PA_1", "identity": "alice", "name": "ALICE",
            "kind": "standard", "state": "active", "hidden": false, "watcher": false, "joinedAt": (START + 5) * 1000 + 77,
            "metadata": "", "attributes": {}, "permission": {"canPublish": true, "canSubscribe": true}, "region": null,
            "disconnectReason": null, "tracks": []})
    );
    assert_eq!(
        changes[1],
        json!({"op": "patch", "kind": "room", "id": ROOM, "project": "default", "room": "standup", "roomSid": ROOM,
            "value": {"participantCount": 1}})
    );
    assert_eq!(changes[2], Value::Null);
    assert_eq!(state.head(), Seq(2));
    assert_eq!(
        rooms(&state)[0],
        json!({"project": "default", "sid": ROOM, "name": "standup", "startedAt": START * 1000 + 123, "metadata": "m",
            "participantCount": 1, "agentCount": 0, "callCount": 0, "publisherCount": 0, "trackCounts": {"audio": 0, "video": 0, "screen": 0},
            "recording": false, "stale": false, "source": "webhook"})
    );
}

#[test]
fn a_track_before_its_participant_lists_and_counts_it() {
    let published =
        of_track(5, "track_published", ROOM, "PA_1", "alice", track("TR_1", "AUDIO", "MICROPHONE"));
    let (state, _) = last(&[started(0, ROOM, "standup"), published.clone()]);
    assert_eq!(people(&state)[0]["state"], "unknown");
    assert_eq!(people(&state)[0]["identity"], "alice");
    assert_eq!(people(&state)[0]["tracks"][0]["type"], "audio");
    assert_eq!(
        (&rooms(&state)[0]["participantCount"], &rooms(&state)[0]["publisherCount"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(rooms(&state)[0]["trackCounts"], json!({"audio": 1, "video": 0, "screen": 0}));
    let (state, applied) = last(&[started(0, ROOM, "standup"), published, joined(5, ROOM, "PA_1", "alice")]);
    assert_eq!(people(&state)[0]["state"], "active");
    assert_eq!(people(&state)[0]["tracks"].as_array().map(Vec::len), Some(1));
    assert_eq!(changes(&applied)[0]["op"], "set", "a join is told whole");
}

#[test]
fn a_leave_without_a_join_makes_the_room_live_and_leaves_a_tombstone() {
    let (state, applied) = last(&[left(9, ROOM, "PA_1", "alice")]);
    assert_eq!(rooms(&state).len(), 1);
    assert_eq!(people(&state).len(), 0);
    let there = applied.facts.iter().any(|fact| {
        matches!(fact, Fact::Left { participant, inferred: None, reason: Some(reason), .. }
            if &*participant.identity == "alice" && reason == "client_initiated" && participant.joined_at > 0)
    });
    assert!(there, "{:?}", applied.facts);
    // Its late join changes nothing.
    let (state, applied) = last(&[left(9, ROOM, "PA_1", "alice"), joined(1, ROOM, "PA_1", "alice")]);
    assert_eq!(people(&state).len(), 0);
    assert_eq!(applied.changes.len(), 0);
}

#[test]
fn the_leave_of_the_old_sid_after_the_join_of_the_new_one() {
    let state = fold(&[
        joined(1, ROOM, "PA_old", "alice"),
        joined(20, ROOM, "PA_new", "alice"),
        left(21, ROOM, "PA_old", "alice"),
    ]);
    assert_eq!(people(&state).iter().map(|p| &p["sid"]).collect::<Vec<_>>(), ["PA_new"]);
    assert_eq!(rooms(&state)[0]["participantCount"], 1);
}

#[test]
fn a_second_start_of_one_sid_ends_its_earlier_participants() {
    let mut again = started(300, ROOM, "standup");
    let meeting = [
        started(0, ROOM, "standup"),
        joined(5, ROOM, "PA_1", "alice"),
        // The node died. LiveKit recreates the room with the same sid, and Bob returns first.
        joined(299, ROOM, "PA_2", "bob"),
        again.clone(),
    ];
    let (state, applied) = last(&meeting);
    assert_eq!(people(&state).iter().map(|p| &p["sid"]).collect::<Vec<_>>(), ["PA_2"]);
    assert_eq!(rooms(&state)[0]["participantCount"], 1);
    let inferred = applied
        .facts
        .iter()
        .any(|fact| matches!(fact, Fact::Left { inferred: Some(from), at, .. } if from < at));
    assert!(inferred, "{:?}", applied.facts);
    // The same start again, with another id, changes nothing.
    again.at = 310;
    let (state, applied) = last(&[&meeting[..], &[again]].concat());
    assert_eq!((people(&state).len(), applied.changes.len()), (1, 0));
}

/// A list shows the room's next life first. The end of the former one comes late, and then the webhooks of the next.
#[test]
fn the_late_end_of_a_former_life_leaves_the_next_alone() {
    let join = joined(9, ROOM, "PA_2", "bob");
    let late = sent_at(joined(1, ROOM, "PA_1", "alice"), 1, 20);
    // The last in the second of the join.
    for ended in [6, 8, 9] {
        let meeting = [
            started(0, ROOM, "standup"),
            joined(1, ROOM, "PA_1", "alice"),
            join.clone().corrected(),
            sent_at(finished(12, ROOM, "standup"), ended, 12),
            sent_at(started(13, ROOM, "standup"), ended, 13),
            sent_at(join.clone(), 9, 14),
            late.clone(),
        ];
        assert_eq!(people(&fold(&meeting[..4])).len(), 0);
        let shown = people(&fold(&meeting));
        assert_eq!(shown.iter().map(|p| &p["sid"]).collect::<Vec<_>>(), ["PA_2"], "{ended}");
    }
    // Who had a webhook before the end was in the life that ended, also in the second of the end.
    let again = sent_at(join.clone(), 9, 20);
    let end = finished(9, ROOM, "standup");
    let meeting = [started(0, ROOM, "standup"), join, end, started(9, ROOM, "standup"), again];
    assert_eq!(people(&fold(&meeting)).len(), 0);
}

/// A list shows a life that LiveKit has created later, within the second in which the former one ended.
#[test]
fn the_end_of_a_life_that_was_created_earlier_leaves_the_next_alone() {
    let created = |mut said: Said, millis: u64, has_millis: bool| {
        said.body["room"]["creationTime"] = (START + millis / 1000).to_string().into();
        said.body["room"]["creationTimeMs"] =
            if has_millis { (START * 1000 + millis).to_string().into() } else { Value::Null };
        said
    };
    for (first, next, has_millis, ends) in [
        (400, 1_600, true, false),
        (400, 1_600, false, false),
        (400, 401, true, false),
        // Within a second, seconds do not tell.
        (400, 600, false, true),
        (400, 400, true, true),
    ] {
        let meeting = [
            created(started(1, ROOM, "standup").corrected(), next, true),
            created(joined(2, ROOM, "PA_2", "bob").corrected(), next, true),
            created(started(0, ROOM, "standup"), first, has_millis),
            created(finished(1, ROOM, "standup"), first, has_millis),
        ];
        assert_eq!(rooms(&fold(&meeting)).is_empty(), ends, "{first} {next} {has_millis}");
    }
}

/// An egress ends when its upload does, long after its room.
#[test]
fn no_egress_brings_its_room_back() {
    for end in [finished(20, ROOM, "standup"), finished(20, ROOM, "standup").corrected()] {
        for kind in ["egress_started", "egress_updated"] {
            let egress = of_egress(40, kind, ROOM, "EG_1", "EGRESS_ENDING");
            for egress in [egress.clone(), egress.corrected()] {
                let (state, applied) = last(&[started(0, ROOM, "standup"), end.clone(), egress]);
                assert_eq!(rooms(&state), [Value::Null; 0], "{end:?} {kind}");
                assert_eq!(changes(&applied)[0]["id"], "EG_1");
            }
        }
    }
    // Nor after its end is forgotten.
    let long_after = 20 + roomwatch::state::TOMBSTONE_MS / 1000 + 1;
    for kind in ["egress_started", "egress_updated"] {
        let (state, _) = last(&[
            started(0, ROOM, "standup"),
            of_egress(10, "egress_started", ROOM, "EG_1", ""),
            finished(20, ROOM, "standup"),
            of_egress(long_after, kind, ROOM, "EG_1", "EGRESS_ACTIVE"),
        ]);
        assert_eq!(rooms(&state), [Value::Null; 0], "{kind}");
    }
    // A room of which nothing is known is there.
    assert_eq!(rooms(&fold(&[of_egress(40, "egress_updated", ROOM, "EG_1", "EGRESS_ACTIVE")])).len(), 1);
}

/// A list of a name's participants may be older than the name's session: it showed Alice in the next one.
#[test]
fn a_leave_ends_its_sid_in_whatever_session_shows_it() {
    let ghost = sent_at(joined(5, "RM_2", "PA_1", "alice"), 12, 12);
    let mut next = room("RM_2", "standup");
    next["creationTimeMs"] = ((START + 10) * 1000).to_string().into();
    let meeting = [
        started(0, ROOM, "standup"),
        joined(5, ROOM, "PA_1", "alice"),
        finished(9, ROOM, "standup").corrected(),
        said(10, "room_started", json!({"room": next})),
        ghost.corrected(),
        sent_at(left(8, ROOM, "PA_1", "alice"), 8, 13),
    ];
    assert_eq!(rooms(&fold(&meeting[..5]))[0]["participantCount"], 1);
    let (state, applied) = last(&meeting);
    assert_eq!(people(&state), [Value::Null; 0]);
    let told = changes(&applied);
    assert_eq!((&told[0]["op"], &told[0]["id"]), (&json!("delete"), &json!("PA_1")));
    assert_eq!((&told[1]["id"], &told[1]["value"]), (&json!("RM_2"), &json!({"participantCount": 0})));
    let joined = serde_json::to_value(applied.joined.expect("the present session's")).expect("JSON");
    assert_eq!(joined, told);
    // The list comes after the leave.
    let late = [&meeting[..4], &meeting[5..], &meeting[4..5]].concat();
    assert_eq!(people(&fold(&late)), [Value::Null; 0]);
}

#[test]
fn a_correction_of_a_wrong_clock_does_not_freeze_the_metadata() {
    let has = |said: Said, metadata: &str| {
        let mut said = said;
        said.body["room"]["metadata"] = metadata.into();
        said
    };
    let updated = |sent: u64, at: u64, metadata: &str| {
        let body = json!({"room": room(ROOM, "standup")});
        has(sent_at(said(at, "room_updated", body), sent, at), metadata).corrected()
    };
    let metadata = |all: &[Said]| rooms(&fold(all))[0]["metadata"].clone();
    // Our clock was 40 days ahead for a moment.
    let wrong = [started(0, ROOM, "standup"), updated(40 * 86_400, 10, "m1")];
    assert_eq!(metadata(&wrong), "m1");
    assert_eq!(metadata(&[&wrong[..], &[updated(20, 20, "m2")]].concat()), "m2");
    let webhook = has(joined(30, ROOM, "PA_1", "alice"), "m3");
    assert_eq!(metadata(&[&wrong[..], std::slice::from_ref(&webhook)].concat()), "m3");
    // A list from before a webhook is older.
    assert_eq!(metadata(&[&wrong[..], &[webhook, updated(25, 31, "m2")]].concat()), "m3");
}

#[test]
fn two_sessions_of_one_name_overlap() {
    let later = |mut said: Said| {
        said.body["room"]["creationTimeMs"] = ((START + 50) * 1000).to_string().into();
        said
    };
    let second = later(started(50, "RM_2", "standup"));
    let both = [started(0, ROOM, "standup"), second, joined(51, ROOM, "PA_1", "alice")];
    let state = fold(&both);
    assert_eq!(rooms(&state).len(), 2);
    let newest = |state: &State| state.newest("default", "standup").map(|entry| entry.room.sid.to_string());
    assert_eq!(newest(&state).as_deref(), Some("RM_2"));
    let state = fold(&[&both[..], &[later(finished(60, "RM_2", "standup"))]].concat());
    assert_eq!(newest(&state).as_deref(), Some(ROOM), "the older one is still live");
    assert_eq!(people(&state).len(), 1);
}

#[test]
fn metadata_follows_creation_time_and_not_arrival() {
    let with = |mut said: Said, metadata: &str| {
        said.body["room"]["metadata"] = metadata.into();
        said
    };
    let alice = with(joined(5, ROOM, "PA_1", "alice"), "second");
    let late = with(started(0, ROOM, "standup"), "first");
    let (state, applied) = last(&[alice.clone(), late.clone()]);
    assert_eq!(rooms(&state)[0]["metadata"], "second");
    assert!(!changes(&applied).to_string().contains("metadata"), "{}", changes(&applied));
    // LiveKit's times are in seconds. Within one second, the last to arrive wins.
    for at in [5, 6] {
        let bob = with(joined(at, ROOM, "PA_2", "bob"), "third");
        assert_eq!(rooms(&fold(&[alice.clone(), late.clone(), bob]))[0]["metadata"], "third");
    }
}

#[test]
fn late_webhooks_of_a_reconciled_room_change_nothing() {
    let found = [
        started(40, ROOM, "standup").corrected(),
        joined(5, ROOM, "PA_1", "alice").corrected(),
        of_track(41, "track_published", ROOM, "PA_1", "alice", track("TR_1", "AUDIO", "MICROPHONE"))
            .corrected(),
        of_track(42, "track_muted", ROOM, "PA_1", "alice", track("TR_1", "AUDIO", "MICROPHONE")).corrected(),
    ];
    let state = fold(&found);
    assert_eq!(rooms(&state)[0]["source"], "reconcile");
    assert_eq!(people(&state)[0]["tracks"][0]["muted"], true);
    for late in [
        started(0, ROOM, "standup"),
        joined(5, ROOM, "PA_1", "alice"),
        of_track(6, "track_published", ROOM, "PA_1", "alice", track("TR_1", "AUDIO", "MICROPHONE")),
    ] {
        let (_, applied) = last(&[&found[..], &[late]].concat());
        assert_eq!(changes(&applied), json!([]));
    }
}

#[test]
fn a_later_webhook_reverts_a_correction_and_not_a_webhook() {
    let gone = [joined(5, ROOM, "PA_1", "alice"), left(20, ROOM, "PA_1", "alice").corrected()];
    let rejoined = |at: u64| {
        let mut joined = joined(5, ROOM, "PA_1", "alice");
        joined.body["createdAt"] = (START + at).to_string().into();
        joined.at = at;
        joined
    };
    assert_eq!(people(&fold(&[&gone[..], &[rejoined(19)]].concat())).len(), 0, "older than the correction");
    assert_eq!(people(&fold(&[&gone[..], &[rejoined(30)]].concat())).len(), 1, "newer than the correction");
    let left_for_good = [&gone[..], &[left(20, ROOM, "PA_1", "alice")], &[rejoined(30)]].concat();
    assert_eq!(people(&fold(&left_for_good)).len(), 0, "after a webhook's end it takes proof");
    let lost_room = [started(0, ROOM, "standup"), finished(20, ROOM, "standup").corrected()];
    assert_eq!(rooms(&fold(&[&lost_room[..], &[started(30, ROOM, "standup")]].concat())).len(), 1);
}

/// Sids of the live rooms and of the people in them, after a meeting of Alice that ended at 20 s, and then these.
fn after_the_end(then: &[Said]) -> Vec<String> {
    let meeting = [
        started(0, ROOM, "standup"),
        joined(5, ROOM, "PA_1", "alice"),
        joined(6, ROOM, "PA_2", "bob"),
        left(19, ROOM, "PA_1", "alice"),
        finished(20, ROOM, "standup"),
    ];
    let state = fold(&[&meeting[..], then].concat());
    let sid = |of: &Value| of["sid"].as_str().expect("a sid").to_owned();
    rooms(&state).iter().chain(&people(&state)).map(sid).collect()
}

/// The same webhook, sent by LiveKit at `sent` and received at `at`, both in seconds after the start.
fn sent_at(mut said: Said, sent: u64, at: u64) -> Said {
    said.body["createdAt"] = (START + sent).to_string().into();
    said.at = at;
    said
}

#[test]
fn a_sid_comes_back_at_once_by_a_webhook_that_proves_it() {
    let back = started(20, ROOM, "standup");
    assert_eq!(after_the_end(std::slice::from_ref(&back)), ["RM_1"], "in the same second");
    let carol = joined(21, ROOM, "PA_3", "carol");
    assert_eq!(after_the_end(&[back.clone(), carol.clone()]), ["RM_1", "PA_3"]);
    assert_eq!(after_the_end(std::slice::from_ref(&carol)), ["RM_1", "PA_3"], "the second start is lost");
    // Cloud uses the sids of people again too: then they have joined again.
    assert_eq!(after_the_end(&[back.clone(), joined(25, ROOM, "PA_1", "alice")]), ["RM_1", "PA_1"]);
    let mut another = started(10, ROOM, "standup");
    another.body["room"]["creationTimeMs"] = ((START + 19) * 1000).to_string().into();
    assert_eq!(after_the_end(&[another]), ["RM_1"], "created later than the one that ended");
    // It ends again, and comes back again.
    let again = [back.clone(), finished(30, ROOM, "standup")];
    assert_eq!(after_the_end(&again), [""; 0]);
    assert_eq!(after_the_end(&[&again[..], &[started(31, ROOM, "standup")]].concat()), ["RM_1"]);
}

#[test]
fn a_room_that_comes_back_brings_its_egress_to_all_but_room_join_callers() {
    let running = of_egress(6, "egress_started", ROOM, "EG_1", "");
    let life = [started(0, ROOM, "standup"), running, finished(20, ROOM, "standup")];
    let back = started(21, ROOM, "standup");
    let (state, applied) = last(&[&life[..], &[back]].concat());
    let kinds = |all: &Value| {
        let all = all.as_array().expect("changes").iter();
        all.map(|change| format!("{} {}", change["op"], change["id"])).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&changes(&applied)), [r#""set" "RM_1""#, r#""set" "EG_1""#]);
    assert_eq!(rooms(&state)[0]["recording"], true);
    let joined = json!(applied.joined.expect("others"));
    assert_eq!(kinds(&joined), [r#""set" "RM_1""#]);
    assert!(!applied.restricted, "they get the event itself");
}

#[test]
fn late_and_repeated_webhooks_raise_nothing() {
    let back = started(21, ROOM, "standup");
    let of_alice =
        of_track(6, "track_published", ROOM, "PA_1", "alice", track("TR_1", "AUDIO", "MICROPHONE"));
    for late in [
        sent_at(started(0, ROOM, "standup"), 0, 40),
        sent_at(started(0, ROOM, "standup"), 19, 40),
        sent_at(joined(5, ROOM, "PA_1", "alice"), 5, 40),
        // With another id and another time it is still the same join.
        sent_at(joined(5, ROOM, "PA_1", "alice"), 40, 40),
        sent_at(joined(6, ROOM, "PA_2", "bob"), 40, 40),
        sent_at(joined(7, ROOM, "PA_9", "dan"), 7, 40),
        sent_at(of_alice.clone(), 6, 40),
        sent_at(of_alice, 40, 40),
        sent_at(left(19, ROOM, "PA_1", "alice"), 19, 40),
        sent_at(finished(20, ROOM, "standup"), 20, 40),
    ] {
        assert_eq!(after_the_end(std::slice::from_ref(&late)), [""; 0], "{late:?}");
        let (carol, is_unknown) =
            (joined(25, ROOM, "PA_3", "carol"), late.body["participant"]["sid"] == "PA_9");
        if !is_unknown {
            let people = after_the_end(&[back.clone(), carol, late.clone()]);
            assert_eq!(people, ["RM_1", "PA_3"], "a second life, and then {late:?}");
        }
    }
    // The leave of a former life, after the return of its sid.
    let alice = joined(25, ROOM, "PA_1", "alice");
    let late = sent_at(left(19, ROOM, "PA_1", "alice"), 19, 40);
    assert_eq!(after_the_end(&[back.clone(), alice.clone(), late]), ["RM_1", "PA_1"]);
    assert_eq!(after_the_end(&[back, alice, left(30, ROOM, "PA_1", "alice")]), ["RM_1"]);
}

#[test]
fn a_list_brings_a_sid_back_only_with_its_mark() {
    let plain = joined(40, ROOM, "PA_1", "alice").corrected();
    let mut marked = plain.clone();
    marked.body["roomwatch"] = json!({"returned": true});
    let mut room_marked = started(39, ROOM, "standup").corrected();
    room_marked.body["roomwatch"] = json!({"returned": true});
    assert_eq!(after_the_end(std::slice::from_ref(&plain)), [""; 0]);
    assert_eq!(after_the_end(&[room_marked.clone(), plain]), ["RM_1"]);
    assert_eq!(after_the_end(&[room_marked, marked.clone()]), ["RM_1", "PA_1"]);
    // LiveKit itself cannot set it.
    marked.source = Source::Webhook;
    marked.body["participant"]["joinedAtMs"] = ((START + 5) * 1000).to_string().into();
    assert_eq!(after_the_end(&[started(39, ROOM, "standup"), marked]), ["RM_1"]);
}

#[test]
fn tombstones_expire_by_event_time() {
    let over = [joined(5, ROOM, "PA_1", "alice"), finished(20, ROOM, "standup")];
    let later = |at| {
        [&over[..], &[started(at, "RM_2", "other"), sent_at(joined(5, ROOM, "PA_1", "alice"), at, at)]]
            .concat()
    };
    assert_eq!(people(&fold(&later(29 * 60))).len(), 0);
    assert_eq!(people(&fold(&later(31 * 60))).len(), 1);
    let mut state = fold(&over);
    assert!(state.tombstone("default", ROOM).is_some());
    state.apply(&started(40 * 60, "RM_2", "other").event(3));
    assert!(state.tombstone("default", ROOM).is_none());
}

#[test]
fn a_stale_mark_is_set_and_removed() {
    let mut stale =
        said(30, "room_updated", json!({"room": room(ROOM, "standup"), "roomwatch": {"stale": true}}))
            .corrected();
    let (state, applied) = last(&[started(0, ROOM, "standup"), stale.clone()]);
    assert_eq!(rooms(&state)[0]["stale"], true);
    assert_eq!(changes(&applied)[0]["value"], json!({"stale": true}));
    let (state, applied) =
        last(&[started(0, ROOM, "standup"), stale.clone(), joined(40, ROOM, "PA_1", "alice")]);
    assert_eq!(rooms(&state)[0]["stale"], false, "a participant joined it");
    assert_eq!(changes(&applied)[1]["value"], json!({"participantCount": 1, "stale": false}));
    // LiveKit itself cannot set it.
    stale.source = Source::Webhook;
    assert_eq!(rooms(&fold(&[started(0, ROOM, "standup"), stale]))[0]["stale"], false);
}

#[test]
fn mutes_and_updates_come_from_reconciliation() {
    let mic = || track("TR_1", "AUDIO", "MICROPHONE");
    let base = [
        started(0, ROOM, "standup"),
        joined(5, ROOM, "PA_1", "alice"),
        of_track(6, "track_published", ROOM, "PA_1", "alice", mic()),
    ];
    let muted = of_track(7, "track_muted", ROOM, "PA_1", "alice", mic()).corrected();
    let (state, applied) = last(&[&base[..], std::slice::from_ref(&muted)].concat());
    assert_eq!(people(&state)[0]["tracks"][0]["muted"], true);
    assert_eq!(changes(&applied)[0]["value"]["tracks"][0]["muted"], true);
    assert_eq!(changes(&applied)[1], Value::Null, "the room's counts are what they were");
    let unmuted = of_track(8, "track_unmuted", ROOM, "PA_1", "alice", mic()).corrected();
    assert_eq!(people(&fold(&[&base[..], &[muted, unmuted]].concat()))[0]["tracks"][0]["muted"], false);

    let mut updated = said(
        9,
        "participant_updated",
        json!({"room": room(ROOM, "standup"), "participant": participant("PA_1", "alice", 5)}),
    );
    updated.body["participant"]["version"] = 4.into();
    updated.body["participant"]["metadata"] = "new".into();
    updated.body["participant"]["attributes"] = json!({"b": "2", "a": "1"});
    let (_, applied) = last(&[&base[..], &[updated.clone().corrected()]].concat());
    assert_eq!(
        changes(&applied)[0],
        json!({"op": "patch", "kind": "participant", "id": "PA_1", "project": "default", "room": "standup", "roomSid": ROOM,
            "value": {"metadata": "new", "attributes": {"a": "1", "b": "2"}}})
    );
    // An older list does not undo it.
    updated.body["participant"]["version"] = 3.into();
    updated.body["participant"]["metadata"] = "old".into();
    let mut newest = updated.clone();
    newest.body["participant"]["version"] = 5.into();
    newest.body["participant"]["metadata"] = "newest".into();
    let state = fold(&[&base[..], &[newest.corrected(), updated.corrected()]].concat());
    assert_eq!(people(&state)[0]["metadata"], "newest");

    let mut renamed = said(10, "room_updated", json!({"room": room(ROOM, "standup")})).corrected();
    renamed.body["room"]["metadata"] = "agenda".into();
    let (_, applied) = last(&[&base[..], &[renamed]].concat());
    assert_eq!(changes(&applied)[0]["value"], json!({"metadata": "agenda"}));
}

#[test]
fn an_older_version_of_a_track_does_not_overwrite_a_newer_one() {
    let says = |at: u64, version: u64, width: u64| {
        let mut track = track("TR_1", "VIDEO", "CAMERA");
        track["width"] = width.into();
        track["version"] = json!({"unixMicro": ((START + version) * 1_000_000).to_string()});
        of_track(at, "track_published", ROOM, "PA_1", "alice", track)
    };
    let joined = joined(1, ROOM, "PA_1", "alice");
    let (state, applied) = last(&[joined.clone(), says(5, 9, 1280), says(6, 3, 320)]);
    assert_eq!((&people(&state)[0]["tracks"][0]["width"], applied.changes.len()), (&json!(1280), 0));
    let state = fold(&[joined, says(5, 3, 320), says(6, 9, 1280)]);
    assert_eq!(people(&state)[0]["tracks"][0]["width"], 1280);
}

#[test]
fn hidden_participants_agents_and_egress_do_not_count() {
    let with = |identity: &str, extra: Value| {
        let mut joined = joined(5, ROOM, &format!("PA_{identity}"), identity);
        for (field, value) in extra.as_object().expect("fields") {
            joined.body["participant"][field] = value.clone();
        }
        joined
    };
    let all = [
        with("alice", json!({})),
        with("sip_1", json!({"kind": "SIP"})),
        with("bot", json!({"kind": "AGENT"})),
        with("bot2", json!({"permission": {"agent": true}})),
        with("shadow", json!({"permission": {"hidden": true}})),
        with("roomwatch:ops", json!({"permission": {"hidden": true}})),
        with("EG_1", json!({"kind": "EGRESS", "permission": {"hidden": true, "recorder": true}})),
        with("new", json!({"kind": "HOLOGRAM"})),
    ];
    let mut state = State::default();
    let mut restricted = Vec::new();
    for (n, said) in all.iter().enumerate() {
        if state.apply(&said.event(n as u64 + 1)).restricted {
            restricted.push(said.body["participant"]["identity"].clone());
        }
    }
    assert_eq!(restricted, ["shadow", "roomwatch:ops", "EG_1"]);
    let room = &rooms(&state)[0];
    assert_eq!(
        (&room["participantCount"], &room["agentCount"], &room["callCount"], &room["recording"]),
        (&json!(3), &json!(2), &json!(1), &json!(true))
    );
    let restored = State::restore(&state.checkpoint()).expect("a checkpoint");
    assert_eq!(rooms(&restored)[0]["callCount"], 1);
    let watchers: Vec<_> =
        people(&state).into_iter().filter(|p| p["watcher"] == true).map(|p| p["identity"].clone()).collect();
    assert_eq!(watchers, ["roomwatch:ops"]);
    assert!(people(&state).iter().any(|p| p["kind"] == "hologram"), "an unknown kind passes through");
    // Their tracks are restricted and do not count, also after they have left.
    let camera =
        |at| of_track(at, "track_published", ROOM, "PA_shadow", "shadow", track("TR_9", "VIDEO", "CAMERA"));
    assert!(state.apply(&camera(6).event(20)).restricted);
    assert_eq!(rooms(&state)[0]["trackCounts"]["video"], 0);
    let gone = left(7, ROOM, "PA_shadow", "shadow");
    assert!(state.apply(&gone.event(21)).restricted, "whatever the last event says of them");
    assert!(state.apply(&camera(8).event(22)).restricted);
    assert!(!state.apply(&left(9, ROOM, "PA_alice", "alice").event(23)).restricted);
    // The same for an event type that LiveKit adds later.
    let about = |sid: &str| {
        said(
            10,
            "participant_waved",
            json!({"room": said::room(ROOM, "standup"), "participant": {"sid": sid}}),
        )
    };
    let seen = ["PA_EG_1", "PA_roomwatch:ops", "PA_shadow", "PA_sip_1", ""]
        .map(|sid| state.apply(&about(sid).event(state.head().0 + 1)).restricted);
    assert_eq!(seen, [true, true, true, false, false]);
    // The end of the room does not name hidden participants.
    let changes = changes(&state.apply(&finished(10, ROOM, "standup").event(40)));
    assert!(!changes.to_string().contains("PA_EG_1") && changes.to_string().contains("PA_bot"), "{changes}");
}

#[test]
fn egress_events_out_of_order_never_go_back() {
    let step = |at, event, status| of_egress(at, event, ROOM, "EG_1", status);
    let begun = [started(0, ROOM, "standup"), step(1, "egress_started", "")];
    let (state, applied) = last(&begun);
    assert!(applied.restricted);
    let egress = &of_kind(&state, "egress")[0];
    assert_eq!((&egress["status"], &egress["kind"]), (&json!("starting"), &json!("room_composite")));
    assert_eq!(rooms(&state)[0]["recording"], true);
    let (state, applied) = last(
        &[
            &begun[..],
            &[step(3, "egress_updated", "EGRESS_ENDING"), step(2, "egress_updated", "EGRESS_ACTIVE")],
        ]
        .concat(),
    );
    assert_eq!((applied.changes.len(), &of_kind(&state, "egress")[0]["status"]), (0, &json!("ending")));
    let ended =
        [&begun[..], &[step(4, "egress_ended", "EGRESS_FAILED"), step(3, "egress_updated", "EGRESS_ACTIVE")]]
            .concat();
    let (state, applied) = last(&ended);
    assert_eq!((applied.changes.len(), of_kind(&state, "egress").len()), (0, 0));
    assert_eq!(rooms(&state)[0]["recording"], false);
    // The upload ends long after the room and its tombstone: the room stays ended.
    let late = [
        &begun[..],
        &[
            finished(10, ROOM, "standup"),
            started(7200, "RM_2", "x"),
            step(7201, "egress_ended", "EGRESS_COMPLETE"),
        ],
    ]
    .concat();
    let (state, applied) = last(&late);
    assert_eq!(rooms(&state).len(), 1);
    assert!(
        applied
            .facts
            .iter()
            .any(|fact| matches!(fact, Fact::Egress { egress, .. } if egress.status == "complete"))
    );
}

#[test]
fn an_egress_that_failed_to_launch_has_no_id() {
    let raw = fixture("egress_ended.participant_launch_failed");
    let mut state = State::default();
    let applied = state.apply(&event(1, "default", Source::Webhook, START * 1000, &raw));
    assert!(applied.restricted && applied.changes.is_empty());
    let Some(Fact::Egress { egress, seq: 1 }) = applied.facts.first() else { panic!("{:?}", applied.facts) };
    assert_eq!(
        (&*egress.status, &*egress.error, &*egress.kind),
        ("failed", "no response from servers", "participant")
    );
}

#[test]
fn an_ingress_is_reused_under_its_id() {
    let says = |event, updated| of_ingress(updated, event, "IN_1", updated);
    let (state, applied) = last(&[says("ingress_started", 1)]);
    assert_eq!(rooms(&state).len(), 0, "it names no session");
    assert!(!applied.restricted);
    let value = &of_kind(&state, "ingress")[0];
    assert_eq!((&value["status"], &value["kind"]), (&json!("publishing"), &json!("rtmp")));
    let over = [says("ingress_started", 1), says("ingress_ended", 2)];
    assert_eq!(of_kind(&fold(&over), "ingress").len(), 0);
    assert_eq!(of_kind(&fold(&[says("ingress_ended", 2), says("ingress_started", 1)]), "ingress").len(), 0);
    let again = [&over[..], &[says("ingress_started", 3)]].concat();
    assert_eq!(of_kind(&fold(&again), "ingress").len(), 1);
    let late_end = [&again[..], &[says("ingress_ended", 2)]].concat();
    assert_eq!(of_kind(&fold(&late_end), "ingress").len(), 1, "the end of its former life");
}

#[test]
fn garbage_in_a_field_does_not_lose_the_event() {
    let (tracks, of_room) =
        (json!([7, null, {"sid": 5}, {"sid": "TR_1", "width": -3, "version": "x"}]), room(ROOM, "standup"));
    for junk in [
        json!(null),
        json!(7),
        json!("x"),
        json!(1.5e30),
        json!(-1),
        json!(true),
        json!([]),
        json!([[{}]]),
        json!({}),
        json!({"a": [1]}),
    ] {
        let body = json!({"room": of_room, "createdAt": START.to_string(), "participant": {"sid": "PA_1", "identity": junk,
            "name": junk, "state": junk, "metadata": junk, "attributes": junk, "permission": junk, "version": junk,
            "joinedAt": junk, "joinedAtMs": junk, "kind": junk, "tracks": tracks, "region": junk, "disconnectReason": junk}});
        let (state, _) = last(&[said(1, "participant_joined", body)]);
        assert_eq!(people(&state).len(), 1, "{junk}");
        assert_eq!(rooms(&state)[0]["startedAt"], START * 1000 + 123, "{junk}");
        for part in [
            "room",
            "participant",
            "track",
            "egressInfo",
            "ingressInfo",
            "roomwatch",
            "createdAt",
            "roomEndReason",
        ] {
            for kind in roomwatch::event::Kind::KNOWN {
                let mut body = json!({"room": of_room, "participant": participant("PA_1", "alice", 1), "track": track("TR_1", "VIDEO", "CAMERA")});
                body[part] = junk.clone();
                last(&[said(1, kind, body)]);
            }
        }
    }
    // A duplicate key, numbers that are not strings, invalid text: it is still a room.
    for raw in [
        format!(
            r#"{{"event":"room_started","room":{{"sid":"x","sid":"{ROOM}","name":"standup","creationTime":{START}}},"createdAt":{START}}}"#
        ),
        format!(
            r#"{{"event":"room_started","room":{{"sid":"{ROOM}","name":"standup"}},"participant":{{"name":"\ud800"}}}}"#
        ),
        format!(
            r#"{{"event":"room_started","room":{{"sid":"{ROOM}","name":"standup","creationTime":1e999}}}}"#
        ),
    ] {
        let mut event = started(0, ROOM, "standup").event(1);
        event.body = raw.into();
        let mut state = State::default();
        state.apply(&event);
        assert_eq!(rooms(&state).len(), 1);
    }
    // Unknown event types change nothing.
    assert_eq!(rooms(&fold(&[said(1, "room_exploded", json!({"room": of_room}))])).len(), 0);
    // A room without a name is valid.
    let mut nameless = started(0, ROOM, "");
    nameless.body["room"].as_object_mut().expect("a room").remove("name");
    assert_eq!(rooms(&fold(&[nameless]))[0]["name"], "");
}

#[test]
fn attributes_compare_by_value_and_not_by_order() {
    let attributes = |written: &str| {
        let raw = format!(
            r#"{{"event":"participant_joined","room":{{"sid":"{ROOM}","name":"standup"}},"participant":{{"sid":"PA_1","attributes":{written}}}}}"#
        );
        let mut state = State::default();
        state.apply(&event(1, "default", Source::Webhook, START * 1000, raw.as_bytes()));
        // Compared as text, because a parsed object would always be sorted.
        let alice =
            state.room("default", ROOM).and_then(|room| room.participant("PA_1")).expect("she is there");
        alice.attributes.as_ref().map_or(String::new(), |attributes| attributes.get().to_owned())
    };
    for written in [
        r#"{"a":"1","b":"2"}"#,
        r#"{ "a" : "1" ,"b":"2" }"#,
        r#"{"b":"2","a":"1"}"#,
        r#"{"a":"\u0031","b":"2"}"#,
        r#"{"\u0061":"1","b":"2"}"#,
        r#"{"a":"0","a":"1","b":"2"}"#,
    ] {
        assert_eq!(attributes(written), r#"{"a":"1","b":"2"}"#, "{written}");
    }
    assert_eq!(attributes(r#"{"a": {"c": 1, "b": [ 2 ]}}"#), r#"{"a":{"b":[2],"c":1}}"#);
    assert_eq!(attributes(r#"{ }"#), "{}");
    assert_eq!(attributes(r#"{"a":"\"{\\"}"#), r#"{"a":"\"{\\"}"#);
}

#[test]
fn every_captured_body_is_read_correctly() {
    let mut state = State::default();
    let seen = |state: &mut State, seq: u64, name: &str| {
        state.apply(&event(seq, "default", Source::Webhook, 1_795_467_040_900, &fixture(name)))
    };
    seen(&mut state, 1, "participant_joined");
    seen(&mut state, 2, "track_published.microphone");
    seen(&mut state, 3, "track_published");
    assert!(seen(&mut state, 4, "participant_joined.hidden").restricted);
    assert!(!seen(&mut state, 5, "participant_joined.agent").restricted);
    assert!(seen(&mut state, 6, "participant_joined.egress").restricted);
    seen(&mut state, 7, "participant_joined.sip");
    let room = &rooms(&state)[0];
    assert_eq!(
        (&room["participantCount"], &room["agentCount"], &room["recording"]),
        (&json!(2), &json!(1), &json!(true))
    );
    assert_eq!(room["trackCounts"], json!({"audio": 1, "video": 1, "screen": 0}));
    let alice = people(&state).into_iter().find(|p| p["identity"] == "alice").expect("Alice is there");
    let camera =
        alice["tracks"].as_array().and_then(|tracks| tracks.iter().find(|t| t["type"] == "video")).cloned();
    assert_eq!(
        camera.map(|t| (t["source"].clone(), t["simulcast"].clone())),
        Some((json!("camera"), json!(true)))
    );
    let mut seq = 10;
    for file in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/webhooks")).expect("fixtures")
    {
        let name = file.expect("a file").file_name().into_string().expect("a name");
        if let Some(name) = name.strip_suffix(".json") {
            seq += 1;
            seen(&mut state, seq, name);
        }
    }
    assert_eq!(state.head(), Seq(seq));
}

#[test]
fn each_member_of_a_participant_changes_its_own_field_and_no_other() {
    let base = joined(5, ROOM, "PA_1", "alice");
    for (member, value, changed) in [
        ("identity", json!("bob"), json!({"identity": "bob"})),
        ("name", json!("Bob"), json!({"name": "Bob"})),
        ("kind", json!("SIP"), json!({"kind": "sip"})),
        ("state", json!("DISCONNECTED"), json!({"state": "disconnected"})),
        ("joinedAtMs", json!("1795467038990"), json!({"joinedAt": 1_795_467_038_990_u64})),
        ("metadata", json!("m"), json!({"metadata": "m"})),
        ("attributes", json!({"b": "2", "a": "1"}), json!({"attributes": {"a": "1", "b": "2"}})),
        ("permission", json!({"canPublish": true}), json!({"permission": {"canPublish": true}})),
        ("permission", json!({"hidden": true}), json!({"permission": {"hidden": true}, "hidden": true})),
        ("region", json!("fra"), json!({"region": "fra"})),
    ] {
        let mut updated = base.clone();
        updated.body["event"] = "participant_updated".into();
        updated.body["participant"]["version"] = 100.into();
        updated.body["participant"]["state"] = "ACTIVE".into();
        updated.body["participant"][member] = value;
        let updated = updated.corrected();
        let (state, applied) = last(&[base.clone(), updated.clone()]);
        let told = changes(&applied);
        assert_eq!((&told[0]["op"], &told[0]["value"]), (&json!("patch"), &changed), "{member}");
        // A checkpoint keeps it, and a second time it is not news.
        let mut restored = State::restore(&state.checkpoint()).expect("a checkpoint");
        assert_eq!(people(&restored), people(&state), "{member}");
        assert_eq!(restored.apply(&updated.event(3)).changes.len(), 0, "{member}");
    }
}
