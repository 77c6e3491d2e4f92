//! Writes facts as rows. Every statement may run again: a log that is folded a second time gives the same rows.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use foldhash::fast::RandomState;
use rusqlite::{OptionalExtension, params};

use super::{
    Recorded,
    changes::Chunk,
    index::Known,
    statements::Statements,
    usage::{self, Dimension},
};
use crate::{
    event::{Seq, Source},
    state::{Egress, Fact, Participant, Room, State, Track, Wire, entity::Word, mask::ALL},
};

/// Keys are sids and our own numbers, as in the state.
type Map<K, V> = HashMap<K, V, RandomState>;

/// Maximum number of sessions of one project whose row numbers are in memory.
const SESSIONS_MAX: usize = 20_000;

const MINUTE_MS: u64 = 60_000;

/// Writes rows, and caches what it needs of the tables.
///
/// The fields from `seen` to `minutes` are written at the end of the transaction, because many events change the same
/// rows. After a transaction the owner calls [`Rows::committed`] or [`Rows::roll_back`].
#[derive(Default)]
pub(super) struct Rows {
    /// Row numbers of sessions by project and sid.
    sessions: Map<Arc<str>, Map<Arc<str>, i64>>,
    live: Map<Arc<str>, Live>,
    /// Numbers in `live` that the events of this transaction have changed, with the former values, oldest first.
    counted: Vec<Counted>,
    /// Sessions that events have shown to be live, by row number.
    seen: Map<i64, Seen>,
    /// Sessions whose participants must be counted if they have ended.
    uncounted: HashSet<i64, RandomState>,
    /// Minutes of each project.
    minutes: Map<(Arc<str>, u64), Minute>,
    /// Changes of the latest events.
    changes: Chunk,
    /// Names that the index has.
    names: Known,
    dimensions: Arc<[Dimension]>,
}

/// A live session, with the fields that a list of sessions shows.
struct Seen {
    started_at: u64,
    peak: u32,
    recorded: bool,
    project: Arc<str>,
    metadata: Arc<str>,
}

/// One minute: the maximum numbers of rooms and participants, the numbers at its end, and joins and leaves.
#[derive(Default)]
struct Minute {
    most: (u32, u32),
    after: (u32, u32),
    traffic: Traffic,
    /// The last event in it.
    last: Seq,
}

/// Present numbers of one project. A minute begins with them.
#[derive(Default)]
struct Live {
    participants_by_sid: Map<Arc<str>, u32>,
    participants: u32,
}

/// The numbers of one session before an event.
struct Counted {
    project: Arc<str>,
    sid: Arc<str>,
    former: Option<u32>,
}

impl Live {
    fn totals(&self) -> (u32, u32) {
        (u32::try_from(self.participants_by_sid.len()).unwrap_or(u32::MAX), self.participants)
    }

    /// Sets the number of participants of a session, or `None` if it has ended. Returns the former one.
    fn set(&mut self, sid: &Arc<str>, participants: Option<u32>) -> Option<u32> {
        let former = match participants {
            Some(participants) => self.participants_by_sid.insert(sid.clone(), participants),
            None => self.participants_by_sid.remove(sid),
        };
        self.participants =
            (self.participants + participants.unwrap_or(0)).saturating_sub(former.unwrap_or(0));
        former
    }
}

/// Joins and leaves of one event, of participants that `participantCount` counts.
#[derive(Default)]
struct Traffic {
    joins: u32,
    leaves: u32,
}

impl Rows {
    /// Returns the rows that continue from `state`.
    pub fn new(state: &State, dimensions: &Arc<[Dimension]>) -> Rows {
        let mut rows = Rows { dimensions: dimensions.clone(), ..Rows::default() };
        for entry in state.rooms(|_, _| true) {
            let live = rows.live.entry(entry.room.project.clone()).or_default();
            live.set(&entry.room.sid, Some(entry.room.counts.participants));
        }
        rows
    }

    /// Keeps what the transaction has counted, because it is on the disk.
    pub fn committed(&mut self) {
        self.counted.clear();
    }

    /// Takes back what the transaction has counted, because it was rolled back.
    pub fn roll_back(&mut self) {
        self.changes = Chunk::default();
        self.forget();
    }

