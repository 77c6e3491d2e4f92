import { expect, test } from 'vitest';
import { cursorAt, cursorOfEvent } from '@/events/seek';
import { FakeLog } from '../../packages/react/test/log';

test.each([
  [1, 1],
  [1_000, 1],
  [1_001, 2],
  [500_000, 500],
  [999_999, 1_000],
  [1_000_000, 1_000],
])('the first event at %i ms or later is %i', async (millis, seq) => {
  const log = new FakeLog();
  log.append(1_000);
  expect(await cursorAt(log.client, millis)).toBe(log.cursor(seq));
  expect(log.requests).toBeLessThan(14);
});

test('a time after the newest event finds the newest; an empty log has none', async () => {
  const log = new FakeLog();
  expect(await cursorAt(log.client, 5)).toBeNull();
  log.append(3);
  expect(await cursorAt(log.client, 99_000)).toBe(log.cursor(3));
});

test('events before the retention are not requested', async () => {
  const log = new FakeLog();
  log.append(100);
  log.first = 40;
  expect(await cursorAt(log.client, 1_000)).toBe(log.cursor(40));
});

test('the event of a time is the one about the participant, also if it arrived before that time', async () => {
  const log = new FakeLog();
  // One event a second. Event 10 is the leave; LiveKit's clock is ahead of its arrival by 74 ms.
  log.append(100, (seq) => ({
    data: { event: 'participant_left', participant: { sid: seq === 10 ? 'PA_1' : `PA_other_${seq}` } },
    type: 'participant_left',
  }));
  expect(await cursorOfEvent(log.client, { at: 10_074, sid: 'PA_1' })).toBe(log.cursor(10));
  // A webhook that was late by 20 s.
  expect(await cursorOfEvent(log.client, { at: 60_000, sid: 'PA_other_80' })).toBe(log.cursor(80));
  // Without a participant it is the nearest one.
  expect(await cursorOfEvent(log.client, { at: 10_074 })).toBe(log.cursor(10));
  expect(await cursorOfEvent(log.client, { at: 10_600 })).toBe(log.cursor(11));
});

test('the event of a time far from every event is the next one of the room', async () => {
  const log = new FakeLog();
  log.append(3);
  log.append(1, () => ({ timestamp: 90_000, room: 'other' }));
  log.append(1, () => ({ timestamp: 100_000 }));
  expect(await cursorOfEvent(log.client, { at: 50_000, room: 'standup' })).toBe(log.cursor(5));
  expect(await cursorOfEvent(log.client, { at: 200_000, room: 'standup' })).toBe(log.cursor(5));
});
