// Issue 4, honest states: the stream is gone, the server is gone, too many pages are open, the session has ended, the rights are too few.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, operatorPage } from '../harness/dashboard.js';
import { PASSWORD, Roomwatch } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';
import { finished, joined, post, started } from './post.js';

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  // Only webhooks tell of these rooms: there is no LiveKit that could be asked about them.
  roomwatch = await Roomwatch.start({
    name: 'connection',
    env: { ROOMWATCH_RECONCILE_SECS: '0', ROOMWATCH_MAX_STREAMS_PER_USER: '1' },
  });
  for (const event of [started('standup'), joined('standup', 'ann')]) await post(roomwatch, event);
  browser = await launch();
});
afterEach(async () => {
  await page?.context().close();
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

const pill = (word: RegExp) =>
  page.getByRole('button', { name: new RegExp(`^Connection:\\s*${word.source}`) }).waitFor();
const row = (name: string) => page.getByRole('row').filter({ hasText: name });

async function open(path: string): Promise<void> {
  // The browser's own streams of the test before have to be gone: one is allowed.
  await until('no stream to be open', async () => (await roomwatch.get('/api/me')).streams.open === 0);
  page = await operatorPage(browser, roomwatch, { reducedMotion: 'reduce' });
  page.setDefaultTimeout(30_000);
  const known = page.waitForResponse(/\/api\/me$/);
  await page.goto(`${roomwatch.url}${path}`);
  await pill(/Live/);
  // The stream may be open before the first answer has come.
  await (await known).finished();
}

const isStream = (accept: string | undefined) => accept?.includes('text/event-stream') ?? false;
/** A proxy between page and server that lets no stream through. */
async function withoutStreams(): Promise<void> {
  await page.route('**/api/events*', (route) =>
    isStream(route.request().headers().accept) ? route.abort() : route.continue(),
  );
  // The stream that is open comes by no route; the next one does.
  await roomwatch.stop();
  await roomwatch.up();
}

describe('without a stream, but with a server', () => {
  it('the page polls, says so, and is live again when the stream is back', async () => {
    await open('/rooms');
    await row('standup').waitFor();
    const polled = page.waitForResponse(/\/api\/rooms$/, { timeout: 60_000 });
    await withoutStreams();
    await pill(/Polling/);
    expect(await axe(page)).toEqual([]);

    // The first poll comes within two seconds, and coming back would join it; the next one comes a minute later.
    await (await polled).finished();
    await post(roomwatch, started('polled'));
    // Whoever comes back to the page is not made to wait for the minute.
    await page.evaluate(() => window.dispatchEvent(new Event('visibilitychange')));
    await row('polled').waitFor();

    await page.getByRole('button', { name: /^Connection:/ }).click();
    await page.getByRole('dialog', { name: 'Connection' }).getByText('The event stream is down').waitFor();
    expect(await axe(page)).toEqual([]);
    const asked = page.waitForRequest((request) => isStream(request.headers().accept), { timeout: 2_000 });
    await page.getByRole('button', { name: 'Try again' }).click();
    await asked;
    // A table that somebody points at stands still.
    await page.mouse.move(0, 0);
    await page.unrouteAll();
    await pill(/Live/);
    await post(roomwatch, finished('polled'));
    await row('polled').waitFor({ state: 'detached' });
  });
});

describe('without a server', () => {
  // One test that fails leaves a server to the next.
  afterEach(async () => {
    if (!roomwatch.running) await roomwatch.up();
  });

  it.each([
    ['/', 'standup', 'Last known'],
    ['/rooms', 'standup', 'standup'],
    ['/rooms/standup', 'ann', 'ann'],
    ['/events', 'Pause', 'The stream is down'],
    ['/sessions', 'standup', 'standup'],
    ['/settings', 'default', 'default'],
  ])('%s keeps what was known, with the hour, and catches up by itself', async (path, known, kept) => {
    const shown = (name: string) =>
      page.getByText(name).or(page.getByRole('table', { name })).or(page.getByRole('region', { name })).first();
    await open(path);
    // What was not known cannot be kept.
    await shown(known).waitFor();
    await pill(/Live/);
    await roomwatch.kill();
    await pill(/Stale since \d\d:\d\d/);
    await page.getByText('Can’t reach Roomwatch.').waitFor();
    await shown(kept).waitFor();
    expect(await axe(page)).toEqual([]);
    await roomwatch.up();
    await pill(/Live/);
    await page.getByText('Can’t reach Roomwatch.').waitFor({ state: 'detached' });
  });

  it('a page that was never loaded says so, and loads when the server is back', async () => {
    await open('/');
    await roomwatch.kill();
    // The files come from the browser's cache or not at all; what is asked of the server fails either way.
    await page.route('**/api/**', (route) => route.abort());
    await roomwatch.up();
    await page.reload();
    await page.getByText('Can’t reach Roomwatch').first().waitFor();
    expect(await axe(page)).toEqual([]);
    await page.unrouteAll();
    await page.getByRole('region', { name: /Live now|Last known/ }).waitFor();
  });
});

describe('refused', () => {
  it('one page too many says how many are open, and comes in when one has gone', async () => {
    await open('/');
    const first = page;
    page = await operatorPage(browser, roomwatch);
    await page.goto(roomwatch.url);
    await pill(/Too many connections/);
    await page.getByRole('button', { name: /^Connection:/ }).click();
    await page.getByText('1 connection open, the limit is 1.').waitFor();
    expect(await axe(page)).toEqual([]);
    await first.context().close();
    await until('the place to be free', async () => (await roomwatch.get('/api/me')).streams.open === 0);
    await page.getByRole('dialog', { name: 'Connection' }).getByRole('button', { name: 'Try again' }).click();
    await pill(/Live/);
  });

  it('a session that ended says so and leads back to the same page', async () => {
    await open('/rooms?sort=name');
    await page.context().request.post(`${roomwatch.url}/api/logout`, { headers: { origin: roomwatch.url } });
    await pill(/Signed out/);
    expect(await axe(page)).toEqual([]);
    await page.getByRole('region', { name: 'Connection' }).getByRole('link', { name: 'Sign in' }).click();
    await page.getByText('Your login has expired').waitFor();
    expect(await axe(page)).toEqual([]);
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${roomwatch.url}/rooms?sort=name`);
    await row('standup').waitFor();
    await pill(/Live/);
  });
});

describe('the chart of the overview', () => {
  it('draws minutes of which nobody knows as unknown, and not as zero', async () => {
    const { points } = await roomwatch.get('/api/activity');
    // The log began a moment ago: the hour before it has no rooms and no participants, which is not none.
    expect(points[0]).toMatchObject({ rooms: null, participants: null, joins: 0, leaves: 0 });
    expect(points.at(-1)).toMatchObject({ rooms: expect.any(Number), participants: expect.any(Number) });
    await open('/');
    await page.getByRole('button', { name: 'Show as table' }).click();
    const table = page.getByRole('region', { name: 'Joins and leaves, minute by minute' });
    const cells = (at: 'first' | 'last') => table.locator('tbody tr')[at]().locator('td').allInnerTexts();
    expect((await cells('first')).slice(0, 2)).toEqual([
      String(points.at(-1).rooms),
      String(points.at(-1).participants),
    ]);
    expect((await cells('last')).map((text) => /\d/.test(text))).toEqual([false, false, true, true]);
    expect(await axe(page)).toEqual([]);
  });
});
