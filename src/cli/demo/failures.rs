//! The failures of the demo. They show what Roomwatch notices, each at its time: [`Failure::FIRST`].

use super::{
    cast::{PEOPLE, TOPICS},
    entities::{Kind, Person, Sid, permission},
    meetings::{Action, MINUTE, Meetings, Recording, SECOND},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A person waits for an agent, which comes after 75 seconds.
    AgentLate,
    /// The number that a room calls is busy.
    CallBusy,
    /// The upload of a recording is refused.
    RecordingFails,
    /// Some people cannot connect.
    JoinsFail,
    /// A node of LiveKit is lost. Its people lose their connections and come back.
    NodeLost,
    /// LiveKit's API does not answer for 40 seconds. Webhooks still arrive.
    ApiAway,
    /// A recording takes a minute and a half to start.
    RecordingSlow,
    /// One person cannot connect.
    JoinFails,
}

/// Time between two failures of one kind. Lost connections are reported if they are three times as many as in the
/// hours before, so it is longer than three times the five minutes that are compared.
const EVERY: u64 = 20 * MINUTE;
/// Number of people who lose their connections with a node.
const LOST: usize = 14;
/// Number of joins that fail.
const JOINS: u64 = 7;

impl Failure {
    /// Each failure, and when it comes first, in milliseconds after the start.
    pub const FIRST: [(Failure, u64); 7] = [
        (Failure::AgentLate, 5 * SECOND),
        (Failure::CallBusy, 20 * SECOND),
        (Failure::RecordingFails, 2 * MINUTE),
        (Failure::JoinsFail, 3 * MINUTE),
        (Failure::NodeLost, 4 * MINUTE + 30 * SECOND),
        (Failure::ApiAway, 6 * MINUTE + 30 * SECOND),
        (Failure::RecordingSlow, 8 * MINUTE),
    ];
}

impl Meetings {
    /// Lets something fail, and plans the next time.
    pub(super) fn fail(&mut self, failure: Failure) {
        if failure != Failure::JoinFails {
            self.plan(self.now + EVERY, Action::Fail(failure));
        }
        match failure {
            Failure::AgentLate => {
                let Some(topic) = TOPICS.iter().find(|topic| topic.name == "voice-") else { return };
                let room = self.gather(topic);
                let agent = self.agent();
                self.plan(self.now + 75 * SECOND, Action::Join(room, agent));
            }
            Failure::CallBusy => {
                let Some(room) = self.lasting(MINUTE) else { return };
                let call = self.call(self.now + 12 * SECOND, "dialing");
                self.plan(self.now, Action::Join(room, call));
            }
            Failure::RecordingFails => {
                if let Some(room) = self.lasting(MINUTE) {
                    self.record(&room, Recording::Fails);
                }
            }
            Failure::RecordingSlow => {
                if let Some(room) = self.lasting(3 * MINUTE) {
                    self.record(&room, Recording::Slow);
                }
            }
            Failure::JoinsFail => {
                for n in 0..JOINS {
                    self.plan(self.now + n * 5 * SECOND, Action::Fail(Failure::JoinFails));
                }
            }
            Failure::JoinFails => self.join_fails(),
            Failure::NodeLost => {
                // A node has whole rooms, so the largest ones are on it.
                let mut rooms: Vec<_> = self.rooms.iter().collect();
                rooms.sort_by_key(|room| std::cmp::Reverse(room.counted()));
                let people = rooms.iter().flat_map(|room| &room.people);
                let standard = people.filter(|person| person.guest.kind == Kind::Standard);
                let lost: Vec<Sid> = standard.take(LOST).map(|person| person.sid.clone()).collect();
                for person in lost {
                    self.plan_in(0..4 * SECOND, Action::DropOut(person));
                }
            }
            Failure::ApiAway => self.api_away_until = self.now + 40 * SECOND,
        }
    }

    /// Returns a room that is not recorded and lasts for this time, if there is one. Rooms of agents have short calls.
    fn lasting(&mut self, time: u64) -> Option<Sid> {
        let lasts = |people: &[Person]| people.iter().any(|person| person.guest.leaves_at > self.now + time);
        let rooms = self.rooms.iter().filter(|room| {
            lasts(&room.people)
                && !room.name.starts_with("voice-")
                && !self.egress.iter().any(|egress| egress.is_live() && egress.room_sid == room.sid)
        });
        let rooms: Vec<Sid> = rooms.map(|room| room.sid.clone()).collect();
        self.rng.choice(rooms)
    }

