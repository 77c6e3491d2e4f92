//! The streams of a deployment: their names, and how they are made.

use serde_json::{Value, json};

/// Number of servers that store each message.
pub const REPLICAS: u64 = 3;
/// Time for which the stream of events remembers ids, in nanoseconds.
pub const IDS_WINDOW_NS: u64 = 600 * SECOND_NS;
/// The same for the other streams, which need it only while a write is repeated.
const REPEATS_NS: u64 = 120 * SECOND_NS;
/// Time after which the counts of a node are forgotten that did not delete them, in nanoseconds.
const COUNTS_NS: u64 = 7 * 24 * 3600 * SECOND_NS;
const SECOND_NS: u64 = 1_000_000_000;

/// The names of everything in NATS that belongs to one deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(Box<str>);

/// The name of a deployment would not be a name in NATS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a deployment has a name of 1 to 32 lower-case letters, digits and _")]
pub struct BadName;

impl Names {
    pub fn new(name: &str) -> Result<Names, BadName> {
        let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let fits = (1..=32).contains(&name.len()) && name.bytes().all(known);
        if fits { Ok(Names(name.into())) } else { Err(BadName) }
    }

    /// Returns the name of the deployment.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Returns the stream with the events, and the subject of its messages.
    pub fn events(&self) -> String {
        format!("RW_{}", self.0)
    }

    pub fn event(&self) -> String {
        format!("rw.{}.event", self.0)
    }

    /// Returns the subject on which nodes tell each other that there is something new: in a map, or in the log.
    pub fn bell(&self, map: Option<&str>) -> String {
        format!("rw.{}.bell.{}", self.0, map.unwrap_or("log"))
    }

    /// Returns the stream with the entries of all durable maps, or of those that end with their nodes.
    pub fn maps(&self, is_durable: bool) -> String {
        format!("RW_{}_{}", self.0, if is_durable { "MAPS" } else { "COUNTS" })
    }

    /// Returns the subject of all entries of a map.
    pub fn map(&self, map: &str) -> String {
        format!("rw.{}.map.{map}.>", self.0)
    }

    /// Returns the subject of an entry. A subject has few characters, so the others of a key are written in hex.
    pub fn entry(&self, map: &str, key: &str) -> String {
        let mut subject = format!("rw.{}.map.{map}.", self.0);
        if key.is_empty() {
            subject.push('=');
        }
        for byte in key.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'/' => subject.push(byte.into()),
                _ => subject += &format!("={byte:02x}"),
            }
        }
        subject
    }

    /// Returns the key of an entry from its subject.
    pub fn key(&self, map: &str, subject: &str) -> Option<String> {
        let text = subject.strip_prefix("rw.")?.strip_prefix(&*self.0)?.strip_prefix(".map.")?;
        let mut text = text.strip_prefix(map)?.strip_prefix('.')?;
        if text == "=" {
            return Some(String::new());
        }
        let mut key = Vec::new();
        while let Some(byte) = text.bytes().next() {
            let (length, byte) = match byte {
                b'=' => (3, u8::from_str_radix(text.get(1..3)?, 16).ok()?),
                byte => (1, byte),
            };
            key.push(byte);
            text = text.get(length..)?;
        }
        String::from_utf8(key).ok()
    }

    /// Returns the stream with the blobs.
    pub fn blobs(&self) -> String {
        format!("RW_{}_BLOBS", self.0)
    }

    /// Returns the subject of a blob, or of all blobs. Its parts are below it.
    pub fn blob(&self, name: Option<&str>) -> String {
        format!("rw.{}.blob.{}", self.0, name.map_or("*".to_owned(), |name| name.replace('.', "=")))
    }

    /// Returns the name of the blob with this subject.
    pub fn blob_name(&self, subject: &str) -> Option<String> {
        Some(subject.strip_prefix("rw.")?.strip_prefix(&*self.0)?.strip_prefix(".blob.")?.replace('=', "."))
    }

    /// Returns the names of all streams, that of the events first.
    pub fn all(&self) -> [String; 4] {
        [self.events(), self.maps(true), self.maps(false), self.blobs()]
    }

    /// Returns the configurations of all streams. `bytes_max` is the maximum size of the log.
    pub fn streams(&self, bytes_max: u64, maps: [Vec<&str>; 2]) -> [Value; 4] {
        let stream = |name: String, subjects: Vec<String>| {
            json!({
                "name": name,
                "subjects": subjects,
                "num_replicas": REPLICAS,
                "storage": "file",
                "retention": "limits",
                "discard": "new",
                "allow_direct": true,
                "duplicate_window": REPEATS_NS,
            })
        };
        let [durable, counts] = maps.map(|maps| maps.into_iter().map(|map| self.map(map)).collect());
        let mut events = stream(self.events(), vec![self.event()]);
        events["max_bytes"] = bytes_max.into();
        events["deny_delete"] = true.into();
        events["duplicate_window"] = IDS_WINDOW_NS.into();
        let mut durable = stream(self.maps(true), durable);
        let mut counts = stream(self.maps(false), counts);
        // In files too: a stream in memory has no leader after two of its servers have restarted, until the third one does.
        counts["max_age"] = COUNTS_NS.into();
        let blob = self.blob(None);
        let mut blobs = stream(self.blobs(), vec![format!("{blob}.>"), blob]);
        for one in [&mut durable, &mut counts, &mut blobs] {
            one["max_msgs_per_subject"] = 1.into();
            one["discard"] = "old".into();
            one["allow_msg_ttl"] = true.into();
        }
        [events, durable, counts, blobs]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_a_subject_and_comes_back() {
        let names = Names::new("default").expect("a name");
        for key in
            ["", "a", "reconcile/default", "Ärger", "a.b", "*", ">", "a b", "=", "=41", "x=y", "\n", "🙂"]
        {
            let subject = names.entry("logins", key);
            assert!(!subject.contains([' ', '*', '>', '\n']), "{subject}");
            assert_eq!(subject.matches('.').count(), 4, "{subject}");
            assert_eq!(names.key("logins", &subject).as_deref(), Some(key));
        }
        assert_eq!(names.key("logins", "rw.default.map.operator.x"), None);
        assert_eq!(names.key("logins", "rw.other.map.logins.x"), None);
        for name in ["", "A", "a.b", "a b", "*", &"x".repeat(33)] {
            assert_eq!(Names::new(name), Err(BadName), "{name:?}");
        }
    }
}
