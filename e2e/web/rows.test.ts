// Issue 4: ten thousand rooms in the live table.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import type { Child } from '../harness/child.js';
import { axe, operatorPage } from '../harness/dashboard.js';
import { Roomwatch } from '../harness/roomwatch.js';
import { simulate } from '../harness/simulate.js';
import { until } from '../harness/wait.js';

const ROOMS = 10_000;

let roomwatch: Roomwatch;
let load: Child;
let browser: Browser;
let page: Page;
beforeAll(async () => {
  roomwatch = await Roomwatch.start({ name: 'rows-roomwatch', env: { ROOMWATCH_RECONCILE_SECS: '0' } });
  load = simulate(roomwatch, { rooms: ROOMS, participants: 1, rate: 20, seconds: 120 });
  await until('the rooms', async () => (await roomwatch.get('/api/rooms')).rooms.length >= ROOMS * 0.99, {
    within: 150_000,
    every: 1_000,
  });
  browser = await launch();
  page = await operatorPage(browser, roomwatch);
}, 200_000);
afterAll(async () => {
  await browser?.close();
  await load?.stop('SIGKILL');
  await roomwatch?.close();
});

it('draws a few of ten thousand rows, reaches the last, finds one, and satisfies axe', async () => {
  await page.goto(`${roomwatch.url}/rooms?sort=name`);
  const table = page.getByRole('table');
  await table.waitFor();
  await until('all rows to be counted', async () => Number(await table.getAttribute('aria-rowcount')) > ROOMS * 0.99);
  expect(await page.getByRole('row').count()).toBeLessThan(120);
  expect(await axe(page)).toEqual([]);
  const first = await page.getByRole('row').nth(1).innerText();
  await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
  await until(
    'the last rows',
    async () => Number(await page.getByRole('row').last().getAttribute('aria-rowindex')) > ROOMS * 0.98,
  );
  expect(await page.getByRole('row').last().innerText()).not.toBe(first);
  expect(await page.getByRole('row').count()).toBeLessThan(120);

  const name = (await page.getByRole('row').last().getByRole('link').innerText()).trim();
  await page.keyboard.press('/');
  await page.keyboard.type(name);
  await until('the one that was looked for', async () => Number(await table.getAttribute('aria-rowcount')) < 100);
  await page.getByRole('link', { name, exact: true }).waitFor();
  expect(page.url()).toContain(encodeURIComponent(name));
});
