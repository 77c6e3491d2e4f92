import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { EventList, type EventListOptions, type Message, seqOf } from '../src/index';
import { FakeLog } from './log';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const settle = () => vi.advanceTimersByTimeAsync(300);
const seqs = (events: Message[] | null) => events?.map(({ cursor }) => seqOf(cursor)) ?? [];

async function listOf(log: FakeLog, more: Partial<EventListOptions> = {}) {
  const list = new EventList({ client: log.client, connection: log.connection, ...more });
  list.start();
  await settle();
  return list;
}

/** Expects newest first, without a hole or a duplicate. */
function expectUnbroken(events: Message[] | null) {
  const all = seqs(events);
  expect(all).toEqual(all.map((_, i) => (all[0] ?? 0) - i));
}

test('follows the stream from the newest page on, without a hole or a duplicate', async () => {
  const log = new FakeLog();
  log.append(10);
  const list = new EventList({ client: log.client, connection: log.connection });
  list.start();
  // Arrives by the stream while the page is pending, and is in the page too.
  log.append(5);
  await settle();
  log.append(5);
  await settle();
  expect(list.getState().events).toHaveLength(20);
  expectUnbroken(list.getState().events);
  expect(list.getState().waiting).toBe(0);
});

test('paused it counts new events; resumed it shows them', async () => {
  const log = new FakeLog();
  log.append(3);
  const list = await listOf(log);
  list.pause();
  const before = list.getState().events;
  log.append(37);
  await settle();
  expect(list.getState().waiting).toBe(37);
  expect(list.getState().events).toBe(before);
  list.follow();
  expect(list.getState().waiting).toBe(0);
  expect(list.getState().events).toHaveLength(40);
  expectUnbroken(list.getState().events);
});

test('after a long pause only the newest are kept, the count is right, and the rest can be loaded', async () => {
  const log = new FakeLog();
  log.append(3);
  const list = await listOf(log);
  list.pause();
  log.append(9_000);
  await settle();
  expect(list.getState().waiting).toBe(9_000);
  list.follow();
  expect(seqs(list.getState().events)[0]).toBe(9_003);
  expect(list.getState().older).toBe('more');
  await list.loadOlder();
  expectUnbroken(list.getState().events);
});

test('a followed list has a limit, and dropped events can be loaded again', async () => {
  const log = new FakeLog();
  const list = await listOf(log);
  for (let i = 0; i < 10; i++) {
    log.append(500);
    await settle();
  }
  expect(list.getState().events).toHaveLength(2_000);
  list.pause();
  await list.loadOlder();
  expect(list.getState().events).toHaveLength(2_200);
  expectUnbroken(list.getState().events);
});

test('pages go back to the oldest event', async () => {
  const log = new FakeLog();
  log.append(450);
  log.first = 11;
  const list = await listOf(log);
  expect(list.getState().older).toBe('more');
  await list.loadOlder();
  await list.loadOlder();
  expect(list.getState().older).toBe('end');
  expect(seqs(list.getState().events).at(-1)).toBe(11);
  expectUnbroken(list.getState().events);
});

test('filters apply to pages and to the stream', async () => {
  const log = new FakeLog();
  log.append(100, (seq) => ({ room: seq % 2 ? 'a' : 'b', type: seq % 3 ? 'track_muted' : 'room_started' }));
  const list = await listOf(log, { filter: { room: 'a', type: ['track_*'] } });
  const shown = list.getState().events?.length ?? 0;
  log.append(6, (seq) => ({ room: seq % 2 ? 'a' : 'b', type: 'track_muted' }));
  await settle();
  expect(list.getState().events).toHaveLength(shown + 3);
  expect(list.getState().events?.every((event) => event.room === 'a' && event.type === 'track_muted')).toBe(true);
});

test('pages without a match are skipped for a rare filter', async () => {
  const log = new FakeLog();
  log.scanMax = 100;
  log.append(1, () => ({ type: 'egress_ended' }));
  log.append(700);
  const list = await listOf(log, { filter: { type: ['egress_*'] } });
  expect(seqs(list.getState().events)).toEqual([1]);
});

test('after many pages without a match the search stops, with the number of searched events', async () => {
  const log = new FakeLog();
  log.scanMax = 100;
  log.append(5_000);
  const list = await listOf(log, { filter: { type: ['egress_*'] } });
  expect(list.getState().events).toEqual([]);
  expect(list.getState().older).toBe('more');
  expect(list.getState().scanned).toBe(1_000);
  await list.loadOlder();
  expect(list.getState().scanned).toBe(2_000);
});

