// Issue 17: the Usage page: numbers, groups, the filter by a value, the table twin, light and dark, wide and narrow.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, complaints, operatorPage, picture } from '../harness/dashboard.js';
import { API_KEY, API_SECRET } from '../harness/livekit.js';
import { Roomwatch, userToml } from '../harness/roomwatch.js';
import { exported, readCsv } from './exported.js';
import { meeting } from './post.js';

let roomwatch: Roomwatch;
let empty: Roomwatch;
let browser: Browser;
let page: Page;

const config = `[[projects]]
name = "production"
keys = [{ key = "${API_KEY}", secret = "${API_SECRET}" }]
[[usage.dimensions]]
name = "team"
metadata = "team"
${userToml('victor', 'viewer')}`;

/** A meeting of ten minutes that ended half an hour ago, with two people of a team who lost their connections. */
const lost = (name: string, team: string) =>
  meeting(roomwatch, name, Date.now() - 40 * 60_000, 10, ['ann', 'bo'], {
    more: { metadata: JSON.stringify({ team }) },
    reason: 'SIGNAL_CLOSE',
  });

beforeAll(async () => {
  const env = { ROOMWATCH_RECONCILE_SECS: '0' };
  [roomwatch, empty] = await Promise.all([
    Roomwatch.start({ name: 'usage', env, config }),
    Roomwatch.start({ name: 'usage-empty', env, config }),
  ]);
  browser = await launch();
  await lost('standup', 'red');
  await lost('planning', 'red');
  await lost('demo', 'blue');
}, 120_000);
afterEach(async () => {
  await page?.context().close();
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
  await empty?.close();
});

async function open(
  path: string,
  options: Parameters<Browser['newContext']>[0] = {},
  of: Roomwatch = roomwatch,
): Promise<string[]> {
  page = await operatorPage(browser, of, { user: 'victor', reducedMotion: 'reduce', ...options });
  page.setDefaultTimeout(30_000);
  const found = complaints(page.context());
  await page.goto(`${of.url}${path}`);
  return found;
}

const total = (name: string) => page.getByRole('button', { name: new RegExp(`^${name} \\d`) }).innerText();
const table = () => page.getByRole('region', { name: 'Usage as a table' });

it.each([
  ['light', 1440],
  ['dark', 390],
] as const)('shows the numbers in %s, %d wide, as a chart and as a table', async (colorScheme, width) => {
  const found = await open('/usage?last=24h', { colorScheme, viewport: { width, height: 900 } });
  await page.getByRole('button', { name: /^Sessions 3$/ }).waitFor();
  // A leave in the second of its end: three meetings, two people, ten minutes and up to a second.
  expect(await total('Participant minutes')).toMatch(/6[01]$/);
  expect(await total('Joins')).toMatch(/6$/);
  expect(await total('Failures')).toMatch(/6$/);
  await page.getByText('6 lost connections').waitFor();
  await page.getByRole('img', { name: /^Participant minutes/ }).waitFor();
  expect(await axe(page)).toEqual([]);
  await picture(page, `usage-${colorScheme}-${width}`);

  await page.getByRole('button', { name: /^Sessions 3$/ }).click();
  await page.waitForURL(/measure=sessions/);
  await page.getByRole('button', { name: 'Show as table' }).click();
  await page.waitForURL(/view=table/);
  const cells = await table().getByRole('cell').allInnerTexts();
  // The time before the history is unknown, not zero.
  const known = cells.map(Number).filter((cell) => !Number.isNaN(cell));
  expect(known.length).toBeLessThan(cells.length);
  expect(known.reduce((sum, cell) => sum + cell, 0)).toBe(3);
  expect(await axe(page)).toEqual([]);
  await picture(page, `usage-table-${colorScheme}-${width}`);
  expect(found).toEqual([]);
});

it('is grouped by a dimension, filtered by one of its values, and exported so', async () => {
  await open('/usage?last=24h&measure=sessions');
  await page.getByRole('button', { name: /^Sessions 3$/ }).waitFor();
  await page.getByRole('combobox', { name: 'Group by' }).selectOption({ label: 'By team' });
  await page.getByRole('img', { name: 'Sessions. red: 2, blue: 1.' }).waitFor();
  await page.getByRole('combobox', { name: 'Only one team' }).selectOption('red');
  await page.waitForURL(/only=red/);
  await page.getByRole('img', { name: 'Sessions. red: 2.' }).waitFor();
  expect(await axe(page)).toEqual([]);
  const { path } = await exported(page, 'CSV, for spreadsheets');
  const rows = readCsv(path);
  expect(new Set(rows.map(({ team }) => team))).toEqual(new Set(['red']));
  expect(rows.reduce((sum, { sessions }) => sum + Number(sessions), 0)).toBe(2);
  await page.getByRole('button', { name: 'team: red. Show every team' }).click();
  await page.getByRole('img', { name: 'Sessions. red: 2, blue: 1.' }).waitFor();
});

it('says that there is nothing yet', async () => {
  const found = await open('/usage', {}, empty);
  await page.getByRole('heading', { name: 'No usage yet' }).waitFor();
  await page.getByText('Usage appears here after the first session.').waitFor();
  expect(await axe(page)).toEqual([]);
  expect(found).toEqual([]);
});