    /// Lets a person try to join who cannot connect. LiveKit reports it without having listed them.
    fn join_fails(&mut self) {
        if self.rooms.is_empty() {
            return;
        }
        let i = self.rng.usize(0..self.rooms.len());
        let mut guest = self.agent();
        let (identity, name) = PEOPLE[self.rng.usize(0..PEOPLE.len())];
        (guest.identity, guest.name, guest.kind) = (identity.into(), name.into(), Kind::Standard);
        guest.attributes.clear();
        let person = Person {
            sid: self.id("PA_"),
            guest,
            metadata: String::new(),
            permission: permission(Kind::Standard),
            joined_ms: self.now - 15 * SECOND,
            version: 2,
            tracks: Vec::new(),
        };
        let (room, participant) = (self.whole(i), person.json("DISCONNECTED", "JOIN_FAILURE"));
        self.send("participant_connection_aborted", [("room", room), ("participant", participant)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const START: u64 = 1_787_486_406_123;

    /// Returns the webhooks from `from` to `to`, in seconds after the start.
    fn webhooks(meetings: &mut Meetings, from: u64, to: u64) -> Vec<Value> {
        meetings.advance(START + from * SECOND);
        meetings.webhooks();
        meetings.advance(START + to * SECOND);
        let webhooks = meetings.webhooks().into_iter();
        webhooks.map(|webhook| serde_json::from_str(&webhook.body).expect("JSON")).collect()
    }

    fn count(webhooks: &[Value], event: &str, pointer: &str, value: &str) -> usize {
        let is_it =
            |body: &&Value| body["event"] == event && body.pointer(pointer).is_some_and(|v| v == value);
        webhooks.iter().filter(is_it).count()
    }

    #[test]
    fn each_failure_comes_at_its_time() {
        let reason = "/participant/disconnectReason";
        for seed in 0..2 {
            let mut meetings = Meetings::new(seed, 14, 2.0, START);
            let minute = webhooks(&mut meetings, 0, 60);
            let voice: Vec<_> = minute
                .iter()
                .filter(|body| body["event"] == "room_started")
                .filter_map(|body| body["room"]["name"].as_str().filter(|name| name.starts_with("voice-")))
                .collect();
            let alone = voice.iter().find(|name| {
                let joined = minute
                    .iter()
                    .filter(|b| b["event"] == "participant_joined" && b["room"]["name"] == ***name);
                let kinds: Vec<_> = joined.map(|body| body["participant"]["kind"].as_str()).collect();
                !kinds.is_empty() && !kinds.contains(&Some("AGENT"))
            });
            assert!(alone.is_some(), "a call without an agent, {seed}: {voice:?}");
            assert_eq!(count(&minute, "participant_left", reason, "USER_REJECTED"), 1, "{seed}");

            let second = webhooks(&mut meetings, 60, 179);
            assert_eq!(count(&second, "egress_ended", "/egressInfo/status", "EGRESS_FAILED"), 1, "{seed}");
            let third = webhooks(&mut meetings, 179, 269);
            assert_eq!(count(&third, "participant_connection_aborted", reason, "JOIN_FAILURE"), 7, "{seed}");

            let lost = webhooks(&mut meetings, 269, 300);
            assert_eq!(count(&lost, "participant_left", reason, "CONNECTION_TIMEOUT"), LOST, "{seed}");
            let back = lost.iter().filter(|body| body["event"] == "participant_joined").count();
            assert!(back >= LOST - 1, "they come back, {seed}: {back}");

            for (at, is_away) in [(389, false), (391, true), (429, true), (431, false)] {
                meetings.advance(START + at * SECOND);
                assert_eq!(meetings.api_away_until > meetings.now, is_away, "{seed} {at}");
            }
            let slow = webhooks(&mut meetings, 479, 600);
            let id = slow
                .iter()
                .find(|body| body["event"] == "egress_started")
                .map(|b| &b["egressInfo"]["egressId"]);
            let active = slow.iter().position(|body| {
                body["egressInfo"]["status"] == "EGRESS_ACTIVE" && Some(&body["egressInfo"]["egressId"]) == id
            });
            assert!(active.is_some(), "it starts late, {seed}");

            // None of them in the ten minutes that follow.
            let quiet = webhooks(&mut meetings, 620, 1_200);
            for reason_of in ["USER_REJECTED", "CONNECTION_TIMEOUT"] {
                assert_eq!(count(&quiet, "participant_left", reason, reason_of), 0, "{seed}");
            }
            assert_eq!(count(&quiet, "egress_ended", "/egressInfo/status", "EGRESS_FAILED"), 0, "{seed}");
        }
    }
}
