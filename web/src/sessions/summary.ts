import type { SessionDetail } from '@roomwatch/react';
import { egressNoun } from '@/recordings/egress-words';
import { clockTime, count, duration, plural } from '@/ui/format';
import { leaveReason } from './leave-reason';
import { reasonOf } from './leave-words';
import { type Lane, type Stay, timelineOf } from './timeline';

/** A sentence in parts. A name is apart from the text, because it can be in any script. A participant has an identity. */
export type Part = string | { name: string; identity?: string };
export type Sentence = Part[];

/** Names in one list. The others are a number. */
const NAMES_MAX = 3;
/** Participations in one answer of the server. */
const PARTICIPATIONS_MAX = 20_000;
const TEXT_MAX = 120;

const LOST = new Set(['connection_timeout', 'signal_close', 'state_mismatch', 'media_failure']);
const CALL_FAILED = new Set([
  'sip_trunk_failure',
  'user_unavailable',
  'user_rejected',
  'join_failure',
  'media_failure',
]);
const RECORDING_FAILED: Record<string, string> = {
  failed: 'failed',
  aborted: 'was aborted',
  limit_reached: 'reached a limit',
};

interface Leave {
  lane: Lane;
  stay: Stay;
  at: number;
}

/** Returns the summary of a session in at most five sentences: who left first and why, what failed, what it cost. */
export function summaryOf(detail: SessionDetail, now: number): Sentence[] {
  const { session, participations } = detail;
  const { lanes } = timelineOf(detail, now);
  const people = lanes.filter(({ kind, hidden }) => !hidden && kind !== 'agent' && kind !== 'egress');
  // Of a very large session the answer has only a part.
  const partial = participations.length >= PARTICIPATIONS_MAX || session.participantCount > people.length;
  const named: Stay[] = [];
  const who = partial ? manyPeople(detail) : leaves(detail, lanes, people, named, now);
  return [...who, ...failures(detail, lanes, partial, named), ...cost(detail, now)];
}

function manyPeople({ session }: SessionDetail): Sentence[] {
  const state = session.endedAt === null ? 'have taken part' : 'took part';
  const all = plural(session.participantCount, 'person', 'people');
  return [[`${all} ${state}, at most ${count(session.peak)} at one time.`], ...ended(session, [])];
}

function leaves(detail: SessionDetail, lanes: Lane[], people: Lane[], named: Stay[], now: number): Sentence[] {
  const { session } = detail;
  const live = session.endedAt === null;
  // A call that failed is told as a failure.
  const real = people.filter((lane) => !lane.stays.every((stay) => callFailed(lane, stay)));
  if (real.length === 0) {
    const agents = lanes.filter(({ kind, hidden }) => kind === 'agent' && !hidden);
    if (people.length > 0) return ended(session, []);
    if (agents.length === 0) return [[live ? 'No one has joined yet.' : 'No one joined.'], ...ended(session, [])];
    return [
      [live ? 'Only agents have joined: ' : 'Only agents joined: ', ...names(agents), '.'],
      ...ended(session, []),
    ];
  }
  const left: Leave[] = [];
  const there: Lane[] = [];
  for (const lane of real) {
    const stay = lane.stays[lane.stays.length - 1] as Stay;
    const byEnd = ['room_deleted', 'room_closed'].includes(stay.participation.disconnectReason ?? '');
    if (stay.to === null || byEnd || (!live && session.endedAt !== null && stay.to >= session.endedAt))
      there.push(lane);
    else left.push({ lane, stay, at: stay.to });
  }
  left.sort((a, b) => a.at - b.at || (a.lane.identity < b.lane.identity ? -1 : 1));
  const [first, ...later] = left;
  const sentences: Sentence[] = [];
  if (first) {
    named.push(first.stay);
    const alone = real.length === 1;
    const word = alone ? ' was the only person, and left' : ' left first';
    sentences.push([name(first.lane), `${word}${when(first.stay)}${because(first.stay)}.`]);
    const [second, ...others] = later;
    if (second && others.length === 0) {
      named.push(second.stay);
      const after = second.stay.uncertainFrom === null && first.stay.uncertainFrom === null;
      const time = after ? afterWords(second.at - first.at) : when(second.stay);
      sentences.push([name(second.lane), ` left${time}${because(second.stay)}.`]);
    } else if (second) {
      sentences.push(then(later, named));
    }
  }
  if (!live) return [...sentences, ...ended(session, there)];
  const since = duration(now - session.startedAt);
  if (there.length === 0) sentences.push([`Still live, for ${since}, without participants.`]);
  else if (there.length === 1 && real.length === 1)
    sentences.push([...names(there), ` is the only person. Live for ${since}.`]);
  else sentences.push([...names(there), ` ${there.length === 1 ? 'is' : 'are'} still there. Live for ${since}.`]);
  return sentences;
}

