// Issue 17: the overview and the rooms on a screen across the room.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, operatorPage, picture } from '../harness/dashboard.js';
import type { Roomwatch } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';
import { finished, joined, post, postAll, started, startWithoutLiveKit } from './post.js';

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;
const requests: string[] = [];

beforeAll(async () => {
  roomwatch = await startWithoutLiveKit('wall');
  browser = await launch();
  page = await operatorPage(browser, roomwatch, { user: 'victor', viewport: { width: 1920, height: 1080 } });
  page.on('request', (request) => requests.push(request.url()));
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

/** Returns the visible texts that are smaller than this, in pixels. */
const smaller = (pixels: number) =>
  page.evaluate((min) => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const small: string[] = [];
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const box = node.parentElement;
      const text = node.textContent?.trim();
      if (!box || !text || !box.checkVisibility() || box.closest('.sr-only')) continue;
      if (Number.parseFloat(getComputedStyle(box).fontSize) < min) small.push(text);
    }
    return small;
  }, pixels);
const top = async (text: string) => (await page.getByText(text, { exact: true }).first().boundingBox())?.y ?? -1;

it('shows attention first, large, without controls and navigation', async () => {
  await page.goto(roomwatch.url);
  await page.getByRole('link', { name: 'Wall' }).click();
  await page.getByText('Nothing needs attention').waitFor();
  await page.goto(`${roomwatch.url}/?wall`);
  await page.getByText('Nothing needs attention').waitFor();
  const sizes = Array.from({ length: 12 }, (_, n) => n + 1);
  await postAll(
    roomwatch,
    sizes.map((n) => started(`standup-${n}`)),
  );
  await postAll(
    roomwatch,
    sizes.flatMap((n) => Array.from({ length: n }, (_, at) => joined(`standup-${n}`, `p${n}-${at}`))),
  );
  for (const [n, name] of ['standup-1', 'consult-2', 'consult-3', 'consult-4', 'consult-5', 'consult-6'].entries()) {
    await post(roomwatch, {
      event: 'egress_ended',
      egressInfo: {
        egressId: `EG_${n}`,
        roomId: `RM_${name}`,
        roomName: name,
        status: 'EGRESS_FAILED',
        error: 'S3 answered 403 Forbidden: the bucket policy has no permission for s3:PutObject on this path',
        roomComposite: { roomName: name },
        updatedAt: `${Date.now()}000000`,
      },
    });
  }
  await page.getByText('and 2 more').waitFor();
  await page
    .getByText('Recording failed of standup-1')
    .or(page.getByText('Recording failed of consult-6'))
    .first()
    .waitFor();
  await page.getByText('78', { exact: true }).waitFor();
  expect(await top('and 2 more')).toBeLessThan(await top('People'));
  expect(await page.locator('a, button, input, nav, video').count()).toBe(0);
  // 36 pixels of 1920: 23 mm on a screen of 55 inches.
  expect(await smaller(36)).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollHeight)).toBeLessThanOrEqual(1080);
  expect(await axe(page)).toEqual([]);
  await picture(page, 'wall-overview');
  await page.keyboard.press('g');
  await page.keyboard.press('s');
  expect(new URL(page.url()).pathname).toBe('/');
});

it('shows the rooms that need attention first, then the largest', async () => {
  await page.goto(`${roomwatch.url}/rooms?wall`);
  await page.getByText('12 live rooms · 78 people').waitFor();
  const names = () =>
    page
      .getByRole('listitem')
      .filter({ hasText: /people$/ })
      .allInnerTexts();
  const [first = '', second = ''] = await names();
  expect(first).toMatch(/^standup-1\s/);
  expect(second).toMatch(/^standup-12\s/);
  await page.getByText('and 2 more rooms').waitFor();
  expect(await smaller(36)).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollHeight)).toBeLessThanOrEqual(1080);
  expect(await page.locator('a, button, input, nav, video').count()).toBe(0);
  expect(await axe(page)).toEqual([]);
  await picture(page, 'wall-rooms');
});

it('shows as many rooms as fit, and how many do not', async () => {
  const more = Array.from({ length: 20 }, (_, n) => `huddle-${n}`);
  await postAll(roomwatch, more.map(started));
  const rows = page.getByRole('listitem').filter({ hasText: /people$/ });
  const rest = page.getByText(/^and \d+ more rooms?$/);
  for (const height of [1080, 800]) {
    await page.setViewportSize({ width: 1920, height });
    await rest.waitFor();
    await until('every room is counted', async () => {
      const left = Number((await rest.innerText()).match(/\d+/)?.[0]);
      return (await rows.count()) + left === 32;
    });
    expect(await page.evaluate(() => document.documentElement.scrollHeight)).toBeLessThanOrEqual(height);
    const end = await rest.boundingBox();
    const bottom = end ? end.y + end.height : 0;
    expect(bottom, `${height}`).toBeLessThanOrEqual(height);
    // Less than two rooms of space is left.
    expect(bottom, `${height}`).toBeGreaterThan(height - 160);
  }
  await page.setViewportSize({ width: 1920, height: 1080 });
  await picture(page, 'wall-many-rooms');
  for (const name of more) await post(roomwatch, finished(name));
  await page.getByText('12 live rooms · 78 people').waitFor();
});

it('says clearly that it has no connection, since when, and goes on by itself', async () => {
  await roomwatch.kill();
  await page.getByText('No connection to Roomwatch').waitFor();
  await page.getByText(/^Everything below is from \d\d:\d\d\.$/).waitFor();
  expect((await page.getByText('No connection to Roomwatch').boundingBox())?.height).toBeGreaterThan(60);
  expect(await smaller(36)).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollHeight)).toBeLessThanOrEqual(1080);
  await page.emulateMedia({ colorScheme: 'dark' });
  expect(await axe(page)).toEqual([]);
  await picture(page, 'wall-stale-dark');
  await page.setViewportSize({ width: 390, height: 844 });
  expect(await axe(page)).toEqual([]);
  await picture(page, 'wall-stale-phone');
  await roomwatch.up();
  await page.getByText('No connection to Roomwatch').waitFor({ state: 'detached' });
  await page.getByText('12 live rooms · 78 people').waitFor();
});

it('never watches', () => {
  expect(requests.filter((url) => /token|livekit-client/.test(new URL(url).pathname))).toEqual([]);
  expect(requests.length).toBeGreaterThan(5);
});
