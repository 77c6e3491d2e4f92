//! Facts into rows. Every statement may be run again: a log that is folded a second time gives the same rows.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension, params};

use super::Recorded;
use crate::{
    event::Source,
    state::{
        Egress, Fact, Inferred, Participant, Room, State, Wire, entity::ALL, entity::Track, entity::Word,
    },
};

/// How many sessions' row numbers are remembered of one project.
const SESSIONS_MAX: usize = 20_000;

const MINUTE_MS: u64 = 60_000;

/// What the writer knows without asking the tables.
#[derive(Default)]
pub(super) struct Writer {
    /// Row numbers of sessions by project and sid.
    sessions: HashMap<Arc<str>, HashMap<Arc<str>, i64>>,
    live: HashMap<Arc<str>, Live>,
    /// What the transaction has still to write, for each session's row: many events change the same.
    seen: HashMap<i64, Seen>,
    /// The same for each minute of a project.
    minutes: HashMap<(Arc<str>, u64), Minute>,
}

/// What became of a session.
#[derive(Default)]
struct Seen {
    /// That it is live, with what a list of sessions shows of it.
    live: Option<SeenLive>,
    /// How many more identities took part, and published something.
    participants: i64,
    publishers: i64,
}

struct SeenLive {
    started_at: u64,
    peak: u32,
    recorded: bool,
}

/// What happened within a minute: the most at once, how many there were at last, and who came and went.
#[derive(Default)]
struct Minute {
    most: (u32, u32),
    after: (u32, u32),
    traffic: Traffic,
}

/// How many there are now in one project: what a minute begins with.
#[derive(Default)]
struct Live {
    participants_by_sid: HashMap<Arc<str>, u32>,
    participants: u32,
}

impl Live {
    fn totals(&self) -> (u32, u32) {
        (u32::try_from(self.participants_by_sid.len()).unwrap_or(u32::MAX), self.participants)
    }

    fn set(&mut self, sid: &Arc<str>, participants: Option<u32>) {
        let former = match participants {
            Some(participants) => self.participants_by_sid.insert(sid.clone(), participants),
            None => self.participants_by_sid.remove(sid),
        };
        self.participants =
            (self.participants + participants.unwrap_or(0)).saturating_sub(former.unwrap_or(0));
    }
}

/// Who came and who went by one event, of those that count.
#[derive(Default)]
struct Traffic {
    joins: u32,
    leaves: u32,
}

impl Writer {
    /// The writer that goes on from `state`.
    pub fn new(state: &State) -> Writer {
        let mut writer = Writer::default();
        for entry in state.rooms(|_, _| true) {
            let live = writer.live.entry(entry.room.project.clone()).or_default();
            live.set(&entry.room.sid, Some(entry.room.counts.participants));
        }
        writer
    }

    /// Forgets what it knew of rows: a transaction was rolled back, and rows with it.
    pub fn forget(&mut self) {
        self.sessions.clear();
        self.seen.clear();
        self.minutes.clear();
    }

    /// Takes over what an event did that is in the tables already.
    pub fn pass(&mut self, recorded: &Recorded) {
        for fact in &recorded.facts {
            self.count(fact);
        }
    }

    pub fn write(&mut self, to: &Connection, recorded: &Recorded) -> rusqlite::Result<()> {
        if recorded.joined.is_some() || recorded.json.len() > 2 {
            let mut insert = to.prepare_cached("INSERT OR REPLACE INTO changes VALUES (?1, ?2, ?3)")?;
            insert.execute(params![recorded.seq.0 as i64, &recorded.json[..], recorded.joined.as_deref()])?;
        }
        if recorded.facts.is_empty() {
            return Ok(());
        }
        let before = self.live.get(&recorded.project).map(Live::totals).unwrap_or_default();
        let mut traffic = Traffic::default();
        for fact in &recorded.facts {
            self.fact(to, recorded, fact, &mut traffic)?;
        }
        for fact in &recorded.facts {
            self.count(fact);
        }
        let after = self.live.get(&recorded.project).map(Live::totals).unwrap_or_default();
        if before == after && traffic.joins + traffic.leaves == 0 {
            return Ok(());
        }
        let at = recorded.received_at / MINUTE_MS;
        let minute = self.minutes.entry((recorded.project.clone(), at)).or_default();
        for totals in [before, after] {
            minute.most = (minute.most.0.max(totals.0), minute.most.1.max(totals.1));
        }
        minute.after = after;
        minute.traffic.joins += traffic.joins;
        minute.traffic.leaves += traffic.leaves;
        Ok(())
    }

