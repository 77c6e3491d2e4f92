import type { Message } from '@roomwatch/react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { EventTail } from '@/lib/event-tail';
import { FakeLog } from './log';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const settle = () => vi.advanceTimersByTimeAsync(300);
const seqs = (rows: Message[] | null) => rows?.map(({ cursor }) => Number(cursor.split('-')[1])) ?? [];

async function tailOf(log: FakeLog, more: Partial<ConstructorParameters<typeof EventTail>[0]> = {}) {
  const tail = new EventTail({ client: log.client, connection: log.connection, filter: {}, ...more });
  tail.start();
  await settle();
  return tail;
}

/** Newest first, every one once, none missing. */
function expectUnbroken(rows: Message[] | null) {
  const all = seqs(rows);
  expect(all).toEqual(all.map((_, i) => (all[0] ?? 0) - i));
}

test('follows the stream from the newest page on, without a hole or a twin at the seam', async () => {
  const log = new FakeLog();
  log.append(10);
  const tail = new EventTail({ client: log.client, connection: log.connection, filter: {} });
  tail.start();
  // Comes by the stream while the page is under way, and stands in the page too.
  log.append(5);
  await settle();
  log.append(5);
  await settle();
  expect(tail.getState().rows).toHaveLength(20);
  expectUnbroken(tail.getState().rows);
  expect(tail.getState().waiting).toBe(0);
});

test('paused it stands still and counts; resumed it shows what waited', async () => {
  const log = new FakeLog();
  log.append(3);
  const tail = await tailOf(log);
  tail.pause();
  const before = tail.getState().rows;
  log.append(37);
  await settle();
  expect(tail.getState().waiting).toBe(37);
  expect(tail.getState().rows).toBe(before);
  tail.follow();
  expect(tail.getState().waiting).toBe(0);
  expect(tail.getState().rows).toHaveLength(40);
  expectUnbroken(tail.getState().rows);
});

test('paused for long, only the newest are kept, the count is true, and the rest is read back from the log', async () => {
  const log = new FakeLog();
  log.append(3);
  const tail = await tailOf(log);
  tail.pause();
  log.append(9_000);
  await settle();
  expect(tail.getState().waiting).toBe(9_000);
  tail.follow();
  expect(seqs(tail.getState().rows)[0]).toBe(9_003);
  expect(tail.getState().older).toBe('more');
  await tail.loadOlder();
  expectUnbroken(tail.getState().rows);
});

test('followed for long, the list does not grow without end, and what fell off can be read back', async () => {
  const log = new FakeLog();
  const tail = await tailOf(log);
  for (let i = 0; i < 10; i++) {
    log.append(500);
    await settle();
  }
  expect(tail.getState().rows).toHaveLength(2_000);
  tail.pause();
  await tail.loadOlder();
  expect(tail.getState().rows).toHaveLength(2_200);
  expectUnbroken(tail.getState().rows);
});

test('pages go back to the oldest event that is kept', async () => {
  const log = new FakeLog();
  log.append(450);
  log.first = 11;
  const tail = await tailOf(log);
  expect(tail.getState().older).toBe('more');
  await tail.loadOlder();
  await tail.loadOlder();
  expect(tail.getState().older).toBe('end');
  expect(seqs(tail.getState().rows).at(-1)).toBe(11);
  expectUnbroken(tail.getState().rows);
});

test('filters hold for pages and for the stream', async () => {
  const log = new FakeLog();
  log.append(100, (seq) => ({ room: seq % 2 ? 'a' : 'b', type: seq % 3 ? 'track_muted' : 'room_started' }));
  const tail = await tailOf(log, { filter: { room: 'a', type: ['track_*'] } });
  const shown = tail.getState().rows?.length ?? 0;
  log.append(6, (seq) => ({ room: seq % 2 ? 'a' : 'b', type: 'track_muted' }));
  await settle();
  expect(tail.getState().rows).toHaveLength(shown + 3);
  expect(tail.getState().rows?.every((row) => row.room === 'a' && row.type === 'track_muted')).toBe(true);
});

test('a rare filter is searched for through pages without a match', async () => {
  const log = new FakeLog();
  log.scanMax = 100;
  log.append(1, () => ({ type: 'egress_ended' }));
  log.append(700);
  const tail = await tailOf(log, { filter: { type: ['egress_*'] } });
  expect(seqs(tail.getState().rows)).toEqual([1]);
});

test('after many pages without a match the user is asked, with the number that was looked at', async () => {
  const log = new FakeLog();
  log.scanMax = 100;
  log.append(5_000);
  const tail = await tailOf(log, { filter: { type: ['egress_*'] } });
  expect(tail.getState().rows).toEqual([]);
  expect(tail.getState().older).toBe('more');
  expect(tail.getState().scanned).toBe(1_000);
  await tail.loadOlder();
  expect(tail.getState().scanned).toBe(2_000);
});

test('standing at a cursor, the event is there among its neighbours, and one reads on both ways', async () => {
  const log = new FakeLog();
  log.append(1_000);
  const tail = await tailOf(log, { at: log.cursor(500) });
  expect(seqs(tail.getState().rows)[0]).toBe(525);
  expect(seqs(tail.getState().rows)).toContain(500);
  expect(tail.getState().following).toBe(false);
  await tail.loadNewer();
  await tail.loadOlder();
  expectUnbroken(tail.getState().rows);
  expect(seqs(tail.getState().rows)[0]).toBe(725);
  while (tail.getState().newer === 'more') await tail.loadNewer();
  expect(seqs(tail.getState().rows)[0]).toBe(1_000);

  // What comes meanwhile waits, and can be read too.
  log.append(7);
  await settle();
  expect(tail.getState().waiting).toBe(7);
  await tail.loadNewer();
  expect(tail.getState().waiting).toBe(0);
  expectUnbroken(tail.getState().rows);
});

