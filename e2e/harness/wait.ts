import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

/** Maximum time for a condition on a loaded machine with two cores. */
export const PATIENCE_MS = 30_000;

/**
 * Polls until `probe` returns a truthy value, and returns it. A probe that throws counts as "not yet": servers may be
 * down and rooms unknown while a test waits for them. After the time is up, the message has the last error.
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

/** Lets time pass if the test is about time: an outage of ten seconds, the interval of a poll. Use `until` to wait for a condition. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Range of ports. It is below the ephemeral ports of Linux, which begin at 32768: another connection could take one of
 * those between the check and the start of the server.
 */
const [PORT_MIN, PORT_MAX] = [18_000, 32_000];

async function free(isFree: (port: number) => Promise<boolean>): Promise<number> {
  for (;;) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    if (await isFree(port)) return port;
  }
}

/** Returns a TCP port that is free on every address. */
export function freePort(): Promise<number> {
  return free(
    (port) =>
      new Promise((resolve) => {
        const server = createServer();
        server.on('error', () => resolve(false));
        server.listen(port, () => server.close(() => resolve(true)));
      }),
  );
}

/** Returns a UDP port that is free on every address. */
export function freeUdpPort(): Promise<number> {
  return free(
    (port) =>
      new Promise((resolve) => {
        const socket = createSocket('udp4');
        socket.on('error', () => resolve(false));
        socket.bind(port, () => socket.close(() => resolve(true)));
      }),
  );
}