    /// Writes what was kept for the end of the transaction.
    pub fn finish(&mut self, to: &Connection) -> rusqlite::Result<()> {
        for (id, seen) in self.seen.drain() {
            put_seen(to, id, &seen)?;
        }
        let mut put = to.prepare_cached(
            "INSERT INTO minutes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET
             rooms = max(rooms, ?3), participants = max(participants, ?4), rooms_after = ?5, participants_after = ?6,
             joins = joins + ?7, leaves = leaves + ?8",
        )?;
        for ((project, at), Minute { most, after, traffic }) in self.minutes.drain() {
            let Traffic { joins, leaves } = traffic;
            put.execute(params![project, at as i64, most.0, most.1, after.0, after.1, joins, leaves])?;
        }
        Ok(())
    }

    fn count(&mut self, fact: &Fact) {
        match fact {
            Fact::Session(room) => {
                let live = self.live.entry(room.project.clone()).or_default();
                live.set(&room.sid, Some(room.counts.participants));
            }
            Fact::SessionEnded { room, .. } => {
                self.live.entry(room.project.clone()).or_default().set(&room.sid, None);
            }
            _ => {}
        }
    }

    fn fact(
        &mut self,
        to: &Connection,
        recorded: &Recorded,
        fact: &Fact,
        traffic: &mut Traffic,
    ) -> rusqlite::Result<()> {
        match fact {
            Fact::Session(room) => {
                let id = self.session_of(to, room)?;
                let seen = &mut self.seen.entry(id).or_default().live;
                let before = seen.take().unwrap_or(SeenLive { started_at: 0, peak: 0, recorded: false });
                *seen = Some(SeenLive {
                    started_at: room.began_at(),
                    peak: before.peak.max(room.counts.participants),
                    recorded: before.recorded || room.recording(),
                });
            }
            Fact::SessionEnded { room, at, reason, source } => {
                self.session_ended(to, room, *at, reason.as_ref(), *source)?;
            }
            Fact::Participation(participant) => {
                let session = self.session(to, participant, recorded.received_at)?;
                let new = self.put_participation(to, session, participant, recorded.received_at, true)?;
                traffic.joins += u32::from(new && participant.counted());
            }
            Fact::Left { participant, at, inferred, reason, publishing } => {
                let session = self.session(to, participant, recorded.received_at)?;
                let leave =
                    Leave { session, of: participant, at: *at, inferred: *inferred, reason: reason.as_ref() };
                let mut first = leave.put_first(to)?;
                let mut written = first;
                if !first {
                    // They were not known to be there, or as somebody else, or had left before.
                    let new = self.put_participation(to, session, participant, *at, false)?;
                    traffic.joins += u32::from(new && participant.counted());
                    (first, written) = leave.put(to)?;
                }
                if written && (*publishing || !first) {
                    leave.put_tracks(to)?;
                }
                traffic.leaves += u32::from(first && participant.counted());
            }
            Fact::Track { project, room_sid, participant, track } => {
                if let Some(session) = self.known_session(to, project, room_sid)? {
                    self.put_track(to, session, participant, track)?;
                }
            }
            Fact::Unpublished { project, room_sid, participant, sid, at, inferred } => {
                if let Some(session) = self.known_session(to, project, room_sid)? {
                    let mut end = to.prepare_cached(
                        "UPDATE tracks SET unpublished_at = max(?4, published_at), unpublished_not_before = ?5
                         WHERE session = ?1 AND participant = ?2 AND sid = ?3
                         AND (unpublished_at IS NULL OR (unpublished_not_before IS NOT NULL AND ?5 IS NULL))",
                    )?;
                    end.execute(params![session, participant, sid, *at as i64, inferred.map(|t| t as i64)])?;
                }
            }
            Fact::Egress { egress, seq } => put_egress(to, egress, *seq, recorded.received_at)?,
        }
        Ok(())
    }

