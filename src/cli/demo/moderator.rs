//! A moderator who gives a command now and then, so that the audit record is not empty. The commands are requests to
//! Roomwatch, with a token as LiveKit's applications have it.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    entities::{Kind, Source},
    meetings::Meetings,
};
use crate::{
    clock::unix_ms,
    http::{Client, Limits, Post},
    token::{Claims, Grant, Secret, sign},
};

const LIMITS: Limits = Limits { connect: Duration::from_secs(3), answer_bytes: 64 << 10 };
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Times until the next command: the first ones come soon.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(4), Duration::from_secs(9), Duration::from_secs(40), Duration::from_secs(180)];

/// Identity in the token, and so the user in the audit record.
const IDENTITY: &str = "moderator";

/// The moderator.
pub struct Moderator {
    pub meetings: Arc<Mutex<Meetings>>,
    /// URL of the demo.
    pub url: String,
    pub key: &'static str,
    pub secret: Secret,
}

impl Moderator {
    /// Gives commands until it is dropped.
    pub async fn run(self) -> anyhow::Result<()> {
        let http = Client::new(LIMITS)?.trust(&self.url)?;
        for n in 0_usize.. {
            tokio::time::sleep(PAUSES[n.min(PAUSES.len() - 1)]).await;
            let command = self.meetings.lock().await.moderated(n.is_multiple_of(2));
            let Some((room, path, request)) = command else { continue };
            let token = sign(&self.claims(&room), &self.secret);
            // A command may be late: the person has left, or LiveKit's API is away. The audit record says so.
            let _ = http.post_json(&format!("{}{path}", self.url), token, &request, ANSWER_TIME_MAX).await;
        }
        Ok(())
    }

    fn claims(&self, room: &str) -> Claims {
        Claims {
            iss: self.key.into(),
            sub: IDENTITY.into(),
            exp: (unix_ms() / 1000).cast_signed() + 60,
            video: Some(Grant { room_admin: true, room: room.into(), ..Grant::default() }),
            ..Claims::default()
        }
    }
}

impl Meetings {
    /// Returns the room, the path and the body of a command for one of the people: a mute, or a message.
    fn moderated(&mut self, mutes: bool) -> Option<(String, String, Value)> {
        let mut of = Vec::new();
        for room in self.rooms.iter().filter(|room| room.people.len() > 2) {
            for person in room.people.iter().filter(|person| person.guest.kind == Kind::Standard) {
                let loud =
                    person.tracks.iter().find(|track| track.source == Source::Microphone && !track.muted);
                of.extend(loud.map(|track| (&room.name, &person.guest.identity, &track.sid)));
            }
        }
        let (room, identity, track) = self.rng.choice(of)?;
        // The names of the demo need no escapes.
        let path = format!("/api/rooms/{room}");
        Some(if mutes {
            let path = format!("{path}/participants/{identity}/tracks/{track}/mute");
            (room.clone(), path, json!({ "muted": true }))
        } else {
            let text = "Please mute yourself while others speak.";
            let request = json!({ "text": text, "topic": "chat", "identities": [identity] });
            (room.clone(), format!("{path}/data"), request)
        })
    }
}
