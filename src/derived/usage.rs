//! The usage: sums and peaks for each quarter of an hour, kept longer than the sessions that they are counted from.
//!
//! Every zone of the world is a multiple of 15 minutes from UTC, so a day of any zone is a sum of quarters. A row of `usage`
//! has the quarters of one UTC day, packed: a year of a project is 365 rows.
//!
//! A quarter is counted from sessions, participations and egress ([`sweep`]), never changed by differences, so an error cannot
//! stay. Two numbers say what is counted: every quarter before `usage_until` is, except for those in `usage_changed`. Triggers
//! set them in the transaction that changes a row of the past, so they are right after a crash. The writer counts what is
//! missing behind the events ([`roll`]), and a query counts the rest by itself ([`query`]): the present quarter, and what late
//! news has just changed.
//!
//! Retention removes sessions only before `usage_sealed`: those quarters are complete, and are not counted again.

use super::DerivedError;

mod dimension;
mod measures;
mod query;
mod roll;
mod sweep;

pub use dimension::{Dimension, DimensionSource};
pub use measures::{Measures, Peak};
pub use query::{UsageAnswer, UsageGroup, UsageQuery, UsageSeries};

pub(super) use dimension::{put_values, values_of};
pub(super) use roll::{forget_after, forget_old, has_work, is_removed, refill, roll, seal};

pub(super) const QUARTER_MS: i64 = 15 * 60_000;
pub(super) const DAY_MS: i64 = 24 * 60 * 60_000;
/// A participant counts from at most this time before the session became known. It bounds the sessions of a time.
const BEFORE_SESSION_MS: i64 = DAY_MS;

/// Beginning of the quarter of a time.
fn quarter(at: i64) -> i64 {
    at.div_euclid(QUARTER_MS) * QUARTER_MS
}

/// The tables. `usage_changed` has times whose quarters are to be counted again. `session_values` has the values of a session that its metadata gives, and
/// `usage_values` all of a project, a limited number.
pub(super) const TABLES: &str = "
CREATE TABLE usage (
    project TEXT NOT NULL, dimension TEXT NOT NULL, value TEXT NOT NULL, day INTEGER NOT NULL, quarters BLOB NOT NULL,
    PRIMARY KEY (project, dimension, value, day)) WITHOUT ROWID;
CREATE INDEX usage_day ON usage (day);
CREATE TABLE usage_changed (lo INTEGER NOT NULL, hi INTEGER NOT NULL);
CREATE TABLE usage_values (
    project TEXT NOT NULL, dimension TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (project, dimension, value)) WITHOUT ROWID;
CREATE TABLE session_values (
    session INTEGER NOT NULL, dimension TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (session, dimension)) WITHOUT ROWID;
CREATE INDEX sessions_long ON sessions (ended_at) WHERE ended_at - started_at > 86400000;
ALTER TABLE egress ADD COLUMN stopped_at INTEGER AS (coalesce(iif(json_valid(json), json_extract(json, '$.endedAt'), NULL),
    iif(ended, coalesce(iif(json_valid(json), json_extract(json, '$.startedAt'), NULL), at), NULL)));
CREATE INDEX egress_long ON egress (began_at) WHERE stopped_at IS NULL OR stopped_at - began_at > 86400000;
";

/// Triggers of the connection that writes. They are not in the file: its schema would need another page, without which nothing
/// of a damaged file can be read.
///
/// `usage_touch` is the one place that notes a change of the time from `lo` to `hi`. The time of what is still open is without
/// an end: all quarters from `lo` are counted again.
pub(super) const TRIGGERS: &str = "
CREATE TEMP VIEW usage_touch AS SELECT 0 AS lo, 0 AS hi;
CREATE TEMP TRIGGER touch_touched INSTEAD OF INSERT ON usage_touch
WHEN NEW.lo < (SELECT value FROM meta WHERE key = 'usage_until') BEGIN
    UPDATE meta SET value = NEW.lo - NEW.lo % 900000
    WHERE key = 'usage_until' AND NEW.hi = 9223372036854775807;
    INSERT INTO usage_changed SELECT NEW.lo, NEW.hi WHERE NEW.hi < 9223372036854775807;
END;
CREATE TEMP TRIGGER touch_session_new AFTER INSERT ON sessions BEGIN
    INSERT INTO usage_touch SELECT min(NEW.started_at, coalesce(
        (SELECT min(min(began_at, coalesce(stopped_at, began_at))) FROM egress
            WHERE room_sid = NEW.sid AND project = NEW.project), NEW.started_at)),
        coalesce(NEW.ended_at, 9223372036854775807);