    fn session_ended(
        &mut self,
        to: &Connection,
        room: &Room,
        at: u64,
        reason: Option<&Word>,
        source: Source,
    ) -> rusqlite::Result<()> {
        let id = self.session_of(to, room)?;
        if let Some(seen) = self.seen.remove(&id) {
            put_seen(to, id, &seen)?;
        }
        let mut end = to.prepare_cached(
            "UPDATE sessions SET ended_at = max(?2, started_at), end_reason = ?3, ended_by = ?4 WHERE id = ?1
             AND (ended_at IS NULL OR (ended_by = 'reconcile' AND ?4 = 'webhook'))",
        )?;
        end.execute(params![id, at as i64, reason.map(|reason| &**reason), source.as_str()])?;
        let mut tracks = to.prepare_cached(
            "UPDATE tracks SET unpublished_at = max(?2, published_at), unpublished_not_before = published_at
             WHERE session = ?1 AND unpublished_at IS NULL",
        )?;
        tracks.execute(params![id, at as i64])?;
        if let Some(sessions) = self.sessions.get_mut(&room.project) {
            sessions.remove(&room.sid);
        }
        Ok(())
    }

    /// Writes who somebody is; `present` says that they are there. True if the row is new.
    fn put_participation(
        &mut self,
        to: &Connection,
        session: i64,
        p: &Participant,
        at: u64,
        present: bool,
    ) -> rusqlite::Result<bool> {
        let joined_at = (p.joined_at > 0).then_some(p.joined_at as i64);
        let mut insert = to.prepare_cached(
            "INSERT INTO participations (session, sid, identity, name, kind, hidden, watcher, counted, restricted,
             joined_at, source) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
        )?;
        let new = insert.execute(params![
            session,
            p.sid,
            p.identity,
            p.name,
            p.kind,
            p.hidden(),
            p.watcher(),
            p.counted(),
            p.restricted(),
            joined_at.unwrap_or(at as i64),
            p.source.as_str()
        ])? > 0;
        if new {
            if p.counted() && !counted(to, session, &p.identity, &p.sid)?.0 {
                self.seen.entry(session).or_default().participants += 1;
            }
            return Ok(true);
        }
        let mut same = to.prepare_cached(
            "UPDATE participations SET name = ?5, kind = ?6, hidden = ?7, watcher = ?8, restricted = ?9,
             joined_at = coalesce(?10, joined_at), left_at = iif(?11, NULL, left_at),
             left_not_before = iif(?11, NULL, left_not_before), reason = iif(?11, NULL, reason)
             WHERE session = ?1 AND sid = ?2 AND identity = ?3 AND counted = ?4",
        )?;
        let update = params![
            session,
            p.sid,
            p.identity,
            p.counted(),
            p.name,
            p.kind,
            p.hidden(),
            p.watcher(),
            p.restricted(),
            joined_at,
            present
        ];
        if same.execute(update)? > 0 {
            return Ok(false);
        }
        // They turn out to be somebody else, or to count after all, or not: the session's numbers are counted again.
        let mut other = to.prepare_cached(
            "UPDATE participations SET identity = ?3, counted = ?4 WHERE session = ?1 AND sid = ?2",
        )?;
        other.execute(params![session, p.sid, p.identity, p.counted()])?;
        same.execute(update)?;
        if let Some(seen) = self.seen.get_mut(&session) {
            (seen.participants, seen.publishers) = (0, 0);
        }
        let mut recount = to.prepare_cached(
            "UPDATE sessions SET (participants, publishers) =
             (SELECT count(DISTINCT identity), count(DISTINCT iif(published, identity, NULL)) FROM participations
             WHERE session = ?1 AND counted) WHERE id = ?1",
        )?;
        recount.execute([session])?;
        Ok(false)
    }

    fn put_track(
        &mut self,
        to: &Connection,
        session: i64,
        participant: &str,
        track: &Track,
    ) -> rusqlite::Result<()> {
        let mut put = to.prepare_cached(
            "INSERT INTO tracks (session, participant, sid, name, type, source, published_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET name = ?4, type = ?5, source = ?6, published_at = ?7, unpublished_at = NULL,
             unpublished_not_before = NULL",
        )?;
        put.execute(params![
            session,
            participant,
            track.sid,
            track.name,
            track.kind,
            track.source,
            track.published_at as i64
        ])?;
        let mut published = to.prepare_cached(
            "UPDATE participations SET published = 1 WHERE session = ?1 AND sid = ?2 AND NOT published
             RETURNING identity, counted",
        )?;
        let first: Option<(String, bool)> = published
            .query_row(params![session, participant], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((identity, true)) = first
            && !counted(to, session, &identity, participant)?.1
        {
            self.seen.entry(session).or_default().publishers += 1;
        }
        Ok(())
    }

    fn session_of(&mut self, to: &Connection, room: &Room) -> rusqlite::Result<i64> {
        if let Some(id) = self.known_session(to, &room.project, &room.sid)? {
            return Ok(id);
        }
        self.insert_session(to, &room.project, &room.sid, &room.name, room.began_at(), room.source)
    }

    /// The session somebody took part in, which events about it usually made known before.
    fn session(&mut self, to: &Connection, of: &Participant, at: u64) -> rusqlite::Result<i64> {
        match self.known_session(to, &of.project, &of.room_sid)? {
            Some(id) => Ok(id),
            None => self.insert_session(to, &of.project, &of.room_sid, &of.room, at, of.source),
        }
    }

    fn known_session(
        &mut self,
        to: &Connection,
        project: &Arc<str>,
        sid: &Arc<str>,
    ) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.sessions.get(project).and_then(|sessions| sessions.get(sid)) {
            return Ok(Some(*id));
        }
        let mut select = to.prepare_cached("SELECT id FROM sessions WHERE sid = ?1 AND project = ?2")?;
        let id = select.query_row(params![sid, project], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            self.remember(project, sid, id);
        }
        Ok(id)
    }

    fn insert_session(
        &mut self,
        to: &Connection,
        project: &Arc<str>,
        sid: &Arc<str>,
        name: &str,
        at: u64,
        source: Source,
    ) -> rusqlite::Result<i64> {
        let mut insert = to.prepare_cached(
            "INSERT INTO sessions (project, sid, room, started_at, source) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let id = insert.insert(params![project, sid, name, at as i64, source.as_str()])?;
        self.remember(project, sid, id);
        Ok(id)
    }

    fn remember(&mut self, project: &Arc<str>, sid: &Arc<str>, id: i64) {
        let sessions = self.sessions.entry(project.clone()).or_default();
        if sessions.len() >= SESSIONS_MAX {
            sessions.clear();
        }
        sessions.insert(sid.clone(), id);
    }
}

