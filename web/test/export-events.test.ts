import type { Message } from '@roomwatch/react';
import { expect, test } from 'vitest';
import { exportEvents } from '@/events/export-events';
import { FakeLog } from '../../packages/react/test/log';

const read = async (blob: Blob) =>
  (await blob.text())
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Message);

test('every event is one line, in ascending order, unchanged', async () => {
  const log = new FakeLog();
  log.append(2_500, (seq) => ({ data: { event: 'x', text: `line\nbreak ${seq}` } }));
  const { lines, events, next } = await exportEvents(log.client, {}, 'start');
  expect(events).toBe(2_500);
  expect(next).toBeNull();
  expect(await read(lines)).toEqual(log.events);
});

test('it starts after a cursor, keeps the filter, and reports its progress', async () => {
  const log = new FakeLog();
  log.append(3_000, (seq) => ({ room: seq % 2 ? 'a' : 'b' }));
  const progress: number[] = [];
  const { lines } = await exportEvents(log.client, { room: 'a' }, log.cursor(1_000), {
    onProgress: (_, part) => progress.push(part),
  });
  const found = await read(lines);
  expect(found).toHaveLength(1_000);
  expect(found[0]?.cursor).toBe(log.cursor(1_001));
  expect(progress.at(-1)).toBe(1);
  expect([...progress].sort((a, b) => a - b)).toEqual(progress);
});

test('events that arrive meanwhile are left out, so that a busy log has an end', async () => {
  const log = new FakeLog();
  log.append(1_500);
  const client = {
    events: (query: Parameters<typeof log.client.events>[0]) => {
      const page = log.client.events(query);
      log.append(1_200);
      return page;
    },
  };
  const { events } = await exportEvents(client, {}, 'start');
  expect(events).toBe(1_500);
});

test('at the limit it ends and returns the next cursor', async () => {
  const log = new FakeLog();
  log.append(500);
  const { events, next } = await exportEvents(log.client, {}, 'start', { max: 200 });
  expect(events).toBe(200);
  expect(next).toBe(log.cursor(200));
});

test('an empty log gives an empty file', async () => {
  const { events, lines } = await exportEvents(new FakeLog().client, {}, 'start');
  expect([events, lines.size]).toEqual([0, 0]);
});
