//! The log of events: how long it is kept. And the program's own log: how it is written.

use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;

/// Format of the program's own log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// A number of days as it is written. 0 means no limit.
pub(super) fn days(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400))
}