    /// Clears the caches, because rows were removed.
    pub fn forget(&mut self) {
        for Counted { project, sid, former } in self.counted.drain(..).rev() {
            self.live.entry(project).or_default().set(&sid, former);
        }
        self.sessions.clear();
        self.seen.clear();
        self.uncounted.clear();
        self.minutes.clear();
        self.names.forget();
    }

    /// Counts an event that is already in the tables.
    pub fn pass(&mut self, recorded: &Recorded) {
        for fact in &recorded.facts {
            self.count(fact);
        }
    }

    /// Notes the oldest event of the log. The changes of earlier events are removed.
    pub fn log_begins(&mut self, first: Seq) {
        self.changes.begins(first);
    }

    pub fn write(&mut self, to: &mut Statements, recorded: &Recorded) -> rusqlite::Result<()> {
        self.changes.add(to, recorded)?;
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
        minute.last = recorded.seq;
        minute.traffic.joins += traffic.joins;
        minute.traffic.leaves += traffic.leaves;
        Ok(())
    }

    /// Writes the rows that are written at the end of the transaction.
    pub fn finish(&mut self, to: &mut Statements) -> rusqlite::Result<()> {
        self.changes.write(to)?;
        for (id, seen) in std::mem::take(&mut self.seen) {
            self.put_seen(to, id, &seen)?;
        }
        for id in self.uncounted.drain() {
            to.count_ended_session.execute([id])?;
        }
        let mut minutes: Vec<_> = self.minutes.drain().collect();
        minutes.sort_unstable_by_key(|(_, minute)| minute.last);
        for ((project, at), Minute { most, after, traffic, .. }) in minutes {
            let (Traffic { joins, leaves }, at) = (traffic, at as i64);
            to.put_minute.execute(params![project, at, most.0, most.1, after.0, after.1, joins, leaves])?;
            to.carry_minute.execute(params![project, at, after.0, after.1])?;
        }
        Ok(())
    }

    fn count(&mut self, fact: &Fact) {
        let (project, sid, participants) = match fact {
            Fact::Session { project, sid, participants, .. } => (project, sid, Some(*participants)),
            Fact::SessionEnded { room, .. } => (&room.project, &room.sid, None),
            _ => return,
        };
        let former = self.live.entry(project.clone()).or_default().set(sid, participants);
        self.counted.push(Counted { project: project.clone(), sid: sid.clone(), former });
    }

    fn fact(
        &mut self,
        to: &mut Statements,
        recorded: &Recorded,
        fact: &Fact,
        traffic: &mut Traffic,
    ) -> rusqlite::Result<()> {
        match fact {
            Fact::Session { project, sid, name, began_at, participants, recording, metadata, source } => {
                let id = self.session(to, project, sid, name, *began_at, *source)?;
                let before = self.seen.get(&id);
                let seen = Seen {
                    started_at: *began_at,
                    peak: before.map_or(0, |before| before.peak).max(*participants),
                    recorded: before.is_some_and(|before| before.recorded) || *recording,
                    project: project.clone(),
                    metadata: metadata.clone(),
                };
                self.seen.insert(id, seen);
            }
            Fact::SessionEnded { room, at, reason, source } => {
                self.session_ended(to, room, *at, reason.as_ref(), *source)?;
            }
            Fact::AgentMissing { project, room_sid, at } => {
                if let Some(session) = self.known_session(to, project, room_sid)? {
                    to.put_miss.execute(params![session, *at as i64])?;
                }
            }
            Fact::Participation(participant) => {
                let session = self.session_of(to, participant, recorded.received_at)?;
                let counted = participant.counted();
                let new = put_participation(to, session, participant, counted, recorded.received_at, true)?;
                self.names.person(to, participant)?;
                put_attributes(to, session, participant)?;
                traffic.joins += u32::from(new && counted);
            }
            Fact::Left { participant, at, inferred, reason, publishing, never_there } => {
                let session = self.session_of(to, participant, recorded.received_at)?;
                let reason = reason.as_deref();
                let (at, inferred) = (*at as i64, inferred.map(|time| time as i64));
                let counted = participant.counted() && !never_there;
                let mut first = put_leave(to, session, participant, counted, at, inferred, reason)?;
                let mut written = first;
                if !first {
                    // The participant was unknown, or known by another identity, or had already left, perhaps with the
                    // session.
                    self.uncounted.insert(session);
                    let new = put_participation(to, session, participant, counted, at as u64, false)?;
                    traffic.joins += u32::from(new && counted);
                    first = put_leave(to, session, participant, counted, at, inferred, reason)?;
                    written = first
                        || to.correct_leave.execute(params![
                            session,
                            participant.sid,
                            at,
                            inferred,
                            reason
                        ])? > 0;
                }
                self.names.person(to, participant)?;
                put_attributes(to, session, participant)?;
                if written && (*publishing || !first) {
                    to.end_tracks_of.execute(params![session, participant.sid, at, inferred])?;
                }
                traffic.leaves += u32::from(first && counted);
            }
            Fact::Track { project, room_sid, participant, track } => {
                if let Some(session) = self.known_session(to, project, room_sid)? {
                    put_track(to, session, participant, track)?;
                }
            }
            Fact::Unpublished { project, room_sid, participant, sid, at, inferred } => {
                if let Some(session) = self.known_session(to, project, room_sid)? {
                    let inferred = inferred.map(|time| time as i64);
                    to.end_track.execute(params![session, participant, sid, *at as i64, inferred])?;
                }
            }
            Fact::Egress { egress, seq } => {
                put_egress(to, egress, *seq, recorded.received_at)?;
                if let Some(sid) = &egress.room_sid
                    && let Some(session) = self.known_session(to, &egress.project, sid)?
                {
                    // A recording often ends after its room.
                    self.uncounted.insert(session);
                }
            }
        }
        Ok(())
    }

