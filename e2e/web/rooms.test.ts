import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, operatorPage } from '../harness/dashboard.js';
import { Roomwatch } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';
import { finished, joined, post, postAll, started } from './post.js';

const ROOMS = 10_000;
/** Each step shows other rows than the one before: the worst case of scrolling. */
const FRAMES = 60;
const name = (at: number) => `room-${String(at).padStart(5, '0')}`;
const names = (page: Page) => page.locator('[role=row] a[data-sid]').allTextContents();

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  roomwatch = await Roomwatch.start({ name: 'web-rooms' });
  await postAll(
    roomwatch,
    Array.from({ length: ROOMS }, (_, at) => started(name(at))),
  );
  browser = await launch();
  page = await operatorPage(browser, roomwatch);
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

const open = async (query = '') => {
  await page.mouse.move(0, 0);
  await page.goto(`${roomwatch.url}/rooms${query}`);
  await page.locator('[role=row] a[data-sid]').first().waitFor();
};

describe('ten thousand rooms', () => {
  it('are one table with only the visible rows in the page', async () => {
    await open('?sort=name&desc=false');
    expect(await page.getByRole('table').getAttribute('aria-rowcount')).toBe(String(ROOMS + 1));
    expect(await page.locator('[role=row]').count()).toBeLessThan(100);
    expect(await page.getByText('10,000 live rooms').count()).toBe(1);
  });

  it('scroll from one end to the other at less than 50 ms of work a frame', async () => {
    await open('?sort=name&desc=false');
    // Processor time of the main thread: other load on the machine does not count.
    const devtools = await page.context().newCDPSession(page);
    await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
    const busy = async () =>
      (await devtools.send('Performance.getMetrics')).metrics.find((one) => one.name === 'TaskDuration')?.value ?? 0;
    const before = await busy();
    await page.evaluate(async (frames) => {
      const step = document.documentElement.scrollHeight / frames;
      for (let at = 0; at <= frames; at++) {
        window.scrollTo(0, at * step);
        await new Promise((resolve) => requestAnimationFrame(resolve));
      }
    }, FRAMES);
    const millis = ((await busy()) - before) * 1_000;
    await until('the last row', async () => (await names(page)).includes(name(ROOMS - 1)));
    console.log(`scrolling through 10,000 rooms: ${(millis / FRAMES).toFixed(1)} ms of work a frame`);
    expect(millis / FRAMES).toBeLessThan(50);
  });

  it('have search and sort order in the address, and Back restores both', async () => {
    await open();
    await page.keyboard.press('/');
    await page.keyboard.type('room-0042');
    await page.waitForURL(/q=room-0042/);
    await until('ten rows', async () => (await names(page)).length === 10);
    await page.getByRole('columnheader', { name: 'Room' }).getByRole('button').click();
    await page.waitForURL(/sort=name/);
    expect(await names(page)).toEqual(Array.from({ length: 10 }, (_, at) => name(420 + at)));
    await page.getByText(name(424)).click();
    await page.getByRole('heading', { name: name(424) }).waitFor();
    await page.goBack();
    await until('the same ten rows', async () => (await names(page)).length === 10);
    expect(await page.getByRole('searchbox').inputValue()).toBe('room-0042');
  });
});

describe('a room that begins or ends', () => {
  it('appears without a reload', async () => {
    await open('?q=00042');
    await post(roomwatch, started('late-00042'));
    await until('two rows', async () => (await names(page)).length === 2);
    await post(roomwatch, finished('late-00042'));
    await until('one row', async () => (await names(page)).length === 1);
  });

  it('does not move anything under the pointer', async () => {
    await open('?sort=people&desc=true');
    const before = await names(page);
    await page.locator('[role=row] a[data-sid]').nth(3).hover();
    await post(roomwatch, started('crowded'));
    for (const identity of ['ann', 'ben', 'cem']) await post(roomwatch, joined('crowded', identity));
    await page.getByText('1 new').waitFor();
    expect(await names(page)).toEqual(before);
    await page.mouse.move(0, 0);
    await until('the newcomer on top', async () => (await names(page))[0] === 'crowded');
    await post(roomwatch, finished('crowded'));
    await until('the newcomer gone', async () => !(await names(page)).includes('crowded'));
  });
});

it('can be used with the keyboard only', async () => {
  await open('?sort=name&desc=false');
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  await until('the second row to have the focus', () =>
    page.evaluate((text) => document.activeElement?.textContent === text, name(1)),
  );
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: name(1) }).waitFor();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  await page.keyboard.press('g');
  await page.keyboard.press('o');
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
});

describe.each(['light', 'dark'] as const)('axe, %s', (colorScheme) => {
  it.each([
    [1440, '/'],
    [390, '/'],
    [1440, '/rooms'],
    [360, '/rooms'],
    [1440, `/rooms/${name(7)}`],
    [360, `/rooms/${name(7)}`],
    [1440, '/rooms/never-was'],
  ])('finds nothing at %d px on %s', async (width, path) => {
    const other = await operatorPage(browser, roomwatch, { colorScheme, viewport: { width, height: 900 } });
    try {
      await other.goto(`${roomwatch.url}${path}`);
      await other.getByRole('heading', { level: 1 }).first().waitFor();
      await until(
        'the page to be loaded',
        async () => (await other.getByRole('status', { name: 'Loading' }).count()) === 0,
      );
      expect(await axe(other)).toEqual([]);
      expect(
        await other.evaluate(() => document.documentElement.scrollWidth - innerWidth),
        'nothing sticks out',
      ).toBeLessThanOrEqual(0);
    } finally {
      await other.context().close();
    }
  });
});
