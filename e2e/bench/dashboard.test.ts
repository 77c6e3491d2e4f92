// Issue 4, "Numbers": the cost of the dashboard in the browser. Use a release build and an idle machine:
// `cargo build --release`, then `E2E_ROOMWATCH_BIN=target/release/roomwatch npm run bench -w e2e`.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import type { Child } from '../harness/child.js';
import { operatorPage } from '../harness/dashboard.js';
import { Roomwatch } from '../harness/roomwatch.js';
import { simulate } from '../harness/simulate.js';
import { pause, until } from '../harness/wait.js';

const [ROOMS, PEOPLE, RATE] = [2_000, 10, 200];
const MEASURE_MS = 15_000;
/** A longer task delays a frame. */
const TASK_MS_MAX = 50;

let roomwatch: Roomwatch;
let load: Child;
let browser: Browser;
beforeAll(async () => {
  // No LiveKit has these rooms, so Roomwatch must not compare.
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

/** One task of a thread in Chromium's trace. Times are in microseconds; `tdur` is processor time. */
type Task = {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  dur?: number;
  tdur?: number;
  args: { name?: string };
};

/**
 * Returns the share of `MEASURE_MS` in which the main thread of the page works, and its longest task, which is the maximum
 * delay of a frame. Both are processor time, so that other load on the machine does not count.
 */
async function measure(page: Page): Promise<{ share: number; longestMs: number; long: number }> {
  const cdp = await page.context().newCDPSession(page);
  const tasks: Task[] = [];
  cdp.on('Tracing.dataCollected', ({ value }) => tasks.push(...(value as unknown as Task[])));
  const from = performance.now();
  // `toplevel` has every task and nothing else, so that tracing itself costs little.
  await cdp.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: { includedCategories: ['toplevel'], excludedCategories: ['*'] },
  });
  await pause(MEASURE_MS);
  const done = new Promise<void>((resolve) => cdp.once('Tracing.tracingComplete', () => resolve()));
  const elapsedMs = performance.now() - from;
  await cdp.send('Tracing.end');
  await done;
  const threads = tasks.filter(
    ({ ph, name, args }) => ph === 'M' && name === 'thread_name' && args.name === 'CrRendererMain',
  );
  const busiest = threads
    .map(({ pid, tid }) =>
      tasks
        .filter(
          (task) =>
            task.pid === pid && task.tid === tid && task.ph === 'X' && task.name === 'ThreadControllerImpl::RunTask',
        )
        .map(({ tdur = 0 }) => tdur / 1_000),
    )
    .sort((a, b) => sum(b) - sum(a))[0];
  if (!busiest || sum(busiest) === 0) throw new Error('the trace does not tell what the main thread did');
  return {
    share: sum(busiest) / elapsedMs,
    longestMs: Math.max(...busiest),
    long: busiest.filter((millis) => millis > TASK_MS_MAX).length,
  };
}

const sum = (list: number[]) => list.reduce((total, one) => total + one, 0);

/** The room with the most participants. */
async function busiestRoom(): Promise<string> {
  const { rooms } = await roomwatch.get('/api/rooms');
  rooms.sort((a: any, b: any) => b.participantCount - a.participantCount);
  return rooms[0].name;
}

describe(`${ROOMS} rooms, ${ROOMS * PEOPLE} participants, ${RATE} events/s`, () => {
  it.each([
    ['Overview', async () => '/'],
    ['Rooms', async () => '/rooms'],
    ['Rooms by last event', async () => '/rooms?sort=event&desc=true'],
    ['a Room', async () => `/rooms/${encodeURIComponent(await busiestRoom())}`],
    ['Events', async () => '/events'],
  ])(
    '%s: the main thread is busy for less than three tenths of the time, and no task takes over 50 ms',
    async (name, path) => {
      const page = await operatorPage(browser, roomwatch);
      await page.goto(`${roomwatch.url}${await path()}`);
      await page.getByRole('button', { name: /^Connection:\s*Live/ }).waitFor();
      // The first snapshot is not measured.
      await pause(3_000);
      const { share, longestMs, long } = await measure(page);
      console.log(
        `${name}: main thread ${(share * 100).toFixed(1)} %, longest task ${longestMs.toFixed(1)} ms, ${long} over ${TASK_MS_MAX} ms`,
      );
      await page.context().close();
      expect(share).toBeLessThan(0.3);
      expect(longestMs).toBeLessThanOrEqual(TASK_MS_MAX);
    },
  );

  // Wait for the numbers, rows or events themselves, not for their skeletons.
  it.each([
    ['/', '[aria-label="Live now"], [aria-label="Last known"]'],
    ['/rooms', '[aria-label="Live rooms"] [role=row] a'],
    ['/events', '[aria-label="Events, newest first"] li'],
  ])('%s paints what matters within a second from a cold cache', async (path, selector) => {
    const page = await operatorPage(browser, roomwatch);
    await page.goto(`${roomwatch.url}${path}`, { waitUntil: 'commit' });
    const shown = await page.waitForFunction(
      (wanted) => {
        const element = document.querySelector(wanted);
        return element && !element.querySelector('.skeleton') && performance.now();
      },
      selector,
      { polling: 'raf' },
    );
    const millis = Number(await shown.jsonValue());
    console.log(`${path}: stands there after ${Math.round(millis)} ms`);
    await page.context().close();
    expect(millis).toBeLessThan(1_000);
  });
});
