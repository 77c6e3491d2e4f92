// Issue 17: the state of a hundred random moments of a long run with a real LiveKit is the one that was live then.
// E2E_SEED repeats a run, E2E_PAST_SECS makes it longer.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Crowd, seeded } from '../harness/crowd.js';
import { pause } from '../harness/wait.js';
import { World } from '../harness/world.js';

const PEOPLE = 8;
const MOMENTS = 100;
/** Fields about now: an earlier moment does not have them. */
const PRESENT = ['livekit', 'checkedAt', 'unconfirmedSince'];

let world: World;
beforeAll(async () => {
  world = await World.start('past-soak');
});
afterAll(() => world?.stop());

/** The list of rooms and each room, or null if an event came between the answers. */
async function everything(at = ''): Promise<{ cursor: string; answers: unknown } | null> {
  const { roomwatch } = world;
  const list = await roomwatch.get(`/api/rooms${at}`);
  const rooms = await Promise.all(list.rooms.map((room: any) => roomwatch.get(`/api/rooms/${room.name}${at}`)));
  const again = await roomwatch.get(`/api/rooms${at}`);
  const { cursor } = list;
  if ([...rooms, again].some((answer) => answer.cursor !== cursor)) return null;
  const text = JSON.stringify([list, ...rooms], (key, value) => (PRESENT.includes(key) ? undefined : value));
  return { cursor, answers: JSON.parse(text) };
}

it('shows a hundred random moments as they were live', async () => {
  const seed = Number(process.env.E2E_SEED ?? Date.now() % 100_000);
  const random = seeded(seed);
  const crowd = new Crowd(world, await world.cast(), random, PEOPLE);
  await crowd.gather();

  const live = new Map<string, unknown>();
  let running = true;
  const recording = (async () => {
    while (running) {
      const now = await everything().catch(() => null);
      if (now) live.set(now.cursor, now.answers);
      await pause(50);
    }
  })();
  await crowd.live(Number(process.env.E2E_PAST_SECS ?? 240) * 1_000);
  running = false;
  await recording;

  const moments = [...live.keys()].sort(() => random() - 0.5).slice(0, MOMENTS);
  console.info(`seed ${seed}: ${live.size} states recorded, ${moments.length} compared`);
  expect(moments).toHaveLength(MOMENTS);
  const slow: number[] = [];
  for (const cursor of moments) {
    const asked = performance.now();
    const then = await everything(`?at=${cursor}`);
    slow.push(performance.now() - asked);
    expect(then?.cursor).toBe(cursor);
    expect(then?.answers, `seed ${seed}, ${cursor}`).toEqual(live.get(cursor));
  }
  // The rooms were not empty: the comparison says something.
  const people = [...live.values()].map((answers) => (answers as any)[0].rooms.map((one: any) => one.participantCount));
  expect(new Set(people.map((counts) => counts.join())).size).toBeGreaterThan(10);
  console.info(`the slowest moment took ${Math.round(Math.max(...slow))} ms with all its rooms`);
});