test('a list at a cursor has the event with its neighbours, and loads both ways', async () => {
  const log = new FakeLog();
  log.append(1_000);
  const list = await listOf(log, { at: log.cursor(500) });
  expect(seqs(list.getState().events)[0]).toBe(525);
  expect(seqs(list.getState().events)).toContain(500);
  expect(list.getState().following).toBe(false);
  await list.loadNewer();
  await list.loadOlder();
  expectUnbroken(list.getState().events);
  expect(seqs(list.getState().events)[0]).toBe(725);
  while (list.getState().newer === 'more') await list.loadNewer();
  expect(seqs(list.getState().events)[0]).toBe(1_000);

  // Events that arrive meanwhile wait, and can be loaded too.
  log.append(7);
  await settle();
  expect(list.getState().waiting).toBe(7);
  await list.loadNewer();
  expect(list.getState().waiting).toBe(0);
  expectUnbroken(list.getState().events);
});

test.each([1, 1_000])('a list at an end of the log works (%i)', async (seq) => {
  const log = new FakeLog();
  log.append(1_000);
  const list = await listOf(log, { at: log.cursor(seq) });
  expect(seqs(list.getState().events)).toContain(seq);
  expectUnbroken(list.getState().events);
});

test('a reset fetches the page again', async () => {
  const log = new FakeLog();
  log.append(5);
  const list = await listOf(log);
  log.events.length = 0;
  log.append(2, () => ({ room: 'restored' }));
  log.say({ type: 'connected', cursor: log.cursor(2), resumed: false, reset: 'unknown_epoch' });
  await settle();
  expect(list.getState().events?.map((event) => event.room)).toEqual(['restored', 'restored']);
});

test('events between the first page and the start of the stream are not missing', async () => {
  const log = new FakeLog();
  log.append(10);
  log.streaming = false;
  const list = await listOf(log);
  // The page is there, the stream is still opening.
  log.append(3);
  log.open();
  log.append(2);
  await settle();
  expect(seqs(list.getState().events)[0]).toBe(15);
  expectUnbroken(list.getState().events);
});

test('if the stream starts while the first page is pending, the page is fetched again', async () => {
  const log = new FakeLog();
  log.append(10);
  log.streaming = false;
  const answer = log.hold();
  const list = new EventList({ client: log.client, connection: log.connection });
  list.start();
  await settle();
  // The answer has ten events. While it is pending, two more happen and the stream starts.
  log.append(2);
  log.open();
  answer();
  await settle();
  expect(seqs(list.getState().events)[0]).toBe(12);
  expectUnbroken(list.getState().events);
});

test('an event that arrives while a page is pending is shown without another event', async () => {
  const log = new FakeLog();
  log.append(10);
  const answer = log.hold();
  const list = new EventList({ client: log.client, connection: log.connection });
  list.start();
  log.append(1);
  await settle();
  answer();
  await settle();
  expect(seqs(list.getState().events)[0]).toBe(11);
  expectUnbroken(list.getState().events);
});

test('a stream that resumes causes no request', async () => {
  const log = new FakeLog();
  log.append(10);
  await listOf(log);
  const before = log.requests;
  log.say({ type: 'connected', cursor: log.cursor(10), resumed: true });
  log.say({ type: 'connected', cursor: log.cursor(10), resumed: false });
  await settle();
  expect(log.requests).toBe(before);
});

test('a paused list stays after a reset and sets uncounted; following fetches the missing events', async () => {
  const log = new FakeLog();
  log.append(10);
  const list = await listOf(log);
  list.pause();
  const before = list.getState().events;
  log.streaming = false;
  log.append(5);
  log.open('missed');
  log.append(2);
  await settle();
  expect(list.getState()).toMatchObject({ waiting: 2, uncounted: true });
  expect(list.getState().events).toBe(before);
  list.follow();
  await settle();
  expect(list.getState()).toMatchObject({ waiting: 0, uncounted: false });
  expect(seqs(list.getState().events)[0]).toBe(17);
  expectUnbroken(list.getState().events);
});

test('a list at a cursor can load the events before the start of the stream', async () => {
  const log = new FakeLog();
  log.append(10);
  log.streaming = false;
  const list = await listOf(log, { at: log.cursor(5) });
  expect(list.getState().newer).toBe('end');
  log.append(3);
  log.open();
  await settle();
  expect(list.getState().newer).toBe('more');
  await list.loadNewer();
  expect(seqs(list.getState().events)[0]).toBe(13);
  expectUnbroken(list.getState().events);
});

test('a late older page is not added to a list that was replaced', async () => {
  const log = new FakeLog();
  log.append(1_000);
  const list = await listOf(log);
  const answer = log.hold();
  const older = list.loadOlder();
  log.streaming = false;
  log.append(3_000);
  log.open('missed');
  await settle();
  answer();
  await older;
  expectUnbroken(list.getState().events);
  await list.loadOlder();
  expectUnbroken(list.getState().events);
  expect(list.getState().events).toHaveLength(400);
});

