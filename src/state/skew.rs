//! The difference between LiveKit's clock and ours, estimated from the webhooks of one project.

use serde::{Deserialize, Serialize};

/// Maximum difference. LiveKit's tokens are valid for five minutes, and a verifier allows one more: with a greater
/// difference no webhook would be authentic.
const SKEW_MS_MAX: i64 = 6 * 60 * 1000;
/// A smaller difference counts as none: LiveKit's times are in whole seconds.
const SKEW_MS_MIN: i64 = 1_000;
/// The estimate is the least delay of this time and of the same time before it.
const WINDOW_MS: u64 = 60_000;

/// Delays between `createdAt` and arrival. A webhook may be late, and it cannot be early, so the least delay is the best
/// estimate of the difference. A stale estimate is harmless: it only makes a webhook count as more recent, and never as
/// more recent than its arrival.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Skew {
    /// When the present window began, by arrival.
    began_at: u64,
    least: Option<i64>,
    /// The least delay of the window before.
    least_before: Option<i64>,
}

impl Skew {
    /// Notes a webhook that LiveKit stamped with `created_at_secs`.
    pub fn note(&mut self, received_at: u64, created_at_secs: u64) {
        let created_at = created_at_secs.saturating_mul(1000);
        let delay =
            i64::try_from(received_at).unwrap_or(i64::MAX) - i64::try_from(created_at).unwrap_or(i64::MAX);
        if received_at.abs_diff(self.began_at) >= WINDOW_MS {
            *self = Skew { began_at: received_at, least: Some(delay), least_before: self.least };
        } else {
            self.least = Some(self.least.map_or(delay, |least| least.min(delay)));
        }
    }

    /// Returns by how much LiveKit's clock is behind ours, in milliseconds; negative if it is ahead.
    pub fn behind_ms(&self) -> i64 {
        let least = self.least.into_iter().chain(self.least_before).min().unwrap_or(0);
        if least.abs() < SKEW_MS_MIN { 0 } else { least.clamp(-SKEW_MS_MAX, SKEW_MS_MAX) }
    }

    /// Returns a time of LiveKit's clock on ours. 0 stays 0: it means unknown.
    pub fn ours(&self, livekit_ms: u64) -> u64 {
        if livekit_ms == 0 { 0 } else { livekit_ms.saturating_add_signed(self.behind_ms()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_787_486_400_000;

    /// The estimate after webhooks that LiveKit stamped `behind` seconds before our time and delivered after `delay`
    /// milliseconds, one each second.
    fn estimate(behind: i64, delays: &[u64]) -> i64 {
        let mut skew = Skew::default();
        for (n, delay) in delays.iter().enumerate() {
            let sent_at = NOW + n as u64 * 1_000;
            skew.note(sent_at + delay, sent_at.saturating_add_signed(-behind * 1000) / 1000);
        }
        skew.behind_ms()
    }

    #[test]
    fn the_least_delay_counts() {
        assert_eq!(estimate(0, &[5, 300, 999]), 0);
        assert_eq!(estimate(30, &[40_000, 20, 900]), 30_020);
        assert_eq!(estimate(-50, &[40_000, 20, 900]), -49_980);
        assert_eq!(estimate(3_600, &[0]), 360_000, "no token would be valid then");
    }

    #[test]
    fn an_old_difference_is_forgotten_after_two_windows() {
        let delays: Vec<u64> = (0..200).map(|n| if n < 60 { 0 } else { 20_000 }).collect();
        assert_eq!(estimate(0, &delays[..100]), 0);
        assert_eq!(estimate(0, &delays), 20_000);
    }

    #[test]
    fn our_clock_may_jump() {
        let mut skew = Skew::default();
        skew.note(NOW + 100, NOW / 1000);
        skew.note(NOW + 300_100, NOW / 1000);
        skew.note(NOW + 400_100, (NOW + 100_000) / 1000);
        assert_eq!(skew.behind_ms(), 300_100);
        skew.note(NOW + 160_100, (NOW + 160_000) / 1000);
        assert_eq!(skew.behind_ms(), 0);
    }
}
