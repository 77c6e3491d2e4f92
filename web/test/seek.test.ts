import { expect, test } from 'vitest';
import { cursorAt } from '@/events/seek';
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
