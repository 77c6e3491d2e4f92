import type { Message } from '@roomwatch/react';
import { describe, expect, it } from 'vitest';
import { lateOf } from '@/past/late';
import { following, rangeOf, zoomed } from '@/past/range';

const NOW = 1_796_034_030_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

describe('the range', () => {
  it('of an address stays relative: it ends now', () => {
    expect(rangeOf('24h', NOW - HOUR, NOW)).toEqual({ from: NOW + 30_000 - 24 * HOUR, to: NOW + 30_000 });
    expect(rangeOf('24h', NOW - HOUR, NOW + HOUR).to).toBe(NOW + 30_000 + HOUR);
  });
  it('is the last hour for a moment in it, and else an hour around the moment', () => {
    expect(rangeOf(undefined, NOW - MINUTE, NOW)).toEqual({ from: NOW + 30_000 - HOUR, to: NOW + 30_000 });
    expect(rangeOf(undefined, NOW - 5 * HOUR, NOW)).toEqual({ from: NOW - 5.5 * HOUR, to: NOW - 4.5 * HOUR });
  });
  it('of nonsense is the one without', () => {
    for (const text of ['7y', '5-1', '1-1', '-', '1-2-3', `0-${NOW}`, 'NaN-NaN']) {
      expect(rangeOf(text, NOW - MINUTE, NOW), text).toEqual(rangeOf(undefined, NOW - MINUTE, NOW));
    }
  });
  it('zooms around a time, which keeps its place', () => {
    const near = zoomed({ from: 0, to: 100 * MINUTE }, 0.5, 20 * MINUTE);
    expect(near).toEqual({ from: 10 * MINUTE, to: 60 * MINUTE });
    expect(zoomed(near, 2, 20 * MINUTE)).toEqual({ from: 0, to: 100 * MINUTE });
    expect(zoomed(near, 0.001, 20 * MINUTE)).toEqual({ from: 19.6 * MINUTE, to: 21.6 * MINUTE });
    expect(zoomed(near, 1e9, 20 * MINUTE)).toEqual({ from: 20 * MINUTE - 144 * HOUR, to: 20 * MINUTE + 576 * HOUR });
  });
  it('follows a moment that leaves it, with the same length', () => {
    expect(following({ from: 0, to: 100 }, 50)).toEqual({ from: 0, to: 100 });
    expect(following({ from: 0, to: 10 * MINUTE }, 11 * MINUTE)).toEqual({ from: 6 * MINUTE, to: 16 * MINUTE });
  });
});

describe('late events', () => {
  const event = (cursor: string, received: number, created: number | null, notBefore?: number): Message => ({
    type: 'participant_left',
    data: {
      event: 'participant_left',
      ...(created === null ? {} : { createdAt: String(created / 1_000) }),
      ...(notBefore === undefined ? {} : { roomwatch: { notBefore } }),
    },
    timestamp: received,
    cursor,
    project: 'default',
    room: 'standup',
    source: 'webhook',
  });
  const T = 1_796_000_000_000;

  it('are those with a delay, and with the time that they happened', () => {
    const late = lateOf([
      event('a', T + 300, T),
      event('b', T + 180_400, T + 2_000),
      event('c', T + 200_900, T + 200_000),
      event('d', T + 210_000, T + 209_000, T + 100_000),
      event('e', T + 220_000, null),
    ]);
    expect([...late]).toEqual([
      ['b', T + 2_300],
      ['d', T + 100_300],
    ]);
  });
  it('are not all events of a LiveKit whose clock is minutes off', () => {
    for (const skew of [-240_000, 240_000]) {
      const late = lateOf([
        event('a', T + skew, T),
        event('b', T + 1_000 + skew, T + 1_000),
        event('c', T + 60_000 + skew, T + 2_000),
      ]);
      expect([...late]).toEqual([['c', T + 2_000 + skew]]);
    }
  });
});
