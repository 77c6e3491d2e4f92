// Issue 3: after outages of Roomwatch and of LiveKit, the state equals LiveKit's again. `npm run e2e:soak` is the long version.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { survive } from '../harness/outages.js';
import { World } from '../harness/world.js';

let world: World;
beforeAll(async () => {
  world = await World.start('outages');
});
afterAll(() => world?.stop());

it('agrees with LiveKit five seconds after each of four outages', async () => {
  const faults = await survive(
    world,
    6,
    [
      { who: 'roomwatch', how: 'kill', ms: 6_000 },
      { who: 'livekit', how: 'kill', ms: 4_000 },
      { who: 'roomwatch', how: 'stop', ms: 20_000 },
      { who: 'livekit', how: 'stop', ms: 8_000 },
    ],
    Number(process.env.E2E_SEED ?? 1),
  );
  expect(faults).toEqual([]);
}, 240_000);
