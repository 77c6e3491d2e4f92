import { Child } from './child.js';
import { API_KEY, API_SECRET } from './livekit.js';
import { type Roomwatch, roomwatchBinary } from './roomwatch.js';

export type Load = { rooms: number; participants: number; rate: number; seconds: number; seed?: number };

/** Starts `roomwatch simulate` against a server. The load ends with `stop`, or after `seconds`. */
export function simulate(roomwatch: Roomwatch, { seconds, ...load }: Load): Child {
  const args = { url: roomwatch.url, duration: seconds, 'api-key': API_KEY, 'api-secret': API_SECRET, ...load };
  return new Child('simulate', roomwatchBinary(), [
    'simulate',
    ...Object.entries(args).flatMap(([name, value]) => [`--${name}`, String(value)]),
  ]);
}
