import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Message, RoomwatchError, replayRoom, replayRooms, seqOf } from '../src/index';
import { FakeLog } from './log';
import { gone, patch, person, room, set } from './server';

beforeEach(() => {
  vi.useFakeTimers({ now: 10_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

const settle = () => vi.advanceTimersByTimeAsync(1);

/** mulberry32: the same seed gives the same walk. */
function seeded(seed: number): (max: number) => number {
  let state = seed;
  return (max) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * max);
  };
}

/**
 * A log in which the number of people in `standup` is the number of the event, in `retro` of every third. Several events
 * have the same millisecond. The server cannot make the states between the two of `lost`: it answers with the nearest.
 */
function counting(events: number, lost: readonly [number, number] = [0, 0]) {
  const log = new FakeLog();
  const standup = room('standup');
  const retro = room('retro');
  log.append(events, (seq) => {
    const of = seq % 3 === 0 ? retro : standup;
    return {
      timestamp: 1_000_000 + Math.floor(seq / 2) * 1_000,
      room: of.name,
      changes: seq <= 3 ? [set({ ...of, participantCount: seq })] : [patch(of, { participantCount: seq })],
    };
  });
  const loads: (number | string)[] = [];
  const before = (at: number | string) =>
    typeof at === 'string' ? seqOf(at) : log.events.filter(({ timestamp }) => timestamp <= at).length;
  const rooms = async ({ at = 0 }: { at?: number | string } = {}) => {
    loads.push(at);
    const seq = before(at);
    if (typeof at === 'number' && seq === 0) throw new RoomwatchError('expired', 410, 'Too old.');
    const [below, above] = lost;
    const exact = seq <= below || seq >= above;
    const upTo = exact ? seq : seq - below <= above - seq ? below : above;
    const count = (of: typeof standup, turn: (n: number) => boolean) =>
      Array.from({ length: upTo }, (_, i) => i + 1)
        .filter(turn)
        .slice(-1)
        .map((last) => ({ ...of, participantCount: last }));
    const found = [...count(standup, (n) => n % 3 !== 0), ...count(retro, (n) => n % 3 === 0)];
    const last = log.events[upTo - 1];
    return { cursor: log.cursor(upTo), at: last?.timestamp ?? null, exact, livekit: [], rooms: found };
  };
  return { log, loads, client: { ...log.client, rooms, room: () => Promise.reject(new Error('not asked')) } };
}

/** The counts that a state after `seq` events has. */
const expected = (seq: number) => {
  const retro = seq - (seq % 3);
  const standup = seq % 3 === 0 ? seq - 1 : seq;
  return [...(standup > 0 ? [standup] : []), ...(retro > 0 ? [retro] : [])];
};

test('every step and every seek shows the state after exactly the events before the moment', async () => {
  const { log, client } = counting(3_000);
  const replay = replayRooms(client);
  const random = seeded(7);
  replay.seek(2_000_000);
  await settle();
  let seq = log.events.filter(({ timestamp }) => timestamp <= 2_000_000).length;
  const walk: string[] = [];
  for (let n = 0; n < 3_000; n++) {
    const dice = random(100);
    if (dice < 45) {
      replay.step(1);
      seq = Math.min(seq + 1, log.events.length);
    } else if (dice < 96) {
      replay.step(-1);
      seq = Math.max(seq - 1, 1);
    } else if (dice < 98) {
      const at = 1_001_000 + random(1_499_000);
      replay.seek(at);
      seq = log.events.filter(({ timestamp }) => timestamp <= at).length;
    } else {
      seq = 1 + random(3_000);
      replay.seek(log.cursor(seq));
    }
    walk.push(`${dice}:${seq}`);
    if (seq === 1) {
      seq = 500;
      replay.seek(log.cursor(500));
    }
    await settle();
    const { state, past, next, cursor, loading, error } = replay.getState();
    const at = walk.slice(-3).join(' ');
    expect(error, at).toBeNull();
    expect(loading, at).toBe(false);
    expect(
      state?.rooms.map(({ participantCount }) => participantCount),
      at,
    ).toEqual(expected(seq));
    expect(cursor, at).toBe(log.cursor(seq));
    // The events around the moment are there, without a hole.
    expect(past.at(-1)?.cursor, at).toBe(log.cursor(seq));
    if (seq < 3_000) expect(next[0]?.cursor, at).toBe(log.cursor(seq + 1));
    const all: Message[] = [...past, ...next];
    expect(
      all.map((one) => seqOf(one.cursor)),
      at,
    ).toEqual(all.map((_, i) => seqOf(all[0]?.cursor ?? '') + i));
    expect(all.length).toBeLessThan(4_500);
  }
});

test('a step near the moment asks the server for nothing', async () => {
  const { loads, client, log } = counting(3_000);
  const replay = replayRooms(client);
  replay.seek(log.cursor(1_500));
  await settle();
  const [asked, pages] = [loads.length, log.requests];
  for (let n = 0; n < 90; n++) replay.step(n < 45 ? -1 : 1);
  await settle();
  expect(replay.getState().cursor).toBe(log.cursor(1_500));
  expect([loads.length, log.requests]).toEqual([asked, pages]);
});

test.each([1, -1] as const)('steps by %i are taken although the events are still being loaded', async (by) => {
  const { client, log } = counting(1_000);
  const slow = async (...of: Parameters<typeof client.events>) => {
    await new Promise((done) => setTimeout(done, 50));
    return client.events(...of);
  };
  const replay = replayRooms({ ...client, events: slow });
  replay.seek(log.cursor(500));
  await settle();
  expect(replay.getState()).toMatchObject({ loading: false, past: [], next: [] });
  for (let n = 0; n < 3; n++) replay.step(by);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(replay.getState()).toMatchObject({ cursor: log.cursor(500 + 3 * by), error: null });
});

test('where the states are not kept, the nearest is shown with its own time, and there is nothing to step through', async () => {
  const { client, log } = counting(1_000, [200, 600]);
  const counts = () => replay.getState().state?.rooms.map(({ participantCount }) => participantCount);
  const replay = replayRooms(client);
  replay.seek(log.cursor(250));
  await settle();
  expect(replay.getState()).toMatchObject({ exact: false, at: 1_100_000, loading: false, error: null });
  expect(counts()).toEqual(expected(200));
  expect(replay.getState()).toMatchObject({ hasEarlier: false, hasLater: false, past: [], next: [] });
  replay.seek(1_250_500);
  await settle();
  expect(replay.getState()).toMatchObject({ exact: false, at: 1_300_000, moment: 1_250_500 });
  expect(counts()).toEqual(expected(600));
  // The state before the loaded events is not kept, but the one to which a step leads is.
  replay.seek(log.cursor(700));
  await settle();
  expect(replay.getState()).toMatchObject({ exact: true, cursor: log.cursor(700) });
  replay.step(-1);
  await settle();
  expect(replay.getState()).toMatchObject({ exact: true, cursor: log.cursor(699) });
  expect(counts()).toEqual(expected(699));
});

test('before the log it fails with the code of the server, and a later moment is shown again', async () => {
  const { client, log } = counting(50);
  const replay = replayRooms(client);
  replay.seek(5);
  await settle();
  expect(replay.getState()).toMatchObject({ state: undefined, error: { code: 'expired' } });
  replay.seek(log.cursor(20));
  await settle();
  expect(replay.getState()).toMatchObject({ error: null, cursor: log.cursor(20) });
  expect(replay.getState().state?.rooms).toHaveLength(2);
});

test('it plays on only over what is loaded, and at the end of the log over the silence', async () => {
  const { client, log } = counting(1_000);
  const replay = replayRooms(client);
  replay.seek(log.cursor(10));
  await settle();
  replay.advance(5_000_000);
  const { moment, past, next } = replay.getState();
  expect([past.length, next.length, moment]).toEqual([209, 0, log.events[208]?.timestamp]);
  await settle();
  expect(replay.getState().next.length).toBe(200);
  replay.seek(log.cursor(1_000));
  await settle();
  replay.advance(9_000_000);
  await settle();
  expect(replay.getState()).toMatchObject({ moment: 9_000_000, hasLater: false, cursor: log.cursor(1_000) });
});

test('a room that is not live at the moment is not an error, and appears with its start', async () => {
  const log = new FakeLog();
  const standup = room('standup');
  const ada = person(standup, 'ada');
  log.append(5, () => ({ room: 'other' }));
  log.append(1, () => ({ changes: [set(standup)] }));
  log.append(1, () => ({ changes: [set(ada), patch(standup, { participantCount: 1 })] }));
  log.append(1, () => ({ changes: [gone(standup)] }));
  const notLive = () => Promise.reject(new RoomwatchError('room_not_live', 404, 'Not live.'));
  const rooms = async ({ at = 0 }: { at?: number | string } = {}) => ({
    cursor: typeof at === 'string' ? at : log.cursor(5),
    at: 5_000,
    exact: true,
    livekit: [],
    rooms: [],
  });
  const replay = replayRoom({ ...log.client, rooms, room: notLive }, 'standup');
  replay.seek(5_500);
  await settle();
  expect(replay.getState()).toMatchObject({ moment: 5_500, error: null, state: { room: { room: null } } });
  replay.step(1);
  expect(replay.getState().state?.room.room?.name).toBe('standup');
  replay.step(1);
  expect(replay.getState().state?.people.participants.map(({ identity }) => identity)).toEqual(['ada']);
  replay.step(1);
  await settle();
  expect(replay.getState()).toMatchObject({
    moment: 8_000,
    state: { room: { room: null }, people: { participants: [] } },
  });
});