/** "Then Bo left at 14:00:10, Cleo at 14:00:30 (connection timed out) and 5 others until 14:10:00." */
function then(later: Leave[], named: Stay[]): Sentence {
  const shown = later.length <= NAMES_MAX ? later : later.slice(0, NAMES_MAX - 1);
  const rest = later.length - shown.length;
  const sentence: Sentence = ['Then '];
  shown.forEach(({ lane, stay }, at) => {
    named.push(stay);
    if (at > 0) sentence.push(at === shown.length - 1 && rest === 0 ? ' and ' : ', ');
    const reason = because(stay).slice(2);
    sentence.push(name(lane), `${at === 0 ? ' left' : ''}${when(stay)}${reason ? ` (${reason})` : ''}`);
  });
  const last = later[later.length - 1];
  if (rest > 0 && last) sentence.push(` and ${plural(rest, 'other')} until ${clockTime(last.at)}`);
  return [...sentence, '.'];
}

/** How an ended session ended, if that is known and not clear from the leaves. */
function ended({ endedAt, endedBy, endReason }: SessionDetail['session'], there: Lane[]): Sentence[] {
  if (endedAt === null) return [];
  const at = clockTime(endedAt);
  const act: Part[] | null = endedBy
    ? [{ name: endedBy }, ` ended the room at ${at}.`]
    : endReason === 'room_deleted'
      ? [`the room was deleted through the API at ${at}.`]
      : null;
  if (there.length > 0) {
    const were = there.length === 1 ? ' was' : ' were';
    return [[...names(there), `${were} there until `, ...(act ?? [`the end at ${at}.`])]];
  }
  return act ? [act.map((part, n) => (n === 0 && typeof part === 'string' ? capital(part) : part))] : [];
}

function failures({ session, egress }: SessionDetail, lanes: Lane[], partial: boolean, named: Stay[]): Sentence[] {
  const clauses: Sentence[] = [];
  const stays = lanes.flatMap((lane) => lane.stays.map((stay) => ({ lane, stay })));
  const agents = stays.filter(
    ({ lane, stay }) => lane.kind === 'agent' && stay.participation.disconnectReason === 'agent_error',
  );
  const calls = stays.filter(({ lane, stay }) => callFailed(lane, stay));
  const [agent] = agents;
  if (agent && agents.length === 1 && !partial) {
    clauses.push(['the agent ', name(agent.lane), ` failed${when(agent.stay)}`]);
  } else if (session.failedAgents > 0) clauses.push([`${plural(session.failedAgents, 'agent')} failed`]);
  const [call] = calls;
  if (call && calls.length === 1 && !partial) {
    const reason = leaveReason(call.stay.participation.disconnectReason ?? '');
    clauses.push(['the call of ', name(call.lane), ` failed${when(call.stay)}: ${reason}`]);
  } else if (session.failedCalls > 0) clauses.push([`${plural(session.failedCalls, 'call')} failed`]);
  const bad = egress.filter(({ status }) => status in RECORDING_FAILED);
  const [recording] = bad;
  const nouns = [...new Set(egress.map(egressNoun))]
    .sort()
    .map((noun) => `${noun}s`)
    .join(' and ');
  if (recording && bad.length === 1) {
    const error = recording.error ? `: ${short(recording.error)}` : '';
    const one = egress.length === 1 ? `the ${egressNoun(recording)}` : `one of ${count(egress.length)} ${nouns}`;
    clauses.push([`${one} ${RECORDING_FAILED[recording.status]}${error}`]);
  } else if (bad.length > 1) {
    clauses.push([
      `${bad.length === egress.length ? 'all' : count(bad.length)} of ${count(egress.length)} ${nouns} failed`,
    ]);
  }
  const told = named.filter(({ participation }) => LOST.has(participation.disconnectReason ?? '')).length;
  const lost = session.lostConnections - told;
  if (lost > 0) {
    const more =
      told > 0 ? `${count(lost)} more ${lost === 1 ? 'connection' : 'connections'}` : plural(lost, 'connection');
    clauses.push([`${more} ${lost === 1 ? 'was' : 'were'} lost`]);
  }
  if (clauses.length === 0) return [];
  const sentence = clauses.flatMap((clause, at) => (at === 0 ? clause : ['; ', ...clause]));
  return [[...sentence.map((part, at) => (at === 0 && typeof part === 'string' ? capital(part) : part)), '.']];
}

