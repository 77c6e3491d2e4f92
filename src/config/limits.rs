//! The limits: one table with the option, default, bound, help and answer of each.
//!
//! A limit that is not in the table does not exist. To add one, add an entry here, its lines in
//! `roomwatch.example.toml` (a test prints them), and a test that reaches it.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use serde::Deserialize;

/// The report of a limit to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An error with this HTTP status, code and message. `{max}` in the message is the limit.
    Error(u16, &'static str, &'static str),
    /// `bye`, in-band: a browser that gets an error status never comes back.
    Bye(&'static str),
    /// The HTTP server answers or closes by itself, before there is a request.
    Http,
}

macro_rules! limits {
    ($($limit:ident {
        option: $option:ident, env: $env:literal, unit: $unit:ident,
        default: $default:literal $(, least: $least:literal)?,
        help: $help:literal,
        note: $note:literal,
        answer: $answer:expr,
    })*) => {
        /// One limit.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Limit {
            $(
                #[doc = concat!($help, ". ", $note)]
                $limit,
            )*
        }

        /// The limits as they are written. 0 means no limit.
        #[derive(Args, Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct LimitOptions {
            $(
                #[arg(
                    long,
                    env = $env,
                    value_name = stringify!($unit),
                    help = concat!($help $(, ", at least ", $least)?, " [default: ", $default, "]"),
                )]
                pub $option: Option<u32>,
            )*
        }

        impl LimitOptions {
            /// These options, and those below them where these say nothing.
            pub(super) fn over(self, below: LimitOptions) -> LimitOptions {
                LimitOptions { $($option: self.$option.or(below.$option),)* }
            }

            fn written(&self, limit: Limit) -> Option<u32> {
                match limit { $(Limit::$limit => self.$option,)* }
            }
        }

        impl Limit {
            pub const ALL: &[Limit] = &[$(Limit::$limit,)*];

            /// The name of the option, in `[limits]` of the file.
            pub const fn option(self) -> &'static str {
                match self { $(Limit::$limit => stringify!($option),)* }
            }

            /// The environment variable of the option.
            pub const fn env(self) -> &'static str {
                match self { $(Limit::$limit => $env,)* }
            }

            /// The value of the option if it is not written.
            pub const fn default(self) -> u32 {
                match self { $(Limit::$limit => $default,)* }
            }

            /// The smallest value of the option except 0.
            pub const fn least(self) -> u32 {
                match self { $($(Limit::$limit => $least,)?)* _ => 1 }
            }

            /// The report of the limit to the client.
            pub const fn answer(self) -> Answer {
                match self { $(Limit::$limit => $answer,)* }
            }

            /// The comment on the option in `roomwatch.example.toml`.
            #[cfg(test)]
            const fn comment(self) -> &'static str {
                match self { $(Limit::$limit => concat!($help $(, ", at least ", $least)?, ". ", $note),)* }
            }
        }

        const LIMITS: usize = [$(Limit::$limit),*].len();
    };
}

