import type { Participation, SessionDetail, SessionTrack } from '@roomwatch/react';

/** One stay of somebody, between a join and a leave. */
export interface Stay {
  participation: Participation;
  /** Where it is drawn from; `joinKnown` says whether that is when they joined. */
  from: number;
  joinKnown: boolean;
  /** Where it is drawn to; null while they are there. */
  to: number | null;
  /** The leave was inferred: it happened between this and `to`. */
  uncertainFrom: number | null;
  tracks: SessionTrack[];
}

/** Everything one identity did: people come back, and each time with another sid. */
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

/** The session as lanes, in the order of the first joins. `now` ends what goes on. */
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
  // Clocks differ: LiveKit's join may be a moment before the room's start, and nothing may be drawn outside.
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
    // Nobody leaves before they have come.
    const leftNotBefore = participation.leftNotBefore && Math.max(participation.leftNotBefore, joinedAt ?? from);
    const lane = lanes.get(identity) ?? { identity, name, kind, hidden, watcher, stays: [] };
    lane.name = name || lane.name;
    lane.stays.push({
      participation,
      from: joinedAt ?? from,
      joinKnown: joinedAt !== null,
      // A session that has ended has nobody in it, whether their leave was told or not.
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
 * LiveKit tells times in whole seconds, and what it tells late is placed by them: a track can seem to begin a moment
 * before its participant came, or to end a moment after they left. Nobody publishes who is not there.
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

/** Who and what was there at a moment. Somebody whose leave is uncertain counts as `unsure` in between. */
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

/** Every moment at which something changed, ascending: where one steps to. */
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

/** Round times for the axis, at most `max` of them. Local time: midnight is where the reader's day begins. */
export function ticksOf(from: number, to: number, max: number): number[] {
  const step = STEPS.find((one) => (to - from) / one <= max) ?? STEPS[STEPS.length - 1] ?? HOUR;
  const zone = new Date(from).getTimezoneOffset() * MINUTE;
  const ticks: number[] = [];
  for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to && ticks.length <= max; at += step)
    ticks.push(at);
  return ticks;
}
