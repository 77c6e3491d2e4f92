import type { Participation, SessionDetail, SessionTrack } from '@roomwatch/react';
import { fromWall, toWall } from '@/ui/zone';

/** One stay of a participant, from a join to a leave. */
export interface Stay {
  participation: Participation;
  /** Start of the bar: the join time if `joinKnown`, else the start of the session. */
  from: number;
  joinKnown: boolean;
  /** End of the bar; null while the participant is connected. */
  to: number | null;
  /** If the leave was inferred: it happened between this time and `to`. */
  uncertainFrom: number | null;
  tracks: SessionTrack[];
}

/** All stays of one identity. Each stay has another sid. */
export interface Lane {
  identity: string;
  name: string;
  kind: string;
  hidden: boolean;
  watcher: boolean;
  stays: Stay[];
}

export interface Timeline {
  from: number;
  to: number;
  lanes: Lane[];
}

/** Returns the session as lanes, in the order of the first joins. `now` is the end of a live session. */
export function timelineOf({ session, participations, tracks, egress }: SessionDetail, now: number): Timeline {
  const byParticipant = new Map<string, SessionTrack[]>();
  for (const track of tracks) {
    const list = byParticipant.get(track.participantSid);
    if (list) list.push(track);
    else byParticipant.set(track.participantSid, [track]);
  }
  const known = [
    session.startedAt,
    ...participations.flatMap(({ joinedAt, leftNotBefore, leftAt }) => joinedAt ?? leftNotBefore ?? leftAt ?? []),
    ...egress.flatMap(({ startedAt }) => startedAt ?? []),
  ];
  // Clocks differ: a join can be earlier than the start of the room, but no bar may start outside.
  const from = Math.min(...known);
  const to = Math.max(
    session.endedAt ?? now,
    from + 1_000,
    ...participations.flatMap(({ leftAt, joinedAt }) => leftAt ?? joinedAt ?? []),
  );

  const lanes = new Map<string, Lane>();
  const sorted = [...participations].sort(
    (a, b) => (a.joinedAt ?? a.leftAt ?? from) - (b.joinedAt ?? b.leftAt ?? from) || (a.sid < b.sid ? -1 : 1),
  );
  for (const participation of sorted) {
    const { identity, name, kind, hidden, watcher, joinedAt, leftAt } = participation;
    // A leave is not earlier than the join.
    const leftNotBefore = participation.leftNotBefore && Math.max(participation.leftNotBefore, joinedAt ?? from);
    const lane = lanes.get(identity) ?? { identity, name, kind, hidden, watcher, stays: [] };
    lane.name = name || lane.name;
    lane.stays.push({
      participation,
      from: joinedAt ?? from,
      joinKnown: joinedAt !== null,
      // The end of the session is the latest leave, also without an event.
      to: leftAt ?? session.endedAt,
      uncertainFrom: leftNotBefore !== null && leftAt !== null && leftNotBefore < leftAt ? leftNotBefore : null,
      tracks: (byParticipant.get(participation.sid) ?? [])
        .map((track) => within(track, joinedAt, leftAt))
        .sort((a, b) => (a.publishedAt ?? 0) - (b.publishedAt ?? 0)),
    });
    lanes.set(identity, lane);
  }
  return { from, to, lanes: [...lanes.values()] };
}

/**
 * Limits a track to the stay of its participant. LiveKit's times are whole seconds, so a track can seem to start before
 * the join, or to end after the leave.
 */
function within(track: SessionTrack, joinedAt: number | null, leftAt: number | null): SessionTrack {
  const { publishedAt, unpublishedAt } = track;
  const clamp = (at: number) => Math.min(Math.max(at, joinedAt ?? at), leftAt ?? Number.POSITIVE_INFINITY);
  return {
    ...track,
    publishedAt: clamp(publishedAt),
    unpublishedAt: unpublishedAt === null ? null : clamp(unpublishedAt),
  };
}

/** Width of a character, and of the icon and margins of a label, in pixels. An estimate: a label that does not fit is cut. */
const CHAR_PX = 5.8;
const LABEL_PX = 24;