END;
CREATE TEMP TRIGGER touch_session_start AFTER UPDATE OF started_at ON sessions WHEN OLD.started_at <> NEW.started_at BEGIN
    INSERT INTO usage_touch SELECT min(OLD.started_at, NEW.started_at) - iif(EXISTS (SELECT 1 FROM participations
        WHERE session = NEW.id AND min(joined_at, coalesce(left_at, joined_at)) < max(OLD.started_at, NEW.started_at)),
        86400000, 0),
        max(OLD.started_at, NEW.started_at);
END;
CREATE TEMP TRIGGER touch_session_end AFTER UPDATE OF ended_at ON sessions WHEN OLD.ended_at IS NOT NEW.ended_at BEGIN
    INSERT INTO usage_touch SELECT
        min(coalesce(OLD.ended_at, 9223372036854775807), coalesce(NEW.ended_at, 9223372036854775807)),
        max(coalesce(OLD.ended_at, 9223372036854775807), coalesce(NEW.ended_at, 9223372036854775807));
END;
CREATE TEMP TRIGGER touch_participation_new AFTER INSERT ON participations BEGIN
    INSERT INTO usage_touch SELECT min(NEW.joined_at, coalesce(NEW.left_at, 9223372036854775807)),
        max(NEW.joined_at, coalesce(NEW.left_at, 9223372036854775807));
END;
CREATE TEMP TRIGGER touch_participation_is AFTER UPDATE OF joined_at, kind, hidden, counted ON participations
WHEN (OLD.joined_at, OLD.kind, OLD.hidden, OLD.counted) IS NOT (NEW.joined_at, NEW.kind, NEW.hidden, NEW.counted) BEGIN
    INSERT INTO usage_touch SELECT
        min(OLD.joined_at, NEW.joined_at, coalesce(OLD.left_at, 9223372036854775807), coalesce(NEW.left_at, 9223372036854775807)),
        max(OLD.joined_at, NEW.joined_at, coalesce(OLD.left_at, 9223372036854775807), coalesce(NEW.left_at, 9223372036854775807));
END;
CREATE TEMP TRIGGER touch_participation_left AFTER UPDATE OF left_at, reason ON participations
WHEN (OLD.left_at, OLD.reason) IS NOT (NEW.left_at, NEW.reason) BEGIN
    INSERT INTO usage_touch SELECT
        min(coalesce(OLD.left_at, 9223372036854775807), coalesce(NEW.left_at, 9223372036854775807)),
        max(coalesce(OLD.left_at, 9223372036854775807), coalesce(NEW.left_at, 9223372036854775807));
END;
CREATE TEMP TRIGGER touch_egress_new AFTER INSERT ON egress BEGIN
    INSERT INTO usage_touch SELECT min(NEW.began_at, coalesce(NEW.stopped_at, 9223372036854775807)),
        max(NEW.began_at, coalesce(NEW.stopped_at, 9223372036854775807));
END;
CREATE TEMP TRIGGER touch_egress_is AFTER UPDATE OF json, ended, room_sid ON egress
WHEN (OLD.json, OLD.ended, OLD.room_sid) IS NOT (NEW.json, NEW.ended, NEW.room_sid) BEGIN
    INSERT INTO usage_touch SELECT iif((OLD.began_at, OLD.room_sid) IS (NEW.began_at, NEW.room_sid),
        min(coalesce(OLD.stopped_at, 9223372036854775807), coalesce(NEW.stopped_at, 9223372036854775807)),
        min(OLD.began_at, NEW.began_at, coalesce(OLD.stopped_at, 9223372036854775807), coalesce(NEW.stopped_at, 9223372036854775807))),
        max(OLD.began_at, NEW.began_at, coalesce(OLD.stopped_at, 9223372036854775807), coalesce(NEW.stopped_at, 9223372036854775807));
END;
CREATE TEMP TRIGGER touch_value_new AFTER INSERT ON session_values BEGIN
    INSERT INTO usage_touch SELECT min(s.started_at,
        coalesce((SELECT min(min(p.joined_at, coalesce(p.left_at, p.joined_at))) FROM participations p WHERE p.session = s.id),
            s.started_at),
        coalesce((SELECT min(min(e.began_at, coalesce(e.stopped_at, e.began_at))) FROM egress e
            WHERE e.room_sid = s.sid AND e.project = s.project), s.started_at)),
        9223372036854775807 FROM sessions s WHERE s.id = NEW.session;
END;
CREATE TEMP TRIGGER touch_value_is AFTER UPDATE OF value ON session_values WHEN OLD.value <> NEW.value BEGIN
    INSERT INTO usage_touch SELECT min(s.started_at,
        coalesce((SELECT min(min(p.joined_at, coalesce(p.left_at, p.joined_at))) FROM participations p WHERE p.session = s.id),
            s.started_at),
        coalesce((SELECT min(min(e.began_at, coalesce(e.stopped_at, e.began_at))) FROM egress e
            WHERE e.room_sid = s.sid AND e.project = s.project), s.started_at)),
        9223372036854775807 FROM sessions s WHERE s.id = NEW.session;
END;
";
