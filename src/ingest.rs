//! What comes in from LiveKit: the receivers, and what each project received last.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::token::Reject;

pub mod webhook;

/// What came last, for each project: the first thing to look at when nothing comes.
#[derive(Default)]
pub struct Receipts(Mutex<HashMap<Option<Arc<str>>, Receipt, RandomState>>);

/// What came last for one project; times in unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    pub last_at: Option<u64>,
    pub last_event: Option<Box<str>>,
    /// When one could not be made durable: LiveKit may have given up on it.
    pub lost_at: Option<u64>,
    pub rejected: Option<Rejected>,
}

/// A webhook that was not authentic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub at: u64,
    /// [`Reject::code`].
    pub reason: &'static str,
    /// The key it claimed, shortened.
    pub iss: Option<Box<str>>,
}

impl Receipts {
    /// What came last for `project`, and what came under a key that no project has.
    pub fn of(&self, project: &str) -> (Receipt, Option<Rejected>) {
        let receipts = self.0.lock();
        let own = receipts.get(&Some(project.into())).cloned().unwrap_or_default();
        (own, receipts.get(&None).and_then(|receipt| receipt.rejected.clone()))
    }

    pub(crate) fn accepted(&self, project: &Arc<str>, at: u64, event: &str) {
        let mut receipts = self.0.lock();
        let receipt = receipts.entry(Some(project.clone())).or_default();
        receipt.last_at = Some(at);
        if receipt.last_event.as_deref() != Some(event) {
            receipt.last_event = Some(event.into());
        }
    }

    pub(crate) fn lost(&self, project: &Arc<str>, at: u64) {
        self.0.lock().entry(Some(project.clone())).or_default().lost_at = Some(at);
    }

    pub(crate) fn rejected(&self, project: Option<Arc<str>>, rejected: Rejected) {
        self.0.lock().entry(project).or_default().rejected = Some(rejected);
    }
}

/// How often a reason for a rejection is logged: anybody can be rejected, as often as they like.
const REJECTIONS_LOGGED_EVERY: Duration = Duration::from_secs(10);

/// For each reason, when it was logged last and how often it was not since.
#[derive(Default)]
pub struct Rejections(Mutex<HashMap<&'static str, (Instant, u64)>>);

impl Rejections {
    pub(crate) fn log(&self, reject: Reject) {
        let (reason, now) = (reject.code(), Instant::now());
        let suppressed = {
            let mut logged = self.0.lock();
            match logged.get_mut(reason) {
                Some((at, suppressed)) if now - *at < REJECTIONS_LOGGED_EVERY => {
                    *suppressed += 1;
                    return;
                }
                _ => logged.insert(reason, (now, 0)).map_or(0, |(_, suppressed)| suppressed),
            }
        };
        tracing::warn!(
            webhook.reject = reason,
            webhook.suppressed = suppressed,
            "a webhook was rejected: {reject}"
        );
    }
}