test.each([1, 1_000])('standing at an end of the log (%i) works', async (seq) => {
  const log = new FakeLog();
  log.append(1_000);
  const tail = await tailOf(log, { at: log.cursor(seq) });
  expect(seqs(tail.getState().rows)).toContain(seq);
  expectUnbroken(tail.getState().rows);
});

test('a reset fetches the page again', async () => {
  const log = new FakeLog();
  log.append(5);
  const tail = await tailOf(log);
  log.events.length = 0;
  log.append(2, () => ({ room: 'restored' }));
  log.say({ type: 'connected', cursor: log.cursor(2), resumed: false, reset: 'unknown_epoch' });
  await settle();
  expect(tail.getState().rows?.map((row) => row.room)).toEqual(['restored', 'restored']);
});

test('what happened between the first page and the beginning of the stream is not missing', async () => {
  const log = new FakeLog();
  log.append(10);
  log.streaming = false;
  const tail = await tailOf(log);
  // The page stands, the stream is still being opened.
  log.append(3);
  log.open();
  log.append(2);
  await settle();
  expect(seqs(tail.getState().rows)[0]).toBe(15);
  expectUnbroken(tail.getState().rows);
});

test('the stream begins while the first page is under way: what lies between is asked for again', async () => {
  const log = new FakeLog();
  log.append(10);
  log.streaming = false;
  const answer = log.hold();
  const tail = new EventTail({ client: log.client, connection: log.connection, filter: {} });
  tail.start();
  await settle();
  // The answer was made from ten events; it is on its way while two more happen and the stream begins.
  log.append(2);
  log.open();
  answer();
  await settle();
  expect(seqs(tail.getState().rows)[0]).toBe(12);
  expectUnbroken(tail.getState().rows);
});

test('an event that comes while a page is under way and is not in it needs no other one to be shown', async () => {
  const log = new FakeLog();
  log.append(10);
  const answer = log.hold();
  const tail = new EventTail({ client: log.client, connection: log.connection, filter: {} });
  tail.start();
  log.append(1);
  await settle();
  answer();
  await settle();
  expect(seqs(tail.getState().rows)[0]).toBe(11);
  expectUnbroken(tail.getState().rows);
});

test('a stream that goes on where it was makes no page be asked for', async () => {
  const log = new FakeLog();
  log.append(10);
  await tailOf(log);
  const before = log.requests;
  log.say({ type: 'connected', cursor: log.cursor(10), resumed: true });
  log.say({ type: 'connected', cursor: log.cursor(10), resumed: false });
  await settle();
  expect(log.requests).toBe(before);
});

test('paused, nobody is disturbed by a hole: it is said that more waits than was counted, and following fills it', async () => {
  const log = new FakeLog();
  log.append(10);
  const tail = await tailOf(log);
  tail.pause();
  const before = tail.getState().rows;
  log.streaming = false;
  log.append(5);
  log.open('missed');
  log.append(2);
  await settle();
  expect(tail.getState()).toMatchObject({ waiting: 2, uncounted: true });
  expect(tail.getState().rows).toBe(before);
  tail.follow();
  await settle();
  expect(tail.getState()).toMatchObject({ waiting: 0, uncounted: false });
  expect(seqs(tail.getState().rows)[0]).toBe(17);
  expectUnbroken(tail.getState().rows);
});

test('standing at a cursor, what came before the stream began can be read too', async () => {
  const log = new FakeLog();
  log.append(10);
  log.streaming = false;
  const tail = await tailOf(log, { at: log.cursor(5) });
  expect(tail.getState().newer).toBe('end');
  log.append(3);
  log.open();
  await settle();
  expect(tail.getState().newer).toBe('more');
  await tail.loadNewer();
  expect(seqs(tail.getState().rows)[0]).toBe(13);
  expectUnbroken(tail.getState().rows);
});

test('an older page that comes after the list was made anew is not put below it', async () => {
  const log = new FakeLog();
  log.append(1_000);
  const tail = await tailOf(log);
  const answer = log.hold();
  const older = tail.loadOlder();
  log.streaming = false;
  log.append(3_000);
  log.open('missed');
  await settle();
  answer();
  await older;
  expectUnbroken(tail.getState().rows);
  await tail.loadOlder();
  expectUnbroken(tail.getState().rows);
  expect(tail.getState().rows).toHaveLength(400);
});

test('a failure is told, and trying again helps', async () => {
  const log = new FakeLog();
  log.append(300);
  log.fail = new Error('no answer');
  const tail = await tailOf(log);
  expect(tail.getState().error).toBe(log.fail);
  log.fail = null;
  await tail.load();
  expect(tail.getState().error).toBeNull();
  log.fail = new Error('gone again');
  await tail.loadOlder();
  expect(tail.getState().older).toEqual({ error: log.fail });
  log.fail = null;
  await tail.loadOlder();
  expectUnbroken(tail.getState().rows);
});

test('stopped, nothing more is heard', async () => {
  const log = new FakeLog();
  const tail = new EventTail({ client: log.client, connection: log.connection, filter: {} });
  const stop = tail.start();
  await settle();
  stop();
  log.append(5);
  await settle();
  expect(tail.getState().rows).toEqual([]);
});
