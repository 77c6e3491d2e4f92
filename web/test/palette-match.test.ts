import type { Room } from '@roomwatch/react';
import { expect, test } from 'vitest';
import { best, findRooms, rank, readQuery } from '@/palette/match';

test('a verb needs a space after it: a room name can start like a verb', () => {
  expect(readQuery('end stand')).toMatchObject({ verb: 'end', text: 'stand' });
  expect(readQuery(' End ')).toMatchObject({ verb: 'end', text: '' });
  expect(readQuery('endgame')).toMatchObject({ verb: null, text: 'endgame' });
  expect(readQuery('watchmen weekly')).toMatchObject({ verb: null });
});

test('a cursor is recognised', () => {
  expect(readQuery(' 7f3a9c21-1042 ').cursor).toBe('7f3a9c21-1042');
  expect(readQuery('room-1042').cursor).toBeNull();
});

test('every word must match, and its place counts', () => {
  expect(rank('design-review', 'rev sig')).not.toBeNull();
  expect(rank('design-review', 'rev x')).toBeNull();
  expect(best(['preview', 'design-review', 'review'], (one) => one, 'rev', 2)).toEqual(['review', 'design-review']);
});

const room = (name: string, sid: string, participantCount: number) => ({ name, sid, participantCount }) as Room;

test('rooms are found by name and by sid; rooms with more people come first', () => {
  const rooms = [room('standup', 'RM_a1', 2), room('standup-2', 'RM_b1', 9), room('retro', 'RM_b2', 30)];
  expect(findRooms(rooms, 'stand', 5).map((one) => one.sid)).toEqual(['RM_b1', 'RM_a1']);
  expect(findRooms(rooms, 'RM_b2', 5).map((one) => one.name)).toEqual(['retro']);
  expect(findRooms(rooms, '', 2).map((one) => one.name)).toEqual(['retro', 'standup-2']);
});
