//! The statements that write. Each is prepared once for a transaction: an event runs several, and looking one up by its
//! text costs as much as running it.

use rusqlite::{CachedStatement, Connection};

use crate::event::reasons::{call_failures, lost_reasons};

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: $sql:expr;)*) => {
        pub(super) struct Statements<'c> { $($(#[$doc])* pub $name: CachedStatement<'c>,)* }

        impl Statements<'_> {
            pub fn of(connection: &Connection) -> rusqlite::Result<Statements<'_>> {
                Ok(Statements { $($name: connection.prepare_cached($sql)?,)* })
            }
        }
    };
}

statements! {
    put_changes: "INSERT INTO changes VALUES (?1, ?2, ?3)";
    remove_changes: "DELETE FROM changes WHERE last = ?1";

    session: "SELECT id FROM sessions WHERE sid = ?1 AND project = ?2";
    new_session: "INSERT INTO sessions (project, sid, room, started_at, source) VALUES (?1, ?2, ?3, ?4, ?5)";
    session_is_live:
        "UPDATE sessions SET started_at = ?2, peak = max(peak, ?3), recorded = max(recorded, ?4),
         participants = 0, publishers = 0, agents = NULL, lost = NULL, agents_failed = NULL, calls = NULL,
         calls_failed = NULL, people_ms = NULL, agent_ms = NULL, call_ms = NULL, recordings_failed = NULL,
         ended_at = NULL, end_reason = NULL, ended_by = NULL WHERE id = ?1";
    session_is_recorded: "UPDATE sessions SET recorded = 1 WHERE sid = ?1 AND project = ?2 AND NOT recorded";
    end_session:
        "UPDATE sessions SET ended_at = max(?2, started_at), end_reason = ?3, ended_by = ?4 WHERE id = ?1
         AND (ended_at IS NULL OR (ended_by = 'reconcile' AND ?4 = 'webhook'))";
    /// Runs when a session ends, and again after a late event. The numbers of a live session are counted by each query.
    count_ended_session: concat!(
        count_session!(), ", publishers = ", publishers!(), " WHERE id = ?1 AND ended_at IS NOT NULL"
    );

    /// The statements of a participant begin with the same parameters: session, sid, identity, name, kind, hidden,
    /// watcher, counted, restricted, and the time of the join if it is known.
    new_participation:
        "INSERT INTO participations (session, sid, identity, name, kind, hidden, watcher, counted, restricted,
         joined_at, source) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, coalesce(?10, ?11), ?12)
         ON CONFLICT DO NOTHING";
    participation_is:
        "UPDATE participations SET identity = ?3, name = ?4, kind = ?5, hidden = ?6, watcher = ?7, counted = ?8,
         restricted = ?9, joined_at = coalesce(?10, joined_at), left_at = iif(?11, NULL, left_at),
         left_not_before = iif(?11, NULL, left_not_before), reason = iif(?11, NULL, reason)
         WHERE session = ?1 AND sid = ?2";
    /// For a participant whose identity is known. It does not set indexed columns, because that would write their index
    /// again.
    leave:
        "UPDATE participations SET name = ?4, kind = ?5, hidden = ?6, watcher = ?7, counted = ?8, restricted = ?9,
         joined_at = coalesce(?10, joined_at), left_at = max(?11, coalesce(?10, joined_at)), left_not_before = ?12,
         reason = ?13 WHERE session = ?1 AND sid = ?2 AND identity = ?3 AND left_at IS NULL";
    /// A reported leave replaces an inferred one. Nothing else replaces a leave.
    correct_leave:
        "UPDATE participations SET left_at = max(?3, joined_at), left_not_before = ?4, reason = ?5
         WHERE session = ?1 AND sid = ?2 AND left_not_before IS NOT NULL AND ?4 IS NULL";

    set_phone: "UPDATE participations SET phone = ?3 WHERE session = ?1 AND sid = ?2 AND phone IS NOT ?3";

    /// The statements of a name and of its pieces run one after the other: the second takes the number of the first.
    new_person:
        "INSERT INTO people (project, identity, name, phone) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    new_person_grams: "INSERT INTO people_grams (rowid, grams) VALUES (last_insert_rowid(), ?1)";
    new_room: "INSERT INTO rooms (project, room) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    new_room_grams: "INSERT INTO room_grams (rowid, grams) VALUES (last_insert_rowid(), ?1)";

    put_track:
        "INSERT INTO tracks (session, participant, sid, name, type, source, published_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET name = ?4, type = ?5, source = ?6, published_at = ?7, unpublished_at = NULL,
         unpublished_not_before = NULL";
    end_track:
        "UPDATE tracks SET unpublished_at = max(?4, published_at), unpublished_not_before = ?5
         WHERE session = ?1 AND participant = ?2 AND sid = ?3
         AND (unpublished_at IS NULL OR (unpublished_not_before IS NOT NULL AND ?5 IS NULL))";
    /// The tracks of a participant end with the leave: those without an end, and those with a later end.
    end_tracks_of:
        "UPDATE tracks SET unpublished_at = max(?3, published_at),
         unpublished_not_before = iif(unpublished_at IS NULL, ?4, min(unpublished_not_before, ?3))
         WHERE session = ?1 AND participant = ?2 AND (unpublished_at IS NULL OR unpublished_at > ?3)";
    end_tracks_in:
        "UPDATE tracks SET unpublished_at = max(?2, published_at), unpublished_not_before = published_at
         WHERE session = ?1 AND unpublished_at IS NULL";

    put_egress:
        "INSERT INTO egress (project, egress, room_sid, ended, updated_at_ns, at, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET ended = ?4, updated_at_ns = ?5, json = ?7, room_sid = coalesce(room_sid, ?3)
         WHERE (ended, updated_at_ns) <= (?4, ?5)";
    put_call:
        "INSERT INTO calls VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET
         call = coalesce(?3, call), number = coalesce(?4, number), trunk = coalesce(?5, trunk),
         trunk_number = coalesce(?6, trunk_number), direction = coalesce(?7, direction),
         status = coalesce(?8, status), answered = max(answered, ?9)";
    put_agent:
        "INSERT INTO agents VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET name = ?3 WHERE name <> ?3";
    /// A new value of a dimension, up to a number of them; the value of a session is `other` if it is not one of them.
    new_usage_value:
        "INSERT INTO usage_values SELECT ?1, ?2, ?3 WHERE ?4 >
         (SELECT count(*) FROM usage_values WHERE project = ?1 AND dimension = ?2 AND value <> ?3) ON CONFLICT DO NOTHING";
    put_session_value:
        "INSERT INTO session_values VALUES (?1, ?2, iif(EXISTS
         (SELECT 1 FROM usage_values WHERE project = ?3 AND dimension = ?2 AND value = ?4), ?4, ?5))
         ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value";
    put_miss: "INSERT OR IGNORE INTO misses VALUES (?1, ?2)";
    put_minute:
        "INSERT INTO minutes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET
         rooms = max(rooms, ?3), participants = max(participants, ?4), rooms_after = ?5, participants_after = ?6,
         joins = joins + ?7, leaves = leaves + ?8";
    /// A later minute is from a clock that was ahead. Its time will come, with the present numbers.
    carry_minute:
        "UPDATE minutes SET rooms_after = ?3, participants_after = ?4 WHERE project = ?1 AND minute > ?2";
}