test('a failure is reported, and loading again helps', async () => {
  const log = new FakeLog();
  log.append(300);
  log.fail = new Error('no answer');
  const list = await listOf(log);
  expect(list.getState().error).toBe(log.fail);
  log.fail = null;
  await list.load();
  expect(list.getState().error).toBeNull();
  log.fail = new Error('gone again');
  await list.loadOlder();
  expect(list.getState().older).toEqual({ error: log.fail });
  log.fail = null;
  await list.loadOlder();
  expectUnbroken(list.getState().events);
});

test('a stopped list hears nothing', async () => {
  const log = new FakeLog();
  const list = new EventList({ client: log.client, connection: log.connection });
  const stop = list.start();
  await settle();
  stop();
  log.append(5);
  await settle();
  expect(list.getState().events).toEqual([]);
});

test('an event that the list knows already is not counted', async () => {
  const log = new FakeLog();
  log.append(3);
  const list = await listOf(log);
  list.pause();
  for (const event of log.events) log.say(event);
  await settle();
  expect(list.getState().waiting).toBe(0);
});

test('a first page that failed is fetched again when the stream starts', async () => {
  const log = new FakeLog();
  log.append(3);
  log.fail = new Error('no answer');
  const list = await listOf(log);
  log.fail = null;
  log.open();
  await settle();
  expect(list.getState().error).toBeNull();
  expect(seqs(list.getState().events)).toEqual([3, 2, 1]);
});

test('each page is passed on before it is shown, in log order', async () => {
  const log = new FakeLog();
  log.append(25);
  const pages: [string, number[]][] = [];
  const list = await listOf(log, {
    at: log.cursor(20),
    limit: 4,
    onPage: (events, place) => pages.push([place, events.map(({ cursor }) => seqOf(cursor))]),
  });
  await list.loadOlder();
  log.append(2);
  await list.loadNewer();
  expect(pages).toEqual([
    ['first', [16, 17, 18, 19, 20, 21, 22, 23, 24, 25]],
    ['older', [12, 13, 14, 15]],
    ['newer', [26, 27]],
  ]);
});

describe('poll', () => {
  test('fetches the newest page, and keeps the list if that fails', async () => {
    const log = new FakeLog();
    log.append(5);
    const list = await listOf(log);
    log.streaming = false;
    log.append(3);
    log.fail = new Error('down');
    await list.poll();
    expect(list.getState()).toMatchObject({ error: null, older: 'end' });
    expect(seqs(list.getState().events)[0]).toBe(5);
    log.fail = null;
    await list.poll();
    expect(seqs(list.getState().events)[0]).toBe(8);
    expectUnbroken(list.getState().events);
  });

  test('leaves a paused list alone', async () => {
    const log = new FakeLog();
    log.append(5);
    const list = await listOf(log);
    list.pause();
    const { requests } = log;
    await list.poll();
    expect(log.requests).toBe(requests);
  });
});

describe('a short list', () => {
  test('has the newest first, and no more than asked', async () => {
    const log = new FakeLog();
    log.append(2);
    const list = await listOf(log, { limit: 3, max: 3 });
    log.append(2);
    await settle();
    expect(seqs(list.getState().events)).toEqual([4, 3, 2]);
  });

  test('has no duplicate where the page and the stream overlap', async () => {
    const log = new FakeLog();
    log.append(3);
    const list = await listOf(log, { limit: 9, max: 9 });
    for (const event of log.events.slice(1)) log.say(event);
    log.append(1);
    await settle();
    expect(seqs(list.getState().events)).toEqual([4, 3, 2, 1]);
  });

  test('orders by number and not by text: 10 comes after 9', async () => {
    const log = new FakeLog();
    log.append(9);
    const list = await listOf(log, { limit: 1, max: 9 });
    log.append(1);
    await settle();
    expect(seqs(list.getState().events)).toEqual([10, 9]);
  });

  test('puts a late page below the events of the stream', async () => {
    const log = new FakeLog();
    log.append(6);
    const answer = log.hold();
    const list = await listOf(log, { limit: 2, max: 9 });
    log.append(1);
    await settle();
    answer();
    await settle();
    expect(seqs(list.getState().events)).toEqual([7, 6, 5]);
  });

  test('starts anew in a new epoch', async () => {
    const log = new FakeLog();
    log.append(900);
    const list = await listOf(log, { limit: 9, max: 9 });
    log.epoch = 'bbbbbbbb';
    log.events.length = 0;
    log.streaming = false;
    log.append(1);
    log.open('unknown_epoch');
    await settle();
    expect(list.getState().events?.map(({ cursor }) => cursor)).toEqual(['bbbbbbbb-1']);
  });
});
