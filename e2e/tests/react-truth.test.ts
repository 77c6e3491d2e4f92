import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import type { Child } from '../harness/child.js';
import { PASSWORD, Roomwatch } from '../harness/roomwatch.js';
import { simulate } from '../harness/simulate.js';
import { pause, until } from '../harness/wait.js';

// After hundreds of events and a killed server, the hooks of packages/react show the same data that the server returns.

const cleanup: (() => unknown)[] = [];
let server: Roomwatch;
let page: Page;

const shown = (): Promise<any> => page.evaluate(() => (window as any).shown);

/** Sends 100 events a second until it is killed. Rooms and participants then stay as they are. */
function meetings(seed: number): Child {
  const child = simulate(server, { rooms: 60, participants: 5, rate: 100, seconds: 120, seed });
  cleanup.push(() => child.stop('SIGKILL'));
  return child;
}

/** Sorts by sid, and removes the fields that depend only on the time of the answer. */
function sorted(list: any[]): any[] {
  return list
    .map(({ checkedAt: _checkedAt, unconfirmedSince: _since, ...one }) => one)
    .sort((a, b) => (a.sid < b.sid ? -1 : 1));
}

/**
 * Waits until the page is at the head of the log and shows the data of the server. The data is read again at each try:
 * events of a killed simulator may still arrive in the log.
 */
async function agree(): Promise<void> {
  await until('the page to be at the head, and the list to be the truth', async () => {
    const truth = await server.get('/api/rooms');
    const { cursor, rooms } = await shown();
    expect(cursor).toBe(truth.cursor);
    expect(sorted(rooms)).toEqual(sorted(truth.rooms));
    return true;
  });
  const { names } = await shown();
  expect(names.length).toBeGreaterThan(20);
  for (const name of names) {
    await until(`${name} to be the truth`, async () => {
      const answer = await server.request('GET', `/api/rooms/${encodeURIComponent(name)}`);
      const truth = answer.status === 404 ? { room: null, participants: [] } : answer.json;
      const { room, participants } = (await shown())[name];
      expect(sorted(participants)).toEqual(sorted(truth.participants));
      expect(room && sorted([room])).toEqual(truth.room && sorted([truth.room]));
      return true;
    });
  }
}

beforeAll(async () => {
  server = await Roomwatch.start({ env: { ROOMWATCH_RECONCILE_SECS: '0' } });
  cleanup.push(() => server.close());
  const built = await build({
    root: join(import.meta.dirname, '..'),
    configFile: false,
    logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"development"' },
    resolve: { conditions: ['roomwatch-source', 'browser', 'module', 'import'] },
    build: {
      write: false,
      minify: false,
      lib: { entry: 'pages/live.tsx', formats: ['iife'], name: 'Live', fileName: 'live' },
    },
  });
  const { output } = (Array.isArray(built) ? built[0] : built) as { output: { code?: string }[] };
  const body = `<!doctype html><title>live</title><body><script>${output[0]?.code?.replaceAll('</script', '<\\/script') ?? ''}</script>`;
  const browser = await launch();
  cleanup.push(() => browser.close());
  page = await browser.newPage();
  await page.route('**/live', (route) => route.fulfill({ contentType: 'text/html', body }));
  await page.context().request.post(`${server.url}/api/login`, { data: { password: PASSWORD } });
});

afterAll(async () => {
  for (const end of cleanup.reverse()) await end();
});

it('shows the true state after a snapshot under load, and makes no request while it is live', async () => {
  const first = meetings(1);
  await until('rooms', async () => (await server.get('/api/rooms')).rooms.length > 40);
  await page.goto(`${server.url}/live`);
  await until(
    'the page to be live',
    async () => (await shown()).status === 'live' && (await shown()).rooms.length > 40,
  );
  await until('forty rooms on the page', async () => (await shown()).names.length === 40);
  await pause(2_000); // Pending snapshots have arrived. From here on there is only the stream.
  await page.evaluate(() => ((window as any).asked.length = 0));
  await pause(4_000);
  expect(await page.evaluate(() => (window as any).asked)).toEqual([]);
  await first.stop('SIGKILL');
  await agree();
});

it('shows the true state after the server was killed under load', async () => {
  const second = meetings(2);
  await pause(2_000);
  await server.kill();
  await until('the page to notice', async () => (await shown()).status !== 'live');
  await server.up();
  await until('the page to be live', async () => (await shown()).status === 'live');
  await pause(2_000);
  await second.stop('SIGKILL');
  await agree();
});