limits! {
    StreamsPerUser {
        option: max_streams_per_user, env: "ROOMWATCH_MAX_STREAMS_PER_USER", unit: N,
        default: 5,
        help: "Open streams of one user",
        note: "The tabs of a browser share one stream.",
        answer: Answer::Error(429, "too_many_connections", "you have {max} open streams; close one"),
    }
    StreamsPerAddress {
        option: max_streams_per_address, env: "ROOMWATCH_MAX_STREAMS_PER_ADDRESS", unit: N,
        default: 200,
        help: "Open streams of one address",
        note: "An office behind one address needs many.",
        answer: Answer::Error(429, "too_many_connections", "your address has {max} open streams; close one"),
    }
    Streams {
        option: max_streams, env: "ROOMWATCH_MAX_STREAMS", unit: N,
        default: 10_000,
        help: "Open streams in total",
        note: "Each takes a file descriptor.",
        answer: Answer::Bye("capacity"),
    }
    Connections {
        option: max_connections, env: "ROOMWATCH_MAX_CONNECTIONS", unit: N,
        default: 12_000,
        help: "Open connections in total; one eighth is reserved for requests that are not streams",
        note: "Any client can open a connection and send nothing. When the limit is reached, the longest-idle \
               connections are closed, so that a webhook finds a free one. If the system gives the process \
               fewer file descriptors, the limit is lower; 0 means as many as the system gives.",
        answer: Answer::Http,
    }
    LoginsPerMinute {
        option: max_logins_per_minute, env: "ROOMWATCH_MAX_LOGINS_PER_MINUTE", unit: N,
        default: 10,
        help: "Sign-ins that one address may try in a minute",
        note: "Each costs an argon2 hash: about 50 ms of a core and 19 MiB.",
        answer: Answer::Error(429, "too_many_logins", "more than {max} sign-ins in a minute; try again later"),
    }
    CommandsPerMinute {
        option: max_commands_per_minute, env: "ROOMWATCH_MAX_COMMANDS_PER_MINUTE", unit: N,
        default: 120,
        help: "Commands that one user may give in a minute",
        note: "Each is a call to LiveKit.",
        answer: Answer::Error(429, "too_many_commands", "more than {max} commands in a minute; try again later"),
    }
    SocketEventsPerSecond {
        option: max_socket_events_per_second, env: "ROOMWATCH_MAX_SOCKET_EVENTS_PER_SECOND", unit: N,
        default: 50,
        help: "Events that one Socket.IO client may emit in a second",
        note: "Each makes the server build a filter. A client that emits more is disconnected.",
        answer: Answer::Bye("too_many_commands"),
    }
    HeadBytes {
        option: max_head_bytes, env: "ROOMWATCH_MAX_HEAD_BYTES", unit: BYTES,
        default: 16_384, least: 8_192,
        help: "Bytes of the head of a request",
        note: "The head is read before the caller is known.",
        answer: Answer::Http,
    }
    WebhookBytes {
        option: max_webhook_bytes, env: "ROOMWATCH_MAX_WEBHOOK_BYTES", unit: BYTES,
        default: 8_388_608,
        help: "Bytes of a webhook",
        note: "LiveKit allows 512 KiB of metadata for a room and as much for a participant, and JSON makes them \
               longer. An event that is refused is lost.",
        answer: Answer::Error(413, "body_too_large", "the body may have {max} bytes"),
    }
    BodyBytes {
        option: max_body_bytes, env: "ROOMWATCH_MAX_BODY_BYTES", unit: BYTES,
        default: 2_097_152,
        help: "Bytes of the body of any other request",
        note: "The longest is a command with metadata.",
        answer: Answer::Error(413, "body_too_large", "the body may have {max} bytes"),
    }
    Memory {
        option: max_request_memory, env: "ROOMWATCH_MAX_REQUEST_MEMORY", unit: BYTES,
        default: 268_435_456, least: 16_777_216,
        help: "Bytes that all requests may hold",
        note: "They hold bodies that arrive and answers that are not read yet. Clients without a credential \
               together may hold an eighth. Webhooks and streams do not count.",
        answer: Answer::Error(503, "busy", "all requests hold {max} bytes; try again later"),
    }
    MemoryPerAddress {
        option: max_request_memory_per_address, env: "ROOMWATCH_MAX_REQUEST_MEMORY_PER_ADDRESS", unit: BYTES,
        default: 67_108_864, least: 1_048_576,
        help: "Bytes that the requests of one address may hold",
        note: "A client that does not read its answers gets no more of them.",
        answer: Answer::Error(
            429, "too_many_requests", "the requests of your address hold {max} bytes; read their answers"
        ),
    }
    MemoryPerUser {
        option: max_request_memory_per_user, env: "ROOMWATCH_MAX_REQUEST_MEMORY_PER_USER", unit: BYTES,
        default: 33_554_432, least: 1_048_576,
        help: "Bytes that the requests of one user may hold",
        note: "The longest page of the log has 8 MiB, and one event more.",
        answer: Answer::Error(429, "too_many_requests", "your requests hold {max} bytes; read their answers"),
    }
    HeadTime {
        option: head_secs, env: "ROOMWATCH_HEAD_SECS", unit: SECS,
        default: 10,
        help: "Seconds for the head of a request, from its first byte",
        note: "A slow head holds a connection for nothing.",
        answer: Answer::Http,
    }
    // A slow webhook is answered 503 instead, in ingest/webhook.rs: LiveKit sends it again.
    BodyTime {
        option: body_secs, env: "ROOMWATCH_BODY_SECS", unit: SECS,
        default: 10,
        help: "Seconds for the body of a request",
        note: "A slow body holds a connection for nothing.",
        answer: Answer::Error(408, "body_timeout", "the body did not arrive within {max} s"),
    }
    AnswerTime {
        option: answer_secs, env: "ROOMWATCH_ANSWER_SECS", unit: SECS,
        default: 60,
        help: "Seconds in which a client must read an answer",
        note: "An answer that is not read takes memory. For a stream the time begins again with each byte that \
               its client reads.",
        answer: Answer::Http,
    }
    IdleTime {
        option: idle_secs, env: "ROOMWATCH_IDLE_SECS", unit: SECS,
        default: 300,
        help: "Seconds that a connection may be idle between two requests",
        note: "Longer than a proxy in front keeps its connections: nginx and load balancers 60 s, Go's client \
               90 s, Caddy two minutes. If this server closed one first, the next request on it would be lost.",
        answer: Answer::Http,
    }
}