/**
 * Returns where the label of a leave is drawn: inside the bar at its end, outside after it, outside before it, or nowhere.
 * It never covers another stay of the lane. An empty label is the icon alone. `scale` is in pixels a millisecond.
 */
export function labelPlace(
  stays: readonly Stay[],
  index: number,
  label: string,
  { from, to, scale }: { from: number; to: number; scale: number },
): 'inside' | 'after' | 'before' | null {
  const stay = stays[index];
  if (!stay) return null;
  const needed = label.length * CHAR_PX + LABEL_PX;
  const end = stay.to ?? to;
  if (((stay.uncertainFrom ?? end) - stay.from) * scale >= needed) return 'inside';
  if (((stays[index + 1]?.from ?? to) - end) * scale >= needed) return 'after';
  if ((stay.from - (stays[index - 1]?.to ?? from)) * scale >= needed) return 'before';
  return null;
}

/** Returns the participants and tracks at a moment. `unsure` are those whose leave is uncertain then. */
export function momentOf({ lanes }: Timeline, at: number) {
  const present: Lane[] = [];
  const unsure: Lane[] = [];
  const tracks: SessionTrack[] = [];
  for (const lane of lanes) {
    const stay = lane.stays.find(({ from, to }) => from <= at && (to === null || at < to));
    if (!stay) continue;
    (stay.uncertainFrom !== null && at >= stay.uncertainFrom ? unsure : present).push(lane);
    tracks.push(
      ...stay.tracks.filter(
        ({ publishedAt, unpublishedAt }) =>
          publishedAt !== null && publishedAt <= at && at < (unpublishedAt ?? stay.to ?? Number.POSITIVE_INFINITY),
      ),
    );
  }
  return { present, unsure, tracks };
}

/** Returns the sid of the participant or the track that changed at a moment, if one did. */
export function sidAt({ lanes }: Timeline, at: number): string | undefined {
  const stays = lanes.flatMap((lane) => lane.stays);
  const stay = stays.find(({ from, joinKnown, to }) => (joinKnown && from === at) || to === at);
  if (stay) return stay.participation.sid;
  const tracks = stays.flatMap((one) => one.tracks);
  return tracks.find(({ publishedAt, unpublishedAt }) => publishedAt === at || unpublishedAt === at)?.sid;
}

/** Returns the times of all changes in ascending order, for stepping. */
export function changesOf({ from, to, lanes }: Timeline): number[] {
  const times = new Set<number>([from]);
  for (const { stays } of lanes) {
    for (const stay of stays) {
      for (const at of [stay.joinKnown ? stay.from : null, stay.uncertainFrom, stay.to]) if (at !== null) times.add(at);
      for (const { publishedAt, unpublishedAt } of stay.tracks) {
        for (const at of [publishedAt, unpublishedAt]) if (at !== null) times.add(at);
      }
    }
  }
  return [...times].filter((at) => at >= from && at <= to).sort((a, b) => a - b);
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const STEPS = [
  SECOND,
  5 * SECOND,
  15 * SECOND,
  30 * SECOND,
  MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  15 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  6 * HOUR,
  12 * HOUR,
  24 * HOUR,
  7 * 24 * HOUR,
];

/** Returns at most `max` round times for the axis, in the chosen zone. */
export function ticksOf(from: number, to: number, max: number): number[] {
  const step = STEPS.find((one) => (to - from) / one <= max) ?? STEPS[STEPS.length - 1] ?? HOUR;
  const ticks: number[] = [];
  const zone = toWall(from) - from;
  const first = Math.ceil((from + zone) / step) * step;
  for (let wall = first; ticks.length <= max; wall += step) {
    // Zones change by half an hour or an hour: shorter steps go on through a change, longer ones follow the clock.
    const at = step <= HOUR / 2 ? wall - zone : fromWall(wall);
    if (at > to) break;
    if (at >= from && at !== ticks.at(-1)) ticks.push(at);
  }
  return ticks;
}
