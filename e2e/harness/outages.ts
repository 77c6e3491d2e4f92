import { Crowd, seeded } from './crowd.js';
import { diff } from './diff.js';
import { type Reader, seqOf } from './reader.js';
import { pause, until } from './wait.js';
import type { World } from './world.js';

export type Outage = { who: 'roomwatch' | 'livekit'; how: 'kill' | 'stop'; ms: number };

/** Maximum time after an outage until both agree. */
const AGREED_WITHIN_MS = 5_000;

/**
 * Runs outages while participants join, leave, publish and mute, and returns the faults: a difference between Roomwatch
 * and LiveKit that is still there five seconds after an outage, and a gap or a duplicate on the stream of a reader that is
 * connected all the time. It prints its actions and the time until agreement. The seed makes it repeatable.
 */
export async function survive(world: World, people: number, outages: Outage[], seed: number): Promise<string[]> {
  const { livekit, roomwatch } = world;
  const faults: string[] = [];
  const crowd = new Crowd(world, await world.cast(), seeded(seed), people);
  const reader: Reader = await roomwatch.read();
  // These rooms are watched, so they are compared every two seconds.
  const watcher = await roomwatch.read(`?${crowd.rooms.map((room) => `room=${room}`).join('&')}`);
  console.log(`seed ${seed}, ${people} participants, ${outages.length} outages`);
  await crowd.gather();
  await crowd.live(2_000);
  for (const [index, outage] of outages.entries()) {
    const server = world[outage.who];
    if (outage.how === 'kill') await server.kill();
    else await server.stop();
    const meanwhile = crowd.live(outage.ms);
    await pause(outage.ms);
    await server.up();
    await meanwhile;
    // After an outage of LiveKit its clients reconnect one by one. The time starts when all have.
    if (outage.who === 'livekit') await crowd.settle();
    const back = Date.now();
    let left: string[] = ['not compared'];
    await until(
      'agreement',
      async () => {
        left = await diff(livekit, roomwatch);
        return left.length === 0;
      },
      { within: AGREED_WITHIN_MS, every: 250 },
    ).catch(() => undefined);
    const took = Date.now() - back;
    console.log(
      `outage ${index + 1}: ${outage.who} ${outage.how} ${outage.ms} ms; diff ${left.length === 0 ? `empty after ${took} ms` : 'NOT empty'}`,
    );
    for (const line of left) console.log(`  ${line}`);
    if (left.length > 0) {
      faults.push(`outage ${index + 1} (${outage.who}, ${outage.how}, ${outage.ms} ms): ${left.join('; ')}`);
      console.log(crowd.log.slice(-30).join('\n'));
    }
    await crowd.settle();
    await crowd.live(2_000);
  }
  const head = (await roomwatch.log()).length;
  await until('the reader to reach the head', () => seqOf(reader.messages.at(-1)?.cursor ?? '-0') >= head).catch(
    (error) => faults.push(String(error)),
  );
  faults.push(...reader.faults());
  const corrections = reader.messages.filter((message) => message.source === 'reconcile');
  console.log(`${reader.messages.length} events on the stream, ${corrections.length} of them corrections`);
  reader.close();
  watcher.close();
  return faults;
}
