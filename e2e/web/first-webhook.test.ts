// Issue 4, Settings: the steps of a new installation. LiveKit runs here with exactly the lines that the page shows.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { Cast } from '../harness/cast.js';
import { axe, complaints, operatorPage } from '../harness/dashboard.js';
import { API_KEY, API_SECRET, LiveKit } from '../harness/livekit.js';
import { PASSWORD, Roomwatch } from '../harness/roomwatch.js';
import { freePort } from '../harness/wait.js';

let roomwatch: Roomwatch;
let livekit: LiveKit | undefined;
let cast: Cast | undefined;
let browser: Browser;
let page: Page;
let found: string[];

beforeAll(async () => {
  const port = await freePort();
  roomwatch = await Roomwatch.start({
    name: 'first-webhook-roomwatch',
    port,
    env: { ROOMWATCH_PUBLIC_URL: `http://127.0.0.1:${port}`, ROOMWATCH_RECONCILE_SECS: '0' },
  });
  browser = await launch();
  page = await operatorPage(browser, roomwatch);
  found = complaints(page.context());
  await page.goto(`${roomwatch.url}/`);
});
afterAll(async () => {
  await browser?.close();
  await cast?.crash();
  await livekit?.kill();
  await roomwatch?.close();
});

const lines = (on = page) => on.locator('code', { hasText: 'webhook:' }).innerText();

it('shows the number of rooms as unknown, and not as zero', async () => {
  const totals = page.getByRole('region', { name: 'Live now' });
  await totals.getByText('not known yet').first().waitFor();
  expect(await totals.getByText('not known yet').count()).toBe(4);
  expect(await totals.getByText('0', { exact: true }).count()).toBe(0);
  await page.getByRole('heading', { name: 'Not known yet' }).waitFor();
});

it('leads from the overview to complete lines', async () => {
  await page.getByRole('link', { name: 'Set up the webhook' }).click();
  await page.getByRole('heading', { name: 'Settings', level: 1 }).waitFor();
  await page.getByText('Waiting for the first webhook').waitFor();
  const expected = `webhook:\n  api_key: ${API_KEY}\n  urls:\n    - "${roomwatch.webhookUrl}"`;
  expect(await lines()).toBe(expected);
  expect(await page.content()).not.toContain(API_SECRET);
  expect(await axe(page)).toEqual([]);
});

it('uses the public URL, and not the address of the page', async () => {
  const context = await browser.newContext();
  const local = `http://localhost:${roomwatch.port}`;
  await context.request.post(`${local}/api/login`, { data: { password: PASSWORD } });
  const other = await context.newPage();
  await other.goto(`${local}/settings`);
  await other.getByText('The configured public URL').or(other.getByText('Only a LiveKit on this')).waitFor();
  expect(await lines(other)).toContain(`- "${roomwatch.webhookUrl}"`);
  await context.close();
});

it('copies them unchanged', async () => {
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByRole('button', { name: 'Copy the lines for livekit.yaml' }).click();
  await page.getByRole('button', { name: 'Copied' }).waitFor();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(`${await lines()}\n`);
});

it('allows another address, if LiveKit reaches Roomwatch in another way', async () => {
  const address = page.getByLabel('Roomwatch URL reachable from LiveKit');
  const given = await address.inputValue();
  await address.fill('http://roomwatch:3001');
  expect(await lines()).toContain('- "http://roomwatch:3001/api/webhooks/livekit"');
  await address.fill('roomwatch');
  await page.getByText('Not an HTTP or HTTPS address').waitFor();
  await address.fill(given);
});

it('does not count the test event as one from LiveKit', async () => {
  await page.getByRole('button', { name: 'Send a test event' }).click();
  await page.getByText('Received and stored.').waitFor();
  await page.getByText('Test event received. Waiting for the first webhook from LiveKit').waitFor();
});

it('turns green with the first webhook of a LiveKit with these lines', async () => {
  livekit = await LiveKit.start({ name: 'first-webhook-livekit', yaml: `${await lines()}\n` });
  cast = await Cast.start(livekit, 'first-webhook-cast');
  await cast.join('first', 'alice');
  await page.getByText('Receiving webhooks.').waitFor();
  await page.getByRole('status').getByText('Receiving webhooks of default').waitFor({ state: 'attached' });
  // The lines stay open.
  expect(await page.locator('code', { hasText: 'webhook:' }).isVisible()).toBe(true);
  expect(await axe(page)).toEqual([]);
  await page.getByRole('link', { name: 'Overview' }).first().click();
  await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
  expect(await page.getByRole('link', { name: 'Set up the webhook' }).count()).toBe(0);
  expect(found).toEqual([]);
});