    /// Writes that a session is live.
    fn put_seen(&self, to: &mut Statements, id: i64, seen: &Seen) -> rusqlite::Result<()> {
        to.session_is_live.execute(params![id, seen.started_at as i64, seen.peak, seen.recorded])?;
        usage::put_values(to, &seen.project, id, &usage::values_of(&self.dimensions, &seen.metadata))
    }

    fn session_ended(
        &mut self,
        to: &mut Statements,
        room: &Room,
        at: u64,
        reason: Option<&Word>,
        source: Source,
    ) -> rusqlite::Result<()> {
        let id = self.session(to, &room.project, &room.sid, &room.name, room.began_at(), room.source)?;
        if let Some(seen) = self.seen.remove(&id) {
            self.put_seen(to, id, &seen)?;
        }
        to.end_session.execute(params![id, at as i64, reason.map(|reason| &**reason), source.as_str()])?;
        to.end_tracks_in.execute(params![id, at as i64])?;
        self.uncounted.insert(id);
        if let Some(sessions) = self.sessions.get_mut(&room.project) {
            sessions.remove(&room.sid);
        }
        Ok(())
    }

    /// Returns the row number of a participant's session. Earlier events have usually made it known.
    fn session_of(&mut self, to: &mut Statements, of: &Participant, at: u64) -> rusqlite::Result<i64> {
        self.session(to, &of.project, &of.room_sid, &of.room, at, of.source)
    }

    /// Returns the row number of a session. Inserts the row if there is none.
    fn session(
        &mut self,
        to: &mut Statements,
        project: &Arc<str>,
        sid: &Arc<str>,
        name: &str,
        at: u64,
        source: Source,
    ) -> rusqlite::Result<i64> {
        if let Some(id) = self.known_session(to, project, sid)? {
            return Ok(id);
        }
        let id = to.new_session.insert(params![project, sid, name, at as i64, source.as_str()])?;
        self.names.room(to, project, name)?;
        self.remember(project, sid, id);
        Ok(id)
    }

