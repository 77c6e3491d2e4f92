import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

/** How long a condition may take on a loaded two-core machine before a test gives up. */
export const PATIENCE_MS = 30_000;

/**
 * Polls until `probe` returns something truthy, and returns it. A probe that throws counts as "not yet": servers are
 * away and rooms unknown while a test waits for them. The last error stands in the message when time is up.
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  { within = PATIENCE_MS, every = 50 }: { within?: number; every?: number } = {},
): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
  const deadline = Date.now() + within;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value as Exclude<T, false | null | undefined | 0 | ''>;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`gave up after ${within} ms: ${what} (last: ${String(last)})`);
    await pause(every);
  }
}

/** Lets time pass where time itself is the subject: an outage of ten seconds, the pace of a poll. Never to "wait for" something. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A TCP port of the loopback that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

/** A UDP port that was free a moment ago. */
export function freeUdpPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.on('error', reject);
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}
