//! Failed joins and lost connections by the minute, for conditions that compare with what is usual.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use crate::{
    event::{Event, Kind, Seq, reasons::is_lost},
    log::{EventLog, LogError},
};

use super::occurred::{body, disconnect_reason};

const MINUTE_MS: u64 = 60_000;
/// Minutes that count as now.
pub const NOW_MINUTES: u64 = 5;
/// Minutes before those, which count as usual.
pub const USUAL_MINUTES: u64 = 180;
/// Maximum number of events that are kept as evidence.
const EVIDENCE_MAX: usize = 5;

/// Maximum number of events that are counted again after a start: three hours of nine events a second. With more, less
/// time is known as usual.
const HISTORY_EVENTS_MAX: u64 = 100_000;
/// Maximum number of events of one read.
const READ_MAX: usize = 1_000;

/// The counters of every project. After a start, they are filled from the log.
#[derive(Debug)]
pub struct Rates {
    began_at: u64,
    /// The last event that the log has counted.
    filled_through: Option<Seq>,
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
        Rates { began_at: now, filled_through: None, projects: HashMap::new() }
    }

    pub fn is_filled(&self) -> bool {
        self.filled_through.is_some()
    }

    /// Counts nothing up to this event.
    pub fn from(last: Seq, now: u64) -> Rates {
        Rates { filled_through: Some(last), ..Rates::new(now) }
    }

    /// Counts what the log has of the last hours, up to this event.
    pub async fn of_log(log: &dyn EventLog, last: Seq, now: u64) -> Result<Rates, LogError> {
        let from = now.saturating_sub((NOW_MINUTES + USUAL_MINUTES) * MINUTE_MS);
        let mut rates = Rates::from(last, now);
        let before = log.seek(from).await?;
        let mut after = Seq(last.0.saturating_sub(HISTORY_EVENTS_MAX));
        if let Some(before) = before.filter(|before| *before >= after) {
            after = before;
            rates.began_at = from;
        }
        while after < last {
            let events = log.read(after, READ_MAX).await?;
            let Some(end) = events.last() else { break };
            after = end.seq;
            for event in events.iter().filter(|event| event.seq <= last) {
                rates.began_at = rates.began_at.min(event.received_at.max(from));
                rates.add(event, &body(event));
            }
        }
        Ok(rates)
    }

    /// Counts one event, by the time at which it was received. `body` is the event's body, as JSON.
    pub fn count(&mut self, event: &Event, body: &Value) {
        if self.filled_through.is_none_or(|through| event.seq > through) {
            self.add(event, body);
        }
    }

    fn add(&mut self, event: &Event, body: &Value) {
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