/// Writes what became of a session.
fn put_seen(to: &Connection, id: i64, seen: &Seen) -> rusqlite::Result<()> {
    if let Some(SeenLive { started_at, peak, recorded }) = seen.live {
        let mut update = to.prepare_cached(
            "UPDATE sessions SET started_at = ?2, peak = max(peak, ?3), recorded = max(recorded, ?4),
             participants = participants + ?5, publishers = publishers + ?6,
             ended_at = NULL, end_reason = NULL, ended_by = NULL WHERE id = ?1",
        )?;
        update.execute(params![id, started_at as i64, peak, recorded, seen.participants, seen.publishers])?;
    } else if (seen.participants, seen.publishers) != (0, 0) {
        let mut update = to.prepare_cached(
            "UPDATE sessions SET participants = participants + ?2, publishers = publishers + ?3 WHERE id = ?1",
        )?;
        update.execute(params![id, seen.participants, seen.publishers])?;
    }
    Ok(())
}

/// Somebody's leave of a session.
struct Leave<'a> {
    session: i64,
    of: &'a Participant,
    at: u64,
    inferred: Inferred,
    reason: Option<&'a Word>,
}

impl Leave<'_> {
    /// Writes it and who they were, if they are there as who they were; false if there is more to it.
    fn put_first(&self, to: &Connection) -> rusqlite::Result<bool> {
        let p = self.of;
        let mut leave = to.prepare_cached(
            "UPDATE participations SET name = ?5, kind = ?6, hidden = ?7, watcher = ?8, restricted = ?9,
             joined_at = coalesce(?10, joined_at), left_at = max(?11, coalesce(?10, joined_at)), left_not_before = ?12,
             reason = ?13 WHERE session = ?1 AND sid = ?2 AND identity = ?3 AND counted = ?4 AND left_at IS NULL",
        )?;
        let left = leave.execute(params![
            self.session,
            p.sid,
            p.identity,
            p.counted(),
            p.name,
            p.kind,
            p.hidden(),
            p.watcher(),
            p.restricted(),
            (p.joined_at > 0).then_some(p.joined_at as i64),
            self.at as i64,
            self.inferred.map(|time| time as i64),
            self.reason.map(|reason| &**reason)
        ])?;
        Ok(left > 0)
    }

    /// Writes it. What was inferred yields to what was said, and nothing else does. Whether it was the first, and
    /// whether it was written.
    fn put(&self, to: &Connection) -> rusqlite::Result<(bool, bool)> {
        let mut select =
            to.prepare_cached("SELECT left_at IS NULL FROM participations WHERE session = ?1 AND sid = ?2")?;
        let first = select.query_row(params![self.session, self.of.sid], |row| row.get(0))?;
        let mut leave = to.prepare_cached(
            "UPDATE participations SET left_at = max(?3, joined_at), left_not_before = ?4, reason = ?5
             WHERE session = ?1 AND sid = ?2 AND (left_at IS NULL OR (left_not_before IS NOT NULL AND ?4 IS NULL))",
        )?;
        let (at, inferred) = (self.at as i64, self.inferred.map(|time| time as i64));
        let reason = self.reason.map(|reason| &**reason);
        let written = leave.execute(params![self.session, self.of.sid, at, inferred, reason])?;
        Ok((first, written > 0))
    }

    /// Ends their tracks with them: those that have no end, and those that seemed to end later.
    fn put_tracks(&self, to: &Connection) -> rusqlite::Result<()> {
        let mut tracks = to.prepare_cached(
            "UPDATE tracks SET unpublished_at = max(?3, published_at),
             unpublished_not_before = iif(unpublished_at IS NULL, ?4, min(unpublished_not_before, ?3))
             WHERE session = ?1 AND participant = ?2 AND (unpublished_at IS NULL OR unpublished_at > ?3)",
        )?;
        let inferred = self.inferred.map(|time| time as i64);
        tracks.execute(params![self.session, self.of.sid, self.at as i64, inferred]).map(|_| ())
    }
}

