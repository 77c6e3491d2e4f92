import type { Condition, Room } from '@roomwatch/react';
import { expect, it } from 'vitest';
import { byRoom, listRooms } from '@/rooms/room-list';

const room = (name: string, more: Partial<Room> = {}): Room => ({
  project: 'default',
  sid: `RM_${name}`,
  name,
  startedAt: 1_000,
  metadata: '',
  participantCount: 0,
  agentCount: 0,
  callCount: 0,
  publisherCount: 0,
  trackCounts: { audio: 0, video: 0, screen: 0 },
  recording: false,
  stale: false,
  source: 'webhook',
  lastEventAt: 1_000,
  ...more,
});
const names = (rooms: Room[]) => rooms.map(({ name }) => name);

it('sorts numbers in names by value: room-2 before room-10', () =>
  expect(names(listRooms([room('room-10'), room('room-2')], {}, 'name', false))).toEqual(['room-2', 'room-10']));

it('ignores case and accents in names', () =>
  expect(names(listRooms([room('Zoo'), room('échec'), room('apple'), room('eclair')], {}, 'name', false))).toEqual([
    'apple',
    'échec',
    'eclair',
    'Zoo',
  ]));

it('orders equal rooms by name in both directions, so that rows do not move', () => {
  const rooms = [room('c'), room('a'), room('b')];
  expect(names(listRooms(rooms, {}, 'people', false))).toEqual(['a', 'b', 'c']);
  expect(names(listRooms(rooms, {}, 'people', true))).toEqual(['a', 'b', 'c']);
});

it('sorts by age: descending has the oldest first and unknown ages last', () => {
  const rooms = [room('old', { startedAt: 1 }), room('unknown', { startedAt: null }), room('new', { startedAt: 9 })];
  expect(names(listRooms(rooms, {}, 'age', true))).toEqual(['old', 'new', 'unknown']);
});

it('finds part of a name in any case, and the start of a sid', () => {
  const rooms = [room('Stand-up'), room('other')];
  expect(names(listRooms(rooms, { q: 'stand' }, 'name', false))).toEqual(['Stand-up']);
  expect(names(listRooms(rooms, { q: 'RM_oth' }, 'name', false))).toEqual(['other']);
});

it('applies all conditions together', () => {
  const rooms = [
    room('a', { recording: true, agentCount: 1 }),
    room('b', { recording: true }),
    room('c', { recording: true, agentCount: 1, project: 'staging' }),
  ];
  expect(names(listRooms(rooms, { recording: true, agents: true, project: 'default' }, 'name', false))).toEqual(['a']);
});

it('keeps sessions with the same name apart', () => {
  const rooms = [room('a', { sid: 'RM_2' }), room('a', { sid: 'RM_1' })];
  expect(listRooms(rooms, {}, 'name', false).map(({ sid }) => sid)).toEqual(['RM_1', 'RM_2']);
});

it('finds rooms without an agent, with a phone, with one person, that are long, or that need attention', () => {
  const HOUR = 3_600_000;
  const rooms = [
    room('quiet', { participantCount: 2, agentCount: 1, startedAt: 0 }),
    room('alone', { participantCount: 1, agentCount: 1, startedAt: HOUR }),
    room('bare', { participantCount: 3, callCount: 1, startedAt: null }),
    // One agent is there, and the one that a rule asks for is not.
    room('missing', { participantCount: 2, agentCount: 1, startedAt: HOUR - 1 }),
    room('other', { participantCount: 2, agentCount: 1, startedAt: HOUR, project: 'staging', sid: 'RM_missing' }),
  ];
  const condition = { project: 'default', roomSid: 'RM_missing', kind: 'agent_missing' } as Condition;
  const about = { project: 'default', roomSid: null, kind: 'webhooks_missing' } as Condition;
  const conditions = byRoom([condition, about]);
  const found = (filter: object) => names(listRooms(rooms, filter, 'name', false, conditions, 2 * HOUR));
  expect(found({ noAgents: true })).toEqual(['bare', 'missing']);
  expect(found({ phone: true })).toEqual(['bare']);
  expect(found({ alone: true })).toEqual(['alone']);
  expect(found({ long: true })).toEqual(['missing', 'quiet']);
  expect(found({ attention: true })).toEqual(['missing']);
  expect(found({ attention: true, alone: true })).toEqual([]);
});