/// The limits in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits([Option<u32>; LIMITS]);

impl Default for Limits {
    fn default() -> Limits {
        let mut limits = Limits([None; LIMITS]);
        for limit in Limit::ALL {
            limits = limits.with(*limit, limit.default());
        }
        limits
    }
}

impl Limits {
    /// The limits with one of them changed. 0 means no limit.
    pub fn with(mut self, limit: Limit, max: u32) -> Limits {
        self.0[limit as usize] = Some(max).filter(|max| *max > 0);
        self
    }
}

impl Limit {
    /// The limit in force, if there is one.
    pub fn max(self, limits: &Limits) -> Option<u32> {
        limits.0[self as usize]
    }

    /// The limit in force as a time, for limits in seconds.
    pub fn time(self, limits: &Limits) -> Option<Duration> {
        self.max(limits).map(|secs| Duration::from_secs(secs.into()))
    }

    /// The limit in force as a length, for limits in bytes.
    pub fn bytes(self, limits: &Limits) -> usize {
        self.max(limits).and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX)
    }
}

impl LimitOptions {
    /// Returns the limits in force: the defaults, and what is written.
    pub(super) fn check(&self) -> anyhow::Result<Limits> {
        let mut limits = Limits::default();
        for limit in Limit::ALL {
            let Some(max) = self.written(*limit) else { continue };
            let (option, least) = (limit.option(), limit.least());
            ensure!(
                max == 0 || max >= least,
                "{option} is {max}; it must be at least {least}, or 0 for no limit"
            );
            limits = limits.with(*limit, max);
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_has_each_limit_with_its_comment_and_default() {
        let example = include_str!("../../roomwatch.example.toml");
        let (_, section) = example.split_once("[limits]\n").expect("a section");
        let (section, _) = section.split_once("\n\n").expect("an end");
        let mut found: Vec<String> = Vec::new();
        for line in section.lines() {
            // A comment may be wrapped.
            match (line.strip_prefix("# "), found.last_mut()) {
                (Some(text), Some(comment)) if comment.starts_with("# ") => *comment += &format!(" {text}"),
                _ => found.push(line.to_owned()),
            }
        }
        let mut expected = Vec::new();
        for limit in Limit::ALL {
            expected.push(format!("# {}", limit.comment()));
            expected.push(format!("#{} = {}", limit.option(), limit.default()));
        }
        assert_eq!(found, expected, "write these lines into [limits]:\n{}", expected.join("\n"));
    }

    #[test]
    fn each_variable_is_named_after_its_option() {
        for limit in Limit::ALL {
            assert_eq!(limit.env(), format!("ROOMWATCH_{}", limit.option().to_uppercase()));
        }
    }

    #[test]
    fn a_limit_is_what_is_written_or_its_default_and_0_is_none() {
        let check = |text: &str| toml::from_str::<LimitOptions>(text).expect("options").check();
        let defaults = check("").expect("limits");
        for limit in Limit::ALL {
            let (option, default) = (limit.option(), limit.default());
            assert_eq!(limit.max(&defaults), Some(default), "{option}");
            let none = check(&format!("{option} = 0")).expect("limits");
            assert_eq!(limit.max(&none), None, "{option}");
            let written = check(&format!("{option} = {}", limit.least())).expect("limits");
            assert_eq!(limit.max(&written), Some(limit.least()), "{option}");
            // One option is one limit.
            let back = written.with(*limit, default);
            assert_eq!(back, defaults, "{option}");
        }
        let refused = check("max_head_bytes = 8191").expect_err("too low").to_string();
        assert_eq!(refused, "max_head_bytes is 8191; it must be at least 8192, or 0 for no limit");
    }
}
