import type { Room } from '@roomwatch/react';
import type { RoomSort } from './room-sort';

export interface RoomFilter {
  /** Part of a name, or the beginning of a sid. */
  q?: string;
  project?: string;
  recording?: boolean;
  agents?: boolean;
  stale?: boolean;
}

export const trackCount = ({ trackCounts }: Room) => trackCounts.audio + trackCounts.video + trackCounts.screen;

export function matchesRoom(room: Room, { q, project, recording, agents, stale }: RoomFilter): boolean {
  if (project !== undefined && room.project !== project) return false;
  if (recording && !room.recording) return false;
  if (agents && room.agentCount === 0) return false;
  if (stale && !room.stale) return false;
  if (!q) return true;
  return room.name.toLowerCase().includes(q.toLowerCase()) || room.sid.startsWith(q);
}

/** Numbers, so that sorting compares no strings; what is unknown sorts as the smallest. */
const measures: Record<Exclude<RoomSort, 'name'>, (room: Room) => number> = {
  people: (room) => room.participantCount,
  publishers: (room) => room.publisherCount,
  tracks: trackCount,
  agents: (room) => room.agentCount,
  // By age, not by start: the youngest is the smallest.
  age: (room) => (room.startedAt === null ? Number.NEGATIVE_INFINITY : -room.startedAt),
  event: (room) => room.lastEventAt ?? Number.NEGATIVE_INFINITY,
};

/** Names are few and live long; should ever more than these pass by, the memory of them starts anew. */
const KEYS_MAX = 50_000;
const keys = new Map<string, string>();

/**
 * What a name is sorted by: without case and accents, its numbers by value. A string made once a name, because comparing
 * ten thousand names by the browser's collator takes longer than a frame.
 */
export function nameKey(name: string): string {
  let key = keys.get(name);
  if (key === undefined) {
    key = name
      .normalize('NFKD')
      .toLowerCase()
      .replace(/[\u0300-\u036f]/g, '')
      .replace(/\d+/g, (digits) => digits.padStart(12, '0'));
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

/** The rooms that are asked for, in the order that is asked for. Equal ones are ordered by name, then sid: no row may wander. */
export function listRooms(rooms: Room[], filter: RoomFilter, sort: RoomSort, desc: boolean): Room[] {
  const sign = desc ? -1 : 1;
  const list = rooms.filter((room) => matchesRoom(room, filter));
  if (sort === 'name') return list.sort((a, b) => sign * byName(a, b));
  const measure = measures[sort];
  return list.sort((a, b) => {
    const difference = measure(a) - measure(b);
    // Two that are both unknown differ by NaN.
    return difference ? sign * difference : byName(a, b);
  });
}