    fn known_session(
        &mut self,
        to: &mut Statements,
        project: &Arc<str>,
        sid: &Arc<str>,
    ) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.sessions.get(project).and_then(|sessions| sessions.get(sid)) {
            return Ok(Some(*id));
        }
        let id = to.session.query_row(params![sid, project], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            self.remember(project, sid, id);
        }
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

/// Writes a participant; `present` is true if they are in the room. Returns true if the row is new.
fn put_participation(
    to: &mut Statements,
    session: i64,
    p: &Participant,
    counted: bool,
    at: u64,
    present: bool,
) -> rusqlite::Result<bool> {
    let insert = &mut to.new_participation;
    bind_who(insert, session, p, counted)?;
    insert.raw_bind_parameter(11, at as i64)?;
    insert.raw_bind_parameter(12, p.source.as_str())?;
    let new = insert.raw_execute()? > 0;
    if !new {
        let update = &mut to.participation_is;
        bind_who(update, session, p, counted)?;
        update.raw_bind_parameter(11, present)?;
        update.raw_execute()?;
    }
    if let Some(phone) = p.phone_number() {
        to.set_phone.execute(params![session, p.sid, phone])?;
    }
    Ok(new)
}

/// Writes a participant and their leave. Returns false if they are not in the room, or have another identity there.
fn put_leave(
    to: &mut Statements,
    session: i64,
    p: &Participant,
    counted: bool,
    at: i64,
    inferred: Option<i64>,
    reason: Option<&str>,
) -> rusqlite::Result<bool> {
    let leave = &mut to.leave;
    bind_who(leave, session, p, counted)?;
    leave.raw_bind_parameter(11, at)?;
    leave.raw_bind_parameter(12, inferred)?;
    leave.raw_bind_parameter(13, reason)?;
    Ok(leave.raw_execute()? > 0)
}

/// Binds a participant to the first ten parameters of a statement.
fn bind_who(
    to: &mut rusqlite::Statement,
    session: i64,
    p: &Participant,
    counted: bool,
) -> rusqlite::Result<()> {
    to.raw_bind_parameter(1, session)?;
    to.raw_bind_parameter(2, &*p.sid)?;
    to.raw_bind_parameter(3, &*p.identity)?;
    to.raw_bind_parameter(4, &*p.name)?;
    to.raw_bind_parameter(5, &*p.kind)?;
    to.raw_bind_parameter(6, p.hidden())?;
    to.raw_bind_parameter(7, p.watcher())?;
    to.raw_bind_parameter(8, counted)?;
    to.raw_bind_parameter(9, p.restricted())?;
    to.raw_bind_parameter(10, (p.joined_at > 0).then_some(p.joined_at as i64))
}

/// Writes what the attributes of a SIP participant or of an agent say.
fn put_attributes(to: &mut Statements, session: i64, p: &Participant) -> rusqlite::Result<()> {
    if p.kind == "sip" {
        let mut texts = p.texts();
        let mut take = |name: &str| texts.remove(name).filter(|text| !text.is_empty());
        let status = take("sip.callStatus");
        let call = take("sip.callID");
        // LiveKit names the rule that dispatched a call; an outbound call has none.
        let is_inbound = take("sip.ruleID").or_else(|| take("lk.sip.inviteTime")).is_some();
        let direction = match (is_inbound, &call) {
            (true, _) => Some("inbound"),
            (false, Some(_)) => Some("outbound"),
            (false, None) => None,
        };
        let answered = status.as_deref() == Some("active") || take("lk.sip.answerTime").is_some();
        let numbers = (take("sip.phoneNumber"), take("sip.trunkID"), take("sip.trunkPhoneNumber"));
        to.put_call.execute(params![
            session, p.sid, call, numbers.0, numbers.1, numbers.2, direction, status, answered
        ])?;
    } else if p.agent()
        && let Some(name) = p.agent_name()
    {
        to.put_agent.execute(params![session, p.sid, name])?;
    }
    Ok(())
}

fn put_track(to: &mut Statements, session: i64, participant: &str, track: &Track) -> rusqlite::Result<()> {
    let Track { sid, name, kind, source, published_at, .. } = track;
    to.put_track.execute(params![session, participant, sid, name, kind, source, *published_at as i64])?;
    Ok(())
}

fn put_egress(to: &mut Statements, egress: &Egress, seq: u64, at: u64) -> rusqlite::Result<()> {
    let id = if egress.egress_id.is_empty() { format!("#{seq}") } else { egress.egress_id.to_string() };
    let json = serde_json::to_string(&Wire(egress, ALL))
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let ended = egress.ended() || egress.ended_at > 0;
    to.put_egress.execute(params![
        egress.project,
        id,
        egress.room_sid,
        ended,
        egress.updated_at_ns as i64,
        at as i64,
        json
    ])?;
    // An egress that never ran has not recorded anything.
    if let Some(sid) = &egress.room_sid
        && egress.status != "failed"
        && egress.status != "aborted"
    {
        to.session_is_recorded.execute(params![sid, egress.project])?;
    }
    Ok(())
}
