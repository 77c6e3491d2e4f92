import type { Session } from '@roomwatch/react';
import { expect, it } from 'vitest';
import { queryOf, switchTrouble, troublesOf } from '@/sessions/session-search';
import { troubleWords } from '@/sessions/trouble-marks';

const session: Session = {
  project: 'default',
  sid: 'RM_1',
  room: 'consult',
  startedAt: Date.UTC(2026, 10, 23, 14),
  endedAt: Date.UTC(2026, 10, 23, 15),
  endReason: 'everyone_left',
  endedBy: null,
  participantCount: 2,
  peak: 2,
  publisherCount: 1,
  agentCount: 1,
  callCount: 2,
  failedCalls: 2,
  lostConnections: 1,
  failedAgents: 1,
  failedRecordings: 1,
  participantMinutes: 90.5,
  agentMinutes: 60,
  callMinutes: 0.25,
  recorded: false,
  recordingOutcome: 'failed',
  source: 'webhook',
};

it('the address becomes a query', () => {
  const hour = 3_600_000;
  expect(queryOf({ last: '1h', trouble: 'call,lost,unknown', roomContains: 'a' }, 2 * hour)).toEqual({
    roomContains: 'a',
    from: hour,
    to: undefined,
    trouble: ['lost', 'call'],
    order: undefined,
  });
  expect(queryOf({ from: 5, to: 9, sort: 'minutes', desc: false }, 100)).toEqual({
    from: 5,
    to: 9,
    trouble: [],
    sort: 'minutes',
    order: 'asc',
  });
});

it('each kind of trouble is switched on and off', () => {
  expect(switchTrouble(undefined, 'call')).toBe('call');
  expect(switchTrouble('call', 'lost')).toBe('lost,call');
  expect(switchTrouble('lost,call', 'call')).toBe('lost');
  expect(switchTrouble('lost', 'lost')).toBeUndefined();
  expect(troublesOf('')).toEqual([]);
});

it('trouble has words, and none without trouble', () => {
  const words = (one: Session) => troubleWords(one).map((trouble) => trouble.words);
  expect(words(session)).toEqual(['1 lost', 'recording failed', '2 calls failed', 'agent failed']);
  expect(words({ ...session, recordingOutcome: 'partial', failedCalls: 1, failedAgents: 3 })).toEqual([
    '1 lost',
    'partly recorded',
    'call failed',
    '3 agents failed',
  ]);
  expect(words({ ...session, lostConnections: 0, failedRecordings: 0, failedCalls: 0, failedAgents: 0 })).toEqual([]);
});
