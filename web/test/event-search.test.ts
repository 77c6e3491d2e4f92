import type { Message } from '@roomwatch/react';
import { expect, test } from 'vitest';
import { keepOf, patternsOf, queryOf, toggleGroup, typedPatterns, withTyped } from '@/events/event-search';

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

test('a typed type replaces the group that contains it', () => {
  expect(withTyped('egress_*', 'egress_ended')).toBe('egress_ended');
  expect(withTyped('egress_*,room_*', 'egress_ended, egress_started')).toBe('room_*,egress_ended,egress_started');
  expect(withTyped('egress_*', '*_ended')).toBe('egress_*,*_ended');
});

test('the agents are their jobs, and the participants that are agents', () => {
  const of = (type: string, kind?: string) =>
    ({
      type,
      data: { event: type, participant: kind && { kind } },
      room: 'a',
      project: 'default',
    }) as unknown as Message;
  const kept = (type: string) =>
    [of('agent_job_started'), of('participant_joined', 'AGENT'), of('participant_left', 'STANDARD')].map(
      keepOf({ type }),
    );
  expect(queryOf({ type: 'agent_*' }).type).toEqual(['agent_*', 'participant_*']);
  expect(kept('agent_*')).toEqual([true, true, false]);
  expect(kept('agent_*,participant_left')).toEqual([true, true, true]);
  // Everybody is chosen too.
  expect(kept('agent_*,participant_*')).toEqual([true, true, true]);
  expect(queryOf({ type: 'agent_*,participant_*' }).type).toEqual(['agent_*', 'participant_*']);
});

test('an empty filter sends no parameter', () => {
  expect(queryOf({ type: ' , ' })).toEqual({ room: undefined, project: undefined, type: undefined });
  expect(queryOf({ room: 'a', type: 'x,y' })).toEqual({ room: 'a', project: undefined, type: ['x', 'y'] });
});
