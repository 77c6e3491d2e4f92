// Issue 4, "Numbers": what the dashboard costs the browser. Meant for a release build and a machine that does nothing else:
// `cargo build --release`, then `E2E_ROOMWATCH_BIN=target/release/roomwatch npm run bench -w e2e`.
import type { Browser, CDPSession, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import type { Child } from '../harness/child.js';
import { operatorPage } from '../harness/dashboard.js';
import { Roomwatch } from '../harness/roomwatch.js';
import { simulate } from '../harness/simulate.js';
import { pause, until } from '../harness/wait.js';

const [ROOMS, PEOPLE, RATE] = [2_000, 10, 200];
const MEASURE_MS = 15_000;

let roomwatch: Roomwatch;
let load: Child;
let browser: Browser;
beforeAll(async () => {
  // Only webhooks tell of these rooms: there is no LiveKit that could be asked about them.
  roomwatch = await Roomwatch.start({ name: 'bench-roomwatch', env: { ROOMWATCH_RECONCILE_SECS: '0' } });
  load = simulate(roomwatch, { rooms: ROOMS, participants: PEOPLE, rate: RATE, seconds: 600 });
  await until(
    'the rooms to be filled',
    async () => {
      const { rooms } = await roomwatch.get('/api/rooms');
      return (
        rooms.length >= ROOMS * 0.95 &&
        rooms.reduce((sum: number, room: any) => sum + room.participantCount, 0) >= ROOMS * PEOPLE * 0.8
      );
    },
    { within: 240_000, every: 1_000 },
  );
  browser = await launch();
}, 300_000);
afterAll(async () => {
  await browser?.close();
  await load?.stop('SIGKILL');
  await roomwatch?.close();
});

/** Seconds the main thread has been busy so far. */
async function busy(cdp: CDPSession): Promise<number> {
  const { metrics } = await cdp.send('Performance.getMetrics');
  return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN;
}

/** Share of the time the main thread works, and the longest single task, which is the longest frame. */
async function measure(page: Page): Promise<{ share: number; longestMs: number; tasks: number[] }> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Performance.enable');
  await page.evaluate(() => {
    const tasks: number[] = [];
    (window as any).longTasks = tasks;
    new PerformanceObserver((list) =>
      tasks.push(...list.getEntries().map((entry) => Math.round(entry.duration))),
    ).observe({ entryTypes: ['longtask'] });
  });
  const [before, from] = [await busy(cdp), performance.now()];
  await pause(MEASURE_MS);
  const share = ((await busy(cdp)) - before) / ((performance.now() - from) / 1_000);
  const tasks: number[] = await page.evaluate(() => (window as any).longTasks);
  return { share, longestMs: Math.max(0, ...tasks), tasks };
}

describe(`${ROOMS} rooms, ${ROOMS * PEOPLE} participants, ${RATE} events/s`, () => {
  it.each(['/', '/rooms', '/events'])('%s keeps the main thread under 30 %% and no frame over 50 ms', async (path) => {
    const page = await operatorPage(browser, roomwatch);
    await page.goto(`${roomwatch.url}${path}`);
    await page.getByRole('button', { name: /^Connection:\s*Live/ }).waitFor();
    // The first snapshot is not what is measured.
    await pause(3_000);
    const { share, longestMs, tasks } = await measure(page);
    console.log(
      `${path}: main thread ${(share * 100).toFixed(1)} %, longest task ${longestMs || '< 50'} ms, ${tasks.length} over 50 ms`,
    );
    await page.context().close();
    expect(share).toBeLessThan(0.3);
    expect(longestMs).toBeLessThanOrEqual(50);
  });

  it('paints something meaningful within a second from a cold cache', async () => {
    const page = await operatorPage(browser, roomwatch);
    await page.goto(`${roomwatch.url}/rooms`);
    await page.getByRole('table').waitFor();
    const paint = await page.evaluate(
      () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Number.NaN,
    );
    console.log(`first contentful paint after ${Math.round(paint)} ms`);
    await page.context().close();
    expect(paint).toBeLessThan(1_000);
  });
});
