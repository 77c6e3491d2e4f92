//! Refusals by limits within the last minutes.

use std::collections::VecDeque;

use crate::{
    config::{Limit, Limits},
    metrics::{Limit as Label, Metrics},
};

/// Number of measurements within the time that counts.
const MEASUREMENTS: u64 = 5;

/// The counters of the metrics at some moments. Reading them costs the refusing requests nothing.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Unix milliseconds, and the counter of each limit. The oldest is from before the time that counts.
    measured: VecDeque<(u64, Vec<u64>)>,
}

/// A limit that has refused something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Option of the limit.
    pub limit: &'static str,
    pub max: Option<u32>,
    /// Number of refusals within the time that counts.
    pub count: u64,
}

impl Refusals {
    /// Reads the counters. Returns each limit that has refused something in the last `secs`, or a little longer.
    pub fn recent(&mut self, metrics: &Metrics, limits: &Limits, secs: u32, now: u64) -> Vec<Refused> {
        let count =
            |limit: &Limit| metrics.limits_reached.get_or_create(&Label { limit: limit.option() }).get();
        let counts: Vec<u64> = Limit::ALL.iter().map(count).collect();
        let millis = u64::from(secs) * 1000;
        match self.measured.back() {
            // The counters of a process begin at 0.
            None => self.measured.push_back((now, vec![0; counts.len()])),
            Some((at, _)) if now.saturating_sub(*at) >= millis / MEASUREMENTS => {
                self.measured.push_back((now, counts.clone()));
            }
            Some(_) => {}
        }
        while self.measured.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= millis) {
            self.measured.pop_front();
        }
        let Some((_, before)) = self.measured.front() else { return Vec::new() };
        let refused = |((limit, count), before): ((&Limit, u64), &u64)| Refused {
            limit: limit.option(),
            max: limit.max(limits),
            count: count - before,
        };
        let all = Limit::ALL.iter().zip(counts).zip(before).map(refused);
        all.filter(|refused| refused.count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_for_a_time() {
        let (metrics, mut refusals) = (Metrics::default(), Refusals::default());
        let mut at = |secs: u64| -> Vec<(&str, u64)> {
            let all = refusals.recent(&metrics, &Limits::default(), 300, secs * 1000);
            all.into_iter().map(|refused| (refused.limit, refused.count)).collect()
        };
        let refuse = |limit: Limit| metrics.limit_reached(limit.option());
        refuse(Limit::Streams);
        assert_eq!(at(1_000), [("max_streams", 1)], "from before the first look");
        assert_eq!(at(1_250), [("max_streams", 1)]);
        refuse(Limit::StreamsPerUser);
        assert_eq!(at(1_270), [("max_streams_per_user", 1), ("max_streams", 1)]);
        for secs in 1_300..1_500 {
            at(secs);
        }
        assert_eq!(at(1_560), [("max_streams_per_user", 1)]);
        for secs in 1_561..1_700 {
            at(secs);
        }
        assert_eq!(at(1_700), []);
    }
}
