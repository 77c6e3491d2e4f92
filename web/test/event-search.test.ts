import { expect, test } from 'vitest';
import { patternsOf, queryOf, toggleGroup, typedPatterns, withTyped } from '@/events/event-search';

test('patterns are separated by commas or spaces, without duplicates', () => {
  expect(patternsOf(' room_*, track_muted track_muted,,')).toEqual(['room_*', 'track_muted']);
  expect(patternsOf(undefined)).toEqual([]);
});

test('a group is added and removed; typed patterns stay', () => {
  const both = toggleGroup('egress_ended', 'participant_*');
  expect(both).toBe('egress_ended,participant_*');
  expect(toggleGroup(both, 'participant_*')).toBe('egress_ended');
  expect(toggleGroup('room_*', 'room_*')).toBeUndefined();
});

test('typing does not change the groups', () => {
  expect(typedPatterns('room_*,egress_ended,*_muted')).toBe('egress_ended, *_muted');
  expect(withTyped('room_*,egress_ended', 'track_unmuted')).toBe('room_*,track_unmuted');
  expect(withTyped('egress_ended', ' ')).toBeUndefined();
});

test('an empty filter sends no parameter', () => {
  expect(queryOf({ type: ' , ' })).toEqual({ room: undefined, project: undefined, type: undefined });
  expect(queryOf({ room: 'a', type: 'x,y' })).toEqual({ room: 'a', project: undefined, type: ['x', 'y'] });
});
