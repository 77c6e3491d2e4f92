//! The meaning of an answer, and the time of the next attempt.

use crate::http::{Error, Reply};

/// Pauses after each failed attempt, in seconds: the schedule of Standard Webhooks, about three days in all. After one more
/// attempt the event is a dead letter.
const PAUSES_SECS: [u64; 9] =
    [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600];
/// Attempts with an answer that will hardly change.
const REFUSED_ATTEMPTS: u32 = 3;
/// Maximum time for which a receiver can ask.
const RETRY_AFTER_SECS_MAX: u64 = 24 * 3600;
/// Maximum time without a success after which an endpoint is disabled, and the minimum number of failures in it.
pub const FAILING_MAX_MS: u64 = 3 * 24 * 3600 * 1000;
pub const FAILURES_MIN: u64 = 10;
/// Maximum length of an error that is shown, in characters.
const ERROR_CHARS: usize = 200;

/// The result of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// Try again after `pause_ms`.
    Again {
        pause_ms: u64,
        /// True if the receiver has asked for this time.
        is_asked: bool,
        /// True if it has asked all its senders to wait: 429 or 503 with `Retry-After`.
        is_throttled: bool,
        error: Box<str>,
    },
    /// Never try again.
    Dead {
        error: Box<str>,
    },
    /// The endpoint does not want deliveries.
    Disable {
        error: Box<str>,
    },
}

/// Judges an attempt after `failures` failed ones.
pub fn judge(answer: Result<Reply, Error>, failures: u32) -> Verdict {
    let (status, asked, error) = match answer {
        Ok(Reply { status: 200..=299, .. }) => return Verdict::Delivered,
        Ok(reply) if reply.is_roomwatch => {
            return Verdict::Disable { error: "its URL leads to a Roomwatch".into() };
        }
        Ok(Reply { status: 410, .. }) => {
            return Verdict::Disable { error: "it answered 410: it wants no deliveries any more".into() };
        }
        Ok(Reply { status, retry_after_secs, body, .. }) => {
            (Some(status), retry_after_secs, said(status, &body))
        }
        Err(error) => (None, None, error.to_string()),
    };
    let error: Box<str> = error.chars().take(ERROR_CHARS).collect();
    let attempts = failures + 1;
    let is_refused =
        status.is_some_and(|status| (400..500).contains(&status) && !matches!(status, 408 | 425 | 429));
    let pause = PAUSES_SECS.get(failures as usize).filter(|_| !is_refused || attempts < REFUSED_ATTEMPTS);
    let Some(pause) = pause else { return Verdict::Dead { error } };
    let asked_ms = asked.map(|secs| secs.min(RETRY_AFTER_SECS_MAX) * 1000);
    // Jitter, so that what failed together is not tried together.
    let pause_ms = pause * 1000 * fastrand::u64(90..=110) / 100;
    Verdict::Again {
        pause_ms: pause_ms.max(asked_ms.unwrap_or_default()),
        is_asked: asked_ms.is_some_and(|asked| asked >= pause_ms),
        is_throttled: asked.is_some() && matches!(status, Some(429 | 503)),
        error,
    }
}

/// Returns the answer in one line. Its body may have any bytes.
fn said(status: u16, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let note = if (300..400).contains(&status) { "; redirects are not followed" } else { "" };
    match line.trim() {
        "" => format!("it answered {status}{note}"),
        line => format!("it answered {status}{note}: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16) -> Result<Reply, Error> {
        Ok(Reply { status, retry_after_secs: None, is_roomwatch: false, body: b"no\r\n\x1b[31m".to_vec() })
    }

    /// The kind of verdict after each attempt, until there is no other.
    fn course(status: u16) -> (&'static str, u32) {
        for failures in 0.. {
            match judge(reply(status), failures) {
                Verdict::Delivered => return ("delivered", failures + 1),
                Verdict::Dead { .. } => return ("dead", failures + 1),
                Verdict::Disable { .. } => return ("disabled", failures + 1),
                Verdict::Again { .. } => {}
            }
        }
        ("never", 0)
    }

    #[test]
    fn only_2xx_is_success_and_each_other_status_has_its_course() {
        for status in 100..600 {
            let expected = match status {
                200..=299 => ("delivered", 1),
                410 => ("disabled", 1),
                408 | 425 | 429 => ("dead", 10),
                400..=499 => ("dead", 3),
                _ => ("dead", 10),
            };
            assert_eq!(course(status), expected, "{status}");
        }
    }

    #[test]
    fn ten_attempts_take_three_days_with_jitter() {
        let expected = [5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0];
        for (failures, secs) in (0..).zip(expected) {
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..100 {
                let Verdict::Again { pause_ms, is_asked, .. } = judge(reply(500), failures) else {
                    panic!("over")
                };
                let pause = pause_ms as f64 / 1000.0;
                assert!((secs * 0.9..=secs * 1.1).contains(&pause) && !is_asked, "{failures}: {pause}");
                seen.insert(pause_ms);
            }
            assert!(seen.len() > 5, "no jitter: {seen:?}");
        }
    }

    #[test]
    fn a_receiver_can_ask_for_a_later_time_and_not_for_an_earlier_one() {
        let after = |status, secs| {
            let answer =
                Reply { status, retry_after_secs: Some(secs), is_roomwatch: false, body: Vec::new() };
            match judge(Ok(answer), 0) {
                Verdict::Again { pause_ms, is_asked, is_throttled, .. } => (pause_ms, is_asked, is_throttled),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(after(429, 60), (60_000, true, true));
        assert_eq!(after(503, 60), (60_000, true, true));
        assert_eq!(after(500, 60), (60_000, true, false));
        assert_eq!(after(503, u64::MAX), (86_400_000, true, true));
        let (pause, is_asked, _) = after(503, 1);
        assert!((4_500..=5_500).contains(&pause) && !is_asked);
    }

    #[test]
    fn an_answer_is_shown_in_one_short_line() {
        let Verdict::Again { error, .. } = judge(reply(302), 0) else { panic!("no retry") };
        assert_eq!(&*error, "it answered 302; redirects are not followed: no   [31m");
        let long =
            Reply { status: 500, retry_after_secs: None, is_roomwatch: false, body: vec![b'x'; 9_999] };
        let Verdict::Again { error, .. } = judge(Ok(long), 0) else { panic!("no retry") };
        assert_eq!(error.len(), 200);
        let looped = Reply { status: 403, retry_after_secs: None, is_roomwatch: true, body: Vec::new() };
        assert_eq!(judge(Ok(looped), 0), Verdict::Disable { error: "its URL leads to a Roomwatch".into() });
    }
}
