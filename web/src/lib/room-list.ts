import type { Room } from '@roomwatch/react';
import type { RoomSort } from '@/router';

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

/** One collator for all: making one costs more than a thousand comparisons. */
const byName = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });

/** The rooms that are asked for, in the order that is asked for. Equal ones are ordered by name, then sid: no row may wander. */
export function listRooms(rooms: Room[], filter: RoomFilter, sort: RoomSort, desc: boolean): Room[] {
  const sign = desc ? -1 : 1;
  const names = (a: Room, b: Room) => byName.compare(a.name, b.name) || (a.sid < b.sid ? -1 : 1);
  const list = rooms.filter((room) => matchesRoom(room, filter));
  if (sort === 'name') return list.sort((a, b) => sign * names(a, b));
  const measure = measures[sort];
  return list.sort((a, b) => {
    const difference = measure(a) - measure(b);
    // Two that are both unknown differ by NaN.
    return difference ? sign * difference : names(a, b);
  });
}
