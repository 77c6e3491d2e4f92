//! The streams of the deployment, as this node last saw them: which servers have all of each.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{READ_MAX, Shared};
use crate::{
    clock::Clock,
    log::Stream,
    nats::{
        NatsError, StreamInfo,
        names::{Names, REPLICAS},
    },
};

/// Interval at which all streams are asked about.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The last answers.
pub(super) struct Streams {
    clock: Clock,
    /// Each with the running time since which it has not been whole.
    seen: Mutex<Vec<(Stream, Option<Duration>)>>,
    names: [String; 4],
}

impl Streams {
    pub fn new(names: &Names, clock: Clock) -> Streams {
        Streams { clock, seen: Mutex::default(), names: names.all() }
    }

    /// Returns all streams, or nothing before the first look.
    pub fn all(&self) -> Vec<Stream> {
        let now = self.clock.running();
        let stream = |(stream, since): &(Stream, Option<Duration>)| Stream {
            missing_for: since.map(|since| now.saturating_sub(since)),
            ..stream.clone()
        };
        self.seen.lock().iter().map(stream).collect()
    }

    /// Notes the answers of one look.
    fn note(&self, answers: Vec<Result<StreamInfo, NatsError>>) {
        let now = self.clock.running();
        let mut seen = self.seen.lock();
        let since = |n: usize| seen.get(n).and_then(|(_, since)| *since);
        let new = answers.into_iter().zip(&self.names).enumerate().map(|(n, (answer, name))| {
            let stream = describe(name, answer);
            let is_whole = stream.error.is_none()
                && stream.replicas.len() as u64 + 1 >= REPLICAS
                && stream.replicas.iter().all(|(_, is_current)| *is_current);
            (stream, (!is_whole).then(|| since(n).unwrap_or(now)))
        });
        *seen = new.collect();
    }
}

fn describe(name: &str, answer: Result<StreamInfo, NatsError>) -> Stream {
    let name = name.into();
    match answer {
        Ok(info) => {
            let cluster = info.cluster.unwrap_or_default();
            let replicas = cluster.replicas.unwrap_or_default().into_iter();
            Stream {
                name,
                leader: cluster.leader.unwrap_or_default().into(),
                replicas: replicas.map(|one| (one.name.into(), one.current && !one.offline)).collect(),
                messages: info.state.messages,
                bytes: info.state.bytes,
                bytes_max: info.config["max_bytes"].as_u64().unwrap_or(0),
                ..Stream::default()
            }
        }
        Err(error) => Stream { name, error: Some(error.to_string().into()), ..Stream::default() },
    }
}

impl Shared {
    /// Asks about all streams every few seconds.
    pub async fn watch_streams(self: Arc<Self>) {
        while !self.lost.is_cancelled() {
            let mut answers = Vec::new();
            for name in &self.streams.names {
                answers.push(self.nats.info(name, READ_MAX).await);
            }
            // While NATS is out of reach, the last answers are the best that is known.
            if answers.iter().any(Result::is_ok) {
                self.streams.note(answers);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(replicas: &[(&str, bool, bool)]) -> Result<StreamInfo, NatsError> {
        let replicas: Vec<_> = replicas
            .iter()
            .map(|(name, current, offline)| json!({"name": name, "current": current, "offline": offline}))
            .collect();
        Ok(serde_json::from_value(json!({
            "created": "", "config": {"max_bytes": 100},
            "state": {"first_seq": 1, "last_seq": 5, "messages": 5, "bytes": 50},
            "cluster": {"leader": "n1", "replicas": replicas},
        }))
        .expect("an answer"))
    }

    #[test]
    fn a_stream_is_missing_a_server_from_the_first_look_that_shows_it() {
        let clock = Clock::held(1_000_000);
        let streams = Streams::new(&Names::new("test").expect("a name"), clock.clone());
        let whole = || answer(&[("n2", true, false), ("n3", true, false)]);
        let looks = |first: Result<StreamInfo, NatsError>| {
            streams.note(vec![first, whole(), whole(), whole()]);
            let all = streams.all();
            assert!(all[1..].iter().all(|stream| stream.missing_for.is_none()), "{all:?}");
            all[0].missing_for.map(|time| time.as_secs())
        };
        assert_eq!(streams.all(), []);
        assert_eq!(looks(whole()), None);
        clock.advance(Duration::from_secs(10));
        assert_eq!(looks(answer(&[("n2", true, true), ("n3", true, false)])), Some(0), "offline");
        clock.advance(Duration::from_secs(10));
        assert_eq!(looks(answer(&[("n2", false, false), ("n3", true, false)])), Some(10), "behind");
        clock.advance(Duration::from_secs(10));
        assert_eq!(looks(answer(&[("n3", true, false)])), Some(20), "removed");
        clock.advance(Duration::from_secs(10));
        assert_eq!(looks(Err(NatsError::NoStream("RW_test".into()))), Some(30));
        assert_eq!(streams.all()[0].error.as_deref(), Some("there is no stream RW_test"));
        clock.advance(Duration::from_secs(5));
        assert_eq!(streams.all()[0].missing_for, Some(Duration::from_secs(35)));
        assert_eq!(looks(whole()), None);
        assert_eq!(
            (&*streams.all()[0].name, &*streams.all()[0].leader, streams.all()[0].bytes_max),
            ("RW_test", "n1", 100)
        );
    }
}
