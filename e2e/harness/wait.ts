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

/**
 * Below the ports that Linux gives to whoever opens a connection, from 32768 on: one of those can be taken between the moment
 * it was found free and the moment a server listens on it.
 */
const [PORT_MIN, PORT_MAX] = [18_000, 32_000];

async function free(isFree: (port: number) => Promise<boolean>): Promise<number> {
  for (;;) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    if (await isFree(port)) return port;
  }
}

/** A TCP port on which nobody listens, on any address. */
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

/** The same of UDP. */
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
