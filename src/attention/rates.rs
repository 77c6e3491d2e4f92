//! Failed joins and lost connections by the minute, for conditions that compare with what is usual.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use crate::event::{Event, Kind, Seq, reasons::is_lost};

use super::occurred::disconnect_reason;

const MINUTE_MS: u64 = 60_000;
/// Minutes that count as now.
pub const NOW_MINUTES: u64 = 5;
/// Minutes before those, which count as usual.
pub const USUAL_MINUTES: u64 = 180;
/// Maximum number of events that are kept as evidence.
const EVIDENCE_MAX: usize = 5;

/// The counters of every project. They begin empty at each start.
#[derive(Debug)]
pub struct Rates {
    began_at: u64,
    projects: HashMap<Box<str>, VecDeque<Minute>>,
}

#[derive(Debug, Default)]
struct Minute {
    minute: u64,
    counts: Counts,
    failed: Vec<Seq>,
    lost: Vec<Seq>,
}

/// Numbers of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub failed: u32,
    pub lost: u32,
}

/// The numbers of the last minutes, and of the hours before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    pub now: Counts,
    pub usual: Counts,
    /// Minutes that `usual` covers.
    pub usual_minutes: u64,
    pub failed: Vec<Seq>,
    pub lost: Vec<Seq>,
    /// Unix milliseconds of the first minute of `now` with a failure, or with a loss.
    pub failed_since: u64,
    pub lost_since: u64,
}

impl Rates {
    pub fn new(now: u64) -> Rates {
        Rates { began_at: now, projects: HashMap::new() }
    }

    /// Counts one event, by the time at which it was received. `body` is the event's body, as JSON.
    pub fn count(&mut self, event: &Event, body: &Value) {
        let counts = match event.kind {
            Kind::ParticipantConnectionAborted => Counts { failed: 1, lost: 0 },
            Kind::ParticipantLeft if is_lost(disconnect_reason(body)) => Counts { failed: 0, lost: 1 },
            _ => return,
        };
        let minutes = match self.projects.get_mut(&*event.project) {
            Some(minutes) => minutes,
            None => self.projects.entry((*event.project).into()).or_default(),
        };
        let minute = event.received_at / MINUTE_MS;
        // An event of a clock that was set back counts in the newest minute.
        if minutes.back().is_none_or(|last| last.minute < minute) {
            minutes.push_back(Minute { minute, ..Minute::default() });
        }
        while minutes.front().is_some_and(|first| first.minute + NOW_MINUTES + USUAL_MINUTES < minute) {
            minutes.pop_front();
        }
        let Some(last) = minutes.back_mut() else { return };
        last.counts.failed += counts.failed;
        last.counts.lost += counts.lost;
        for (counted, seqs) in [(counts.failed, &mut last.failed), (counts.lost, &mut last.lost)] {
            if counted > 0 && seqs.len() < EVIDENCE_MAX {
                seqs.push(event.seq);
            }
        }
    }

    /// Returns the numbers of a project.
    pub fn recent(&self, project: &str, now: u64) -> Recent {
        let age = now.saturating_sub(self.began_at) / MINUTE_MS;
        let usual_minutes = age.saturating_sub(NOW_MINUTES).min(USUAL_MINUTES);
        let mut recent = Recent { usual_minutes, ..Recent::default() };
        let minute = now / MINUTE_MS;
        for entry in self.projects.get(project).into_iter().flatten() {
            let Counts { failed, lost } = entry.counts;
            let into = if entry.minute + NOW_MINUTES > minute {
                recent.failed.extend(&entry.failed);
                recent.lost.extend(&entry.lost);
                if failed > 0 && recent.failed_since == 0 {
                    recent.failed_since = entry.minute * MINUTE_MS;
                }
                if lost > 0 && recent.lost_since == 0 {
                    recent.lost_since = entry.minute * MINUTE_MS;
                }
                &mut recent.now
            } else {
                &mut recent.usual
            };
            into.failed += failed;
            into.lost += lost;
        }
        recent.failed.truncate(EVIDENCE_MAX);
        recent.lost.truncate(EVIDENCE_MAX);
        recent
    }

    /// Returns true if the counters have existed for less than the time that counts as now.
    pub fn is_young(&self, now: u64) -> bool {
        now.saturating_sub(self.began_at) < NOW_MINUTES * MINUTE_MS
    }
}
