import type { Condition, Room } from '@roomwatch/react';
import { fold } from '@/ui/fold';
import type { RoomSort } from './room-sort';

export interface RoomFilter {
  /** Part of a name, or the start of a sid. */
  q?: string;
  project?: string;
  recording?: boolean;
  agents?: boolean;
  stale?: boolean;
  /** Without an agent, or with a condition that one is missing. */
  noAgents?: boolean;
  /** With one participant. */
  alone?: boolean;
  /** Older than an hour. */
  long?: boolean;
  /** With an open condition. */
  attention?: boolean;
  /** With a phone. */
  phone?: boolean;
}

const LONG_MS = 3_600_000;

/** Open conditions by room: see {@link conditionsOf}. */
export type RoomConditions = ReadonlyMap<string, Condition[]>;

const NO_CONDITIONS: RoomConditions = new Map();

/** Returns the open conditions that are about a room, by project and sid. */
export function byRoom(conditions: readonly Condition[]): RoomConditions {
  const all = new Map<string, Condition[]>();
  for (const condition of conditions) {
    if (!condition.roomSid) continue;
    const key = `${condition.project} ${condition.roomSid}`;
    all.set(key, [...(all.get(key) ?? []), condition]);
  }
  return all;
}

/** Returns the open conditions of one room. */
export const conditionsOf = (conditions: RoomConditions, { project, sid }: Room): Condition[] | undefined =>
  conditions.get(`${project} ${sid}`);

export const trackCount = ({ trackCounts }: Room) => trackCounts.audio + trackCounts.video + trackCounts.screen;

export function matchesRoom(room: Room, filter: RoomFilter, conditions = NO_CONDITIONS, now = Date.now()): boolean {
  const { q, project, recording, agents, stale, noAgents, alone, long, attention, phone } = filter;
  if (project !== undefined && room.project !== project) return false;
  if (recording && !room.recording) return false;
  if (agents && room.agentCount === 0) return false;
  if (stale && !room.stale) return false;
  if (phone && room.callCount === 0) return false;
  if (alone && room.participantCount !== 1) return false;
  if (long && (room.startedAt === null || now - room.startedAt <= LONG_MS)) return false;
  const open = noAgents || attention ? conditionsOf(conditions, room) : undefined;
  if (attention && !open) return false;
  if (noAgents && room.agentCount > 0 && !open?.some(({ kind }) => kind === 'agent_missing')) return false;
  if (!q) return true;
  return fold(room.name).includes(fold(q)) || room.sid.startsWith(q);
}

/** Sort values. Numbers are faster to compare than strings; unknown is the smallest. */
const measures: Record<Exclude<RoomSort, 'name'>, (room: Room) => number> = {
  people: (room) => room.participantCount,
  publishers: (room) => room.publisherCount,
  tracks: trackCount,
  agents: (room) => room.agentCount,
  // By age, not by start: the newest room is the smallest.
  age: (room) => (room.startedAt === null ? Number.NEGATIVE_INFINITY : -room.startedAt),
  event: (room) => room.lastEventAt ?? Number.NEGATIVE_INFINITY,
};

/** Maximum cached keys. Beyond it the cache is cleared. */
const KEYS_MAX = 50_000;
const keys = new Map<string, string>();

/**
 * Returns the sort key of a name: without case and accents, with numbers by value. It is cached, because comparing ten
 * thousand names with the browser's collator takes longer than a frame.
 */
export function nameKey(name: string): string {
  let key = keys.get(name);
  if (key === undefined) {
    key = fold(name).replace(/\d+/g, (digits) => digits.padStart(12, '0'));
    if (keys.size >= KEYS_MAX) keys.clear();
    keys.set(name, key);
  }
  return key;
}

function byName(a: Room, b: Room): number {
  const x = nameKey(a.name);
  const y = nameKey(b.name);
  if (x !== y) return x < y ? -1 : 1;
  return a.sid < b.sid ? -1 : a.sid > b.sid ? 1 : 0;
}

/** Returns the matching rooms in order. Equal ones are ordered by name, then sid, so that rows do not move. */
export function listRooms(
  rooms: Room[],
  filter: RoomFilter,
  sort: RoomSort,
  desc: boolean,
  conditions = NO_CONDITIONS,
  now = Date.now(),
): Room[] {
  const sign = desc ? -1 : 1;
  const list = rooms.filter((room) => matchesRoom(room, filter, conditions, now));
  if (sort === 'name') return list.sort((a, b) => sign * byName(a, b));
  const measure = measures[sort];
  return list.sort((a, b) => {
    const difference = measure(a) - measure(b);
    // The difference of two unknown values is NaN.
    return difference ? sign * difference : byName(a, b);
  });
}