function cost({ session, egress }: SessionDetail, now: number): Sentence[] {
  const ran = (noun: 'recording' | 'stream') =>
    egress
      .filter((one) => egressNoun(one) === noun)
      .reduce((sum, { startedAt, endedAt }) => {
        const until = endedAt ?? session.endedAt ?? now;
        return sum + (startedAt === null ? 0 : Math.max(0, until - startedAt));
      }, 0) / 60_000;
  const all = [
    minutesText(session.participantMinutes, 'participant'),
    minutesText(session.agentMinutes, 'agent'),
    minutesText(session.callMinutes, 'call'),
    minutesText(ran('recording'), 'recording'),
    minutesText(ran('stream'), 'stream'),
  ].filter((one) => one !== null);
  return all.length > 0 ? [[`In total ${all.join(', ')}.`]] : [];
}

/** "23 participant minutes", "0.5 call minutes", or null for none. */
function minutesText(value: number, of: string): string | null {
  if (value <= 0) return null;
  const rounded = value >= 10 ? Math.round(value) : Math.round(value * 10) / 10;
  return `${rounded === 0 ? 'less than 0.1' : count(rounded)} ${of} ${rounded === 1 ? 'minute' : 'minutes'}`;
}

const callFailed = ({ kind }: Lane, { participation }: Stay) =>
  kind === 'sip' && CALL_FAILED.has(participation.disconnectReason ?? '');

/** " at 14:03:11", or " between 14:03:11 and 14:03:40" if the time is uncertain. */
function when({ to, uncertainFrom }: Stay): string {
  if (to === null) return '';
  if (uncertainFrom !== null) return ` between ${clockTime(uncertainFrom)} and ${clockTime(to)}`;
  return ` at ${clockTime(to)}`;
}

/** ": connection lost", or nothing if the participant just left. */
function because({ participation }: Stay): string {
  const reason = reasonOf(participation)?.replace(/ \(.*\)$/, '');
  return !reason || reason === 'left' ? '' : `: ${reason}`;
}

function names(lanes: Lane[]): Sentence {
  const shown = lanes.length <= NAMES_MAX ? lanes : lanes.slice(0, NAMES_MAX - 1);
  const rest = lanes.length - shown.length;
  const all: Sentence = shown.flatMap((lane, at) => [
    ...(at === 0 ? [] : [at === shown.length - 1 && rest === 0 ? ' and ' : ', ']),
    name(lane),
  ]);
  return rest > 0 ? [...all, ` and ${plural(rest, 'other')}`] : all;
}

const name = (lane: Lane): Part => ({ name: short(lane.name || lane.identity), identity: lane.identity });
/** " 41s later", or " at the same time" below a second. */
const afterWords = (ms: number) => (ms < 1_000 ? ' at the same time' : ` ${duration(ms)} later`);
const short = (text: string) => (text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text);
const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
