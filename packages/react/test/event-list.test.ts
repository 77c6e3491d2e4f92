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

/** Newest first, every one once, none missing. */
function expectUnbroken(events: Message[] | null) {
  const all = seqs(events);
  expect(all).toEqual(all.map((_, i) => (all[0] ?? 0) - i));
}

test('follows the stream from the newest page on, without a hole or a twin at the seam', async () => {
  const log = new FakeLog();
  log.append(10);
  const list = new EventList({ client: log.client, connection: log.connection });
  list.start();
  // Comes by the stream while the page is under way, and stands in the page too.
  log.append(5);
  await settle();
  log.append(5);
  await settle();
  expect(list.getState().events).toHaveLength(20);
  expectUnbroken(list.getState().events);
  expect(list.getState().waiting).toBe(0);
});

test('paused it stands still and counts; resumed it shows what waited', async () => {
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

test('paused for long, only the newest are kept, the count is true, and the rest is read back from the log', async () => {
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

test('followed for long, the list does not grow without end, and what fell off can be read back', async () => {
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

test('pages go back to the oldest event that is kept', async () => {
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

test('filters hold for pages and for the stream', async () => {
  const log = new FakeLog();
  log.append(100, (seq) => ({ room: seq % 2 ? 'a' : 'b', type: seq % 3 ? 'track_muted' : 'room_started' }));
  const list = await listOf(log, { filter: { room: 'a', type: ['track_*'] } });
  const shown = list.getState().events?.length ?? 0;
  log.append(6, (seq) => ({ room: seq % 2 ? 'a' : 'b', type: 'track_muted' }));
  await settle();
  expect(list.getState().events).toHaveLength(shown + 3);
  expect(list.getState().events?.every((event) => event.room === 'a' && event.type === 'track_muted')).toBe(true);
});

test('a rare filter is searched for through pages without a match', async () => {
  const log = new FakeLog();
  log.scanMax = 100;
  log.append(1, () => ({ type: 'egress_ended' }));
  log.append(700);
  const list = await listOf(log, { filter: { type: ['egress_*'] } });
  expect(seqs(list.getState().events)).toEqual([1]);
});

test('after many pages without a match the user is asked, with the number that was looked at', async () => {
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

test('standing at a cursor, the event is there among its neighbours, and one reads on both ways', async () => {
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

  // What comes meanwhile waits, and can be read too.
  log.append(7);
  await settle();
  expect(list.getState().waiting).toBe(7);
  await list.loadNewer();
  expect(list.getState().waiting).toBe(0);
  expectUnbroken(list.getState().events);
});

test.each([1, 1_000])('standing at an end of the log (%i) works', async (seq) => {
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

test('what happened between the first page and the beginning of the stream is not missing', async () => {
  const log = new FakeLog();
  log.append(10);
  log.streaming = false;
  const list = await listOf(log);
  // The page stands, the stream is still being opened.
  log.append(3);
  log.open();
  log.append(2);
  await settle();
  expect(seqs(list.getState().events)[0]).toBe(15);
  expectUnbroken(list.getState().events);
});

test('the stream begins while the first page is under way: what lies between is asked for again', async () => {
  const log = new FakeLog();
  log.append(10);
  log.streaming = false;
  const answer = log.hold();
  const list = new EventList({ client: log.client, connection: log.connection });
  list.start();
  await settle();
  // The answer was made from ten events; it is on its way while two more happen and the stream begins.
  log.append(2);
  log.open();
  answer();
  await settle();
  expect(seqs(list.getState().events)[0]).toBe(12);
  expectUnbroken(list.getState().events);
});

test('an event that comes while a page is under way and is not in it needs no other one to be shown', async () => {
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

test('a stream that goes on where it was makes no page be asked for', async () => {
  const log = new FakeLog();
  log.append(10);
  await listOf(log);
  const before = log.requests;
  log.say({ type: 'connected', cursor: log.cursor(10), resumed: true });
  log.say({ type: 'connected', cursor: log.cursor(10), resumed: false });
  await settle();
  expect(log.requests).toBe(before);
});

test('paused, nobody is disturbed by a hole: it is said that more waits than was counted, and following fills it', async () => {
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

test('standing at a cursor, what came before the stream began can be read too', async () => {
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

test('an older page that comes after the list was made anew is not put below it', async () => {
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

test('a failure is told, and trying again helps', async () => {
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

test('stopped, nothing more is heard', async () => {
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