fn put_egress(to: &Connection, egress: &Egress, seq: u64, at: u64) -> rusqlite::Result<()> {
    let id = if egress.egress_id.is_empty() { format!("#{seq}") } else { egress.egress_id.to_string() };
    let json = serde_json::to_string(&Wire(egress, ALL))
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let mut put = to.prepare_cached(
        "INSERT INTO egress (project, egress, room_sid, ended, updated_at_ns, at, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET ended = ?4, updated_at_ns = ?5, json = ?7, room_sid = coalesce(room_sid, ?3)
         WHERE (ended, updated_at_ns) <= (?4, ?5)",
    )?;
    let ended = egress.ended() || egress.ended_at > 0;
    put.execute(params![
        egress.project,
        id,
        egress.room_sid,
        ended,
        egress.updated_at_ns as i64,
        at as i64,
        json
    ])?;
    if let Some(sid) = &egress.room_sid {
        let mut recorded = to.prepare_cached(
            "UPDATE sessions SET recorded = 1 WHERE sid = ?1 AND project = ?2 AND NOT recorded",
        )?;
        // One that never ran has recorded nothing.
        if egress.status != "failed" && egress.status != "aborted" {
            recorded.execute(params![sid, egress.project])?;
        }
    }
    Ok(())
}

/// Whether an identity counts in a session by another sid than this one, and whether it published something there by
/// that. The session's numbers are of distinct identities: somebody who came back three times is one.
fn counted(to: &Connection, session: i64, identity: &str, sid: &str) -> rusqlite::Result<(bool, bool)> {
    let mut select = to.prepare_cached(
        "SELECT coalesce(max(counted), 0), coalesce(max(counted AND published), 0) FROM participations
         WHERE identity = ?2 AND session = ?1 AND sid <> ?3",
    )?;
    select.query_row(params![session, identity, sid], |row| Ok((row.get(0)?, row.get(1)?)))
}
