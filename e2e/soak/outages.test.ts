// Issue 3, the long run: ten random outages of either side under ten participants, one of two minutes. E2E_SEED repeats a run.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { seeded } from '../harness/crowd.js';
import { type Outage, survive } from '../harness/outages.js';
import { World } from '../harness/world.js';

let world: World;
beforeAll(async () => {
  world = await World.start('soak');
});
afterAll(() => world?.stop());

it('agrees with LiveKit five seconds after each of ten random outages, one of two minutes', async () => {
  const seed = Number(process.env.E2E_SEED ?? Date.now() % 100_000);
  const random = seeded(seed ^ 0x5eed);
  const outages = Array.from(
    { length: 10 },
    (_, i): Outage => ({
      // The long outage is Roomwatch's, because LiveKit then gives up on webhooks.
      who: random() < 0.5 || i === 5 ? 'roomwatch' : 'livekit',
      how: random() < 0.5 ? 'kill' : 'stop',
      ms: i === 5 ? 120_000 : Math.round(1_000 + random() ** 2 * 39_000),
    }),
  );
  expect(await survive(world, 10, outages, seed)).toEqual([]);
});
