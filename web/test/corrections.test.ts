import type { Message, Participation } from '@roomwatch/react';
import { expect, it } from 'vitest';
import { correctionsOf } from '@/past/corrections';

const T = 1_796_000_000_000;
const stay = (sid: string, joinedAt: number, more: Partial<Participation> = {}): Participation => ({
  sid,
  identity: sid,
  name: '',
  kind: 'standard',
  hidden: false,
  watcher: false,
  source: 'webhook',
  joinedAt,
  leftAt: null,
  leftNotBefore: null,
  disconnectReason: null,
  removedBy: null,
  ...more,
});
const event = (type: string, sid: string, timestamp: number): Message => ({
  type,
  data: { event: type, participant: { sid } },
  timestamp,
  cursor: `7f3a9c21-${timestamp}`,
  project: 'default',
  room: 'standup',
  source: 'webhook',
});

it('says who was there, had left or may have left, according to later news', () => {
  const today = [
    stay('known', T - 60_000),
    stay('late', T - 60_000),
    stay('silent', T - 60_000, { leftAt: T + 60_000 }),
    stay('after', T + 60_000),
    stay('before', T - 60_000, { leftAt: T - 30_000 }),
    stay('gone', T - 60_000, { leftAt: T - 30_000 }),
    stay('perhaps', T - 60_000, { leftNotBefore: T - 30_000, leftAt: T + 30_000 }),
    // A difference of a second comes from the clocks, and is not shown as a correction.
    stay('second', T - 1_000),
    stay('leaving', T - 60_000, { leftAt: T - 1_000 }),
  ];
  const known = new Set(['known', 'gone', 'perhaps', 'leaving']);
  const next = [event('participant_joined', 'late', T + 120_000), event('participant_left', 'gone', T + 90_000)];
  expect(correctionsOf(today, known, T, next)).toEqual([
    { sid: 'late', name: 'late', kind: 'was there', happened: T - 60_000, learned: T + 120_000 },
    { sid: 'silent', name: 'silent', kind: 'was there', happened: T - 60_000, learned: null },
    { sid: 'gone', name: 'gone', kind: 'had left', happened: T - 30_000, learned: T + 90_000 },
    { sid: 'perhaps', name: 'perhaps', kind: 'may have left', happened: T - 30_000, learned: null },
  ]);
});
